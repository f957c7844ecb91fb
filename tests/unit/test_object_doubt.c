/* Publications that were carried out although they failed, or although the process that made them died: they
 * are recognised as our own, and what was written since is stored on top of them.
 */
#include "src/base/error.h"
#include "src/object/object_store_private.h"
#include "tests/unit/object_fixture.h"

#include <fcntl.h>
#include <string.h>

#define KIB 1024u
#define WAIT_US (20 * G_USEC_PER_SEC)

static guint
count(ObjectFixture *fixture)
{
    g_autoptr(GPtrArray) uploads = object_store_list_uploads(fixture->store);
    return uploads->len;
}

/* Until the journal is empty: what is parked is never stored. */
static void
await_stored(ObjectFixture *fixture)
{
    gint64 end_us = g_get_monotonic_time() + WAIT_US;
    while (count(fixture) > 0) {
        g_assert_cmpint(g_get_monotonic_time(), <, end_us);
        g_usleep(1000);
    }
}

static void
await_failed_upload(ObjectFixture *fixture)
{
    gint64 end_us = g_get_monotonic_time() + WAIT_US;
    for (;;) {
        g_autoptr(GPtrArray) uploads = object_store_list_uploads(fixture->store);
        g_assert_cmpuint(uploads->len, ==, 1);
        const UploadStatus *status = uploads->pdata[0];
        if (status->last_error != NULL && status->state == UPLOAD_WAITING)
            return;
        g_assert_cmpint(g_get_monotonic_time(), <, end_us);
        g_usleep(1000);
    }
}

static void
lose_replies(ObjectFixture *fixture)
{
    storage_fixture_fail(&fixture->base, MEMORY_WRITE_OBJECT, 1, ERROR_UNAVAILABLE, TRUE);
    storage_fixture_fail(&fixture->base, MEMORY_COMMIT_UPLOAD, 1, ERROR_UNAVAILABLE, TRUE);
    storage_fixture_fail(&fixture->base, MEMORY_STAT_OBJECT, 0, ERROR_UNAVAILABLE, FALSE);
}

/* The journal stores it, and never learns that. */
static void
upload_unseen(ObjectFixture *fixture)
{
    lose_replies(fixture);
    object_store_start_journal(fixture->store);
    await_failed_upload(fixture);
}

static void
flush_in_doubt(ObjectFixture *fixture, FileHandle *handle)
{
    GError *error = NULL;
    lose_replies(fixture);
    g_assert_false(object_fixture_flush(handle, &error));
    g_clear_error(&error);
    memory_fault_clear(fixture->base.store);
}

static void
set_time(ObjectFile *file)
{
    const FileAttributes wanted = {.mtime_ns = G_GINT64_CONSTANT(1500000000000000000)};
    object_file_set_attributes(file, FILE_SET_TIMES, &wanted);
}

/* Written and closed; with the same time each time. */
static void
commit(ObjectFile *file, guint64 offset, const void *data, gsize length)
{
    FileHandle *handle = object_file_open(file, O_RDWR);
    object_fixture_write(handle, offset, data, length);
    set_time(file);
    object_fixture_flush_and_close(handle);
}

static ObjectFile *
restart(ObjectFixture *fixture)
{
    GError *error = NULL;
    object_fixture_restart(fixture, NULL);
    memory_fault_clear(fixture->base.store);
    JournalRecord *record = object_store_take_record(fixture->store);
    g_assert_nonnull(record);
    ObjectFile *file = object_file_restore(fixture->store, fixture->base.storage, record, NULL, &error);
    g_assert_no_error(error);
    g_assert_null(object_store_take_record(fixture->store));
    return file;
}

static void
test_older_state_was_stored_before_the_crash(ObjectFixture *fixture, gconstpointer keys)
{
    g_autoptr(ObjectFile) file = object_fixture_create(fixture, "a");
    commit(file, 0, "first", 5);
    upload_unseen(fixture);
    commit(file, 5, " and more", 9);
    g_clear_pointer(&file, object_file_unref);
    file = restart(fixture);
    object_fixture_assert_stored(fixture, "a", "first", 5);
    object_store_start_journal(fixture->store);
    await_stored(fixture);
    object_fixture_assert_stored(fixture, "a", "first and more", 14);
}

