#include "src/object/staging_window.h"

#include "src/base/error.h"
#include "src/base/lock.h"
#include "src/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

/* Readers share a piece; whoever writes to it, or takes it away, has it alone. */
typedef struct {
    guint64 index;
    guint8 *bytes;
    gsize begin, end; /* what of `bytes` counts */
    guint readers;
    gboolean writing;
    gboolean released; /* was sent */
} Piece;

struct StagingWindow {
    gint references;
    StagingPool *pool;
    int direct_fd;
    Lock lock;
    Condition changed; /* a piece has less users */
    GHashTable *pieces;
    guint64 next; /* where a write goes on */
    gboolean spilling, closed;
};

static gboolean
is_memory(int fd)
{
    struct statfs status;
    return fstatfs(fd, &status) != 0 || status.f_type == TMPFS_MAGIC || status.f_type == RAMFS_MAGIC;
}

StagingWindow *
staging_window_new(StagingPool *pool, int fd)
{
    g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", fd);
    int direct_fd = is_memory(fd) ? -1 : open(path, O_WRONLY | O_DIRECT | O_CLOEXEC);
    if (direct_fd < 0)
        return NULL;
    StagingWindow *window = g_new0(StagingWindow, 1);
    window->references = 1;
    window->pool = pool;
    window->direct_fd = direct_fd;
    lock_init(&window->lock);
    condition_init(&window->changed);
    window->pieces = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, g_free);
    return window;
}

static void
remove_locked(StagingWindow *window, Piece *piece)
{
    staging_pool_give(window->pool, piece->bytes);
    g_hash_table_remove(window->pieces, &piece->index);
    condition_wake_all(&window->changed);
}

static void
window_unref(StagingWindow *window)
{
    GHashTableIter iter;
    gpointer value = NULL;
    if (!g_atomic_int_dec_and_test(&window->references))
        return;
    g_hash_table_iter_init(&iter, window->pieces);
    while (g_hash_table_iter_next(&iter, NULL, &value))
        staging_pool_give(window->pool, ((Piece *)value)->bytes);
    g_hash_table_unref(window->pieces);
    close(window->direct_fd);
    condition_clear(&window->changed);
    lock_clear(&window->lock);
    g_free(window);
}

void
staging_window_free(StagingWindow *window)
{
    if (window == NULL)
        return;
    lock_acquire(&window->lock);
    window->closed = TRUE;
    lock_release(&window->lock);
    window_unref(window);
}

gboolean
staging_window_write_file(int fd, guint64 offset, const guint8 *data, gsize length_bytes, GError **error)
{
    while (length_bytes > 0) {
        ssize_t written = pwrite(fd, data, length_bytes, (off_t)offset);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return error_set_errno(error, written < 0 ? errno : EIO, "write to the staging directory");
        data += written;
        offset += (guint64)written;
        length_bytes -= (gsize)written;
    }
    return TRUE;
}

static gboolean
write_piece(int fd, const Piece *piece, GError **error)
{
    return staging_window_write_file(fd, piece->index * STAGING_PIECE_BYTES + piece->begin,
                                     piece->bytes + piece->begin, piece->end - piece->begin, error);
}

/* The piece, once nobody writes to it; alone: and nobody reads it. NULL: there is none. */
static Piece *
await_locked(StagingWindow *window, guint64 index, gboolean alone) REQUIRES(window->lock)
{
    Piece *piece;
    while ((piece = g_hash_table_lookup(window->pieces, &index)) != NULL &&
           (piece->writing || (alone && piece->readers > 0)))
        condition_wait(&window->changed, &window->lock, 0);
    return piece;
}

static void spill(gpointer data);

/* The lock of the pool is below. */
static void
begin_spill_locked(StagingWindow *window) REQUIRES(window->lock)
{
    if (window->spilling || window->closed || !staging_pool_is_low(window->pool))
        return;
    window->spilling = TRUE;
    g_atomic_int_inc(&window->references);
    staging_pool_push(window->pool, spill, window);
}

static Piece *
find_released_locked(StagingWindow *window)
{
    GHashTableIter iter;
    gpointer value = NULL;
    Piece *first = NULL;
    g_hash_table_iter_init(&iter, window->pieces);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        Piece *piece = value;
        if (piece->released && !piece->writing && (first == NULL || piece->index < first->index))
            first = piece;
    }
    return first;
}

/* Being one of its readers keeps writers away from the piece until it is gone. */
static void
spill_piece_locked(StagingWindow *window, Piece *piece) REQUIRES(window->lock)
{
    g_autoptr(GError) error = NULL;
    piece->readers++;
    lock_release(&window->lock);
    gboolean ok = write_piece(window->direct_fd, piece, &error);
    lock_acquire(&window->lock);
    while (piece->readers > 1)
        condition_wait(&window->changed, &window->lock, 0);
    piece->readers--;
    if (ok) {
        remove_locked(window, piece);
        return;
    }
    log_debug("what was sent stays in memory: %s", error->message);
    piece->released = FALSE;
    condition_wake_all(&window->changed);
}

static void
spill(gpointer data)
{
    StagingWindow *window = data;
    Piece *piece;
    lock_acquire(&window->lock);
    while (!window->closed && staging_pool_is_low(window->pool) &&
           (piece = find_released_locked(window)) != NULL)
        spill_piece_locked(window, piece);
    window->spilling = FALSE;
    lock_release(&window->lock);
    window_unref(window);
}

