#include "src/object/disk_cache_folder.h"

#include "src/base/crc32c.h"
#include "src/base/error.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define LIST "list"
#define NEW_LIST "list.new"
#define MAXIMUM_RECORDS (1u << 22)
#define MAXIMUM_RESERVE_BYTES (G_GINT64_CONSTANT(1) << 30)
#define FILE_DIGITS 30u

static const char MAGIC[8] = {'s', 'f', 's', 'l', 'i', 's', 't', '1'};

typedef struct {
    char magic[8];
    guint64 count;
    guint32 crc, record_crc; /* of this with 0 here; of all records */
} ListHeader;

typedef struct {
    DiskCacheRecord record;
    gint64 changed_s;
} Found;

int
disk_cache_folder_open(const char *path, gboolean *out_taken, GError **error)
{
    struct stat status;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    *out_taken = FALSE;
    if (fd < 0 || fstat(fd, &status) != 0) {
        error_set_errno(error, errno, "disk cache %s", path);
    } else if (status.st_uid != geteuid() || (status.st_mode & 077) != 0) {
        g_set_error(error, STORAGEFS_ERROR, ERROR_DENIED, "disk cache %s: others own it or may look into it",
                    path);
    } else if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
        return fd;
    } else {
        *out_taken = errno == EWOULDBLOCK;
        if (!*out_taken)
            error_set_errno(error, errno, "disk cache %s: lock", path);
    }
    if (fd >= 0)
        close(fd);
    return -1;
}

static guint32
header_crc(const ListHeader *header)
{
    ListHeader copy = *header;
    copy.crc = 0;
    return crc32c_append(0, &copy, sizeof copy);
}

static gboolean
read_all(int fd, void *buffer, gsize length_bytes)
{
    guint8 *at = buffer;
    while (length_bytes > 0) {
        ssize_t got = read(fd, at, MIN(length_bytes, 1u << 30));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return FALSE;
        at += got;
        length_bytes -= (gsize)got;
    }
    return TRUE;
}

static gboolean
write_all(int fd, const void *data, gsize length_bytes)
{
    const guint8 *at = data;
    while (length_bytes > 0) {
        ssize_t written = write(fd, at, MIN(length_bytes, 1u << 30));
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return FALSE;
        at += written;
        length_bytes -= (gsize)written;
    }
    return TRUE;
}

static GArray *
read_list(int fd)
{
    ListHeader header;
    struct stat status;
    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode) || status.st_uid != geteuid() ||
        !read_all(fd, &header, sizeof header) || memcmp(header.magic, MAGIC, sizeof MAGIC) != 0 ||
        header.crc != header_crc(&header) || header.count > MAXIMUM_RECORDS ||
        (guint64)status.st_size != sizeof header + header.count * sizeof(DiskCacheRecord))
        return NULL;
    g_autoptr(GArray) records =
        g_array_sized_new(FALSE, FALSE, sizeof(DiskCacheRecord), (guint)header.count + 1);
    g_array_set_size(records, (guint)header.count);
    gsize bytes = (gsize)header.count * sizeof(DiskCacheRecord);
    if (!read_all(fd, records->data, bytes) || crc32c_append(0, records->data, bytes) != header.record_crc)
        return NULL;
    return g_steal_pointer(&records);
}

