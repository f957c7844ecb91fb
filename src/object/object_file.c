#include "src/object/object_file.h"

#include "src/base/error.h"
#include "src/object/call_wait.h"
#include "src/object/file_content.h"
#include "src/object/object_file_state.h"
#include "src/object/object_handle.h"
#include "src/object/stream_upload.h"

#include <string.h>
#include <unistd.h>

/* What the disk cache makes room for at once, beyond what is written, so that it is not asked for each write;
 * and how often it is asked, because others take the room as well. */
#define STAGING_STEP_BYTES (16u << 20)
#define MAXIMUM_STAGING_ATTEMPTS 8u

static Metadata *
metadata_ref(Metadata *metadata)
{
    return metadata != NULL ? g_hash_table_ref(metadata) : metadata_new();
}

static void
set_base(ObjectFile *file, const ObjectInfo *version)
{
    object_info_copy(&file->info, version);
    file->bare = version->metadata == NULL;
    file->base = object_version_get(file->store->versions, object_file_get_storage(file), file->container,
                                    file->key, version->etag, version->size_bytes);
    extent_map_set(file->extents, &(Extent){0, version->size_bytes, EXTENT_VERSION, file->base, 0});
}

ObjectFile *
object_file_new(ObjectStore *store, Storage *storage, const char *container, const char *key,
                const ObjectInfo *version, const FileAttributes *attributes, gboolean exclusive,
                const ObjectFileEvents *events)
{
    ObjectFile *file = g_new0(ObjectFile, 1);
    file->references = 1;
    file->store = store;
    file->storage = storage_ref(storage);
    file->container = g_strdup(container);
    file->key = g_strdup(key);
    file->attributes = *attributes;
    file->exclusive = exclusive;
    file->extents = extent_map_new();
    file->next_part_end = G_MAXUINT64;
    file->cached_fd = -1;
    file->events = events != NULL ? *events : (ObjectFileEvents){0};
    file->journalled = store->journal != NULL && storage_get_settings(storage)->journal;
    lock_init(&file->lock);
    condition_init(&file->changed);
    if (version != NULL)
        set_base(file, version);
    file->attributes.size_bytes = extent_map_get_size(file->extents);
    file->others = metadata_ref(version != NULL ? version->metadata : NULL);
    file->content_type =
        g_strdup(version != NULL && version->content_type != NULL ? version->content_type
                                                                  : attributes_guess_content_type(key));
    file->dirty_since_us = g_get_monotonic_time();
    file->link.data = file;
    lock_acquire(&store->files_lock);
    g_queue_push_tail_link(&store->files, &file->link);
    lock_release(&store->files_lock);
    return file;
}

void
object_file_learn(ObjectFile *file, const ObjectInfo *known, const FileAttributes *attributes)
{
    lock_acquire(&file->lock);
    gboolean wanted = file->base != NULL && file->info.metadata == NULL &&
                      !object_file_needs_publication_locked(file) &&
                      g_strcmp0(file->info.etag, known->etag) == 0;
    if (wanted && known->metadata != NULL) {
        object_info_clear(&file->info);
        object_info_copy(&file->info, known);
        file->info.size_bytes = object_version_get_size(file->base);
        file->bare = FALSE;
        g_hash_table_unref(file->others);
        file->others = g_hash_table_ref(known->metadata);
        g_free(file->content_type);
        file->content_type = g_strdup(known->content_type != NULL ? known->content_type
                                                                  : attributes_guess_content_type(file->key));
    }
    if (wanted) {
        file->attributes = *attributes;
        file->attributes.size_bytes = object_version_get_size(file->base);
    }
    lock_release(&file->lock);
}

ObjectFile *
object_file_ref(ObjectFile *file)
{
    g_atomic_int_inc(&file->references);
    return file;
}

