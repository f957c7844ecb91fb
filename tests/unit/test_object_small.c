/* Small objects fetched whole instead of a HEAD: what is told, what is kept, and when a HEAD answers. */
#include "src/base/error.h"
#include "src/object/object_store_private.h"
#include "src/object/small_object.h"
#include "tests/unit/object_fixture.h"

#include <string.h>

static gboolean
look_at(ObjectFixture *fixture, gsize expected_bytes, ObjectInfo *out, GError **error)
{
    memory_fault_reset_counts(fixture->base.store);
    return small_object_stat(fixture->store, NULL, fixture->base.storage, "c", "a", expected_bytes, out,
                             error);
}

static void
assert_told(const ObjectInfo *info, guint64 size_bytes)
{
    g_assert_cmpstr(info->key, ==, "a");
    g_assert_cmpuint(info->size_bytes, ==, size_bytes);
    g_assert_nonnull(info->etag);
    g_assert_nonnull(info->metadata);
}

static void
assert_requests(ObjectFixture *fixture, guint64 reads, guint64 stats)
{
    g_assert_cmpuint(object_fixture_calls(fixture, MEMORY_READ_OBJECT), ==, reads);
    g_assert_cmpuint(object_fixture_calls(fixture, MEMORY_STAT_OBJECT), ==, stats);
}

/* Then the object is opened and read. */
static void
assert_reading_costs(ObjectFixture *fixture, const guint8 *data, gsize size_bytes, guint64 reads)
{
    FileHandle *handle = object_fixture_open(fixture, "a", FALSE);
    memory_fault_reset_counts(fixture->base.store);
    g_autoptr(GBytes) bytes = object_fixture_read(handle, 0, size_bytes);
    g_assert_cmpmem(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes), data, size_bytes);
    assert_requests(fixture, reads, 0);
    object_fixture_close(handle);
}

static void
test_one_request_for_both(ObjectFixture *fixture, gconstpointer keys)
{
    g_auto(ObjectInfo) info = {0};
    g_autofree guint8 *data = object_fixture_pattern(1, 3000);
    object_fixture_put(fixture, "a", data, 3000);
    g_assert_true(look_at(fixture, 3000, &info, NULL));
    assert_told(&info, 3000);
    assert_requests(fixture, 1, 0);
    assert_reading_costs(fixture, data, 3000, 0);
}

/* It is told as it is now, but a part of it is nothing to keep. */
static void
test_larger_than_expected(ObjectFixture *fixture, gconstpointer keys)
{
    g_auto(ObjectInfo) info = {0};
    g_autofree guint8 *data = object_fixture_pattern(1, 5000);
    object_fixture_put(fixture, "a", data, 5000);
    g_assert_true(look_at(fixture, 3000, &info, NULL));
    assert_told(&info, 5000);
    assert_requests(fixture, 1, 0);
    assert_reading_costs(fixture, data, 5000, 1);
}

/* What was kept belongs to the version that was fetched. */
static void
test_replaced_after_it_was_kept(ObjectFixture *fixture, gconstpointer keys)
{
    g_auto(ObjectInfo) info = {0};
    g_autofree guint8 *data = object_fixture_pattern(1, 3000), *other = object_fixture_pattern(2, 3000);
    object_fixture_put(fixture, "a", data, 3000);
    g_assert_true(look_at(fixture, 3000, &info, NULL));
    object_fixture_put(fixture, "a", other, 3000);
    assert_reading_costs(fixture, other, 3000, 1);
}

static void
test_empty_is_told_by_head(ObjectFixture *fixture, gconstpointer keys)
{
    g_auto(ObjectInfo) info = {0};
    object_fixture_put(fixture, "a", "", 0);
    g_assert_true(look_at(fixture, 3000, &info, NULL));
    assert_told(&info, 0);
    assert_requests(fixture, 1, 1);
}

