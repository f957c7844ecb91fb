/* Records whose storage is not there, or another one by now, or whose data could not be had, and what could
 * not be read: kept, listed, exported, dropped, but not stored while that lasts.
 */
#include "src/object/journal.h"

#include "src/base/error.h"
#include "src/base/log.h"
#include "src/object/journal_state.h"
#include "src/object/staging_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define UNREADABLE "unreadable/"

void
journal_add_stray(Journal *journal, JournalRecord *record, const char *why)
{
    JournalStray *stray = g_new(JournalStray, 1);
    *stray = (JournalStray){record, g_strdup(why)};
    log_error("%s/%s/%s: kept in the journal, cannot be stored: %s", record->storage, record->container,
              record->key, why);
    lock_acquire(&journal->lock);
    journal->used_bytes += journal_record_get_local_bytes(record);
    g_ptr_array_add(journal->strays, stray);
    lock_release(&journal->lock);
}

static gboolean
is_of_storage(const JournalStray *stray, Storage *storage)
{
    return strcmp(stray->record->storage, storage_get_name(storage)) == 0 &&
           strcmp(stray->record->place, storage_get_place(storage)) == 0;
}

void
journal_recall_strays(Journal *journal, Storage *storage)
{
    lock_acquire(&journal->lock);
    for (guint i = journal->strays->len; i-- > 0;) {
        JournalStray *stray = journal->strays->pdata[i];
        if (!is_of_storage(stray, storage))
            continue;
        g_ptr_array_steal_index(journal->strays, i);
        journal->used_bytes -= MIN(journal_record_get_local_bytes(stray->record), journal->used_bytes);
        g_ptr_array_insert(journal->loaded, 0, stray->record);
        g_free(stray->why);
        g_free(stray);
    }
    lock_release(&journal->lock);
}

static char *
make_id(const JournalStray *stray)
{
    return g_strdup_printf("%016" G_GINT64_MODIFIER "x", stray->record->id);
}

static void
list_unreadable(Journal *journal, GPtrArray *out)
{
    g_autoptr(GPtrArray) names = journal_folder_list_unreadable(journal->folder);
    for (guint i = 0; i < names->len; i++) {
        struct stat status = {0};
        UploadStatus *upload = g_new0(UploadStatus, 1);
        upload->id = g_strconcat(UNREADABLE, names->pdata[i], NULL);
        upload->recovery_path = g_build_filename(journal_folder_get_path(journal->folder), upload->id, NULL);
        if (lstat(upload->recovery_path, &status) == 0)
            upload->size_bytes = (guint64)status.st_size;
        upload->storage = g_strdup("");
        upload->container = g_strdup("");
        upload->key = g_strdup(names->pdata[i]);
        upload->state = UPLOAD_PARKED;
        upload->age_us = MAX(0, g_get_real_time() - status.st_mtim.tv_sec * G_USEC_PER_SEC);
        upload->last_error = g_strdup("this file of the journal cannot be read");
        g_ptr_array_add(out, upload);
    }
}

void
journal_list_strays(Journal *journal, GPtrArray *out)
{
    lock_acquire(&journal->lock);
    for (guint i = 0; i < journal->strays->len; i++) {
        const JournalStray *stray = journal->strays->pdata[i];
        const JournalRecord *record = stray->record;
        UploadStatus *upload = g_new0(UploadStatus, 1);
        upload->id = make_id(stray);
        upload->storage = g_strdup(record->storage);
        upload->container = g_strdup(record->container);
        upload->key = g_strdup(record->key);
        upload->state = UPLOAD_PARKED;
        upload->size_bytes = record->attributes.size_bytes;
        upload->age_us = MAX(0, g_get_real_time() - record->since_us);
        upload->attempts = record->attempts;
        upload->last_error = g_strdup(stray->why);
        g_ptr_array_add(out, upload);
    }
    lock_release(&journal->lock);
    list_unreadable(journal, out);
}

static gboolean
fail_unknown(const char *id, GError **error)
{
    g_set_error(error, STORAGEFS_ERROR, ERROR_NOT_FOUND, "the journal has no entry %s", id);
    return FALSE;
}

/* Out of the list while something is done with it. */
static JournalStray *
take_stray(Journal *journal, const char *id)
{
    JournalStray *found = NULL;
    lock_acquire(&journal->lock);
    for (guint i = 0; i < journal->strays->len && found == NULL; i++) {
        g_autofree char *own_id = make_id(journal->strays->pdata[i]);
        if (strcmp(own_id, id) == 0)
            found = g_ptr_array_steal_index(journal->strays, i);
    }
    lock_release(&journal->lock);
    return found;
}

static void
put_back(Journal *journal, JournalStray *stray)
{
    lock_acquire(&journal->lock);
    g_ptr_array_add(journal->strays, stray);
    lock_release(&journal->lock);
}

