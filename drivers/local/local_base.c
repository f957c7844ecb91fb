#include "drivers/local/local_base.h"

#include "src/base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHECK_INTERVAL_US ((gint64)G_USEC_PER_SEC)
/* Has no entries, and is everywhere. */
#define NOWHERE "/dev/null"

struct LocalBase {
    char *path;
    int fd;             /* the same number for ever */
    atomic_int missing; /* errno, why it is not there; 0: it is */
    _Atomic gint64 next_check_us;
};

static int
open_directory(const char *path)
{
    int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return fd >= 0 ? fd : -errno;
}

static int
open_nowhere(void)
{
    int fd = open(NOWHERE, O_PATH | O_CLOEXEC);
    return fd >= 0 ? fd : -errno;
}

LocalBase *
local_base_new(const char *path, int *out_error)
{
    int fd = open_directory(path), missing = 0;
    if (fd < 0 && fd != -ENOTDIR && fd != -EMFILE && fd != -ENFILE) {
        missing = -fd;
        fd = open_nowhere();
    }
    if (fd < 0) {
        *out_error = fd;
        return NULL;
    }
    LocalBase *base = g_new0(LocalBase, 1);
    base->path = g_strdup(path);
    base->fd = fd;
    atomic_init(&base->missing, missing);
    return base;
}

void
local_base_free(LocalBase *base)
{
    if (base == NULL)
        return;
    close(base->fd);
    g_free(base->path);
    g_free(base);
}

static gboolean
is_same_directory(LocalBase *base)
{
    struct stat named, held;
    return stat(base->path, &named) == 0 && fstat(base->fd, &held) == 0 && named.st_dev == held.st_dev &&
           named.st_ino == held.st_ino;
}

/* Takes fd. */
static void
exchange(LocalBase *base, int fd)
{
    if (fd < 0)
        return;
    while (dup3(fd, base->fd, O_CLOEXEC) < 0 && (errno == EINTR || errno == EBUSY))
        continue;
    close(fd);
}

/* Who finds it missing must not get as far as the descriptor that has no entries. */
static void
look(LocalBase *base)
{
    if (is_same_directory(base)) {
        atomic_store(&base->missing, 0);
        return;
    }
    int fd = open_directory(base->path);
    if (fd == -EMFILE || fd == -ENFILE)
        return;
    if (fd >= 0) {
        exchange(base, fd);
        atomic_store(&base->missing, 0);
        return;
    }
    if (atomic_exchange(&base->missing, -fd) == 0)
        exchange(base, open_nowhere());
}

/* One looks, the others go on with what is held. */
static gboolean
is_due(LocalBase *base)
{
    if (atomic_load_explicit(&base->missing, memory_order_relaxed) != 0)
        return TRUE;
    gint64 now_us = g_get_monotonic_time();
    gint64 next_us = atomic_load_explicit(&base->next_check_us, memory_order_relaxed);
    return now_us >= next_us &&
           atomic_compare_exchange_strong(&base->next_check_us, &next_us, now_us + CHECK_INTERVAL_US);
}

int
local_base_use(LocalBase *base)
{
    if (is_due(base))
        look(base);
    return atomic_load(&base->missing) == 0 ? base->fd : -EIO;
}

gboolean
local_base_check(LocalBase *base, GError **error)
{
    look(base);
    int missing = atomic_load(&base->missing);
    if (missing != 0)
        g_set_error(
            error, STORAGEFS_ERROR, ERROR_UNAVAILABLE,
            "base directory '%s': %s: make it (mkdir -p, or create_path = yes), or mount what holds it",
            base->path, g_strerror(missing));
    return missing == 0;
}

char *
local_base_find_place(LocalBase *base)
{
    g_autofree char *known = g_canonicalize_filename(base->path, "/");
    g_autofree char *rest = g_strdup("");
    char real[PATH_MAX];
    while (realpath(known, real) == NULL && strcmp(known, "/") != 0) {
        char *leaf = g_path_get_basename(known), *above = g_path_get_dirname(known);
        char *longer = *rest != '\0' ? g_build_filename(leaf, rest, NULL) : g_strdup(leaf);
        g_free(leaf);
        g_free(rest);
        g_free(known);
        known = above;
        rest = longer;
    }
    const char *start = strcmp(known, "/") == 0 ? "/" : real;
    return *rest != '\0' ? g_build_filename(start, rest, NULL) : g_strdup(start);
}
