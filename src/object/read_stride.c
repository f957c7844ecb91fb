#include "src/object/read_stride.h"

#include "src/base/lock.h"
#include "src/object/call_wait.h"
#include "src/object/object_store_private.h"

#define PAGE 4096u
/* Equal distances that make a pattern: random reads seldom have two. */
#define PATTERN_STEPS 2u

/* The bytes first .. end of a version, in memory of `budget`. */
typedef struct {
    MemoryBudget *budget;
    gsize length_bytes;
    guint8 data[];
} Pages;

/* What is fetched ahead: one reference is that of `ranges`, or of the reader who took it from there, one of
 * the fetch.
 */
typedef struct {
    gint references; /* atomic */
    ObjectStore *store;
    guint64 first, end;
    Call *call;
    ObjectVersion *version;
    gboolean fetching;
    Pages *pages; /* NULL while it is fetched, when that failed, and after somebody took it */
} Range;

struct ReadStride {
    gint references; /* atomic: the handle's and one for each fetch */
    ObjectStore *store;
    Lock lock; /* beside read_ahead in the lock order */
    Condition done;
    GPtrArray *ranges; /* at most READ_STRIDE_MOST */
    guint64 version_id, last_offset;
    gint64 distance; /* between the last two reads */
    guint steps;     /* how often it was the same */
    guint depth;     /* how many to fetch ahead */
};

static void
pages_free(gpointer data)
{
    Pages *pages = data;
    MemoryBudget *budget = pages->budget;
    gsize length_bytes = pages->length_bytes;
    g_free(pages);
    memory_budget_give(budget, length_bytes);
}

/* The memory was taken from the budget. */
static Pages *
pages_new(MemoryBudget *budget, gsize length_bytes)
{
    Pages *pages = g_malloc(sizeof *pages + length_bytes);
    pages->budget = budget;
    pages->length_bytes = length_bytes;
    return pages;
}

static void
range_unref(Range *range)
{
    if (!g_atomic_int_dec_and_test(&range->references))
        return;
    if (range->pages != NULL) {
        object_store_count_read_ahead(range->store, 0, range->pages->length_bytes);
        pages_free(range->pages);
    }
    object_version_unref(range->version);
    call_unref(range->call);
    g_free(range);
}

static void
range_cancel_and_unref(gpointer data)
{
    Range *range = data;
    call_cancel(range->call);
    range_unref(range);
}

ReadStride *
read_stride_new(ObjectStore *store)
{
    ReadStride *stride = g_new0(ReadStride, 1);
    stride->references = 1;
    stride->store = store;
    lock_init(&stride->lock);
    condition_init(&stride->done);
    stride->ranges = g_ptr_array_new_with_free_func(range_cancel_and_unref);
    return stride;
}

static void
stride_unref(ReadStride *stride)
{
    if (!g_atomic_int_dec_and_test(&stride->references))
        return;
    g_ptr_array_unref(stride->ranges);
    condition_clear(&stride->done);
    lock_clear(&stride->lock);
    g_free(stride);
}

/* Takes the ranges out, for the caller to let go with no lock held: letting go wakes who waits. */
static GPtrArray *take_ranges_locked(ReadStride *stride) REQUIRES(stride->lock);

static GPtrArray *
take_ranges_locked(ReadStride *stride)
{
    GPtrArray *taken = stride->ranges;
    stride->ranges = g_ptr_array_new_with_free_func(range_cancel_and_unref);
    return taken;
}

void
read_stride_free(ReadStride *stride)
{
    if (stride == NULL)
        return;
    lock_acquire(&stride->lock);
    g_autoptr(GPtrArray) dropped = take_ranges_locked(stride);
    lock_release(&stride->lock);
    stride_unref(stride);
}

typedef struct {
    ReadStride *stride;
    Range *range;
    Storage *storage;
} Fetch;

