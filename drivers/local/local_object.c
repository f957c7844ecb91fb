#include "drivers/local/local_object.h"

#include "drivers/local/local_lock.h"
#include "drivers/local/local_metadata.h"
#include "drivers/local/local_names.h"
#include "drivers/local/local_open.h"
#include "drivers/local/local_remove.h"
#include "drivers/local/local_sidecar.h"
#include "drivers/local/local_store.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define CHUNK_BYTES (1u << 20)
#define COPY_CHUNK_BYTES (64u << 20)

static gint64
get_ns(const struct timespec *time)
{
    return time->tv_sec * G_GINT64_CONSTANT(1000000000) + time->tv_nsec;
}

char *
local_object_make_etag(const struct stat *info)
{
    return g_strdup_printf("%" G_GINT64_MODIFIER "x-%" G_GINT64_MODIFIER "x-%" G_GINT64_MODIFIER
                           "x-%" G_GINT64_MODIFIER "x",
                           (guint64)info->st_ino, (guint64)info->st_size, (guint64)get_ns(&info->st_mtim),
                           (guint64)get_ns(&info->st_ctim));
}

static gboolean
fail_absent(const char *container, const char *key, GError **error)
{
    return error_set_errno(error, ENOENT, "object '%s/%s'", container, key);
}

static gboolean
check_version(const struct stat *info, const char *if_etag, const char *container, const char *key,
              GError **error)
{
    g_autofree char *etag = if_etag != NULL ? local_object_make_etag(info) : NULL;
    if (if_etag == NULL || g_str_equal(etag, if_etag))
        return TRUE;
    g_set_error(error, STORAGEFS_ERROR, ERROR_CHANGED, "object '%s/%s' is not version '%s' any more",
                container, key, if_etag);
    return FALSE;
}

static void
fill_info(const char *key, const struct stat *info, ObjectInfo *out)
{
    *out = (ObjectInfo){.key = g_strdup(key),
                        .size_bytes = S_ISREG(info->st_mode) ? (guint64)info->st_size : 0,
                        .mtime_ns = get_ns(&info->st_mtim),
                        .etag = local_object_make_etag(info)};
}

/* A directory named where an object should be is no object, unless it is asked for as a marker. */
static gboolean
open_object(LocalInstance *local, const char *container, const char *key, int *out_fd, struct stat *out_info,
            GError **error)
{
    if (*key == '\0' || !local_names_is_reachable(key))
        return fail_absent(container, key, error);
    if (!g_str_has_suffix(key, "/")) {
        g_autoptr(GError) failed = NULL;
        if (local_open_regular(local, container, key, O_RDONLY, 0, FALSE, out_fd, out_info, &failed))
            return TRUE;
        if (error_is(failed, ERROR_IS_FOLDER) || error_is(failed, ERROR_NOT_FOLDER))
            return fail_absent(container, key, error);
        g_propagate_error(error, g_steal_pointer(&failed));
        return FALSE;
    }
    int fd = local->folders ? local_path_open(&local->root, container, key, O_RDONLY, 0) : -ENOENT;
    if (fd == -ENOENT || fd == -ENOTDIR)
        return fail_absent(container, key, error);
    if (fd < 0 || fstat(fd, out_info) != 0)
        return error_set_errno(error, fd < 0 ? -fd : errno, "folder '%s/%s'", container, key);
    *out_fd = fd;
    return TRUE;
}

gboolean
local_object_stat(DriverInstance *instance, Call *call, const char *container, const char *key,
                  ObjectInfo *out, GError **error)
{
    LocalInstance *local = (LocalInstance *)instance;
    struct stat info;
    int fd;
    char *content_type = NULL;
    Metadata *metadata = NULL;
    if (!call_check(call, error) || !open_object(local, container, key, &fd, &info, error))
        return FALSE;
    gboolean known = local_metadata_read(local, fd, container, key, &content_type, &metadata, error);
    close(fd);
    if (!known)
        return FALSE;
    fill_info(key, &info, out);
    out->content_type = content_type;
    out->metadata = metadata;
    return TRUE;
}

