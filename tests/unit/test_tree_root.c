/* MNT itself: storages, the default, containers, reloading. */
#include "tests/unit/storage_fixture.h"
#include "tests/unit/tree_fixture.h"

#include <fcntl.h>
#include <string.h>

#define TWO                                                                                                  \
    "[storage s]\ndriver = memory\n[storage t]\ndriver = memory\ncontainers = shown\ncreate_containers = "   \
    "shown\n"

static char *
read_default(TreeFixture *fixture)
{
    char *target = NULL;
    GError *error = NULL;
    Node *link = tree_fixture_lookup(fixture, tree_get_root(fixture->tree), "default");
    g_assert_true(tree_read_symlink(fixture->tree, NULL, link, &target, &error));
    tree_fixture_forget(fixture, link);
    return target;
}

static void
assert_default(TreeFixture *fixture, const char *name)
{
    g_autofree char *target = read_default(fixture);
    g_assert_cmpstr(target, ==, name);
}

static void
test_storages(void)
{
    TreeFixture fixture = {0};
    tree_fixture_open(&fixture, TWO);
    Node *root = tree_get_root(fixture.tree);
    tree_fixture_assert_list(&fixture, root, "s t default");
    tree_fixture_assert_absent(&fixture, root, "u");
    assert_default(&fixture, "s");
    g_assert_true(S_ISDIR(tree_fixture_stat(&fixture, root, "t").st_mode));
    g_assert_true(S_ISLNK(tree_fixture_stat(&fixture, root, "default").st_mode));
    tree_fixture_close(&fixture);
}

static void
test_refusals(void)
{
    TreeFixture fixture = {0};
    TreeEntry entry;
    GError *error = NULL;
    FileHandle *handle = NULL;
    tree_fixture_open(&fixture, TWO);
    Node *root = tree_get_root(fixture.tree);
    Node *s = tree_fixture_lookup(&fixture, root, "s");
    gboolean ok = tree_make_directory(fixture.tree, NULL, root, "x", 0755, 0, 0, &entry, &error);
    tree_fixture_assert_code(ok, error, ERROR_NOT_PERMITTED);
    error = NULL;
    ok = tree_remove_directory(fixture.tree, NULL, root, "s", &error);
    tree_fixture_assert_code(ok, error, ERROR_NOT_PERMITTED);
    error = NULL;
    ok = tree_create(fixture.tree, NULL, root, "x", O_WRONLY, 0644, 0, 0, &entry, &handle, &error);
    tree_fixture_assert_code(ok, error, ERROR_NOT_PERMITTED);
    error = NULL;
    ok = tree_unlink(fixture.tree, NULL, root, "s", &error);
    tree_fixture_assert_code(ok, error, ERROR_NOT_PERMITTED);
    error = NULL;
    ok = tree_make_symlink(fixture.tree, NULL, s, "x", "y", 0, 0, &entry, &error);
    tree_fixture_assert_code(ok, error, ERROR_NOT_PERMITTED);
    error = NULL;
    ok = tree_create(fixture.tree, NULL, s, "x", O_WRONLY, 0644, 0, 0, &entry, &handle, &error);
    tree_fixture_assert_code(ok, error, ERROR_NOT_PERMITTED);
    error = NULL;
    tree_fixture_forget(&fixture, s);
    ok = tree_rename(fixture.tree, NULL, root, "s", root, "x", 0, &error);
    tree_fixture_assert_code(ok, error, ERROR_NOT_PERMITTED);
    tree_fixture_close(&fixture);
}

/* What `ln -sfn t MNT/default` does: a link of another name, renamed onto it. */
static void
test_switch_default(void)
{
    TreeFixture fixture = {0};
    TreeEntry entry;
    GError *error = NULL;
    tree_fixture_open(&fixture, TWO);
    Node *root = tree_get_root(fixture.tree);
    g_assert_true(tree_make_symlink(fixture.tree, NULL, root, "CuXyZ", "t", 0, 0, &entry, NULL));
    tree_fixture_assert_list(&fixture, root, "s t default");
    g_assert_true(tree_rename(fixture.tree, NULL, root, "CuXyZ", root, "default", 0, NULL));
    tree_fixture_forget(&fixture, entry.node);
    assert_default(&fixture, "t");
    tree_fixture_assert_absent(&fixture, root, "CuXyZ");
    gboolean ok = tree_make_symlink(fixture.tree, NULL, root, "CuXyZ", "nope", 0, 0, &entry, &error);
    tree_fixture_assert_code(ok, error, ERROR_NOT_FOUND);
    assert_default(&fixture, "t");
    g_assert_true(tree_make_symlink(fixture.tree, NULL, root, "CuXyZ", "s", 0, 0, &entry, NULL));
    tree_fixture_forget(&fixture, entry.node);
    g_assert_true(tree_unlink(fixture.tree, NULL, root, "CuXyZ", NULL));
    tree_fixture_assert_absent(&fixture, root, "CuXyZ");
    assert_default(&fixture, "t");
    tree_fixture_close(&fixture);
}

