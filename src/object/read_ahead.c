#include "src/object/read_ahead.h"

#include "src/base/lock.h"
#include "src/object/object_store_private.h"
#include "src/object/read_stride.h"
#include "src/object/read_window.h"

#define BLOCK BLOCK_CACHE_BLOCK_BYTES
/* Positions of one handle that may advance at the same time (threads that share a descriptor). */
#define CURSORS 4u
/* How far the kernel's parallel requests of one sequential reader stray from their order; less before the
 * reader is known to be one, so that random reads seldom look like it. */
#define DISORDER_BYTES (2u << 20)
#define FIRST_DISORDER_BYTES (512u << 10)
#define SMALL_FILE_BYTES (128u << 10)
#define MAXIMUM_ATTEMPTS 8
/* Who skips more than eight times what he reads, with more than a few reads, does not want whole blocks. */
#define SPARSE_FACTOR 8u
#define SPARSE_READS 4u

/* One position: what was read at it lies between low and high. */
typedef struct {
    guint64 low, high;
    guint forward, backward;                 /* reads that moved high up, or low down */
    guint64 recently_read, recently_skipped; /* bytes, the older the less */
    guint64 asked_from, asked_end;           /* blocks asked for, from .. end */
    ReadWindow window;
    guint64 last_use;
    StreamClock *clock; /* NULL: nothing is fetched ahead of it */
} Cursor;

struct ReadAhead {
    ObjectStore *store;
    ReadStride *stride;
    Call *call; /* of everything fetched ahead; without a deadline */
    Lock lock;  /* above block_cache in the lock order */
    ObjectVersion *version;
    Cursor cursors[CURSORS];
    guint64 clock;
};

ReadAhead *
read_ahead_new(ObjectStore *store)
{
    ReadAhead *ahead = g_new0(ReadAhead, 1);
    ahead->store = store;
    ahead->stride = read_stride_new(store);
    ahead->call = call_new(0);
    lock_init(&ahead->lock);
    return ahead;
}

static gboolean
is_backward(const Cursor *cursor)
{
    return cursor->backward > 1 && cursor->backward > cursor->forward;
}

static gboolean
is_sparse(const Cursor *cursor)
{
    return cursor->forward + cursor->backward >= SPARSE_READS &&
           cursor->recently_skipped > SPARSE_FACTOR * cursor->recently_read;
}

/* What was fetched for this position and nobody read. */
static void
end_cursor_locked(ReadAhead *ahead, Cursor *cursor)
{
    if (cursor->clock != NULL && cursor->asked_end > cursor->asked_from) {
        guint64 first =
            is_backward(cursor) ? cursor->asked_from : MAX(cursor->asked_from, cursor->high / BLOCK);
        guint64 wasted =
            block_cache_discard(ahead->store->blocks, ahead->version, first, cursor->asked_end - 1);
        object_store_count_read_ahead(ahead->store, 0, wasted);
    }
    stream_clock_end(cursor->clock);
    *cursor = (Cursor){0};
}

static void
forget_version_locked(ReadAhead *ahead)
{
    for (guint i = 0; i < CURSORS; i++)
        end_cursor_locked(ahead, &ahead->cursors[i]);
    g_clear_pointer(&ahead->version, object_version_unref);
}

void
read_ahead_free(ReadAhead *ahead)
{
    if (ahead == NULL)
        return;
    call_cancel(ahead->call);
    lock_acquire(&ahead->lock);
    forget_version_locked(ahead);
    lock_release(&ahead->lock);
    read_stride_free(ahead->stride);
    call_unref(ahead->call);
    lock_clear(&ahead->lock);
    g_free(ahead);
}

typedef struct {
    ObjectStore *store;
    Block *block;
    Call *call;
    Storage *storage;
} Fetch;

static void
run_fetch(gpointer data)
{
    g_autofree Fetch *fetch = data;
    DiskCache *disk_cache = fetch->store->disk_cache;
    if (disk_cache != NULL)
        disk_cache_expect(disk_cache, BLOCK);
    block_cache_run(fetch->store->blocks, fetch->block, fetch->call, NULL);
    if (disk_cache != NULL)
        disk_cache_end_expected(disk_cache, BLOCK);
    call_unref(fetch->call);
    object_store_end_task(fetch->store);
    storage_unref(fetch->storage);
}

