/* What reading costs in requests and bytes, who shares, and what a reader sees when the object is replaced.
 */
#include "src/base/error.h"
#include "src/object/block_cache.h"
#include "src/object/memory_budget.h"
#include "src/object/object_version.h"
#include "tests/unit/object_fixture.h"

#include <fcntl.h>
#include <string.h>

#define KIB 1024u
#define MIB (1024u * KIB)

static void
assert_reads(ObjectFixture *fixture, guint64 count)
{
    g_assert_cmpuint(object_fixture_calls(fixture, MEMORY_READ_OBJECT), ==, count);
}

static void
check(FileHandle *handle, const guint8 *data, guint64 offset, gsize length_bytes, gsize expected_bytes)
{
    g_autoptr(GBytes) bytes = object_fixture_read(handle, offset, length_bytes);
    g_assert_cmpmem(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes), data + offset, expected_bytes);
}

static guint8 *
put(ObjectFixture *fixture, const char *key, gsize size)
{
    guint8 *data = object_fixture_pattern(size & 0xffff, size);
    object_fixture_put(fixture, key, data, size);
    return data;
}

static FileHandle *
open_counted(ObjectFixture *fixture, const char *key)
{
    FileHandle *handle = object_fixture_open(fixture, key, FALSE);
    memory_fault_reset_counts(fixture->base.store);
    return handle;
}

static void
test_small_file_is_one_request(ObjectFixture *fixture, gconstpointer keys)
{
    g_autofree guint8 *data = put(fixture, "a", 700 * KIB);
    FileHandle *handle = open_counted(fixture, "a");
    for (guint64 at = 0; at < 700 * KIB; at += 100 * KIB)
        check(handle, data, at, 100 * KIB, 100 * KIB);
    check(handle, data, 690 * KIB, 100 * KIB, 10 * KIB);
    check(handle, data, 700 * KIB, 100, 0);
    assert_reads(fixture, 1);
    g_assert_cmpuint(object_fixture_calls(fixture, MEMORY_ANY), ==, 1);
    object_fixture_close(handle);
}

static void
fetch_block(BlockCache *cache, ObjectVersion *version, guint64 index)
{
    gboolean full = FALSE;
    g_autoptr(GError) error = NULL;
    Block *block = block_cache_claim(cache, version, index, NULL, &full);
    g_assert_nonnull(block);
    g_assert_true(block_cache_run(cache, block, NULL, &error));
}

static void
look(BlockCache *cache, ObjectVersion *version, const guint8 *data, guint64 offset, gsize length_bytes)
{
    guint64 absent = 0;
    g_auto(ReadVector) vector;
    read_vector_init(&vector);
    g_assert_cmpint(block_cache_look(cache, version, offset, length_bytes, &vector, &absent), ==,
                    BLOCKS_READY);
    g_assert_cmpuint(vector.length_bytes, ==, length_bytes);
    for (guint i = 0; i < vector.count; offset += vector.pieces[i++].iov_len)
        g_assert_cmpint(memcmp(vector.pieces[i].iov_base, data + offset, vector.pieces[i].iov_len), ==, 0);
}

/* The first block, read to its end, becomes the ninth of the used ones, of which the second is the oldest:
 * it must not be pushed out by the read that is about to give it. */
static void
test_read_over_two_blocks_holds_both(ObjectFixture *fixture, gconstpointer keys)
{
    const guint64 blocks = 9;
    g_autofree guint8 *data = put(fixture, "a", blocks * MIB);
    g_autoptr(ObjectVersionTable) table = object_version_table_new();
    g_autoptr(MemoryBudget) budget = memory_budget_new(64 * MIB);
    g_autoptr(BlockCache) cache = block_cache_new(budget);
    g_autoptr(ObjectVersion) version =
        object_version_get(table, fixture->base.storage, "c", "a", NULL, blocks * MIB);
    for (guint64 index = 0; index < blocks; index++)
        fetch_block(cache, version, index);
    for (guint64 index = 1; index <= 8; index++)
        look(cache, version, data, index * MIB, MIB);
    look(cache, version, data, MIB - 10, 20);
}

