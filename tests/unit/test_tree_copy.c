/* A copy has the bytes of its moment, whatever becomes of its source by name. */
#include "tests/unit/tree_fixture.h"

#include <fcntl.h>

#define FOLDERS TREE_FIXTURE_FRESH "folders = yes\netags = counter\n"

static void
rename_ok(TreeFixture *fixture, Node *parent, const char *name, Node *new_parent, const char *new_name)
{
    GError *error = NULL;
    gboolean ok = tree_rename(fixture->tree, NULL, parent, name, new_parent, new_name, 0, &error);
    g_assert_no_error(error);
    g_assert_true(ok);
}

typedef enum { CHANGE_UNLINK, CHANGE_REPLACE, CHANGE_RENAME, CHANGE_MODE, CHANGE_FOLDER, CHANGES } Change;

static void
change_source(TreeFixture *fixture, Node *folder, Change change)
{
    struct stat mode = {.st_mode = 0600}, out;
    gint64 valid_us;
    gboolean ok = TRUE;
    GError *error = NULL;
    Node *node = tree_fixture_lookup(fixture, folder, "from");
    switch (change) {
    case CHANGE_UNLINK:
        ok = tree_unlink(fixture->tree, NULL, folder, "from", &error);
        break;
    case CHANGE_REPLACE:
        tree_fixture_write(fixture, folder, "other", "other");
        rename_ok(fixture, folder, "other", folder, "from");
        break;
    case CHANGE_RENAME:
        rename_ok(fixture, folder, "from", folder, "renamed");
        break;
    case CHANGE_MODE:
        ok = tree_set_attributes(fixture->tree, NULL, node, NULL, FILE_SET_MODE, &mode, NULL, &out, &valid_us,
                                 &error);
        break;
    case CHANGE_FOLDER:
    case CHANGES:
        rename_ok(fixture, fixture->container, "d", fixture->container, "e");
        break;
    }
    g_assert_no_error(error);
    g_assert_true(ok);
    tree_fixture_forget(fixture, node);
}

static void
copy_then_change(TreeFixture *fixture, Node *folder, Change change, gboolean keep_open)
{
    GError *error = NULL;
    Node *from_node = NULL, *to_node = NULL;
    guint64 copied = 0;
    tree_fixture_write(fixture, folder, "from", "before");
    tree_fixture_grow_old(fixture);
    FileHandle *from = tree_fixture_open_file(fixture, folder, "from", O_RDONLY, &from_node);
    FileHandle *to = tree_fixture_open_file(fixture, fixture->container, "to", O_RDWR | O_CREAT, &to_node);
    g_assert_true(from->operations->copy_range(from, NULL, 0, to, 0, 6, &copied, &error));
    g_assert_cmpuint(copied, ==, 6);
    if (!keep_open)
        tree_fixture_close_file(fixture, from_node, from);
    change_source(fixture, folder, change);
    if (keep_open)
        tree_fixture_close_file(fixture, from_node, from);
    tree_fixture_assert_reads(to, "before");
    tree_fixture_close_file(fixture, to_node, to);
    tree_fixture_assert_stored(fixture, "to", "before");
    g_assert_true(tree_unlink(fixture->tree, NULL, fixture->container, "to", NULL));
}

static void
test_source_of_a_copy(TreeFixture *fixture, gconstpointer keys)
{
    for (guint i = 0; i < 2 * CHANGES; i++) {
        Node *folder = tree_fixture_mkdir(fixture, fixture->container, "d");
        g_test_message("change %u, source %s", i / 2, i % 2 != 0 ? "open" : "closed");
        copy_then_change(fixture, folder, i / 2, i % 2 != 0);
        g_autofree char *done = g_strdup_printf("done%u", i);
        rename_ok(fixture, fixture->container, i / 2 == CHANGE_FOLDER ? "e" : "d", fixture->container, done);
        tree_fixture_forget(fixture, folder);
    }
}

int
main(int argc, char *argv[])
{
    g_test_init(&argc, &argv, NULL);
    tree_fixture_add("/tree/copy/source-changes", test_source_of_a_copy, FOLDERS);
    return g_test_run();
}