/* One crash after the other, and nobody had the time to look. */
static void
test_oldest_state_was_stored_before_many_crashes(ObjectFixture *fixture, gconstpointer keys)
{
    g_autoptr(ObjectFile) file = object_fixture_create(fixture, "a");
    commit(file, 0, "0", 1);
    upload_unseen(fixture);
    for (guint i = 1; i < 6; i++) {
        const char digit = (char)('0' + i);
        commit(file, i, &digit, 1);
        g_clear_pointer(&file, object_file_unref);
        file = restart(fixture);
    }
    object_fixture_assert_stored(fixture, "a", "0", 1);
    object_store_start_journal(fixture->store);
    await_stored(fixture);
    object_fixture_assert_stored(fixture, "a", "012345", 6);
}

/* Size, time and all attributes say nothing: the newer bytes go out all the same. */
static void
test_older_state_looks_like_the_newer(ObjectFixture *fixture, gconstpointer keys)
{
    g_autoptr(ObjectFile) file = object_fixture_create(fixture, "a");
    commit(file, 0, "older", 5);
    upload_unseen(fixture);
    commit(file, 0, "newer", 5);
    g_clear_pointer(&file, object_file_unref);
    file = restart(fixture);
    object_store_start_journal(fixture->store);
    await_stored(fixture);
    object_fixture_assert_stored(fixture, "a", "newer", 5);
}

/* What was not written is only in the version that was stored unseen. */
static void
test_clean_bytes_are_read_where_they_are(ObjectFixture *fixture, gconstpointer keys)
{
    enum { SIZE = 300 * KIB };
    g_autofree guint8 *data = object_fixture_pattern(1, SIZE);
    object_fixture_put(fixture, "a", data, SIZE);
    g_autoptr(ObjectFile) file = object_fixture_look_up(fixture, "a");
    commit(file, 100000, "xx", 2);
    memcpy(data + 100000, "xx", 2);
    upload_unseen(fixture);
    commit(file, 200000, "yy", 2);
    memcpy(data + 200000, "yy", 2);
    g_clear_pointer(&file, object_file_unref);
    file = restart(fixture);
    FileHandle *handle = object_file_open(file, O_RDONLY);
    g_autoptr(GBytes) bytes = object_fixture_read(handle, 0, SIZE);
    g_assert_cmpmem(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes), data, SIZE);
    object_fixture_close(handle);
    object_store_start_journal(fixture->store);
    await_stored(fixture);
    object_fixture_assert_stored(fixture, "a", data, SIZE);
}

/* The process died after the one record was written, before the other was removed, and what waited under the
 * name had been stored unseen. */
static void
test_replaced_object_was_stored_unseen(ObjectFixture *fixture, gconstpointer keys)
{
    GError *error = NULL;
    g_auto(ObjectInfo) info = {0};
    g_autoptr(ObjectFile) target = object_fixture_create(fixture, "a");
    commit(target, 0, "target", 6);
    upload_unseen(fixture);
    g_clear_pointer(&target, object_file_unref);
    target = restart(fixture);
    g_autoptr(ObjectFile) source = object_fixture_create(fixture, "b");
    commit(source, 0, "source bytes", 12);
    g_autoptr(GPtrArray) prospects = object_file_list_prospects(target, &info);
    g_assert_null(info.etag);
    g_assert_true(object_file_take_place(source, NULL, "c", "a", NULL, prospects, &error));
    g_assert_no_error(error);
    g_clear_pointer(&target, object_file_unref);
    g_clear_pointer(&source, object_file_unref);
    source = restart(fixture);
    object_store_start_journal(fixture->store);
    await_stored(fixture);
    object_fixture_assert_stored(fixture, "a", "source bytes", 12);
}

