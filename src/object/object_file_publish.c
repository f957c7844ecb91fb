/* The states of object_file.h: who publishes, who waits, what a failure leaves behind. */
#include "src/base/error.h"
#include "src/base/log.h"
#include "src/object/call_wait.h"
#include "src/object/object_file.h"
#include "src/object/object_file_state.h"
#include "src/object/publication.h"
#include "src/object/recovery.h"
#include "src/object/stream_upload.h"

typedef enum { ENTER_MINE, ENTER_NOTHING, ENTER_FAILED, ENTER_AGAIN, ENTER_LATER } Entrance;

/* A publication ended by the interrupted call of another thread says nothing about ours. */
static gboolean
is_verdict(const GError *failure)
{
    return failure != NULL && !error_is(failure, ERROR_CANCELLED);
}

static Entrance
decide_locked(ObjectFile *file, const LoanCall *loans, gboolean joined, gboolean committed, GError **error)
{
    if (!object_file_needs_publication_locked(file))
        return ENTER_NOTHING;
    if (committed && !object_file_is_committed_locked(file))
        return ENTER_LATER;
    if (file->lost || (joined && is_verdict(file->failure))) {
        g_propagate_error(error, g_error_copy(file->failure));
        return ENTER_FAILED;
    }
    /* It was stored for the first time, or renamed, while the loans were called in. */
    if (file->base != NULL && (loans == NULL || !loan_call_covers(loans, file->container, file->key)))
        return ENTER_AGAIN;
    file->publishing = TRUE;
    file->uploading = committed;
    return ENTER_MINE;
}

/* What the caller wrote before is in a publication that runs now, because writers wait for it: its result is
 * the caller's too. */
static Entrance
enter(ObjectFile *file, Call *call, const LoanCall *loans, gboolean committed, GError **error)
{
    CallWait wait;
    gboolean joined = FALSE, ok = TRUE;
    call_wait_begin(&wait, call, &file->lock, &file->changed);
    lock_acquire(&file->lock);
    while ((file->publishing || file->changing) && ok) {
        joined = joined || file->publishing;
        ok = call_wait_next(&wait, error);
    }
    Entrance entrance = ok ? decide_locked(file, loans, joined, committed, error) : ENTER_FAILED;
    lock_release(&file->lock);
    call_wait_end(&wait);
    return entrance;
}

static void
take_content_locked(ObjectFile *file, const PublicationResult *result)
{
    ObjectVersion *base =
        object_version_get(file->store->versions, object_file_get_storage(file), file->container, file->key,
                           result->info.etag, result->info.size_bytes);
    extent_map_rebase(file->extents, base);
    object_version_unref(file->base);
    file->base = base;
    file->content_dirty = FALSE;
    file->exclusive = FALSE;
    loan_end_all(file->store, file);
}

/* What was set while the publication ran, or what it could not store, is still to be published; a checksum of
 * the content before is not. */
static void
keep_others_locked(ObjectFile *file)
{
    Metadata *kept = metadata_new();
    GHashTableIter iter;
    gpointer name = NULL, value = NULL;
    g_hash_table_iter_init(&iter, file->others);
    while (g_hash_table_iter_next(&iter, &name, &value))
        g_hash_table_insert(kept, g_strdup(name), g_strdup(value));
    attributes_forget_content(kept);
    g_hash_table_unref(file->others);
    file->others = kept;
}

static void
take_result_locked(ObjectFile *file, const PublicationResult *result, gboolean content)
{
    if (content)
        take_content_locked(file, result);
    else
        object_version_move(file->base, file->container, file->key, result->info.etag);
    file->generation++;
    object_info_clear(&file->info);
    object_info_copy(&file->info, &result->info);
    file->bare = FALSE;
    if (file->attributes_dirty) {
        if (content)
            keep_others_locked(file);
        return;
    }
    file->attributes.mtime_ns = result->attributes.mtime_ns;
    file->explicit_attributes = 0;
    g_hash_table_unref(file->others);
    file->others = g_hash_table_ref(result->info.metadata);
}

void
object_file_take_attributes_locked(ObjectFile *file, const FileAttributes *attributes)
{
    unsigned taken = ~file->explicit_attributes;
    if (taken & FILE_SET_MODE)
        file->attributes.mode = (file->attributes.mode & S_IFMT) | (attributes->mode & 07777);
    if (taken & FILE_SET_UID)
        file->attributes.uid = attributes->uid;
    if (taken & FILE_SET_GID)
        file->attributes.gid = attributes->gid;
    if (taken & FILE_SET_TIMES && !file->content_dirty)
        file->attributes.mtime_ns = attributes->mtime_ns;
}

