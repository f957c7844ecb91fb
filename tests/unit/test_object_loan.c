/* Copies that are only references: what becomes of them when their source changes here. */
#include "src/base/error.h"
#include "src/object/loan.h"
#include "tests/unit/object_fixture.h"

#include <fcntl.h>
#include <string.h>

#define KIB 1024u
#define SIZE (300 * KIB)
#define COPIED (200 * KIB)
#define BIG_SIZE (12 << 20) /* an edit of it copies the rest on the server */

/* "to" has COPIED bytes of "from", which holds pattern 1. */
typedef struct {
    guint8 *data;
    FileHandle *from, *to;
} Pair;

static void
copy(FileHandle *from, FileHandle *to)
{
    GError *error = NULL;
    guint64 copied = 0;
    g_assert_true(from->operations->copy_range(from, NULL, 0, to, 0, COPIED, &copied, &error));
    g_assert_no_error(error);
    g_assert_cmpuint(copied, ==, COPIED);
}

static void
pair_init(Pair *pair, ObjectFixture *fixture)
{
    pair->data = object_fixture_pattern(1, SIZE);
    object_fixture_put(fixture, "from", pair->data, SIZE);
    pair->from = object_fixture_open(fixture, "from", FALSE);
    pair->to = object_fixture_open(fixture, "to", TRUE);
    copy(pair->from, pair->to);
}

static void
assert_reads(FileHandle *handle, const void *data, gsize length_bytes)
{
    g_autoptr(GBytes) bytes = object_fixture_read(handle, 0, length_bytes);
    g_assert_cmpmem(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes), data, length_bytes);
}

/* The copy has the bytes of its moment, before and after it is stored. */
static void
pair_finish(Pair *pair, ObjectFixture *fixture)
{
    assert_reads(pair->to, pair->data, COPIED);
    object_fixture_flush_and_close(pair->to);
    object_fixture_close(pair->from);
    object_fixture_assert_stored(fixture, "to", pair->data, COPIED);
    g_free(pair->data);
}

static LoanCall *
call_in(ObjectFixture *fixture, const char *key, gboolean is_prefix)
{
    GError *error = NULL;
    LoanCall *loans = loan_call_in(fixture->store, NULL, fixture->base.storage, "c", key, is_prefix, &error);
    g_assert_no_error(error);
    return loans;
}

static void
test_source_is_written(ObjectFixture *fixture, gconstpointer keys)
{
    Pair pair;
    pair_init(&pair, fixture);
    object_fixture_write(pair.from, 0, "new", 3);
    GError *error = NULL;
    object_fixture_flush(pair.from, &error);
    g_assert_no_error(error);
    pair_finish(&pair, fixture);
}

static void
test_source_is_written_by_another_file(ObjectFixture *fixture, gconstpointer keys)
{
    Pair pair;
    pair_init(&pair, fixture);
    FileHandle *other = object_fixture_open(fixture, "from", FALSE);
    object_fixture_write(other, 0, "new", 3);
    object_fixture_flush_and_close(other);
    pair_finish(&pair, fixture);
}

static void
test_copy_of_a_copy(ObjectFixture *fixture, gconstpointer keys)
{
    Pair pair;
    GError *error = NULL;
    pair_init(&pair, fixture);
    FileHandle *third = object_fixture_open(fixture, "third", TRUE);
    copy(pair.to, third);
    object_fixture_write(pair.from, 0, "new", 3);
    object_fixture_flush(pair.from, &error);
    g_assert_no_error(error);
    assert_reads(third, pair.data, COPIED);
    object_fixture_flush_and_close(third);
    object_fixture_assert_stored(fixture, "third", pair.data, COPIED);
    pair_finish(&pair, fixture);
}

static void
delete_objects(ObjectFixture *fixture, const char *key)
{
    GError *error = NULL;
    storage_delete_object(fixture->base.storage, NULL, "c", key, NULL, &error);
    g_assert_no_error(error);
}

static void
test_called_in_by_prefix(ObjectFixture *fixture, gconstpointer keys)
{
    Pair pair;
    pair_init(&pair, fixture);
    g_autoptr(LoanCall) other = call_in(fixture, "fro", FALSE);
    g_assert_nonnull(other);
    g_assert_cmpuint(memory_fault_get_count(fixture->base.store, MEMORY_READ_OBJECT), ==, 0);
    g_autoptr(LoanCall) loans = call_in(fixture, "fro", TRUE);
    g_assert_nonnull(loans);
    delete_objects(fixture, "from");
    pair_finish(&pair, fixture);
}