static void
note_published(gpointer owner, gpointer subject, ObjectFile *file, const ObjectInfo *stored)
{
    char **etag = owner;
    g_free(*etag);
    *etag = g_strdup(stored->etag);
}

static char *
get_stored_etag(ObjectFixture *fixture, const char *key)
{
    g_auto(ObjectInfo) info = {0};
    g_assert_true(storage_stat_object(fixture->base.storage, NULL, "c", key, &info, NULL));
    return g_strdup(info.etag);
}

/* The publication that builds on it fails, yet the owner knows what is stored. */
static void
test_owner_is_told_what_was_confirmed(ObjectFixture *fixture, gconstpointer keys)
{
    GError *error = NULL;
    g_autofree char *told = NULL;
    const FileAttributes attributes = {.mode = 0100644};
    const ObjectFileEvents events = {.published = note_published, .owner = &told};
    g_autoptr(ObjectFile) file =
        object_file_new(fixture->store, fixture->base.storage, "c", "a", NULL, &attributes, FALSE, &events);
    FileHandle *handle = object_file_open(file, O_RDWR);
    object_fixture_write(handle, 0, "data", 4);
    flush_in_doubt(fixture, handle);
    g_assert_null(told);
    object_fixture_write(handle, 4, " more", 5);
    storage_fixture_fail(&fixture->base, MEMORY_WRITE_OBJECT, 0, ERROR_DENIED, FALSE);
    g_assert_false(object_fixture_flush(handle, &error));
    g_assert_error(error, STORAGEFS_ERROR, ERROR_DENIED);
    g_clear_error(&error);
    g_autofree char *stored = get_stored_etag(fixture, "a");
    g_assert_cmpstr(told, ==, stored);
    memory_fault_clear(fixture->base.store);
    object_fixture_flush_and_close(handle);
    object_fixture_assert_stored(fixture, "a", "data more", 9);
}

/* Nothing is left behind under the old name: it is what is to be moved. */
static void
test_rename_of_what_was_stored_unseen(ObjectFixture *fixture, gconstpointer keys)
{
    GError *error = NULL;
    g_auto(ObjectInfo) info = {0};
    g_autoptr(ObjectFile) file = object_fixture_create(fixture, "a");
    FileHandle *handle = object_file_open(file, O_RDWR);
    object_fixture_write(handle, 0, "data", 4);
    flush_in_doubt(fixture, handle);
    g_assert_false(object_file_move(file, NULL, "c", "b", NULL, NULL, &error));
    g_assert_error(error, STORAGEFS_ERROR, ERROR_CHANGED);
    g_clear_error(&error);
    g_autofree char *stored = get_stored_etag(fixture, "a");
    object_file_get_info(file, &info);
    g_assert_cmpstr(info.etag, ==, stored);
    object_fixture_flush_and_close(handle);
    object_fixture_assert_stored(fixture, "a", "data", 4);
    g_assert_false(storage_stat_object(fixture->base.storage, NULL, "c", "b", &info, NULL));
}

static gpointer
run_flush(gpointer handle)
{
    object_fixture_flush_and_close(handle);
    return NULL;
}

/* The request was under way for so long that the first look did not see its object. */
static void
test_late_arrival_is_no_conflict(ObjectFixture *fixture, gconstpointer keys)
{
    GError *error = NULL;
    FileAttributes attributes;
    const MemoryFault block = {.operation = MEMORY_WRITE_OBJECT, .times = 1, .blocks = TRUE};
    g_autoptr(ObjectFile) file = object_fixture_create(fixture, "a");
    FileHandle *handle = object_file_open(file, O_RDWR);
    object_fixture_write(handle, 0, "data", 4);
    object_file_get_attributes(file, &attributes);
    storage_fixture_fail(&fixture->base, MEMORY_WRITE_OBJECT, 0, ERROR_UNAVAILABLE, FALSE);
    g_assert_false(object_fixture_flush(handle, &error));
    g_clear_error(&error);
    memory_fault_clear(fixture->base.store);
    object_fixture_write(handle, 4, " more", 5);
    memory_fault_add(fixture->base.store, &block);
    GThread *thread = g_thread_new("flush", run_flush, handle);
    g_assert_true(memory_fault_wait_blocked(fixture->base.store, 1, WAIT_US));
    g_autoptr(GHashTable) metadata = attributes_encode(&attributes, NULL);
    const WriteOptions options = {.metadata = metadata};
    const ByteSource source = storage_fixture_text("data");
    g_assert_true(
        storage_write_object(fixture->base.storage, NULL, "c", "a", &source, &options, NULL, &error));
    memory_fault_clear(fixture->base.store);
    g_thread_join(thread);
    object_fixture_assert_stored(fixture, "a", "data more", 9);
}

