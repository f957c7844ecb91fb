/* Extended attributes over an object service: whatever request told of an object tells these too, and they
 * stay known when its Node is gone, for the version that the name has now.
 */
#include "tests/unit/tree_fixture.h"

#include <fcntl.h>
#include <string.h>

#define LISTING TREE_FIXTURE_FRESH "attributes = listing\n"
#define FOLDERS TREE_FIXTURE_FRESH "folders = yes\n"
#define SHORT "freshness = 1\n"
#define SHORT_US (1100 * (gulong)1000)
/* Larger than what could be a symlink, which a look-up alone asks for. */
#define BODY_BYTES 5000
/* More than are kept, by number and by bytes. */
#define CROWD 2500u

static Metadata *
make_metadata(const char *value)
{
    Metadata *metadata = metadata_new();
    g_hash_table_insert(metadata, g_strdup("colour"), g_strdup(value));
    return metadata;
}

static void
store(TreeFixture *fixture, const char *key, const char *value)
{
    g_autoptr(GHashTable) metadata = make_metadata(value);
    g_autofree char *body = g_strnfill(BODY_BYTES, 'x');
    tree_fixture_store(fixture, key, body, metadata);
}

static char *
make_name(guint number)
{
    return g_strdup_printf("a%04u", number);
}

/* Lists the container afterwards. */
static void
store_many(TreeFixture *fixture, guint count)
{
    for (guint i = 0; i < count; i++) {
        g_autofree char *name = make_name(i);
        store(fixture, name, name);
    }
    g_free(tree_fixture_list(fixture, fixture->container));
    g_free(tree_fixture_take_requests(fixture));
}

static char *
get_colour(TreeFixture *fixture, Node *node)
{
    g_autoptr(GBytes) found = NULL;
    g_autoptr(GError) error = NULL;
    if (!tree_get_xattr(fixture->tree, NULL, node, "user.colour", &found, &error)) {
        g_assert_error(error, STORAGEFS_ERROR, ERROR_NO_ATTRIBUTE);
        return NULL;
    }
    return g_strndup(g_bytes_get_data(found, NULL), g_bytes_get_size(found));
}

static gboolean
lists_colour(TreeFixture *fixture, Node *node)
{
    static const char colour[] = "user.colour";
    g_autoptr(GBytes) names = NULL;
    GError *error = NULL;
    g_assert_true(tree_list_xattrs(fixture->tree, NULL, node, &names, &error));
    g_assert_no_error(error);
    const char *at = g_bytes_get_data(names, NULL), *end = at + g_bytes_get_size(names);
    while (at < end && strcmp(at, colour) != 0)
        at += strlen(at) + 1;
    return at < end;
}

/* Of a name that nobody holds before and afterwards; NULL: it has none. */
static void
assert_colour(TreeFixture *fixture, Node *parent, const char *name, const char *wanted)
{
    Node *node = tree_fixture_lookup(fixture, parent, name);
    g_assert_cmpint(lists_colour(fixture, node), ==, wanted != NULL);
    g_autofree char *found = get_colour(fixture, node);
    g_assert_cmpstr(found, ==, wanted);
    tree_fixture_forget(fixture, node);
}

static void
set_colour(TreeFixture *fixture, Node *node, const char *value)
{
    GError *error = NULL;
    g_assert_true(tree_set_xattr(fixture->tree, NULL, node, "user.colour", value, strlen(value), 0, &error));
    g_assert_no_error(error);
}

static void
rename_in_container(TreeFixture *fixture, const char *name, const char *new_name)
{
    GError *error = NULL;
    g_assert_true(
        tree_rename(fixture->tree, NULL, fixture->container, name, fixture->container, new_name, 0, &error));
    g_assert_no_error(error);
}

static void
stat_and_assert_colours(TreeFixture *fixture, guint count)
{
    for (guint i = 0; i < count; i++) {
        g_autofree char *name = make_name(i);
        g_assert_cmpint(tree_fixture_stat(fixture, fixture->container, name).st_size, ==, BODY_BYTES);
        assert_colour(fixture, fixture->container, name, name);
    }
}

/* `ls -l`, whose kernel forgets each name at once: one request each, and no more as long as that is known. */
static void
test_walk(TreeFixture *fixture, gconstpointer keys)
{
    store_many(fixture, 200);
    stat_and_assert_colours(fixture, 200);
    tree_fixture_assert_requests(fixture, "stat 200");
    stat_and_assert_colours(fixture, 200);
    tree_fixture_assert_requests(fixture, "");
}

