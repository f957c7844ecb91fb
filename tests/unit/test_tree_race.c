/* Names that change while their object is on its way to the storage, or is closed. */
#include "src/base/error.h"
#include "tests/unit/tree_fixture.h"

#include <fcntl.h>
#include <string.h>

#define PATIENCE_US (20 * G_USEC_PER_SEC)

typedef struct {
    TreeFixture *fixture;
    FileHandle *handle;
    const char *from, *to;
    gboolean ok;
    GError *error;
} Other;

static gpointer
run_flush(gpointer data)
{
    Other *other = data;
    other->ok = other->handle->operations->flush(other->handle, NULL, TRUE, &other->error);
    return NULL;
}

static gpointer
run_rename(gpointer data)
{
    Other *other = data;
    Node *container = other->fixture->container;
    other->ok = tree_rename(other->fixture->tree, NULL, container, other->from, container, other->to, 0,
                            &other->error);
    return NULL;
}

static void
assert_ok(const Other *other)
{
    g_assert_no_error(other->error);
    g_assert_true(other->ok);
}

/* `a` is renamed to `b` while its first or next publication runs. */
static void
rename_while_flushing(TreeFixture *fixture, FileHandle *handle)
{
    const MemoryFault block = {.operation = MEMORY_WRITE_OBJECT, .times = 1, .blocks = TRUE};
    Other flushing = {.handle = handle};
    Other renaming = {.fixture = fixture, .from = "a", .to = "b"};
    memory_fault_add(fixture->memory, &block);
    memory_fault_reset_counts(fixture->memory);
    GThread *flush = g_thread_new("flush", run_flush, &flushing);
    g_assert_true(memory_fault_wait_blocked(fixture->memory, 1, PATIENCE_US));
    GThread *rename = g_thread_new("rename", run_rename, &renaming);
    /* Time for the rename to get as far as it can. */
    for (guint i = 0; i < 100 && memory_fault_get_count(fixture->memory, MEMORY_COPY_OBJECT) == 0; i++)
        g_usleep(1000);
    memory_fault_clear(fixture->memory);
    g_thread_join(flush);
    g_thread_join(rename);
    assert_ok(&flushing);
    assert_ok(&renaming);
}

static void
test_rename_waits_for_the_first_publication(TreeFixture *fixture, gconstpointer keys)
{
    Node *node = NULL;
    FileHandle *handle = tree_fixture_open_file(fixture, fixture->container, "a", O_RDWR | O_CREAT, &node);
    tree_fixture_put(handle, "new");
    rename_while_flushing(fixture, handle);
    tree_fixture_close_file(fixture, node, handle);
    tree_fixture_assert_stored(fixture, "b", "new");
    g_assert_false(tree_fixture_has(fixture, "a"));
}

static void
test_rename_moves_what_is_published_meanwhile(TreeFixture *fixture, gconstpointer keys)
{
    Node *node = NULL;
    tree_fixture_write(fixture, fixture->container, "a", "old");
    FileHandle *handle = tree_fixture_open_file(fixture, fixture->container, "a", O_RDWR, &node);
    tree_fixture_put(handle, "new");
    rename_while_flushing(fixture, handle);
    tree_fixture_assert_reads(handle, "new");
    tree_fixture_close_file(fixture, node, handle);
    tree_fixture_assert_stored(fixture, "b", "new");
    g_assert_false(tree_fixture_has(fixture, "a"));
}

/* The name is opened and written between the copy and the removal of its object. */
static void
test_rename_takes_along_who_opens_meanwhile(TreeFixture *fixture, gconstpointer keys)
{
    const MemoryFault block = {.operation = MEMORY_DELETE_OBJECT, .times = 1, .blocks = TRUE};
    Other renaming = {.fixture = fixture, .from = "a", .to = "b"};
    Node *node = NULL;
    tree_fixture_write(fixture, fixture->container, "a", "old");
    memory_fault_add(fixture->memory, &block);
    GThread *rename = g_thread_new("rename", run_rename, &renaming);
    g_assert_true(memory_fault_wait_blocked(fixture->memory, 1, PATIENCE_US));
    FileHandle *handle = tree_fixture_open_file(fixture, fixture->container, "a", O_RDWR, &node);
    tree_fixture_put(handle, "new");
    memory_fault_clear(fixture->memory);
    g_thread_join(rename);
    assert_ok(&renaming);
    tree_fixture_close_file(fixture, node, handle);
    tree_fixture_assert_stored(fixture, "b", "new");
    g_assert_false(tree_fixture_has(fixture, "a"));
}

