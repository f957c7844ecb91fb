/* Changes that happened although nobody was told: the call failed, and what is there now is seen at once. */
#include "tests/unit/tree_fixture.h"

#include <fcntl.h>

#define FOLDERS TREE_FIXTURE_FRESH "folders = yes\n"

/* A reply that cannot be understood: nobody asks a second time. */
static void
lose_reply(TreeFixture *fixture, MemoryOperation operation)
{
    MemoryFault fault = {
        .operation = operation, .times = 1, .fails = TRUE, .code = ERROR_PROTOCOL, .lost_reply = TRUE};
    memory_fault_add(fixture->memory, &fault);
}

/* Everything is known and fresh before: names, absences, what they are. */
static void
know(TreeFixture *fixture, Node *directory)
{
    g_autofree char *names = tree_fixture_list(fixture, directory);
    tree_fixture_assert_absent(fixture, directory, "made");
}

static void
assert_lost(gboolean ok, GError *error)
{
    tree_fixture_assert_code(ok, error, ERROR_PROTOCOL);
}

static void
test_unlink(TreeFixture *fixture, gconstpointer keys)
{
    GError *error = NULL;
    tree_fixture_store(fixture, "doc", "content", NULL);
    tree_fixture_store(fixture, "other", "content", NULL);
    know(fixture, fixture->container);
    tree_fixture_stat(fixture, fixture->container, "doc");
    lose_reply(fixture, MEMORY_DELETE_OBJECT);
    gboolean ok = tree_unlink(fixture->tree, NULL, fixture->container, "doc", &error);
    assert_lost(ok, error);
    g_assert_false(tree_fixture_has(fixture, "doc"));
    tree_fixture_assert_absent(fixture, fixture->container, "doc");
    tree_fixture_assert_list(fixture, fixture->container, "other");
}

static void
test_mkdir(TreeFixture *fixture, gconstpointer keys)
{
    GError *error = NULL;
    TreeEntry entry = {0};
    tree_fixture_store(fixture, "other", "content", NULL);
    know(fixture, fixture->container);
    lose_reply(fixture, MEMORY_WRITE_OBJECT);
    gboolean ok =
        tree_make_directory(fixture->tree, NULL, fixture->container, "made", 0700, 7, 8, &entry, &error);
    assert_lost(ok, error);
    g_assert_true(tree_fixture_has(fixture, "made/"));
    struct stat attributes = tree_fixture_stat(fixture, fixture->container, "made");
    g_assert_cmpint(attributes.st_mode, ==, S_IFDIR | 0700);
    tree_fixture_assert_list(fixture, fixture->container, "made other");
}

static void
test_rmdir(TreeFixture *fixture, gconstpointer keys)
{
    GError *error = NULL;
    tree_fixture_store(fixture, "other", "content", NULL);
    tree_fixture_forget(fixture, tree_fixture_mkdir(fixture, fixture->container, "d"));
    know(fixture, fixture->container);
    lose_reply(fixture, MEMORY_DELETE_OBJECT);
    gboolean ok = tree_remove_directory(fixture->tree, NULL, fixture->container, "d", &error);
    assert_lost(ok, error);
    g_assert_false(tree_fixture_has(fixture, "d/"));
    tree_fixture_assert_absent(fixture, fixture->container, "d");
    tree_fixture_assert_list(fixture, fixture->container, "other");
}

static void
test_symlink(TreeFixture *fixture, gconstpointer keys)
{
    GError *error = NULL;
    TreeEntry entry = {0};
    g_autofree char *target = NULL;
    know(fixture, fixture->container);
    lose_reply(fixture, MEMORY_WRITE_OBJECT);
    gboolean ok =
        tree_make_symlink(fixture->tree, NULL, fixture->container, "made", "target", 7, 8, &entry, &error);
    assert_lost(ok, error);
    Node *node = tree_fixture_lookup(fixture, fixture->container, "made");
    g_assert_true(tree_read_symlink(fixture->tree, NULL, node, &target, &error));
    g_assert_cmpstr(target, ==, "target");
    tree_fixture_forget(fixture, node);
    tree_fixture_assert_list(fixture, fixture->container, "made");
}

/* A version is its content: the etag is what it was. */
static void
test_chmod(TreeFixture *fixture, gconstpointer keys)
{
    GError *error = NULL;
    tree_fixture_store(fixture, "doc", "content", NULL);
    know(fixture, fixture->container);
    g_assert_cmpint(tree_fixture_stat(fixture, fixture->container, "doc").st_mode & 07777, ==, 0644);
    Node *node = tree_fixture_lookup(fixture, fixture->container, "doc");
    struct stat wanted = {.st_mode = 0600}, shown;
    gint64 valid_us = 0;
    lose_reply(fixture, MEMORY_SET_METADATA);
    gboolean ok = tree_set_attributes(fixture->tree, NULL, node, NULL, FILE_SET_MODE, &wanted, NULL, &shown,
                                      &valid_us, &error);
    assert_lost(ok, error);
    g_assert_cmpint(tree_fixture_stat(fixture, fixture->container, "doc").st_mode & 07777, ==, 0600);
    tree_fixture_assert_list(fixture, fixture->container, "doc");
    g_assert_cmpint(tree_fixture_stat(fixture, fixture->container, "doc").st_mode & 07777, ==, 0600);
    tree_fixture_forget(fixture, node);
}