/* Takes call. */
static void
push_fetch(ReadAhead *ahead, ObjectVersion *version, Block *block, Call *call)
{
    Fetch *fetch = g_new0(Fetch, 1);
    fetch->storage = storage_ref(object_version_get_storage(version));
    fetch->store = ahead->store;
    fetch->block = block;
    fetch->call = call;
    object_store_begin_task(ahead->store);
    worker_pool_push(storage_get_lane(fetch->storage, STORAGE_LANE_TRANSFERS), run_fetch, fetch);
}

/* An equal share of three quarters of the budget: the rest is for what readers wait for. */
static guint64
get_window(ReadAhead *ahead, const Cursor *cursor, gint64 now_us)
{
    guint streams = stream_clock_set_count_active(ahead->store->clocks, now_us);
    guint64 share = memory_budget_get_limit(ahead->store->budget) / 4 * 3 / streams;
    return MIN(read_window_get_bytes(&cursor->window), share);
}

/* FALSE: memory is short. */
static gboolean
fetch_block_ahead(ReadAhead *ahead, ObjectVersion *version, const Cursor *cursor, guint64 index)
{
    gboolean full = FALSE;
    g_autoptr(Call) call = call_new_without_deadline(ahead->call);
    const BlockOwner owner = {call, cursor->clock};
    Block *block = block_cache_claim(ahead->store->blocks, version, index, &owner, &full);
    if (block == NULL)
        return !full;
    push_fetch(ahead, version, block, g_steal_pointer(&call));
    object_store_count_read_ahead(ahead->store, BLOCK, 0);
    return TRUE;
}

/* Block `demanded` itself is left to the reader, who fetches it without changing threads. */
static void
fetch_upwards_locked(ReadAhead *ahead, ObjectVersion *version, Cursor *cursor, guint64 demanded,
                     gint64 now_us)
{
    guint64 end = MIN(cursor->high + get_window(ahead, cursor, now_us), object_version_get_size(version));
    cursor->asked_end = MAX(cursor->asked_end, demanded + 1);
    while (cursor->asked_end * BLOCK < end && fetch_block_ahead(ahead, version, cursor, cursor->asked_end))
        cursor->asked_end++;
}

static void
fetch_downwards_locked(ReadAhead *ahead, ObjectVersion *version, Cursor *cursor, guint64 demanded,
                       gint64 now_us)
{
    guint64 window = get_window(ahead, cursor, now_us);
    guint64 start = cursor->low > window ? cursor->low - window : 0;
    if (cursor->asked_end <= demanded)
        cursor->asked_end = demanded + 1;
    cursor->asked_from = MIN(cursor->asked_from, demanded);
    while (cursor->asked_from * BLOCK > start &&
           fetch_block_ahead(ahead, version, cursor, cursor->asked_from - 1))
        cursor->asked_from--;
}

static gboolean
is_within(guint64 a, guint64 b, guint64 distance)
{
    return a <= b + distance && b <= a + distance;
}

static gboolean
is_near(const Cursor *cursor, guint64 offset, guint64 end)
{
    guint64 disorder = cursor->clock != NULL ? DISORDER_BYTES : FIRST_DISORDER_BYTES;
    return cursor->forward > 0 &&
           (is_within(offset, cursor->high, disorder) || is_within(end, cursor->low, disorder));
}

/* The position that this read continues, else the one that was idle longest, begun anew. */
static Cursor *
find_cursor_locked(ReadAhead *ahead, guint64 offset, guint64 end)
{
    Cursor *oldest = &ahead->cursors[0];
    for (guint i = 0; i < CURSORS; i++) {
        Cursor *cursor = &ahead->cursors[i];
        if (is_near(cursor, offset, end))
            return cursor;
        if (cursor->last_use < oldest->last_use)
            oldest = cursor;
    }
    end_cursor_locked(ahead, oldest);
    return oldest;
}

static void
note_density(Cursor *cursor, guint64 offset, guint64 end)
{
    guint64 skipped = 0;
    if (cursor->forward > 0 && offset > cursor->high)
        skipped = offset - cursor->high;
    else if (end < cursor->low)
        skipped = cursor->low - end;
    cursor->recently_read = cursor->recently_read / 8 * 7 + (end - offset);
    cursor->recently_skipped = cursor->recently_skipped / 8 * 7 + skipped;
}