/* Reads until the buffer is full or the file ends. -1 with errno. */
static gssize
read_range(int fd, guint64 offset, void *buffer, gsize length)
{
    gsize done = 0;
    while (done < length) {
        ssize_t count = pread(fd, (guint8 *)buffer + done, length - done, (off_t)(offset + done));
        if (count < 0 && errno != EINTR)
            return -1;
        if (count == 0)
            break;
        done += count > 0 ? (gsize)count : 0;
    }
    return (gssize)done;
}

/* The version is looked at before and after: a file that is written in place meanwhile is no version at all.
 */
static gboolean
read_version(int fd, const struct stat *before, const char *if_etag, const char *container, const char *key,
             guint64 offset, gsize length, void *buffer, gsize *out_length, GError **error)
{
    struct stat after;
    if (!check_version(before, if_etag, container, key, error))
        return FALSE;
    gssize count = offset <= G_MAXINT64 - length && S_ISREG(before->st_mode)
                       ? read_range(fd, offset, buffer, length)
                       : 0;
    if (count < 0 || fstat(fd, &after) != 0)
        return error_set_errno(error, errno, "object '%s/%s'", container, key);
    if (!check_version(&after, if_etag, container, key, error))
        return FALSE;
    *out_length = (gsize)count;
    return TRUE;
}

gboolean
local_object_read(DriverInstance *instance, Call *call, const char *container, const char *key,
                  guint64 offset, gsize length_bytes, const char *if_etag, void *buffer,
                  gsize *out_length_bytes, ObjectInfo *out_info, GError **error)
{
    LocalInstance *local = (LocalInstance *)instance;
    struct stat info;
    int fd;
    if (!call_check(call, error) || !open_object(local, container, key, &fd, &info, error))
        return FALSE;
    gboolean done = read_version(fd, &info, if_etag, container, key, offset, length_bytes, buffer,
                                 out_length_bytes, error);
    close(fd);
    if (done && out_info != NULL)
        fill_info(key, &info, out_info);
    return done;
}

static gboolean
write_range(int fd, guint64 offset, const guint8 *bytes, gsize length)
{
    for (gsize done = 0; done < length;) {
        ssize_t count = pwrite(fd, bytes + done, length - done, (off_t)(offset + done));
        if (count < 0 && errno != EINTR)
            return FALSE;
        done += count > 0 ? (gsize)count : 0;
    }
    return TRUE;
}

static gboolean
write_source(int fd, const ByteSource *source, const char *key, Call *call, GError **error)
{
    g_autofree guint8 *buffer = g_malloc(CHUNK_BYTES);
    for (guint64 offset = 0; offset < source->size_bytes; offset += CHUNK_BYTES) {
        gsize length = MIN(CHUNK_BYTES, source->size_bytes - offset);
        if (!call_check(call, error) || !source->read(source->data, offset, buffer, length, error))
            return FALSE;
        if (!write_range(fd, offset, buffer, length))
            return error_set_errno(error, errno, "object '%s'", key);
    }
    return TRUE;
}

gboolean
local_object_write(DriverInstance *instance, Call *call, const char *container, const char *key,
                   const ByteSource *source, const WriteOptions *options, ObjectInfo *out_info,
                   GError **error)
{
    LocalInstance *local = (LocalInstance *)instance;
    if (!call_check(call, error) || !local_names_check_key(key, local->folders, error))
        return FALSE;
    if (g_str_has_suffix(key, "/") && source->size_bytes > 0) {
        g_set_error(error, STORAGEFS_ERROR, ERROR_BAD_NAME,
                    "key '%s' names a folder: a local storage keeps no bytes there", key);
        return FALSE;
    }
    if (g_str_has_suffix(key, "/"))
        return local_store_make_marker(local, container, key, options, out_info, error);
    g_auto(LocalStage) stage = LOCAL_STAGE_EMPTY;
    return local_stage_open(local, container, &stage, error) &&
           write_source(stage.fd, source, key, call, error) &&
           local_store_publish(local, &stage, container, key, options, out_info, error);
}

gboolean
local_object_delete(DriverInstance *instance, Call *call, const char *container, const char *key,
                    const char *if_etag, GError **error)
{
    LocalInstance *local = (LocalInstance *)instance;
    g_auto(LocalLock) lock = LOCAL_LOCK_EMPTY;
    if (!call_check(call, error))
        return FALSE;
    if (*key == '\0' || !local_names_is_reachable(key))
        return TRUE;
    if (!local_lock_take(local, container, key, call, &lock, error))
        return FALSE;
    return local_remove_object(local, container, key, error);
}

