#include "src/object/staging_file.h"

#include "src/base/error.h"
#include "src/base/lock.h"
#include "src/object/staging_window.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COPY_BUFFER_BYTES (256u << 10)

/* Either `memory` holds everything, or the descriptor does. The lock guards the change from one to the other,
 * which happens once, and copies from and to memory. */
struct StagingFile {
    Lock lock;
    const char *folder;
    MemoryBudget *budget;
    StagingPool *pool; /* NULL: none */
    guint8 *memory;
    gsize length_bytes, capacity_bytes;
    int fd;                /* -1: in memory */
    StagingWindow *window; /* made with fd; NULL: none. Its bytes count, not the file's */
};

/* File systems without O_TMPFILE: a name that is gone before anybody can use it. */
static int
open_named(const char *folder)
{
    g_autofree char *path = g_build_filename(folder, "staging-XXXXXX", NULL);
    int fd = mkostemp(path, O_CLOEXEC);
    if (fd >= 0)
        unlink(path);
    return fd;
}

static int
open_unnamed(const char *folder, GError **error)
{
    int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL))
        fd = open_named(folder);
    if (fd < 0)
        error_set_errno(error, errno, "staging file in %s", folder);
    return fd;
}

StagingFile *
staging_file_new(const char *folder, MemoryBudget *budget, StagingPool *pool)
{
    StagingFile *staging = g_new0(StagingFile, 1);
    lock_init(&staging->lock);
    staging->folder = folder;
    staging->budget = budget;
    staging->pool = pool;
    staging->fd = -1;
    return staging;
}

static void
drop_memory(StagingFile *staging)
{
    g_clear_pointer(&staging->memory, g_free);
    if (staging->capacity_bytes > 0)
        memory_budget_give(staging->budget, staging->capacity_bytes);
    staging->capacity_bytes = staging->length_bytes = 0;
}

void
staging_file_free(StagingFile *staging)
{
    if (staging == NULL)
        return;
    drop_memory(staging);
    staging_window_free(staging->window);
    if (staging->fd >= 0)
        close(staging->fd);
    lock_clear(&staging->lock);
    g_free(staging);
}

static gboolean
reserve_locked(StagingFile *staging, gsize length_bytes)
{
    gsize capacity = MAX(staging->capacity_bytes, 4096);
    while (capacity < length_bytes)
        capacity *= 2;
    if (capacity == staging->capacity_bytes)
        return TRUE;
    if (!memory_budget_try(staging->budget, capacity - staging->capacity_bytes))
        return FALSE;
    staging->memory = g_realloc(staging->memory, capacity);
    memset(staging->memory + staging->capacity_bytes, 0, capacity - staging->capacity_bytes);
    staging->capacity_bytes = capacity;
    return TRUE;
}

/* Bytes between length and capacity are always zeros, so that gaps are. */
static gboolean
write_memory_locked(StagingFile *staging, guint64 offset, const void *data, gsize length_bytes)
{
    if (staging->fd >= 0 || offset > STAGING_FILE_MEMORY_BYTES ||
        length_bytes > STAGING_FILE_MEMORY_BYTES - offset || !reserve_locked(staging, offset + length_bytes))
        return FALSE;
    memcpy(staging->memory + offset, data, length_bytes);
    staging->length_bytes = MAX(staging->length_bytes, offset + length_bytes);
    return TRUE;
}

static gboolean
move_to_disk_locked(StagingFile *staging, GError **error)
{
    if (staging->fd >= 0)
        return TRUE;
    int fd = open_unnamed(staging->folder, error);
    if (fd < 0)
        return FALSE;
    if (!staging_window_write_file(fd, 0, staging->memory, staging->length_bytes, error)) {
        close(fd);
        return FALSE;
    }
    drop_memory(staging);
    staging->fd = fd;
    if (staging->pool != NULL)
        staging->window = staging_window_new(staging->pool, fd);
    return TRUE;
}

/* After it moved to disk. */
static gboolean
write_steps(StagingFile *staging, int fd, guint64 offset, const guint8 *data, gsize length_bytes,
            GError **error)
{
    while (staging->window != NULL && length_bytes > 0) {
        gsize step = length_bytes;
        gboolean taken = FALSE;
        if (!staging_window_write(staging->window, fd, offset, data, &step, &taken, error) ||
            (!taken && !staging_window_write_file(fd, offset, data, step, error)))
            return FALSE;
        data += step;
        offset += step;
        length_bytes -= step;
    }
    return staging_window_write_file(fd, offset, data, length_bytes, error);
}