/* `a` goes before its copy `b` is stored. */
static void
copy_and_lose_source(TreeFixture *fixture, gboolean by_rename)
{
    GError *error = NULL;
    guint64 copied = 0;
    Node *a = NULL, *b = NULL;
    Node *container = fixture->container;
    tree_fixture_write(fixture, container, "a", "content");
    tree_fixture_write(fixture, container, "other", "x");
    FileHandle *from = tree_fixture_open_file(fixture, container, "a", O_RDONLY, &a);
    FileHandle *to = tree_fixture_open_file(fixture, container, "b", O_RDWR | O_CREAT, &b);
    from->operations->copy_range(from, NULL, 0, to, 0, 7, &copied, &error);
    g_assert_no_error(error);
    tree_fixture_close_file(fixture, a, from);
    if (by_rename)
        tree_rename(fixture->tree, NULL, container, "other", container, "a", 0, &error);
    else
        tree_unlink(fixture->tree, NULL, container, "a", &error);
    g_assert_no_error(error);
    tree_fixture_close_file(fixture, b, to);
    tree_fixture_assert_stored(fixture, "b", "content");
}

static void
test_copy_outlives_unlinked_source(TreeFixture *fixture, gconstpointer keys)
{
    copy_and_lose_source(fixture, FALSE);
}

static void
test_copy_outlives_replaced_source(TreeFixture *fixture, gconstpointer keys)
{
    copy_and_lose_source(fixture, TRUE);
}

static gpointer
run_unlink(gpointer data)
{
    Other *other = data;
    Node *directory = tree_fixture_lookup(other->fixture, other->fixture->container, "d");
    other->ok = tree_unlink(other->fixture->tree, NULL, directory, other->from, &other->error);
    tree_fixture_forget(other->fixture, directory);
    return NULL;
}

/* d/a is unlinked while it is open and `first` is under way to unlink it too. */
static void
unlink_twice(TreeFixture *fixture, Node *directory, Other *first)
{
    const MemoryFault block = {.operation = MEMORY_LIST_OBJECTS, .times = 1, .blocks = TRUE};
    g_autoptr(GError) error = NULL;
    memory_fault_add(fixture->memory, &block);
    GThread *unlinking = g_thread_new("unlink", run_unlink, first);
    g_assert_true(memory_fault_wait_blocked(fixture->memory, 1, PATIENCE_US));
    tree_unlink(fixture->tree, NULL, directory, "a", &error);
    g_assert_no_error(error);
    memory_fault_clear(fixture->memory);
    g_thread_join(unlinking);
}

static void
test_only_one_unlinks_an_open_name(TreeFixture *fixture, gconstpointer keys)
{
    Other first = {.fixture = fixture, .from = "a"};
    Node *node = NULL;
    TreeStatistics statistics;
    /* A directory without a marker: before its last object goes, requests keep it. */
    tree_fixture_store(fixture, "d/a", "content", NULL);
    Node *directory = tree_fixture_lookup(fixture, fixture->container, "d");
    FileHandle *handle = tree_fixture_open_file(fixture, directory, "a", O_RDWR, &node);
    unlink_twice(fixture, directory, &first);
    tree_fixture_assert_code(first.ok, first.error, ERROR_NOT_FOUND);
    tree_fixture_close_file(fixture, node, handle);
    tree_fixture_forget(fixture, directory);
    g_assert_false(tree_fixture_has(fixture, "d/a"));
    /* s and s/c: nothing below is held any more. */
    tree_get_statistics(fixture->tree, &statistics);
    g_assert_cmpuint(statistics.nodes, ==, 2);
}

/* The front runs what is idle on a thread that must not wait. */
static void
test_close_of_an_unlinked_file_is_not_idle(TreeFixture *fixture, gconstpointer keys)
{
    Node *node = NULL;
    GError *error = NULL;
    tree_fixture_write(fixture, fixture->container, "a", "content");
    FileHandle *handle = tree_fixture_open_file(fixture, fixture->container, "a", O_RDONLY, &node);
    g_assert_true(handle->operations->is_idle(handle));
    tree_unlink(fixture->tree, NULL, fixture->container, "a", &error);
    g_assert_no_error(error);
    g_assert_true(tree_fixture_has(fixture, "a"));
    g_assert_false(handle->operations->is_idle(handle));
    tree_fixture_close_file(fixture, node, handle);
    g_assert_false(tree_fixture_has(fixture, "a"));
}

/* The storage carries out a publication whose reply nobody waits for. */
static void
unlink_after_unconfirmed(TreeFixture *fixture, FileHandle *handle, Node *node)
{
    const MemoryFault cut = {.operation = MEMORY_WRITE_OBJECT,
                             .times = 1,
                             .fails = TRUE,
                             .lost_reply = TRUE,
                             .code = ERROR_CANCELLED};
    GError *error = NULL;
    memory_fault_add(fixture->memory, &cut);
    tree_fixture_put(handle, "new");
    g_assert_false(handle->operations->flush(handle, NULL, TRUE, NULL));
    memory_fault_clear(fixture->memory);
    g_assert_true(tree_fixture_has(fixture, "a"));
    tree_unlink(fixture->tree, NULL, fixture->container, "a", &error);
    g_assert_no_error(error);
    tree_fixture_close_file(fixture, node, handle);
    g_assert_false(tree_fixture_has(fixture, "a"));
}

