/* What writing costs in requests, what is published and when, and what becomes of it when another writer
 * wins. */
#include "src/base/error.h"
#include "tests/unit/object_fixture.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define KIB 1024u

static void
assert_calls(ObjectFixture *fixture, MemoryOperation operation, guint64 count)
{
    g_assert_cmpuint(object_fixture_calls(fixture, operation), ==, count);
}

static void
wait_for_calls(ObjectFixture *fixture, MemoryOperation operation, guint64 count)
{
    gint64 deadline_us = g_get_monotonic_time() + 20 * G_USEC_PER_SEC;
    while (object_fixture_calls(fixture, operation) < count && g_get_monotonic_time() < deadline_us)
        g_usleep(200);
    g_assert_cmpuint(object_fixture_calls(fixture, operation), >=, count);
}

static void
test_small_file_is_one_put(ObjectFixture *fixture, gconstpointer keys)
{
    FileHandle *handle = object_fixture_open(fixture, "a.txt", TRUE);
    g_auto(ObjectInfo) info = {0};
    object_fixture_write(handle, 0, "hello", 5);
    object_fixture_flush_and_close(handle);
    assert_calls(fixture, MEMORY_ANY, 1);
    assert_calls(fixture, MEMORY_WRITE_OBJECT, 1);
    object_fixture_assert_stored(fixture, "a.txt", "hello", 5);
    g_assert_true(storage_stat_object(fixture->base.storage, NULL, "c", "a.txt", &info, NULL));
    g_assert_cmpstr(info.content_type, ==, "text/plain");
    g_assert_cmpstr(g_hash_table_lookup(info.metadata, "mode"), ==, "33188");
    g_assert_nonnull(g_hash_table_lookup(info.metadata, "mtime"));
}

static void
test_empty_file_waits_for_its_last_descriptor(ObjectFixture *fixture, gconstpointer keys)
{
    GError *error = NULL;
    FileHandle *handle = object_fixture_open(fixture, "empty", TRUE);
    g_assert_true(handle->operations->flush(handle, NULL, FALSE, &error));
    assert_calls(fixture, MEMORY_ANY, 0);
    g_assert_true(object_file_is_dirty(object_file_of_handle(handle)));
    object_fixture_flush_and_close(handle);
    assert_calls(fixture, MEMORY_WRITE_OBJECT, 1);
    object_fixture_assert_stored(fixture, "empty", "", 0);
}

/* flush is not always called before close: a process that is killed, a write through mmap. */
static void
test_close_alone_publishes(ObjectFixture *fixture, gconstpointer keys)
{
    FileHandle *handle = object_fixture_open(fixture, "a", TRUE);
    object_fixture_write(handle, 0, "data", 4);
    object_fixture_close(handle);
    object_fixture_assert_stored(fixture, "a", "data", 4);
}

static void
test_parts_go_out_while_writing(ObjectFixture *fixture, gconstpointer keys)
{
    gsize size = 640 * KIB;
    g_autofree guint8 *data = object_fixture_pattern(1, size);
    FileHandle *handle = object_fixture_open(fixture, "big", TRUE);
    object_fixture_write_forward(handle, data, size, 16 * KIB);
    wait_for_calls(fixture, MEMORY_PUT_PART, 10);
    object_fixture_flush_and_close(handle);
    assert_calls(fixture, MEMORY_BEGIN_UPLOAD, 1);
    assert_calls(fixture, MEMORY_PUT_PART, 10);
    assert_calls(fixture, MEMORY_COMMIT_UPLOAD, 1);
    assert_calls(fixture, MEMORY_WRITE_OBJECT, 0);
    assert_calls(fixture, MEMORY_SET_METADATA, 0);
    object_fixture_assert_stored(fixture, "big", data, size);
}