gboolean
staging_file_write(StagingFile *staging, guint64 offset, const void *data, gsize length_bytes, GError **error)
{
    lock_acquire(&staging->lock);
    gboolean done = write_memory_locked(staging, offset, data, length_bytes);
    gboolean ok = done || move_to_disk_locked(staging, error);
    int fd = staging->fd;
    lock_release(&staging->lock);
    return done || (ok && write_steps(staging, fd, offset, data, length_bytes, error));
}

/* The descriptor, or -1 when the bytes have been copied from memory. */
static int
read_memory(StagingFile *staging, guint64 offset, guint8 *to, gsize length_bytes)
{
    lock_acquire(&staging->lock);
    int fd = staging->fd;
    if (fd < 0) {
        gsize have = offset < staging->length_bytes ? MIN(length_bytes, staging->length_bytes - offset) : 0;
        if (have > 0)
            memcpy(to, staging->memory + offset, have);
        memset(to + have, 0, length_bytes - have);
    }
    lock_release(&staging->lock);
    return fd;
}

static gboolean
read_all(int fd, guint64 offset, guint8 *to, gsize length_bytes, GError **error)
{
    while (length_bytes > 0) {
        ssize_t got = pread(fd, to, length_bytes, (off_t)offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return error_set_errno(error, errno, "read from the staging directory");
        if (got == 0) {
            memset(to, 0, length_bytes);
            return TRUE;
        }
        to += got;
        offset += (guint64)got;
        length_bytes -= (gsize)got;
    }
    return TRUE;
}

gboolean
staging_file_read(StagingFile *staging, guint64 offset, void *buffer, gsize length_bytes, GError **error)
{
    guint8 *to = buffer;
    int fd = read_memory(staging, offset, to, length_bytes);
    while (fd >= 0 && length_bytes > 0) {
        gsize step = length_bytes;
        gboolean done = staging->window != NULL && staging_window_read(staging->window, offset, to, &step);
        if (!done && !read_all(fd, offset, to, step, error))
            return FALSE;
        to += step;
        offset += step;
        length_bytes -= step;
    }
    return TRUE;
}

static gboolean
truncate_to(int fd, guint64 size_bytes, GError **error)
{
    return ftruncate(fd, (off_t)size_bytes) == 0 ||
           error_set_errno(error, errno, "truncate in the staging directory");
}

gboolean
staging_file_truncate(StagingFile *staging, guint64 size_bytes, GError **error)
{
    lock_acquire(&staging->lock);
    int fd = staging->fd;
    StagingWindow *window = staging->window;
    if (size_bytes < staging->length_bytes) {
        memset(staging->memory + size_bytes, 0, staging->length_bytes - size_bytes);
        staging->length_bytes = (gsize)size_bytes;
    }
    lock_release(&staging->lock);
    if (fd < 0)
        return TRUE;
    if (!truncate_to(fd, size_bytes, error))
        return FALSE;
    /* What was on its way to the file meanwhile is cut off as well. */
    if (window != NULL)
        staging_window_truncate(window, size_bytes);
    return window == NULL || truncate_to(fd, size_bytes, error);
}

void
staging_file_release(StagingFile *staging, guint64 offset, guint64 length_bytes)
{
    lock_acquire(&staging->lock);
    StagingWindow *window = staging->window;
    lock_release(&staging->lock);
    if (window != NULL)
        staging_window_release(window, offset, length_bytes);
}

static int
get_fd(StagingFile *staging)
{
    lock_acquire(&staging->lock);
    int fd = staging->fd;
    lock_release(&staging->lock);
    return fd;
}

static gboolean
copy_by_buffer(StagingFile *from, guint64 offset, int fd, guint64 fd_offset, guint64 length_bytes,
               GError **error)
{
    g_autofree guint8 *buffer = g_malloc(COPY_BUFFER_BYTES);
    while (length_bytes > 0) {
        gsize piece = (gsize)MIN(length_bytes, COPY_BUFFER_BYTES);
        if (!staging_file_read(from, offset, buffer, piece, error) ||
            !staging_window_write_file(fd, fd_offset, buffer, piece, error))
            return FALSE;
        offset += piece;
        fd_offset += piece;
        length_bytes -= piece;
    }
    return TRUE;
}

gboolean
staging_file_copy_to_fd(StagingFile *from, guint64 offset, int fd, guint64 fd_offset, guint64 length_bytes,
                        GError **error)
{
    int from_fd = get_fd(from);
    if (from_fd < 0 || (from->window != NULL && !staging_window_is_empty(from->window)))
        return copy_by_buffer(from, offset, fd, fd_offset, length_bytes, error);
    while (length_bytes > 0) {
        off64_t in = (off64_t)offset, out = (off64_t)fd_offset;
        ssize_t copied = copy_file_range(from_fd, &in, fd, &out, (gsize)MIN(length_bytes, 1u << 30), 0);
        if (copied < 0 && errno == EINTR)
            continue;
        if (copied <= 0)
            return copy_by_buffer(from, offset, fd, fd_offset, length_bytes, error);
        offset += (guint64)copied;
        fd_offset += (guint64)copied;
        length_bytes -= (guint64)copied;
    }
    return TRUE;
}

gboolean
staging_file_copy(StagingFile *from, guint64 from_offset, StagingFile *to, guint64 to_offset,
                  guint64 length_bytes, GError **error)
{
    lock_acquire(&to->lock);
    gboolean ok = move_to_disk_locked(to, error);
    int fd = to->fd;
    lock_release(&to->lock);
    /* The file is written past the window. */
    return ok && (to->window == NULL || staging_window_flush(to->window, fd, error)) &&
           staging_file_copy_to_fd(from, from_offset, fd, to_offset, length_bytes, error);
}

StagingFile *
staging_file_open(const char *folder, MemoryBudget *budget, const char *name, GError **error)
{
    g_autofree char *path = g_build_filename(folder, name, NULL);
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) {
        error_set_errno(error, errno, "%s", path);
        return NULL;
    }
    StagingFile *staging = staging_file_new(folder, budget, NULL);
    staging->fd = fd;
    return staging;
}