gboolean
object_file_take_metadata(ObjectFile *file, const char *etag, const ObjectInfo *stored,
                          const FileAttributes *attributes, gboolean *out_overtaken)
{
    lock_acquire(&file->lock);
    gboolean same = file->base != NULL && !file->lost && g_strcmp0(file->info.etag, etag) == 0;
    *out_overtaken = !file->lost && (file->publishing || !same);
    if (same) {
        object_version_move(file->base, file->container, file->key, stored->etag);
        file->generation++;
        object_info_clear(&file->info);
        object_info_copy(&file->info, stored);
        object_file_take_attributes_locked(file, attributes);
    }
    file->bare = file->bare && !same;
    if (same && !file->attributes_dirty) {
        g_hash_table_unref(file->others);
        file->others = stored->metadata != NULL ? g_hash_table_ref(stored->metadata) : metadata_new();
        g_free(file->content_type);
        file->content_type = g_strdup(
            stored->content_type != NULL ? stored->content_type : attributes_guess_content_type(file->key));
    }
    lock_release(&file->lock);
    return same;
}

static void
finish_locked(ObjectFile *file, const PublicationResult *result, gboolean content, const GError *failure)
{
    gboolean stored = result->content_stored;
    file->attributes_dirty = file->attributes_dirty || failure != NULL;
    if (stored)
        take_result_locked(file, result, content);
    if (stored && !result->in_doubt)
        g_clear_pointer(&file->doubts, g_ptr_array_unref);
    g_clear_error(&file->failure);
    file->failure = failure != NULL ? g_error_copy(failure) : NULL;
    file->lost = failure != NULL && content && !stored &&
                 (error_is(failure, ERROR_CHANGED) || error_is(failure, ERROR_EXISTS));
    file->publishing = FALSE;
    file->publication_call = NULL;
    g_clear_pointer(&file->attempt, attempt_unref);
    condition_wake_all(&file->changed);
}

/* Without O_EXCL an object that appeared meanwhile is a lost race like any other. */
static void
translate_exists(ObjectFile *file, GError **failure)
{
    if (*failure == NULL || file->exclusive || !error_is(*failure, ERROR_EXISTS))
        return;
    GError *changed = g_error_new_literal(STORAGEFS_ERROR, ERROR_CHANGED, (*failure)->message);
    g_error_free(*failure);
    *failure = changed;
}

/* Under the token: nobody changes the file meanwhile. */
static void
save(ObjectFile *file, const GError *failure)
{
    lock_acquire(&file->lock);
    gboolean known = file->changes == file->saved_changes;
    guint64 changes = file->changes;
    lock_release(&file->lock);
    if (known || !recovery_save(file, failure))
        return;
    lock_acquire(&file->lock);
    file->saved_changes = changes;
    lock_release(&file->lock);
}

static gboolean
run(ObjectFile *file, Call *call, GError **error)
{
    g_auto(PublicationResult) result = {0};
    GError *failure = NULL;
    lock_acquire(&file->lock);
    gboolean content = file->content_dirty || file->base == NULL;
    file->attempts++;
    file->publication_call = call;
    lock_release(&file->lock);
    object_store_begin_publication(file->store);
    gboolean ok = content ? publication_store(file, call, &result, &failure)
                          : publication_store_attributes(file, call, &result, &failure);
    translate_exists(file, &failure);
    if (!ok && content && !result.content_stored && !object_file_uses_journal(file) &&
        (error_is(failure, ERROR_CHANGED) || error_is(failure, ERROR_EXISTS)))
        save(file, failure);
    object_store_end_publication(file->store, ok);
    object_file_begin_record(file);
    lock_acquire(&file->lock);
    finish_locked(file, &result, content, failure);
    gboolean dropped = file->dropped;
    lock_release(&file->lock);
    object_file_tell_published(file, result.content_stored ? &result.info : &result.confirmed);
    object_file_end_record(file, result.content_stored);
    /* Ended because nobody wants the object any more. */
    if (dropped)
        g_clear_error(&failure);
    if (failure != NULL)
        g_propagate_error(error, failure);
    return failure == NULL;
}

/* Before the publication's token is taken: two files may have been copied from each other. */
static gboolean
call_in_loans(ObjectFile *file, Call *call, LoanCall **out_loans, GError **error)
{
    lock_acquire(&file->lock);
    gboolean replaces = file->base != NULL && object_file_needs_publication_locked(file);
    g_autofree char *container = g_strdup(file->container), *key = g_strdup(file->key);
    lock_release(&file->lock);
    if (!replaces)
        return TRUE;
    *out_loans = loan_call_in(file->store, call, object_file_get_storage(file), container, key, FALSE, error);
    return *out_loans != NULL;
}

