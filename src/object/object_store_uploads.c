/* What waits or is parked, for the user: listed, tried again, saved elsewhere, dropped. */
#include "src/base/error.h"
#include "src/object/file_content.h"
#include "src/object/object_file_state.h"
#include "src/object/object_store.h"
#include "src/object/object_store_private.h"
#include "src/object/recovery.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define COPY_BYTES (1u << 20)

static void
upload_status_free(gpointer data)
{
    UploadStatus *status = data;
    g_free(status->id);
    g_free(status->storage);
    g_free(status->container);
    g_free(status->key);
    g_free(status->last_error);
    g_free(status->recovery_path);
    g_free(status);
}

GPtrArray *
object_store_list_uploads(ObjectStore *store)
{
    GPtrArray *list = g_ptr_array_new_with_free_func(upload_status_free);
    lock_acquire(&store->files_lock);
    for (GList *item = store->files.head; item != NULL; item = item->next) {
        UploadStatus *status = object_file_new_status(item->data);
        if (status != NULL)
            g_ptr_array_add(list, status);
    }
    lock_release(&store->files_lock);
    if (store->journal != NULL)
        journal_list_strays(store->journal, list);
    recovery_list(store->recovery_dir, list);
    return list;
}

/* A reference, or NULL: it is no entry with a file. */
static ObjectFile *
find_file(ObjectStore *store, const char *id)
{
    char *end = NULL;
    guint64 number = g_ascii_strtoull(id, &end, 16);
    return store->journal != NULL && strlen(id) == 16 && *end == '\0' ? journal_find(store->journal, number)
                                                                      : NULL;
}

static gboolean
fail_unknown(const char *id, GError **error)
{
    g_set_error(error, STORAGEFS_ERROR, ERROR_NOT_FOUND, "nothing waits under the number %s", id);
    return FALSE;
}

gboolean
object_store_retry_upload(ObjectStore *store, const char *id, GError **error)
{
    g_autoptr(ObjectFile) file = find_file(store, id);
    if (file == NULL)
        return fail_unknown(id, error);
    lock_acquire(&file->lock);
    /* The next attempt asks the storage anew. */
    if (file->entry != NULL && !file->publishing)
        file->lost = FALSE;
    if (file->entry != NULL)
        journal_retry(file->entry);
    lock_release(&file->lock);
    return TRUE;
}

gboolean
object_store_drop_upload(ObjectStore *store, const char *id, GError **error)
{
    g_autoptr(ObjectFile) file = find_file(store, id);
    if (file == NULL) {
        if (recovery_is_id(id))
            return recovery_drop(store->recovery_dir, id, error);
        return store->journal != NULL ? journal_drop_stray(store->journal, id, error)
                                      : fail_unknown(id, error);
    }
    object_file_discard(file);
    return TRUE;
}

static gboolean
write_all(int fd, const guint8 *data, gsize length_bytes, guint64 offset, GError **error)
{
    while (length_bytes > 0) {
        ssize_t written = pwrite(fd, data, length_bytes, (off_t)offset);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return error_set_errno(error, written < 0 ? errno : EIO, "write");
        data += written;
        length_bytes -= (gsize)written;
        offset += (guint64)written;
    }
    return TRUE;
}

/* What is not here is fetched while the storage has it. */
static gboolean
export_file(ObjectFile *file, Call *call, int fd, GError **error)
{
    g_autofree guint8 *buffer = g_malloc(COPY_BYTES);
    if (!object_file_begin_change(file, call, error))
        return FALSE;
    guint64 size_bytes = extent_map_get_size(file->extents);
    gboolean ok = TRUE;
    for (guint64 at = 0; at < size_bytes && ok; at += COPY_BYTES) {
        gsize piece = (gsize)MIN(COPY_BYTES, size_bytes - at);
        ok = file_content_read(file, call, at, buffer, piece, error) &&
             write_all(fd, buffer, piece, at, error);
    }
    lock_acquire(&file->lock);
    object_file_end_change_locked(file);
    lock_release(&file->lock);
    return ok;
}

