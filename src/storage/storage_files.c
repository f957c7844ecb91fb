/* The file operations of a file system's driver; with read_only, those that change something are refused. */
#include "src/storage/storage_private.h"

#include <fcntl.h>

static const FileOperations *
get_operations(DriverInstance *instance)
{
    return instance->driver->files;
}

static gboolean
refuse(const char *container, const char *key, GError **error)
{
    g_set_error(error, STORAGEFS_ERROR, ERROR_READ_ONLY, "%s/%s: the storage is read-only", container, key);
    return FALSE;
}

static gboolean
stat_file(DriverInstance *instance, const char *container, const char *key, struct stat *out, GError **error)
{
    return get_operations(instance)->stat_file(instance, container, key, out, error);
}

static gboolean
open_file(DriverInstance *instance, const char *container, const char *key, int flags, mode_t mode,
          gboolean make_parents, int *out_fd, GError **error)
{
    if ((flags & O_ACCMODE) != O_RDONLY || (flags & (O_CREAT | O_TRUNC)) != 0)
        return refuse(container, key, error);
    return get_operations(instance)->open_file(instance, container, key, flags, mode, FALSE, out_fd, error);
}

static gboolean
list_folder(DriverInstance *instance, const char *container, const char *folder_key,
            gboolean (*each)(gpointer data, const char *name, unsigned char type), gpointer data,
            GError **error)
{
    return get_operations(instance)->list_folder(instance, container, folder_key, each, data, error);
}

static gboolean
make_folder(DriverInstance *instance, const char *container, const char *key, mode_t mode, GError **error)
{
    return refuse(container, key, error);
}

static gboolean
remove_folder(DriverInstance *instance, const char *container, const char *key, GError **error)
{
    return refuse(container, key, error);
}

static gboolean
remove_file(DriverInstance *instance, const char *container, const char *key, gboolean prune, GError **error)
{
    return refuse(container, key, error);
}

static gboolean
rename_file(DriverInstance *instance, const char *container, const char *key, const char *to_container,
            const char *to_key, unsigned flags, gboolean flat, GError **error)
{
    return refuse(container, key, error);
}

static gboolean
make_symlink(DriverInstance *instance, const char *container, const char *key, const char *target,
             gboolean make_parents, GError **error)
{
    return refuse(container, key, error);
}

static gboolean
read_symlink(DriverInstance *instance, const char *container, const char *key, char **out_target,
             GError **error)
{
    return get_operations(instance)->read_symlink(instance, container, key, out_target, error);
}

static gboolean
set_attributes(DriverInstance *instance, const char *container, const char *key, unsigned valid,
               const struct stat *attributes, const struct timespec times[2], GError **error)
{
    return refuse(container, key, error);
}

static gboolean
get_xattr(DriverInstance *instance, const char *container, const char *key, const char *name,
          GBytes **out_value, GError **error)
{
    return get_operations(instance)->get_xattr(instance, container, key, name, out_value, error);
}

static gboolean
list_xattrs(DriverInstance *instance, const char *container, const char *key, GBytes **out_names,
            GError **error)
{
    return get_operations(instance)->list_xattrs(instance, container, key, out_names, error);
}

static gboolean
set_xattr(DriverInstance *instance, const char *container, const char *key, const char *name,
          const void *value, gsize length_bytes, int flags, GError **error)
{
    return refuse(container, key, error);
}

static gboolean
remove_xattr(DriverInstance *instance, const char *container, const char *key, const char *name,
             GError **error)
{
    return refuse(container, key, error);
}

static gboolean
stat_filesystem(DriverInstance *instance, struct statvfs *out, GError **error)
{
    return get_operations(instance)->stat_filesystem(instance, out, error);
}

static const FileOperations READ_ONLY_OPERATIONS = {
    .stat_file = stat_file,
    .open_file = open_file,
    .list_folder = list_folder,
    .make_folder = make_folder,
    .remove_folder = remove_folder,
    .remove_file = remove_file,
    .rename_file = rename_file,
    .make_symlink = make_symlink,
    .read_symlink = read_symlink,
    .set_attributes = set_attributes,
    .get_xattr = get_xattr,
    .list_xattrs = list_xattrs,
    .set_xattr = set_xattr,
    .remove_xattr = remove_xattr,
    .stat_filesystem = stat_filesystem,
};

const FileOperations *
storage_get_files(Storage *storage)
{
    const FileOperations *files = storage->settings->driver->files;
    return files && storage->settings->read_only ? &READ_ONLY_OPERATIONS : files;
}