gboolean
object_file_ref_if_alive(ObjectFile *file)
{
    gint count = g_atomic_int_get(&file->references);
    while (count > 0) {
        if (g_atomic_int_compare_and_exchange(&file->references, count, count + 1))
            return TRUE;
        count = g_atomic_int_get(&file->references);
    }
    return FALSE;
}

static void
file_free(ObjectFile *file)
{
    if (file->journal_bytes > 0)
        journal_give_space(file->store->journal, file->journal_bytes);
    loan_end_all(file->store, file);
    extent_map_free(file->extents);
    staging_file_free(file->staging);
    object_version_unref(file->base);
    if (file->cached_fd >= 0)
        close(file->cached_fd);
    object_info_clear(&file->info);
    g_hash_table_unref(file->others);
    attempt_unref(file->attempt);
    g_clear_pointer(&file->doubts, g_ptr_array_unref);
    g_clear_error(&file->failure);
    g_free(file->content_type);
    g_free(file->container);
    g_free(file->key);
    condition_clear(&file->changed);
    lock_clear(&file->lock);
    storage_unref(file->storage);
    g_clear_pointer(&file->former_storages, g_ptr_array_unref);
    g_free(file);
}

void
object_file_unref(ObjectFile *file)
{
    if (file == NULL || !g_atomic_int_dec_and_test(&file->references))
        return;
    stream_upload_abandon(file);
    /* Statistics look at files through the store's list, under its lock and without a reference. */
    lock_acquire(&file->store->files_lock);
    g_queue_unlink(&file->store->files, &file->link);
    lock_release(&file->store->files_lock);
    file_free(file);
}

static gboolean
is_busy_locked(const ObjectFile *file)
{
    return file->changing || file->publishing;
}

/* What is stored in the background would be replaced by what comes now: it makes way. */
static void
end_upload(ObjectFile *file)
{
    lock_acquire(&file->lock);
    gboolean ends = file->uploading && file->publication_call != NULL;
    g_autoptr(Call) call = ends ? call_ref(file->publication_call) : NULL;
    lock_release(&file->lock);
    if (call != NULL)
        call_cancel(call);
}

gboolean
object_file_begin_change(ObjectFile *file, Call *call, GError **error)
{
    CallWait wait;
    lock_acquire(&file->lock);
    gboolean begun = !is_busy_locked(file);
    file->changing = file->changing || begun;
    lock_release(&file->lock);
    if (begun)
        return TRUE;
    end_upload(file);
    g_autoptr(Call) long_call = call_new_without_deadline(call);
    call_wait_begin(&wait, long_call, &file->lock, &file->changed);
    lock_acquire(&file->lock);
    while (is_busy_locked(file) && call_wait_next(&wait, error))
        continue;
    begun = !is_busy_locked(file);
    file->changing = file->changing || begun;
    lock_release(&file->lock);
    call_wait_end(&wait);
    return begun;
}

void
object_file_end_change_locked(ObjectFile *file)
{
    file->changing = FALSE;
    condition_wake_all(&file->changed);
}

static void
end_change(ObjectFile *file)
{
    lock_acquire(&file->lock);
    object_file_end_change_locked(file);
    lock_release(&file->lock);
}

void
object_file_touch_locked(ObjectFile *file)
{
    if (!object_file_needs_publication_locked(file))
        file->dirty_since_us = g_get_monotonic_time();
    file->content_dirty = TRUE;
    file->changes++;
    file->attributes.mtime_ns = g_get_real_time() * 1000;
    file->attributes.size_bytes = extent_map_get_size(file->extents);
    file->explicit_attributes &= ~(unsigned)FILE_SET_TIMES;
}

static gboolean
has_local_locked(ObjectFile *file, guint64 offset, guint64 end)
{
    Extent extent;
    while (extent_map_slice(file->extents, offset, end - offset, &extent)) {
        if (extent.kind == EXTENT_LOCAL)
            return TRUE;
        offset += extent.length_bytes;
    }
    return FALSE;
}