/* The kernel's copy where it can (shared blocks, no bytes through this process), else by hand. */
static gboolean
copy_bytes(int from, int to, guint64 size, const char *key, Call *call, GError **error)
{
    g_autofree guint8 *buffer = NULL;
    guint64 done = 0;
    while (done < size) {
        loff_t in = (loff_t)done, out = (loff_t)done;
        ssize_t count = -1;
        if (!call_check(call, error))
            return FALSE;
        if (buffer == NULL)
            count = copy_file_range(from, &in, to, &out, MIN(COPY_CHUNK_BYTES, size - done), 0);
        if (count < 0) {
            buffer = buffer != NULL ? buffer : g_malloc(CHUNK_BYTES);
            count = read_range(from, done, buffer, MIN(CHUNK_BYTES, size - done));
            if (count < 0 || !write_range(to, done, buffer, (gsize)count))
                return error_set_errno(error, errno, "copy to '%s'", key);
        }
        if (count == 0)
            break;
        done += (guint64)count;
    }
    return TRUE;
}

/* Stages what fd holds; the source must still be the same version when all of it is there. */
static gboolean
stage_copy(LocalInstance *local, int fd, const struct stat *info, const CopySource *source,
           const char *container, const char *key, Call *call, LocalStage *out, GError **error)
{
    struct stat after;
    if (!check_version(info, source->if_etag, source->container, source->key, error) ||
        !local_stage_open(local, container, out, error) ||
        !copy_bytes(fd, out->fd, (guint64)info->st_size, key, call, error))
        return FALSE;
    if (fstat(fd, &after) != 0)
        return error_set_errno(error, errno, "object '%s/%s'", source->container, source->key);
    return check_version(&after, source->if_etag, source->container, source->key, error);
}

gboolean
local_object_copy(DriverInstance *instance, Call *call, const CopySource *source, const char *container,
                  const char *key, const WriteOptions *options, ObjectInfo *out_info, GError **error)
{
    LocalInstance *local = (LocalInstance *)instance;
    g_auto(LocalStage) stage = LOCAL_STAGE_EMPTY;
    g_autofree char *content_type = NULL;
    g_autoptr(GHashTable) metadata = NULL;
    struct stat info;
    int fd;
    if (!call_check(call, error) || !local_names_check_key(key, local->folders, error) ||
        !open_object(local, source->container, source->key, &fd, &info, error))
        return FALSE;
    gboolean marker = S_ISDIR(info.st_mode);
    gboolean ready =
        (marker || stage_copy(local, fd, &info, source, container, key, call, &stage, error)) &&
        local_metadata_read(local, fd, source->container, source->key, &content_type, &metadata, error);
    close(fd);
    if (!ready)
        return FALSE;
    const WriteOptions carried = {.content_type = content_type, .metadata = metadata};
    const WriteOptions *wanted = options != NULL ? options : &carried;
    if (marker)
        return local_store_make_marker(local, container, key, wanted, out_info, error);
    return local_store_publish(local, &stage, container, key, wanted, out_info, error);
}

gboolean
local_object_set_metadata(DriverInstance *instance, Call *call, const char *container, const char *key,
                          const char *if_etag, const char *content_type, Metadata *metadata,
                          ObjectInfo *out_info, GError **error)
{
    LocalInstance *local = (LocalInstance *)instance;
    struct stat info;
    int fd;
    if (!call_check(call, error) || !open_object(local, container, key, &fd, &info, error))
        return FALSE;
    gboolean done = check_version(&info, if_etag, container, key, error) &&
                    local_metadata_write_sidecar(local, container, key, metadata, error) &&
                    local_metadata_write_attributes(local, fd, key, content_type, metadata, error);
    if (done && fstat(fd, &info) != 0)
        done = error_set_errno(error, errno, "object '%s/%s'", container, key);
    close(fd);
    if (done && out_info != NULL)
        fill_info(key, &info, out_info);
    return done;
}
