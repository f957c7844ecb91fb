/* Getting to know an endpoint: probing, containers that are to be made, healing, and what waits for it. */
#include "tests/unit/storage_fixture.h"

#include <string.h>

static StorageState
get_state(StorageFixture *fixture)
{
    g_auto(StorageHealth) health = {0};
    storage_get_health(fixture->storage, &health);
    return health.state;
}

static void
test_probe(StorageFixture *fixture, gconstpointer keys)
{
    GError *error = NULL;
    storage_connect(fixture->storage);
    storage_connect(fixture->storage);
    storage_wait_connected(fixture->storage, NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpint(get_state(fixture), ==, STORAGE_UP);
    g_assert_cmpuint(storage_fixture_count(fixture, MEMORY_PROBE), ==, 1);
}

static void
test_nobody_waits_without_connect(StorageFixture *fixture, gconstpointer keys)
{
    Capabilities can;
    storage_await_capabilities(fixture->storage, NULL, &can);
    g_assert_true(can.multipart);
    g_assert_cmpint(storage_fixture_count(fixture, MEMORY_PROBE), ==, 0);
}

static void
test_refused_credentials_are_told(StorageFixture *fixture, gconstpointer keys)
{
    g_auto(StorageHealth) health = {0};
    g_autoptr(GError) error = NULL;
    storage_fixture_fail(fixture, MEMORY_PROBE, 0, ERROR_DENIED, FALSE);
    storage_connect(fixture->storage);
    g_assert_false(storage_wait_connected(fixture->storage, NULL, &error));
    g_assert_error(error, STORAGEFS_ERROR, ERROR_DENIED);
    g_assert_true(g_str_has_prefix(error->message, "s: "));
    storage_get_health(fixture->storage, &health);
    g_assert_cmpint(health.state, ==, STORAGE_DOWN);
    g_assert_cmpstr(health.last_error, ==, error->message);
    /* The storage stays usable where its account may do something. */
    g_autofree char *etag = storage_fixture_put(fixture, "k", "text");
    g_assert_cmpint(get_state(fixture), ==, STORAGE_UP);
}

static void
test_operations_heal(StorageFixture *fixture, gconstpointer keys)
{
    ContainerInfo info = {0};
    g_autoptr(GError) error = NULL;
    storage_fixture_fail(fixture, MEMORY_PROBE, 1, ERROR_DENIED, FALSE);
    storage_connect(fixture->storage);
    g_assert_false(storage_wait_connected(fixture->storage, NULL, &error));
    /* The next one is due after a while, and begun by whoever comes then. */
    guint operations = 0;
    for (; storage_fixture_count(fixture, MEMORY_PROBE) < 2; operations++) {
        g_clear_pointer(&info.name, g_free);
        g_assert_true(storage_stat_container(fixture->storage, NULL, "c", &info, NULL));
        g_usleep(1000);
    }
    g_free(info.name);
    g_assert_cmpuint(operations, >, 3);
    g_assert_true(storage_wait_connected(fixture->storage, NULL, NULL));
    g_assert_cmpint(get_state(fixture), ==, STORAGE_UP);
}

static void
block(StorageFixture *fixture, MemoryOperation operation)
{
    const MemoryFault fault = {.operation = operation, .blocks = TRUE};
    memory_fault_add(fixture->store, &fault);
}

static void
test_capabilities_wait_inside_the_deadline(StorageFixture *fixture, gconstpointer keys)
{
    Capabilities can = {0};
    g_autoptr(Call) call = call_new(50 * 1000);
    block(fixture, MEMORY_PROBE);
    storage_connect(fixture->storage);
    g_assert_true(memory_fault_wait_blocked(fixture->store, 1, 60 * (gint64)G_USEC_PER_SEC));
    storage_await_capabilities(fixture->storage, call, &can);
    g_assert_cmpint(call_get_remaining_us(call), ==, 0);
    g_assert_true(can.multipart);
    memory_fault_clear(fixture->store);
    g_assert_true(storage_wait_connected(fixture->storage, NULL, NULL));
}

static void *
cancel(void *call)
{
    call_cancel(call);
    return NULL;
}

static void
test_waiting_can_be_interrupted(StorageFixture *fixture, gconstpointer keys)
{
    g_autoptr(Call) call = call_new(0);
    g_autoptr(GError) error = NULL;
    pthread_t thread;
    block(fixture, MEMORY_PROBE);
    storage_connect(fixture->storage);
    g_assert_cmpint(pthread_create(&thread, NULL, cancel, call), ==, 0);
    g_assert_false(storage_wait_connected(fixture->storage, call, &error));
    g_assert_error(error, STORAGEFS_ERROR, ERROR_CANCELLED);
    pthread_join(thread, NULL);
}

/* A storage that is freed while its endpoint hangs does not wait for it. */
static void
test_free_while_connecting(StorageFixture *fixture, gconstpointer keys)
{
    block(fixture, MEMORY_PROBE);
    storage_connect(fixture->storage);
    g_assert_true(memory_fault_wait_blocked(fixture->store, 1, 60 * (gint64)G_USEC_PER_SEC));
}

static void
test_operations_wait_for_their_container(StorageFixture *fixture, gconstpointer keys)
{
    const ByteSource source = storage_fixture_text("text");
    g_autoptr(Call) call = call_new(50 * 1000);
    g_autoptr(GError) error = NULL;
    block(fixture, MEMORY_CREATE_CONTAINER);
    storage_connect(fixture->storage);
    g_assert_true(memory_fault_wait_blocked(fixture->store, 1, 60 * (gint64)G_USEC_PER_SEC));
    g_assert_false(storage_write_object(fixture->storage, call, "new", "k", &source, NULL, NULL, &error));
    g_assert_error(error, STORAGEFS_ERROR, ERROR_TIMEOUT);
    g_assert_cmpuint(storage_fixture_count(fixture, MEMORY_WRITE_OBJECT), ==, 0);
    g_clear_error(&error);
    /* Others go on meanwhile. */
    g_autofree char *etag = storage_fixture_put(fixture, "k", "text");
    memory_fault_clear(fixture->store);
    storage_write_object(fixture->storage, NULL, "new", "k", &source, NULL, NULL, &error);
    g_assert_no_error(error);
    g_assert_true(storage_wait_connected(fixture->storage, NULL, NULL));
    g_assert_cmpuint(storage_fixture_count(fixture, MEMORY_CREATE_CONTAINER), ==, 1);
}

static void
test_existing_container_is_no_error(StorageFixture *fixture, gconstpointer keys)
{
    GError *error = NULL;
    g_assert_true(storage_create_container(fixture->storage, NULL, "new", NULL));
    storage_connect(fixture->storage);
    storage_wait_connected(fixture->storage, NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(storage_fixture_count(fixture, MEMORY_CREATE_CONTAINER), ==, 1);
}

static void
test_container_is_made_when_the_endpoint_comes(StorageFixture *fixture, gconstpointer keys)
{
    ContainerInfo info = {0};
    g_autoptr(GError) error = NULL;
    storage_fixture_fail(fixture, MEMORY_CREATE_CONTAINER, 1, ERROR_DENIED, FALSE);
    storage_connect(fixture->storage);
    g_assert_false(storage_wait_connected(fixture->storage, NULL, &error));
    g_assert_error(error, STORAGEFS_ERROR, ERROR_DENIED);
    while (!storage_stat_container(fixture->storage, NULL, "new", &info, NULL))
        g_usleep(1000);
    g_free(info.name);
    g_assert_cmpuint(storage_fixture_count(fixture, MEMORY_CREATE_CONTAINER), ==, 2);
}

static void
test_only_named_containers_are_shown(StorageFixture *fixture, gconstpointer keys)
{
    g_autoptr(GArray) shown = NULL;
    ContainerInfo info = {0};
    g_autoptr(GError) error = NULL;
    g_assert_true(storage_list_containers(fixture->storage, NULL, &shown, NULL));
    g_assert_cmpuint(shown->len, ==, 2);
    g_assert_cmpstr(g_array_index(shown, ContainerInfo, 0).name, ==, "b");
    g_assert_cmpstr(g_array_index(shown, ContainerInfo, 1).name, ==, "c");
    g_assert_cmpuint(storage_fixture_count(fixture, MEMORY_LIST_CONTAINERS), ==, 0);
    g_assert_false(storage_stat_container(fixture->storage, NULL, "other", &info, &error));
    g_assert_error(error, STORAGEFS_ERROR, ERROR_NOT_FOUND);
    g_clear_error(&error);
    g_assert_false(storage_create_container(fixture->storage, NULL, "other", &error));
    g_assert_error(error, STORAGEFS_ERROR, ERROR_NOT_PERMITTED);
}

static void
test_bad_container_names(void)
{
    g_autoptr(Settings) settings =
        storage_fixture_settings("[storage s]\ndriver = memory\ncontainers = good;ba/d\n");
    g_autoptr(GError) error = NULL;
    g_assert_null(storage_new(g_ptr_array_index(settings->storages, 0), &error));
    g_assert_error(error, STORAGEFS_ERROR, ERROR_BAD_CONFIG);
    g_assert_nonnull(strstr(error->message, "conf:3: "));
    g_assert_nonnull(strstr(error->message, "ba/d"));
}

/* A service of which it is not known whether it honours conditions. */
#define MAYBE_KEYS STORAGE_FIXTURE_KEYS "conditional_write = maybe\n"

static void
connect_and_write_two(StorageFixture *fixture)
{
    const WriteOptions absent = {.if_absent = TRUE};
    storage_connect(fixture->storage);
    g_assert_true(storage_wait_connected(fixture->storage, NULL, NULL));
    g_assert_true(storage_fixture_write(fixture, "a", "text", &absent, NULL, NULL));
    g_assert_true(storage_fixture_write(fixture, "b", "text", &absent, NULL, NULL));
}

static void
test_unknown_conditions_are_tried_at_connect(StorageFixture *fixture, gconstpointer keys)
{
    connect_and_write_two(fixture);
    g_assert_cmpuint(storage_fixture_count(fixture, MEMORY_PROBE), ==, 1);
}

/* Known ones are not, nor is a container that nobody named written to for a few writes. */
static void
test_conditions_are_not_tried(StorageFixture *fixture, gconstpointer keys)
{
    connect_and_write_two(fixture);
    g_assert_cmpuint(storage_fixture_count(fixture, MEMORY_PROBE), <=, 1);
    g_assert_cmpuint(storage_fixture_count(fixture, MEMORY_WRITE_OBJECT), ==, 2);
}

/* Where looking goes on to cost a request for each write, it is found out once, in the container that is
 * written to; twice the writes are no reason to do it again. */
static void
test_unknown_conditions_are_tried_where_much_is_written(StorageFixture *fixture, gconstpointer keys)
{
    const WriteOptions absent = {.if_absent = TRUE};
    connect_and_write_two(fixture);
    guint before = storage_fixture_count(fixture, MEMORY_PROBE);
    for (guint i = 0; i < 16; i++) {
        g_autofree char *key = g_strdup_printf("k%u", i);
        g_assert_true(storage_fixture_write(fixture, key, "text", &absent, NULL, NULL));
    }
    for (guint i = 0; i < 6000 && storage_fixture_count(fixture, MEMORY_PROBE) == before; i++)
        g_usleep(10000);
    g_assert_cmpuint(storage_fixture_count(fixture, MEMORY_PROBE), ==, before + 1);
}

/* Looked at first, and sent all the same: a look that says absent does not let the write replace. */
static void
test_unknown_condition_is_sent(StorageFixture *fixture, gconstpointer keys)
{
    const WriteOptions absent = {.if_absent = TRUE};
    g_autoptr(GError) error = NULL;
    g_autofree char *etag = storage_fixture_put(fixture, "a", "first");
    g_assert_false(storage_fixture_write(fixture, "a", "text", &absent, NULL, &error));
    g_assert_error(error, STORAGEFS_ERROR, ERROR_EXISTS);
    g_assert_cmpuint(storage_fixture_count(fixture, MEMORY_WRITE_OBJECT), ==, 1);
    g_clear_error(&error);
    storage_fixture_fail(fixture, MEMORY_STAT_OBJECT, 1, ERROR_NOT_FOUND, FALSE);
    g_assert_false(storage_fixture_write(fixture, "a", "text", &absent, NULL, &error));
    g_assert_error(error, STORAGEFS_ERROR, ERROR_EXISTS);
    g_assert_cmpuint(storage_fixture_count(fixture, MEMORY_WRITE_OBJECT), ==, 2);
    storage_fixture_assert_holds(fixture, "a", "first");
}

static void
test_same_name_same_number(StorageFixture *fixture, gconstpointer keys)
{
    g_autoptr(Storage) again = storage_fixture_memory("folders = yes\n");
    g_assert_cmpuint(storage_get_id(again), ==, storage_get_id(fixture->storage));
    g_assert_cmpuint(storage_get_id(again), !=, 0);
    g_assert_false(storage_is_file_system(again));
    g_autoptr(Call) call = storage_new_call(again);
    g_assert_cmpint(call_get_remaining_us(call), <=, 60 * (gint64)G_USEC_PER_SEC);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    storage_fixture_add("/storage-connect/probe", test_probe, NULL);
    storage_fixture_add("/storage-connect/nobody-waits-without-connect", test_nobody_waits_without_connect,
                        NULL);
    storage_fixture_add("/storage-connect/refused-credentials-are-told", test_refused_credentials_are_told,
                        NULL);
    storage_fixture_add("/storage-connect/operations-heal", test_operations_heal, NULL);
    storage_fixture_add("/storage-connect/capabilities-wait-inside-the-deadline",
                        test_capabilities_wait_inside_the_deadline, NULL);
    storage_fixture_add("/storage-connect/waiting-can-be-interrupted", test_waiting_can_be_interrupted, NULL);
    storage_fixture_add("/storage-connect/free-while-connecting", test_free_while_connecting, NULL);
    storage_fixture_add("/storage-connect/operations-wait-for-their-container",
                        test_operations_wait_for_their_container, "create_containers = new\n");
    storage_fixture_add("/storage-connect/existing-container-is-no-error",
                        test_existing_container_is_no_error, "create_containers = new\n");
    storage_fixture_add("/storage-connect/container-is-made-when-the-endpoint-comes",
                        test_container_is_made_when_the_endpoint_comes, "create_containers = new\n");
    storage_fixture_add("/storage-connect/only-named-containers-are-shown",
                        test_only_named_containers_are_shown, "containers = c;b\n");
    g_test_add_func("/storage-connect/bad-container-names", test_bad_container_names);
    storage_fixture_add("/storage-connect/unknown-conditions-are-tried-at-connect",
                        test_unknown_conditions_are_tried_at_connect, MAYBE_KEYS "containers = c\n");
    storage_fixture_add("/storage-connect/known-conditions-are-not-tried", test_conditions_are_not_tried,
                        STORAGE_FIXTURE_KEYS "containers = c\n");
    storage_fixture_add("/storage-connect/unnamed-containers-are-not-tried-in", test_conditions_are_not_tried,
                        MAYBE_KEYS);
    storage_fixture_add("/storage-connect/unknown-conditions-are-tried-where-much-is-written",
                        test_unknown_conditions_are_tried_where_much_is_written, MAYBE_KEYS);
    storage_fixture_add("/storage-connect/unknown-condition-is-sent", test_unknown_condition_is_sent,
                        MAYBE_KEYS);
    storage_fixture_add("/storage-connect/same-name-same-number", test_same_name_same_number, NULL);
    return g_test_run();
}