/* What is foreign is seen after a refresh of a path as people write it, of what lies there and nothing else.
 */
static void
test_refresh(TreeFixture *fixture, gconstpointer keys)
{
    static const char *const paths[] = {"",          "s",          "s/c/a",       "default/c/a",  "default/",
                                        "./s//c/./", "t/../s/c/a", "../../s/c/a", "default/../s", "."};
    static const char *const others[] = {"t", "s/../t/c"};
    static const char *const wrong[] = {"u", "./u", "s/../u", "default/../u/c"};
    Node *other = tree_fixture_lookup(fixture, tree_get_root(fixture->tree), "t");
    tree_fixture_store(fixture, "a", "1", NULL);
    Node *file = tree_fixture_lookup(fixture, fixture->container, "a");
    for (guint i = 0; i < G_N_ELEMENTS(paths); i++) {
        g_autofree char *content = g_strnfill(i + 2, 'x');
        g_assert_cmpint(tree_fixture_stat(fixture, fixture->container, "a").st_size, ==, i + 1);
        tree_fixture_store(fixture, "a", content, NULL);
        for (guint j = 0; j < G_N_ELEMENTS(others); j++)
            g_assert_true(tree_refresh(fixture->tree, others[j], NULL));
        g_assert_cmpint(tree_fixture_stat(fixture, fixture->container, "a").st_size, ==, i + 1);
        g_assert_true(tree_refresh(fixture->tree, paths[i], NULL));
    }
    for (guint i = 0; i < G_N_ELEMENTS(wrong); i++) {
        GError *error = NULL;
        gboolean ok = tree_refresh(fixture->tree, wrong[i], &error);
        tree_fixture_assert_code(ok, error, ERROR_NOT_FOUND);
    }
    tree_fixture_forget(fixture, file);
    tree_fixture_forget(fixture, other);
}

static void
test_shown_containers(void)
{
    TreeFixture fixture = {0};
    TreeEntry entry;
    GError *error = NULL;
    tree_fixture_open(&fixture, "[storage s]\ndriver = memory\nstore = one\n"
                                "[storage t]\ndriver = memory\nstore = one\ncontainers = shown\n");
    Node *storage = tree_fixture_lookup(&fixture, tree_get_root(fixture.tree), "t");
    g_assert_true(storage_create_container(fixture.storage, NULL, "hidden", NULL));
    g_assert_true(storage_create_container(fixture.storage, NULL, "shown", NULL));
    tree_fixture_assert_list(&fixture, storage, "shown");
    tree_fixture_assert_absent(&fixture, storage, "hidden");
    gboolean ok = tree_make_directory(fixture.tree, NULL, storage, "other", 0755, 0, 0, &entry, &error);
    tree_fixture_assert_code(ok, error, ERROR_NOT_PERMITTED);
    tree_fixture_forget(&fixture, storage);
    tree_fixture_close(&fixture);
}

static void
test_other_storage(void)
{
    TreeFixture fixture = {0};
    GError *error = NULL;
    tree_fixture_open(&fixture, TWO);
    g_autoptr(Storage) behind = storage_set_find(fixture.set, "t");
    g_assert_true(storage_create_container(behind, NULL, "shown", NULL));
    g_assert_true(storage_create_container(fixture.storage, NULL, "c", NULL));
    Node *from = tree_fixture_lookup(&fixture, tree_get_root(fixture.tree), "s/c");
    Node *to = tree_fixture_lookup(&fixture, tree_get_root(fixture.tree), "t/shown");
    tree_fixture_write(&fixture, from, "a", "hello");
    gboolean ok = tree_rename(fixture.tree, NULL, from, "a", to, "a", 0, &error);
    tree_fixture_assert_code(ok, error, ERROR_OTHER_STORAGE);
    tree_fixture_forget(&fixture, from);
    tree_fixture_forget(&fixture, to);
    tree_fixture_close(&fixture);
}