static void
test_copy_while_called_in(ObjectFixture *fixture, gconstpointer keys)
{
    Pair pair;
    pair_init(&pair, fixture);
    g_autoptr(LoanCall) loans = call_in(fixture, "from", FALSE);
    g_assert_nonnull(loans);
    copy(pair.from, pair.to);
    delete_objects(fixture, "from");
    pair_finish(&pair, fixture);
}

static void
test_dropped_source(ObjectFixture *fixture, gconstpointer keys)
{
    Pair pair = {object_fixture_pattern(1, SIZE), NULL, NULL};
    object_fixture_put(fixture, "from", pair.data, SIZE);
    pair.from = object_fixture_open(fixture, "from", FALSE);
    pair.to = object_fixture_open(fixture, "to", TRUE);
    object_file_drop(object_file_of_handle(pair.from));
    copy(pair.from, pair.to);
    delete_objects(fixture, "from");
    pair_finish(&pair, fixture);
}

/* What another client replaced cannot be referred to; what was written here is still here. */
static void
test_replaced_source_with_its_bytes(ObjectFixture *fixture, gconstpointer keys)
{
    Pair pair = {object_fixture_pattern(1, SIZE), NULL, NULL};
    GError *error = NULL;
    pair.from = object_fixture_open(fixture, "from", TRUE);
    object_fixture_write(pair.from, 0, pair.data, SIZE);
    object_fixture_flush(pair.from, &error);
    g_assert_no_error(error);
    object_fixture_put(fixture, "from", "theirs", 6);
    pair.to = object_fixture_open(fixture, "to", TRUE);
    copy(pair.from, pair.to);
    pair_finish(&pair, fixture);
}

static void
test_failed_fetch_keeps_the_source(ObjectFixture *fixture, gconstpointer keys)
{
    Pair pair;
    GError *error = NULL;
    pair_init(&pair, fixture);
    object_fixture_write(pair.from, 0, "new", 3);
    storage_fixture_fail(&fixture->base, MEMORY_READ_OBJECT, 0, ERROR_DENIED, FALSE);
    g_assert_false(object_fixture_flush(pair.from, &error));
    g_assert_error(error, STORAGEFS_ERROR, ERROR_DENIED);
    g_clear_error(&error);
    memory_fault_clear(fixture->base.store);
    object_fixture_assert_stored(fixture, "from", pair.data, SIZE);
    object_fixture_flush(pair.from, &error);
    g_assert_no_error(error);
    pair_finish(&pair, fixture);
}

/* Nothing of it can be saved, so nothing waits for it. */
static void
test_source_was_replaced_by_others(ObjectFixture *fixture, gconstpointer keys)
{
    Pair pair;
    GError *error = NULL;
    pair_init(&pair, fixture);
    object_fixture_put(fixture, "from", "theirs", 6);
    g_autoptr(LoanCall) loans = call_in(fixture, "from", FALSE);
    g_assert_nonnull(loans);
    g_assert_false(object_fixture_flush(pair.to, &error));
    g_assert_error(error, STORAGEFS_ERROR, ERROR_CHANGED);
    g_clear_error(&error);
    object_fixture_close(pair.to);
    object_fixture_close(pair.from);
    g_free(pair.data);
}

/* Stored all the same, and nobody knows: what was clean is in the new version only. */
static void
fail_in_doubt(ObjectFixture *fixture, FileHandle *handle)
{
    g_autoptr(GError) error = NULL;
    storage_fixture_fail(&fixture->base, MEMORY_COMMIT_UPLOAD, 1, ERROR_UNAVAILABLE, TRUE);
    storage_fixture_fail(&fixture->base, MEMORY_STAT_OBJECT, 1, ERROR_DENIED, FALSE);
    g_assert_false(object_fixture_flush(handle, &error));
    memory_fault_clear(fixture->base.store);
}