/* Archived objects refuse their bytes and tell their attributes. */
static void
test_refused_bytes_are_told_by_head(ObjectFixture *fixture, gconstpointer keys)
{
    g_auto(ObjectInfo) info = {0};
    const MemoryFault refused = {.operation = MEMORY_READ_OBJECT, .fails = TRUE, .code = ERROR_DENIED};
    object_fixture_put(fixture, "a", "abc", 3);
    memory_fault_add(fixture->base.store, &refused);
    g_assert_true(look_at(fixture, 3, &info, NULL));
    assert_told(&info, 3);
    assert_requests(fixture, 1, 1);
}

static void
test_absent_is_absent(ObjectFixture *fixture, gconstpointer keys)
{
    g_auto(ObjectInfo) info = {0};
    g_autoptr(GError) error = NULL;
    g_assert_false(look_at(fixture, 3, &info, &error));
    g_assert_error(error, STORAGEFS_ERROR, ERROR_NOT_FOUND);
    assert_requests(fixture, 1, 0);
}

static void
test_no_memory_is_a_head(ObjectFixture *fixture, gconstpointer keys)
{
    g_auto(ObjectInfo) info = {0};
    MemoryBudget *budget = fixture->store->budget;
    object_fixture_put(fixture, "a", "abc", 3);
    g_assert_true(memory_budget_take(budget, NULL, memory_budget_get_limit(budget), NULL));
    g_assert_true(look_at(fixture, 3, &info, NULL));
    assert_told(&info, 3);
    assert_requests(fixture, 0, 1);
    memory_budget_give(budget, memory_budget_get_limit(budget));
}

/* Few are kept: the oldest go first, and all go when memory is needed. */
static void
test_few_are_kept(ObjectFixture *fixture, gconstpointer keys)
{
    guint64 used = 0, peak = 0;
    g_autofree guint8 *data = object_fixture_pattern(1, SMALL_OBJECT_MAX_BYTES);
    for (guint i = 0; i < 100; i++) {
        g_auto(ObjectInfo) info = {0};
        g_autofree char *key = g_strdup_printf("key-%u", i);
        object_fixture_put(fixture, key, data, SMALL_OBJECT_MAX_BYTES);
        g_assert_true(small_object_stat(fixture->store, NULL, fixture->base.storage, "c", key,
                                        SMALL_OBJECT_MAX_BYTES, &info, NULL));
    }
    MemoryBudget *budget = fixture->store->budget;
    memory_budget_get_use(budget, &used, &peak);
    g_assert_cmpuint(used, >, 0);
    g_assert_cmpuint(used, <=, 8 << 20);
    g_assert_true(memory_budget_take(budget, NULL, memory_budget_get_limit(budget), NULL));
    memory_budget_give(budget, memory_budget_get_limit(budget));
}

static gboolean
fetch_ahead(ObjectFixture *fixture, const char *etag, gsize size_bytes, ObjectInfo *out)
{
    return small_object_fetch_ahead(fixture->store, NULL, fixture->base.storage, "c", "a", etag, size_bytes,
                                    out);
}

static char *
get_etag(ObjectFixture *fixture)
{
    g_auto(ObjectInfo) info = {0};
    g_assert_true(storage_stat_object(fixture->base.storage, NULL, "c", "a", &info, NULL));
    memory_fault_reset_counts(fixture->base.store);
    return g_steal_pointer(&info.etag);
}

static void
test_ahead_once(ObjectFixture *fixture, gconstpointer keys)
{
    g_auto(ObjectInfo) info = {0}, again = {0};
    g_autofree guint8 *data = object_fixture_pattern(1, 3000);
    object_fixture_put(fixture, "a", data, 3000);
    g_autofree char *etag = get_etag(fixture);
    g_assert_true(fetch_ahead(fixture, etag, 3000, &info));
    assert_told(&info, 3000);
    g_assert_false(fetch_ahead(fixture, etag, 3000, &again));
    assert_requests(fixture, 1, 0);
    assert_reading_costs(fixture, data, 3000, 0);
}