static void
move_cursor(Cursor *cursor, guint64 offset, guint64 end, gint64 now_us)
{
    gboolean first = cursor->forward == 0, up = first || end > cursor->high;
    if (!up && offset >= cursor->low)
        return;
    cursor->low = first ? offset : MIN(cursor->low, offset);
    cursor->high = MAX(cursor->high, end);
    cursor->forward += up;
    cursor->backward += !up;
    read_window_note(&cursor->window, (gsize)(end - offset), now_us);
}

/* Notes one read and fetches ahead of it. TRUE: whole blocks are worth it. */
static gboolean
note(ReadAhead *ahead, ObjectVersion *version, guint64 offset, gsize length_bytes, gboolean waits)
{
    guint64 size = object_version_get_size(version), end = offset + length_bytes;
    gint64 now_us = g_get_monotonic_time();
    lock_acquire(&ahead->lock);
    if (ahead->version != version) {
        forget_version_locked(ahead);
        ahead->version = object_version_ref(version);
    }
    Cursor *cursor = find_cursor_locked(ahead, offset, end);
    cursor->last_use = ++ahead->clock;
    note_density(cursor, offset, end);
    move_cursor(cursor, offset, end, now_us);
    if (waits)
        read_window_note_wait(&cursor->window);
    gboolean backward = is_backward(cursor);
    gboolean sequential =
        !is_sparse(cursor) && (backward || cursor->forward > 1 || (offset == 0 && length_bytes >= BLOCK / 2));
    if (sequential && cursor->clock == NULL) {
        cursor->clock = stream_clock_new(ahead->store->clocks, now_us);
        cursor->asked_from = cursor->asked_end = offset / BLOCK;
    }
    if (sequential)
        stream_clock_touch(cursor->clock, now_us);
    if (backward)
        fetch_downwards_locked(ahead, version, cursor, offset / BLOCK, now_us);
    else if (sequential)
        fetch_upwards_locked(ahead, version, cursor, offset / BLOCK, now_us);
    lock_release(&ahead->lock);
    return sequential || size <= SMALL_FILE_BYTES || (size <= BLOCK && offset == 0);
}

gboolean
read_ahead_read(ReadAhead *ahead, Call *call, ObjectVersion *version, guint64 offset, gsize length_bytes,
                ReadVector *out, GError **error)
{
    BlockCache *blocks = ahead->store->blocks;
    gboolean whole_blocks = note(ahead, version, offset, length_bytes, TRUE);
    /* Nothing is held between the attempts, so a block may be evicted before it is looked at again. */
    for (guint attempt = 0; attempt < MAXIMUM_ATTEMPTS; attempt++) {
        guint64 index = 0;
        gboolean full = FALSE;
        BlocksState state = block_cache_look(blocks, version, offset, length_bytes, out, &index);
        if (state == BLOCKS_READY)
            return TRUE;
        if (state == BLOCKS_FETCHING) {
            if (!block_cache_wait(blocks, version, index, call, error))
                return FALSE;
            continue;
        }
        if (!whole_blocks)
            break;
        Block *block = block_cache_claim(blocks, version, index, NULL, &full);
        if (full)
            break;
        if (block != NULL && !block_cache_run(blocks, block, call, error))
            return FALSE;
    }
    return read_stride_read(ahead->stride, call, version, offset, length_bytes, out, error);
}

gboolean
read_ahead_read_ready(ReadAhead *ahead, ObjectVersion *version, guint64 offset, gsize length_bytes,
                      ReadVector *out)
{
    guint64 index = 0;
    if (block_cache_look(ahead->store->blocks, version, offset, length_bytes, out, &index) != BLOCKS_READY)
        return FALSE;
    note(ahead, version, offset, length_bytes, FALSE);
    return TRUE;
}

gboolean
read_ahead_was_used(ReadAhead *ahead)
{
    lock_acquire(&ahead->lock);
    gboolean used = ahead->version != NULL;
    lock_release(&ahead->lock);
    return used;
}