static void
test_source_in_doubt(ObjectFixture *fixture, gconstpointer keys)
{
    Pair pair = {object_fixture_pattern(1, BIG_SIZE), NULL, NULL};
    object_fixture_put(fixture, "from", pair.data, BIG_SIZE);
    pair.from = object_fixture_open(fixture, "from", FALSE);
    pair.to = object_fixture_open(fixture, "to", TRUE);
    object_fixture_write(pair.from, BIG_SIZE / 2, "new", 3);
    fail_in_doubt(fixture, pair.from);
    copy(pair.from, pair.to);
    pair_finish(&pair, fixture);
}

/* Nobody tells what became of it: the bytes that are here are copied, as they are. */
static void
test_source_in_doubt_of_a_storage_that_is_silent(ObjectFixture *fixture, gconstpointer keys)
{
    Pair pair = {object_fixture_pattern(1, SIZE), NULL, NULL};
    pair.from = object_fixture_open(fixture, "from", TRUE);
    pair.to = object_fixture_open(fixture, "to", TRUE);
    object_fixture_write(pair.from, 0, pair.data, SIZE);
    /* Aborts are denied too: a part that went out while writing may stay. */
    fixture->keeps_uploads = TRUE;
    storage_fixture_fail(&fixture->base, MEMORY_ANY, 0, ERROR_DENIED, FALSE);
    g_autoptr(GError) error = NULL;
    g_assert_false(object_fixture_flush(pair.from, &error));
    copy(pair.from, pair.to);
    memory_fault_clear(fixture->base.store);
    pair_finish(&pair, fixture);
}

static gpointer
flush_in_thread(gpointer data)
{
    GError *error = NULL;
    object_fixture_flush(data, &error);
    g_assert_no_error(error);
    return NULL;
}

/* Both wait for the other's reference, and neither while it publishes. */
static void
test_copied_from_each_other(ObjectFixture *fixture, gconstpointer keys)
{
    for (guint round = 0; round < 20; round++) {
        FileHandle *files[2];
        guint8 *data[2];
        GThread *threads[2];
        for (guint i = 0; i < 2; i++) {
            data[i] = object_fixture_pattern(2 * round + i, SIZE);
            object_fixture_put(fixture, i == 0 ? "a" : "b", data[i], SIZE);
            files[i] = object_fixture_open(fixture, i == 0 ? "a" : "b", FALSE);
        }
        guint64 copied;
        g_assert_true(
            files[0]->operations->copy_range(files[0], NULL, 0, files[1], 0, COPIED, &copied, NULL));
        g_assert_true(files[1]->operations->copy_range(files[1], NULL, COPIED, files[0], COPIED,
                                                       SIZE - COPIED, &copied, NULL));
        for (guint i = 0; i < 2; i++)
            threads[i] = g_thread_new("flush", flush_in_thread, files[i]);
        for (guint i = 0; i < 2; i++)
            g_thread_join(threads[i]);
        memcpy(data[1], data[0], COPIED);
        memcpy(data[0] + COPIED, data[1] + COPIED, SIZE - COPIED);
        for (guint i = 0; i < 2; i++) {
            object_fixture_flush_and_close(files[i]);
            object_fixture_assert_stored(fixture, i == 0 ? "a" : "b", data[i], SIZE);
            g_free(data[i]);
        }
    }
}

int
main(int argc, char *argv[])
{
    g_test_init(&argc, &argv, NULL);
    object_fixture_add("/loan/written", test_source_is_written, NULL);
    object_fixture_add("/loan/written-by-another-file", test_source_is_written_by_another_file, NULL);
    object_fixture_add("/loan/copy-of-a-copy", test_copy_of_a_copy, NULL);
    object_fixture_add("/loan/prefix", test_called_in_by_prefix, NULL);
    object_fixture_add("/loan/copy-while-called-in", test_copy_while_called_in, NULL);
    object_fixture_add("/loan/dropped", test_dropped_source, NULL);
    object_fixture_add("/loan/replaced-with-bytes", test_replaced_source_with_its_bytes, NULL);
    object_fixture_add("/loan/failed-fetch", test_failed_fetch_keeps_the_source, NULL);
    object_fixture_add("/loan/replaced-by-others", test_source_was_replaced_by_others, NULL);
    object_fixture_add("/loan/in-doubt", test_source_in_doubt, NULL);
    object_fixture_add("/loan/in-doubt-of-a-silent-storage", test_source_in_doubt_of_a_storage_that_is_silent,
                       NULL);
    object_fixture_add("/loan/each-other", test_copied_from_each_other, NULL);
    return g_test_run();
}
