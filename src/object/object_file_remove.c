/* The removal of what waits in the journal and replaces a stored object, and what is to be known of an open
 * one whose object is deleted later.
 *
 * The record says so before the stored version is deleted, because it would be left behind on top of nothing
 * if the process died before the record went too, or if nobody answered. Whoever wants to store it next
 * looks, and drops it when the object is gone.
 */
#include "src/base/error.h"
#include "src/base/log.h"
#include "src/object/object_file.h"
#include "src/object/object_file_state.h"

/* Under the token. A full disk does not keep anybody from removing files. */
static gboolean
begin_deletion(ObjectFile *file, GError **error)
{
    g_autoptr(GError) failure = NULL;
    if (object_file_note_deletion(file, TRUE, &failure))
        return TRUE;
    if (error_is(failure, ERROR_NO_SPACE)) {
        log_warning("%s", failure->message);
        return TRUE;
    }
    g_propagate_error(error, g_steal_pointer(&failure));
    return FALSE;
}

/* Under the token. */
static gboolean
delete_stored(ObjectFile *file, const ObjectFileDeletion *deletion, GError **error)
{
    g_autoptr(GError) failure = NULL, refusal = NULL;
    lock_acquire(&file->lock);
    g_autofree char *etag = g_strdup(file->info.etag);
    lock_release(&file->lock);
    if (etag == NULL)
        return TRUE;
    if (!begin_deletion(file, error))
        return FALSE;
    if (deletion->run(deletion->data, etag, &refusal))
        return TRUE;
    if (!error_leaves_doubt(refusal) && !object_file_note_deletion(file, FALSE, &failure))
        log_error("%s", failure->message);
    g_propagate_error(error, g_steal_pointer(&refusal));
    return FALSE;
}

gboolean
object_file_remove(ObjectFile *file, Call *call, const ObjectFileDeletion *deletion, GError **error)
{
    g_auto(ObjectInfo) found = {0};
    if (!object_file_begin_change(file, call, error))
        return FALSE;
    gboolean ok =
        object_file_settle_held_doubt(file, call, &found, error) && delete_stored(file, deletion, error);
    lock_acquire(&file->lock);
    file->dropped = file->dropped || ok;
    object_file_end_change_locked(file);
    lock_release(&file->lock);
    if (ok)
        object_file_drop(file);
    else
        object_file_tell_published(file, &found);
    return ok;
}

/* Under the token. *out_gone: nothing is stored under the name. */
static gboolean
look_for_stored(ObjectFile *file, Call *call, gboolean *out_gone, GError **error)
{
    g_autoptr(GError) failure = NULL;
    g_auto(ObjectInfo) found = {0};
    if (storage_stat_object(object_file_get_storage(file), call, file->container, file->key, &found,
                            &failure))
        return object_file_note_deletion(file, FALSE, error);
    *out_gone = error_is(failure, ERROR_NOT_FOUND);
    if (*out_gone)
        return TRUE;
    g_propagate_error(error, g_steal_pointer(&failure));
    return FALSE;
}

/* FALSE: somebody has it open. With the lock held. */
static gboolean
take_removal_locked(ObjectFile *file)
{
    if (file->handles > 0 || !object_file_is_committed_locked(file))
        return FALSE;
    file->dropped = TRUE;
    object_info_clear(&file->info);
    file->info = (ObjectInfo){0};
    return TRUE;
}

/* The answer may change until it is asked under the token. */
static gboolean
is_being_removed(ObjectFile *file)
{
    lock_acquire(&file->lock);
    gboolean is = file->entry != NULL && file->committed->deleting;
    lock_release(&file->lock);
    return is;
}

gboolean
object_file_finish_removal(ObjectFile *file, Call *call, gboolean *out_removed, GError **error)
{
    gboolean gone = FALSE;
    *out_removed = FALSE;
    if (!is_being_removed(file))
        return TRUE;
    if (!object_file_begin_change(file, call, error))
        return FALSE;
    gboolean ok = !is_being_removed(file) || look_for_stored(file, call, &gone, error);
    lock_acquire(&file->lock);
    *out_removed = gone && take_removal_locked(file);
    object_file_end_change_locked(file);
    lock_release(&file->lock);
    if (*out_removed) {
        log_info("%s/%s: its removal is finished", file->container, file->key);
        object_file_discard(file);
    } else if (gone) {
        g_set_error(error, STORAGEFS_ERROR, ERROR_IO, "%s/%s was being removed, and is open", file->container,
                    file->key);
        return FALSE;
    }
    return ok;
}

JournalRecord *
object_file_make_removal(ObjectFile *file)
{
    g_auto(ObjectInfo) stored = {0};
    g_autoptr(GPtrArray) prospects = object_file_list_prospects(file, &stored);
    if (stored.etag == NULL && prospects->len == 0)
        return NULL;
    JournalRecord *removal = journal_record_new();
    removal->deleting = TRUE;
    removal->since_us = g_get_real_time();
    removal->storage = g_strdup(storage_get_name(object_file_get_storage(file)));
    removal->place = g_strdup(storage_get_place(object_file_get_storage(file)));
    lock_acquire(&file->lock);
    removal->container = g_strdup(file->container);
    removal->key = g_strdup(file->key);
    lock_release(&file->lock);
    removal->has_base = stored.etag != NULL;
    removal->base.etag = g_strdup(stored.etag);
    for (guint i = 0; i < MIN(prospects->len, JOURNAL_MAXIMUM_ATTEMPTS); i++)
        g_ptr_array_add(removal->earlier, attempt_ref(prospects->pdata[i]));
    return removal;
}

gboolean
object_file_is_removed(const JournalRecord *removal, const ObjectInfo *found)
{
    gboolean is = removal->base.etag != NULL && g_strcmp0(removal->base.etag, found->etag) == 0;
    for (guint i = 0; !is && found->metadata != NULL && i < removal->earlier->len; i++)
        is = attempt_matches(removal->earlier->pdata[i], found);
    return is;
}

gboolean
object_file_may_be_removed(const JournalRecord *removal, const ObjectInfo *found)
{
    gboolean may_be = object_file_is_removed(removal, found);
    for (guint i = 0; !may_be && found->metadata == NULL && i < removal->earlier->len; i++)
        may_be = ((Attempt *)removal->earlier->pdata[i])->size_bytes == found->size_bytes;
    return may_be;
}
