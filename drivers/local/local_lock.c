#include "drivers/local/local_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define PATIENCE_US (5 * G_USEC_PER_SEC)
#define PAUSE_US (10 * 1000)

/* An open file description's lock: it excludes other threads of this process too, and libcloud's, which are
 * the process's own, exclude it. */
static gboolean
wait_for_lock(int fd, Call *call, GError **error)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    gint64 until_us = g_get_monotonic_time() + PATIENCE_US;
    while (fcntl(fd, F_OFD_SETLK, &whole) != 0) {
        if (errno != EAGAIN && errno != EACCES && errno != EINTR)
            return error_set_errno(error, errno, "libcloud's lock");
        if (g_get_monotonic_time() > until_us) {
            g_set_error_literal(error, STORAGEFS_ERROR, ERROR_TIMEOUT,
                                "libcloud's lock was not given free in 5 seconds");
            return FALSE;
        }
        if (!call_sleep(call, PAUSE_US, error))
            return FALSE;
    }
    return TRUE;
}

gboolean
local_lock_take(const LocalInstance *local, const char *container, const char *key, Call *call,
                LocalLock *out, GError **error)
{
    if (local->lock_path == NULL)
        return TRUE;
    g_autofree char *path = g_build_filename(local->lock_path, container, key, NULL);
    g_autofree char *hash = g_compute_checksum_for_string(G_CHECKSUM_SHA256, path, -1);
    g_autofree char *file = g_strdup_printf("%s/%s.lock", g_get_tmp_dir(), hash);
    int fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (fd < 0)
        return error_set_errno(error, errno, "libcloud's lock '%s'", file);
    if (!wait_for_lock(fd, call, error)) {
        close(fd);
        return FALSE;
    }
    out->fd = fd;
    return TRUE;
}

void
local_lock_clear(LocalLock *lock)
{
    if (lock->fd >= 0)
        close(lock->fd);
    lock->fd = -1;
}
