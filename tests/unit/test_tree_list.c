/* Directories over an object service: pages, sharing, changes under a reader, offsets. */
#include "tests/unit/tree_fixture.h"

#include <fcntl.h>
#include <string.h>

#define PAGES TREE_FIXTURE_FRESH "page_limit = 10\n"
#define PAGED_FOLDERS PAGES "folders = yes\n"

static void
store_many(TreeFixture *fixture, guint count)
{
    for (guint i = 0; i < count; i++) {
        g_autofree char *key = g_strdup_printf("f%03u", i);
        tree_fixture_store(fixture, key, "content", NULL);
    }
}

static guint
count_names(const char *names)
{
    g_auto(GStrv) parts = g_strsplit(names, " ", -1);
    g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);
    for (guint i = 0; parts[i] != NULL; i++)
        g_assert_true(g_hash_table_add(seen, parts[i]));
    return g_hash_table_size(seen);
}

/* The item at *offset, which moves on; NULL at the end. Borrowed. */
static const char *
read_item(TreeFixture *fixture, DirectoryHandle *handle, guint64 *offset, DirectoryItem *out)
{
    GError *error = NULL;
    gboolean end = FALSE;
    g_assert_true(tree_directory_next(fixture->tree, NULL, handle, *offset, out, &end, &error));
    g_assert_no_error(error);
    if (end)
        return NULL;
    *offset = out->next_offset;
    return out->name;
}

static DirectoryHandle *
open_directory(TreeFixture *fixture)
{
    GError *error = NULL;
    DirectoryHandle *handle = NULL;
    g_assert_true(tree_open_directory(fixture->tree, NULL, fixture->container, &handle, &error));
    return handle;
}

static void
test_pages(TreeFixture *fixture, gconstpointer keys)
{
    store_many(fixture, 95);
    g_autofree char *names = tree_fixture_list(fixture, fixture->container);
    g_assert_cmpuint(count_names(names), ==, 95);
    tree_fixture_assert_requests(fixture, "list 10");
}

/* A page is fetched when the reader gets near it, not before. */
static void
test_streams(TreeFixture *fixture, gconstpointer keys)
{
    DirectoryItem item;
    guint64 offset = 0;
    store_many(fixture, 95);
    DirectoryHandle *handle = open_directory(fixture);
    tree_fixture_assert_requests(fixture, "");
    for (guint i = 0; i < 3; i++)
        g_assert_nonnull(read_item(fixture, handle, &offset, &item));
    tree_close_directory(fixture->tree, handle);
    tree_fixture_remount(fixture);
    g_autofree char *requests = tree_fixture_take_requests(fixture);
    g_assert_true(g_str_has_prefix(requests, "list ") || strstr(requests, "list ") != NULL);
    g_assert_null(strstr(requests, "list 10"));
}

static void
test_two_readers(TreeFixture *fixture, gconstpointer keys)
{
    DirectoryItem item;
    guint64 offset = 0;
    guint count = 0;
    store_many(fixture, 35);
    DirectoryHandle *first = open_directory(fixture);
    g_assert_nonnull(read_item(fixture, first, &offset, &item));
    g_autofree char *names = tree_fixture_list(fixture, fixture->container);
    for (offset = 0; read_item(fixture, first, &offset, &item) != NULL;)
        count++;
    g_assert_cmpuint(count, ==, 37);
    g_assert_cmpuint(count_names(names), ==, 35);
    tree_close_directory(fixture->tree, first);
    tree_fixture_assert_requests(fixture, "list 4");
}

static void
test_offsets(TreeFixture *fixture, gconstpointer keys)
{
    DirectoryItem item;
    guint64 offset = 0, seventh = 0;
    g_autofree char *name = NULL;
    store_many(fixture, 35);
    DirectoryHandle *handle = open_directory(fixture);
    for (guint i = 0; read_item(fixture, handle, &offset, &item) != NULL; i++) {
        if (i == 6)
            seventh = offset;
        if (i == 7)
            name = g_strdup(item.name);
    }
    offset = seventh;
    g_assert_cmpstr(read_item(fixture, handle, &offset, &item), ==, name);
    offset = 0;
    g_assert_cmpstr(read_item(fixture, handle, &offset, &item), ==, ".");
    g_assert_cmpstr(read_item(fixture, handle, &offset, &item), ==, "..");
    tree_close_directory(fixture->tree, handle);
}

