/* Look-ups and stat over an object service: what is answered from what is known, and with which requests. */
#include "tests/unit/tree_fixture.h"

#include <string.h>

#define FOLDERS TREE_FIXTURE_FRESH "folders = yes\n"
#define LISTING TREE_FIXTURE_FRESH "attributes = listing\n"
#define STALE "freshness = 0\n"

static Metadata *
make_metadata(const char *name, const char *value)
{
    Metadata *metadata = metadata_new();
    g_hash_table_insert(metadata, g_strdup(name), g_strdup(value));
    return metadata;
}

static void
store_many(TreeFixture *fixture, const char *prefix, guint count)
{
    for (guint i = 0; i < count; i++) {
        g_autofree char *key = g_strdup_printf("%s%03u", prefix, i);
        tree_fixture_store(fixture, key, "content", NULL);
    }
}

static void
test_one_head(TreeFixture *fixture, gconstpointer keys)
{
    tree_fixture_store(fixture, "a", "abc", NULL);
    struct stat attributes = tree_fixture_stat(fixture, fixture->container, "a");
    g_assert_cmpint(attributes.st_size, ==, 3);
    g_assert_cmpint(attributes.st_mode, ==, S_IFREG | 0644);
    g_assert_cmpint(attributes.st_uid, ==, 1000);
    tree_fixture_assert_requests(fixture, "stat 1");
}

static void
test_known(TreeFixture *fixture, gconstpointer keys)
{
    tree_fixture_store(fixture, "a", "abc", NULL);
    Node *node = tree_fixture_lookup(fixture, fixture->container, "a");
    tree_fixture_assert_requests(fixture, "stat 1");
    for (guint i = 0; i < 10; i++)
        tree_fixture_stat(fixture, fixture->container, "a");
    tree_fixture_assert_requests(fixture, "");
    tree_fixture_forget(fixture, node);
}

static void
test_stale(TreeFixture *fixture, gconstpointer keys)
{
    tree_fixture_store(fixture, "a", "abc", NULL);
    Node *node = tree_fixture_lookup(fixture, fixture->container, "a");
    tree_fixture_store(fixture, "a", "abcdef", NULL);
    g_assert_cmpint(tree_fixture_stat(fixture, fixture->container, "a").st_size, ==, 6);
    tree_fixture_delete(fixture, "a");
    tree_fixture_assert_absent(fixture, fixture->container, "a");
    tree_fixture_forget(fixture, node);
}

static void
test_absent_once(TreeFixture *fixture, gconstpointer keys)
{
    for (guint i = 0; i < 5; i++)
        tree_fixture_assert_absent(fixture, fixture->container, "nothing");
    tree_fixture_assert_requests(fixture, "stat 1");
}

/* A listing answers for every name it holds and for every name it does not. */
static void
test_listing_answers(TreeFixture *fixture, gconstpointer keys)
{
    store_many(fixture, "a", 20);
    g_autofree char *names = tree_fixture_list(fixture, fixture->container);
    g_assert_cmpuint(strlen(names), ==, 20 * 5 - 1);
    tree_fixture_assert_requests(fixture, "list 1");
    for (guint i = 0; i < 20; i++) {
        g_autofree char *name = g_strdup_printf("missing%u", i);
        tree_fixture_assert_absent(fixture, fixture->container, name);
    }
    tree_fixture_assert_requests(fixture, "");
}

/* Two stale names of a directory whose listing is one page: one listing instead of HEADs. */
static void
test_batch(TreeFixture *fixture, gconstpointer keys)
{
    store_many(fixture, "a", 20);
    g_free(tree_fixture_list(fixture, fixture->container));
    tree_fixture_grow_old(fixture);
    memory_fault_reset_counts(fixture->memory);
    for (guint i = 0; i < 20; i++) {
        g_autofree char *name = g_strdup_printf("a%03u", i);
        tree_fixture_forget(fixture, tree_fixture_lookup(fixture, fixture->container, name));
        g_autofree char *missing = g_strdup_printf("b%03u", i);
        tree_fixture_assert_absent(fixture, fixture->container, missing);
    }
    g_autofree char *requests = tree_fixture_take_requests(fixture);
    g_assert_cmpstr(requests, ==, "list 1 stat 1");
}

/* A directory of many pages, looked at in no order: listed again once that costs no more than the looks
 * before.
 */