static void
test_empty_file_is_no_request(ObjectFixture *fixture, gconstpointer keys)
{
    g_autofree guint8 *data = put(fixture, "a", 0);
    FileHandle *handle = open_counted(fixture, "a");
    check(handle, data, 0, 100, 0);
    g_assert_cmpuint(object_fixture_calls(fixture, MEMORY_ANY), ==, 0);
    object_fixture_close(handle);
}

static void
test_sequential_reads_fetch_each_byte_once(ObjectFixture *fixture, gconstpointer keys)
{
    gsize size = 12 * MIB + 12345;
    g_autofree guint8 *data = put(fixture, "a", size);
    FileHandle *handle = open_counted(fixture, "a");
    for (guint64 at = 0; at < size; at += 128 * KIB)
        check(handle, data, at, 128 * KIB, MIN(128 * KIB, size - at));
    /* Thirteen blocks, and the first read, which could not be known to be one of many. */
    assert_reads(fixture, 14);
    object_fixture_close(handle);
}

/* The kernel sends what it reads ahead in parallel, so requests come out of order. */
static void
test_disordered_reads_are_sequential(ObjectFixture *fixture, gconstpointer keys)
{
    gsize size = 12 * MIB;
    g_autofree guint8 *data = put(fixture, "a", size);
    FileHandle *handle = open_counted(fixture, "a");
    for (guint64 at = 0; at < size; at += 512 * KIB) {
        static const guint ORDER[] = {1, 0, 3, 2};
        for (guint i = 0; i < 4; i++)
            check(handle, data, at + ORDER[i] * 128 * KIB, 128 * KIB, 128 * KIB);
    }
    g_assert_cmpuint(object_fixture_calls(fixture, MEMORY_READ_OBJECT), <=, 14);
    object_fixture_close(handle);
}

/* From the end to the beginning, as tac and some indexes do. */
static void
test_backward_reads_fetch_blocks(ObjectFixture *fixture, gconstpointer keys)
{
    gsize size = 12 * MIB + 12345;
    g_autofree guint8 *data = put(fixture, "a", size);
    FileHandle *handle = open_counted(fixture, "a");
    check(handle, data, 12 * MIB, 12345, 12345);
    for (guint64 at = 12 * MIB; at > 0; at -= 64 * KIB)
        check(handle, data, at - 64 * KIB, 64 * KIB, 64 * KIB);
    /* Thirteen blocks, and those reads that could not be known yet to be some of many. */
    g_assert_cmpuint(object_fixture_calls(fixture, MEMORY_READ_OBJECT), <=, 16);
    object_fixture_close(handle);
}

static void
test_random_reads_fetch_pages(ObjectFixture *fixture, gconstpointer keys)
{
    gsize size = 64 * MIB;
    StorageHealth before, after;
    g_autofree guint8 *data = put(fixture, "a", size);
    FileHandle *handle = open_counted(fixture, "a");
    storage_get_health(fixture->base.storage, &before);
    /* The powers of a primitive root: each place once, no distance twice. */
    for (guint i = 0, place = 1; i < 40; i++, place = place * 6 % 41)
        check(handle, data, place * (3 * MIB / 2) / 4096 * 4096 + 100, 2000, 2000);
    storage_get_health(fixture->base.storage, &after);
    assert_reads(fixture, 40);
    g_assert_cmpuint(after.body_bytes_received - before.body_bytes_received, <=, 40 * 4096);
    storage_health_clear(&before);
    storage_health_clear(&after);
    object_fixture_close(handle);
}

