/* What happens while a publication or the last close of the same object is under way. */
#include "src/base/error.h"
#include "src/object/object_store_private.h"
#include "tests/unit/object_fixture.h"

#include <fcntl.h>
#include <string.h>

#define PATIENCE_US (20 * G_USEC_PER_SEC)

/* One operation on another thread, and how it ended. */
typedef struct {
    FileHandle *handle;
    gboolean (*run)(FileHandle *handle, Call *call, GError **error);
    Call *call;
    gboolean ok;
    GError *error;
    GThread *thread;
} Other;

static gpointer
run_other(gpointer data)
{
    Other *other = data;
    other->ok = other->run(other->handle, other->call, &other->error);
    return NULL;
}

static void
other_start(Other *other)
{
    other->thread = g_thread_new("other", run_other, other);
}

static void
other_assert_ok(Other *other)
{
    g_thread_join(other->thread);
    g_assert_no_error(other->error);
    g_assert_true(other->ok);
}

static gboolean
flush(FileHandle *handle, Call *call, GError **error)
{
    return handle->operations->flush(handle, call, TRUE, error);
}

/* Flushes on another thread until `operation` waits in the service. */
static void
start_blocked_flush(ObjectFixture *fixture, Other *flushing, MemoryOperation operation)
{
    const MemoryFault block = {.operation = operation, .times = 1, .blocks = TRUE};
    memory_fault_add(fixture->base.store, &block);
    flushing->run = flush;
    other_start(flushing);
    g_assert_true(memory_fault_wait_blocked(fixture->base.store, 1, PATIENCE_US));
}

static void
open_again_after_failed_close(ObjectFixture *fixture, ErrorCode code)
{
    GError *error = NULL;
    FileHandle *handle = object_fixture_open(fixture, "a", TRUE);
    g_autoptr(ObjectFile) file = object_file_ref(object_file_of_handle(handle));
    object_fixture_write(handle, 0, "first", 5);
    storage_fixture_fail(&fixture->base, MEMORY_ANY, 0, code, FALSE);
    g_assert_false(object_fixture_flush(handle, &error));
    g_clear_error(&error);
    object_fixture_close(handle);
    /* Nobody has let go of the file yet when the name is opened again. */
    handle = object_file_open(file, O_RDWR);
    object_fixture_write(handle, 0, "again", 5);
    memory_fault_clear(fixture->base.store);
    object_fixture_flush_and_close(handle);
    object_fixture_assert_stored(fixture, "a", "again", 5);
}

static void
test_file_opened_again_after_a_failed_close_is_stored(ObjectFixture *fixture, gconstpointer keys)
{
    open_again_after_failed_close(fixture, ERROR_DENIED);
}

static void
test_lost_file_opened_again_keeps_failing(ObjectFixture *fixture, gconstpointer keys)
{
    GError *error = NULL;
    FileHandle *handle = object_fixture_open(fixture, "a", TRUE);
    g_autoptr(ObjectFile) file = object_file_ref(object_file_of_handle(handle));
    object_fixture_write(handle, 0, "mine", 4);
    object_fixture_put(fixture, "a", "theirs", 6);
    g_assert_false(object_fixture_flush(handle, &error));
    g_clear_error(&error);
    object_fixture_close(handle);
    handle = object_file_open(file, O_RDWR);
    object_fixture_write(handle, 0, "more", 4);
    g_assert_false(object_fixture_flush(handle, &error));
    g_assert_error(error, STORAGEFS_ERROR, ERROR_CHANGED);
    g_clear_error(&error);
    object_fixture_close(handle);
    object_fixture_assert_stored(fixture, "a", "theirs", 6);
}

static gboolean
allocate(FileHandle *handle, Call *call, GError **error)
{
    return handle->operations->allocate(handle, call, 0, 0, 200, error);
}

static gboolean
write_far(FileHandle *handle, Call *call, GError **error)
{
    return handle->operations->write(handle, call, 500, "far", 3, error);
}

/* Both wait for the publication and then go on in any order. */
static void
test_allocation_never_cuts(ObjectFixture *fixture, gconstpointer keys)
{
    for (guint round = 0; round < 50; round++) {
        FileHandle *handle = object_fixture_open(fixture, "a", round == 0);
        GError *error = NULL;
        g_assert_true(handle->operations->truncate(handle, NULL, 0, &error));
        object_fixture_write(handle, 0, "data", 4);
        Other flushing = {.handle = handle};
        Other allocating = {.handle = handle, .run = allocate},
              writing = {.handle = handle, .run = write_far};
        start_blocked_flush(fixture, &flushing, MEMORY_WRITE_OBJECT);
        other_start(&allocating);
        other_start(&writing);
        memory_fault_clear(fixture->base.store);
        other_assert_ok(&flushing);
        other_assert_ok(&allocating);
        other_assert_ok(&writing);
        FileAttributes attributes;
        object_file_get_attributes(object_file_of_handle(handle), &attributes);
        g_assert_cmpuint(attributes.size_bytes, ==, 503);
        object_fixture_flush_and_close(handle);
    }
}