/* Metadata alone can be stored unseen, too, and gives the object another ETag. */
static void
test_attributes_stored_unseen_are_no_conflict(ObjectFixture *fixture, gconstpointer keys)
{
    GError *error = NULL;
    const FileAttributes wanted = {.mode = 0600};
    object_fixture_put(fixture, "a", "text", 4);
    FileHandle *handle = object_fixture_open(fixture, "a", FALSE);
    object_file_set_attributes(object_file_of_handle(handle), FILE_SET_MODE, &wanted);
    storage_fixture_fail(&fixture->base, MEMORY_SET_METADATA, 1, ERROR_UNAVAILABLE, TRUE);
    storage_fixture_fail(&fixture->base, MEMORY_STAT_OBJECT, 0, ERROR_UNAVAILABLE, FALSE);
    g_assert_false(object_fixture_flush(handle, &error));
    g_clear_error(&error);
    memory_fault_clear(fixture->base.store);
    object_fixture_write(handle, 4, " more", 5);
    object_fixture_flush_and_close(handle);
    object_fixture_assert_stored(fixture, "a", "text more", 9);
}

/* Clean bytes that are copied while nobody knows which version has them: where they are in the version before
 * is not where they are in the one that was tried. */
static void
test_copy_within_what_is_in_doubt(ObjectFixture *fixture, gconstpointer keys)
{
    GError *error = NULL;
    guint64 copied = 0;
    g_autofree guint8 *data = object_fixture_pattern(1, 1024 * KIB);
    object_fixture_put(fixture, "a", data, 1024 * KIB);
    FileHandle *handle = object_fixture_open(fixture, "a", FALSE);
    object_fixture_write(handle, 0, "first", 5);
    memcpy(data, "first", 5);
    lose_replies(fixture);
    g_assert_false(object_fixture_flush(handle, &error));
    g_clear_error(&error);
    /* Refused, or right. */
    if (handle->operations->copy_range(handle, NULL, 256 * KIB, handle, 768 * KIB, 256 * KIB, &copied, NULL))
        memmove(data + 768 * KIB, data + 256 * KIB, copied);
    memory_fault_clear(fixture->base.store);
    object_fixture_write(handle, 100, "last", 4);
    memcpy(data + 100, "last", 4);
    object_fixture_flush_and_close(handle);
    object_fixture_assert_stored(fixture, "a", data, 1024 * KIB);
}

#define ADD(name) object_fixture_add("/object_doubt/" #name, test_##name, OBJECT_FIXTURE_KEYS)
#define ADD_JOURNAL(name) object_fixture_add("/object_doubt/" #name, test_##name, OBJECT_FIXTURE_JOURNAL_KEYS)

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD_JOURNAL(older_state_was_stored_before_the_crash);
    ADD_JOURNAL(oldest_state_was_stored_before_many_crashes);
    ADD_JOURNAL(older_state_looks_like_the_newer);
    ADD_JOURNAL(clean_bytes_are_read_where_they_are);
    ADD_JOURNAL(replaced_object_was_stored_unseen);
    ADD(owner_is_told_what_was_confirmed);
    ADD(rename_of_what_was_stored_unseen);
    ADD(late_arrival_is_no_conflict);
    ADD(copy_within_what_is_in_doubt);
    ADD(attributes_stored_unseen_are_no_conflict);
    return g_test_run();
}