/* What was replaced after it was listed: the new one is told and kept, nothing of it passes for the old. */
static void
test_ahead_of_a_replaced_one(ObjectFixture *fixture, gconstpointer keys)
{
    g_auto(ObjectInfo) info = {0};
    g_autofree guint8 *data = object_fixture_pattern(1, 3000), *other = object_fixture_pattern(2, 3000);
    object_fixture_put(fixture, "a", data, 3000);
    g_autofree char *etag = get_etag(fixture);
    FileHandle *old = object_fixture_open(fixture, "a", FALSE);
    object_fixture_put(fixture, "a", other, 3000);
    memory_fault_reset_counts(fixture->base.store);
    g_assert_true(fetch_ahead(fixture, etag, 3000, &info));
    g_assert_cmpstr(info.etag, !=, etag);
    assert_requests(fixture, 1, 0);
    g_auto(ReadVector) vector;
    g_autoptr(GError) error = NULL;
    read_vector_init(&vector);
    g_assert_false(old->operations->read(old, NULL, 0, 3000, &vector, &error));
    g_assert_error(error, STORAGEFS_ERROR, ERROR_CHANGED);
    object_fixture_close(old);
    assert_reading_costs(fixture, other, 3000, 0);
}

typedef struct {
    ObjectFixture *fixture;
    FileHandle *handle;
    const guint8 *data;
    const char *etag;
} AheadReader;

static gpointer
run_fetch_ahead(gpointer data)
{
    const AheadReader *reader = data;
    g_auto(ObjectInfo) info = {0};
    fetch_ahead(reader->fixture, reader->etag, 3000, &info);
    return NULL;
}

static gpointer
run_read(gpointer data)
{
    const AheadReader *reader = data;
    g_autoptr(GBytes) bytes = object_fixture_read(reader->handle, 0, 3000);
    g_assert_cmpmem(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes), reader->data, 3000);
    return NULL;
}

/* Who reads while it is on its way waits for it instead of asking again. */
static void
test_read_while_fetched(ObjectFixture *fixture, gconstpointer keys)
{
    const MemoryFault blocked = {.operation = MEMORY_READ_OBJECT, .blocks = TRUE};
    g_autofree guint8 *data = object_fixture_pattern(1, 3000);
    object_fixture_put(fixture, "a", data, 3000);
    g_autofree char *etag = get_etag(fixture);
    AheadReader reader = {fixture, object_fixture_open(fixture, "a", FALSE), data, etag};
    memory_fault_reset_counts(fixture->base.store);
    memory_fault_add(fixture->base.store, &blocked);
    GThread *ahead = g_thread_new("ahead", run_fetch_ahead, &reader);
    g_assert_true(memory_fault_wait_blocked(fixture->base.store, 1, 20 * G_USEC_PER_SEC));
    GThread *other = g_thread_new("reader", run_read, &reader);
    g_autoptr(ObjectVersion) version =
        object_version_get(fixture->store->versions, fixture->base.storage, "c", "a", etag, 3000);
    for (guint i = 0; i < 2000 && block_cache_count_waiters(fixture->store->blocks, version, 0) == 0; i++)
        g_usleep(10000);
    g_assert_cmpuint(block_cache_count_waiters(fixture->store->blocks, version, 0), ==, 1);
    memory_fault_clear(fixture->base.store);
    g_thread_join(ahead);
    g_thread_join(other);
    assert_requests(fixture, 1, 0);
    object_fixture_close(reader.handle);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define ADD(name) object_fixture_add("/object/small/" #name, test_##name, NULL)
    ADD(one_request_for_both);
    ADD(larger_than_expected);
    ADD(replaced_after_it_was_kept);
    ADD(empty_is_told_by_head);
    ADD(refused_bytes_are_told_by_head);
    ADD(absent_is_absent);
    ADD(no_memory_is_a_head);
    ADD(few_are_kept);
    ADD(ahead_once);
    ADD(ahead_of_a_replaced_one);
    ADD(read_while_fetched);
    return g_test_run();
}