static void
test_batch_of_pages(TreeFixture *fixture, gconstpointer keys)
{
    store_many(fixture, "a", 500);
    g_free(tree_fixture_list(fixture, fixture->container));
    tree_fixture_grow_old(fixture);
    memory_fault_reset_counts(fixture->memory);
    for (guint i = 0; i < 500; i++) {
        g_autofree char *name = g_strdup_printf("a%03u", i * 167 % 500);
        tree_fixture_forget(fixture, tree_fixture_lookup(fixture, fixture->container, name));
    }
    /* 20 pages; more where several are asked for at once. */
    guint64 lists = memory_fault_get_count(fixture->memory, MEMORY_LIST_OBJECTS);
    g_assert_cmpuint(lists, >=, 20);
    g_assert_cmpuint(lists, <=, 28);
    g_assert_cmpuint(memory_fault_get_count(fixture->memory, MEMORY_STAT_OBJECT), <=, 25);
    g_free(tree_fixture_take_requests(fixture));
}

/* An unchanged ETag keeps what a HEAD told; a listing is enough to see that. */
static void
test_etag_keeps(TreeFixture *fixture, gconstpointer keys)
{
    Node *nodes[10];
    store_many(fixture, "a", 10);
    g_free(tree_fixture_list(fixture, fixture->container));
    for (guint i = 0; i < 10; i++) {
        g_autofree char *name = g_strdup_printf("a%03u", i);
        nodes[i] = tree_fixture_lookup(fixture, fixture->container, name);
    }
    tree_fixture_grow_old(fixture);
    memory_fault_reset_counts(fixture->memory);
    g_free(tree_fixture_list(fixture, fixture->container));
    for (guint i = 0; i < 10; i++) {
        g_autofree char *name = g_strdup_printf("a%03u", i);
        tree_fixture_stat(fixture, fixture->container, name);
    }
    tree_fixture_assert_requests(fixture, "list 1");
    for (guint i = 0; i < 10; i++)
        tree_fixture_forget(fixture, nodes[i]);
}

/* stat of every name in listing order: one request each and not one more, most of them ahead. Some are whole
 * objects, until it is seen that nobody opens them. */
static void
test_stat_ahead(TreeFixture *fixture, gconstpointer keys)
{
    store_many(fixture, "a", 200);
    g_free(tree_fixture_list(fixture, fixture->container));
    for (guint i = 0; i < 200; i++) {
        g_autofree char *name = g_strdup_printf("a%03u", i);
        g_assert_cmpint(tree_fixture_stat(fixture, fixture->container, name).st_size, ==, 7);
    }
    tree_fixture_assert_requests(fixture, "list 1 stat 196 read 4");
}

/* The same with reading: the requests ahead bring the bytes too, in parallel. */
static void
test_read_ahead(TreeFixture *fixture, gconstpointer keys)
{
    store_many(fixture, "a", 200);
    g_free(tree_fixture_list(fixture, fixture->container));
    for (guint i = 0; i < 200; i++) {
        g_autofree char *name = g_strdup_printf("a%03u", i);
        tree_fixture_assert_content(fixture, fixture->container, name, "content");
    }
    tree_fixture_assert_requests(fixture, "list 1 read 200");
}

static gpointer
stat_second(gpointer data)
{
    TreeFixture *fixture = data;
    tree_fixture_stat(fixture, fixture->container, "a001");
    return NULL;
}

/* The second name in order already has others asked for beside it. */
static void
test_ahead_in_parallel(TreeFixture *fixture, gconstpointer keys)
{
    MemoryFault blocked = {.operation = MEMORY_STAT_OBJECT, .blocks = TRUE};
    store_many(fixture, "a", 50);
    g_free(tree_fixture_list(fixture, fixture->container));
    tree_fixture_stat(fixture, fixture->container, "a000");
    memory_fault_add(fixture->memory, &blocked);
    GThread *reader = g_thread_new("reader", stat_second, fixture);
    g_assert_true(memory_fault_wait_blocked(fixture->memory, 4, 20 * G_USEC_PER_SEC));
    memory_fault_clear(fixture->memory);
    g_thread_join(reader);
}

/* Scattered names are asked for one by one. */
static void
test_no_ahead(TreeFixture *fixture, gconstpointer keys)
{
    static const guint order[] = {150, 20, 90, 10};
    store_many(fixture, "a", 200);
    g_free(tree_fixture_list(fixture, fixture->container));
    for (guint i = 0; i < G_N_ELEMENTS(order); i++) {
        g_autofree char *name = g_strdup_printf("a%03u", order[i]);
        tree_fixture_stat(fixture, fixture->container, name);
    }
    tree_fixture_assert_requests(fixture, "list 1 read 4");
}

static void
test_listing_mode(TreeFixture *fixture, gconstpointer keys)
{
    g_autoptr(GHashTable) metadata = make_metadata("mtime", "1000000000.5");
    tree_fixture_store(fixture, "a", "abc", metadata);
    tree_fixture_store(fixture, "b", "abc", NULL);
    g_assert_cmpint(tree_fixture_stat(fixture, fixture->container, "a").st_mtim.tv_sec, !=, 1000000000);
    tree_fixture_assert_absent(fixture, fixture->container, "c");
    g_free(tree_fixture_list(fixture, fixture->container));
    tree_fixture_stat(fixture, fixture->container, "b");
    g_autofree char *requests = tree_fixture_take_requests(fixture);
    g_assert_null(strstr(requests, "stat"));
}