static void
test_readers_share_blocks(ObjectFixture *fixture, gconstpointer keys)
{
    gsize size = 6 * MIB;
    g_autofree guint8 *data = put(fixture, "a", size);
    FileHandle *first = open_counted(fixture, "a");
    FileHandle *second = object_file_open(object_file_of_handle(first), O_RDONLY);
    for (guint64 at = 0; at < size; at += 128 * KIB) {
        check(first, data, at, 128 * KIB, 128 * KIB);
        check(second, data, at, 128 * KIB, 128 * KIB);
    }
    g_assert_cmpuint(object_fixture_calls(fixture, MEMORY_READ_OBJECT), <=, 8);
    object_fixture_close(first);
    object_fixture_close(second);
}

/* The same version, opened again: its blocks are still there. */
static void
test_reopened_file_finds_its_blocks(ObjectFixture *fixture, gconstpointer keys)
{
    g_autofree guint8 *data = put(fixture, "a", 50 * KIB);
    FileHandle *handle = open_counted(fixture, "a");
    check(handle, data, 0, 50 * KIB, 50 * KIB);
    object_fixture_close(handle);
    handle = object_fixture_open(fixture, "a", FALSE);
    check(handle, data, 0, 50 * KIB, 50 * KIB);
    assert_reads(fixture, 1);
    object_fixture_close(handle);
}

typedef struct {
    FileHandle *handle;
    const guint8 *data;
    gsize size;
} Job;

static gpointer
read_all(gpointer data)
{
    Job *job = data;
    for (guint64 at = 0; at < job->size; at += 128 * KIB)
        check(job->handle, job->data, at, 128 * KIB, MIN(128 * KIB, job->size - at));
    object_fixture_close(job->handle);
    return NULL;
}

/* More readers than the budget has blocks: they wait for each other, none fails. */
static void
test_many_readers_in_little_memory(ObjectFixture *fixture, gconstpointer keys)
{
    enum { READERS = 24 };
    gsize size = 4 * MIB;
    Job jobs[READERS];
    GThread *threads[READERS];
    g_autofree guint8 *data = put(fixture, "a", size);
    for (guint i = 0; i < READERS; i++) {
        g_autofree char *key = g_strdup_printf("copy-%u", i);
        object_fixture_put(fixture, key, data, size);
        jobs[i] = (Job){object_fixture_open(fixture, key, FALSE), data, size};
    }
    for (guint i = 0; i < READERS; i++)
        threads[i] = g_thread_new("reader", read_all, &jobs[i]);
    for (guint i = 0; i < READERS; i++)
        g_thread_join(threads[i]);
    ObjectStoreStatistics statistics;
    object_store_get_statistics(fixture->store, &statistics);
    g_assert_cmpuint(statistics.memory_peak_bytes, <=, 16 * MIB);
}

static void
test_replaced_object_is_stale(ObjectFixture *fixture, gconstpointer keys)
{
    gsize size = 8 * MIB;
    g_autofree guint8 *data = put(fixture, "a", size);
    g_autofree guint8 *other = object_fixture_pattern(99, size);
    FileHandle *handle = open_counted(fixture, "a");
    check(handle, data, 0, 1000, 1000);
    object_fixture_put(fixture, "a", other, size);
    for (guint64 at = 0; at < size; at += 512 * KIB) {
        g_autoptr(GBytes) bytes = NULL;
        g_autoptr(GError) error = NULL;
        if (object_fixture_try_read(handle, at, 4096, &bytes, &error))
            g_assert_cmpmem(g_bytes_get_data(bytes, NULL), 4096, data + at, 4096);
        else
            g_assert_error(error, STORAGEFS_ERROR, ERROR_CHANGED);
    }
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) bytes = NULL;
    g_assert_false(object_fixture_try_read(handle, size - 4096, 4096, &bytes, &error));
    g_assert_error(error, STORAGEFS_ERROR, ERROR_CHANGED);
    object_fixture_close(handle);
}