static gboolean
export_to(ObjectStore *store, Call *call, const char *id, int fd, GError **error)
{
    g_autoptr(ObjectFile) file = find_file(store, id);
    gboolean ok = FALSE;
    if (file != NULL)
        ok = export_file(file, call, fd, error);
    else if (recovery_is_id(id))
        ok = recovery_export(store->recovery_dir, id, fd, error);
    else if (store->journal != NULL)
        ok = journal_export_stray(store->journal, id, fd, error);
    else
        fail_unknown(id, error);
    return ok && (fsync(fd) == 0 || error_set_errno(error, errno, "fsync"));
}

/* The file's name: what was exported may be dropped next. */
static gboolean
sync_parent(const char *path, GError **error)
{
    g_autofree char *parent = g_path_get_dirname(path);
    int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    gboolean ok = (fd >= 0 && (fsync(fd) == 0 || errno == EINVAL)) || error_set_errno(error, errno, "fsync");
    if (fd >= 0)
        close(fd);
    return ok;
}

gboolean
object_store_export_upload(ObjectStore *store, Call *call, const char *id, const char *path, GError **error)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return error_set_errno(error, errno, "%s", path);
    g_autoptr(Call) long_call = call_new_without_deadline(call);
    gboolean ok = export_to(store, long_call, id, fd, error) && sync_parent(path, error);
    close(fd);
    if (ok)
        return TRUE;
    g_prefix_error(error, "%s: ", path);
    unlink(path);
    return FALSE;
}

JournalRecord *
object_store_take_record(ObjectStore *store)
{
    return store->journal != NULL ? journal_take_loaded(store->journal) : NULL;
}

void
object_store_add_stray(ObjectStore *store, JournalRecord *record, const char *why)
{
    journal_add_stray(store->journal, record, why);
}

static GPtrArray *
list_files(ObjectStore *store)
{
    GPtrArray *files = g_ptr_array_new_with_free_func((GDestroyNotify)object_file_unref);
    lock_acquire(&store->files_lock);
    for (GList *item = store->files.head; item != NULL; item = item->next)
        if (object_file_ref_if_alive(item->data))
            g_ptr_array_add(files, item->data);
    lock_release(&store->files_lock);
    return files;
}

void
object_store_rebind(ObjectStore *store, Storage *storage)
{
    if (store->journal == NULL)
        return;
    g_autoptr(GPtrArray) files = list_files(store);
    for (guint i = 0; i < files->len; i++) {
        Storage *before = object_file_get_storage(files->pdata[i]);
        if (before != storage && strcmp(storage_get_name(before), storage_get_name(storage)) == 0 &&
            strcmp(storage_get_place(before), storage_get_place(storage)) == 0 &&
            object_file_is_journalled(files->pdata[i]))
            object_file_rebind(files->pdata[i], storage);
    }
}

void
object_store_recall_strays(ObjectStore *store, Storage *storage)
{
    if (store->journal != NULL)
        journal_recall_strays(store->journal, storage);
}

void
object_store_start_journal(ObjectStore *store)
{
    if (store->journal != NULL)
        journal_start(store->journal);
}

void
object_store_hurry_uploads(ObjectStore *store)
{
    if (store->journal != NULL)
        journal_hurry(store->journal);
}

void
object_store_leave_uploads(ObjectStore *store)
{
    g_atomic_int_set(&store->leaves, TRUE);
}

void
object_store_end_journal(ObjectStore *store, Call *call)
{
    if (store->journal == NULL)
        return;
    if (!g_atomic_int_get(&store->leaves))
        journal_drain(store->journal, call);
    journal_stop(store->journal);
}

gboolean
object_store_has_journal(ObjectStore *store)
{
    return store->journal != NULL;
}
