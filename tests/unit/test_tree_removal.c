/* What is unlinked while open is noted on disk, and the next tree deletes it: that version, and no other. */
#include "src/base/error.h"
#include "src/object/journal_record.h"
#include "tests/unit/tree_fixture.h"

#include <fcntl.h>
#include <glib/gstdio.h>

#define PATIENCE_US (20 * G_USEC_PER_SEC)

static char *
folder_of(TreeFixture *fixture)
{
    return g_build_filename(fixture->directory, "state", "removals", NULL);
}

/* Paths of what ends so in the folder, or in one below it. */
static GPtrArray *
list_files(TreeFixture *fixture, const char *below, const char *suffix)
{
    g_autofree char *folder = folder_of(fixture);
    g_autofree char *path = g_build_filename(folder, below, NULL);
    GPtrArray *files = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    const char *name;
    while (dir != NULL && (name = g_dir_read_name(dir)) != NULL)
        if (g_str_has_suffix(name, suffix))
            g_ptr_array_add(files, g_build_filename(path, name, NULL));
    return files;
}

static guint
count_records(TreeFixture *fixture)
{
    g_autoptr(GPtrArray) files = list_files(fixture, "", ".record");
    return files->len;
}

static char *
find_record(TreeFixture *fixture)
{
    g_autoptr(GPtrArray) files = list_files(fixture, "", ".record");
    g_assert_cmpuint(files->len, ==, 1);
    return g_strdup(files->pdata[0]);
}

static void
no_deletes(TreeFixture *fixture)
{
    const MemoryFault fault = {.operation = MEMORY_DELETE_OBJECT, .fails = TRUE, .code = ERROR_PROTOCOL};
    memory_fault_add(fixture->memory, &fault);
}

static FileHandle *
open_unlinked(TreeFixture *fixture, Node **out_node)
{
    GError *error = NULL;
    tree_fixture_write(fixture, fixture->container, "a", "old");
    FileHandle *handle = tree_fixture_open_file(fixture, fixture->container, "a", O_RDONLY, out_node);
    tree_unlink(fixture->tree, NULL, fixture->container, "a", &error);
    g_assert_no_error(error);
    return handle;
}

/* As a crash would leave it: nothing was deleted until the end. */
static void
leave(TreeFixture *fixture)
{
    Node *node = NULL;
    FileHandle *handle = open_unlinked(fixture, &node);
    no_deletes(fixture);
    tree_fixture_close_file(fixture, node, handle);
    tree_fixture_remount(fixture);
    g_assert_true(tree_fixture_has(fixture, "a"));
    g_assert_cmpuint(count_records(fixture), ==, 1);
}

static void
wait_settled(TreeFixture *fixture)
{
    memory_fault_clear(fixture->memory);
    for (gint64 end_us = g_get_monotonic_time() + PATIENCE_US; count_records(fixture) > 0;) {
        g_assert_cmpint(g_get_monotonic_time(), <, end_us);
        g_usleep(1000);
    }
}

static void
test_the_record(TreeFixture *fixture, gconstpointer keys)
{
    Node *node = NULL;
    g_auto(ObjectInfo) info = {0};
    g_autoptr(GError) error = NULL;
    g_autofree char *data = NULL;
    gsize length_bytes = 0;
    FileHandle *handle = open_unlinked(fixture, &node);
    g_autofree char *path = find_record(fixture);
    g_assert_true(g_file_get_contents(path, &data, &length_bytes, NULL));
    g_autoptr(JournalRecord) record = journal_record_decode(data, length_bytes, &error);
    g_assert_no_error(error);
    g_assert_true(storage_stat_object(fixture->storage, NULL, "c", "a", &info, NULL));
    g_assert_true(record->deleting);
    g_assert_cmpstr(record->storage, ==, "s");
    g_assert_cmpstr(record->place, ==, storage_get_place(fixture->storage));
    g_assert_cmpstr(record->container, ==, "c");
    g_assert_cmpstr(record->key, ==, "a");
    g_assert_cmpstr(record->base.etag, ==, info.etag);
    g_assert_cmpuint(record->extents->len + record->earlier->len, ==, 0);
    tree_fixture_close_file(fixture, node, handle);
    g_assert_cmpuint(count_records(fixture), ==, 0);
    g_assert_false(tree_fixture_has(fixture, "a"));
}

static void
test_nothing_stored_needs_none(TreeFixture *fixture, gconstpointer keys)
{
    Node *node = NULL;
    FileHandle *handle = tree_fixture_open_file(fixture, fixture->container, "a", O_CREAT | O_RDWR, &node);
    tree_fixture_put(handle, "new");
    g_assert_true(tree_unlink(fixture->tree, NULL, fixture->container, "a", NULL));
    g_assert_cmpuint(count_records(fixture), ==, 0);
    tree_fixture_assert_reads(handle, "new");
    tree_fixture_close_file(fixture, node, handle);
}

static void
test_a_record_goes_before_its_name_is_taken(TreeFixture *fixture, gconstpointer keys)
{
    Node *node = NULL, *again = NULL;
    FileHandle *handle = open_unlinked(fixture, &node);
    FileHandle *taker = tree_fixture_open_file(fixture, fixture->container, "a", O_CREAT | O_RDWR, &again);
    g_assert_cmpuint(count_records(fixture), ==, 0);
    tree_fixture_put(taker, "old");
    tree_fixture_close_file(fixture, again, taker);
    tree_fixture_assert_reads(handle, "old");
    tree_fixture_close_file(fixture, node, handle);
    tree_fixture_remount(fixture);
    tree_fixture_assert_content(fixture, fixture->container, "a", "old");
}