/* A version whose etag the listing did not tell is pinned by its first read. */
static void
test_unknown_etag_is_pinned_by_the_first_read(ObjectFixture *fixture, gconstpointer keys)
{
    gsize size = 8 * MIB;
    g_autofree guint8 *data = put(fixture, "a", size);
    FileAttributes attributes = {.mode = S_IFREG | 0644};
    ObjectInfo info = {.key = (char *)"a", .size_bytes = size};
    g_autoptr(ObjectFile) file =
        object_file_new(fixture->store, fixture->base.storage, "c", "a", &info, &attributes, FALSE, NULL);
    FileHandle *handle = object_file_open(file, O_RDONLY);
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) bytes = NULL;
    check(handle, data, 5 * MIB, 1000, 1000);
    object_fixture_put(fixture, "a", data, size);
    g_assert_false(object_fixture_try_read(handle, 2 * MIB, 1000, &bytes, &error));
    g_assert_error(error, STORAGEFS_ERROR, ERROR_CHANGED);
    object_fixture_close(handle);
}

static gpointer
read_cancelled(gpointer data)
{
    gpointer *arguments = data;
    FileHandle *handle = arguments[0];
    g_auto(ReadVector) vector;
    GError *error = NULL;
    read_vector_init(&vector);
    g_assert_false(handle->operations->read(handle, arguments[1], 0, 1000, &vector, &error));
    g_assert_error(error, STORAGEFS_ERROR, ERROR_CANCELLED);
    g_clear_error(&error);
    return NULL;
}

/* The reader who fetches is interrupted; the one who waits for the same block gets it nevertheless. */
static void
test_interrupted_reader_harms_nobody(ObjectFixture *fixture, gconstpointer keys)
{
    g_autofree guint8 *data = put(fixture, "a", 50 * KIB);
    FileHandle *handle = open_counted(fixture, "a");
    Job job = {object_file_open(object_file_of_handle(handle), O_RDONLY), data, 50 * KIB};
    const MemoryFault block = {.operation = MEMORY_READ_OBJECT, .blocks = TRUE};
    g_autoptr(Call) call = call_new(0);
    gpointer arguments[] = {handle, call};
    memory_fault_add(fixture->base.store, &block);
    GThread *interrupted = g_thread_new("first", read_cancelled, arguments);
    g_assert_true(memory_fault_wait_blocked(fixture->base.store, 1, 20 * G_USEC_PER_SEC));
    GThread *waiting = g_thread_new("second", read_all, &job);
    call_cancel(call);
    g_thread_join(interrupted);
    memory_fault_clear(fixture->base.store);
    g_thread_join(waiting);
    object_fixture_close(handle);
}

typedef struct {
    BlockCache *cache;
    ObjectVersion *version;
    Block *block;
    Call *call;
} Fetching;

static gpointer
run_abandoned(gpointer data)
{
    Fetching *fetching = data;
    g_autoptr(GError) error = NULL;
    g_assert_false(block_cache_run(fetching->cache, fetching->block, fetching->call, &error));
    g_assert_error(error, STORAGEFS_ERROR, ERROR_CANCELLED);
    return NULL;
}

static gpointer
wait_cancelled(gpointer data)
{
    Fetching *fetching = data;
    g_autoptr(GError) error = NULL;
    g_assert_false(block_cache_wait(fetching->cache, fetching->version, 0, fetching->call, &error));
    g_assert_error(error, STORAGEFS_ERROR, ERROR_CANCELLED);
    return NULL;
}

/* A fetch that hangs on a lane ends with the last of its two waiters, not with the first and not by itself;
 * who comes then fetches anew. */
