/* Creating, opening, writing, unlinking open files over an object service: requests and versions. */
#include "tests/unit/tree_fixture.h"

#include <fcntl.h>
#include <string.h>

#define STALE "freshness = 0\netags = counter\n"
#define COUNTED TREE_FIXTURE_FRESH "etags = counter\n"

static void
test_create_is_one_write(TreeFixture *fixture, gconstpointer keys)
{
    tree_fixture_assert_list(fixture, fixture->container, "");
    memory_fault_reset_counts(fixture->memory);
    for (guint i = 0; i < 10; i++) {
        g_autofree char *name = g_strdup_printf("file%u", i);
        tree_fixture_write(fixture, fixture->container, name, "hello");
    }
    tree_fixture_assert_requests(fixture, "write 10");
    tree_fixture_assert_stored(fixture, "file9", "hello");
}

/* The look-up that comes before every create is the only other request where nothing is known. */
static void
test_create_in_unknown(TreeFixture *fixture, gconstpointer keys)
{
    tree_fixture_write(fixture, fixture->container, "file", "hello");
    tree_fixture_assert_requests(fixture, "stat 1 write 1");
}

static void
test_made_container_is_empty(TreeFixture *fixture, gconstpointer keys)
{
    Node *storage = tree_fixture_lookup(fixture, tree_get_root(fixture->tree), "s");
    Node *made = tree_fixture_mkdir(fixture, storage, "fresh");
    memory_fault_reset_counts(fixture->memory);
    tree_fixture_assert_absent(fixture, made, "x");
    tree_fixture_write(fixture, made, "y", "hello");
    tree_fixture_assert_list(fixture, made, "y");
    tree_fixture_assert_requests(fixture, "write 1");
    tree_fixture_forget(fixture, made);
    tree_fixture_forget(fixture, storage);
}

static void
test_attributes_of_new(TreeFixture *fixture, gconstpointer keys)
{
    tree_fixture_write(fixture, fixture->container, "file", "hello");
    tree_fixture_grow_old(fixture);
    struct stat attributes = tree_fixture_stat(fixture, fixture->container, "file");
    g_assert_cmpint(attributes.st_mode, ==, S_IFREG | 0640);
    g_assert_cmpint(attributes.st_uid, ==, 7);
    g_assert_cmpint(attributes.st_gid, ==, 8);
    g_assert_cmpint(attributes.st_size, ==, 5);
}

static void
test_reopen_known(TreeFixture *fixture, gconstpointer keys)
{
    gboolean keep = FALSE;
    FileHandle *handle = NULL;
    tree_fixture_write(fixture, fixture->container, "file", "hello");
    Node *node = tree_fixture_lookup(fixture, fixture->container, "file");
    memory_fault_reset_counts(fixture->memory);
    g_assert_true(tree_open_ready(fixture->tree, node, O_RDONLY, &handle, &keep));
    tree_release(fixture->tree, NULL, node, handle);
    g_assert_true(tree_open_ready(fixture->tree, node, O_RDONLY, &handle, &keep));
    g_assert_true(keep);
    tree_fixture_assert_reads(handle, "hello");
    tree_fixture_assert_requests(fixture, "read 1");
    tree_release(fixture->tree, NULL, node, handle);
    tree_fixture_forget(fixture, node);
}

/* Another version: the cached pages are not kept. */
static void
test_cache_is_dropped(TreeFixture *fixture, gconstpointer keys)
{
    gboolean keep = FALSE;
    FileHandle *handle = NULL;
    tree_fixture_store(fixture, "file", "first", NULL);
    Node *node = tree_fixture_lookup(fixture, fixture->container, "file");
    g_assert_true(tree_open(fixture->tree, NULL, node, O_RDONLY, &handle, &keep, NULL));
    tree_release(fixture->tree, NULL, node, handle);
    g_assert_true(tree_open(fixture->tree, NULL, node, O_RDONLY, &handle, &keep, NULL));
    g_assert_true(keep);
    tree_release(fixture->tree, NULL, node, handle);
    tree_fixture_store(fixture, "file", "second", NULL);
    tree_fixture_assert_announced(fixture, "");
    g_assert_true(tree_open(fixture->tree, NULL, node, O_RDONLY, &handle, &keep, NULL));
    g_assert_false(keep);
    tree_fixture_assert_announced(fixture, "content file, attributes file");
    tree_fixture_assert_reads(handle, "second");
    tree_release(fixture->tree, NULL, node, handle);
    tree_fixture_forget(fixture, node);
}