/* Closing stores, and fails: the content is there all the same. */
static void
write_unanswered(TreeFixture *fixture, const char *name)
{
    GError *error = NULL;
    Node *node = NULL;
    FileHandle *handle = tree_fixture_open_file(fixture, fixture->container, name, O_WRONLY | O_CREAT, &node);
    tree_fixture_put(handle, "written");
    lose_reply(fixture, MEMORY_WRITE_OBJECT);
    gboolean ok = handle->operations->flush(handle, NULL, TRUE, &error);
    assert_lost(ok, error);
    tree_release(fixture->tree, NULL, node, handle);
    tree_fixture_forget(fixture, node);
    tree_fixture_assert_content(fixture, fixture->container, name, "written");
    tree_fixture_assert_list(fixture, fixture->container, name);
    g_assert_cmpint(tree_fixture_stat(fixture, fixture->container, name).st_size, ==, 7);
}

static void
test_create(TreeFixture *fixture, gconstpointer keys)
{
    know(fixture, fixture->container);
    write_unanswered(fixture, "made");
}

static void
test_overwrite(TreeFixture *fixture, gconstpointer keys)
{
    tree_fixture_store(fixture, "doc", "before", NULL);
    know(fixture, fixture->container);
    write_unanswered(fixture, "doc");
}

static void
test_containers(TreeFixture *fixture, gconstpointer keys)
{
    GError *error = NULL;
    TreeEntry entry = {0};
    Node *storage = tree_fixture_lookup(fixture, tree_get_root(fixture->tree), "s");
    know(fixture, storage);
    lose_reply(fixture, MEMORY_CREATE_CONTAINER);
    gboolean ok = tree_make_directory(fixture->tree, NULL, storage, "made", 0755, 7, 8, &entry, &error);
    assert_lost(ok, g_steal_pointer(&error));
    tree_fixture_forget(fixture, tree_fixture_lookup(fixture, storage, "made"));
    tree_fixture_assert_list(fixture, storage, "c made");
    lose_reply(fixture, MEMORY_DELETE_CONTAINER);
    ok = tree_remove_directory(fixture->tree, NULL, storage, "made", &error);
    assert_lost(ok, error);
    tree_fixture_assert_absent(fixture, storage, "made");
    tree_fixture_assert_list(fixture, storage, "c");
    tree_fixture_forget(fixture, storage);
}

static gpointer
list_in_thread(gpointer data)
{
    TreeFixture *fixture = data;
    return tree_fixture_list(fixture, fixture->container);
}

/* A listing that was asked for before everything was doubted does not end the doubt. */
static void
test_doubt_during_listing(TreeFixture *fixture, gconstpointer keys)
{
    const MemoryFault block = {.operation = MEMORY_LIST_OBJECTS, .times = 1, .blocks = TRUE};
    tree_fixture_store(fixture, "doc", "content", NULL);
    memory_fault_add(fixture->memory, &block);
    GThread *thread = g_thread_new("list", list_in_thread, fixture);
    g_assert_true(memory_fault_wait_blocked(fixture->memory, 1, 60 * G_USEC_PER_SEC));
    g_assert_true(tree_refresh(fixture->tree, "", NULL));
    memory_fault_clear(fixture->memory);
    g_autofree char *names = g_thread_join(thread);
    g_assert_cmpstr(names, ==, "doc");
    tree_fixture_store(fixture, "late", "content", NULL);
    tree_fixture_forget(fixture, tree_fixture_lookup(fixture, fixture->container, "late"));
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    tree_fixture_add("/tree/lost_reply/unlink", test_unlink, NULL);
    tree_fixture_add("/tree/lost_reply/mkdir", test_mkdir, FOLDERS);
    tree_fixture_add("/tree/lost_reply/rmdir", test_rmdir, FOLDERS);
    tree_fixture_add("/tree/lost_reply/symlink", test_symlink, NULL);
    tree_fixture_add("/tree/lost_reply/chmod", test_chmod, NULL);
    tree_fixture_add("/tree/lost_reply/create", test_create, NULL);
    tree_fixture_add("/tree/lost_reply/overwrite", test_overwrite, NULL);
    tree_fixture_add("/tree/lost_reply/containers", test_containers, NULL);
    tree_fixture_add("/tree/lost_reply/doubt_during_listing", test_doubt_during_listing, NULL);
    return g_test_run();
}
