#include "drivers/local/local_store.h"

#include "drivers/local/local_lock.h"
#include "drivers/local/local_metadata.h"
#include "drivers/local/local_object.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* What is under the key now; FALSE with errno when nothing is. */
static gboolean
look(LocalInstance *local, const char *container, const char *key, struct stat *out)
{
    int fd = local_path_open(&local->root, container, key, O_PATH, 0);
    if (fd < 0)
        return FALSE;
    gboolean known = fstat(fd, out) == 0;
    close(fd);
    return known;
}

/* The kernel has no "rename if unchanged": the best that can be had is to look just before. */
static gboolean
check_conditions(LocalInstance *local, const char *container, const char *key, const WriteOptions *options,
                 GError **error)
{
    struct stat info;
    if (options->if_etag == NULL && !options->if_absent)
        return TRUE;
    gboolean there = look(local, container, key, &info);
    if (options->if_absent && there)
        return error_set_errno(error, EEXIST, "object '%s/%s'", container, key);
    if (options->if_etag == NULL)
        return TRUE;
    g_autofree char *etag = there ? local_object_make_etag(&info) : NULL;
    if (g_strcmp0(etag, options->if_etag) == 0)
        return TRUE;
    g_set_error(error, STORAGEFS_ERROR, ERROR_CHANGED, "object '%s/%s' is not version '%s' any more",
                container, key, options->if_etag);
    return FALSE;
}

static void
fill_info(int fd, const char *key, ObjectInfo *out)
{
    struct stat info;
    if (out == NULL)
        return;
    *out = (ObjectInfo){.key = g_strdup(key)};
    if (fstat(fd, &info) != 0)
        return;
    out->size_bytes = S_ISREG(info.st_mode) ? (guint64)info.st_size : 0;
    out->mtime_ns = info.st_mtim.tv_sec * G_GINT64_CONSTANT(1000000000) + info.st_mtim.tv_nsec;
    out->etag = local_object_make_etag(&info);
}

gboolean
local_store_publish(LocalInstance *local, LocalStage *stage, const char *container, const char *key,
                    const WriteOptions *options, ObjectInfo *out_info, GError **error)
{
    g_auto(LocalLock) lock = LOCAL_LOCK_EMPTY;
    if (!local_metadata_write_attributes(local, stage->fd, key, options->content_type, options->metadata,
                                         error) ||
        !local_lock_take(local, container, key, NULL, &lock, error) ||
        !check_conditions(local, container, key, options, error) ||
        !local_metadata_write_sidecar(local, container, key, options->metadata, error) ||
        !local_stage_publish(local, stage, container, key, options->if_absent, error))
        return FALSE;
    fill_info(stage->fd, key, out_info);
    return TRUE;
}

gboolean
local_store_make_marker(LocalInstance *local, const char *container, const char *key,
                        const WriteOptions *options, ObjectInfo *out_info, GError **error)
{
    g_autofree char *leaf = NULL;
    int parent = local_path_open_parent(&local->root, container, key, TRUE, &leaf);
    if (parent < 0)
        return error_set_errno(error, -parent, "folder '%s/%s'", container, key);
    int result = mkdirat(parent, leaf, local->root.folder_mode) == 0 ? 0 : errno;
    close(parent);
    if (result != 0 && (result != EEXIST || options->if_absent))
        return error_set_errno(error, result, "folder '%s/%s'", container, key);
    int fd = local_path_open(&local->root, container, key, O_RDONLY, 0);
    if (fd < 0)
        return error_set_errno(error, -fd, "folder '%s/%s'", container, key);
    gboolean done =
        local_metadata_write_attributes(local, fd, key, options->content_type, options->metadata, error);
    if (done)
        fill_info(fd, key, out_info);
    close(fd);
    return done;
}