static void
test_metadata_set_during_publication_is_stored(ObjectFixture *fixture, gconstpointer keys)
{
    g_auto(ObjectInfo) info = {0};
    FileHandle *handle = object_fixture_open(fixture, "a", TRUE);
    Other flushing = {.handle = handle};
    g_autoptr(GHashTable) others = metadata_new();
    g_hash_table_insert(others, g_strdup("colour"), g_strdup("red"));
    object_fixture_write(handle, 0, "data", 4);
    start_blocked_flush(fixture, &flushing, MEMORY_WRITE_OBJECT);
    object_file_set_metadata(object_file_of_handle(handle), "text/x-test", others);
    memory_fault_clear(fixture->base.store);
    other_assert_ok(&flushing);
    object_fixture_flush_and_close(handle);
    g_assert_true(storage_stat_object(fixture->base.storage, NULL, "c", "a", &info, NULL));
    g_assert_cmpstr(g_hash_table_lookup(info.metadata, "colour"), ==, "red");
    g_assert_cmpstr(info.content_type, ==, "text/x-test");
}

static gboolean
read_all(FileHandle *handle, Call *call, GError **error)
{
    GBytes *bytes = NULL;
    if (!object_fixture_try_read(handle, 0, 4, &bytes, error))
        return FALSE;
    gboolean same = g_bytes_get_size(bytes) == 4 && memcmp(g_bytes_get_data(bytes, NULL), "data", 4) == 0;
    g_bytes_unref(bytes);
    return same;
}

/* The service has the new metadata, and so another ETag, before this side knows. */
static void
test_reader_outlives_a_change_of_metadata(ObjectFixture *fixture, gconstpointer keys)
{
    object_fixture_put(fixture, "a", "data", 4);
    FileHandle *handle = object_fixture_open(fixture, "a", FALSE);
    const FileAttributes wanted = {.mode = 0600};
    Other changing = {.handle = handle}, reading = {.handle = handle, .run = read_all};
    object_file_set_attributes(object_file_of_handle(handle), FILE_SET_MODE, &wanted);
    storage_fixture_fail(&fixture->base, MEMORY_SET_METADATA, 1, ERROR_UNAVAILABLE, TRUE);
    start_blocked_flush(fixture, &changing, MEMORY_STAT_OBJECT);
    memory_fault_reset_counts(fixture->base.store);
    other_start(&reading);
    while (memory_fault_get_count(fixture->base.store, MEMORY_READ_OBJECT) == 0)
        g_thread_yield();
    memory_fault_clear(fixture->base.store);
    other_assert_ok(&changing);
    other_assert_ok(&reading);
    object_fixture_close(handle);
}

/* A request's time is for its own requests, not for waiting until a large object is stored. */
static void
test_writer_waits_for_a_publication_past_its_deadline(ObjectFixture *fixture, gconstpointer keys)
{
    GError *error = NULL;
    g_autoptr(Call) ended = call_new(-1);
    const MemoryFault slow = {.operation = MEMORY_WRITE_OBJECT, .times = 1, .delay_us = 200 * 1000};
    FileHandle *handle = object_fixture_open(fixture, "a", TRUE);
    Other flushing = {.handle = handle, .run = flush};
    object_fixture_write(handle, 0, "data", 4);
    memory_fault_add(fixture->base.store, &slow);
    other_start(&flushing);
    while (memory_fault_get_count(fixture->base.store, MEMORY_WRITE_OBJECT) == 0)
        g_thread_yield();
    handle->operations->write(handle, ended, 0, "late", 4, &error);
    g_assert_no_error(error);
    other_assert_ok(&flushing);
    object_fixture_flush_and_close(handle);
    object_fixture_assert_stored(fixture, "a", "late", 4);
}

/* A publication that failed with a doubt was carried out after all. */
static void
fail_in_doubt(ObjectFixture *fixture, FileHandle *handle, MemoryOperation operation)
{
    GError *error = NULL;
    storage_fixture_fail(&fixture->base, operation, 1, ERROR_UNAVAILABLE, TRUE);
    storage_fixture_fail(&fixture->base, MEMORY_STAT_OBJECT, 1, ERROR_DENIED, FALSE);
    g_assert_false(object_fixture_flush(handle, &error));
    g_clear_error(&error);
    memory_fault_clear(fixture->base.store);
}

