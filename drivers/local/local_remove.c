#include "drivers/local/local_remove.h"

#include "drivers/local/local_names.h"
#include "drivers/local/local_sidecar.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/* One descriptor is open for each level of a tree that is removed. */
#define MAXIMUM_DEPTH 500

/* 0 or a negative errno. */
static int
unlink_entry(const LocalInstance *local, const char *container, const char *key, int flags)
{
    g_autofree char *leaf = NULL;
    int parent = local_path_open_parent(&local->root, container, key, FALSE, &leaf);
    if (parent < 0)
        return parent;
    int result = unlinkat(parent, leaf, flags) == 0 ? 0 : -errno;
    close(parent);
    return result;
}

static gboolean
fail(int result, const char *container, const char *key, GError **error)
{
    return error_set_errno(error, -result, "'%s/%s'", container, key);
}

gboolean
local_remove_file(const LocalInstance *local, const char *container, const char *key, gboolean prune,
                  GError **error)
{
    if (local_sidecar_applies(local, key) && !local_sidecar_delete(local, container, key, error))
        return FALSE;
    int result = unlink_entry(local, container, key, 0);
    if (result < 0)
        return fail(result, container, key, error);
    if (prune)
        local_path_prune(&local->root, container, key);
    return TRUE;
}

gboolean
local_remove_folder(const LocalInstance *local, const char *container, const char *key, GError **error)
{
    int result = unlink_entry(local, container, key, AT_REMOVEDIR);
    return result == 0 ? TRUE : fail(result == -EEXIST ? -ENOTEMPTY : result, container, key, error);
}

static gboolean
ignore(GError *failed, const ErrorCode *codes, guint count, GError **error)
{
    for (guint i = 0; i < count; i++) {
        if (error_is(failed, codes[i])) {
            g_error_free(failed);
            return TRUE;
        }
    }
    g_propagate_error(error, failed);
    return FALSE;
}

gboolean
local_remove_object(const LocalInstance *local, const char *container, const char *key, GError **error)
{
    static const ErrorCode absent[] = {ERROR_NOT_FOUND, ERROR_NOT_FOLDER, ERROR_IS_FOLDER, ERROR_NOT_EMPTY};
    int top = local_path_open_container(&local->root, container, O_PATH);
    GError *failed = NULL;
    if (top < 0)
        return error_set_errno(error, -top, "container '%s'", container);
    close(top);
    gboolean marker = g_str_has_suffix(key, "/");
    if (marker && !local->folders)
        return TRUE;
    gboolean done = marker ? local_remove_folder(local, container, key, &failed)
                           : local_remove_file(local, container, key, !local->folders, &failed);
    return done || ignore(failed, absent, G_N_ELEMENTS(absent), error);
}

static int remove_tree(int parent, const char *name, gboolean with_files, guint depth);

/* One entry below a container that goes. Files stay, and so does what holds them, unless with_files. */
static int
remove_entry(int folder, const char *name, gboolean with_files, guint depth)
{
    struct stat info;
    if (fstatat(folder, name, &info, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT ? 0 : -errno;
    if (S_ISDIR(info.st_mode))
        return remove_tree(folder, name, with_files || local_names_is_hidden(name), depth + 1);
    if (!with_files)
        return -ENOTEMPTY;
    return unlinkat(folder, name, 0) == 0 || errno == ENOENT ? 0 : -errno;
}

static int
remove_entries(int folder, gboolean with_files, guint depth)
{
    int result = 0;
    int listed = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = listed >= 0 ? fdopendir(listed) : NULL;
    if (dir == NULL) {
        result = -errno;
        if (listed >= 0)
            close(listed);
        return result;
    }
    for (struct dirent *entry = readdir(dir); entry != NULL && result == 0; entry = readdir(dir)) {
        if (!g_str_equal(entry->d_name, ".") && !g_str_equal(entry->d_name, ".."))
            result = remove_entry(folder, entry->d_name, with_files, depth);
    }
    closedir(dir);
    return result;
}

static int
remove_tree(int parent, const char *name, gboolean with_files, guint depth)
{
    int folder = openat(parent, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (folder < 0)
        return -errno;
    int result = depth < MAXIMUM_DEPTH ? remove_entries(folder, with_files, depth) : -ENAMETOOLONG;
    close(folder);
    if (result == 0 && unlinkat(parent, name, AT_REMOVEDIR) != 0)
        result = errno == EEXIST ? -ENOTEMPTY : -errno;
    return result;
}

gboolean
local_remove_container(const LocalInstance *local, const char *container, GError **error)
{
    struct stat info;
    int top = local_path_open_container(&local->root, container, O_PATH);
    if (top < 0)
        return error_set_errno(error, -top, "container '%s'", container);
    close(top);
    int base_fd = local_base_use(local->root.base);
    if (fstatat(base_fd, container, &info, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(info.st_mode)) {
        g_set_error(error, STORAGEFS_ERROR, ERROR_NOT_PERMITTED,
                    "container '%s' is a link in %s: remove the link there", container, local->path);
        return FALSE;
    }
    int result = remove_tree(base_fd, container, FALSE, 0);
    return result == 0 ? TRUE : error_set_errno(error, -result, "container '%s'", container);
}
