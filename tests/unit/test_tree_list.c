/* Directories over an object service: pages, sharing, changes under a reader, offsets. */
#include "tests/unit/tree_fixture.h"

#include <fcntl.h>
#include <string.h>

#define PAGES TREE_FIXTURE_FRESH "page_limit = 10\nlist_start_after = no\n"
#define PAGED_FOLDERS PAGES "folders = yes\n"
#define SPLIT TREE_FIXTURE_FRESH "page_limit = 10\n"
#define SPLIT_FOLDERS SPLIT "folders = yes\n"

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

static void
delay_listing(TreeFixture *fixture)
{
    MemoryFault fault = {.operation = MEMORY_LIST_OBJECTS, .delay_us = 1000};
    memory_fault_add(fixture->memory, &fault);
}

/* Folders, objects, and objects beside folders of their name. */
static GHashTable *
store_random(TreeFixture *fixture, guint count, gboolean folders)
{
    GHashTable *names = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    for (guint i = 0; i < count; i++) {
        guint number = (guint)g_test_rand_int_range(0, 2000);
        gboolean in_folder = folders && g_test_rand_int_range(0, 3) == 0;
        g_autofree char *part = g_strdup_printf(number % 3 > 0 ? "n%04u" : "n%u-\xc3\xa9", number);
        g_autofree char *key = in_folder ? g_strdup_printf("%s/%u", part, i) : g_strdup(part);
        tree_fixture_store(fixture, key, "content", NULL);
        g_hash_table_add(names, g_steal_pointer(&part));
    }
    return names;
}

static void
assert_names(const char *found, GHashTable *wanted)
{
    guint escaped = 0;
    g_auto(GStrv) parts = g_strsplit(found, " ", -1);
    for (guint i = 0; parts[i] != NULL; i++) {
        /* An object beside a folder of its name has an escaped one. */
        gboolean is_escaped = strchr(parts[i], '%') != NULL;
        escaped += is_escaped;
        g_assert_true(is_escaped || g_hash_table_contains(wanted, parts[i]));
    }
    g_assert_cmpuint(count_names(found) - escaped, ==, g_hash_table_size(wanted));
}

/* The names of a listing that is split are those of one that is not, at a quarter more requests at most. */
static void
test_split(TreeFixture *fixture, gconstpointer keys)
{
    gboolean folders = strstr(keys, "folders") != NULL;
    g_autoptr(GHashTable) wanted = store_random(fixture, 1500, folders);
    delay_listing(fixture);
    g_autofree char *names = tree_fixture_list(fixture, fixture->container);
    assert_names(names, wanted);
    if (folders)
        return; /* folders are also looked into there */
    guint64 requests = memory_fault_get_count(fixture->memory, MEMORY_LIST_OBJECTS);
    g_assert_cmpuint(4 * requests, <=, 5 * ((count_names(names) + 9) / 10 + 2));
}

/* Several pages are on their way while the first one is read. */
static void
test_side_by_side(TreeFixture *fixture, gconstpointer keys)
{
    MemoryFault fault = {.operation = MEMORY_LIST_OBJECTS, .nth = 3, .blocks = TRUE};
    DirectoryItem item;
    guint64 offset = 0;
    store_many(fixture, 900);
    memory_fault_add(fixture->memory, &fault);
    DirectoryHandle *handle = open_directory(fixture);
    for (guint i = 0; i < 11; i++)
        g_assert_nonnull(read_item(fixture, handle, &offset, &item));
    g_assert_true(memory_fault_wait_blocked(fixture->memory, 3, 10 * G_USEC_PER_SEC));
    memory_fault_clear(fixture->memory);
    for (guint i = 11; i < 902; i++)
        g_assert_nonnull(read_item(fixture, handle, &offset, &item));
    g_assert_cmpstr(item.name, ==, "f899");
    g_assert_null(read_item(fixture, handle, &offset, &item));
    tree_close_directory(fixture->tree, handle);
}

static gpointer
change_objects(gpointer data)
{
    TreeFixture *fixture = data;
    for (guint i = 0; i < 1000; i += 2) {
        g_autofree char *key = g_strdup_printf("f%03u", i), *made = g_strdup_printf("f%03u-new", i);
        tree_fixture_delete(fixture, key);
        tree_fixture_store(fixture, made, "content", NULL);
        g_usleep(50);
    }
    return NULL;
}

/* What stays is met once, whatever somebody else does meanwhile. */
static void
test_split_under_changes(TreeFixture *fixture, gconstpointer keys)
{
    store_many(fixture, 1000);
    delay_listing(fixture);
    GThread *thread = g_thread_new("changes", change_objects, fixture);
    g_autofree char *names = tree_fixture_list(fixture, fixture->container);
    g_thread_join(thread);
    g_auto(GStrv) parts = g_strsplit(names, " ", -1);
    guint odd = 0;
    for (guint i = 0; parts[i] != NULL; i++) {
        odd += strlen(parts[i]) == 4 && (parts[i][3] - '0') % 2 == 1;
        g_assert_true(i == 0 || strcmp(parts[i - 1], parts[i]) < 0);
    }
    g_assert_cmpuint(odd, ==, 500);
}

/* A part of the listing that cannot be had is listed with the one before. */
static void
test_failure_of_a_part(TreeFixture *fixture, gconstpointer keys)
{
    for (guint nth = 2; nth < 40; nth += 3) {
        MemoryFault fault = {
            .operation = MEMORY_LIST_OBJECTS, .nth = nth, .times = 1, .fails = TRUE, .code = ERROR_DENIED};
        if (nth == 2)
            store_many(fixture, 500);
        memory_fault_add(fixture->memory, &fault);
        DirectoryHandle *handle = open_directory(fixture);
        DirectoryItem item;
        guint64 offset = 2;
        guint count = 0, failures = 0;
        gboolean end = FALSE;
        while (!end) {
            g_autoptr(GError) error = NULL;
            if (tree_directory_next(fixture->tree, NULL, handle, offset, &item, &end, &error)) {
                count += !end;
                offset = item.next_offset;
            } else {
                tree_fixture_assert_code(FALSE, g_steal_pointer(&error), ERROR_DENIED);
                failures++;
            }
        }
        tree_close_directory(fixture->tree, handle);
        g_assert_cmpuint(count, ==, 500);
        g_assert_cmpuint(failures, <=, 1);
        memory_fault_clear(fixture->memory);
        tree_fixture_remount(fixture);
    }
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
    tree_fixture_add("/tree/list/split", test_split, SPLIT);
    tree_fixture_add("/tree/list/split-folders", test_split, SPLIT_FOLDERS);
    tree_fixture_add("/tree/list/split-under-changes", test_split_under_changes, SPLIT);
    tree_fixture_add("/tree/list/side-by-side", test_side_by_side, SPLIT);
    tree_fixture_add("/tree/list/failure-of-a-part", test_failure_of_a_part, SPLIT);
    return g_test_run();
}