static void
test_changed_parts_are_sent_again(ObjectFixture *fixture, gconstpointer keys)
{
    gsize size = 640 * KIB;
    g_autofree guint8 *data = object_fixture_pattern(1, size);
    FileHandle *handle = object_fixture_open(fixture, "big", TRUE);
    object_fixture_write_forward(handle, data, size, 16 * KIB);
    wait_for_calls(fixture, MEMORY_PUT_PART, 10);
    memset(data + 100, 'x', 50);
    object_fixture_write(handle, 100, data + 100, 50);
    object_fixture_flush_and_close(handle);
    assert_calls(fixture, MEMORY_PUT_PART, 11);
    object_fixture_assert_stored(fixture, "big", data, size);
}

static void
test_streamed_file_cut_to_nothing(ObjectFixture *fixture, gconstpointer keys)
{
    gsize size = 640 * KIB;
    GError *error = NULL;
    g_autofree guint8 *data = object_fixture_pattern(1, size);
    FileHandle *handle = object_fixture_open(fixture, "big", TRUE);
    object_fixture_write_forward(handle, data, size, 16 * KIB);
    g_assert_true(handle->operations->truncate(handle, NULL, 10, &error));
    object_fixture_flush_and_close(handle);
    object_fixture_assert_stored(fixture, "big", data, 10);
    assert_calls(fixture, MEMORY_COMMIT_UPLOAD, 0);
    assert_calls(fixture, MEMORY_WRITE_OBJECT, 1);
}

static void
test_time_asked_for_survives_streaming(ObjectFixture *fixture, gconstpointer keys)
{
    gsize size = 640 * KIB;
    g_autofree guint8 *data = object_fixture_pattern(1, size);
    FileAttributes times = {.mtime_ns = G_GINT64_CONSTANT(1234567890123456789)};
    g_auto(ObjectInfo) info = {0};
    FileHandle *handle = object_fixture_open(fixture, "big", TRUE);
    object_fixture_write_forward(handle, data, size, 16 * KIB);
    object_file_set_attributes(object_file_of_handle(handle), FILE_SET_TIMES, &times);
    object_fixture_flush_and_close(handle);
    assert_calls(fixture, MEMORY_SET_METADATA, 1);
    g_assert_true(storage_stat_object(fixture->base.storage, NULL, "c", "big", &info, NULL));
    g_assert_cmpstr(g_hash_table_lookup(info.metadata, "mtime"), ==, "1234567890.123456789");
    object_fixture_assert_stored(fixture, "big", data, size);
}

static void
test_streamed_file_has_the_service_time(ObjectFixture *fixture, gconstpointer keys)
{
    gsize size = 640 * KIB;
    FileAttributes attributes;
    g_auto(ObjectInfo) info = {0};
    g_autofree guint8 *data = object_fixture_pattern(1, size);
    FileHandle *handle = object_fixture_open(fixture, "big", TRUE);
    object_fixture_write_forward(handle, data, size, 16 * KIB);
    g_autoptr(ObjectFile) file = object_file_ref(object_file_of_handle(handle));
    object_fixture_flush_and_close(handle);
    g_assert_true(storage_stat_object(fixture->base.storage, NULL, "c", "big", &info, NULL));
    g_assert_null(g_hash_table_lookup(info.metadata, "mtime"));
    object_file_get_attributes(file, &attributes);
    g_assert_cmpint(attributes.mtime_ns, ==, info.mtime_ns);
}

static void
test_small_edit_of_a_large_object(ObjectFixture *fixture, gconstpointer keys)
{
    gsize size = 4096 * KIB;
    g_autofree guint8 *data = object_fixture_pattern(1, size);
    object_fixture_put(fixture, "big", data, size);
    FileHandle *handle = object_fixture_open(fixture, "big", FALSE);
    memset(data + 1000 * KIB, 'x', 4096);
    object_fixture_write(handle, 1000 * KIB, data + 1000 * KIB, 4096);
    memory_fault_reset_counts(fixture->base.store);
    object_fixture_flush_and_close(handle);
    assert_calls(fixture, MEMORY_PUT_PART, 1);
    /* What the smallest part needs beside the edit is all that is fetched. */
    assert_calls(fixture, MEMORY_READ_OBJECT, 1);
    object_fixture_assert_stored(fixture, "big", data, size);
}

