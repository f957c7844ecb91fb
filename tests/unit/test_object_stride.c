/* Reads with gaps: what is fetched ahead of a constant distance, what ends it, and that gaps are not fetched.
 */
#include "src/base/error.h"
#include "tests/unit/object_fixture.h"

#include <fcntl.h>
#include <string.h>

#define KIB 1024u
#define MIB (1024u * KIB)
#define LARGE (64 * MIB)

typedef struct {
    ObjectFixture *fixture;
    guint8 *data;
    FileHandle *handle;
    guint64 reads;
} Reader;

static void
begin(Reader *reader, ObjectFixture *fixture)
{
    *reader = (Reader){fixture, object_fixture_pattern(7, LARGE), NULL, 0};
    object_fixture_put(fixture, "a", reader->data, LARGE);
    reader->handle = object_fixture_open(fixture, "a", FALSE);
    memory_fault_reset_counts(fixture->base.store);
}

static void
end(Reader *reader)
{
    object_fixture_close(reader->handle);
    g_free(reader->data);
}

static void
check(Reader *reader, guint64 offset, gsize length_bytes)
{
    g_autoptr(GBytes) bytes = object_fixture_read(reader->handle, offset, length_bytes);
    g_assert_cmpmem(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes), reader->data + offset,
                    length_bytes);
    reader->reads++;
}

static guint64
get_received_bytes(ObjectFixture *fixture)
{
    StorageHealth health;
    storage_get_health(fixture->base.storage, &health);
    guint64 bytes = health.body_bytes_received;
    storage_health_clear(&health);
    return bytes;
}

/* So many requests in all, and no more once nothing runs. */
static void
wait_for_requests(Reader *reader, guint64 count)
{
    gint64 deadline_us = g_get_monotonic_time() + 20 * G_USEC_PER_SEC;
    while (object_fixture_calls(reader->fixture, MEMORY_READ_OBJECT) < count &&
           g_get_monotonic_time() < deadline_us)
        g_usleep(1000);
    g_usleep(20000);
    g_assert_cmpuint(object_fixture_calls(reader->fixture, MEMORY_READ_OBJECT), ==, count);
}

/* Two ahead after the third read, four after the next, then eight. */
static void
test_equal_distances_are_fetched_ahead(ObjectFixture *fixture, gconstpointer keys)
{
    static const guint64 REQUESTS[] = {1, 2, 5, 8, 13, 22, 22};
    Reader reader;
    begin(&reader, fixture);
    for (guint i = 0; i < G_N_ELEMENTS(REQUESTS); i++) {
        check(&reader, 100 + i * (guint64)(3 * MIB), 5000);
        wait_for_requests(&reader, REQUESTS[i]);
    }
    for (guint i = G_N_ELEMENTS(REQUESTS); i < 22; i++)
        check(&reader, 100 + i * (guint64)(3 * MIB), 5000);
    wait_for_requests(&reader, 22);
    end(&reader);
}

static void
test_backward_distances_are_fetched_ahead(ObjectFixture *fixture, gconstpointer keys)
{
    Reader reader;
    begin(&reader, fixture);
    for (guint i = 0; i < 3; i++)
        check(&reader, 60 * MIB - i * (guint64)(4 * MIB), 64 * KIB);
    wait_for_requests(&reader, 5);
    for (guint i = 3; i < 16; i++)
        check(&reader, 60 * MIB - i * (guint64)(4 * MIB), 64 * KIB);
    wait_for_requests(&reader, 16);
    end(&reader);
}

static void
test_another_distance_ends_it(ObjectFixture *fixture, gconstpointer keys)
{
    Reader reader;
    begin(&reader, fixture);
    for (guint i = 0; i < 3; i++)
        check(&reader, i * (guint64)(4 * MIB), 4096);
    wait_for_requests(&reader, 5);
    check(&reader, 50 * MIB, 4096);
    check(&reader, 21 * MIB, 4096);
    check(&reader, 33 * MIB, 4096);
    wait_for_requests(&reader, 8);
    ObjectStoreStatistics statistics;
    object_store_get_statistics(fixture->store, &statistics);
    g_assert_cmpuint(statistics.read_ahead_wasted_bytes, ==, 2 * 4096);
    g_assert_cmpuint(statistics.memory_used_bytes, ==, 0);
    end(&reader);
}

