#include "drivers/local/local_files.h"

#include "drivers/local/local_instance.h"
#include "drivers/local/local_names.h"
#include "drivers/local/local_open.h"
#include "drivers/local/local_remove.h"
#include "drivers/local/local_rename.h"
#include "drivers/local/local_xattr.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAXIMUM_ATTEMPTS 64

/* What open(2) may be asked for here; the kernel's own bits (FMODE_EXEC and such) are no business of openat2.
 */
#define OPEN_FLAGS                                                                                           \
    (O_ACCMODE | O_CREAT | O_EXCL | O_TRUNC | O_APPEND | O_SYNC | O_DSYNC | O_DIRECT | O_NOATIME)

static gboolean
fail(int errnum, const char *container, const char *key, GError **error)
{
    return error_set_errno(error, errnum, "'%s/%s'", container, key);
}

static int
open_path(DriverInstance *instance, const char *container, const char *key, int flags, GError **error)
{
    LocalInstance *local = (LocalInstance *)instance;
    int fd =
        local_names_is_reachable(key) ? local_path_open(&local->root, container, key, flags, 0) : -ENOENT;
    if (fd < 0)
        fail(-fd, container, key, error);
    return fd;
}

/* ".lock" and ".hash" below the container, when they are directories. */
static gboolean
is_hidden_folder(const char *key, mode_t mode)
{
    const char *slash = strrchr(key, '/');
    return S_ISDIR(mode) && local_names_is_hidden(slash != NULL ? slash + 1 : key);
}

static gboolean
stat_file(DriverInstance *instance, const char *container, const char *key, struct stat *out, GError **error)
{
    struct stat info;
    int fd = open_path(instance, container, key, O_PATH, error);
    if (fd < 0)
        return FALSE;
    int failed = fstat(fd, &info) == 0 ? 0 : errno;
    close(fd);
    if (failed == 0 && is_hidden_folder(key, info.st_mode))
        failed = ENOENT;
    if (failed != 0)
        return fail(failed, container, key, error);
    *out = info;
    return TRUE;
}

static gboolean
open_file(DriverInstance *instance, const char *container, const char *key, int flags, mode_t mode,
          gboolean make_parents, int *out_fd, GError **error)
{
    LocalInstance *local = (LocalInstance *)instance;
    if ((flags & O_CREAT) != 0 && !local_names_check_key(key, FALSE, error))
        return FALSE;
    if (!local_names_is_reachable(key))
        return fail(ENOENT, container, key, error);
    return local_open_regular(local, container, key, flags & OPEN_FLAGS, mode, make_parents, out_fd, NULL,
                              error);
}

