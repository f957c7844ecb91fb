#include "src/object/block_cache.h"

#include "src/base/error.h"
#include "src/base/lock.h"
#include "src/object/call_wait.h"

#include <string.h>
#include <sys/mman.h>

/* Blocks that were read to their end and stay for a reader that follows; memory kept for the next block,
 * because mapping and zeroing it again costs a tenth of a fetch from a fast server. */
#define MAXIMUM_USED_BYTES (8 * (guint64)BLOCK_CACHE_BLOCK_BYTES)
/* Small objects that came with their metadata, and nobody has read yet. */
#define MAXIMUM_KEPT_BLOCKS 1024u
#define MAXIMUM_KEPT_BYTES (8 * (guint64)BLOCK_CACHE_BLOCK_BYTES)
#define MAXIMUM_SPARES 4u

typedef enum { BLOCK_FETCHING, BLOCK_READY, BLOCK_FAILED } BlockState;

struct Block {
    /* All guarded by the cache's lock, but data, which is written once before READY. */
    BlockCache *cache;
    ObjectVersion *version;
    guint64 version_id, index;
    guint references; /* claims, waiters and pieces of ReadVectors */
    BlockState state;
    GQueue *queue;      /* NULL: not listed any more; else it is in by_index, too */
    guint waiters;      /* readers inside block_cache_wait() */
    Call *call;         /* FETCHING on a lane: cancelled when the last waiter leaves; else NULL */
    StreamClock *clock; /* of the position it was fetched ahead of, or NULL */
    gboolean begun;     /* somebody read of it */
    GError *error;
    Condition done;
    guint8 *data;
    gsize length_bytes;
    GList link;
};

struct BlockCache {
    Lock lock;
    MemoryBudget *budget;
    GHashTable *by_index;
    GQueue used, unused, kept; /* read to their end, not yet, block_cache_keep()'s; oldest first */
    guint64 used_bytes, kept_bytes;
    guint8 *spares[MAXIMUM_SPARES];
    guint spare_count;
    guint64 hits, misses;
    GSList *orphans; /* versions of freed blocks, dropped when the lock is free */
};

/* Dropping the last reference of a version may close its storage: not under the lock. */
static void leave(BlockCache *cache) RELEASES(cache->lock);
static void
leave(BlockCache *cache)
{
    GSList *orphans = g_steal_pointer(&cache->orphans);
    lock_release(&cache->lock);
    g_slist_free_full(orphans, (GDestroyNotify)object_version_unref);
}

static guint
block_hash(gconstpointer data)
{
    const Block *block = data;
    guint64 mixed = (block->version_id * G_GUINT64_CONSTANT(0x9e3779b97f4a7c15)) ^ block->index;
    return (guint)(mixed ^ (mixed >> 32));
}

static gboolean
block_equal(gconstpointer a, gconstpointer b)
{
    const Block *x = a, *y = b;
    return x->version_id == y->version_id && x->index == y->index;
}

static Block *
find_locked(BlockCache *cache, ObjectVersion *version, guint64 index)
{
    Block wanted = {.version_id = object_version_get_id(version), .index = index};
    return g_hash_table_lookup(cache->by_index, &wanted);
}

static gsize
block_length(ObjectVersion *version, guint64 index)
{
    guint64 start = index * BLOCK_CACHE_BLOCK_BYTES, size = object_version_get_size(version);
    return start < size ? (gsize)MIN(size - start, BLOCK_CACHE_BLOCK_BYTES) : 0;
}

