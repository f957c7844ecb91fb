#include "drivers/local/local_path.h"

#include "drivers/local/local_names.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* openat2 gives EAGAIN when a rename elsewhere made a ".." in a container's link uncertain. */
#define MAXIMUM_ATTEMPTS 16

#define INSIDE (RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS)
#define INSIDE_WITHOUT_LINKS (INSIDE | RESOLVE_NO_SYMLINKS)

static int
open_resolved(int fd, const char *path, int flags, mode_t mode, guint64 resolve)
{
    struct open_how how = {.flags = (guint64)(flags | O_CLOEXEC), .resolve = resolve};
    if (flags & O_CREAT)
        how.mode = mode & 07777;
    for (guint attempt = 0; attempt < MAXIMUM_ATTEMPTS; attempt++) {
        long opened = syscall(SYS_openat2, fd, path, &how, sizeof how);
        if (opened >= 0)
            return (int)opened;
        if (errno != EAGAIN && errno != EINTR)
            break;
    }
    return -errno;
}

static int
open_entry(int fd, const char *name, int flags, mode_t mode)
{
    int opened = openat(fd, name, flags | O_NOFOLLOW | O_CLOEXEC, mode);
    return opened >= 0 ? opened : -errno;
}

int
local_path_init(LocalRoot *root, const char *base)
{
    int failed = 0;
    root->base = local_base_new(base, &failed);
    if (root->base == NULL)
        return failed;
    int probe = open_resolved(AT_FDCWD, ".", O_PATH | O_DIRECTORY, 0, INSIDE_WITHOUT_LINKS);
    root->walks = probe == -ENOSYS || probe == -EPERM;
    if (probe >= 0)
        close(probe);
    return 0;
}

void
local_path_clear(LocalRoot *root)
{
    g_clear_pointer(&root->base, local_base_free);
}

/* Opens the directories of a relative path one by one; fd stays open. Parts "" and "." are skipped. */
static int
walk_folders(int fd, const char *path)
{
    g_auto(GStrv) parts = g_strsplit(path, "/", -1);
    int current = open_entry(fd, ".", O_PATH | O_DIRECTORY, 0);
    for (guint i = 0; parts[i] != NULL && current >= 0; i++) {
        if (*parts[i] == '\0' || g_str_equal(parts[i], "."))
            continue;
        int next =
            g_str_equal(parts[i], "..") ? -EXDEV : open_entry(current, parts[i], O_PATH | O_DIRECTORY, 0);
        close(current);
        current = next;
    }
    return current;
}

static int
walk_container(int base_fd, const char *container)
{
    char target[PATH_MAX];
    int fd = open_entry(base_fd, container, O_PATH | O_DIRECTORY, 0);
    if (fd != -ENOTDIR)
        return fd;
    ssize_t length = readlinkat(base_fd, container, target, sizeof target - 1);
    if (length <= 0 || target[0] == '/')
        return -ENOTDIR;
    target[length] = '\0';
    return walk_folders(base_fd, target);
}

static int
reopen_folder(int fd, int flags)
{
    if (fd < 0 || (flags & O_PATH) != 0)
        return fd;
    int opened = open_entry(fd, ".", flags | O_DIRECTORY, 0);
    close(fd);
    return opened;
}

int
local_path_open_container(const LocalRoot *root, const char *container, int flags)
{
    if (!local_names_is_entry(container))
        return -ENOENT;
    int base_fd = local_base_use(root->base);
    if (base_fd < 0)
        return base_fd;
    int fd = root->walks ? reopen_folder(walk_container(base_fd, container), flags)
                         : open_resolved(base_fd, container, flags | O_DIRECTORY, 0, INSIDE);
    return fd == -ENOTDIR || fd == -EXDEV || fd == -ELOOP ? -ENOENT : fd;
}

static int
walk_key(const LocalRoot *root, const char *container, const char *key, int flags, mode_t mode)
{
    g_autofree char *folder = NULL, *leaf = NULL;
    local_names_split(key, &folder, &leaf);
    int top = local_path_open_container(root, container, O_PATH);
    if (top < 0)
        return top;
    int parent = walk_folders(top, folder);
    close(top);
    if (parent < 0)
        return parent;
    int fd = open_entry(parent, leaf, flags, mode);
    close(parent);
    return fd;
}

