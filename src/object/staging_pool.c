#include "src/object/staging_pool.h"

#include "src/base/lock.h"

#include <sys/mman.h>

struct StagingPool {
    Lock lock;               /* among the pools of the lock order */
    guint limit, used, peak; /* in pieces */
    GPtrArray *idle;         /* have been used, and will be again */
    WorkerPool *workers;
};

StagingPool *
staging_pool_new(guint64 limit_bytes)
{
    StagingPool *pool = g_new0(StagingPool, 1);
    lock_init(&pool->lock);
    pool->limit = (guint)MIN(limit_bytes / STAGING_PIECE_BYTES, G_MAXINT);
    pool->idle = g_ptr_array_new();
    /* One: the disk is the same for all. */
    pool->workers = worker_pool_new("staging", 1);
    return pool;
}

static void
free_piece(gpointer piece)
{
    munmap(piece, STAGING_PIECE_BYTES);
}

void
staging_pool_free(StagingPool *pool)
{
    if (pool == NULL)
        return;
    worker_pool_free(pool->workers);
    g_assert(pool->used == 0);
    g_ptr_array_unref(pool->idle);
    lock_clear(&pool->lock);
    g_free(pool);
}

/* A mapping of its own: given back it is really gone, whatever else the heap holds. */
static guint8 *
new_piece(void)
{
    void *piece = mmap(NULL, STAGING_PIECE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return piece != MAP_FAILED ? piece : NULL;
}

guint8 *
staging_pool_try(StagingPool *pool)
{
    guint8 *piece = NULL;
    lock_acquire(&pool->lock);
    if (pool->used < pool->limit)
        piece =
            pool->idle->len > 0 ? g_ptr_array_steal_index_fast(pool->idle, pool->idle->len - 1) : new_piece();
    pool->used += piece != NULL;
    pool->peak = MAX(pool->peak, pool->used);
    lock_release(&pool->lock);
    return piece;
}

void
staging_pool_give(StagingPool *pool, guint8 *piece)
{
    g_autoptr(GPtrArray) unused = NULL;
    lock_acquire(&pool->lock);
    g_ptr_array_add(pool->idle, piece);
    if (--pool->used == 0) {
        unused = g_steal_pointer(&pool->idle);
        pool->idle = g_ptr_array_new();
    }
    lock_release(&pool->lock);
    for (guint i = 0; unused != NULL && i < unused->len; i++)
        free_piece(g_ptr_array_index(unused, i));
}

gboolean
staging_pool_is_low(StagingPool *pool)
{
    lock_acquire(&pool->lock);
    gboolean low = pool->used > pool->limit / 2;
    lock_release(&pool->lock);
    return low;
}

void
staging_pool_push(StagingPool *pool, WorkerTask task, gpointer data)
{
    worker_pool_push(pool->workers, task, data);
}

guint64
staging_pool_get_limit(StagingPool *pool)
{
    return (guint64)pool->limit * STAGING_PIECE_BYTES;
}

void
staging_pool_get_use(StagingPool *pool, guint64 *out_used_bytes, guint64 *out_peak_bytes)
{
    lock_acquire(&pool->lock);
    *out_used_bytes = (guint64)pool->used * STAGING_PIECE_BYTES;
    *out_peak_bytes = (guint64)pool->peak * STAGING_PIECE_BYTES;
    lock_release(&pool->lock);
}
