#include "src/object/journal_folder.h"

#include "src/base/error.h"
#include "src/base/lock.h"
#include "src/base/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define RECORD_SUFFIX ".record"
#define DATA_SUFFIX ".data"
#define UNREADABLE "unreadable"
#define MAXIMUM_RECORD_BYTES (256u << 20)
#define LOCK_POLL_US (50 * 1000)

typedef struct SyncTurn SyncTurn;

struct JournalFolder {
    char *path;
    int fd, lock_fd;
    Lock lock; /* a leaf */
    Condition synced_some;
    guint64 last_id, last_sequence;
    /* Group commit: what the next fsync is for (NULL: nothing), and whether a thread is at one. */
    SyncTurn *next;
    gboolean syncing;
};

static gboolean
take_lock(JournalFolder *folder, gint64 wait_us, GError **error)
{
    gint64 deadline_us = g_get_monotonic_time() + wait_us;
    while (flock(folder->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            return error_set_errno(error, errno, "journal %s", folder->path);
        if (g_get_monotonic_time() >= deadline_us) {
            g_set_error(error, STORAGEFS_ERROR, ERROR_NOT_PERMITTED,
                        "journal %s: another storagefs uses it: wait for its end, or name another state_dir",
                        folder->path);
            return FALSE;
        }
        g_usleep(LOCK_POLL_US);
    }
    return TRUE;
}

static gboolean
make_private(const char *path, GError **error)
{
    struct stat status;
    if (g_mkdir_with_parents(path, 0700) != 0 || lstat(path, &status) != 0)
        return error_set_errno(error, errno, "directory %s", path);
    if (!S_ISDIR(status.st_mode) || status.st_uid != geteuid()) {
        g_set_error(error, STORAGEFS_ERROR, ERROR_DENIED, "directory %s: not a directory of this user", path);
        return FALSE;
    }
    if ((status.st_mode & 077) != 0 && chmod(path, 0700) != 0)
        return error_set_errno(error, errno, "directory %s: mode 0700", path);
    return TRUE;
}

/* The directory's own name: else the first crash may lose it with all that is in it. */
static gboolean
sync_parent(const char *path, GError **error)
{
    g_autofree char *parent = g_path_get_dirname(path);
    int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    gboolean ok = (fd >= 0 && (fsync(fd) == 0 || errno == EINVAL)) ||
                  error_set_errno(error, errno, "directory %s", parent);
    if (fd >= 0)
        close(fd);
    return ok;
}

JournalFolder *
journal_folder_open(const char *path, gint64 wait_us, GError **error)
{
    if (!make_private(path, error) || !sync_parent(path, error))
        return NULL;
    g_autoptr(JournalFolder) folder = g_new0(JournalFolder, 1);
    folder->path = g_strdup(path);
    lock_init(&folder->lock);
    condition_init(&folder->synced_some);
    folder->lock_fd = -1;
    folder->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (folder->fd >= 0)
        folder->lock_fd = openat(folder->fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (folder->lock_fd < 0) {
        error_set_errno(error, errno, "journal %s", path);
        return NULL;
    }
    return take_lock(folder, wait_us, error) ? g_steal_pointer(&folder) : NULL;
}

void
journal_folder_close(JournalFolder *folder)
{
    if (folder == NULL)
        return;
    if (folder->lock_fd >= 0)
        close(folder->lock_fd);
    if (folder->fd >= 0)
        close(folder->fd);
    condition_clear(&folder->synced_some);
    lock_clear(&folder->lock);
    g_free(folder->path);
    g_free(folder);
}

const char *
journal_folder_get_path(const JournalFolder *folder)
{
    return folder->path;
}

int
journal_folder_get_fd(const JournalFolder *folder)
{
    return folder->fd;
}

guint64
journal_folder_take_id(JournalFolder *folder)
{
    lock_acquire(&folder->lock);
    guint64 id = ++folder->last_id;
    lock_release(&folder->lock);
    return id;
}

guint64
journal_folder_take_sequence(JournalFolder *folder)
{
    lock_acquire(&folder->lock);
    guint64 sequence = ++folder->last_sequence;
    lock_release(&folder->lock);
    return sequence;
}

static char *
make_record_name(guint64 id)
{
    return g_strdup_printf("%016" G_GINT64_MODIFIER "x" RECORD_SUFFIX, id);
}

/* Some file systems cannot be asked for it. */
static int
sync_names(int fd)
{
    return fsync(fd) == 0 || errno == EINVAL ? 0 : errno;
}

/* How the names of one turn got to disk; each who waits for it has a reference. */
struct SyncTurn {
    guint references;
    gboolean ended, failed;
};

static void
turn_unref_locked(SyncTurn *turn)
{
    if (--turn->references == 0)
        g_free(turn);
}

static void
run_turn_locked(JournalFolder *folder) REQUIRES(folder->lock)
{
    SyncTurn *turn = g_steal_pointer(&folder->next);
    folder->syncing = TRUE;
    lock_release(&folder->lock);
    int failure = sync_names(folder->fd);
    lock_acquire(&folder->lock);
    folder->syncing = FALSE;
    turn->ended = TRUE;
    turn->failed = failure != 0;
    condition_wake_all(&folder->synced_some);
}

/* Whoever comes first works for all that have come by then; what comes while he works waits for the next. */
static gboolean
sync_folder(JournalFolder *folder, GError **error)
{
    lock_acquire(&folder->lock);
    if (folder->next == NULL)
        folder->next = g_new0(SyncTurn, 1);
    SyncTurn *mine = folder->next;
    mine->references++;
    while (!mine->ended) {
        if (folder->syncing)
            condition_wait(&folder->synced_some, &folder->lock, 0);
        else
            run_turn_locked(folder);
    }
    gboolean ok = !mine->failed;
    turn_unref_locked(mine);
    lock_release(&folder->lock);
    return ok || error_set_errno(error, EIO, "journal %s: names could not be forced to disk", folder->path);
}

static gboolean
write_all(int fd, const guint8 *data, gsize length_bytes)
{
    while (length_bytes > 0) {
        ssize_t written = write(fd, data, length_bytes);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return FALSE;
        data += written;
        length_bytes -= (gsize)written;
    }
    return TRUE;
}

static gboolean
write_record(JournalFolder *folder, const JournalRecord *record, GError **error)
{
    g_autofree char *name = make_record_name(record->id);
    g_autofree char *fresh = g_strconcat(name, ".new", NULL);
    g_autoptr(GBytes) bytes = journal_record_encode(record);
    gsize length_bytes = 0;
    const guint8 *data = g_bytes_get_data(bytes, &length_bytes);
    int fd = openat(folder->fd, fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return error_set_errno(error, errno, "journal %s/%s", folder->path, fresh);
    gboolean ok = write_all(fd, data, length_bytes) && fsync(fd) == 0;
    int errnum = errno;
    close(fd);
    if (ok && renameat(folder->fd, fresh, folder->fd, name) == 0)
        return TRUE;
    errnum = ok ? errno : errnum;
    unlinkat(folder->fd, fresh, 0);
    return error_set_errno(error, errnum, "journal %s/%s", folder->path, name);
}

gboolean
journal_folder_write(JournalFolder *folder, const JournalRecord *record, gboolean *out_written,
                     GError **error)
{
    *out_written = write_record(folder, record, error);
    return *out_written && sync_folder(folder, error);
}

void
journal_folder_remove_data(JournalFolder *folder, const char *data_name)
{
    if (data_name != NULL && unlinkat(folder->fd, data_name, 0) != 0 && errno != ENOENT)
        log_warning("journal %s/%s: %s", folder->path, data_name, g_strerror(errno));
}

gboolean
journal_folder_remove(JournalFolder *folder, const JournalRecord *record, GError **error)
{
    g_autofree char *name = make_record_name(record->id);
    if (unlinkat(folder->fd, name, 0) != 0 && errno != ENOENT)
        return error_set_errno(error, errno, "journal %s/%s", folder->path, name);
    if (!sync_folder(folder, error))
        return FALSE;
    journal_folder_remove_data(folder, record->data_name);
    return TRUE;
}

static gint
compare_names(gconstpointer a, gconstpointer b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static gboolean
read_names(DIR *dir, const char *suffix, GPtrArray *names)
{
    const struct dirent *entry;
    for (errno = 0; (entry = readdir(dir)) != NULL; errno = 0)
        if (entry->d_name[0] != '.' && g_str_has_suffix(entry->d_name, suffix))
            g_ptr_array_add(names, g_strdup(entry->d_name));
    return errno == 0;
}

/* All names in `below` that end so, in order; NULL when it cannot be said that these are all. */
static GPtrArray *
list_names(JournalFolder *folder, const char *below, const char *suffix, GError **error)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    g_autofree char *path = g_build_filename(folder->path, below, NULL);
    DIR *dir = opendir(path);
    gboolean ok = dir != NULL && read_names(dir, suffix, names);
    if (!ok)
        error_set_errno(error, errno, "journal %s cannot be listed", path);
    if (dir != NULL)
        closedir(dir);
    g_ptr_array_sort(names, compare_names);
    return ok ? g_steal_pointer(&names) : NULL;
}

GPtrArray *
journal_folder_list_unreadable(JournalFolder *folder)
{
    g_autoptr(GError) error = NULL;
    GPtrArray *names = list_names(folder, UNREADABLE, "", &error);
    if (names != NULL)
        return names;
    if (error != NULL && !error_is(error, ERROR_NOT_FOUND))
        log_warning("%s", error->message);
    return g_ptr_array_new_with_free_func(g_free);
}

/* Under a name that is free: what lies there already may be another record of the same id. */
static gboolean
set_aside(JournalFolder *folder, const char *name, GError **error)
{
    g_autofree char *to = g_build_filename(UNREADABLE, name, NULL);
    if (mkdirat(folder->fd, UNREADABLE, 0700) != 0 && errno != EEXIST)
        return error_set_errno(error, errno, "journal %s/" UNREADABLE, folder->path);
    for (guint number = 1; renameat2(folder->fd, name, folder->fd, to, RENAME_NOREPLACE) != 0; number++) {
        if (errno != EEXIST)
            return error_set_errno(error, errno, "journal %s/%s", folder->path, name);
        g_free(to);
        to = g_strdup_printf(UNREADABLE "/%s.%u", name, number);
    }
    log_error("journal %s/%s is kept as %s", folder->path, name, to);
    return TRUE;
}

/* A record and all data files of its id: these first, because without a record in its place they would be
 * taken for ones that were being made. */
static gboolean
set_record_aside(JournalFolder *folder, const char *name, GError **error)
{
    g_autofree char *prefix = g_strndup(name, strlen(name) - strlen(RECORD_SUFFIX));
    g_autoptr(GPtrArray) data = list_names(folder, "", DATA_SUFFIX, error);
    if (data == NULL)
        return FALSE;
    for (guint i = 0; i < data->len; i++) {
        const char *data_name = data->pdata[i];
        if (g_str_has_prefix(data_name, prefix) && data_name[strlen(prefix)] == '-' &&
            !set_aside(folder, data_name, error))
            return FALSE;
    }
    return set_aside(folder, name, error);
}

gboolean
journal_folder_set_aside(JournalFolder *folder, const JournalRecord *record, GError **error)
{
    g_autofree char *name = make_record_name(record->id);
    return set_record_aside(folder, name, error) && sync_folder(folder, error);
}

static gboolean
has_data_file(JournalFolder *folder, const JournalRecord *record, GError **error)
{
    struct stat status;
    guint64 end = 0;
    if (record->data_name == NULL)
        return TRUE;
    for (guint i = 0; i < record->extents->len; i++) {
        const JournalExtent *extent = &g_array_index(record->extents, JournalExtent, i);
        if (extent->kind == JOURNAL_EXTENT_DATA)
            end = extent->offset + extent->length_bytes;
    }
    if (fstatat(folder->fd, record->data_name, &status, AT_SYMLINK_NOFOLLOW) != 0)
        return error_set_errno(error, errno, "its data file %s", record->data_name);
    if (S_ISREG(status.st_mode) && (guint64)status.st_size >= end)
        return TRUE;
    g_set_error(error, STORAGEFS_ERROR, ERROR_PROTOCOL, "its data file %s is too short", record->data_name);
    return FALSE;
}

static JournalRecord *
read_record(JournalFolder *folder, const char *name, GError **error)
{
    struct stat status;
    g_autofree char *path = g_build_filename(folder->path, name, NULL);
    g_autofree char *data = NULL;
    gsize length_bytes = 0;
    g_autoptr(GError) failure = NULL;
    if (lstat(path, &status) != 0 || !S_ISREG(status.st_mode) || status.st_size > MAXIMUM_RECORD_BYTES) {
        g_set_error(error, STORAGEFS_ERROR, ERROR_PROTOCOL, "not a file of a record's size");
        return NULL;
    }
    if (!g_file_get_contents(path, &data, &length_bytes, &failure)) {
        g_set_error(error, STORAGEFS_ERROR, ERROR_IO, "%s", failure->message);
        return NULL;
    }
    g_autoptr(JournalRecord) record = journal_record_decode(data, length_bytes, error);
    if (record == NULL || !has_data_file(folder, record, error))
        return NULL;
    g_autofree char *own_name = make_record_name(record->id);
    if (strcmp(own_name, name) == 0)
        return g_steal_pointer(&record);
    g_set_error(error, STORAGEFS_ERROR, ERROR_PROTOCOL, "it is the record of another file, %s", own_name);
    return NULL;
}

static gint
compare_records(gconstpointer a, gconstpointer b)
{
    const JournalRecord *x = *(JournalRecord *const *)a, *y = *(JournalRecord *const *)b;
    gint order = strcmp(x->storage, y->storage);
    order = order != 0 ? order : strcmp(x->container, y->container);
    order = order != 0 ? order : strcmp(x->key, y->key);
    order = order != 0 ? order : strcmp(x->place, y->place);
    return order != 0 ? order : x->sequence < y->sequence ? -1 : x->sequence > y->sequence;
}

static gint
compare_sequences(gconstpointer a, gconstpointer b)
{
    const JournalRecord *x = *(JournalRecord *const *)a, *y = *(JournalRecord *const *)b;
    return x->sequence < y->sequence ? -1 : x->sequence > y->sequence;
}

/* A rename onto an object that waited itself was interrupted between the two records. */
static gboolean
remove_superseded(JournalFolder *folder, GPtrArray *records, GError **error)
{
    g_ptr_array_sort(records, compare_records);
    for (guint i = records->len; i-- > 1;) {
        const JournalRecord *older = records->pdata[i - 1];
        if (!journal_record_is_same_object(older, records->pdata[i]))
            continue;
        log_info("journal: %s/%s/%s was replaced", older->storage, older->container, older->key);
        if (!journal_folder_remove(folder, older, error))
            return FALSE;
        g_ptr_array_remove_index(records, i - 1);
    }
    g_ptr_array_sort(records, compare_sequences);
    return TRUE;
}

/* A data file that no record names was being made or given up, unless it belongs to what is unreadable. */
static gboolean
clear_data(JournalFolder *folder, const GPtrArray *records, gboolean keep, GError **error)
{
    g_autoptr(GPtrArray) names = list_names(folder, "", DATA_SUFFIX, error);
    g_autoptr(GPtrArray) fresh = names != NULL ? list_names(folder, "", RECORD_SUFFIX ".new", error) : NULL;
    g_autoptr(GHashTable) used = g_hash_table_new(g_str_hash, g_str_equal);
    if (fresh == NULL)
        return FALSE;
    for (guint i = 0; i < records->len; i++) {
        const JournalRecord *record = records->pdata[i];
        if (record->data_name != NULL)
            g_hash_table_add(used, record->data_name);
    }
    for (guint i = 0; i < names->len; i++) {
        if (g_hash_table_contains(used, names->pdata[i]))
            continue;
        if (!keep)
            journal_folder_remove_data(folder, names->pdata[i]);
        else if (!set_aside(folder, names->pdata[i], error))
            return FALSE;
    }
    for (guint i = 0; i < fresh->len; i++)
        journal_folder_remove_data(folder, fresh->pdata[i]);
    return TRUE;
}

/* NULL: it cannot be understood, or not be set aside then (*out_ok FALSE). */
static JournalRecord *
take_record(JournalFolder *folder, const char *name, gboolean *out_ok, GError **error)
{
    g_autoptr(GError) failure = NULL;
    JournalRecord *record = read_record(folder, name, &failure);
    folder->last_id = MAX(folder->last_id, g_ascii_strtoull(name, NULL, 16));
    *out_ok = TRUE;
    if (record != NULL) {
        folder->last_sequence = MAX(folder->last_sequence, record->sequence);
        return record;
    }
    log_error("journal %s/%s: %s", folder->path, name, failure->message);
    *out_ok = set_record_aside(folder, name, error);
    return NULL;
}

GPtrArray *
journal_folder_load(JournalFolder *folder, GError **error)
{
    g_autoptr(GPtrArray) records = g_ptr_array_new_with_free_func((GDestroyNotify)journal_record_free);
    g_autoptr(GPtrArray) names = list_names(folder, "", RECORD_SUFFIX, error);
    if (names == NULL)
        return NULL;
    gboolean ok = TRUE;
    for (guint i = 0; i < names->len && ok; i++) {
        JournalRecord *record = take_record(folder, names->pdata[i], &ok, error);
        if (record != NULL)
            g_ptr_array_add(records, record);
    }
    gboolean some_unreadable = records->len < names->len;
    ok = ok && remove_superseded(folder, records, error) &&
         clear_data(folder, records, some_unreadable, error) && sync_folder(folder, error);
    return ok ? g_steal_pointer(&records) : NULL;
}