static void
test_walk_of_folders(TreeFixture *fixture, gconstpointer keys)
{
    g_autoptr(GHashTable) metadata = make_metadata("red");
    for (guint i = 0; i < 50; i++) {
        g_autofree char *marker = g_strdup_printf("a%04u/", i);
        g_autofree char *inside = g_strdup_printf("b%04u/file", i);
        tree_fixture_store(fixture, marker, "", metadata);
        tree_fixture_store(fixture, inside, "content", NULL);
    }
    g_free(tree_fixture_list(fixture, fixture->container));
    g_free(tree_fixture_take_requests(fixture));
    for (guint i = 0; i < 100; i++) {
        g_autofree char *name = g_strdup_printf("%c%04u", i < 50 ? 'a' : 'b', i % 50);
        tree_fixture_stat(fixture, fixture->container, name);
        assert_colour(fixture, fixture->container, name, i < 50 ? "red" : NULL);
    }
    tree_fixture_assert_requests(fixture, "stat 100");
}

/* What small files read in order were fetched with, from where the order is seen. */
static void
test_walk_of_reads(TreeFixture *fixture, gconstpointer keys)
{
    g_autofree char *body = g_strnfill(BODY_BYTES, 'x');
    store_many(fixture, 60);
    for (guint i = 0; i < 60; i++) {
        g_autofree char *name = make_name(i);
        tree_fixture_assert_content(fixture, fixture->container, name, body);
        assert_colour(fixture, fixture->container, name, name);
    }
    guint64 asked = memory_fault_get_count(fixture->memory, MEMORY_STAT_OBJECT);
    g_assert_cmpuint(asked, <, 10);
    g_assert_cmpuint(memory_fault_get_count(fixture->memory, MEMORY_READ_OBJECT), <=, 64);
}

/* More names than are kept: true, and each asked for once a walk. */
static void
test_crowd(TreeFixture *fixture, gconstpointer keys)
{
    store_many(fixture, CROWD);
    stat_and_assert_colours(fixture, CROWD);
    g_autofree char *once = g_strdup_printf("stat %u", CROWD);
    tree_fixture_assert_requests(fixture, once);
    for (guint i = 0; i < CROWD; i++) {
        g_autofree char *name = make_name(i);
        assert_colour(fixture, fixture->container, name, name);
    }
    tree_fixture_assert_requests(fixture, once);
}

typedef struct {
    TreeFixture *fixture;
    guint number;
} Reader;

static gpointer
read_colour(gpointer data)
{
    Reader *reader = data;
    g_autofree char *name = make_name(reader->number);
    assert_colour(reader->fixture, reader->fixture->container, name, name);
    return NULL;
}

/* Extended attributes alone, without a stat: the second name in order has others asked for beside it. */
static void
test_ahead(TreeFixture *fixture, gconstpointer keys)
{
    MemoryFault blocked = {.operation = MEMORY_STAT_OBJECT, .blocks = TRUE};
    store_many(fixture, 100);
    assert_colour(fixture, fixture->container, "a0000", "a0000");
    tree_fixture_assert_requests(fixture, "stat 1");
    memory_fault_add(fixture->memory, &blocked);
    Reader reader = {fixture, 1};
    GThread *thread = g_thread_new("reader", read_colour, &reader);
    g_assert_true(memory_fault_wait_blocked(fixture->memory, 4, 20 * G_USEC_PER_SEC));
    memory_fault_clear(fixture->memory);
    g_thread_join(thread);
    for (guint i = 2; i < 100; i++) {
        g_autofree char *name = make_name(i);
        assert_colour(fixture, fixture->container, name, name);
    }
    tree_fixture_assert_requests(fixture, "stat 99");
}

static void
test_no_ahead(TreeFixture *fixture, gconstpointer keys)
{
    static const guint order[] = {150, 20, 90, 10};
    store_many(fixture, 200);
    for (guint i = 0; i < G_N_ELEMENTS(order); i++) {
        g_autofree char *name = make_name(order[i]);
        assert_colour(fixture, fixture->container, name, name);
    }
    tree_fixture_assert_requests(fixture, "stat 4");
}