static void
test_exact_mode(TreeFixture *fixture, gconstpointer keys)
{
    g_autoptr(GHashTable) metadata = make_metadata("mtime", "1000000000.5");
    tree_fixture_store(fixture, "a", "abc", metadata);
    struct stat attributes = tree_fixture_stat(fixture, fixture->container, "a");
    g_assert_cmpint(attributes.st_mtim.tv_sec, ==, 1000000000);
    g_assert_cmpint(attributes.st_mtim.tv_nsec, ==, 500000000);
}

/* Metadata that comes with the listing makes HEADs needless. */
static void
test_free_metadata(TreeFixture *fixture, gconstpointer keys)
{
    g_autoptr(GHashTable) metadata = make_metadata("mode", "33152");
    tree_fixture_store(fixture, "a", "abc", metadata);
    g_free(tree_fixture_list(fixture, fixture->container));
    g_assert_cmpint(tree_fixture_stat(fixture, fixture->container, "a").st_mode, ==, S_IFREG | 0600);
    tree_fixture_assert_requests(fixture, "list 1");
}

static void
test_not_canonical(TreeFixture *fixture, gconstpointer keys)
{
    tree_fixture_store(fixture, "a", "abc", NULL);
    tree_fixture_assert_absent(fixture, fixture->container, "%2500%25");
    tree_fixture_assert_absent(fixture, fixture->container, "x%25y");
    tree_fixture_assert_requests(fixture, "");
}

static void
test_folders(TreeFixture *fixture, gconstpointer keys)
{
    tree_fixture_store(fixture, "dir/sub/file", "abc", NULL);
    g_assert_cmpint(tree_fixture_stat(fixture, fixture->container, "dir").st_mode, ==, S_IFDIR | 0755);
    g_assert_cmpint(tree_fixture_stat(fixture, fixture->container, "dir/sub/file").st_size, ==, 3);
    tree_fixture_assert_absent(fixture, fixture->container, "dir/none");
    tree_fixture_assert_absent(fixture, fixture->container, "di");
}

/* Every odd key has one name, and that name leads to it. */
static void
test_odd_keys(TreeFixture *fixture, gconstpointer keys)
{
    static const struct {
        const char *key, *path;
    } odd[] = {{"a", "a%00"},        {"a/b", "a/b"},       {"x//y", "x/%2F/y"}, {"/lead", "%2F/lead"},
               {"./d", "%2E/d"},     {"../u", "%2E%2E/u"}, {"t/", "t/%00"},     {"p%00", "p%2500"},
               {"e/%2F", "e/%252F"}, {"a.txt", "a.txt"},   {"a-1", "a-1"}};
    for (guint i = 0; i < G_N_ELEMENTS(odd); i++)
        tree_fixture_store(fixture, odd[i].key, odd[i].key, NULL);
    for (guint i = 0; i < G_N_ELEMENTS(odd); i++) {
        struct stat attributes = tree_fixture_stat(fixture, fixture->container, odd[i].path);
        g_assert_cmpint(attributes.st_size, ==, strlen(odd[i].key));
    }
    tree_fixture_assert_list(fixture, fixture->container, "%2E%2E %2E %2F a%00 a-1 a.txt a e p%2500 t x");
    for (guint i = 0; i < G_N_ELEMENTS(odd); i++) {
        struct stat attributes = tree_fixture_stat(fixture, fixture->container, odd[i].path);
        g_assert_cmpint(attributes.st_size, ==, strlen(odd[i].key));
    }
    g_assert_true(S_ISDIR(tree_fixture_stat(fixture, fixture->container, "a").st_mode));
}

/* What a listing takes for a file is the symlink that is known already: who holds it can still read it. */
static void
test_symlink_is_listed(TreeFixture *fixture, gconstpointer keys)
{
    TreeEntry entry;
    GError *error = NULL;
    g_autofree char *target = NULL;
    gboolean ok =
        tree_make_symlink(fixture->tree, NULL, fixture->container, "link", "../there", 7, 8, &entry, &error);
    g_assert_no_error(error);
    g_assert_true(ok);
    tree_fixture_grow_old(fixture);
    tree_fixture_assert_list(fixture, fixture->container, "link");
    Node *again = tree_fixture_lookup(fixture, fixture->container, "link");
    g_assert_true(tree_read_symlink(fixture->tree, NULL, entry.node, &target, &error));
    g_assert_no_error(error);
    g_assert_cmpstr(target, ==, "../there");
    g_assert_true(again == entry.node);
    tree_fixture_forget(fixture, again);
    tree_fixture_forget(fixture, entry.node);
}