static void
test_fetch_ends_with_its_last_waiter(ObjectFixture *fixture, gconstpointer keys)
{
    g_autofree guint8 *data = put(fixture, "a", MIB);
    g_autoptr(ObjectVersionTable) table = object_version_table_new();
    g_autoptr(MemoryBudget) budget = memory_budget_new(64 * MIB);
    g_autoptr(BlockCache) cache = block_cache_new(budget);
    g_autoptr(ObjectVersion) version = object_version_get(table, fixture->base.storage, "c", "a", NULL, MIB);
    g_autoptr(Call) background = call_new(0), first = call_new(0), second = call_new(0);
    const MemoryFault block = {.operation = MEMORY_READ_OBJECT, .blocks = TRUE};
    const BlockOwner owner = {background, NULL};
    gboolean full;
    memory_fault_add(fixture->base.store, &block);
    Fetching fetching = {cache, version, block_cache_claim(cache, version, 0, &owner, &full), background};
    Fetching readers[] = {{cache, version, NULL, first}, {cache, version, NULL, second}};
    GThread *fetch = g_thread_new("fetch", run_abandoned, &fetching);
    g_assert_true(memory_fault_wait_blocked(fixture->base.store, 1, 20 * G_USEC_PER_SEC));
    GThread *threads[] = {g_thread_new("first", wait_cancelled, &readers[0]),
                          g_thread_new("second", wait_cancelled, &readers[1])};
    while (block_cache_count_waiters(cache, version, 0) < 2)
        g_thread_yield();
    call_cancel(first);
    g_thread_join(threads[0]);
    g_assert_false(call_is_cancelled(background));
    call_cancel(second);
    g_thread_join(threads[1]);
    g_thread_join(fetch);
    memory_fault_clear(fixture->base.store);
    fetch_block(cache, version, 0);
    look(cache, version, data, 0, MIB);
}

static Block *
claim_ahead(BlockCache *cache, ObjectVersion *version, guint64 index, StreamClock *clock)
{
    gboolean full = FALSE;
    const BlockOwner owner = {NULL, clock};
    Block *block = block_cache_claim(cache, version, index, &owner, &full);
    g_assert_true(full == (block == NULL));
    return block;
}

/* What was fetched ahead fills the memory: while its reader reads it stays, when he pauses it makes room, the
 * farthest first. */
static void
test_paused_reader_makes_room(ObjectFixture *fixture, gconstpointer keys)
{
    g_autofree guint8 *data = put(fixture, "a", 8 * MIB);
    g_autoptr(ObjectVersionTable) table = object_version_table_new();
    g_autoptr(MemoryBudget) budget = memory_budget_new(4 * MIB);
    g_autoptr(StreamClockSet) clocks = stream_clock_set_new();
    g_autoptr(BlockCache) cache = block_cache_new(budget);
    g_autoptr(ObjectVersion) version =
        object_version_get(table, fixture->base.storage, "c", "a", NULL, 8 * MIB);
    gint64 now_us = g_get_monotonic_time();
    StreamClock *pausing = stream_clock_new(clocks, now_us), *reading = stream_clock_new(clocks, now_us);
    for (guint64 index = 0; index < 4; index++)
        g_assert_true(block_cache_run(cache, claim_ahead(cache, version, index, pausing), NULL, NULL));
    g_assert_null(claim_ahead(cache, version, 7, reading));
    stream_clock_touch(pausing, now_us - STREAM_CLOCK_PAUSE_US);
    Block *block = claim_ahead(cache, version, 7, reading);
    g_assert_nonnull(block);
    g_assert_true(block_cache_run(cache, block, NULL, NULL));
    look(cache, version, data, 0, 3 * MIB);
    look(cache, version, data, 7 * MIB, MIB);
    stream_clock_end(pausing);
    stream_clock_end(reading);
}

static gpointer
read_start(gpointer handle)
{
    return object_fixture_read(handle, 0, 5);
}

/* A read is on its way to the old version when this mount itself publishes a new one: it gets the new bytes.
 */