/* What was just written is clean: changing a little of it again does not send it again. */
static void
test_edit_after_publication_copies_the_rest(ObjectFixture *fixture, gconstpointer keys)
{
    gsize size = 1024 * KIB;
    GError *error = NULL;
    g_autofree guint8 *data = object_fixture_pattern(1, size);
    FileHandle *handle = object_fixture_open(fixture, "big", TRUE);
    object_fixture_write_forward(handle, data, size, 64 * KIB);
    object_fixture_flush(handle, &error);
    g_assert_no_error(error);
    memory_fault_reset_counts(fixture->base.store);
    memset(data + 500 * KIB, 'x', 4096);
    object_fixture_write(handle, 500 * KIB, data + 500 * KIB, 4096);
    object_fixture_flush_and_close(handle);
    assert_calls(fixture, MEMORY_PUT_PART, 1);
    assert_calls(fixture, MEMORY_READ_OBJECT, 0);
    object_fixture_assert_stored(fixture, "big", data, size);
}

static void
test_append_sends_the_end_only(ObjectFixture *fixture, gconstpointer keys)
{
    gsize size = 4096 * KIB;
    g_autofree guint8 *data = object_fixture_pattern(1, size + 10);
    object_fixture_put(fixture, "log", data, size);
    g_autoptr(ObjectFile) file = object_fixture_look_up(fixture, "log");
    FileHandle *handle = object_file_open(file, O_WRONLY | O_APPEND);
    object_fixture_write(handle, FILE_HANDLE_APPEND, data + size, 10);
    memory_fault_reset_counts(fixture->base.store);
    object_fixture_flush_and_close(handle);
    assert_calls(fixture, MEMORY_PUT_PART, 1);
    assert_calls(fixture, MEMORY_READ_OBJECT, 0);
    object_fixture_assert_stored(fixture, "log", data, size + 10);
}

static void
test_copy_is_one_copy(ObjectFixture *fixture, gconstpointer keys)
{
    gsize size = 2048 * KIB;
    guint64 copied = 0;
    GError *error = NULL;
    g_autofree guint8 *data = object_fixture_pattern(1, size);
    object_fixture_put(fixture, "from", data, size);
    FileHandle *from = object_fixture_open(fixture, "from", FALSE);
    FileHandle *to = object_fixture_open(fixture, "to", TRUE);
    memory_fault_reset_counts(fixture->base.store);
    /* In two calls, as cp does. */
    g_assert_true(from->operations->copy_range(from, NULL, 0, to, 0, 1500 * KIB, &copied, &error));
    g_assert_true(from->operations->copy_range(from, NULL, copied, to, copied, 1500 * KIB, &copied, &error));
    g_assert_cmpuint(copied, ==, size - 1500 * KIB);
    object_fixture_flush_and_close(to);
    object_fixture_close(from);
    /* One look for the condition, which copies do not have, and one copy. */
    assert_calls(fixture, MEMORY_ANY, 2);
    assert_calls(fixture, MEMORY_COPY_OBJECT, 1);
    object_fixture_assert_stored(fixture, "to", data, size);
}

static void
test_written_bytes_are_read_without_a_request(ObjectFixture *fixture, gconstpointer keys)
{
    g_autofree guint8 *data = object_fixture_pattern(1, 100 * KIB);
    GError *error = NULL;
    FileHandle *handle = object_fixture_open(fixture, "a", TRUE);
    object_fixture_write(handle, 0, data, 100 * KIB);
    object_fixture_flush(handle, &error);
    g_assert_no_error(error);
    g_autoptr(GBytes) bytes = object_fixture_read(handle, 0, 100 * KIB);
    g_assert_cmpmem(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes), data, 100 * KIB);
    assert_calls(fixture, MEMORY_READ_OBJECT, 0);
    object_fixture_close(handle);
}