/* Puts the piece into the file. The caller has the lock, and waited until nobody uses the piece. */
static gboolean
flush_piece_locked(StagingWindow *window, int fd, Piece *piece, GError **error) REQUIRES(window->lock)
{
    piece->writing = TRUE;
    lock_release(&window->lock);
    gboolean ok = write_piece(fd, piece, error);
    lock_acquire(&window->lock);
    piece->writing = FALSE;
    if (ok)
        remove_locked(window, piece);
    condition_wake_all(&window->changed);
    return ok;
}

/* Memory for what goes on where the last write ended. */
static Piece *
begin_piece_locked(StagingWindow *window, guint64 offset) REQUIRES(window->lock)
{
    guint8 *bytes = offset == window->next ? staging_pool_try(window->pool) : NULL;
    if (bytes == NULL)
        return NULL;
    Piece *piece = g_new0(Piece, 1);
    piece->index = offset / STAGING_PIECE_BYTES;
    piece->bytes = bytes;
    piece->begin = piece->end = offset % STAGING_PIECE_BYTES;
    g_hash_table_insert(window->pieces, &piece->index, piece);
    return piece;
}

gboolean
staging_window_write(StagingWindow *window, int fd, guint64 offset, const void *data, gsize *inout_length,
                     gboolean *out_taken, GError **error)
{
    gsize at = offset % STAGING_PIECE_BYTES, length = MIN(*inout_length, STAGING_PIECE_BYTES - at);
    lock_acquire(&window->lock);
    Piece *piece = await_locked(window, offset / STAGING_PIECE_BYTES, TRUE);
    gboolean apart = piece != NULL && (at < piece->begin || at > piece->end);
    gboolean ok = !apart || flush_piece_locked(window, fd, piece, error);
    if (apart)
        piece = NULL;
    else if (piece == NULL)
        piece = begin_piece_locked(window, offset);
    window->next = offset + length;
    if (piece != NULL) {
        piece->writing = TRUE;
        lock_release(&window->lock);
        memcpy(piece->bytes + at, data, length);
        lock_acquire(&window->lock);
        piece->end = MAX(piece->end, at + length);
        piece->writing = piece->released = FALSE;
        condition_wake_all(&window->changed);
    }
    begin_spill_locked(window);
    lock_release(&window->lock);
    *inout_length = length;
    *out_taken = piece != NULL;
    return ok;
}

gboolean
staging_window_read(StagingWindow *window, guint64 offset, void *buffer, gsize *inout_length)
{
    gsize at = offset % STAGING_PIECE_BYTES, length = MIN(*inout_length, STAGING_PIECE_BYTES - at);
    lock_acquire(&window->lock);
    Piece *piece = await_locked(window, offset / STAGING_PIECE_BYTES, FALSE);
    gboolean here = piece != NULL && at >= piece->begin && at < piece->end;
    if (here)
        length = MIN(length, piece->end - at);
    else if (piece != NULL && at < piece->begin)
        length = MIN(length, piece->begin - at);
    if (here) {
        piece->readers++;
        lock_release(&window->lock);
        memcpy(buffer, piece->bytes + at, length);
        lock_acquire(&window->lock);
        piece->readers--;
        condition_wake_all(&window->changed);
    }
    lock_release(&window->lock);
    *inout_length = length;
    return here;
}

/* Of all pieces, in a GArray: the table changes while pieces are waited for. */
static GArray *
list_locked(StagingWindow *window)
{
    GArray *list = g_array_new(FALSE, FALSE, sizeof(guint64));
    GHashTableIter iter;
    gpointer value = NULL;
    g_hash_table_iter_init(&iter, window->pieces);
    while (g_hash_table_iter_next(&iter, NULL, &value))
        g_array_append_val(list, ((Piece *)value)->index);
    return list;
}

void
staging_window_truncate(StagingWindow *window, guint64 size_bytes)
{
    lock_acquire(&window->lock);
    g_autoptr(GArray) list = list_locked(window);
    for (guint i = 0; i < list->len; i++) {
        guint64 index = g_array_index(list, guint64, i), start = index * STAGING_PIECE_BYTES;
        Piece *piece = start + STAGING_PIECE_BYTES > size_bytes ? await_locked(window, index, TRUE) : NULL;
        if (piece == NULL)
            continue;
        piece->end = start < size_bytes ? MIN(piece->end, size_bytes - start) : 0;
        piece->released = FALSE;
        if (piece->end <= piece->begin)
            remove_locked(window, piece);
    }
    lock_release(&window->lock);
}

gboolean
staging_window_flush(StagingWindow *window, int fd, GError **error)
{
    gboolean ok = TRUE;
    lock_acquire(&window->lock);
    g_autoptr(GArray) list = list_locked(window);
    for (guint i = 0; i < list->len && ok; i++) {
        Piece *piece = await_locked(window, g_array_index(list, guint64, i), TRUE);
        ok = piece == NULL || flush_piece_locked(window, fd, piece, error);
    }
    lock_release(&window->lock);
    return ok;
}

gboolean
staging_window_is_empty(StagingWindow *window)
{
    lock_acquire(&window->lock);
    gboolean empty = g_hash_table_size(window->pieces) == 0;
    lock_release(&window->lock);
    return empty;
}

void
staging_window_release(StagingWindow *window, guint64 offset, guint64 length_bytes)
{
    guint64 end = (offset + length_bytes) / STAGING_PIECE_BYTES;
    lock_acquire(&window->lock);
    for (guint64 index = offset / STAGING_PIECE_BYTES; index < end; index++) {
        Piece *piece = g_hash_table_lookup(window->pieces, &index);
        /* Direct I/O takes whole blocks. */
        if (piece != NULL && piece->begin == 0 && piece->end == STAGING_PIECE_BYTES)
            piece->released = TRUE;
    }
    begin_spill_locked(window);
    lock_release(&window->lock);
}
