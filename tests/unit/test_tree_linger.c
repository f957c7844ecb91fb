/* Names that were unlinked while open: their objects are deleted once, as the version that was theirs, and
 * stay gone. */
#include "src/base/error.h"
#include "tests/unit/tree_fixture.h"

#include <fcntl.h>

#define PATIENCE_US (20 * G_USEC_PER_SEC)

/* A file that is open and unlinked, and a thread that closes it. */
typedef struct {
    TreeFixture *fixture;
    Node *node;
    FileHandle *handle;
    GThread *thread;
} Closing;

static void
open_and_unlink(Closing *closing, TreeFixture *fixture)
{
    GError *error = NULL;
    *closing = (Closing){.fixture = fixture};
    tree_fixture_write(fixture, fixture->container, "a", "old");
    closing->handle = tree_fixture_open_file(fixture, fixture->container, "a", O_RDONLY, &closing->node);
    tree_unlink(fixture->tree, NULL, fixture->container, "a", &error);
    g_assert_no_error(error);
    g_assert_true(tree_fixture_has(fixture, "a"));
    memory_fault_reset_counts(fixture->memory);
}

static gpointer
run_close(gpointer data)
{
    Closing *closing = data;
    tree_fixture_close_file(closing->fixture, closing->node, closing->handle);
    return NULL;
}

/* The last close stands in its DELETE until the faults are cleared. */
static void
close_begin(Closing *closing)
{
    const MemoryFault block = {.operation = MEMORY_DELETE_OBJECT, .times = 1, .blocks = TRUE};
    memory_fault_add(closing->fixture->memory, &block);
    closing->thread = g_thread_new("close", run_close, closing);
    g_assert_true(memory_fault_wait_blocked(closing->fixture->memory, 1, PATIENCE_US));
}

static void
close_end(Closing *closing)
{
    memory_fault_clear(closing->fixture->memory);
    g_thread_join(closing->thread);
}

static gpointer
run_write(gpointer data)
{
    TreeFixture *fixture = data;
    /* The same bytes: a service may give them the same ETag. */
    tree_fixture_write(fixture, fixture->container, "a", "old");
    return NULL;
}

static void
test_one_deletion_at_a_time(TreeFixture *fixture, gconstpointer keys)
{
    Closing closing;
    open_and_unlink(&closing, fixture);
    close_begin(&closing);
    GThread *writing = g_thread_new("write", run_write, fixture);
    /* Time for the writer to get as far as it can. */
    for (guint i = 0; i < 100 && memory_fault_get_count(fixture->memory, MEMORY_WRITE_OBJECT) == 0; i++)
        g_usleep(1000);
    g_assert_cmpuint(memory_fault_get_count(fixture->memory, MEMORY_WRITE_OBJECT), ==, 0);
    close_end(&closing);
    g_thread_join(writing);
    g_assert_cmpuint(memory_fault_get_count(fixture->memory, MEMORY_DELETE_OBJECT), ==, 1);
    tree_fixture_assert_stored(fixture, "a", "old");
    tree_fixture_assert_content(fixture, fixture->container, "a", "old");
}

/* Creates `a` while the last close deletes what was there. */
static void
assert_creation_ends(TreeFixture *fixture, Call *call, ErrorCode code)
{
    GError *error = NULL;
    TreeEntry entry = {0};
    FileHandle *handle = NULL;
    gboolean ok = tree_create(fixture->tree, call, fixture->container, "a", O_WRONLY | O_CREAT, 0600, 1, 1,
                              &entry, &handle, &error);
    tree_fixture_assert_code(ok, error, code);
}

static void
test_waiting_ends_with_its_own_call(TreeFixture *fixture, gconstpointer keys)
{
    g_autoptr(Call) late = call_new(20 * 1000);
    g_autoptr(Call) cancelled = call_new(0);
    Closing closing;
    open_and_unlink(&closing, fixture);
    close_begin(&closing);
    assert_creation_ends(fixture, late, ERROR_TIMEOUT);
    call_cancel(cancelled);
    assert_creation_ends(fixture, cancelled, ERROR_CANCELLED);
    close_end(&closing);
    g_assert_false(tree_fixture_has(fixture, "a"));
    tree_fixture_write(fixture, fixture->container, "a", "new");
    tree_fixture_assert_stored(fixture, "a", "new");
}