static void
run_fetch(gpointer data)
{
    g_autofree Fetch *fetch = data;
    ObjectStore *store = fetch->stride->store;
    Range *range = fetch->range;
    gsize wanted = (gsize)(range->end - range->first);
    Pages *pages = pages_new(store->stride_budget, wanted);
    if (!object_version_read(range->version, range->call, range->first, wanted, pages->data, NULL))
        g_clear_pointer(&pages, pages_free);
    lock_acquire(&fetch->stride->lock);
    range->pages = pages;
    range->fetching = FALSE;
    condition_wake_all(&fetch->stride->done);
    lock_release(&fetch->stride->lock);
    range_unref(range);
    stride_unref(fetch->stride);
    object_store_end_task(store);
    storage_unref(fetch->storage);
}

static void
push_fetch(ReadStride *stride, Range *range)
{
    Fetch *fetch = g_new0(Fetch, 1);
    fetch->storage = storage_ref(object_version_get_storage(range->version));
    fetch->stride = stride;
    fetch->range = range;
    g_atomic_int_inc(&stride->references);
    g_atomic_int_inc(&range->references);
    object_store_begin_task(stride->store);
    object_store_count_read_ahead(stride->store, range->end - range->first, 0);
    worker_pool_push(storage_get_lane(fetch->storage, STORAGE_LANE_TRANSFERS), run_fetch, fetch);
}

/* The range that has these bytes; FALSE: none. */
static gboolean find_locked(ReadStride *stride, guint64 first, guint64 end, guint *out_index)
    REQUIRES(stride->lock);

static gboolean
find_locked(ReadStride *stride, guint64 first, guint64 end, guint *out_index)
{
    for (guint i = 0; i < stride->ranges->len; i++) {
        const Range *range = g_ptr_array_index(stride->ranges, i);
        if (range->first <= first && range->end >= end) {
            *out_index = i;
            return TRUE;
        }
    }
    return FALSE;
}

static guint64
round_up(guint64 offset, guint64 size)
{
    return MIN((offset + PAGE - 1) / PAGE * PAGE, size);
}

/* FALSE: memory is short, or the version ends before it. */
static gboolean fetch_locked(ReadStride *stride, ObjectVersion *version, gint64 offset, gsize length_bytes)
    REQUIRES(stride->lock);

static gboolean
fetch_locked(ReadStride *stride, ObjectVersion *version, gint64 offset, gsize length_bytes)
{
    guint index = 0;
    guint64 size = object_version_get_size(version);
    if (offset < 0 || (guint64)offset >= size)
        return FALSE;
    guint64 first = (guint64)offset - (guint64)offset % PAGE;
    guint64 end = round_up((guint64)offset + length_bytes, size);
    if (find_locked(stride, first, end, &index))
        return TRUE;
    if (stride->ranges->len == READ_STRIDE_MOST ||
        !memory_budget_try(stride->store->stride_budget, end - first))
        return FALSE;
    Range *range = g_new0(Range, 1);
    range->references = 1;
    range->first = first;
    range->end = end;
    range->store = stride->store;
    range->call = call_new(0);
    range->version = object_version_ref(version);
    range->fetching = TRUE;
    g_ptr_array_add(stride->ranges, range);
    push_fetch(stride, range);
    return TRUE;
}

/* Follows the pattern. What a broken one had fetched is returned, for the caller to let go; NULL: nothing. */
static GPtrArray *note_locked(ReadStride *stride, ObjectVersion *version, guint64 offset)
    REQUIRES(stride->lock);

static GPtrArray *
note_locked(ReadStride *stride, ObjectVersion *version, guint64 offset)
{
    gint64 distance = (gint64)offset - (gint64)stride->last_offset;
    gboolean same = stride->version_id == object_version_get_id(version);
    stride->last_offset = offset;
    if (same && distance == stride->distance) {
        stride->steps++;
        return NULL;
    }
    stride->version_id = object_version_get_id(version);
    stride->distance = distance;
    stride->steps = same;
    stride->depth = 0;
    return stride->ranges->len > 0 ? take_ranges_locked(stride) : NULL;
}