/* It is in the journal no more. */
static void
end_stray(Journal *journal, JournalStray *stray)
{
    journal_give_space(journal, journal_record_get_local_bytes(stray->record));
    journal_record_free(stray->record);
    g_free(stray->why);
    g_free(stray);
}

/* NULL when it is none, or tries to be another path. */
static const char *
get_unreadable_name(const char *id)
{
    const char *name = id + strlen(UNREADABLE);
    gboolean good = g_str_has_prefix(id, UNREADABLE) && *name != '.' && strchr(name, '/') == NULL;
    return good ? name : NULL;
}

gboolean
journal_drop_stray(Journal *journal, const char *id, GError **error)
{
    if (get_unreadable_name(id) != NULL)
        return unlinkat(journal_folder_get_fd(journal->folder), id, 0) == 0 ||
               error_set_errno(error, errno, "journal %s", id);
    JournalStray *stray = take_stray(journal, id);
    if (stray == NULL)
        return fail_unknown(id, error);
    if (!journal_folder_remove(journal->folder, stray->record, error)) {
        put_back(journal, stray);
        return FALSE;
    }
    end_stray(journal, stray);
    return TRUE;
}

static JournalStray *
take_same_object(Journal *journal, const JournalRecord *record)
{
    JournalStray *found = NULL;
    lock_acquire(&journal->lock);
    for (guint i = 0; i < journal->strays->len && found == NULL; i++) {
        const JournalStray *stray = journal->strays->pdata[i];
        if (stray->record->id != record->id && journal_record_is_same_object(stray->record, record))
            found = g_ptr_array_steal_index(journal->strays, i);
    }
    lock_release(&journal->lock);
    return found;
}

gboolean
journal_yield_strays(Journal *journal, const JournalRecord *record, GError **error)
{
    JournalStray *stray;
    while ((stray = take_same_object(journal, record)) != NULL) {
        if (!journal_folder_set_aside(journal->folder, stray->record, error)) {
            put_back(journal, stray);
            return FALSE;
        }
        end_stray(journal, stray);
    }
    return TRUE;
}

static gboolean
write_bytes(int fd, const guint8 *data, guint64 length_bytes, guint64 offset, GError **error)
{
    while (length_bytes > 0) {
        ssize_t written = pwrite(fd, data, (gsize)MIN(length_bytes, 1u << 30), (off_t)offset);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return error_set_errno(error, written < 0 ? errno : EIO, "write");
        data += written;
        length_bytes -= (guint64)written;
        offset += (guint64)written;
    }
    return TRUE;
}

static gboolean
export_extents(const JournalRecord *record, StagingFile *staging, int fd, GError **error)
{
    const guint8 *bytes = record->bytes != NULL ? g_bytes_get_data(record->bytes, NULL) : NULL;
    for (guint i = 0; i < record->extents->len; i++) {
        const JournalExtent *extent = &g_array_index(record->extents, JournalExtent, i);
        if (extent->kind != JOURNAL_EXTENT_DATA)
            continue;
        gboolean ok = staging != NULL ? staging_file_copy_to_fd(staging, extent->offset, fd, extent->offset,
                                                                extent->length_bytes, error)
                                      : write_bytes(fd, bytes, extent->length_bytes, extent->offset, error);
        if (!ok)
            return FALSE;
        bytes += bytes != NULL ? extent->length_bytes : 0;
    }
    return ftruncate(fd, (off_t)record->attributes.size_bytes) == 0 ||
           error_set_errno(error, errno, "truncate");
}

static gboolean
export_record(Journal *journal, const JournalRecord *record, int fd, GError **error)
{
    g_autoptr(StagingFile) staging = NULL;
    if (record->data_name != NULL) {
        staging = staging_file_open(journal_folder_get_path(journal->folder), NULL, record->data_name, error);
        if (staging == NULL)
            return FALSE;
    }
    return export_extents(record, staging, fd, error);
}

static gboolean
export_unreadable(Journal *journal, const char *id, int fd, GError **error)
{
    g_autoptr(StagingFile) staging =
        staging_file_open(journal_folder_get_path(journal->folder), NULL, id, error);
    struct stat status;
    g_autofree char *path = g_build_filename(journal_folder_get_path(journal->folder), id, NULL);
    if (staging == NULL)
        return FALSE;
    if (lstat(path, &status) != 0)
        return error_set_errno(error, errno, "%s", path);
    return staging_file_copy_to_fd(staging, 0, fd, 0, (guint64)status.st_size, error);
}

gboolean
journal_export_stray(Journal *journal, const char *id, int fd, GError **error)
{
    if (get_unreadable_name(id) != NULL)
        return export_unreadable(journal, id, fd, error);
    JournalStray *stray = take_stray(journal, id);
    if (stray == NULL)
        return fail_unknown(id, error);
    gboolean ok = export_record(journal, stray->record, fd, error);
    put_back(journal, stray);
    return ok;
}