/* A page that was asked for before the DELETE was carried out has the name. */
static void
test_gone_from_what_was_listed_meanwhile(TreeFixture *fixture, gconstpointer keys)
{
    Closing closing;
    open_and_unlink(&closing, fixture);
    close_begin(&closing);
    tree_fixture_grow_old(fixture);
    tree_fixture_assert_list(fixture, fixture->container, "");
    g_assert_cmpuint(memory_fault_get_count(fixture->memory, MEMORY_LIST_OBJECTS), >, 0);
    close_end(&closing);
    g_assert_false(tree_fixture_has(fixture, "a"));
    tree_fixture_assert_list(fixture, fixture->container, "");
    tree_fixture_assert_absent(fixture, fixture->container, "a");
}

/* What it was opened as is not what it is when it goes. */
static void
test_deleted_as_the_version_published_last(TreeFixture *fixture, gconstpointer keys)
{
    Node *node = NULL;
    g_autoptr(GError) error = NULL;
    tree_fixture_write(fixture, fixture->container, "a", "first");
    FileHandle *handle = tree_fixture_open_file(fixture, fixture->container, "a", O_RDWR, &node);
    for (guint i = 0; i < 2; i++) {
        tree_fixture_put(handle, i == 0 ? "second" : "thirds");
        handle->operations->flush(handle, NULL, TRUE, &error);
        g_assert_no_error(error);
    }
    /* Not published any more. */
    tree_fixture_put(handle, "fourth");
    tree_unlink(fixture->tree, NULL, fixture->container, "a", &error);
    g_assert_no_error(error);
    tree_fixture_assert_stored(fixture, "a", "thirds");
    tree_fixture_close_file(fixture, node, handle);
    g_assert_false(tree_fixture_has(fixture, "a"));
}

static void
test_what_others_put_there_since_is_theirs(TreeFixture *fixture, gconstpointer keys)
{
    Closing closing;
    open_and_unlink(&closing, fixture);
    tree_fixture_store(fixture, "a", "theirs", NULL);
    run_close(&closing);
    tree_fixture_assert_stored(fixture, "a", "theirs");
}

/* The service is away at the last close, and then back, or not before the end. */
static void
close_without_answer(TreeFixture *fixture, Closing *closing)
{
    const MemoryFault fault = {.operation = MEMORY_DELETE_OBJECT, .fails = TRUE, .code = ERROR_PROTOCOL};
    open_and_unlink(closing, fixture);
    memory_fault_add(fixture->memory, &fault);
    run_close(closing);
    g_assert_true(tree_fixture_has(fixture, "a"));
    tree_fixture_assert_absent(fixture, fixture->container, "a");
    tree_fixture_grow_old(fixture);
    tree_fixture_assert_absent(fixture, fixture->container, "a");
    tree_fixture_assert_list(fixture, fixture->container, "");
    memory_fault_clear(fixture->memory);
}

static void
test_deleted_once_the_service_answers(TreeFixture *fixture, gconstpointer keys)
{
    Closing closing;
    close_without_answer(fixture, &closing);
    for (gint64 end_us = g_get_monotonic_time() + PATIENCE_US; tree_fixture_has(fixture, "a");) {
        g_assert_cmpint(g_get_monotonic_time(), <, end_us);
        g_usleep(1000);
    }
    tree_fixture_assert_absent(fixture, fixture->container, "a");
    tree_fixture_write(fixture, fixture->container, "a", "new");
    tree_fixture_assert_stored(fixture, "a", "new");
}