static void
test_unlink_removes_an_unconfirmed_first_version(TreeFixture *fixture, gconstpointer keys)
{
    Node *node = NULL;
    FileHandle *handle = tree_fixture_open_file(fixture, fixture->container, "a", O_RDWR | O_CREAT, &node);
    unlink_after_unconfirmed(fixture, handle, node);
}

static void
test_unlink_removes_an_unconfirmed_version(TreeFixture *fixture, gconstpointer keys)
{
    Node *node = NULL;
    tree_fixture_write(fixture, fixture->container, "a", "older content");
    FileHandle *handle = tree_fixture_open_file(fixture, fixture->container, "a", O_RDWR, &node);
    unlink_after_unconfirmed(fixture, handle, node);
}

/* d/a is written and published after it was copied for the rename of its directory. */
static void
publish_while_directory_moves(TreeFixture *fixture, MemoryOperation operation, gboolean open_late)
{
    const MemoryFault block = {.operation = operation, .key = "d/a", .times = 1, .blocks = TRUE};
    Other renaming = {.fixture = fixture, .from = "d", .to = "e"};
    Node *node = NULL;
    g_autoptr(GError) error = NULL;
    Node *directory = tree_fixture_mkdir(fixture, fixture->container, "d");
    tree_fixture_write(fixture, directory, "a", "old");
    FileHandle *handle = open_late ? NULL : tree_fixture_open_file(fixture, directory, "a", O_RDWR, &node);
    memory_fault_add(fixture->memory, &block);
    GThread *rename = g_thread_new("rename", run_rename, &renaming);
    g_assert_true(memory_fault_wait_blocked(fixture->memory, 1, PATIENCE_US));
    if (open_late)
        handle = tree_fixture_open_file(fixture, directory, "a", O_RDWR, &node);
    tree_fixture_put(handle, "new");
    handle->operations->flush(handle, NULL, TRUE, &error);
    g_assert_no_error(error);
    memory_fault_clear(fixture->memory);
    g_thread_join(rename);
    assert_ok(&renaming);
    tree_fixture_assert_reads(handle, "new");
    tree_fixture_close_file(fixture, node, handle);
    tree_fixture_forget(fixture, directory);
    tree_fixture_assert_stored(fixture, "e/a", "new");
    g_assert_false(tree_fixture_has(fixture, "d/a"));
}

static void
test_directory_moves_what_is_published_meanwhile(TreeFixture *fixture, gconstpointer keys)
{
    publish_while_directory_moves(fixture, MEMORY_DELETE_OBJECT, FALSE);
}

static void
test_directory_takes_along_who_opens_meanwhile(TreeFixture *fixture, gconstpointer keys)
{
    publish_while_directory_moves(fixture, MEMORY_DELETE_OBJECT, TRUE);
}

static void
test_directory_looks_before_it_deletes(TreeFixture *fixture, gconstpointer keys)
{
    publish_while_directory_moves(fixture, MEMORY_STAT_OBJECT, FALSE);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define ADD(name)                                                                                            \
    tree_fixture_add("/tree/race/" #name, test_##name, "etags = counter\nconditional_delete = no\n")
    ADD(copy_outlives_unlinked_source);
    ADD(copy_outlives_replaced_source);
    ADD(unlink_removes_an_unconfirmed_first_version);
    ADD(unlink_removes_an_unconfirmed_version);
    ADD(close_of_an_unlinked_file_is_not_idle);
    tree_fixture_add("/tree/race/directory_moves_what_is_published_meanwhile",
                     test_directory_moves_what_is_published_meanwhile,
                     TREE_FIXTURE_FRESH "folders = yes\netags = counter\n");
    tree_fixture_add("/tree/race/directory_takes_along_who_opens_meanwhile",
                     test_directory_takes_along_who_opens_meanwhile,
                     TREE_FIXTURE_FRESH "folders = yes\netags = counter\n");
    tree_fixture_add("/tree/race/directory_looks_before_it_deletes", test_directory_looks_before_it_deletes,
                     TREE_FIXTURE_FRESH "folders = yes\netags = counter\nconditional_delete = no\n");
    tree_fixture_add("/tree/race/only_one_unlinks_an_open_name", test_only_one_unlinks_an_open_name,
                     TREE_FIXTURE_FRESH "folders = yes\n");
    ADD(rename_waits_for_the_first_publication);
    ADD(rename_takes_along_who_opens_meanwhile);
    ADD(rename_moves_what_is_published_meanwhile);
    return g_test_run();
}