gboolean
staging_file_is_in_memory(StagingFile *staging)
{
    return get_fd(staging) < 0;
}

gboolean
staging_file_sync(StagingFile *staging, GError **error)
{
    int fd = get_fd(staging);
    return fd < 0 || fdatasync(fd) == 0 || error_set_errno(error, errno, "%s", staging->folder);
}

static gboolean
copy_ranges(StagingFile *staging, int fd, const GArray *ranges, GError **error)
{
    for (guint i = 0; i < ranges->len; i++) {
        const StagingRange *range = &g_array_index(ranges, StagingRange, i);
        if (!staging_file_copy_to_fd(staging, range->offset, fd, range->offset, range->length_bytes, error))
            return FALSE;
    }
    return TRUE;
}

/* The descriptor keeps its number: whoever reads from it has all the ranges before and after. Takes fd. */
static gboolean
replace_file(StagingFile *staging, int fd, const GArray *ranges, GError **error)
{
    g_assert(staging->window == NULL);
    gboolean ok = copy_ranges(staging, fd, ranges, error);
    lock_acquire(&staging->lock);
    if (ok && staging->fd >= 0) {
        if (dup3(fd, staging->fd, O_CLOEXEC) < 0)
            ok = error_set_errno(error, errno, "%s", staging->folder);
        close(fd);
    } else if (ok) {
        staging->fd = fd;
        drop_memory(staging);
    } else {
        close(fd);
    }
    lock_release(&staging->lock);
    return ok;
}

gboolean
staging_file_renew(StagingFile *staging, const GArray *ranges, GError **error)
{
    int fd = open_unnamed(staging->folder, error);
    return fd >= 0 && replace_file(staging, fd, ranges, error);
}

/* Where a file without a name cannot be given one, a copy has it. */
static gboolean
link_copy(StagingFile *staging, const char *path, const GArray *ranges, GError **error)
{
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return error_set_errno(error, errno, "%s", path);
    if (replace_file(staging, fd, ranges, error))
        return TRUE;
    unlink(path);
    return FALSE;
}

gboolean
staging_file_link(StagingFile *staging, const char *name, const GArray *ranges, GError **error)
{
    g_autofree char *path = g_build_filename(staging->folder, name, NULL);
    lock_acquire(&staging->lock);
    gboolean ok = move_to_disk_locked(staging, error);
    int fd = staging->fd;
    lock_release(&staging->lock);
    if (!ok)
        return FALSE;
    g_autofree char *unnamed = g_strdup_printf("/proc/self/fd/%d", fd);
    if (linkat(AT_FDCWD, unnamed, AT_FDCWD, path, AT_SYMLINK_FOLLOW) != 0 &&
        !link_copy(staging, path, ranges, error))
        return FALSE;
    if (staging_file_sync(staging, error))
        return TRUE;
    unlink(path);
    return FALSE;
}