/* An open handle keeps its version and its Node; the name is a new Node from then on. */
static void
test_replaced_while_open(TreeFixture *fixture, gconstpointer keys)
{
    Node *node = NULL;
    GError *error = NULL;
    gboolean keep;
    FileHandle *other = NULL;
    tree_fixture_store(fixture, "file", "first", NULL);
    FileHandle *handle = tree_fixture_open_file(fixture, fixture->container, "file", O_RDONLY, &node);
    tree_fixture_assert_reads(handle, "first");
    tree_fixture_store(fixture, "file", "second!", NULL);
    Node *now = tree_fixture_lookup(fixture, fixture->container, "file");
    g_assert_true(now != node);
    tree_fixture_assert_announced(fixture, "entry file");
    tree_fixture_assert_content(fixture, fixture->container, "file", "second!");
    gboolean ok = tree_open(fixture->tree, NULL, node, O_RDONLY, &other, &keep, &error);
    tree_fixture_assert_code(ok, error, ERROR_CHANGED);
    tree_fixture_assert_reads(handle, "first");
    tree_release(fixture->tree, NULL, node, handle);
    tree_fixture_forget(fixture, node);
    tree_fixture_forget(fixture, now);
}

/* What is written here is seen here before it is stored. */
static void
test_shared_while_dirty(TreeFixture *fixture, gconstpointer keys)
{
    Node *node = NULL, *again = NULL;
    FileHandle *writer = tree_fixture_open_file(fixture, fixture->container, "file", O_RDWR | O_CREAT, &node);
    tree_fixture_put(writer, "hello");
    g_assert_cmpint(tree_fixture_stat(fixture, fixture->container, "file").st_size, ==, 5);
    tree_fixture_assert_list(fixture, fixture->container, "file");
    FileHandle *reader = tree_fixture_open_file(fixture, fixture->container, "file", O_RDONLY, &again);
    g_assert_true(again == node);
    tree_fixture_assert_reads(reader, "hello");
    g_assert_false(tree_fixture_has(fixture, "file"));
    tree_fixture_close_file(fixture, again, reader);
    tree_fixture_close_file(fixture, node, writer);
    tree_fixture_assert_stored(fixture, "file", "hello");
}

static void
test_exclusive(TreeFixture *fixture, gconstpointer keys)
{
    TreeEntry entry;
    FileHandle *handle = NULL;
    GError *error = NULL;
    tree_fixture_store(fixture, "file", "first", NULL);
    gboolean ok = tree_create(fixture->tree, NULL, fixture->container, "file", O_WRONLY | O_CREAT | O_EXCL,
                              0644, 0, 0, &entry, &handle, &error);
    tree_fixture_assert_code(ok, error, ERROR_EXISTS);
}

/* Somebody else made the name while ours was open: EXISTS at close, and the name shows what is there. */
static void
test_exclusive_race(TreeFixture *fixture, gconstpointer keys)
{
    Node *node = NULL;
    GError *error = NULL;
    FileHandle *handle =
        tree_fixture_open_file(fixture, fixture->container, "file", O_WRONLY | O_CREAT | O_EXCL, &node);
    tree_fixture_put(handle, "ours");
    tree_fixture_store(fixture, "file", "theirs", NULL);
    gboolean ok = handle->operations->flush(handle, NULL, TRUE, &error);
    tree_fixture_assert_code(ok, error, ERROR_EXISTS);
    tree_release(fixture->tree, NULL, node, handle);
    tree_fixture_forget(fixture, node);
    tree_fixture_assert_content(fixture, fixture->container, "file", "theirs");
}