static void
test_deleted_before_the_name_is_taken(TreeFixture *fixture, gconstpointer keys)
{
    Closing closing;
    close_without_answer(fixture, &closing);
    tree_fixture_write(fixture, fixture->container, "a", "new");
    tree_fixture_remount(fixture);
    tree_fixture_assert_stored(fixture, "a", "new");
}

static void
test_deleted_at_the_end(TreeFixture *fixture, gconstpointer keys)
{
    Closing closing;
    close_without_answer(fixture, &closing);
    tree_fixture_remount(fixture);
    g_assert_false(tree_fixture_has(fixture, "a"));
}

/* Nothing of it waits to be written: the name is the other client's object now, and that goes. */
static void
test_unlink_after_replacement(TreeFixture *fixture, gconstpointer keys)
{
    Node *node;
    FileHandle *handle =
        tree_fixture_open_file(fixture, fixture->container, "file", O_CREAT | O_RDONLY, &node);
    g_assert_true(handle->operations->flush(handle, NULL, TRUE, NULL));
    tree_fixture_assert_stored(fixture, "file", "");
    tree_fixture_store(fixture, "file", "theirs", NULL);
    tree_fixture_grow_old(fixture);
    g_assert_true(tree_unlink(fixture->tree, NULL, fixture->container, "file", NULL));
    g_assert_false(tree_fixture_has(fixture, "file"));
    tree_fixture_close_file(fixture, node, handle);
    g_assert_false(tree_fixture_has(fixture, "file"));
}

/* A directory takes the name while the file is open. */
static void
test_folder_renamed_onto_it(TreeFixture *fixture, gconstpointer keys)
{
    Node *node = NULL;
    GError *error = NULL;
    tree_fixture_forget(fixture, tree_fixture_mkdir(fixture, fixture->container, "d"));
    tree_fixture_write(fixture, fixture->container, "file", "old");
    FileHandle *handle = tree_fixture_open_file(fixture, fixture->container, "file", O_RDONLY, &node);
    g_assert_true(tree_unlink(fixture->tree, NULL, fixture->container, "file", NULL));
    tree_rename(fixture->tree, NULL, fixture->container, "d", fixture->container, "file", 0, &error);
    g_assert_no_error(error);
    tree_fixture_grow_old(fixture);
    tree_fixture_assert_list(fixture, fixture->container, "file");
    g_assert_true(S_ISDIR(tree_fixture_stat(fixture, fixture->container, "file").st_mode));
    tree_fixture_assert_reads(handle, "old");
    tree_fixture_close_file(fixture, node, handle);
    g_assert_true(S_ISDIR(tree_fixture_stat(fixture, fixture->container, "file").st_mode));
}

int
main(int argc, char **argv)
{
    static const char *const services[] = {
        TREE_FIXTURE_FRESH "etags = counter\n",
        TREE_FIXTURE_FRESH "etags = counter\nconditional_delete = no\n",
    };
    g_test_init(&argc, &argv, NULL);
    for (guint i = 0; i < G_N_ELEMENTS(services); i++) {
        const char *kind = i == 0 ? "conditional" : "plain";
#define ADD(name)                                                                                            \
    do {                                                                                                     \
        g_autofree char *path = g_strdup_printf("/tree/linger/%s/" #name, kind);                             \
        tree_fixture_add(path, test_##name, services[i]);                                                    \
    } while (FALSE)
        ADD(one_deletion_at_a_time);
        ADD(waiting_ends_with_its_own_call);
        ADD(gone_from_what_was_listed_meanwhile);
        ADD(deleted_as_the_version_published_last);
        ADD(what_others_put_there_since_is_theirs);
        ADD(deleted_once_the_service_answers);
        ADD(deleted_before_the_name_is_taken);
        ADD(deleted_at_the_end);
    }
    tree_fixture_add("/tree/linger/unlink-after-replacement", test_unlink_after_replacement, NULL);
    tree_fixture_add("/tree/linger/folder-renamed-onto-it", test_folder_renamed_onto_it,
                     TREE_FIXTURE_FRESH "folders = yes\n");
    return g_test_run();
}
