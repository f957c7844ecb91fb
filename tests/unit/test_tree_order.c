/* Small files fetched ahead of who opens them in the order of their listing, and not of anybody else. */
#include "tests/unit/tree_fixture.h"

#include <fcntl.h>
#include <string.h>

#define FILES 200u
/* Large enough not to be asked about before it is read: who opens it opens what the listing says. */
#define FILE_BYTES 5000u
#define LISTING TREE_FIXTURE_FRESH "attributes = listing\n"
#define FOLDERS TREE_FIXTURE_FRESH "folders = yes\n"
#define STALE "freshness = 0\nattributes = listing\n"

static char *
make_name(guint i)
{
    return g_strdup_printf("a%03u", i);
}

static char *
make_text(guint i)
{
    char *text = g_strnfill(FILE_BYTES, (char)('a' + i % 26));
    memcpy(text, "0123", 4);
    text[i % 4] = '-';
    return text;
}

static void
store_and_list(TreeFixture *fixture)
{
    for (guint i = 0; i < FILES; i++) {
        g_autofree char *name = make_name(i), *text = make_text(i);
        tree_fixture_store(fixture, name, text, NULL);
    }
    g_free(tree_fixture_list(fixture, fixture->container));
    tree_fixture_assert_requests(fixture, "list 1");
}

static void
read_one(TreeFixture *fixture, guint i)
{
    g_autofree char *name = make_name(i), *text = make_text(i);
    tree_fixture_assert_content(fixture, fixture->container, name, text);
}

static guint
count_reads(TreeFixture *fixture)
{
    return (guint)memory_fault_get_count(fixture->memory, MEMORY_READ_OBJECT);
}

static void
test_one_request_each(TreeFixture *fixture, gconstpointer keys)
{
    store_and_list(fixture);
    for (guint i = 0; i < FILES; i++)
        read_one(fixture, i);
    tree_fixture_assert_requests(fixture, "read 200");
}

/* Who looks at all attributes of what he has opened, as many programs do, is told by the same request. */
static void
test_one_request_with_attributes(TreeFixture *fixture, gconstpointer keys)
{
    store_and_list(fixture);
    for (guint i = 0; i < FILES; i++) {
        g_autofree char *name = make_name(i), *text = make_text(i);
        Node *node = NULL;
        FileHandle *handle = tree_fixture_open_file(fixture, fixture->container, name, O_RDONLY, &node);
        g_assert_cmpint(tree_fixture_stat(fixture, fixture->container, name).st_size, ==, FILE_BYTES);
        tree_fixture_assert_reads(handle, text);
        tree_fixture_close_file(fixture, node, handle);
    }
    tree_fixture_assert_requests(fixture, "read 200");
}

static gpointer
read_fourth(gpointer data)
{
    read_one(data, 3);
    return NULL;
}

/* The fourth file in order has four others asked for beside it; it is read by one request, whoever sends it.
 */
static void
test_side_by_side(TreeFixture *fixture, gconstpointer keys)
{
    MemoryFault blocked = {.operation = MEMORY_READ_OBJECT, .blocks = TRUE};
    store_and_list(fixture);
    for (guint i = 0; i < 2; i++)
        read_one(fixture, i);
    g_assert_cmpuint(count_reads(fixture), ==, 2);
    memory_fault_add(fixture->memory, &blocked);
    g_autofree char *name = make_name(2);
    Node *node = NULL;
    FileHandle *handle = tree_fixture_open_file(fixture, fixture->container, name, O_RDONLY, &node);
    GThread *reader = g_thread_new("reader", read_fourth, fixture);
    g_assert_true(memory_fault_wait_blocked(fixture->memory, 5, 20 * G_USEC_PER_SEC));
    memory_fault_clear(fixture->memory);
    g_thread_join(reader);
    tree_fixture_close_file(fixture, node, handle);
}

static void
test_other_order(TreeFixture *fixture, gconstpointer keys)
{
    store_and_list(fixture);
    for (guint i = 0; i < FILES / 2; i++)
        read_one(fixture, i * 73 % FILES);
    tree_fixture_assert_requests(fixture, "read 100");
}