static void
test_lost_update(TreeFixture *fixture, gconstpointer keys)
{
    Node *node = NULL;
    GError *error = NULL;
    tree_fixture_store(fixture, "file", "first", NULL);
    FileHandle *handle = tree_fixture_open_file(fixture, fixture->container, "file", O_RDWR, &node);
    tree_fixture_put(handle, "ours");
    tree_fixture_store(fixture, "file", "theirs", NULL);
    gboolean ok = handle->operations->flush(handle, NULL, TRUE, &error);
    tree_fixture_assert_code(ok, error, ERROR_CHANGED);
    tree_release(fixture->tree, NULL, node, handle);
    tree_fixture_forget(fixture, node);
    tree_fixture_assert_content(fixture, fixture->container, "file", "theirs");
}

static void
test_truncate_on_open(TreeFixture *fixture, gconstpointer keys)
{
    Node *node = NULL;
    tree_fixture_store(fixture, "file", "first", NULL);
    FileHandle *handle =
        tree_fixture_open_file(fixture, fixture->container, "file", O_WRONLY | O_TRUNC, &node);
    g_assert_cmpint(tree_fixture_stat(fixture, fixture->container, "file").st_size, ==, 0);
    tree_fixture_close_file(fixture, node, handle);
    tree_fixture_assert_stored(fixture, "file", "");
}

static void
test_unlink_open(TreeFixture *fixture, gconstpointer keys)
{
    Node *node = NULL;
    tree_fixture_store(fixture, "file", "hello", NULL);
    FileHandle *handle = tree_fixture_open_file(fixture, fixture->container, "file", O_RDONLY, &node);
    g_assert_true(tree_unlink(fixture->tree, NULL, fixture->container, "file", NULL));
    tree_fixture_assert_absent(fixture, fixture->container, "file");
    tree_fixture_grow_old(fixture);
    tree_fixture_assert_absent(fixture, fixture->container, "file");
    tree_fixture_assert_list(fixture, fixture->container, "");
    tree_fixture_assert_reads(handle, "hello");
    g_assert_true(tree_fixture_has(fixture, "file"));
    tree_fixture_close_file(fixture, node, handle);
    g_assert_false(tree_fixture_has(fixture, "file"));
}

/* A temporary file that was never stored costs no request at all. */
static void
test_unlink_new(TreeFixture *fixture, gconstpointer keys)
{
    Node *node = NULL;
    tree_fixture_assert_list(fixture, fixture->container, "");
    memory_fault_reset_counts(fixture->memory);
    FileHandle *handle = tree_fixture_open_file(fixture, fixture->container, "tmp", O_RDWR | O_CREAT, &node);
    tree_fixture_put(handle, "hello");
    g_assert_true(tree_unlink(fixture->tree, NULL, fixture->container, "tmp", NULL));
    tree_fixture_assert_reads(handle, "hello");
    tree_fixture_close_file(fixture, node, handle);
    tree_fixture_assert_requests(fixture, "");
}

/* The name is used again while the old file is open: both live, and only the new one is stored. */
static void
test_unlink_and_create_again(TreeFixture *fixture, gconstpointer keys)
{
    Node *old = NULL;
    tree_fixture_store(fixture, "file", "old", NULL);
    FileHandle *handle = tree_fixture_open_file(fixture, fixture->container, "file", O_RDONLY, &old);
    g_assert_true(tree_unlink(fixture->tree, NULL, fixture->container, "file", NULL));
    tree_fixture_write(fixture, fixture->container, "file", "new");
    tree_fixture_assert_reads(handle, "old");
    tree_fixture_close_file(fixture, old, handle);
    tree_fixture_assert_stored(fixture, "file", "new");
    tree_fixture_assert_content(fixture, fixture->container, "file", "new");
}

/* Others put something under the name meanwhile: the late delete is not for that. */
static void
test_unlink_spares_others(TreeFixture *fixture, gconstpointer keys)
{
    Node *node = NULL;
    tree_fixture_store(fixture, "file", "old", NULL);
    FileHandle *handle = tree_fixture_open_file(fixture, fixture->container, "file", O_RDONLY, &node);
    g_assert_true(tree_unlink(fixture->tree, NULL, fixture->container, "file", NULL));
    tree_fixture_store(fixture, "file", "theirs", NULL);
    tree_fixture_close_file(fixture, node, handle);
    tree_fixture_assert_stored(fixture, "file", "theirs");
}

