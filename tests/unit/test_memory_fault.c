/* The fault double: what it hits, what it counts, how blocked calls go on. */
#include "drivers/memory/memory.h"
#include "drivers/memory/memory_fault.h"
#include "src/base/worker_pool.h"

#include <glib/gstdio.h>

typedef struct {
    DriverInstance *instance;
    MemoryStore *store;
} Fixture;

static DriverInstance *
open_instance(const char *store)
{
    static const ConfigKey common[] = {{.name = "driver", .type = CONFIG_STRING}, {NULL}};
    const ConfigKey *const tables[] = {common, memory_driver.keys, NULL};
    GError *error = NULL;
    g_autofree char *path = NULL;
    g_autofree char *text = g_strdup_printf("[storage m]\ndriver = memory\nstore = %s\n", store);
    int fd = g_file_open_tmp("storagefs-memory-XXXXXX", &path, &error);
    g_assert_no_error(error);
    g_close(fd, NULL);
    g_assert_true(g_file_set_contents(path, text, -1, NULL));
    g_autoptr(ConfigFile) file = config_file_load(path, &error);
    g_assert_no_error(error);
    g_autoptr(ConfigSection) section = config_section_check(file, "storage m", tables, &error);
    g_assert_no_error(error);
    g_unlink(path);
    return memory_driver.open("memory", section, &error);
}

static void
set_up(Fixture *fixture, gconstpointer data)
{
    fixture->instance = open_instance("faults");
    fixture->store = memory_store_find("faults");
    g_assert_true(fixture->store == memory_get_store(fixture->instance));
    g_assert_true(memory_driver.create_container(fixture->instance, NULL, "c", NULL));
}

static void
tear_down(Fixture *fixture, gconstpointer data)
{
    memory_driver.close(fixture->instance);
    g_assert_null(memory_store_find("faults"));
}

static gboolean
read_nothing(gpointer data, guint64 offset, void *buffer, gsize length_bytes, GError **error)
{
    return TRUE;
}

static gboolean
put(DriverInstance *instance, const char *key, Call *call, GError **error)
{
    const ByteSource source = {.size_bytes = 0, .read = read_nothing};
    const WriteOptions options = {NULL};
    return memory_driver.write_object(instance, call, "c", key, &source, &options, NULL, error);
}

static gboolean
exists(DriverInstance *instance, const char *key)
{
    g_auto(ObjectInfo) info = {NULL};
    return memory_driver.stat_object(instance, NULL, "c", key, &info, NULL);
}

static void
test_nth(Fixture *fixture, gconstpointer data)
{
    const MemoryFault fault = {.operation = MEMORY_WRITE_OBJECT,
                               .key = "k",
                               .nth = 2,
                               .times = 2,
                               .fails = TRUE,
                               .code = ERROR_THROTTLED,
                               .retry_after_us = 5000};
    static const gboolean expected[] = {TRUE, FALSE, FALSE, TRUE};
    memory_fault_add(fixture->store, &fault);
    for (guint i = 0; i < G_N_ELEMENTS(expected); i++) {
        g_autoptr(GError) error = NULL;
        g_assert_true(put(fixture->instance, "other", NULL, NULL));
        g_assert_cmpint(put(fixture->instance, "k", NULL, &error), ==, expected[i]);
        g_assert_cmpint(error_is(error, ERROR_THROTTLED), ==, !expected[i]);
        if (error != NULL)
            g_assert_cmpint(error_get_retry_after_us(error), ==, 5000);
    }
    const MemoryFault lasting = {.operation = MEMORY_ANY, .nth = 2, .fails = TRUE, .code = ERROR_DENIED};
    memory_fault_clear(fixture->store);
    memory_fault_add(fixture->store, &lasting);
    g_assert_true(put(fixture->instance, "k", NULL, NULL));
    for (guint i = 0; i < 3; i++)
        g_assert_false(put(fixture->instance, "k", NULL, NULL));
    g_assert_cmpuint(memory_fault_get_count(fixture->store, MEMORY_WRITE_OBJECT), ==, 12);
    memory_fault_reset_counts(fixture->store);
    g_assert_cmpuint(memory_fault_get_count(fixture->store, MEMORY_ANY), ==, 0);
}