void
object_file_note_torn_locked(ObjectFile *file, guint64 offset, guint64 length_bytes)
{
    guint64 end = offset + length_bytes;
    /* A dropped file's versions are gone: torn bytes are better than none. */
    if (file->dropped)
        return;
    extent_map_unmark_local(file->extents, offset, length_bytes);
    if (!has_local_locked(file, offset, end))
        return;
    object_file_touch_locked(file);
    stream_upload_note_change_locked(file, offset, end);
}

static const char *
get_staging_folder(ObjectFile *file)
{
    return file->journalled ? journal_folder_get_path(journal_get_folder(file->store->journal))
                            : file->store->staging_dir;
}

StagingFile *
object_file_prepare_staging(ObjectFile *file)
{
    if (file->staging != NULL)
        return file->staging;
    StagingFile *staging = staging_file_new(get_staging_folder(file), file->store->staging_budget,
                                            file->journalled ? NULL : file->store->staging_pool);
    lock_acquire(&file->lock);
    file->staging = staging;
    lock_release(&file->lock);
    return staging;
}

gboolean
object_file_make_way(ObjectFile *file, guint64 length_bytes, guint *attempts, GError **failure,
                     GError **error)
{
    if (++*attempts < MAXIMUM_STAGING_ATTEMPTS && error_is(*failure, ERROR_NO_SPACE) &&
        object_store_make_way(file->store, get_staging_folder(file), length_bytes + STAGING_STEP_BYTES)) {
        g_clear_error(failure);
        return TRUE;
    }
    g_propagate_error(error, g_steal_pointer(failure));
    return FALSE;
}

gboolean
object_file_stage(ObjectFile *file, guint64 offset, const void *data, gsize length_bytes, GError **error)
{
    StagingFile *staging = object_file_prepare_staging(file);
    GError *failure = NULL;
    guint attempts = 0;
    while (!staging_file_write(staging, offset, data, length_bytes, &failure))
        if (!object_file_make_way(file, length_bytes, &attempts, &failure, error))
            return FALSE;
    return TRUE;
}

gboolean
object_file_check_size(ObjectFile *file, guint64 offset, guint64 length_bytes, GError **error)
{
    Capabilities can;
    storage_get_capabilities(object_file_get_storage(file), &can);
    guint64 limit = can.maximum_object_bytes > 0 ? MIN(can.maximum_object_bytes, G_MAXINT64) : G_MAXINT64;
    if (length_bytes <= limit && offset <= limit - length_bytes)
        return TRUE;
    g_autofree char *name = object_file_describe(file);
    g_set_error(error, STORAGEFS_ERROR, ERROR_TOO_LARGE,
                "%s: an object of this storage has at most %" G_GUINT64_FORMAT " bytes", name, limit);
    return FALSE;
}

char *
object_file_describe(ObjectFile *file)
{
    lock_acquire(&file->lock);
    char *text = g_strdup_printf("%s/%s/%s", storage_get_name(object_file_get_storage(file)), file->container,
                                 file->key);
    lock_release(&file->lock);
    return text;
}

gboolean
object_file_needs_publication_locked(const ObjectFile *file)
{
    return !file->dropped && !file->parked &&
           (file->content_dirty || file->attributes_dirty || file->base == NULL);
}

FileHandle *
object_file_open(ObjectFile *file, int flags)
{
    return object_handle_new(file, flags);
}

ObjectFile *
object_file_of_handle(FileHandle *handle)
{
    return object_handle_get_file(handle);
}

gboolean
object_file_was_read(FileHandle *handle)
{
    return object_handle_was_read(handle);
}

void
object_file_add_handle(ObjectFile *file)
{
    lock_acquire(&file->lock);
    file->handles++;
    file->parked = FALSE;
    lock_release(&file->lock);
}

gboolean
object_file_drop_handle(ObjectFile *file)
{
    lock_acquire(&file->lock);
    gboolean last = --file->handles == 0;
    lock_release(&file->lock);
    return last;
}