static void
test_attributes_alone(ObjectFixture *fixture, gconstpointer keys)
{
    FileAttributes mode = {.mode = 0600};
    GError *error = NULL;
    g_auto(ObjectInfo) info = {0};
    object_fixture_put(fixture, "a", "data", 4);
    g_autoptr(ObjectFile) file = object_fixture_look_up(fixture, "a");
    memory_fault_reset_counts(fixture->base.store);
    object_file_set_attributes(file, FILE_SET_MODE, &mode);
    g_assert_true(object_file_is_dirty(file));
    object_file_publish(file, NULL, &error);
    g_assert_no_error(error);
    g_assert_false(object_file_is_dirty(file));
    assert_calls(fixture, MEMORY_SET_METADATA, 1);
    assert_calls(fixture, MEMORY_WRITE_OBJECT, 0);
    g_assert_true(storage_stat_object(fixture->base.storage, NULL, "c", "a", &info, NULL));
    g_assert_cmpstr(g_hash_table_lookup(info.metadata, "mode"), ==, "33152");
    /* Pinned to the version that the change made. */
    FileHandle *handle = object_file_open(file, O_RDWR);
    object_fixture_write(handle, 0, "D", 1);
    object_fixture_flush_and_close(handle);
    object_fixture_assert_stored(fixture, "a", "Data", 4);
}

static void
test_dropped_file_is_never_published(ObjectFixture *fixture, gconstpointer keys)
{
    FileHandle *handle = object_fixture_open(fixture, "a", TRUE);
    object_fixture_write(handle, 0, "data", 4);
    object_file_drop(object_file_of_handle(handle));
    g_autoptr(GBytes) bytes = object_fixture_read(handle, 0, 4);
    g_assert_cmpmem(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes), "data", 4);
    object_fixture_write(handle, 4, "more", 4);
    object_fixture_flush_and_close(handle);
    assert_calls(fixture, MEMORY_ANY, 0);
    g_autoptr(GPtrArray) uploads = object_store_list_uploads(fixture->store);
    g_assert_cmpuint(uploads->len, ==, 0);
}

/* A part that failed while writing went on is made good at close: the user hears nothing of it. */
static void
test_failed_part_is_sent_at_close(ObjectFixture *fixture, gconstpointer keys)
{
    gsize size = 640 * KIB;
    g_autofree guint8 *data = object_fixture_pattern(1, size);
    const MemoryFault fault = {
        .operation = MEMORY_PUT_PART, .nth = 2, .times = 1, .fails = TRUE, .code = ERROR_DENIED};
    FileHandle *handle = object_fixture_open(fixture, "big", TRUE);
    memory_fault_add(fixture->base.store, &fault);
    object_fixture_write_forward(handle, data, 320 * KIB, 16 * KIB);
    wait_for_calls(fixture, MEMORY_PUT_PART, 2);
    for (gsize done = 320 * KIB; done < size; done += 16 * KIB)
        object_fixture_write(handle, done, data + done, 16 * KIB);
    object_fixture_flush_and_close(handle);
    object_fixture_assert_stored(fixture, "big", data, size);
}

/* Written backward, so that nothing goes out before; then the commit fails. */
static void
test_failed_commit_leaves_no_upload(ObjectFixture *fixture, gconstpointer keys)
{
    GError *error = NULL;
    gsize size = 640 * KIB;
    g_autofree guint8 *data = object_fixture_pattern(1, size);
    FileHandle *handle = object_fixture_open(fixture, "big", TRUE);
    for (gsize left = size; left > 0; left -= 16 * KIB)
        object_fixture_write(handle, left - 16 * KIB, data + left - 16 * KIB, 16 * KIB);
    assert_calls(fixture, MEMORY_ANY, 0);
    storage_fixture_fail(&fixture->base, MEMORY_COMMIT_UPLOAD, 1, ERROR_DENIED, FALSE);
    g_assert_false(object_fixture_flush(handle, &error));
    g_assert_error(error, STORAGEFS_ERROR, ERROR_DENIED);
    g_clear_error(&error);
    g_assert_cmpuint(object_fixture_count_uploads(fixture), ==, 0);
    object_fixture_flush_and_close(handle);
    object_fixture_assert_stored(fixture, "big", data, size);
}