static void
test_lost_reply(Fixture *fixture, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    MemoryFault fault = {
        .operation = MEMORY_WRITE_OBJECT, .times = 1, .fails = TRUE, .code = ERROR_UNAVAILABLE};
    memory_fault_add(fixture->store, &fault);
    g_assert_false(put(fixture->instance, "before", NULL, &error));
    g_assert_false(exists(fixture->instance, "before"));
    g_clear_error(&error);
    fault.lost_reply = TRUE;
    memory_fault_add(fixture->store, &fault);
    g_assert_false(put(fixture->instance, "after", NULL, &error));
    g_assert_true(error_is(error, ERROR_UNAVAILABLE));
    g_assert_true(exists(fixture->instance, "after"));
}

typedef struct {
    Fixture *fixture;
    Call *call;
    gboolean done;
    GError *error;
} Blocked;

static void
put_blocked(gpointer data)
{
    Blocked *blocked = data;
    blocked->done = put(blocked->fixture->instance, "k", blocked->call, &blocked->error);
}

static void
test_block(Fixture *fixture, gconstpointer data)
{
    const MemoryFault fault = {.operation = MEMORY_WRITE_OBJECT, .blocks = TRUE};
    g_autoptr(WorkerPool) pool = worker_pool_new("blocked", 4);
    g_autoptr(Call) call = call_new(0);
    Blocked released = {.fixture = fixture}, cancelled = {.fixture = fixture, .call = call};
    memory_fault_add(fixture->store, &fault);
    worker_pool_push(pool, put_blocked, &released);
    worker_pool_push(pool, put_blocked, &cancelled);
    g_assert_true(memory_fault_wait_blocked(fixture->store, 2, 60 * G_USEC_PER_SEC));
    g_assert_false(exists(fixture->instance, "k"));
    call_cancel(call);
    memory_fault_release(fixture->store);
    worker_pool_drain(pool);
    g_assert_true(released.done);
    g_assert_false(cancelled.done);
    g_assert_true(error_is(cancelled.error, ERROR_CANCELLED));
    g_clear_error(&cancelled.error);
    g_assert_true(exists(fixture->instance, "k"));
    memory_fault_clear(fixture->store);
    g_assert_true(put(fixture->instance, "k", NULL, NULL));
}

static void
test_shared(Fixture *fixture, gconstpointer data)
{
    DriverInstance *other = open_instance("faults"), *apart = open_instance("");
    g_autoptr(GError) error = NULL;
    g_assert_true(put(other, "k", NULL, NULL));
    g_assert_true(exists(fixture->instance, "k"));
    g_assert_false(put(apart, "k", NULL, &error));
    g_assert_true(error_is(error, ERROR_NOT_FOUND));
    memory_driver.close(other);
    memory_driver.close(apart);
    g_assert_true(exists(fixture->instance, "k"));
}

static void
test_capacity(Fixture *fixture, gconstpointer data)
{
    const ByteSource source = {.size_bytes = G_GUINT64_CONSTANT(3) << 30, .read = read_nothing};
    const WriteOptions options = {NULL};
    g_autoptr(GError) error = NULL;
    g_assert_false(
        memory_driver.write_object(fixture->instance, NULL, "c", "big", &source, &options, NULL, &error));
    g_assert_true(error_is(error, ERROR_NO_SPACE));
    g_assert_cmpuint(fixture->store->used_bytes, ==, 0);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add("/memory/fault/nth", Fixture, NULL, set_up, test_nth, tear_down);
    g_test_add("/memory/fault/lost-reply", Fixture, NULL, set_up, test_lost_reply, tear_down);
    g_test_add("/memory/fault/block", Fixture, NULL, set_up, test_block, tear_down);
    g_test_add("/memory/shared", Fixture, NULL, set_up, test_shared, tear_down);
    g_test_add("/memory/capacity", Fixture, NULL, set_up, test_capacity, tear_down);
    return g_test_run();
}
