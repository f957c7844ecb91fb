/* What the kernel keeps of a file that becomes another version while nobody has it open: pages and attributes
 * of the old one must be gone before anybody reads the new one, in file systems and object services alike. */
#include "drivers/memory/memory.h"
#include "tests/unit/tree_fixture.h"

#include <fcntl.h>

typedef struct {
    TreeFixture tree;
    gboolean is_local;
    Node *container, *node;
} VersionFixture;

static void
store(VersionFixture *fixture, const char *text)
{
    g_autofree char *path = g_build_filename(fixture->tree.directory, "local", "data", "c", "file", NULL);
    if (fixture->is_local)
        g_assert_true(g_file_set_contents(path, text, -1, NULL));
    else
        tree_fixture_store(&fixture->tree, "file", text, NULL);
}

static void
set_up(VersionFixture *fixture, gconstpointer is_local)
{
    fixture->is_local = is_local != NULL;
    if (fixture->is_local) {
        fixture->container = tree_fixture_open_local(&fixture->tree, "");
    } else {
        tree_fixture_open(&fixture->tree, "[storage s]\ndriver = memory\nfreshness = 0\n");
        g_assert_true(storage_create_container(fixture->tree.storage, NULL, "c", NULL));
        fixture->container = tree_fixture_lookup(&fixture->tree, tree_get_root(fixture->tree.tree), "s/c");
        fixture->tree.memory = memory_get_store(storage_get_instance(fixture->tree.storage));
    }
    store(fixture, "first");
    fixture->node = tree_fixture_lookup(&fixture->tree, fixture->container, "file");
}

static void
tear_down(VersionFixture *fixture, gconstpointer is_local)
{
    tree_fixture_forget(&fixture->tree, fixture->node);
    tree_fixture_forget(&fixture->tree, fixture->container);
    tree_fixture_close(&fixture->tree);
}

/* As the front does it. */
static FileHandle *
open_node(VersionFixture *fixture, gboolean *keeps)
{
    GError *error = NULL;
    FileHandle *handle = NULL;
    if (!tree_open_ready(fixture->tree.tree, fixture->node, O_RDONLY, &handle, keeps))
        g_assert_true(tree_open(fixture->tree.tree, NULL, fixture->node, O_RDONLY, &handle, keeps, &error));
    g_assert_no_error(error);
    return handle;
}

static void
close_node(VersionFixture *fixture, FileHandle *handle)
{
    tree_release(fixture->tree.tree, NULL, fixture->node, handle);
}

static gboolean
told_attributes(VersionFixture *fixture)
{
    lock_acquire(&fixture->tree.announced_lock);
    gboolean told = g_str_has_suffix(fixture->tree.announced->str, "attributes file");
    g_string_truncate(fixture->tree.announced, 0);
    lock_release(&fixture->tree.announced_lock);
    return told;
}

/* An answer with the old version's size may still be on its way to the kernel when it opens the new one. */
static void
test_attributes_are_dropped(VersionFixture *fixture, gconstpointer is_local)
{
    gboolean keeps;
    close_node(fixture, open_node(fixture, &keeps));
    g_assert_false(told_attributes(fixture));
    store(fixture, "the second");
    FileHandle *handle = open_node(fixture, &keeps);
    g_assert_true(told_attributes(fixture));
    g_assert_false(keeps);
    tree_fixture_assert_reads(handle, "the second");
    close_node(fixture, handle);
    close_node(fixture, open_node(fixture, &keeps));
    g_assert_false(told_attributes(fixture));
    g_assert_true(keeps);
}

/* The second open is answered while the kernel has yet to hear of the first that its pages are old. */
static void
test_every_open_drops_pages(VersionFixture *fixture, gconstpointer is_local)
{
    gboolean keeps;
    close_node(fixture, open_node(fixture, &keeps));
    store(fixture, "the second");
    FileHandle *first = open_node(fixture, &keeps);
    g_assert_false(keeps);
    g_assert_true(told_attributes(fixture));
    FileHandle *second = open_node(fixture, &keeps);
    g_assert_false(keeps);
    g_assert_true(told_attributes(fixture));
    close_node(fixture, first);
    FileHandle *third = open_node(fixture, &keeps);
    g_assert_false(keeps);
    close_node(fixture, second);
    close_node(fixture, third);
    close_node(fixture, open_node(fixture, &keeps));
    g_assert_true(keeps);
}

/* Nothing of another version can be there. */
static void
test_first_opens_keep_pages(VersionFixture *fixture, gconstpointer is_local)
{
    gboolean keeps;
    FileHandle *first = open_node(fixture, &keeps);
    FileHandle *second = open_node(fixture, &keeps);
    g_assert_true(keeps);
    g_assert_false(told_attributes(fixture));
    close_node(fixture, first);
    close_node(fixture, second);
}

int
main(int argc, char *argv[])
{
    static const struct {
        const char *name;
        void (*test)(VersionFixture *fixture, gconstpointer is_local);
    } tests[] = {{"attributes-are-dropped", test_attributes_are_dropped},
                 {"every-open-drops-pages", test_every_open_drops_pages},
                 {"first-opens-keep-pages", test_first_opens_keep_pages}};
    g_test_init(&argc, &argv, NULL);
    for (guint i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_autofree char *objects = g_strconcat("/tree/versions/objects/", tests[i].name, NULL);
        g_autofree char *files = g_strconcat("/tree/versions/files/", tests[i].name, NULL);
        g_test_add(objects, VersionFixture, NULL, set_up, tests[i].test, tear_down);
        g_test_add(files, VersionFixture, "local", set_up, tests[i].test, tear_down);
    }
    return g_test_run();
}