static void
test_foreign_symlink(TreeFixture *fixture, gconstpointer keys)
{
    g_autoptr(GHashTable) metadata = make_metadata("mode", "41471");
    GError *error = NULL;
    g_autofree char *target = NULL;
    tree_fixture_store(fixture, "link", "target", metadata);
    g_free(tree_fixture_list(fixture, fixture->container));
    Node *node = tree_fixture_lookup(fixture, fixture->container, "link");
    g_assert_true(tree_read_symlink(fixture->tree, NULL, node, &target, &error));
    g_assert_cmpstr(target, ==, "target");
    tree_fixture_forget(fixture, node);
}

static void
test_down(TreeFixture *fixture, gconstpointer keys)
{
    MemoryFault fault = {.operation = MEMORY_STAT_OBJECT, .fails = TRUE, .code = ERROR_DENIED};
    TreeEntry entry;
    gint64 valid_us = -1;
    GError *error = NULL;
    tree_fixture_store(fixture, "a", "abc", NULL);
    memory_fault_add(fixture->memory, &fault);
    gboolean ok = tree_lookup(fixture->tree, NULL, fixture->container, "a", &entry, &valid_us, &error);
    tree_fixture_assert_code(ok, error, ERROR_DENIED);
    g_assert_cmpint(valid_us, ==, 0);
    memory_fault_clear(fixture->memory);
    tree_fixture_forget(fixture, tree_fixture_lookup(fixture, fixture->container, "a"));
}

/* A look-up that waits for the network ends with its call. */
static void
test_cancelled(TreeFixture *fixture, gconstpointer keys)
{
    MemoryFault fault = {.operation = MEMORY_STAT_OBJECT, .blocks = TRUE};
    TreeEntry entry;
    gint64 valid_us;
    GError *error = NULL;
    g_autoptr(Call) call = call_new(50000);
    memory_fault_add(fixture->memory, &fault);
    gboolean ok = tree_lookup(fixture->tree, call, fixture->container, "a", &entry, &valid_us, &error);
    tree_fixture_assert_code(ok, error, ERROR_TIMEOUT);
    memory_fault_clear(fixture->memory);
}

int
main(int argc, char *argv[])
{
    g_test_init(&argc, &argv, NULL);
    tree_fixture_add("/tree/lookup/one-head", test_one_head, NULL);
    tree_fixture_add("/tree/lookup/known", test_known, NULL);
    tree_fixture_add("/tree/lookup/stale", test_stale, STALE);
    tree_fixture_add("/tree/lookup/absent-once", test_absent_once, NULL);
    tree_fixture_add("/tree/lookup/listing-answers", test_listing_answers, NULL);
    tree_fixture_add("/tree/lookup/batch", test_batch, TREE_FIXTURE_FRESH "metadata_in_listings = yes\n");
    tree_fixture_add("/tree/lookup/batch-of-pages", test_batch_of_pages,
                     TREE_FIXTURE_FRESH "metadata_in_listings = yes\npage_limit = 25\n");
    tree_fixture_add("/tree/lookup/etag-keeps", test_etag_keeps, NULL);
    tree_fixture_add("/tree/lookup/stat-ahead", test_stat_ahead, NULL);
    tree_fixture_add("/tree/lookup/read-ahead", test_read_ahead, NULL);
    tree_fixture_add("/tree/lookup/ahead-in-parallel", test_ahead_in_parallel, NULL);
    tree_fixture_add("/tree/lookup/no-ahead", test_no_ahead, NULL);
    tree_fixture_add("/tree/lookup/listing-mode", test_listing_mode, LISTING);
    tree_fixture_add("/tree/lookup/exact-mode", test_exact_mode, NULL);
    tree_fixture_add("/tree/lookup/free-metadata", test_free_metadata,
                     TREE_FIXTURE_FRESH "metadata_in_listings = yes\n");
    tree_fixture_add("/tree/lookup/not-canonical", test_not_canonical, NULL);
    tree_fixture_add("/tree/lookup/folders", test_folders, FOLDERS);
    tree_fixture_add("/tree/lookup/odd-keys", test_odd_keys, FOLDERS);
    tree_fixture_add("/tree/lookup/foreign-symlink", test_foreign_symlink, NULL);
    tree_fixture_add("/tree/lookup/symlink-is-listed", test_symlink_is_listed, NULL);
    tree_fixture_add("/tree/lookup/down", test_down, NULL);
    tree_fixture_add("/tree/lookup/cancelled", test_cancelled, NULL);
    return g_test_run();
}