/* Whoever lets it through: a newer kernel, or a directory with a long name of its own. */
static void
assert_too_long(TreeFixture *fixture, Node *parent, const char *name, const char *existing)
{
    TreeEntry entry;
    FileHandle *handle = NULL;
    GError *error = NULL;
    gint64 ignored = 0;
    gboolean ok = tree_lookup(fixture->tree, NULL, parent, name, &entry, &ignored, &error);
    tree_fixture_assert_code(ok, error, ERROR_NAME_TOO_LONG);
    error = NULL;
    ok = tree_create(fixture->tree, NULL, parent, name, O_WRONLY | O_CREAT, 0644, 0, 0, &entry, &handle,
                     &error);
    tree_fixture_assert_code(ok, error, ERROR_NAME_TOO_LONG);
    error = NULL;
    ok = tree_make_directory(fixture->tree, NULL, parent, name, 0755, 0, 0, &entry, &error);
    tree_fixture_assert_code(ok, error, ERROR_NAME_TOO_LONG);
    error = NULL;
    ok = tree_make_symlink(fixture->tree, NULL, parent, name, "target", 0, 0, &entry, &error);
    tree_fixture_assert_code(ok, error, ERROR_NAME_TOO_LONG);
    error = NULL;
    ok = tree_rename(fixture->tree, NULL, fixture->container, existing, parent, name, 0, &error);
    tree_fixture_assert_code(ok, error, ERROR_NAME_TOO_LONG);
}

static void
test_names_that_are_too_long(TreeFixture *fixture, gconstpointer keys)
{
    g_autofree char *longest = g_strnfill(1024, 'x');
    g_autofree char *longer = g_strnfill(1025, 'x');
    g_autofree char *half = g_strnfill(600, 'x');
    tree_fixture_write(fixture, fixture->container, longest, "fits");
    Node *directory = tree_fixture_mkdir(fixture, fixture->container, half);
    assert_too_long(fixture, fixture->container, longer, longest);
    /* What is known to be empty is not asked. */
    tree_fixture_assert_absent(fixture, directory, half);
    tree_fixture_grow_old(fixture);
    assert_too_long(fixture, directory, half, longest);
    tree_fixture_assert_content(fixture, fixture->container, longest, "fits");
    tree_fixture_forget(fixture, directory);
}

static void
test_bad_names(TreeFixture *fixture, gconstpointer keys)
{
    TreeEntry entry;
    FileHandle *handle = NULL;
    GError *error = NULL;
    gboolean ok = tree_create(fixture->tree, NULL, fixture->container, "x%25y", O_WRONLY | O_CREAT, 0644, 0,
                              0, &entry, &handle, &error);
    tree_fixture_assert_code(ok, error, ERROR_BAD_NAME);
    tree_fixture_write(fixture, fixture->container, "a%2Fb", "hello");
    tree_fixture_assert_stored(fixture, "a/b", "hello");
}

/* A reader that knows nothing of the metadata and a writer share one file. */
static void
test_learns_metadata(TreeFixture *fixture, gconstpointer keys)
{
    Node *node = NULL, *again = NULL;
    g_autoptr(GHashTable) metadata = metadata_new();
    g_autofree char *big = g_strnfill(5000, 'x');
    g_hash_table_insert(metadata, g_strdup("mode"), g_strdup("33216"));
    g_hash_table_insert(metadata, g_strdup("colour"), g_strdup("red"));
    tree_fixture_store(fixture, "file", big, metadata);
    tree_fixture_assert_list(fixture, fixture->container, "file");
    FileHandle *reader = tree_fixture_open_file(fixture, fixture->container, "file", O_RDONLY, &node);
    tree_fixture_assert_requests(fixture, "list 1");
    FileHandle *writer = tree_fixture_open_file(fixture, fixture->container, "file", O_RDWR, &again);
    tree_fixture_assert_requests(fixture, "stat 1");
    g_assert_true(node == again);
    tree_fixture_put(writer, "new");
    tree_fixture_close_file(fixture, again, writer);
    tree_fixture_close_file(fixture, node, reader);
    g_auto(ObjectInfo) info = {0};
    g_assert_true(storage_stat_object(fixture->storage, NULL, "c", "file", &info, NULL));
    g_assert_cmpstr(g_hash_table_lookup(info.metadata, "colour"), ==, "red");
    g_assert_cmpstr(g_hash_table_lookup(info.metadata, "mode"), ==, "33216");
}