static void fetch_ahead_locked(ReadStride *stride, ObjectVersion *version, guint64 offset, gsize length_bytes)
    REQUIRES(stride->lock);

static void
fetch_ahead_locked(ReadStride *stride, ObjectVersion *version, guint64 offset, gsize length_bytes)
{
    guint64 apart = (guint64)ABS(stride->distance);
    if (stride->steps < PATTERN_STEPS || apart < length_bytes)
        return;
    stride->depth = MIN(MAX(2 * stride->depth, 2), READ_STRIDE_MOST);
    gint64 next = (gint64)offset;
    for (guint i = 0; i < stride->depth; i++) {
        if (__builtin_add_overflow(next, stride->distance, &next) ||
            !fetch_locked(stride, version, next, length_bytes))
            return;
    }
}

/* Waits for the fetch of a range that is out of the table. *out_pages NULL: it failed. FALSE: the call ended.
 */
static gboolean
take(ReadStride *stride, Call *call, Range *range, Pages **out_pages, GError **error)
{
    CallWait wait;
    gboolean ok = TRUE;
    call_wait_begin(&wait, call, &stride->lock, &stride->done);
    lock_acquire(&stride->lock);
    while (range->fetching && ok)
        ok = call_wait_next(&wait, error);
    if (ok)
        *out_pages = g_steal_pointer(&range->pages);
    lock_release(&stride->lock);
    call_wait_end(&wait);
    return ok;
}

static void
add(ReadVector *out, Pages *pages, guint64 skip, gsize length_bytes)
{
    if (!read_vector_add(out, pages->data + skip, length_bytes, pages, pages_free))
        pages_free(pages);
}

static gboolean
read_exactly(ReadStride *stride, Call *call, ObjectVersion *version, guint64 offset, gsize length_bytes,
             ReadVector *out, GError **error)
{
    guint64 first = offset - offset % PAGE;
    gsize wanted = (gsize)(round_up(offset + length_bytes, object_version_get_size(version)) - first);
    if (!memory_budget_take(stride->store->budget, call, wanted, error))
        return FALSE;
    Pages *pages = pages_new(stride->store->budget, wanted);
    if (!object_version_read(version, call, first, wanted, pages->data, error)) {
        pages_free(pages);
        return FALSE;
    }
    add(out, pages, offset - first, length_bytes);
    return TRUE;
}

/* Notes the read, and starts what it makes likely. The range that has its bytes, out of the table; NULL:
 * none.
 */
static Range *
follow(ReadStride *stride, ObjectVersion *version, guint64 offset, gsize length_bytes)
{
    guint index = 0;
    Range *range = NULL;
    lock_acquire(&stride->lock);
    g_autoptr(GPtrArray) dropped = note_locked(stride, version, offset);
    if (find_locked(stride, offset, offset + length_bytes, &index))
        range = g_ptr_array_steal_index_fast(stride->ranges, index);
    fetch_ahead_locked(stride, version, offset, length_bytes);
    lock_release(&stride->lock);
    return range;
}

gboolean
read_stride_read(ReadStride *stride, Call *call, ObjectVersion *version, guint64 offset, gsize length_bytes,
                 ReadVector *out, GError **error)
{
    Pages *pages = NULL;
    Range *range = follow(stride, version, offset, length_bytes);
    if (range == NULL)
        return read_exactly(stride, call, version, offset, length_bytes, out, error);
    guint64 first = range->first;
    gboolean ok = take(stride, call, range, &pages, error);
    range_cancel_and_unref(range);
    if (ok && pages == NULL)
        return read_exactly(stride, call, version, offset, length_bytes, out, error);
    if (ok)
        add(out, pages, offset - first, length_bytes);
    return ok;
}