static guint8 *
map_memory(void)
{
    void *data =
        mmap(NULL, BLOCK_CACHE_BLOCK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return data != MAP_FAILED ? data : NULL;
}

/* Whole blocks are mapped, so that their memory really goes back to the system; short ones come from the
 * heap. Both are charged with what they use. NULL when the budget or the system has no more. */
static guint8 *
take_memory_locked(BlockCache *cache, gsize length_bytes)
{
    gboolean whole = length_bytes == BLOCK_CACHE_BLOCK_BYTES;
    if (whole && cache->spare_count > 0)
        return cache->spares[--cache->spare_count];
    if (!memory_budget_try(cache->budget, length_bytes))
        return NULL;
    guint8 *data = whole ? map_memory() : g_try_malloc(length_bytes);
    if (data == NULL)
        memory_budget_give(cache->budget, length_bytes);
    return data;
}

static void
give_memory_locked(BlockCache *cache, guint8 *data, gsize length_bytes)
{
    gboolean whole = length_bytes == BLOCK_CACHE_BLOCK_BYTES;
    if (whole && cache->spare_count < MAXIMUM_SPARES && !memory_budget_is_short(cache->budget)) {
        cache->spares[cache->spare_count++] = data;
        return;
    }
    if (whole)
        munmap(data, BLOCK_CACHE_BLOCK_BYTES);
    else
        g_free(data);
    memory_budget_give(cache->budget, length_bytes);
}

static void
free_block_locked(Block *block)
{
    give_memory_locked(block->cache, block->data, block->length_bytes);
    block->cache->orphans = g_slist_prepend(block->cache->orphans, block->version);
    g_clear_error(&block->error);
    condition_clear(&block->done);
    stream_clock_unref(block->clock);
    g_free(block);
}

static void
count_locked(Block *block, gint sign)
{
    BlockCache *cache = block->cache;
    if (block->queue == &cache->used)
        cache->used_bytes += (guint64)sign * block->length_bytes;
    else if (block->queue == &cache->kept)
        cache->kept_bytes += (guint64)sign * block->length_bytes;
}

static void
set_queue_locked(Block *block, GQueue *queue)
{
    if (block->queue != NULL) {
        count_locked(block, -1);
        g_queue_unlink(block->queue, &block->link);
    }
    block->queue = queue;
    if (queue != NULL) {
        g_queue_push_tail_link(queue, &block->link);
        count_locked(block, 1);
    }
}

/* Nobody finds it any more; it goes now, or with its last reference. */
static void
unlist_locked(Block *block)
{
    g_hash_table_remove(block->cache->by_index, block);
    set_queue_locked(block, NULL);
    if (block->references == 0)
        free_block_locked(block);
}

static void
unref_locked(Block *block)
{
    if (--block->references > 0)
        return;
    if (block->queue == NULL)
        free_block_locked(block);
    else if (memory_budget_is_short(block->cache->budget))
        unlist_locked(block);
}

static void
release(gpointer owner)
{
    Block *block = owner;
    BlockCache *cache = block->cache;
    lock_acquire(&cache->lock);
    unref_locked(block);
    leave(cache);
}

static guint64
evict_locked(BlockCache *cache, GQueue *queue, guint64 wanted_bytes)
{
    guint64 bytes = 0;
    for (GList *item = queue->head, *next; item != NULL && bytes < wanted_bytes; item = next) {
        Block *block = item->data;
        next = item->next;
        if (block->references > 0)
            continue;
        bytes += block->length_bytes;
        unlist_locked(block);
    }
    return bytes;
}

/* Of who pauses: what his reader wants last goes first. */
static guint64
evict_paused_locked(BlockCache *cache, guint64 wanted_bytes)
{
    guint64 bytes = 0;
    gint64 now_us = g_get_monotonic_time();
    for (GList *item = cache->unused.tail, *next; item != NULL && bytes < wanted_bytes; item = next) {
        Block *block = item->data;
        next = item->prev;
        if (block->references > 0 || !stream_clock_is_paused(block->clock, now_us))
            continue;
        bytes += block->length_bytes;
        unlist_locked(block);
    }
    return bytes;
}

/* What was fetched ahead last and nobody has begun to read is wanted latest. */
static guint64
evict_farthest_locked(BlockCache *cache, guint64 wanted_bytes)
{
    guint64 bytes = 0;
    for (GList *item = cache->unused.tail, *next; item != NULL && bytes < wanted_bytes; item = next) {
        Block *block = item->data;
        next = item->prev;
        if (block->references > 0 || block->begun)
            continue;
        bytes += block->length_bytes;
        unlist_locked(block);
    }
    return bytes;
}

static guint64
drop_spares_locked(BlockCache *cache)
{
    guint64 bytes = 0;
    while (cache->spare_count > 0) {
        munmap(cache->spares[--cache->spare_count], BLOCK_CACHE_BLOCK_BYTES);
        memory_budget_give(cache->budget, BLOCK_CACHE_BLOCK_BYTES);
        bytes += BLOCK_CACHE_BLOCK_BYTES;
    }
    return bytes;
}

static void
reclaim(gpointer data, guint64 bytes)
{
    BlockCache *cache = data;
    lock_acquire(&cache->lock);
    guint64 freed = drop_spares_locked(cache);
    if (freed < bytes)
        freed += evict_locked(cache, &cache->used, bytes - freed);
    if (freed < bytes)
        freed += evict_locked(cache, &cache->kept, bytes - freed);
    if (freed < bytes)
        freed += evict_paused_locked(cache, bytes - freed);
    if (freed < bytes)
        freed += evict_farthest_locked(cache, bytes - freed);
    if (freed < bytes)
        evict_locked(cache, &cache->unused, bytes - freed);
    leave(cache);
}

BlockCache *
block_cache_new(MemoryBudget *budget)
{
    BlockCache *cache = g_new0(BlockCache, 1);
    lock_init(&cache->lock);
    cache->budget = budget;
    cache->by_index = g_hash_table_new(block_hash, block_equal);
    g_queue_init(&cache->used);
    g_queue_init(&cache->unused);
    g_queue_init(&cache->kept);
    memory_budget_set_reclaim(budget, reclaim, cache);
    return cache;
}

void
block_cache_free(BlockCache *cache)
{
    if (cache == NULL)
        return;
    lock_acquire(&cache->lock);
    evict_locked(cache, &cache->used, G_MAXUINT64);
    evict_locked(cache, &cache->unused, G_MAXUINT64);
    evict_locked(cache, &cache->kept, G_MAXUINT64);
    drop_spares_locked(cache);
    g_assert(g_hash_table_size(cache->by_index) == 0);
    leave(cache);
    g_hash_table_unref(cache->by_index);
    lock_clear(&cache->lock);
    g_free(cache);
}

/* Read again: last to go in its queue. Read to its end: one of the few used ones. */
static void
touch_locked(BlockCache *cache, Block *block, gboolean to_end)
{
    block->begun = TRUE;
    set_queue_locked(block, to_end ? &cache->used : block->queue);
    if (cache->used_bytes > MAXIMUM_USED_BYTES)
        evict_locked(cache, &cache->used, cache->used_bytes - MAXIMUM_USED_BYTES);
}

static BlocksState
check_locked(BlockCache *cache, ObjectVersion *version, guint64 first, guint64 last, guint64 *out_index)
{
    BlocksState state = BLOCKS_READY;
    for (guint64 index = first; index <= last; index++) {
        Block *block = find_locked(cache, version, index);
        if (block == NULL) {
            *out_index = index;
            return BLOCKS_ABSENT;
        }
        if (block->state == BLOCK_FETCHING && state == BLOCKS_READY) {
            *out_index = index;
            state = BLOCKS_FETCHING;
        }
    }
    return state;
}

static void
add_pieces_locked(BlockCache *cache, ObjectVersion *version, guint64 offset, gsize length_bytes,
                  ReadVector *out)
{
    for (guint64 end = offset + length_bytes; offset < end;) {
        Block *block = find_locked(cache, version, offset / BLOCK_CACHE_BLOCK_BYTES);
        gsize skip = offset % BLOCK_CACHE_BLOCK_BYTES;
        gsize take = MIN(block->length_bytes - skip, end - offset);
        block->references++;
        read_vector_add(out, block->data + skip, take, block, release);
        offset += take;
    }
}

/* After all of them are held: touching one may push another out. */
static void
touch_range_locked(BlockCache *cache, ObjectVersion *version, guint64 offset, gsize length_bytes)
{
    for (guint64 end = offset + length_bytes; offset < end;) {
        Block *block = find_locked(cache, version, offset / BLOCK_CACHE_BLOCK_BYTES);
        gsize skip = offset % BLOCK_CACHE_BLOCK_BYTES;
        gsize take = MIN(block->length_bytes - skip, end - offset);
        touch_locked(cache, block, skip + take == block->length_bytes);
        offset += take;
    }
}

BlocksState
block_cache_look(BlockCache *cache, ObjectVersion *version, guint64 offset, gsize length_bytes,
                 ReadVector *out, guint64 *out_index)
{
    guint64 first = offset / BLOCK_CACHE_BLOCK_BYTES;
    guint64 last = (offset + length_bytes - 1) / BLOCK_CACHE_BLOCK_BYTES;
    lock_acquire(&cache->lock);
    BlocksState state = check_locked(cache, version, first, last, out_index);
    if (state == BLOCKS_READY) {
        cache->hits++;
        add_pieces_locked(cache, version, offset, length_bytes, out);
        touch_range_locked(cache, version, offset, length_bytes);
    } else if (state == BLOCKS_ABSENT) {
        cache->misses++;
    }
    leave(cache);
    return state;
}

static Block *
block_new_locked(BlockCache *cache, ObjectVersion *version, guint64 index, const BlockOwner *owner,
                 guint8 *data, gsize length_bytes)
{
    Block *block = g_new0(Block, 1);
    block->cache = cache;
    block->version = object_version_ref(version);
    block->version_id = object_version_get_id(version);
    block->index = index;
    block->references = 1;
    block->state = BLOCK_FETCHING;
    if (owner != NULL) {
        block->call = call_ref(owner->call);
        block->clock = stream_clock_ref(owner->clock);
    }
    block->data = data;
    block->length_bytes = length_bytes;
    block->link.data = block;
    condition_init(&block->done);
    g_hash_table_add(cache->by_index, block);
    set_queue_locked(block, &cache->unused);
    return block;
}

static void
trim_kept_locked(BlockCache *cache, gsize added_bytes)
{
    if (cache->kept.length > MAXIMUM_KEPT_BLOCKS || cache->kept_bytes > MAXIMUM_KEPT_BYTES)
        evict_locked(cache, &cache->kept, added_bytes);
}

void
block_cache_keep(BlockCache *cache, ObjectVersion *version, const void *data)
{
    gsize length_bytes = block_length(version, 0);
    g_assert(length_bytes == object_version_get_size(version) && length_bytes > 0);
    lock_acquire(&cache->lock);
    guint8 *memory = find_locked(cache, version, 0) == NULL ? take_memory_locked(cache, length_bytes) : NULL;
    if (memory != NULL) {
        memcpy(memory, data, length_bytes);
        Block *block = block_new_locked(cache, version, 0, NULL, memory, length_bytes);
        block->state = BLOCK_READY;
        set_queue_locked(block, &cache->kept);
        unref_locked(block);
    }
    trim_kept_locked(cache, length_bytes);
    leave(cache);
}

/* At nobody's cost who reads now. */
static gboolean
make_room_locked(BlockCache *cache, guint64 bytes)
{
    guint64 freed = evict_locked(cache, &cache->used, bytes);
    if (freed < bytes)
        freed += evict_paused_locked(cache, bytes - freed);
    return freed > 0;
}

Block *
block_cache_claim(BlockCache *cache, ObjectVersion *version, guint64 index, const BlockOwner *owner,
                  gboolean *out_full)
{
    gsize length_bytes = block_length(version, index);
    Block *block = NULL;
    *out_full = FALSE;
    if (length_bytes == 0)
        return NULL;
    lock_acquire(&cache->lock);
    if (find_locked(cache, version, index) == NULL) {
        guint8 *data = take_memory_locked(cache, length_bytes);
        if (data == NULL && make_room_locked(cache, length_bytes))
            data = take_memory_locked(cache, length_bytes);
        if (data != NULL)
            block = block_new_locked(cache, version, index, owner, data, length_bytes);
        *out_full = data == NULL;
    }
    leave(cache);
    return block;
}

/* Takes the claim. keep: it lies with the kept ones from now on. */
static void
end_fetch(BlockCache *cache, Block *block, gboolean keep, const GError *failure)
{
    lock_acquire(&cache->lock);
    block->state = failure == NULL ? BLOCK_READY : BLOCK_FAILED;
    if (failure != NULL) {
        block->error = g_error_copy(failure);
        unlist_locked(block);
    } else if (keep && !block->begun) {
        set_queue_locked(block, &cache->kept);
    }
    condition_wake_all(&block->done);
    Call *own = g_steal_pointer(&block->call);
    gsize length_bytes = block->length_bytes;
    unref_locked(block);
    if (keep)
        trim_kept_locked(cache, length_bytes);
    leave(cache);
    call_unref(own);
}

void *
block_cache_get_buffer(Block *block)
{
    return block->data;
}

void
block_cache_end(BlockCache *cache, Block *block, const GError *failure)
{
    end_fetch(cache, block, TRUE, failure);
}

gboolean
block_cache_run(BlockCache *cache, Block *block, Call *call, GError **error)
{
    g_autoptr(GError) local_error = NULL;
    gboolean ok = object_version_read(block->version, call, block->index * BLOCK_CACHE_BLOCK_BYTES,
                                      block->length_bytes, block->data, &local_error);
    end_fetch(cache, block, FALSE, local_error);
    if (!ok)
        g_propagate_error(error, g_steal_pointer(&local_error));
    return ok;
}

/* CANCELLED ended the fetch of a reader that went away: no reason to fail for the others. */
static gboolean
report_locked(const Block *block, GError **error)
{
    if (block->state != BLOCK_FAILED || error_is(block->error, ERROR_CANCELLED))
        return TRUE;
    if (error != NULL)
        *error = g_error_copy(block->error);
    return FALSE;
}

static Block *
join(BlockCache *cache, ObjectVersion *version, guint64 index)
{
    lock_acquire(&cache->lock);
    Block *block = find_locked(cache, version, index);
    if (block != NULL && block->state == BLOCK_FETCHING) {
        block->references++;
        block->waiters++;
    } else {
        block = NULL;
    }
    leave(cache);
    return block;
}

/* Whoever waited longest may be the only one who wanted it: a fetch that hangs is not left for the next. */
static Call *
quit_locked(Block *block)
{
    gboolean abandoned = --block->waiters == 0 && block->state == BLOCK_FETCHING;
    return abandoned ? call_ref(block->call) : NULL;
}

gboolean
block_cache_wait(BlockCache *cache, ObjectVersion *version, guint64 index, Call *call, GError **error)
{
    CallWait wait;
    gboolean ok = TRUE;
    Block *block = join(cache, version, index);
    if (block == NULL)
        return TRUE;

    call_wait_begin(&wait, call, &cache->lock, &block->done);
    lock_acquire(&cache->lock);
    while (block->state == BLOCK_FETCHING && ok)
        ok = call_wait_next(&wait, error);
    if (ok)
        ok = report_locked(block, error);
    Call *abandoned = quit_locked(block);
    leave(cache);
    call_wait_end(&wait);
    call_cancel(abandoned);
    call_unref(abandoned);
    release(block);
    return ok;
}

guint64
block_cache_discard(BlockCache *cache, ObjectVersion *version, guint64 first, guint64 last)
{
    guint64 bytes = 0;
    lock_acquire(&cache->lock);
    for (guint64 index = first; index <= last; index++) {
        Block *block = find_locked(cache, version, index);
        if (block == NULL || block->references > 0 || block->queue == &cache->used)
            continue;
        bytes += block->length_bytes;
        unlist_locked(block);
    }
    leave(cache);
    return bytes;
}

guint
block_cache_count_waiters(BlockCache *cache, ObjectVersion *version, guint64 index)
{
    lock_acquire(&cache->lock);
    const Block *block = find_locked(cache, version, index);
    guint waiters = block != NULL ? block->waiters : 0;
    leave(cache);
    return waiters;
}

void
block_cache_get_counts(BlockCache *cache, guint64 *out_hits, guint64 *out_misses)
{
    lock_acquire(&cache->lock);
    *out_hits = cache->hits;
    *out_misses = cache->misses;
    leave(cache);
}