static unsigned char
find_type(int fd, const struct dirent *entry)
{
    struct stat info;
    if (entry->d_type != DT_UNKNOWN || fstatat(fd, entry->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0)
        return entry->d_type;
    return IFTODT(info.st_mode);
}

static gboolean
list_folder(DriverInstance *instance, const char *container, const char *folder_key,
            gboolean (*each)(gpointer data, const char *name, unsigned char type), gpointer data,
            GError **error)
{
    int fd = open_path(instance, container, folder_key, O_RDONLY | O_DIRECTORY, error);
    if (fd < 0)
        return FALSE;
    DIR *dir = fdopendir(fd);
    if (dir == NULL) {
        int failed = errno;
        close(fd);
        return fail(failed, container, folder_key, error);
    }
    gboolean more = TRUE;
    errno = 0;
    for (struct dirent *entry = readdir(dir); entry != NULL && more; entry = more ? readdir(dir) : NULL) {
        unsigned char type = find_type(fd, entry);
        gboolean own = g_str_equal(entry->d_name, ".") || g_str_equal(entry->d_name, "..");
        if (!own && !(type == DT_DIR && local_names_is_hidden(entry->d_name)))
            more = each(data, entry->d_name, type);
        errno = 0;
    }
    int failed = more ? errno : 0;
    closedir(dir);
    return failed == 0 || fail(failed, container, folder_key, error);
}

static gboolean
check_folder_key(const char *key, GError **error)
{
    g_autofree char *marker = g_strconcat(key, g_str_has_suffix(key, "/") ? NULL : "/", NULL);
    return local_names_check_key(marker, TRUE, error);
}

static gboolean
make_folder(DriverInstance *instance, const char *container, const char *key, mode_t mode, GError **error)
{
    LocalInstance *local = (LocalInstance *)instance;
    g_autofree char *leaf = NULL;
    if (!check_folder_key(key, error))
        return FALSE;
    int parent = local_path_open_parent(&local->root, container, key, FALSE, &leaf);
    if (parent < 0)
        return fail(-parent, container, key, error);
    int failed = mkdirat(parent, leaf, mode & 07777) == 0 ? 0 : errno;
    close(parent);
    return failed == 0 || fail(failed, container, key, error);
}

static gboolean
remove_folder(DriverInstance *instance, const char *container, const char *key, GError **error)
{
    if (*key == '\0' || !local_names_is_reachable(key))
        return fail(ENOENT, container, key, error);
    return local_remove_folder((LocalInstance *)instance, container, key, error);
}

static gboolean
remove_file(DriverInstance *instance, const char *container, const char *key, gboolean prune, GError **error)
{
    if (*key == '\0' || !local_names_is_reachable(key))
        return fail(ENOENT, container, key, error);
    return local_remove_file((LocalInstance *)instance, container, key, prune, error);
}

static gboolean
rename_file(DriverInstance *instance, const char *container, const char *key, const char *to_container,
            const char *to_key, unsigned flags, gboolean flat, GError **error)
{
    return local_rename((LocalInstance *)instance, container, key, to_container, to_key, flags, flat, error);
}

/* 0 or a negative errno. */
static int
link_once(LocalInstance *local, const char *container, const char *key, const char *target,
          gboolean make_parents)
{
    g_autofree char *leaf = NULL;
    int parent = local_path_open_parent(&local->root, container, key, make_parents, &leaf);
    if (parent < 0)
        return parent;
    int result = symlinkat(target, parent, leaf) == 0 ? 0 : -errno;
    close(parent);
    return result;
}

static gboolean
make_symlink(DriverInstance *instance, const char *container, const char *key, const char *target,
             gboolean make_parents, GError **error)
{
    LocalInstance *local = (LocalInstance *)instance;
    int result = -ENOENT;
    guint attempts = make_parents ? MAXIMUM_ATTEMPTS : 1;
    if (!local_names_check_key(key, FALSE, error))
        return FALSE;
    for (guint attempt = 0; attempt < attempts && result == -ENOENT; attempt++)
        result = link_once(local, container, key, target, make_parents);
    return result == 0 || fail(-result, container, key, error);
}

static gboolean
read_symlink(DriverInstance *instance, const char *container, const char *key, char **out_target,
             GError **error)
{
    char target[PATH_MAX];
    int fd = open_path(instance, container, key, O_PATH, error);
    if (fd < 0)
        return FALSE;
    ssize_t length = readlinkat(fd, "", target, sizeof target);
    /* With an empty path ENOENT says that it is no link. */
    int failed = length >= 0 ? 0 : errno == ENOENT ? EINVAL : errno;
    close(fd);
    if (failed != 0)
        return fail(failed, container, key, error);
    *out_target = g_strndup(target, (gsize)length);
    return TRUE;
}

/* 0 or an errno. Owners before modes: a change of owner takes set-user-id bits away. */
static int
apply_attributes(int fd, unsigned valid, const struct stat *wanted, const struct timespec times[2])
{
    char path[LOCAL_PATH_PROC_BYTES];
    uid_t uid = (valid & FILE_SET_UID) != 0 ? wanted->st_uid : (uid_t)-1;
    gid_t gid = (valid & FILE_SET_GID) != 0 ? wanted->st_gid : (gid_t)-1;
    local_path_format_proc(fd, path);
    if ((valid & FILE_SET_SIZE) != 0 && truncate(path, wanted->st_size) != 0)
        return errno;
    if ((valid & (FILE_SET_UID | FILE_SET_GID)) != 0 && fchownat(fd, "", uid, gid, AT_EMPTY_PATH) != 0)
        return errno;
    if ((valid & FILE_SET_MODE) != 0 && chmod(path, wanted->st_mode & 07777) != 0)
        return errno;
    if ((valid & FILE_SET_TIMES) != 0 && utimensat(AT_FDCWD, path, times, 0) != 0)
        return errno;
    return 0;
}

static gboolean
set_attributes(DriverInstance *instance, const char *container, const char *key, unsigned valid,
               const struct stat *attributes, const struct timespec times[2], GError **error)
{
    struct stat info;
    int fd = open_path(instance, container, key, O_PATH, error);
    if (fd < 0)
        return FALSE;
    int failed = fstat(fd, &info) == 0 ? 0 : errno;
    /* truncate() would open whatever it is. */
    if (failed == 0 && (valid & FILE_SET_SIZE) != 0 && !S_ISREG(info.st_mode))
        failed = S_ISDIR(info.st_mode) ? EISDIR : EINVAL;
    if (failed == 0)
        failed = apply_attributes(fd, valid, attributes, times);
    close(fd);
    return failed == 0 || fail(failed, container, key, error);
}

static gboolean
stat_filesystem(DriverInstance *instance, struct statvfs *out, GError **error)
{
    LocalInstance *local = (LocalInstance *)instance;
    if (!local_base_check(local->root.base, error))
        return FALSE;
    if (fstatvfs(local_base_use(local->root.base), out) != 0)
        return error_set_errno(error, errno, "'%s'", local->path);
    return TRUE;
}

const FileOperations local_files_operations = {
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
    .get_xattr = local_xattr_get,
    .list_xattrs = local_xattr_list,
    .set_xattr = local_xattr_set,
    .remove_xattr = local_xattr_remove,
    .stat_filesystem = stat_filesystem,
};