/* attributes = listing: stat goes by the listing, before and after, and fetches nothing ahead. */
static void
test_listing(TreeFixture *fixture, gconstpointer keys)
{
    store_many(fixture, 300);
    for (guint i = 0; i < 100; i++) {
        g_autofree char *name = make_name(i);
        assert_colour(fixture, fixture->container, name, name);
    }
    for (guint i = 100; i < 200; i++) {
        g_autofree char *name = make_name(i);
        tree_fixture_stat(fixture, fixture->container, name);
    }
    /* What was asked for ahead may still be under way. */
    g_usleep(G_USEC_PER_SEC / 4);
    guint64 asked = memory_fault_get_count(fixture->memory, MEMORY_STAT_OBJECT);
    g_assert_cmpuint(asked, >=, 100);
    g_assert_cmpuint(asked, <=, 100 + 16);
    g_free(tree_fixture_take_requests(fixture));
    assert_colour(fixture, fixture->container, "a0250", "a0250");
    tree_fixture_assert_requests(fixture, "stat 1");
}

/* What is changed here is known here, Node or not. */
static void
test_changes_here(TreeFixture *fixture, gconstpointer keys)
{
    g_autofree char *body = g_strnfill(BODY_BYTES, 'x');
    store_many(fixture, 10);
    stat_and_assert_colours(fixture, 10);
    Node *node = tree_fixture_lookup(fixture, fixture->container, "a0003");
    set_colour(fixture, node, "new");
    tree_fixture_forget(fixture, node);
    assert_colour(fixture, fixture->container, "a0003", "new");
    /* The same content, and so the same ETag, without the metadata. */
    g_assert_true(tree_unlink(fixture->tree, NULL, fixture->container, "a0004", NULL));
    tree_fixture_write(fixture, fixture->container, "a0004", body);
    assert_colour(fixture, fixture->container, "a0004", NULL);
    rename_in_container(fixture, "a0005", "a0006");
    assert_colour(fixture, fixture->container, "a0006", "a0005");
    tree_fixture_assert_absent(fixture, fixture->container, "a0005");
    rename_in_container(fixture, "a0006", "z");
    rename_in_container(fixture, "a0004", "a0006");
    assert_colour(fixture, fixture->container, "a0006", NULL);
    assert_colour(fixture, fixture->container, "z", "a0005");
    tree_fixture_write(fixture, fixture->container, "a0007", "another content");
    assert_colour(fixture, fixture->container, "a0007", "a0007");
}

static void
test_folder_renamed(TreeFixture *fixture, gconstpointer keys)
{
    store(fixture, "old/file", "red");
    Node *old = tree_fixture_lookup(fixture, fixture->container, "old");
    assert_colour(fixture, old, "file", "red");
    tree_fixture_forget(fixture, old);
    rename_in_container(fixture, "old", "new");
    store(fixture, "old/file", "blue");
    Node *new = tree_fixture_lookup(fixture, fixture->container, "new");
    assert_colour(fixture, new, "file", "red");
    tree_fixture_forget(fixture, new);
    tree_fixture_grow_old(fixture);
    old = tree_fixture_lookup(fixture, fixture->container, "old");
    assert_colour(fixture, old, "file", "blue");
    tree_fixture_forget(fixture, old);
}

/* Deleted and made anew by somebody else, once its absence was seen, too. */
static void
test_changes_elsewhere(TreeFixture *fixture, gconstpointer keys)
{
    g_autoptr(GHashTable) metadata = make_metadata("theirs");
    store_many(fixture, 10);
    stat_and_assert_colours(fixture, 10);
    tree_fixture_store(fixture, "a0003", "their content", metadata);
    tree_fixture_delete(fixture, "a0004");
    tree_fixture_delete(fixture, "a0005");
    g_usleep(SHORT_US);
    for (guint i = 0; i < 3; i++) {
        g_autofree char *name = make_name(i);
        assert_colour(fixture, fixture->container, name, name);
    }
    assert_colour(fixture, fixture->container, "a0003", "theirs");
    tree_fixture_assert_absent(fixture, fixture->container, "a0004");
    tree_fixture_assert_absent(fixture, fixture->container, "a0005");
    store(fixture, "a0004", "again");
    g_usleep(SHORT_US);
    g_free(tree_fixture_list(fixture, fixture->container));
    assert_colour(fixture, fixture->container, "a0004", "again");
    tree_fixture_assert_absent(fixture, fixture->container, "a0005");
}

