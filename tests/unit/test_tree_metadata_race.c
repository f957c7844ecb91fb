/* Attributes that are stored while the file is being opened. */
#include "src/base/error.h"
#include "tests/unit/tree_fixture.h"

#include <fcntl.h>

#define PATIENCE_US (20 * G_USEC_PER_SEC)
#define OLD_MODE 0644
#define NEW_MODE 0600

typedef struct {
    TreeFixture *fixture;
    Node *node;
} Change;

static void
set_mode(TreeFixture *fixture, Node *node, mode_t mode)
{
    const struct stat wanted = {.st_mode = mode};
    g_autoptr(GError) error = NULL;
    struct stat out;
    gint64 valid_us;
    gboolean ok = tree_set_attributes(fixture->tree, NULL, node, NULL, FILE_SET_MODE, &wanted, NULL, &out,
                                      &valid_us, &error);
    g_assert_no_error(error);
    g_assert_true(ok);
    g_assert_cmpuint(out.st_mode & 07777, ==, mode);
}

static gpointer
run_change(gpointer data)
{
    Change *change = data;
    set_mode(change->fixture, change->node, NEW_MODE);
    return NULL;
}

static mode_t
mode_of(TreeFixture *fixture)
{
    return tree_fixture_stat(fixture, fixture->container, "a").st_mode & 07777;
}

/* `a` as it is after somebody has opened it while its new mode was on the way. */
static FileHandle *
open_while_it_is_stored(TreeFixture *fixture, int flags, Node **out_node)
{
    const MemoryFault block = {.operation = MEMORY_SET_METADATA, .times = 1, .blocks = TRUE};
    tree_fixture_write(fixture, fixture->container, "a", "content");
    Change change = {fixture, tree_fixture_lookup(fixture, fixture->container, "a")};
    set_mode(fixture, change.node, OLD_MODE);
    memory_fault_add(fixture->memory, &block);
    GThread *thread = g_thread_new("change", run_change, &change);
    g_assert_true(memory_fault_wait_blocked(fixture->memory, 1, PATIENCE_US));
    FileHandle *handle = tree_fixture_open_file(fixture, fixture->container, "a", flags, out_node);
    memory_fault_clear(fixture->memory);
    g_thread_join(thread);
    tree_fixture_forget(fixture, change.node);
    return handle;
}

static void
test_reader_knows_the_new_mode(TreeFixture *fixture, gconstpointer keys)
{
    Node *node = NULL;
    FileHandle *handle = open_while_it_is_stored(fixture, O_RDONLY, &node);
    g_assert_cmpuint(mode_of(fixture), ==, NEW_MODE);
    tree_fixture_assert_reads(handle, "content");
    tree_fixture_close_file(fixture, node, handle);
    tree_fixture_grow_old(fixture);
    g_assert_cmpuint(mode_of(fixture), ==, NEW_MODE);
}

static void
test_writer_keeps_the_new_mode(TreeFixture *fixture, gconstpointer keys)
{
    Node *node = NULL;
    FileHandle *handle = open_while_it_is_stored(fixture, O_RDWR, &node);
    tree_fixture_put(handle, "written");
    tree_fixture_close_file(fixture, node, handle);
    tree_fixture_assert_stored(fixture, "a", "written");
    tree_fixture_grow_old(fixture);
    g_assert_cmpuint(mode_of(fixture), ==, NEW_MODE);
}

/* What the opener has set himself is the later change. */
static void
test_opener_changes_it_again(TreeFixture *fixture, gconstpointer keys)
{
    Node *node = NULL;
    FileHandle *handle = open_while_it_is_stored(fixture, O_RDWR, &node);
    set_mode(fixture, node, 0640);
    tree_fixture_close_file(fixture, node, handle);
    tree_fixture_grow_old(fixture);
    g_assert_cmpuint(mode_of(fixture), ==, 0640);
}

/* A file opened and written while its new mode is on the way, whose parts go out, and which knows the mode
 * from before. */
typedef struct {
    FileHandle *handle;
    GThread *change, *flush;
    Change changed;
    Node *node;
} Overtaken;

static gpointer
run_flush(gpointer data)
{
    FileHandle *handle = data;
    g_autoptr(GError) error = NULL;
    gboolean ok = handle->operations->flush(handle, NULL, TRUE, &error);
    g_assert_no_error(error);
    g_assert_true(ok);
    return NULL;
}