static void
test_hidden_until_it_is_deleted(TreeFixture *fixture, gconstpointer keys)
{
    tree_fixture_store(fixture, "b", "other", NULL);
    leave(fixture);
    for (guint i = 0; i < 2; i++) {
        tree_fixture_assert_list(fixture, fixture->container, "b");
        tree_fixture_assert_absent(fixture, fixture->container, "a");
        tree_fixture_grow_old(fixture);
        tree_fixture_assert_absent(fixture, fixture->container, "a");
        tree_fixture_grow_old(fixture);
    }
    wait_settled(fixture);
    g_assert_false(tree_fixture_has(fixture, "a"));
    tree_fixture_assert_absent(fixture, fixture->container, "a");
}

static void
test_another_version_is_seen_and_stays(TreeFixture *fixture, gconstpointer keys)
{
    leave(fixture);
    tree_fixture_store(fixture, "a", "theirs", NULL);
    tree_fixture_grow_old(fixture);
    tree_fixture_assert_list(fixture, fixture->container, "a");
    tree_fixture_assert_content(fixture, fixture->container, "a", "theirs");
    wait_settled(fixture);
    tree_fixture_assert_stored(fixture, "a", "theirs");
}

static void
test_made_again_stays(TreeFixture *fixture, gconstpointer keys)
{
    leave(fixture);
    memory_fault_clear(fixture->memory);
    tree_fixture_write(fixture, fixture->container, "a", "old");
    g_assert_cmpuint(count_records(fixture), ==, 0);
    tree_fixture_remount(fixture);
    tree_fixture_assert_stored(fixture, "a", "old");
    tree_fixture_assert_list(fixture, fixture->container, "a");
}

/* Neither can its name be taken, nor its directory be removed, before it is gone. */
static void
test_not_taken_before_it_is_gone(TreeFixture *fixture, gconstpointer keys)
{
    GError *error = NULL;
    TreeEntry entry = {0};
    FileHandle *handle = NULL;
    leave(fixture);
    gboolean ok = tree_create(fixture->tree, NULL, fixture->container, "a", O_WRONLY | O_CREAT, 0600, 1, 1,
                              &entry, &handle, &error);
    tree_fixture_assert_code(ok, error, ERROR_PROTOCOL);
    error = NULL;
    Node *storage = tree_fixture_lookup(fixture, tree_get_root(fixture->tree), "s");
    ok = tree_remove_directory(fixture->tree, NULL, storage, "c", &error);
    tree_fixture_assert_code(ok, error, ERROR_PROTOCOL);
    memory_fault_clear(fixture->memory);
    g_assert_true(tree_remove_directory(fixture->tree, NULL, storage, "c", NULL));
    tree_fixture_forget(fixture, storage);
    wait_settled(fixture);
}

/* One that is cut short, that is none at all, and one with another byte. */
static void
test_damaged_ones_are_set_aside(TreeFixture *fixture, gconstpointer keys)
{
    for (guint i = 0; i < 3; i++) {
        Node *node = NULL;
        g_autofree char *data = NULL;
        gsize length_bytes = 0;
        memory_fault_clear(fixture->memory);
        FileHandle *handle = open_unlinked(fixture, &node);
        no_deletes(fixture);
        tree_fixture_close_file(fixture, node, handle);
        g_autofree char *path = find_record(fixture);
        g_assert_true(g_file_get_contents(path, &data, &length_bytes, NULL));
        if (i == 1)
            data[0] = '?';
        if (i == 2)
            data[7] = 9;
        g_assert_true(g_file_set_contents(path, data, (gssize)(length_bytes - (i == 0)), NULL));
        tree_fixture_remount(fixture);
        g_autoptr(GPtrArray) aside = list_files(fixture, "unreadable", "");
        g_assert_cmpuint(aside->len, ==, i + 1);
        g_assert_cmpuint(count_records(fixture), ==, 0);
        tree_fixture_assert_list(fixture, fixture->container, "a");
    }
}

/* What cannot be noted is removed all the same. */
static void
test_a_disk_that_takes_nothing(TreeFixture *fixture, gconstpointer keys)
{
    Node *node = NULL;
    g_autofree char *folder = folder_of(fixture);
    g_autofree char *lock = g_build_filename(folder, "lock", NULL);
    g_assert_cmpint(g_unlink(lock), ==, 0);
    g_assert_cmpint(g_rmdir(folder), ==, 0);
    FileHandle *handle = open_unlinked(fixture, &node);
    tree_fixture_assert_absent(fixture, fixture->container, "a");
    tree_fixture_assert_reads(handle, "old");
    tree_fixture_close_file(fixture, node, handle);
    g_assert_false(tree_fixture_has(fixture, "a"));
}

int
main(int argc, char **argv)
{
    static const char *const services[] = {
        TREE_FIXTURE_FRESH "etags = content\n",
        TREE_FIXTURE_FRESH "etags = content\nconditional_delete = no\n",
    };
    g_test_init(&argc, &argv, NULL);
    for (guint i = 0; i < G_N_ELEMENTS(services); i++) {
        const char *kind = i == 0 ? "conditional" : "plain";
#define ADD(name)                                                                                            \
    do {                                                                                                     \
        g_autofree char *path = g_strdup_printf("/tree/removal/%s/" #name, kind);                            \
        tree_fixture_add(path, test_##name, services[i]);                                                    \
    } while (FALSE)
        ADD(the_record);
        ADD(nothing_stored_needs_none);
        ADD(a_record_goes_before_its_name_is_taken);
        ADD(hidden_until_it_is_deleted);
        ADD(another_version_is_seen_and_stays);
        ADD(made_again_stays);
        ADD(not_taken_before_it_is_gone);
        ADD(damaged_ones_are_set_aside);
        ADD(a_disk_that_takes_nothing);
    }
    return g_test_run();
}