GArray *
disk_cache_folder_take_list(int folder_fd)
{
    int fd = openat(folder_fd, LIST, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    g_autoptr(GArray) records = read_list(fd);
    close(fd);
    /* From now on it is not true any more. If it cannot be removed for good, it is not believed either: it
     * would hide what is made now from the process after a crash. */
    if (unlinkat(folder_fd, LIST, 0) != 0 || fsync(folder_fd) != 0)
        return NULL;
    return g_steal_pointer(&records);
}

gboolean
disk_cache_folder_leave_list(int folder_fd, const GArray *records, GError **error)
{
    ListHeader header = {.count = records->len};
    gsize bytes = (gsize)records->len * sizeof(DiskCacheRecord);
    memcpy(header.magic, MAGIC, sizeof MAGIC);
    header.record_crc = crc32c_append(0, records->data, bytes);
    header.crc = header_crc(&header);
    unlinkat(folder_fd, NEW_LIST, 0);
    int fd = openat(folder_fd, NEW_LIST, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_set_errno(error, errno, "disk cache: its list");
    gboolean ok = write_all(fd, &header, sizeof header) && write_all(fd, records->data, bytes);
    if (!ok)
        error_set_errno(error, errno, "disk cache: its list");
    close(fd);
    if (ok && renameat(folder_fd, NEW_LIST, folder_fd, LIST) != 0)
        ok = error_set_errno(error, errno, "disk cache: its list");
    if (!ok)
        unlinkat(folder_fd, NEW_LIST, 0);
    return ok;
}

static gboolean
parse_name(const char *shard, const char *text, DiskCacheName *out)
{
    for (guint i = 0; i < sizeof out->bytes; i++) {
        const char *digits = i == 0 ? shard : text + 2 * (gsize)(i - 1);
        int high = g_ascii_xdigit_value(digits[0]);
        int low = high >= 0 ? g_ascii_xdigit_value(digits[1]) : -1;
        if (low < 0)
            return FALSE;
        out->bytes[i] = (guint8)(high << 4 | low);
    }
    return TRUE;
}

/* A map or a file's bytes without the other is of no use. */
static void
scan_name(int shard_fd, const char *shard, const char *text, GArray *found)
{
    Found one = {0};
    struct stat data, map;
    gsize length = strlen(text);
    gboolean is_map = length == FILE_DIGITS + 4 && g_str_has_suffix(text, ".map");
    if ((length != FILE_DIGITS && !is_map) || !parse_name(shard, text, &one.record.name))
        return;
    g_autofree char *data_name = g_strndup(text, FILE_DIGITS);
    g_autofree char *map_name = g_strconcat(data_name, ".map", NULL);
    gboolean whole = fstatat(shard_fd, data_name, &data, AT_SYMLINK_NOFOLLOW) == 0 &&
                     fstatat(shard_fd, map_name, &map, AT_SYMLINK_NOFOLLOW) == 0;
    if (!whole) {
        unlinkat(shard_fd, text, 0);
    } else if (!is_map) {
        one.record.disk_bytes = ((guint64)data.st_blocks + (guint64)map.st_blocks) * 512;
        one.changed_s = data.st_mtim.tv_sec;
        g_array_append_val(found, one);
    }
}

static void
scan_shard(int folder_fd, const char *shard, GArray *found)
{
    int fd = openat(folder_fd, shard, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *directory = fd >= 0 ? fdopendir(fd) : NULL;
    if (directory == NULL) {
        if (fd >= 0)
            close(fd);
        return;
    }
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;)
        scan_name(fd, shard, entry->d_name, found);
    closedir(directory);
}

static gint
compare_age(gconstpointer a, gconstpointer b)
{
    const Found *x = a, *y = b;
    return x->changed_s < y->changed_s ? -1 : x->changed_s > y->changed_s;
}

GArray *
disk_cache_folder_scan(int folder_fd, gint *stop)
{
    g_autoptr(GArray) found = g_array_new(FALSE, FALSE, sizeof(Found));
    GArray *records = g_array_new(FALSE, FALSE, sizeof(DiskCacheRecord));
    for (guint shard = 0; shard < 256 && g_atomic_int_get(stop) == 0; shard++) {
        char name[3];
        g_snprintf(name, sizeof name, "%02x", shard);
        scan_shard(folder_fd, name, found);
    }
    g_array_sort(found, compare_age);
    for (guint i = 0; i < found->len; i++)
        g_array_append_val(records, g_array_index(found, Found, i).record);
    return records;
}

gint64
disk_cache_folder_get_room(int folder_fd)
{
    struct statvfs status;
    if (fstatvfs(folder_fd, &status) != 0)
        return G_MAXINT64;
    gint64 unit = (gint64)status.f_frsize, total = (gint64)status.f_blocks * unit;
    return (gint64)status.f_bavail * unit - MIN(total / 20, MAXIMUM_RESERVE_BYTES);
}
