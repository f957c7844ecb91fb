/* Where an ObjectFile will be stored: renamed, dropped, or put in another one's place. */
#include "src/base/error.h"
#include "src/base/log.h"
#include "src/object/object_file.h"
#include "src/object/object_file_state.h"
#include "src/object/stream_upload.h"

static void
end_change(ObjectFile *file)
{
    lock_acquire(&file->lock);
    object_file_end_change_locked(file);
    lock_release(&file->lock);
}

static void
set_name_locked(ObjectFile *file, const char *container, const char *key)
{
    char *old_container = file->container, *old_key = file->key;
    file->container = g_strdup(container);
    file->key = g_strdup(key);
    g_free(old_container);
    g_free(old_key);
}

static void
move_locked(ObjectFile *file, const char *container, const char *key, const ObjectInfo *moved)
{
    set_name_locked(file, container, key);
    if (moved == NULL || file->base == NULL)
        return;
    object_version_move(file->base, container, key, moved->etag);
    object_info_clear(&file->info);
    object_info_copy(&file->info, moved);
    file->info.size_bytes = object_version_get_size(file->base);
}

static gboolean
is_at(ObjectFile *file, const char *etag, gboolean is_stored)
{
    return is_stored ? g_strcmp0(file->info.etag, etag) == 0 : file->base == NULL;
}

static gboolean
fail_published(const char *container, const char *key, GError **error)
{
    g_set_error(error, STORAGEFS_ERROR, ERROR_CHANGED, "%s/%s: was published while it was renamed", container,
                key);
    return FALSE;
}

gboolean
object_file_move(ObjectFile *file, Call *call, const char *container, const char *key,
                 const char *copied_etag, const ObjectInfo *moved, GError **error)
{
    g_auto(ObjectInfo) found = {0};
    if (!object_file_begin_change(file, call, error))
        return FALSE;
    /* What was stored without our knowledge would stay behind under the old name. */
    gboolean ok = object_file_settle_held_doubt(file, call, &found, error) &&
                  (is_at(file, copied_etag, moved != NULL) || fail_published(container, key, error));
    if (ok) {
        /* Parts that went out belong to the old name. */
        stream_upload_abandon(file);
        lock_acquire(&file->lock);
        move_locked(file, container, key, moved);
        lock_release(&file->lock);
        ok = object_file_rename_record(file, error);
    }
    end_change(file);
    object_file_tell_published(file, &found);
    return ok;
}

/* Under the token. */
static gboolean
take_place(ObjectFile *file, const char *container, const char *key, const ObjectInfo *replaced,
           const GPtrArray *prospects, GError **error)
{
    g_autoptr(ObjectVersion) base =
        replaced == NULL ? NULL
                         : object_version_get(file->store->versions, object_file_get_storage(file), container,
                                              key, replaced->etag, replaced->size_bytes);
    lock_acquire(&file->lock);
    g_autofree char *old_container = g_strdup(file->container), *old_key = g_strdup(file->key);
    set_name_locked(file, container, key);
    if (base != NULL) {
        file->base = object_version_ref(base);
        object_info_copy(&file->info, replaced);
        file->content_dirty = TRUE;
        file->exclusive = FALSE;
    }
    lock_release(&file->lock);
    object_file_inherit_doubts(file, prospects);
    if (object_file_rename_record(file, error))
        return TRUE;
    object_file_inherit_doubts(file, NULL);
    lock_acquire(&file->lock);
    set_name_locked(file, old_container, old_key);
    g_clear_pointer(&file->base, object_version_unref);
    object_info_clear(&file->info);
    file->info = (ObjectInfo){0};
    lock_release(&file->lock);
    return FALSE;
}

gboolean
object_file_take_place(ObjectFile *file, Call *call, const char *container, const char *key,
                       const ObjectInfo *replaced, const GPtrArray *prospects, GError **error)
{
    g_auto(ObjectInfo) found = {0};
    if (!object_file_begin_change(file, call, error))
        return FALSE;
    gboolean ok = object_file_settle_held_doubt(file, call, &found, error) &&
                  (file->base == NULL || fail_published(container, key, error));
    stream_upload_abandon(file);
    ok = ok && take_place(file, container, key, replaced, prospects, error);
    end_change(file);
    object_file_tell_published(file, &found);
    return ok;
}

void
object_file_end_publishing(ObjectFile *file)
{
    lock_acquire(&file->lock);
    file->dropped = TRUE;
    g_autoptr(Call) call = file->publication_call != NULL ? call_ref(file->publication_call) : NULL;
    lock_release(&file->lock);
    if (call != NULL)
        call_cancel(call);
    lock_acquire(&file->lock);
    while (file->publishing)
        condition_wait(&file->changed, &file->lock, 0);
    lock_release(&file->lock);
    stream_upload_abandon(file);
}

void
object_file_drop(ObjectFile *file)
{
    object_file_end_publishing(file);
    if (object_file_is_waiting(file))
        object_file_drop_record(file);
}

void
object_file_discard(ObjectFile *file)
{
    lock_acquire(&file->lock);
    file->releasing++;
    lock_release(&file->lock);
    object_file_drop(file);
    if (file->events.released != NULL)
        file->events.released(file->events.owner, file->events.subject, file);
    else
        object_file_end_release(file);
}