static void
test_rename_before_publication(ObjectFixture *fixture, gconstpointer keys)
{
    GError *error = NULL;
    FileHandle *handle = object_fixture_open(fixture, "tmp", TRUE);
    object_fixture_write(handle, 0, "data", 4);
    g_assert_true(object_file_move(object_file_of_handle(handle), NULL, "c", "final", NULL, NULL, &error));
    object_fixture_flush_and_close(handle);
    object_fixture_assert_stored(fixture, "final", "data", 4);
    assert_calls(fixture, MEMORY_WRITE_OBJECT, 1);
}

static void
test_rename_of_a_published_object(ObjectFixture *fixture, gconstpointer keys)
{
    GError *error = NULL;
    g_auto(ObjectInfo) moved = {0};
    gsize size = 3000 * KIB;
    g_autofree guint8 *data = object_fixture_pattern(1, size);
    object_fixture_put(fixture, "old", data, size);
    FileHandle *handle = object_fixture_open(fixture, "old", FALSE);
    g_auto(ObjectInfo) before = {0};
    object_file_get_info(object_file_of_handle(handle), &before);
    CopySource source = {"c", "old", NULL};
    g_assert_true(
        storage_copy_object(fixture->base.storage, NULL, &source, size, "c", "new", NULL, &moved, &error));
    g_assert_true(
        object_file_move(object_file_of_handle(handle), NULL, "c", "new", before.etag, &moved, &error));
    g_assert_true(storage_delete_object(fixture->base.storage, NULL, "c", "old", NULL, &error));
    g_autoptr(GBytes) bytes = object_fixture_read(handle, 1000 * KIB, 5000);
    g_assert_cmpmem(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes), data + 1000 * KIB, 5000);
    memset(data, 'x', 100);
    object_fixture_write(handle, 0, data, 100);
    object_fixture_flush_and_close(handle);
    object_fixture_assert_stored(fixture, "new", data, size);
}

static void
test_detached_file_outlives_its_object(ObjectFixture *fixture, gconstpointer keys)
{
    GError *error = NULL;
    gsize size = 3000 * KIB;
    g_autofree guint8 *data = object_fixture_pattern(1, size);
    object_fixture_put(fixture, "a", data, size);
    FileHandle *handle = object_fixture_open(fixture, "a", FALSE);
    object_fixture_write(handle, 5, data + 5, 5);
    g_assert_true(object_file_detach(object_file_of_handle(handle), NULL, &error));
    object_file_drop(object_file_of_handle(handle));
    g_assert_true(storage_delete_object(fixture->base.storage, NULL, "c", "a", NULL, &error));
    g_autoptr(GBytes) bytes = object_fixture_read(handle, 0, size);
    g_assert_cmpmem(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes), data, size);
    object_fixture_flush_and_close(handle);
}