static void
test_replaced_elsewhere(TreeFixture *fixture, gconstpointer keys)
{
    g_autoptr(GHashTable) metadata = make_metadata("theirs");
    store_many(fixture, 10);
    stat_and_assert_colours(fixture, 10);
    tree_fixture_store(fixture, "a0003", "their content", metadata);
    g_usleep(SHORT_US);
    g_free(tree_fixture_list(fixture, fixture->container));
    assert_colour(fixture, fixture->container, "a0003", "theirs");
    assert_colour(fixture, fixture->container, "a0004", "a0004");
}

/* A listing that finds the versions unchanged keeps what is known of the names that the kernel has. */
static void
test_versions_kept(TreeFixture *fixture, gconstpointer keys)
{
    Node *nodes[50];
    store_many(fixture, 50);
    for (guint i = 0; i < 50; i++) {
        g_autofree char *name = make_name(i);
        nodes[i] = tree_fixture_lookup(fixture, fixture->container, name);
        tree_fixture_stat(fixture, fixture->container, name);
    }
    g_usleep(SHORT_US);
    g_free(tree_fixture_list(fixture, fixture->container));
    g_free(tree_fixture_take_requests(fixture));
    for (guint i = 0; i < 50; i++) {
        g_autofree char *name = make_name(i);
        assert_colour(fixture, fixture->container, name, name);
        tree_fixture_forget(fixture, nodes[i]);
    }
    guint64 asked = memory_fault_get_count(fixture->memory, MEMORY_STAT_OBJECT);
    g_assert_cmpuint(asked, ==, 0);
}

/* An open file, read without its metadata, is stored with all of it although that came by the way. */
static void
test_open_file_learns(TreeFixture *fixture, gconstpointer keys)
{
    Node *node = NULL;
    store_many(fixture, 20);
    FileHandle *handle = tree_fixture_open_file(fixture, fixture->container, "a0010", O_RDONLY, &node);
    for (guint i = 0; i < 10; i++) {
        g_autofree char *name = make_name(i);
        tree_fixture_stat(fixture, fixture->container, name);
    }
    while (tree_fixture_stat(fixture, fixture->container, "a0011").st_size == 0)
        ;
    GError *error = NULL;
    struct stat wanted = {.st_mode = 0600}, out;
    gint64 valid_us;
    g_assert_true(tree_set_attributes(fixture->tree, NULL, node, NULL, FILE_SET_MODE, &wanted, NULL, &out,
                                      &valid_us, &error));
    g_assert_no_error(error);
    tree_fixture_close_file(fixture, node, handle);
    tree_fixture_grow_old(fixture);
    assert_colour(fixture, fixture->container, "a0010", "a0010");
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    tree_fixture_add("/tree/details/walk", test_walk, TREE_FIXTURE_FRESH);
    tree_fixture_add("/tree/details/walk-of-folders", test_walk_of_folders, FOLDERS);
    tree_fixture_add("/tree/details/walk-of-reads", test_walk_of_reads, TREE_FIXTURE_FRESH);
    tree_fixture_add("/tree/details/crowd", test_crowd, TREE_FIXTURE_FRESH);
    tree_fixture_add("/tree/details/ahead", test_ahead, TREE_FIXTURE_FRESH);
    tree_fixture_add("/tree/details/ahead-in-listing-mode", test_ahead, LISTING);
    tree_fixture_add("/tree/details/no-ahead", test_no_ahead, TREE_FIXTURE_FRESH);
    tree_fixture_add("/tree/details/no-ahead-in-listing-mode", test_no_ahead, LISTING);
    tree_fixture_add("/tree/details/listing", test_listing, LISTING);
    tree_fixture_add("/tree/details/changes-here", test_changes_here, TREE_FIXTURE_FRESH);
    tree_fixture_add("/tree/details/changes-here-in-listing-mode", test_changes_here, LISTING);
    tree_fixture_add("/tree/details/folder-renamed", test_folder_renamed, FOLDERS);
    tree_fixture_add("/tree/details/changes-elsewhere", test_changes_elsewhere, SHORT);
    tree_fixture_add("/tree/details/changes-elsewhere-in-listing-mode", test_changes_elsewhere,
                     SHORT "attributes = listing\n");
    tree_fixture_add("/tree/details/replaced-elsewhere", test_replaced_elsewhere, SHORT);
    tree_fixture_add("/tree/details/replaced-elsewhere-in-listing-mode", test_replaced_elsewhere,
                     SHORT "attributes = listing\n");
    tree_fixture_add("/tree/details/versions-kept", test_versions_kept, SHORT);
    tree_fixture_add("/tree/details/open-file-learns", test_open_file_learns, TREE_FIXTURE_FRESH);
    return g_test_run();
}