static void
test_own_doubtful_creation_is_no_conflict(ObjectFixture *fixture, gconstpointer keys)
{
    FileHandle *handle = object_fixture_open(fixture, "a", TRUE);
    object_fixture_write(handle, 0, "data", 4);
    fail_in_doubt(fixture, handle, MEMORY_WRITE_OBJECT);
    object_fixture_write(handle, 4, " more", 5);
    object_fixture_flush_and_close(handle);
    object_fixture_assert_stored(fixture, "a", "data more", 9);
}

static void
test_own_doubtful_replacement_is_no_conflict(ObjectFixture *fixture, gconstpointer keys)
{
    object_fixture_put(fixture, "a", "before it", 9);
    FileHandle *handle = object_fixture_open(fixture, "a", FALSE);
    object_fixture_write(handle, 0, "B", 1);
    fail_in_doubt(fixture, handle, MEMORY_WRITE_OBJECT);
    object_fixture_flush_and_close(handle);
    object_fixture_assert_stored(fixture, "a", "Before it", 9);
}

/* What was not changed is now only in the version that was stored in doubt. */
static void
test_own_doubtful_edit_goes_on(ObjectFixture *fixture, gconstpointer keys)
{
    enum { SIZE = 12 << 20 };
    g_autofree guint8 *data = object_fixture_pattern(1, SIZE);
    object_fixture_put(fixture, "a", data, SIZE);
    FileHandle *handle = object_fixture_open(fixture, "a", FALSE);
    object_fixture_write(handle, SIZE / 2, "xx", 2);
    memcpy(data + SIZE / 2, "xx", 2);
    fail_in_doubt(fixture, handle, MEMORY_COMMIT_UPLOAD);
    object_fixture_write(handle, SIZE / 4, "yy", 2);
    memcpy(data + SIZE / 4, "yy", 2);
    object_fixture_flush_and_close(handle);
    object_fixture_assert_stored(fixture, "a", data, SIZE);
}

static void
test_foreign_object_after_doubt_is_a_conflict(ObjectFixture *fixture, gconstpointer keys)
{
    GError *error = NULL;
    FileHandle *handle = object_fixture_open(fixture, "a", TRUE);
    object_fixture_write(handle, 0, "data", 4);
    storage_fixture_fail(&fixture->base, MEMORY_WRITE_OBJECT, 0, ERROR_DENIED, FALSE);
    g_assert_false(object_fixture_flush(handle, &error));
    g_clear_error(&error);
    memory_fault_clear(fixture->base.store);
    object_fixture_put(fixture, "a", "atad", 4);
    g_assert_false(object_fixture_flush(handle, &error));
    g_assert_error(error, STORAGEFS_ERROR, ERROR_CHANGED);
    g_clear_error(&error);
    object_fixture_close(handle);
    object_fixture_assert_stored(fixture, "a", "atad", 4);
}