static void
test_backward(TreeFixture *fixture, gconstpointer keys)
{
    store_and_list(fixture);
    for (guint i = FILES; i > FILES / 2; i--)
        read_one(fixture, i - 1);
    tree_fixture_assert_requests(fixture, "read 100");
}

/* What lies between the files that are read is fetched a few times and no more. */
static void
test_every_fourth(TreeFixture *fixture, gconstpointer keys)
{
    store_and_list(fixture);
    for (guint i = 0; i < FILES; i += 4)
        read_one(fixture, i);
    g_assert_cmpuint(count_reads(fixture), <=, 50 + 16);
}

/* After a jump nothing more is fetched for the order before it. */
static void
test_broken(TreeFixture *fixture, gconstpointer keys)
{
    store_and_list(fixture);
    for (guint i = 0; i < 5; i++)
        read_one(fixture, i);
    for (guint i = 0; i < 50; i++)
        read_one(fixture, 60 + i * 73 % (FILES - 60));
    /* 2, 4 and 8 files ahead of the third, fourth and fifth. */
    g_assert_cmpuint(count_reads(fixture), <=, 55 + 8);
}

static void
test_not_read(TreeFixture *fixture, gconstpointer keys)
{
    store_and_list(fixture);
    for (guint i = 0; i < FILES; i++) {
        g_autofree char *name = make_name(i);
        Node *node = NULL;
        FileHandle *handle = tree_fixture_open_file(fixture, fixture->container, name, O_RDONLY, &node);
        tree_fixture_close_file(fixture, node, handle);
    }
    tree_fixture_assert_requests(fixture, "");
}

/* Where nothing stays known, what is fetched ahead would be asked for again. */
static void
test_never_fresh(TreeFixture *fixture, gconstpointer keys)
{
    for (guint i = 0; i < 30; i++) {
        g_autofree char *name = make_name(i), *text = make_text(i);
        tree_fixture_store(fixture, name, text, NULL);
    }
    g_free(tree_fixture_list(fixture, fixture->container));
    for (guint i = 0; i < 15; i++)
        read_one(fixture, i);
    g_assert_cmpuint(count_reads(fixture), ==, 15);
}

typedef struct {
    TreeFixture *fixture;
    gint *next;
} Readers;

static gpointer
read_shared(gpointer data)
{
    const Readers *readers = data;
    for (;;) {
        gint i = g_atomic_int_add(readers->next, 1);
        if (i >= (gint)FILES)
            return NULL;
        read_one(readers->fixture, (guint)i);
    }
}

static void
test_threads(TreeFixture *fixture, gconstpointer keys)
{
    GThread *threads[8];
    gint next = 0;
    Readers readers = {fixture, &next};
    store_and_list(fixture);
    for (guint i = 0; i < G_N_ELEMENTS(threads); i++)
        threads[i] = g_thread_new("reader", read_shared, &readers);
    for (guint i = 0; i < G_N_ELEMENTS(threads); i++)
        g_thread_join(threads[i]);
    tree_fixture_assert_requests(fixture, "read 200");
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    tree_fixture_add("/tree/order/one-request-each", test_one_request_each, NULL);
    tree_fixture_add("/tree/order/one-request-each-listing", test_one_request_each, LISTING);
    tree_fixture_add("/tree/order/one-request-each-folders", test_one_request_each, FOLDERS);
    tree_fixture_add("/tree/order/one-request-with-attributes", test_one_request_with_attributes, NULL);
    tree_fixture_add("/tree/order/side-by-side", test_side_by_side, NULL);
    tree_fixture_add("/tree/order/other-order", test_other_order, NULL);
    tree_fixture_add("/tree/order/backward", test_backward, NULL);
    tree_fixture_add("/tree/order/every-fourth", test_every_fourth, NULL);
    tree_fixture_add("/tree/order/broken", test_broken, NULL);
    tree_fixture_add("/tree/order/not-read", test_not_read, LISTING);
    tree_fixture_add("/tree/order/never-fresh", test_never_fresh, STALE);
    tree_fixture_add("/tree/order/threads", test_threads, NULL);
    return g_test_run();
}