guint
object_file_get_handle_count(ObjectFile *file)
{
    lock_acquire(&file->lock);
    guint count = file->handles;
    lock_release(&file->lock);
    return count;
}

void
object_file_get_attributes(ObjectFile *file, FileAttributes *out)
{
    lock_acquire(&file->lock);
    *out = file->attributes;
    lock_release(&file->lock);
}

void
object_file_get_info(ObjectFile *file, ObjectInfo *out)
{
    lock_acquire(&file->lock);
    object_info_copy(out, &file->info);
    lock_release(&file->lock);
}

void
object_file_get_metadata(ObjectFile *file, char **out_content_type, Metadata **out_metadata)
{
    lock_acquire(&file->lock);
    *out_content_type = g_strdup(file->content_type);
    *out_metadata = g_hash_table_ref(file->others);
    lock_release(&file->lock);
}

gboolean
object_file_is_dirty(ObjectFile *file)
{
    lock_acquire(&file->lock);
    gboolean dirty = object_file_needs_publication_locked(file);
    lock_release(&file->lock);
    return dirty;
}

gboolean
object_file_is_dropped(ObjectFile *file)
{
    lock_acquire(&file->lock);
    gboolean dropped = file->dropped || file->parked;
    lock_release(&file->lock);
    return dropped;
}

/* Under the token. */
static gboolean
resize(ObjectFile *file, guint64 size_bytes, GError **error)
{
    guint64 before = extent_map_get_size(file->extents);
    /* What is cut off must not come back when the file grows again: the map knows; this frees the disk. */
    gboolean ok = file->staging == NULL || size_bytes >= before ||
                  (object_file_protect(file, size_bytes, G_MAXINT64, error) &&
                   staging_file_truncate(file->staging, size_bytes, error));
    lock_acquire(&file->lock);
    if (ok && size_bytes != before) {
        extent_map_resize(file->extents, size_bytes);
        object_file_touch_locked(file);
        stream_upload_note_change_locked(file, MIN(before, size_bytes), G_MAXUINT64);
        object_file_settle_space_locked(file);
    }
    lock_release(&file->lock);
    return ok;
}

gboolean
object_file_truncate(ObjectFile *file, Call *call, guint64 size_bytes, GError **error)
{
    if (!object_file_check_size(file, size_bytes, 0, error) || !object_file_begin_change(file, call, error))
        return FALSE;
    gboolean ok = resize(file, size_bytes, error);
    end_change(file);
    return ok;
}

gboolean
object_file_grow(ObjectFile *file, Call *call, guint64 size_bytes, GError **error)
{
    if (!object_file_check_size(file, size_bytes, 0, error) || !object_file_begin_change(file, call, error))
        return FALSE;
    gboolean ok = size_bytes <= extent_map_get_size(file->extents) || resize(file, size_bytes, error);
    end_change(file);
    return ok;
}

void
object_file_set_attributes(ObjectFile *file, unsigned valid, const FileAttributes *attributes)
{
    lock_acquire(&file->lock);
    if (!object_file_needs_publication_locked(file))
        file->dirty_since_us = g_get_monotonic_time();
    if (valid & FILE_SET_MODE)
        file->attributes.mode = (file->attributes.mode & S_IFMT) | (attributes->mode & 07777);
    if (valid & FILE_SET_UID)
        file->attributes.uid = attributes->uid;
    if (valid & FILE_SET_GID)
        file->attributes.gid = attributes->gid;
    if (valid & FILE_SET_TIMES)
        file->attributes.mtime_ns = attributes->mtime_ns;
    file->explicit_attributes |= valid;
    file->attributes_dirty = TRUE;
    file->attribute_changes++;
    lock_release(&file->lock);
}