/* A storage disappears under its users: the name goes, the open file works on. */
static void
test_reload(void)
{
    TreeFixture fixture = {0};
    Node *node = NULL;
    tree_fixture_open(&fixture, TWO);
    g_assert_true(storage_create_container(fixture.storage, NULL, "c", NULL));
    Node *container = tree_fixture_lookup(&fixture, tree_get_root(fixture.tree), "s/c");
    FileHandle *handle = tree_fixture_open_file(&fixture, container, "a", O_RDWR | O_CREAT, &node);
    tree_fixture_put(handle, "hello");
    g_autoptr(Settings) settings =
        storage_fixture_settings("[storage t]\ndriver = memory\n[storage u]\ndriver = memory\n");
    g_assert_true(storage_set_reload(fixture.set, settings, NULL));
    tree_storages_changed(fixture.tree);
    tree_fixture_assert_list(&fixture, tree_get_root(fixture.tree), "t u default");
    tree_fixture_assert_absent(&fixture, tree_get_root(fixture.tree), "s");
    tree_fixture_assert_reads(handle, "hello");
    tree_fixture_close_file(&fixture, node, handle);
    tree_fixture_forget(&fixture, container);
    tree_fixture_close(&fixture);
}

static gboolean
has_default(TreeFixture *fixture)
{
    g_autofree char *names = tree_fixture_list(fixture, tree_get_root(fixture->tree));
    return strstr(names, "default") != NULL;
}

/* What busybox does for `ln -sfn t MNT/default`: it removes first. */
static void
test_remove_and_make_default(void)
{
    TreeFixture fixture = {0};
    TreeEntry entry;
    GError *error = NULL;
    tree_fixture_open(&fixture, TWO);
    Node *root = tree_get_root(fixture.tree);
    Node *before = tree_fixture_lookup(&fixture, root, "default");
    gint64 start_us = g_get_monotonic_time();
    g_assert_true(tree_unlink(fixture.tree, NULL, root, "default", NULL));
    gboolean gone = !has_default(&fixture);
    g_assert_true(gone || g_get_monotonic_time() - start_us >= TREE_DEFAULT_GAP_US);
    g_assert_true(tree_make_symlink(fixture.tree, NULL, root, "default", "t", 0, 0, &entry, NULL));
    tree_fixture_forget(&fixture, entry.node);
    tree_fixture_forget(&fixture, before);
    assert_default(&fixture, "t");
    /* A link to nothing changes nothing. */
    g_assert_true(tree_unlink(fixture.tree, NULL, root, "default", NULL));
    gboolean ok = tree_make_symlink(fixture.tree, NULL, root, "default", "nope", 0, 0, &entry, &error);
    tree_fixture_assert_code(ok, error, ERROR_NOT_FOUND);
    assert_default(&fixture, "t");
    tree_fixture_close(&fixture);
}

/* MNT always has a default. */
static void
test_removed_default_is_back(void)
{
    TreeFixture fixture = {0};
    tree_fixture_open(&fixture, TWO);
    g_assert_true(tree_unlink(fixture.tree, NULL, tree_get_root(fixture.tree), "default", NULL));
    while (!has_default(&fixture))
        g_usleep(10000);
    assert_default(&fixture, "s");
    tree_fixture_close(&fixture);
}

int
main(int argc, char *argv[])
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/tree/root/storages", test_storages);
    g_test_add_func("/tree/root/refusals", test_refusals);
    g_test_add_func("/tree/root/switch-default", test_switch_default);
    g_test_add_func("/tree/root/remove-and-make-default", test_remove_and_make_default);
    g_test_add_func("/tree/root/removed-default-is-back", test_removed_default_is_back);
    tree_fixture_add("/tree/root/refresh", test_refresh, TREE_FIXTURE_FRESH "[storage t]\ndriver = memory\n");
    g_test_add_func("/tree/root/shown-containers", test_shown_containers);
    g_test_add_func("/tree/root/other-storage", test_other_storage);
    g_test_add_func("/tree/root/reload", test_reload);
    return g_test_run();
}
