#include "src/object/read_ahead.h"

#include "src/base/lock.h"
#include "src/object/object_store_private.h"

#define BLOCK BLOCK_CACHE_BLOCK_BYTES
#define PAGE 4096u
/* Positions of one handle that may advance at the same time (threads that share a descriptor). */
#define CURSORS 4u
/* How far the kernel's parallel requests of one sequential reader stray from their order; less before the
 * reader is known to be one, so that random reads seldom look like it. */
#define DISORDER_BYTES (2u << 20)
#define FIRST_DISORDER_BYTES (512u << 10)
#define SMALL_FILE_BYTES (128u << 10)
#define MAXIMUM_WINDOW_BYTES (32u << 20)
#define MAXIMUM_ATTEMPTS 8

typedef struct {
    guint64 high;       /* end of what was read so far */
    guint64 run_bytes;  /* read forward without a break */
    guint64 next_block; /* first block not asked for yet */
    guint reads;
    guint64 last_use;
    gboolean streaming; /* counted among the store's streams */
} Cursor;

struct ReadAhead {
    ObjectStore *store;
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
    ahead->call = call_new(0);
    lock_init(&ahead->lock);
    return ahead;
}

/* What was fetched for this position and nobody read. */
static void
end_cursor_locked(ReadAhead *ahead, Cursor *cursor)
{
    if (cursor->streaming) {
        g_atomic_int_add(&ahead->store->streams, -1);
        guint64 first = cursor->high / BLOCK;
        guint64 wasted =
            cursor->next_block > first
                ? block_cache_discard(ahead->store->blocks, ahead->version, first, cursor->next_block - 1)
                : 0;
        object_store_count_read_ahead(ahead->store, 0, wasted);
    }
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
    block_cache_run(fetch->store->blocks, fetch->block, fetch->call, NULL);
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
get_window(ReadAhead *ahead, const Cursor *cursor)
{
    guint streams = (guint)MAX(1, g_atomic_int_get(&ahead->store->streams));
    guint64 share = memory_budget_get_limit(ahead->store->budget) / 4 * 3 / streams;
    return MIN(MIN(2 * cursor->run_bytes, MAXIMUM_WINDOW_BYTES), share);
}

/* Block `demanded` itself is left to the reader, who fetches it without changing threads. */
static void
fetch_ahead_locked(ReadAhead *ahead, ObjectVersion *version, Cursor *cursor, guint64 demanded)
{
    guint64 end = MIN(cursor->high + get_window(ahead, cursor), object_version_get_size(version));
    guint64 fetched_bytes = 0;
    cursor->next_block = MAX(cursor->next_block, demanded + 1);
    while (cursor->next_block * BLOCK < end) {
        gboolean full = FALSE;
        g_autoptr(Call) call = call_new_without_deadline(ahead->call);
        Block *block = block_cache_claim(ahead->store->blocks, version, cursor->next_block, call, &full);
        if (full)
            break;
        if (block != NULL) {
            push_fetch(ahead, version, block, g_steal_pointer(&call));
            fetched_bytes += BLOCK;
        }
        cursor->next_block++;
    }
    if (fetched_bytes > 0)
        object_store_count_read_ahead(ahead->store, fetched_bytes, 0);
}

static gboolean
is_near(const Cursor *cursor, guint64 offset)
{
    guint64 disorder = cursor->streaming ? DISORDER_BYTES : FIRST_DISORDER_BYTES;
    return cursor->reads > 0 && offset <= cursor->high + disorder && offset + disorder >= cursor->high;
}

/* The position that this read continues, else the one that was idle longest, begun anew. */
static Cursor *
find_cursor_locked(ReadAhead *ahead, guint64 offset)
{
    Cursor *oldest = &ahead->cursors[0];
    for (guint i = 0; i < CURSORS; i++) {
        Cursor *cursor = &ahead->cursors[i];
        if (is_near(cursor, offset))
            return cursor;
        if (cursor->last_use < oldest->last_use)
            oldest = cursor;
    }
    end_cursor_locked(ahead, oldest);
    return oldest;
}

/* Notes one read and fetches ahead of it. TRUE: whole blocks are worth it. */
static gboolean
note(ReadAhead *ahead, ObjectVersion *version, guint64 offset, gsize length_bytes)
{
    guint64 size = object_version_get_size(version), end = offset + length_bytes;
    lock_acquire(&ahead->lock);
    if (ahead->version != version) {
        forget_version_locked(ahead);
        ahead->version = object_version_ref(version);
    }
    Cursor *cursor = find_cursor_locked(ahead, offset);
    cursor->last_use = ++ahead->clock;
    if (cursor->reads == 0 || end > cursor->high) {
        cursor->run_bytes += length_bytes;
        cursor->high = end;
        cursor->reads++;
    }
    gboolean sequential = cursor->reads > 1 || (offset == 0 && length_bytes >= BLOCK / 2);
    if (sequential && !cursor->streaming) {
        cursor->streaming = TRUE;
        g_atomic_int_inc(&ahead->store->streams);
    }
    if (sequential)
        fetch_ahead_locked(ahead, version, cursor, offset / BLOCK);
    lock_release(&ahead->lock);
    return sequential || size <= SMALL_FILE_BYTES || (size <= BLOCK && offset == 0);
}

typedef struct {
    MemoryBudget *budget;
    gsize charged_bytes;
    guint8 data[];
} Pages;

static void
pages_free(gpointer data)
{
    Pages *pages = data;
    MemoryBudget *budget = pages->budget;
    gsize charged_bytes = pages->charged_bytes;
    g_free(pages);
    memory_budget_give(budget, charged_bytes);
}

static gboolean
read_exactly(ReadAhead *ahead, Call *call, ObjectVersion *version, guint64 offset, gsize length_bytes,
             ReadVector *out, GError **error)
{
    guint64 first = offset - offset % PAGE;
    guint64 end = MIN((offset + length_bytes + PAGE - 1) / PAGE * PAGE, object_version_get_size(version));
    gsize wanted = (gsize)(end - first);
    if (!memory_budget_take(ahead->store->budget, call, wanted, error))
        return FALSE;
    Pages *pages = g_malloc(sizeof *pages + wanted);
    pages->budget = ahead->store->budget;
    pages->charged_bytes = wanted;
    if (!object_version_read(version, call, first, wanted, pages->data, error)) {
        pages_free(pages);
        return FALSE;
    }
    if (!read_vector_add(out, pages->data + (offset - first), length_bytes, pages, pages_free))
        pages_free(pages);
    return TRUE;
}

gboolean
read_ahead_read(ReadAhead *ahead, Call *call, ObjectVersion *version, guint64 offset, gsize length_bytes,
                ReadVector *out, GError **error)
{
    BlockCache *blocks = ahead->store->blocks;
    gboolean whole_blocks = note(ahead, version, offset, length_bytes);
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
    return read_exactly(ahead, call, version, offset, length_bytes, out, error);
}

gboolean
read_ahead_read_ready(ReadAhead *ahead, ObjectVersion *version, guint64 offset, gsize length_bytes,
                      ReadVector *out)
{
    guint64 index = 0;
    if (block_cache_look(ahead->store->blocks, version, offset, length_bytes, out, &index) != BLOCKS_READY)
        return FALSE;
    note(ahead, version, offset, length_bytes);
    return TRUE;
}