/* rm -r: every name is met once, and removing while reading skips none. */
static void
test_remove_while_reading(TreeFixture *fixture, gconstpointer keys)
{
    DirectoryItem item;
    guint64 offset = 0;
    guint removed = 0;
    store_many(fixture, 35);
    DirectoryHandle *handle = open_directory(fixture);
    while (read_item(fixture, handle, &offset, &item) != NULL) {
        if (item.name[0] == '.')
            continue;
        g_autofree char *name = g_strdup(item.name);
        g_assert_true(tree_unlink(fixture->tree, NULL, fixture->container, name, NULL));
        removed++;
    }
    g_assert_cmpuint(removed, ==, 35);
    offset = 2;
    g_assert_null(read_item(fixture, handle, &offset, &item));
    tree_close_directory(fixture->tree, handle);
}

/* Made under a reader: shown once, whatever page its key lies on; unpublished ones too. */
static void
test_create_while_reading(TreeFixture *fixture, gconstpointer keys)
{
    DirectoryItem item;
    guint64 offset = 0;
    Node *node = NULL;
    g_autoptr(GString) names = g_string_new(NULL);
    store_many(fixture, 25);
    DirectoryHandle *handle = open_directory(fixture);
    g_assert_nonnull(read_item(fixture, handle, &offset, &item));
    g_assert_nonnull(read_item(fixture, handle, &offset, &item));
    g_assert_nonnull(read_item(fixture, handle, &offset, &item));
    tree_fixture_write(fixture, fixture->container, "a-before", "x");
    tree_fixture_write(fixture, fixture->container, "z-after", "x");
    tree_fixture_write(fixture, fixture->container, "f001", "changed");
    FileHandle *open = tree_fixture_open_file(fixture, fixture->container, "open", O_WRONLY | O_CREAT, &node);
    g_string_append(names, "f000");
    while (read_item(fixture, handle, &offset, &item) != NULL)
        g_string_append_printf(names, " %s", item.name);
    g_assert_cmpuint(count_names(names->str), ==, 28);
    g_assert_nonnull(strstr(names->str, "a-before"));
    g_assert_nonnull(strstr(names->str, "z-after"));
    g_assert_nonnull(strstr(names->str, "open"));
    tree_close_directory(fixture->tree, handle);
    tree_fixture_close_file(fixture, node, open);
}

/* An object and a folder of one name, with other keys between them over several pages. */
static void
test_beside_across_pages(TreeFixture *fixture, gconstpointer keys)
{
    tree_fixture_store(fixture, "a", "object", NULL);
    tree_fixture_store(fixture, "a/b", "below", NULL);
    tree_fixture_store(fixture, "c", "object", NULL);
    for (guint i = 0; i < 35; i++) {
        g_autofree char *key = g_strdup_printf("a-%03u", i);
        tree_fixture_store(fixture, key, "x", NULL);
    }
    g_autofree char *names = tree_fixture_list(fixture, fixture->container);
    g_assert_cmpuint(count_names(names), ==, 38);
    g_assert_true(g_str_has_prefix(names, "a%00 a-000 "));
    g_assert_true(g_str_has_suffix(names, " a c"));
}

/* The same with the page's end exactly behind the object. */
static void
test_beside_at_page_end(TreeFixture *fixture, gconstpointer keys)
{
    for (guint i = 0; i < 9; i++) {
        g_autofree char *key = g_strdup_printf("Z%u", i);
        tree_fixture_store(fixture, key, "x", NULL);
    }
    tree_fixture_store(fixture, "a", "object", NULL);
    tree_fixture_store(fixture, "a/b", "below", NULL);
    g_autofree char *names = tree_fixture_list(fixture, fixture->container);
    g_assert_cmpuint(count_names(names), ==, 11);
    g_assert_true(g_str_has_suffix(names, " a%00 a"));
    g_assert_true(g_str_has_prefix(names, "Z0 "));
}