static ObjectFileUpload
publish(ObjectFile *file, Call *call, gboolean committed, GError **error)
{
    /* A publication takes as long as its bytes need; each of its requests has the storage's time. */
    g_autoptr(Call) long_call = call_new_without_deadline(call);
    gboolean removed = FALSE;
    if (!object_file_finish_removal(file, long_call, &removed, error))
        return OBJECT_FILE_FAILED;
    while (!removed) {
        g_autoptr(LoanCall) loans = NULL;
        if (!call_in_loans(file, long_call, &loans, error))
            return OBJECT_FILE_FAILED;
        switch (enter(file, long_call, loans, committed, error)) {
        case ENTER_MINE:
            return run(file, long_call, error) ? OBJECT_FILE_UPLOADED : OBJECT_FILE_FAILED;
        case ENTER_NOTHING:
            return OBJECT_FILE_UPLOADED;
        case ENTER_FAILED:
            return OBJECT_FILE_FAILED;
        case ENTER_LATER:
            return OBJECT_FILE_LATER;
        case ENTER_AGAIN:
            break;
        }
    }
    return OBJECT_FILE_UPLOADED;
}

gboolean
object_file_publish(ObjectFile *file, Call *call, GError **error)
{
    return publish(file, call, FALSE, error) == OBJECT_FILE_UPLOADED;
}

/* It was written again, and its last close could not commit that: nobody else will. Who has it open does. */
static ObjectFileUpload
commit_for_nobody(ObjectFile *file, Call *call, GError **error)
{
    if (object_file_get_handle_count(file) > 0 || object_file_sync(file, call, error))
        return OBJECT_FILE_LATER;
    return OBJECT_FILE_FAILED;
}

ObjectFileUpload
object_file_upload(ObjectFile *file, Call *call, GError **error)
{
    ObjectFileUpload outcome = publish(file, call, TRUE, error);
    return outcome == OBJECT_FILE_LATER ? commit_for_nobody(file, call, error) : outcome;
}

void
object_file_forget_local(ObjectFile *file)
{
    StagingFile *staging = NULL;
    lock_acquire(&file->lock);
    if (file->handles == 0 && file->tasks == 0 && !file->changing && !file->publishing && !file->dropped &&
        !file->parked && !object_file_needs_publication_locked(file) && file->staging != NULL) {
        guint64 size_bytes = object_version_get_size(file->base);
        extent_map_resize(file->extents, 0);
        extent_map_set(file->extents, &(Extent){0, size_bytes, EXTENT_VERSION, file->base, 0});
        staging = g_steal_pointer(&file->staging);
    }
    lock_release(&file->lock);
    staging_file_free(staging);
}

static gboolean
must_save_locked(const ObjectFile *file)
{
    return object_file_needs_publication_locked(file) && file->content_dirty &&
           file->changes != file->saved_changes;
}

static void
save_at_close(ObjectFile *file)
{
    if (!object_file_begin_change(file, NULL, NULL))
        return;
    lock_acquire(&file->lock);
    gboolean must = must_save_locked(file);
    g_autoptr(GError) failure = file->failure != NULL ? g_error_copy(file->failure) : NULL;
    lock_release(&file->lock);
    if (must)
        save(file, failure);
    lock_acquire(&file->lock);
    /* Whoever opened it meanwhile goes on with what could not be published; so does the journal, which has
     * promised to store an older state of it. */
    file->parked = file->handles == 0 && file->entry == NULL && file->changes == file->saved_changes;
    object_file_end_change_locked(file);
    lock_release(&file->lock);
    stream_upload_abandon(file);
}

void
object_file_publish_at_close(ObjectFile *file, Call *call)
{
    g_autoptr(GError) error = NULL;
    lock_acquire(&file->lock);
    /* What failed with a verdict was reported to the close that asked for it. */
    gboolean reported = file->lost || is_verdict(file->failure);
    gboolean needed = object_file_needs_publication_locked(file);
    lock_release(&file->lock);
    if (object_file_uses_journal(file) && object_file_sync(file, call, &error))
        needed = FALSE;
    else if (error != NULL)
        log_error("%s", error->message);
    g_clear_error(&error);
    if (needed && (reported || !object_file_publish(file, call, &error))) {
        g_autofree char *name = object_file_describe(file);
        if (error != NULL)
            log_error("%s: %s", name, error->message);
        save_at_close(file);
    }
    object_file_forget_local(file);
    lock_acquire(&file->lock);
    if (file->entry != NULL && !object_file_is_committed_locked(file))
        journal_entry_defer(file->entry);
    lock_release(&file->lock);
}