/* The container is a link, or the key has one on its way: the second look tells. */
static int
open_below_link(const LocalRoot *root, const char *container, const char *key, int flags, mode_t mode)
{
    int top = local_path_open_container(root, container, O_PATH);
    if (top < 0)
        return top;
    int fd = open_resolved(top, key, flags, mode, INSIDE_WITHOUT_LINKS);
    close(top);
    return fd;
}

int
local_path_open(const LocalRoot *root, const char *container, const char *key, int flags, mode_t mode)
{
    gsize length = strlen(key);
    if (length == 0)
        return local_path_open_container(root, container, flags);
    if (!local_names_is_entry(container))
        return -ENOENT;
    flags |= O_NOFOLLOW | (key[length - 1] == '/' ? O_DIRECTORY : 0);
    if (root->walks)
        return walk_key(root, container, key, flags, mode);
    int base_fd = local_base_use(root->base);
    if (base_fd < 0)
        return base_fd;
    g_autofree char *path = g_strconcat(container, "/", key, NULL);
    int fd = open_resolved(base_fd, path, flags, mode, INSIDE_WITHOUT_LINKS);
    return fd == -ELOOP ? open_below_link(root, container, key, flags, mode) : fd;
}

int
local_path_open_target(const LocalRoot *root, const char *container, const char *key)
{
    if (root->walks || !local_names_is_entry(container))
        return -ELOOP;
    int base_fd = local_base_use(root->base);
    if (base_fd < 0)
        return base_fd;
    g_autofree char *path = g_strconcat(container, "/", key, NULL);
    return open_resolved(base_fd, path, O_PATH, 0, INSIDE);
}

/* Makes and opens the directories of `folder` below the container; what is a file there is -ENOTDIR. */
static int
make_folders(const LocalRoot *root, const char *container, const char *folder)
{
    g_auto(GStrv) parts = g_strsplit(folder, "/", -1);
    int current = local_path_open_container(root, container, O_PATH);
    for (guint i = 0; parts[i] != NULL && current >= 0; i++) {
        int made = mkdirat(current, parts[i], root->folder_mode) == 0 || errno == EEXIST ? 0 : -errno;
        int next = made == 0 ? open_entry(current, parts[i], O_PATH | O_DIRECTORY, 0) : made;
        close(current);
        current = next;
    }
    return current;
}

int
local_path_open_parent(const LocalRoot *root, const char *container, const char *key, gboolean makes,
                       char **out_leaf)
{
    g_autofree char *folder = NULL, *leaf = NULL;
    local_names_split(key, &folder, &leaf);
    int fd = local_path_open(root, container, folder, O_PATH | O_DIRECTORY, 0);
    if (fd == -ENOENT && makes && *folder != '\0')
        fd = make_folders(root, container, folder);
    if (fd >= 0)
        *out_leaf = g_steal_pointer(&leaf);
    return fd;
}

int
local_path_make_parents(const LocalRoot *root, const char *container, const char *key)
{
    g_autofree char *leaf = NULL;
    int fd = local_path_open_parent(root, container, key, TRUE, &leaf);
    if (fd < 0)
        return fd;
    close(fd);
    return 0;
}

void
local_path_prune(const LocalRoot *root, const char *container, const char *key)
{
    g_autofree char *current = NULL, *ignored = NULL;
    local_names_split(key, &current, &ignored);
    while (*current != '\0') {
        g_autofree char *folder = g_steal_pointer(&current);
        g_autofree char *leaf = NULL, *unused = NULL;
        int parent = local_path_open_parent(root, container, folder, FALSE, &leaf);
        gboolean removed = parent >= 0 && unlinkat(parent, leaf, AT_REMOVEDIR) == 0;
        if (parent >= 0)
            close(parent);
        if (!removed)
            return;
        local_names_split(folder, &current, &unused);
    }
}

void
local_path_format_proc(int fd, char text[LOCAL_PATH_PROC_BYTES])
{
    g_snprintf(text, LOCAL_PATH_PROC_BYTES, "/proc/self/fd/%d", fd);
}