static void
test_own_publication_is_not_stale(ObjectFixture *fixture, gconstpointer keys)
{
    g_autofree guint8 *data = put(fixture, "a", 50 * KIB);
    FileHandle *handle = open_counted(fixture, "a");
    const MemoryFault block = {.operation = MEMORY_READ_OBJECT, .blocks = TRUE};
    GError *error = NULL;
    memory_fault_add(fixture->base.store, &block);
    GThread *reader = g_thread_new("reader", read_start, handle);
    g_assert_true(memory_fault_wait_blocked(fixture->base.store, 1, 20 * G_USEC_PER_SEC));
    g_assert_true(handle->operations->truncate(handle, NULL, 0, &error));
    object_fixture_write(handle, 0, "fresh", 5);
    object_fixture_flush(handle, &error);
    g_assert_no_error(error);
    memory_fault_clear(fixture->base.store);
    g_autoptr(GBytes) bytes = g_thread_join(reader);
    g_assert_cmpmem(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes), "fresh", 5);
    object_fixture_close(handle);
}

typedef struct {
    MemoryBudget *budget;
    guint64 bytes;
    gint *order;
    gint got;
} Taker;

static gpointer
take(gpointer data)
{
    Taker *taker = data;
    g_assert_true(memory_budget_take(taker->budget, NULL, taker->bytes, NULL));
    g_atomic_int_set(&taker->got, g_atomic_int_add(taker->order, 1) + 1);
    return NULL;
}

static void
test_budget_serves_in_order(void)
{
    g_autoptr(MemoryBudget) budget = memory_budget_new(100);
    gint order = 0;
    Taker large = {budget, 90, &order, 0}, small = {budget, 20, &order, 0};
    g_autoptr(GError) error = NULL;
    guint64 used = 0, peak = 0;
    g_assert_true(memory_budget_take(budget, NULL, 50, NULL));
    GThread *first = g_thread_new("large", take, &large);
    while (!memory_budget_is_short(budget))
        g_thread_yield();
    /* It would fit, but is not served before who waits. */
    g_assert_false(memory_budget_try(budget, 5));
    GThread *second = g_thread_new("small", take, &small);
    memory_budget_give(budget, 50);
    g_thread_join(first);
    memory_budget_give(budget, 90);
    g_thread_join(second);
    g_assert_cmpint(g_atomic_int_get(&large.got), ==, 1);
    memory_budget_get_use(budget, &used, &peak);
    g_assert_cmpuint(used, ==, 20);
    g_assert_cmpuint(peak, ==, 90);
    g_assert_false(memory_budget_take(budget, NULL, 101, &error));
    g_assert_error(error, STORAGEFS_ERROR, ERROR_NO_RESOURCES);
    g_clear_error(&error);
    g_autoptr(Call) call = call_new(1000);
    g_assert_false(memory_budget_take(budget, call, 90, &error));
    g_assert_error(error, STORAGEFS_ERROR, ERROR_TIMEOUT);
    g_assert_false(memory_budget_is_short(budget));
    memory_budget_give(budget, 20);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define ADD(name) object_fixture_add("/object/read/" #name, test_##name, NULL)
    ADD(small_file_is_one_request);
    ADD(read_over_two_blocks_holds_both);
    ADD(empty_file_is_no_request);
    ADD(sequential_reads_fetch_each_byte_once);
    ADD(disordered_reads_are_sequential);
    ADD(backward_reads_fetch_blocks);
    ADD(random_reads_fetch_pages);
    ADD(readers_share_blocks);
    ADD(reopened_file_finds_its_blocks);
    ADD(many_readers_in_little_memory);
    ADD(replaced_object_is_stale);
    ADD(unknown_etag_is_pinned_by_the_first_read);
    ADD(interrupted_reader_harms_nobody);
    ADD(fetch_ends_with_its_last_waiter);
    ADD(paused_reader_makes_room);
    ADD(own_publication_is_not_stale);
    g_test_add_func("/object/budget/order", test_budget_serves_in_order);
    return g_test_run();
}