static void
test_types(TreeFixture *fixture, gconstpointer keys)
{
    DirectoryItem item;
    guint64 offset = 2;
    g_autofree char *big = g_strnfill(4096, 'x');
    tree_fixture_store(fixture, "a-big", big, NULL);
    tree_fixture_store(fixture, "b-dir/x", "x", NULL);
    tree_fixture_store(fixture, "c-small", "x", NULL);
    DirectoryHandle *handle = open_directory(fixture);
    g_assert_cmpstr(read_item(fixture, handle, &offset, &item), ==, "a-big");
    g_assert_cmpint(item.type, ==, S_IFREG);
    g_assert_cmpstr(read_item(fixture, handle, &offset, &item), ==, "b-dir");
    g_assert_cmpint(item.type, ==, S_IFDIR);
    g_assert_cmpstr(read_item(fixture, handle, &offset, &item), ==, "c-small");
    g_assert_cmpint(item.type, ==, 0);
    tree_fixture_stat(fixture, fixture->container, "c-small");
    tree_close_directory(fixture->tree, handle);
}

/* readdirplus gives attributes where nothing has to be asked for. */
static void
test_take(TreeFixture *fixture, gconstpointer keys)
{
    DirectoryItem item;
    TreeEntry entry;
    guint64 offset = 0;
    tree_fixture_store(fixture, "a", "abc", NULL);
    DirectoryHandle *handle = open_directory(fixture);
    read_item(fixture, handle, &offset, &item);
    g_assert_false(tree_directory_take(fixture->tree, handle, &item, &entry));
    read_item(fixture, handle, &offset, &item);
    read_item(fixture, handle, &offset, &item);
    g_assert_true(tree_directory_take(fixture->tree, handle, &item, &entry));
    g_assert_cmpint(entry.stat.st_size, ==, 3);
    g_assert_cmpint(entry.stat.st_ino, ==, item.inode);
    tree_fixture_forget(fixture, entry.node);
    tree_close_directory(fixture->tree, handle);
    tree_fixture_assert_requests(fixture, "list 1");
}

static void
test_failure(TreeFixture *fixture, gconstpointer keys)
{
    MemoryFault fault = {.operation = MEMORY_LIST_OBJECTS, .fails = TRUE, .code = ERROR_DENIED, .times = 1};
    DirectoryItem item;
    gboolean end;
    GError *error = NULL;
    store_many(fixture, 5);
    memory_fault_add(fixture->memory, &fault);
    DirectoryHandle *handle = open_directory(fixture);
    gboolean ok = tree_directory_next(fixture->tree, NULL, handle, 2, &item, &end, &error);
    tree_fixture_assert_code(ok, error, ERROR_DENIED);
    tree_close_directory(fixture->tree, handle);
    g_autofree char *names = tree_fixture_list(fixture, fixture->container);
    g_assert_cmpuint(count_names(names), ==, 5);
}

int
main(int argc, char *argv[])
{
    g_test_init(&argc, &argv, NULL);
    tree_fixture_add("/tree/list/pages", test_pages, PAGES);
    tree_fixture_add("/tree/list/streams", test_streams, PAGES);
    tree_fixture_add("/tree/list/two-readers", test_two_readers, PAGES);
    tree_fixture_add("/tree/list/offsets", test_offsets, PAGES);
    tree_fixture_add("/tree/list/remove-while-reading", test_remove_while_reading, PAGES);
    tree_fixture_add("/tree/list/create-while-reading", test_create_while_reading, PAGES);
    tree_fixture_add("/tree/list/beside-across-pages", test_beside_across_pages, PAGED_FOLDERS);
    tree_fixture_add("/tree/list/beside-at-page-end", test_beside_at_page_end, PAGED_FOLDERS);
    tree_fixture_add("/tree/list/types", test_types, PAGED_FOLDERS);
    tree_fixture_add("/tree/list/take", test_take, TREE_FIXTURE_FRESH "metadata_in_listings = yes\n");
    tree_fixture_add("/tree/list/failure", test_failure, NULL);
    return g_test_run();
}