static void
test_failed_fetch_is_tried_by_the_reader(ObjectFixture *fixture, gconstpointer keys)
{
    Reader reader;
    begin(&reader, fixture);
    for (guint i = 0; i < 3; i++)
        check(&reader, i * (guint64)(4 * MIB), 4096);
    wait_for_requests(&reader, 5);
    const MemoryFault fault = {
        .operation = MEMORY_READ_OBJECT, .nth = 1, .times = 3, .fails = TRUE, .code = ERROR_DENIED};
    memory_fault_add(fixture->base.store, &fault);
    check(&reader, 12 * MIB, 4096);
    wait_for_requests(&reader, 8);
    for (guint i = 4; i < 16; i++)
        check(&reader, i * (guint64)(4 * MIB), 4096);
    end(&reader);
}

static gpointer
close_reader(gpointer data)
{
    end(data);
    return NULL;
}

/* What is fetched when the file is closed is let go, and nobody waits for it. */
static void
test_close_does_not_wait(ObjectFixture *fixture, gconstpointer keys)
{
    Reader reader;
    begin(&reader, fixture);
    for (guint i = 0; i < 3; i++)
        check(&reader, i * (guint64)(4 * MIB), 4096);
    wait_for_requests(&reader, 5);
    const MemoryFault fault = {.operation = MEMORY_READ_OBJECT, .nth = 1, .blocks = TRUE};
    memory_fault_add(fixture->base.store, &fault);
    check(&reader, 12 * MIB, 4096);
    g_assert_true(memory_fault_wait_blocked(fixture->base.store, 3, 20 * G_USEC_PER_SEC));
    g_thread_join(g_thread_new("closer", close_reader, &reader));
    memory_fault_clear(fixture->base.store);
}

/* Closer together than the disorder of a sequential reader, but far more is skipped than read. */
static void
test_gaps_are_not_fetched(ObjectFixture *fixture, gconstpointer keys)
{
    Reader reader;
    begin(&reader, fixture);
    guint64 before = get_received_bytes(fixture);
    for (guint64 at = 0; at < LARGE; at += 256 * KIB)
        check(&reader, at, 4096);
    g_assert_cmpuint(get_received_bytes(fixture) - before, <=, 256 * 4096 + 4 * MIB);
    end(&reader);
}

static void
test_reading_on_after_gaps_fetches_blocks(ObjectFixture *fixture, gconstpointer keys)
{
    Reader reader;
    begin(&reader, fixture);
    for (guint64 at = 0; at < 32 * MIB; at += 256 * KIB)
        check(&reader, at, 4096);
    guint64 before = object_fixture_calls(fixture, MEMORY_READ_OBJECT);
    for (guint64 at = 32 * MIB; at < LARGE; at += 64 * KIB)
        check(&reader, at, 64 * KIB);
    g_assert_cmpuint(object_fixture_calls(fixture, MEMORY_READ_OBJECT) - before, <=, 32 + 40);
    end(&reader);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    object_fixture_add("/object/stride/ahead", test_equal_distances_are_fetched_ahead, NULL);
    object_fixture_add("/object/stride/backward", test_backward_distances_are_fetched_ahead, NULL);
    object_fixture_add("/object/stride/broken", test_another_distance_ends_it, NULL);
    object_fixture_add("/object/stride/failed", test_failed_fetch_is_tried_by_the_reader, NULL);
    object_fixture_add("/object/stride/close", test_close_does_not_wait, NULL);
    object_fixture_add("/object/stride/gaps", test_gaps_are_not_fetched, NULL);
    object_fixture_add("/object/stride/on", test_reading_on_after_gaps_fetches_blocks, NULL);
    return g_test_run();
}