static void
test_seek_and_allocate(ObjectFixture *fixture, gconstpointer keys)
{
    GError *error = NULL;
    guint64 at = 0;
    FileHandle *handle = object_fixture_open(fixture, "a", TRUE);
    const FileHandleOperations *do_ = handle->operations;
    object_fixture_write(handle, 8192, "data", 4);
    g_assert_true(do_->allocate(handle, NULL, 0, 0, 20000, &error));
    g_assert_true(do_->seek(handle, NULL, 0, SEEK_DATA, &at, &error));
    g_assert_cmpuint(at, ==, 8192);
    g_assert_true(do_->seek(handle, NULL, 8192, SEEK_HOLE, &at, &error));
    g_assert_cmpuint(at, ==, 8196);
    g_assert_true(do_->seek(handle, NULL, 8196, SEEK_DATA, &at, &error));
    g_assert_cmpuint(at, ==, G_MAXUINT64);
    g_assert_true(do_->seek(handle, NULL, 20000, SEEK_HOLE, &at, &error));
    g_assert_cmpuint(at, ==, G_MAXUINT64);
    g_assert_false(do_->allocate(handle, NULL, FALLOC_FL_KEEP_SIZE, 0, 1, &error));
    g_assert_error(error, STORAGEFS_ERROR, ERROR_UNSUPPORTED);
    g_clear_error(&error);
    g_assert_false(do_->write(handle, NULL, G_MAXINT64, "x", 1, &error));
    g_assert_error(error, STORAGEFS_ERROR, ERROR_TOO_LARGE);
    g_clear_error(&error);
    object_fixture_flush_and_close(handle);
}

/* Several threads flush one file at once: one publication serves those who wrote before it began. */
static gpointer
flush_it(gpointer handle)
{
    GError *error = NULL;
    object_fixture_flush(handle, &error);
    g_assert_no_error(error);
    return NULL;
}

static void
test_concurrent_flushes_share_a_publication(ObjectFixture *fixture, gconstpointer keys)
{
    GThread *threads[4];
    const MemoryFault block = {.operation = MEMORY_WRITE_OBJECT, .blocks = TRUE};
    FileHandle *handle = object_fixture_open(fixture, "a", TRUE);
    object_fixture_write(handle, 0, "data", 4);
    memory_fault_add(fixture->base.store, &block);
    for (guint i = 0; i < 4; i++)
        threads[i] = g_thread_new("flush", flush_it, handle);
    g_assert_true(memory_fault_wait_blocked(fixture->base.store, 1, 20 * G_USEC_PER_SEC));
    g_assert_false(handle->operations->write_is_ready(handle, 1));
    memory_fault_clear(fixture->base.store);
    for (guint i = 0; i < 4; i++)
        g_thread_join(threads[i]);
    assert_calls(fixture, MEMORY_WRITE_OBJECT, 1);
    object_fixture_close(handle);
}

static void
test_interrupted_publication_can_be_repeated(ObjectFixture *fixture, gconstpointer keys)
{
    GError *error = NULL;
    g_autoptr(Call) call = call_new(0);
    FileHandle *handle = object_fixture_open(fixture, "a", TRUE);
    object_fixture_write(handle, 0, "data", 4);
    call_cancel(call);
    g_assert_false(handle->operations->flush(handle, call, TRUE, &error));
    g_assert_error(error, STORAGEFS_ERROR, ERROR_CANCELLED);
    g_clear_error(&error);
    object_fixture_close(handle);
    object_fixture_assert_stored(fixture, "a", "data", 4);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define ADD(name) object_fixture_add("/object/write/" #name, test_##name, NULL)
    ADD(small_file_is_one_put);
    ADD(empty_file_waits_for_its_last_descriptor);
    ADD(close_alone_publishes);
    ADD(parts_go_out_while_writing);
    ADD(changed_parts_are_sent_again);
    ADD(streamed_file_cut_to_nothing);
    ADD(time_asked_for_survives_streaming);
    ADD(streamed_file_has_the_service_time);
    ADD(small_edit_of_a_large_object);
    ADD(edit_after_publication_copies_the_rest);
    ADD(append_sends_the_end_only);
    ADD(copy_is_one_copy);
    ADD(written_bytes_are_read_without_a_request);
    ADD(attributes_alone);
    ADD(failed_part_is_sent_at_close);
    ADD(failed_commit_leaves_no_upload);
    ADD(dropped_file_is_never_published);
    ADD(rename_before_publication);
    ADD(rename_of_a_published_object);
    ADD(detached_file_outlives_its_object);
    ADD(seek_and_allocate);
    ADD(concurrent_flushes_share_a_publication);
    ADD(interrupted_publication_can_be_repeated);
    return g_test_run();
}