static void
begin_overtaken(TreeFixture *fixture, Overtaken *out, gpointer (*change)(gpointer))
{
    const MemoryFault metadata = {.operation = MEMORY_SET_METADATA, .times = 1, .blocks = TRUE};
    /* The first try ends when the mode is let go, the second one later. */
    const MemoryFault first = {.operation = MEMORY_WRITE_OBJECT,
                               .times = 1,
                               .blocks = TRUE,
                               .fails = TRUE,
                               .code = ERROR_UNAVAILABLE};
    const MemoryFault second = {.operation = MEMORY_WRITE_OBJECT, .nth = 2, .times = 1, .blocks = TRUE};
    tree_fixture_write(fixture, fixture->container, "a", "content");
    out->changed = (Change){fixture, tree_fixture_lookup(fixture, fixture->container, "a")};
    set_mode(fixture, out->changed.node, OLD_MODE);
    memory_fault_add(fixture->memory, &metadata);
    memory_fault_add(fixture->memory, &first);
    memory_fault_add(fixture->memory, &second);
    out->change = g_thread_new("change", change, &out->changed);
    g_assert_true(memory_fault_wait_blocked(fixture->memory, 1, PATIENCE_US));
    out->handle = tree_fixture_open_file(fixture, fixture->container, "a", O_RDWR, &out->node);
    tree_fixture_put(out->handle, "written");
    out->flush = g_thread_new("flush", run_flush, out->handle);
    g_assert_true(memory_fault_wait_blocked(fixture->memory, 2, PATIENCE_US));
    memory_fault_release(fixture->memory);
    /* It is stored, and told to whoever has the file open, while the content waits. */
    g_thread_join(out->change);
    memory_fault_clear(fixture->memory);
    g_thread_join(out->flush);
    tree_fixture_close_file(fixture, out->node, out->handle);
    tree_fixture_forget(fixture, out->changed.node);
    tree_fixture_grow_old(fixture);
}

static void
test_publication_under_way_ends_with_the_new_mode(TreeFixture *fixture, gconstpointer keys)
{
    Overtaken overtaken;
    begin_overtaken(fixture, &overtaken, run_change);
    tree_fixture_assert_stored(fixture, "a", "written");
    g_assert_cmpuint(mode_of(fixture), ==, NEW_MODE);
}

static gpointer
run_color(gpointer data)
{
    Change *change = data;
    g_autoptr(GError) error = NULL;
    gboolean ok =
        tree_set_xattr(change->fixture->tree, NULL, change->node, "user.color", "red", 3, 0, &error);
    g_assert_no_error(error);
    g_assert_true(ok);
    return NULL;
}

static void
test_publication_under_way_ends_with_the_new_xattr(TreeFixture *fixture, gconstpointer keys)
{
    Overtaken overtaken;
    g_autoptr(GBytes) value = NULL;
    g_autoptr(GError) error = NULL;
    begin_overtaken(fixture, &overtaken, run_color);
    Node *node = tree_fixture_lookup(fixture, fixture->container, "a");
    tree_get_xattr(fixture->tree, NULL, node, "user.color", &value, &error);
    g_assert_no_error(error);
    g_assert_cmpmem(g_bytes_get_data(value, NULL), g_bytes_get_size(value), "red", 3);
    tree_fixture_forget(fixture, node);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define ADD(name)                                                                                            \
    tree_fixture_add("/tree/metadata_race/content/" #name, test_##name, TREE_FIXTURE_FRESH);                 \
    tree_fixture_add("/tree/metadata_race/counter/" #name, test_##name,                                      \
                     TREE_FIXTURE_FRESH "etags = counter\n")
    ADD(reader_knows_the_new_mode);
    ADD(writer_keeps_the_new_mode);
    ADD(opener_changes_it_again);
    tree_fixture_add("/tree/metadata_race/publication/mode",
                     test_publication_under_way_ends_with_the_new_mode, TREE_FIXTURE_FRESH);
    tree_fixture_add("/tree/metadata_race/publication/xattr",
                     test_publication_under_way_ends_with_the_new_xattr, TREE_FIXTURE_FRESH);
    return g_test_run();
}
