#include "drivers/local/local_open.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* A directory that was just made may be pruned by another thread before the file lies in it. */
#define MAXIMUM_ATTEMPTS 64

static int
open_making_parents(const LocalInstance *local, const char *container, const char *key, int flags,
                    mode_t mode)
{
    int fd = -ENOENT;
    for (guint attempt = 0; attempt < MAXIMUM_ATTEMPTS && fd == -ENOENT; attempt++) {
        int made = local_path_make_parents(&local->root, container, key);
        if (made < 0 && made != -ENOENT)
            return made;
        fd = local_path_open(&local->root, container, key, flags, mode);
        if (made < 0 && fd == -ENOENT) {
            int top = local_path_open_container(&local->root, container, O_PATH);
            if (top < 0)
                return top;
            close(top);
        }
    }
    return fd;
}

static gboolean
fail_special(const char *container, const char *key, GError **error)
{
    g_set_error(error, STORAGEFS_ERROR, ERROR_NOT_PERMITTED,
                "'%s/%s' is no regular file: FIFOs, sockets and devices are not opened", container, key);
    return FALSE;
}

gboolean
local_open_regular(const LocalInstance *local, const char *container, const char *key, int flags, mode_t mode,
                   gboolean make_parents, int *out_fd, struct stat *out_info, GError **error)
{
    struct stat info;
    flags |= O_NONBLOCK | O_NOCTTY;
    int fd = local_path_open(&local->root, container, key, flags, mode);
    if (fd == -ENOENT && make_parents && (flags & O_CREAT) != 0)
        fd = open_making_parents(local, container, key, flags, mode);
    if (fd == -ENXIO || fd == -ENODEV)
        return fail_special(container, key, error);
    if (fd < 0)
        return error_set_errno(error, -fd, "'%s/%s'", container, key);
    gboolean known = fstat(fd, &info) == 0;
    if (known && S_ISREG(info.st_mode)) {
        *out_fd = fd;
        if (out_info != NULL)
            *out_info = info;
        return TRUE;
    }
    close(fd);
    if (known && S_ISDIR(info.st_mode))
        return error_set_errno(error, EISDIR, "'%s/%s'", container, key);
    return fail_special(container, key, error);
}
