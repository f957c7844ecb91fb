#include "tests/contract/contract.h"

#include <pthread.h>

#define THREADS 8
#define ROUNDS 12

/* Every operation ends at once with `code` when its call has ended before. */
static void
assert_refused(Call *call, ErrorCode code)
{
    GError *error = NULL;
    const Driver *driver = contract.driver;
    DriverInstance *instance = contract.instance;
    const char *container = contract.container;
    const ByteSource source = contract_source("x", 1);
    const WriteOptions options = {NULL};
    const ListQuery query = {.prefix = ""};
    ObjectInfo info = {NULL};
    ContainerInfo container_info = {NULL};
    Capabilities can;
    char buffer[4];
    gsize length;
    g_autoptr(GArray) containers = NULL;
    g_auto(ListPage) page;
    list_page_init(&page);
    g_assert_false(driver->probe(instance, call, NULL, &can, &error));
    contract_assert_code(&error, code);
    g_assert_false(driver->list_containers(instance, call, &containers, &error));
    contract_assert_code(&error, code);
    g_assert_false(driver->stat_container(instance, call, container, &container_info, &error));
    contract_assert_code(&error, code);
    g_assert_false(driver->list_objects(instance, call, container, &query, &page, &error));
    contract_assert_code(&error, code);
    g_assert_false(driver->stat_object(instance, call, container, "call", &info, &error));
    contract_assert_code(&error, code);
    g_assert_false(
        driver->read_object(instance, call, container, "call", 0, 4, NULL, buffer, &length, NULL, &error));
    contract_assert_code(&error, code);
    g_assert_false(driver->write_object(instance, call, container, "call", &source, &options, NULL, &error));
    contract_assert_code(&error, code);
    g_assert_false(driver->delete_object(instance, call, container, "call", NULL, &error));
    contract_assert_code(&error, code);
}

static void
test_cancelled(void)
{
    g_autofree char *etag = contract_put("call", "kept", 4, NULL);
    g_autoptr(Call) call = call_new(0);
    call_cancel(call);
    assert_refused(call, ERROR_CANCELLED);
    contract_assert_content("call", "kept", 4);
}

static void
test_deadline(void)
{
    g_autofree char *etag = contract_put("call", "kept", 4, NULL);
    g_autoptr(Call) call = call_new(1);
    while (call_get_remaining_us(call) > 0) {
    }
    assert_refused(call, ERROR_TIMEOUT);
    contract_assert_content("call", "kept", 4);
}

/* Cancels while the bytes are asked for: the write must not go on to its end. */
static gboolean
cancel_and_fill(gpointer data, guint64 offset, void *buffer, gsize length_bytes, GError **error)
{
    call_cancel(data);
    for (gsize i = 0; i < length_bytes; i++)
        ((char *)buffer)[i] = 'x';
    return TRUE;
}

static void
test_cancelled_write(void)
{
    GError *error = NULL;
    g_autoptr(Call) call = call_new(0);
    const ByteSource source = {.size_bytes = 8 << 20, .read = cancel_and_fill, .data = call};
    const WriteOptions options = {NULL};
    g_assert_false(contract.driver->write_object(contract.instance, call, contract.container, "cancelled",
                                                 &source, &options, NULL, &error));
    contract_assert_code(&error, ERROR_CANCELLED);
    contract_assert_absent("cancelled");
}

static void *
work(void *data)
{
    guint number = GPOINTER_TO_UINT(data);
    for (guint round = 0; round < ROUNDS; round++) {
        GError *error = NULL;
        g_autofree char *key = g_strdup_printf("shared/t%u/r%u", number, round % 3);
        g_autofree guint8 *bytes = contract_make_bytes(1000 + round, number * 100 + round);
        g_autofree char *etag = contract_put(key, bytes, 1000 + round, NULL);
        contract_assert_content(key, bytes, 1000 + round);
        const ListQuery query = {.prefix = "shared/", .delimiter = '/'};
        g_auto(ListPage) page;
        list_page_init(&page);
        contract.driver->list_objects(contract.instance, NULL, contract.container, &query, &page, &error);
        g_assert_no_error(error);
        contract.driver->delete_object(contract.instance, NULL, contract.container, key, NULL, &error);
        g_assert_no_error(error);
    }
    return NULL;
}

/* In the flat layout of a local storage the threads make and prune the same directories. */
static void
test_threads(void)
{
    pthread_t threads[THREADS];
    for (guint i = 0; i < THREADS; i++)
        g_assert_cmpint(pthread_create(&threads[i], NULL, work, GUINT_TO_POINTER(i)), ==, 0);
    for (guint i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
}

void
contract_add_calls(void)
{
    contract_add("/calls/cancelled", test_cancelled);
    contract_add("/calls/deadline", test_deadline);
    contract_add("/calls/cancelled-write", test_cancelled_write);
    contract_add("/calls/threads", test_threads);
}