/* The source of a copy is written and stored before the copy is. */
static void
test_copied_range_outlives_its_source(ObjectFixture *fixture, gconstpointer keys)
{
    GError *error = NULL;
    guint64 copied = 0;
    g_autofree guint8 *data = object_fixture_pattern(1, 300 << 10), *other = object_fixture_pattern(2, 100);
    object_fixture_put(fixture, "a", data, 300 << 10);
    FileHandle *from = object_fixture_open(fixture, "a", FALSE);
    FileHandle *to = object_fixture_open(fixture, "b", TRUE);
    from->operations->copy_range(from, NULL, 0, to, 0, 300 << 10, &copied, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(copied, ==, 300 << 10);
    object_fixture_write(from, 0, other, 100);
    object_fixture_flush_and_close(from);
    object_fixture_flush_and_close(to);
    object_fixture_assert_stored(fixture, "b", data, 300 << 10);
}

typedef struct {
    MemoryBudget *budget;
    guint64 bytes;
    gint given; /* atomic */
} Holder;

static void
give(gpointer data)
{
    Holder *holder = data;
    memory_budget_give(holder->budget, holder->bytes);
    g_atomic_int_set(&holder->given, TRUE);
}

/* As a fetch ahead of a reader, whose block has its memory before the lane has a thread for it. */
static void
test_memory_comes_back_by_the_lane(ObjectFixture *fixture, gconstpointer keys)
{
    gint64 end_us = g_get_monotonic_time() + PATIENCE_US;
    gsize size = 400 << 10;
    MemoryBudget *budget = fixture->store->budget;
    Holder holder = {budget, memory_budget_get_limit(budget), FALSE};
    g_autofree guint8 *data = object_fixture_pattern(1, size);
    object_fixture_put(fixture, "a", data, size);
    FileHandle *handle = object_fixture_open(fixture, "a", FALSE);
    object_fixture_write(handle, 150 << 10, "edited", 6);
    memcpy(data + (150 << 10), "edited", 6);
    g_assert_true(memory_budget_take(budget, NULL, holder.bytes, NULL));
    Other flushing = {.handle = handle, .run = flush};
    other_start(&flushing);
    while (!memory_budget_is_short(budget))
        g_thread_yield();
    worker_pool_push(storage_get_lane(fixture->base.storage, STORAGE_LANE_TRANSFERS), give, &holder);
    while (!g_atomic_int_get(&holder.given) && g_get_monotonic_time() < end_us)
        g_thread_yield();
    g_assert_true(g_atomic_int_get(&holder.given));
    other_assert_ok(&flushing);
    object_fixture_close(handle);
    object_fixture_assert_stored(fixture, "a", data, size);
}

/* The service may have carried out what is given up: only with the reply can it be aborted. */
static void
test_upload_given_up_while_it_begins_is_aborted(ObjectFixture *fixture, gconstpointer keys)
{
    gint64 end_us = g_get_monotonic_time() + PATIENCE_US;
    gsize size = 400 << 10;
    const MemoryFault block = {.operation = MEMORY_BEGIN_UPLOAD, .times = 1, .blocks = TRUE};
    g_autofree guint8 *data = object_fixture_pattern(1, size);
    FileHandle *handle = object_fixture_open(fixture, "a", TRUE);
    memory_fault_add(fixture->base.store, &block);
    object_fixture_write_forward(handle, data, size, 20 << 10);
    g_assert_true(memory_fault_wait_blocked(fixture->base.store, 1, PATIENCE_US));
    object_file_drop(object_file_of_handle(handle));
    memory_fault_release(fixture->base.store);
    while (object_fixture_calls(fixture, MEMORY_ABORT_UPLOAD) == 0 && g_get_monotonic_time() < end_us)
        g_thread_yield();
    g_assert_cmpuint(object_fixture_calls(fixture, MEMORY_ABORT_UPLOAD), ==, 1);
    object_fixture_close(handle);
}

static void
test_flush_ended_while_an_upload_begins_aborts_it(ObjectFixture *fixture, gconstpointer keys)
{
    gint64 end_us = g_get_monotonic_time() + PATIENCE_US;
    gsize size = 400 << 10;
    g_autoptr(Call) call = call_new(0);
    g_autofree guint8 *data = object_fixture_pattern(1, size);
    object_fixture_put(fixture, "a", data, size);
    FileHandle *handle = object_fixture_open(fixture, "a", FALSE);
    object_fixture_write(handle, 150 << 10, "edited", 6);
    memcpy(data + (150 << 10), "edited", 6);
    Other flushing = {.handle = handle, .call = call};
    start_blocked_flush(fixture, &flushing, MEMORY_BEGIN_UPLOAD);
    call_cancel(call);
    g_thread_join(flushing.thread);
    g_assert_error(flushing.error, STORAGEFS_ERROR, ERROR_CANCELLED);
    g_clear_error(&flushing.error);
    memory_fault_release(fixture->base.store);
    while (object_fixture_calls(fixture, MEMORY_ABORT_UPLOAD) == 0 && g_get_monotonic_time() < end_us)
        g_thread_yield();
    g_assert_cmpuint(object_fixture_calls(fixture, MEMORY_ABORT_UPLOAD), ==, 1);
    object_fixture_flush_and_close(handle);
    object_fixture_assert_stored(fixture, "a", data, size);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define ADD(name) object_fixture_add("/object/race/" #name, test_##name, NULL)
    ADD(file_opened_again_after_a_failed_close_is_stored);
    ADD(lost_file_opened_again_keeps_failing);
    ADD(allocation_never_cuts);
    ADD(metadata_set_during_publication_is_stored);
    ADD(reader_outlives_a_change_of_metadata);
    ADD(writer_waits_for_a_publication_past_its_deadline);
    ADD(copied_range_outlives_its_source);
    ADD(own_doubtful_creation_is_no_conflict);
    ADD(own_doubtful_replacement_is_no_conflict);
    ADD(own_doubtful_edit_goes_on);
    ADD(foreign_object_after_doubt_is_a_conflict);
    object_fixture_add("/object/race/memory-by-the-lane", test_memory_comes_back_by_the_lane,
                       OBJECT_FIXTURE_KEYS "max_requests = 1\n");
    object_fixture_add("/object/race/given-up-while-begun", test_upload_given_up_while_it_begins_is_aborted,
                       "etags = counter\nminimum_part = 16K\npart_size = 64K\ntimeout = 60\n");
    object_fixture_add("/object/race/flush-ended-while-begun",
                       test_flush_ended_while_an_upload_begins_aborts_it, NULL);
    return g_test_run();
}