/* Names that are not the user's stay as they are. */
static Metadata *
replace_others(Metadata *before, Metadata *others)
{
    Metadata *merged = metadata_new();
    GHashTableIter iter;
    gpointer name = NULL, value = NULL;
    g_hash_table_iter_init(&iter, before);
    while (g_hash_table_iter_next(&iter, &name, &value)) {
        if (attributes_is_reserved(name))
            g_hash_table_insert(merged, g_strdup(name), g_strdup(value));
    }
    g_hash_table_iter_init(&iter, others);
    while (g_hash_table_iter_next(&iter, &name, &value)) {
        if (!attributes_is_reserved(name))
            g_hash_table_insert(merged, g_strdup(name), g_strdup(value));
    }
    return merged;
}

void
object_file_set_metadata(ObjectFile *file, const char *content_type, Metadata *others)
{
    lock_acquire(&file->lock);
    if (!object_file_needs_publication_locked(file))
        file->dirty_since_us = g_get_monotonic_time();
    Metadata *merged = replace_others(file->others, others);
    g_hash_table_unref(file->others);
    file->others = merged;
    if (content_type != NULL) {
        g_free(file->content_type);
        file->content_type = g_strdup(content_type);
    }
    /* Not among attributes, yet stored the same way and asked for explicitly. */
    file->explicit_attributes |= FILE_SET_MODE;
    file->attributes_dirty = TRUE;
    file->attribute_changes++;
    lock_release(&file->lock);
}

/* What of it is to be published, and not here. */
static guint64
count_remote_bytes(ObjectFile *file)
{
    guint64 total = 0;
    Extent extent;
    lock_acquire(&file->lock);
    if (object_file_needs_publication_locked(file))
        for (guint64 at = 0; extent_map_find(file->extents, at, &extent); at += extent.length_bytes)
            total += extent.kind == EXTENT_VERSION ? extent.length_bytes : 0;
    lock_release(&file->lock);
    return total;
}

gboolean
object_file_detach(ObjectFile *file, Call *call, GError **error)
{
    guint64 bytes = object_file_uses_journal(file) ? count_remote_bytes(file) : 0;
    if (bytes > 0 && !object_file_take_space(file, call, bytes, error))
        return FALSE;
    if (!object_file_begin_change(file, call, error))
        return FALSE;
    gboolean ok = file_content_stage(file, call, 0, extent_map_get_size(file->extents), error);
    lock_acquire(&file->lock);
    object_file_settle_space_locked(file);
    object_file_end_change_locked(file);
    lock_release(&file->lock);
    return ok;
}

UploadStatus *
object_file_new_status(ObjectFile *file)
{
    UploadStatus *status = NULL;
    lock_acquire(&file->lock);
    gboolean needed = object_file_needs_publication_locked(file);
    if (needed || file->entry != NULL) {
        status = g_new0(UploadStatus, 1);
        status->storage = g_strdup(storage_get_name(object_file_get_storage(file)));
        status->container = g_strdup(file->container);
        status->key = g_strdup(file->key);
        status->state = file->publishing || !needed ? UPLOAD_PUBLISHING : UPLOAD_WRITING;
        status->size_bytes = extent_map_get_size(file->extents);
        status->sent_bytes = stream_upload_get_sent_bytes_locked(file);
        status->age_us = g_get_monotonic_time() - file->dirty_since_us;
        status->attempts = file->attempts;
        status->last_error = file->failure != NULL ? g_strdup(file->failure->message) : NULL;
        if (file->entry != NULL && !file->publishing && needed && object_file_is_committed_locked(file))
            journal_entry_fill_status(file->entry, status);
        else if (file->entry != NULL)
            status->id = g_strdup_printf("%016" G_GINT64_MODIFIER "x", journal_entry_get_id(file->entry));
    }
    lock_release(&file->lock);
    return status;
}

void
object_file_count(ObjectFile *file, guint *inout_open, guint64 *inout_staged_bytes)
{
    lock_acquire(&file->lock);
    *inout_open += file->handles > 0;
    *inout_staged_bytes += extent_map_get_local_bytes(file->extents);
    lock_release(&file->lock);
}