/* `flock FILE`, `open(O_RDONLY | O_TRUNC)`: who cannot write made or cut it all the same, and is told. */
static void
test_reader_that_makes_or_cuts(TreeFixture *fixture, gconstpointer keys)
{
    static const int FLAGS[] = {O_RDONLY | O_CREAT, O_RDONLY | O_TRUNC};
    for (guint i = 0; i < G_N_ELEMENTS(FLAGS); i++) {
        GError *error = NULL;
        Node *node = NULL;
        const MemoryFault fault = {
            .operation = MEMORY_WRITE_OBJECT, .times = 1, .fails = TRUE, .code = ERROR_DENIED};
        FileHandle *handle = tree_fixture_open_file(fixture, fixture->container, "file", FLAGS[i], &node);
        memory_fault_add(fixture->memory, &fault);
        gboolean ok = handle->operations->flush(handle, NULL, TRUE, &error);
        tree_fixture_assert_code(ok, error, ERROR_DENIED);
        memory_fault_clear(fixture->memory);
        tree_fixture_close_file(fixture, node, handle);
        tree_fixture_assert_stored(fixture, "file", "");
        tree_fixture_write(fixture, fixture->container, "file", "text");
    }
}

int
main(int argc, char *argv[])
{
    g_test_init(&argc, &argv, NULL);
    tree_fixture_add("/tree/open/create-is-one-write", test_create_is_one_write, NULL);
    tree_fixture_add("/tree/open/create-in-unknown", test_create_in_unknown, NULL);
    tree_fixture_add("/tree/open/made-container-is-empty", test_made_container_is_empty, NULL);
    tree_fixture_add("/tree/open/attributes-of-new", test_attributes_of_new, NULL);
    tree_fixture_add("/tree/open/reopen-known", test_reopen_known, NULL);
    tree_fixture_add("/tree/open/cache-is-dropped", test_cache_is_dropped, STALE);
    tree_fixture_add("/tree/open/replaced-while-open", test_replaced_while_open, STALE);
    tree_fixture_add("/tree/open/shared-while-dirty", test_shared_while_dirty, NULL);
    tree_fixture_add("/tree/open/exclusive", test_exclusive, NULL);
    tree_fixture_add("/tree/open/exclusive-race", test_exclusive_race, COUNTED);
    tree_fixture_add("/tree/open/lost-update", test_lost_update, COUNTED);
    tree_fixture_add("/tree/open/truncate-on-open", test_truncate_on_open, NULL);
    tree_fixture_add("/tree/open/unlink-open", test_unlink_open, COUNTED);
    tree_fixture_add("/tree/open/unlink-open-unconditional", test_unlink_open,
                     COUNTED "conditional_delete = no\n");
    tree_fixture_add("/tree/open/unlink-new", test_unlink_new, NULL);
    tree_fixture_add("/tree/open/unlink-and-create-again", test_unlink_and_create_again, COUNTED);
    tree_fixture_add("/tree/open/unlink-spares-others", test_unlink_spares_others, COUNTED);
    tree_fixture_add("/tree/open/unlink-spares-others-unconditional", test_unlink_spares_others,
                     COUNTED "conditional_delete = no\n");
    tree_fixture_add("/tree/open/bad-names", test_bad_names, NULL);
    tree_fixture_add("/tree/open/names-that-are-too-long", test_names_that_are_too_long, "folders = yes\n");
    tree_fixture_add("/tree/open/reader-that-makes-or-cuts", test_reader_that_makes_or_cuts, NULL);
    tree_fixture_add("/tree/open/learns-metadata", test_learns_metadata, NULL);
    return g_test_run();
}
