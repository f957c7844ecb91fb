/* Open objects with durability = journal: what close promises, when it is stored, and what a restart finds.
 */
#include "tests/unit/object_fixture.h"

#include "src/base/error.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define KIB 1024u
#define WAIT_US (20 * G_USEC_PER_SEC)

static GPtrArray *
list(ObjectFixture *fixture)
{
    return object_store_list_uploads(fixture->store);
}

static guint
count(ObjectFixture *fixture)
{
    g_autoptr(GPtrArray) uploads = list(fixture);
    return uploads->len;
}

/* Until nothing but `left` entries is there, all in this state. */
static void
await(ObjectFixture *fixture, guint left, UploadState state)
{
    gint64 end_us = g_get_monotonic_time() + WAIT_US;
    for (;;) {
        g_autoptr(GPtrArray) uploads = list(fixture);
        gboolean all = uploads->len == left;
        for (guint i = 0; all && i < uploads->len; i++)
            all = ((UploadStatus *)uploads->pdata[i])->state == state;
        if (all)
            return;
        g_assert_cmpint(g_get_monotonic_time(), <, end_us);
        g_usleep(1000);
    }
}

static char *
get_id(ObjectFixture *fixture)
{
    g_autoptr(GPtrArray) uploads = list(fixture);
    g_assert_cmpuint(uploads->len, ==, 1);
    return g_strdup(((UploadStatus *)uploads->pdata[0])->id);
}

static void
put(ObjectFixture *fixture, const char *key, gboolean create, const void *data, gsize length)
{
    GError *error = NULL;
    FileHandle *handle = object_fixture_open(fixture, key, create);
    g_assert_true(create || handle->operations->truncate(handle, NULL, 0, &error));
    object_fixture_write_forward(handle, data, length, 32 * KIB);
    object_fixture_flush_and_close(handle);
}

static void
put_text(ObjectFixture *fixture, const char *key, const char *text)
{
    put(fixture, key, TRUE, text, strlen(text));
}

static void
assert_content(FileHandle *handle, const void *data, gsize length)
{
    g_autoptr(GBytes) bytes = object_fixture_read(handle, 0, length + 1);
    g_assert_cmpmem(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes), data, length);
}

/* The only record that the journal found, as a file; the caller's. */
static ObjectFile *
restore(ObjectFixture *fixture)
{
    GError *error = NULL;
    JournalRecord *record = object_store_take_record(fixture->store);
    g_assert_nonnull(record);
    ObjectFile *file = object_file_restore(fixture->store, fixture->base.storage, record, NULL, &error);
    g_assert_no_error(error);
    g_assert_null(object_store_take_record(fixture->store));
    return file;
}

static guint
count_names(const char *path)
{
    guint names = 0;
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    const char *name;
    while (dir != NULL && (name = g_dir_read_name(dir)) != NULL)
        names += strcmp(name, "lock") != 0;
    return names;
}

static void
test_close_needs_no_storage(ObjectFixture *fixture, gconstpointer keys)
{
    static const gsize SIZES[] = {0, 5, 200 * KIB};
    object_store_start_journal(fixture->store);
    for (guint i = 0; i < G_N_ELEMENTS(SIZES); i++) {
        g_autofree guint8 *data = object_fixture_pattern(i, SIZES[i]);
        g_autofree char *key = g_strdup_printf("new-%u", i);
        storage_fixture_fail(&fixture->base, MEMORY_ANY, 0, ERROR_UNAVAILABLE, FALSE);
        put(fixture, key, TRUE, data, SIZES[i]);
        g_assert_cmpuint(count(fixture), ==, 1);
        memory_fault_clear(fixture->base.store);
        await(fixture, 0, UPLOAD_WAITING);
        object_fixture_assert_stored(fixture, key, data, SIZES[i]);
    }
    g_assert_cmpuint(count_names(fixture->journal), ==, 0);
}

static void
test_restart_brings_it_back(ObjectFixture *fixture, gconstpointer keys)
{
    static const gsize SIZES[] = {0, 5, 200 * KIB};
    for (guint i = 0; i < G_N_ELEMENTS(SIZES); i++) {
        g_autofree guint8 *data = object_fixture_pattern(i, SIZES[i]);
        g_autofree char *key = g_strdup_printf("new-%u", i);
        put(fixture, key, TRUE, data, SIZES[i]);
        object_fixture_restart(fixture, NULL);
        g_autoptr(ObjectFile) file = restore(fixture);
        g_assert_true(object_file_is_dirty(file));
        FileAttributes attributes;
        object_file_get_attributes(file, &attributes);
        g_assert_cmpuint(attributes.size_bytes, ==, SIZES[i]);
        g_assert_cmpuint(attributes.mode & 07777, ==, 0644);
        FileHandle *handle = object_file_open(file, O_RDONLY);
        assert_content(handle, data, SIZES[i]);
        object_fixture_close(handle);
        object_store_start_journal(fixture->store);
        await(fixture, 0, UPLOAD_WAITING);
        object_fixture_assert_stored(fixture, key, data, SIZES[i]);
    }
}

/* The rest of a large object stays where it is. */
static void
test_restart_of_a_small_edit(ObjectFixture *fixture, gconstpointer keys)
{
    g_autofree guint8 *data = object_fixture_pattern(1, 500 * KIB);
    object_fixture_put(fixture, "big", data, 500 * KIB);
    FileHandle *handle = object_fixture_open(fixture, "big", FALSE);
    object_fixture_write(handle, 100 * KIB, "edit", 4);
    memcpy(data + 100 * KIB, "edit", 4);
    object_fixture_flush_and_close(handle);
    object_fixture_restart(fixture, NULL);
    g_autoptr(ObjectFile) file = restore(fixture);
    handle = object_file_open(file, O_RDONLY);
    assert_content(handle, data, 500 * KIB);
    object_fixture_close(handle);
    object_store_start_journal(fixture->store);
    await(fixture, 0, UPLOAD_WAITING);
    object_fixture_assert_stored(fixture, "big", data, 500 * KIB);
}

static void
test_rewriting_is_stored_once(ObjectFixture *fixture, gconstpointer keys)
{
    put_text(fixture, "a", "first");
    put_text(fixture, "b", "other");
    object_fixture_restart(fixture, NULL);
    g_autoptr(ObjectFile) a = NULL;
    for (JournalRecord *record; (record = object_store_take_record(fixture->store)) != NULL;) {
        gboolean is_a = strcmp(record->key, "a") == 0;
        ObjectFile *file = object_file_restore(fixture->store, fixture->base.storage, record, NULL, NULL);
        if (is_a)
            a = file;
        else
            object_file_unref(file);
    }
    for (guint i = 0; i < 5; i++) {
        FileHandle *handle = object_file_open(a, O_RDWR);
        g_autofree char *text = g_strdup_printf("version %u", i);
        object_fixture_write(handle, 0, text, strlen(text));
        object_fixture_flush_and_close(handle);
    }
    memory_fault_reset_counts(fixture->base.store);
    object_store_start_journal(fixture->store);
    await(fixture, 0, UPLOAD_WAITING);
    g_assert_cmpuint(object_fixture_calls(fixture, MEMORY_WRITE_OBJECT), ==, 2);
    object_fixture_assert_stored(fixture, "a", "version 4", 9);
    object_fixture_assert_stored(fixture, "b", "other", 5);
}

static void
test_readers_keep_their_bytes_while_it_is_protected(ObjectFixture *fixture, gconstpointer keys)
{
    const gsize size = 300 * KIB;
    GError *error = NULL;
    g_autofree guint8 *data = object_fixture_pattern(5, size);
    g_autoptr(ObjectFile) file = object_fixture_create(fixture, "a");
    FileHandle *handle = object_file_open(file, O_RDWR);
    object_fixture_write_forward(handle, data, size, 32 * KIB);
    for (guint i = 0; i < 4; i++) {
        g_assert_true(handle->operations->sync(handle, NULL, FALSE, &error));
        memset(data + i * 50000, 'A' + (int)i, 1000);
        object_fixture_write(handle, i * 50000, data + i * 50000, 1000);
        assert_content(handle, data, size);
    }
    object_fixture_flush_and_close(handle);
    /* One record, one data file: what is given up is gone. */
    g_assert_cmpuint(count_names(fixture->journal), ==, 2);
    object_store_start_journal(fixture->store);
    await(fixture, 0, UPLOAD_WAITING);
    object_fixture_assert_stored(fixture, "a", data, size);
}

static void
test_conflict_is_parked_and_kept(ObjectFixture *fixture, gconstpointer keys)
{
    object_fixture_put(fixture, "a", "first", 5);
    put(fixture, "a", FALSE, "mine", 4);
    object_fixture_put(fixture, "a", "theirs", 6);
    object_store_start_journal(fixture->store);
    await(fixture, 1, UPLOAD_PARKED);
    object_fixture_assert_stored(fixture, "a", "theirs", 6);
    g_autofree char *id = get_id(fixture), *path = g_build_filename(fixture->folder, "export", NULL);
    /* Also after a restart. */
    object_fixture_restart(fixture, NULL);
    g_autoptr(ObjectFile) file = restore(fixture);
    object_store_start_journal(fixture->store);
    await(fixture, 1, UPLOAD_PARKED);
    GError *error = NULL;
    object_store_export_upload(fixture->store, NULL, id, path, &error);
    g_assert_no_error(error);
    g_autofree char *text = NULL;
    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    g_assert_cmpstr(text, ==, "mine");
    g_assert_false(object_store_export_upload(fixture->store, NULL, id, path, &error));
    g_assert_error(error, STORAGEFS_ERROR, ERROR_EXISTS);
    g_clear_error(&error);
    g_assert_true(object_store_drop_upload(fixture->store, id, &error));
    g_assert_cmpuint(count(fixture), ==, 0);
    g_assert_false(object_store_drop_upload(fixture->store, id, &error));
    g_assert_error(error, STORAGEFS_ERROR, ERROR_NOT_FOUND);
    g_clear_error(&error);
    g_assert_cmpuint(count_names(fixture->journal), ==, 0);
    object_fixture_assert_stored(fixture, "a", "theirs", 6);
}

static void
test_refusal_is_parked_until_retried(ObjectFixture *fixture, gconstpointer keys)
{
    GError *error = NULL;
    storage_fixture_fail(&fixture->base, MEMORY_ANY, 0, ERROR_DENIED, FALSE);
    put_text(fixture, "a", "text");
    object_store_start_journal(fixture->store);
    await(fixture, 1, UPLOAD_PARKED);
    memory_fault_clear(fixture->base.store);
    g_autofree char *id = get_id(fixture);
    g_assert_true(object_store_retry_upload(fixture->store, id, &error));
    await(fixture, 0, UPLOAD_WAITING);
    object_fixture_assert_stored(fixture, "a", "text", 4);
}

/* The only entry waits after an attempt that failed. */
static void
await_failure(ObjectFixture *fixture)
{
    gint64 end_us = g_get_monotonic_time() + WAIT_US;
    for (guint attempts = 0; attempts == 0;) {
        g_autoptr(GPtrArray) uploads = list(fixture);
        g_assert_cmpuint(uploads->len, ==, 1);
        const UploadStatus *status = uploads->pdata[0];
        attempts = status->state == UPLOAD_WAITING && status->last_error != NULL ? status->attempts : 0;
        g_assert_cmpint(g_get_monotonic_time(), <, end_us);
        g_usleep(1000);
    }
}

static void
test_transient_failures_are_tried_again(ObjectFixture *fixture, gconstpointer keys)
{
    storage_fixture_fail(&fixture->base, MEMORY_WRITE_OBJECT, 0, ERROR_UNAVAILABLE, FALSE);
    put_text(fixture, "a", "text");
    object_store_start_journal(fixture->store);
    await_failure(fixture);
    memory_fault_clear(fixture->base.store);
    await(fixture, 0, UPLOAD_WAITING);
    object_fixture_assert_stored(fixture, "a", "text", 4);
}

/* The process died between the service's success and its own note of it. */
static void
test_what_was_stored_is_recognised(ObjectFixture *fixture, gconstpointer keys)
{
    static const gsize SIZES[] = {5, 300 * KIB};
    for (guint i = 0; i < G_N_ELEMENTS(SIZES); i++) {
        g_autofree guint8 *data = object_fixture_pattern(i, SIZES[i]);
        g_autofree char *key = g_strdup_printf("a%u", i),
                        *copy = g_strdup_printf("%s/%u", fixture->folder, i);
        const char *words[] = {"cp", "-a", fixture->journal, copy, NULL};
        put(fixture, key, TRUE, data, SIZES[i]);
        g_assert_true(g_spawn_sync(NULL, (char **)words, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL,
                                   NULL, NULL));
        object_store_start_journal(fixture->store);
        await(fixture, 0, UPLOAD_WAITING);
        object_fixture_restart(fixture, copy);
        g_autoptr(ObjectFile) file = restore(fixture);
        memory_fault_reset_counts(fixture->base.store);
        object_store_start_journal(fixture->store);
        await(fixture, 0, UPLOAD_WAITING);
        g_assert_cmpuint(object_fixture_calls(fixture, MEMORY_WRITE_OBJECT), ==, 0);
        g_assert_cmpuint(object_fixture_calls(fixture, MEMORY_BEGIN_UPLOAD), ==, 0);
        object_fixture_assert_stored(fixture, key, data, SIZES[i]);
        g_clear_pointer(&file, object_file_unref);
        object_fixture_restart(fixture, NULL);
        g_assert_null(object_store_take_record(fixture->store));
    }
}

static void
test_writing_ends_the_upload(ObjectFixture *fixture, gconstpointer keys)
{
    MemoryFault hang = {.operation = MEMORY_PUT_PART, .blocks = TRUE};
    const gsize size = 300 * KIB;
    g_autofree guint8 *data = object_fixture_pattern(6, size);
    g_autoptr(ObjectFile) file = object_fixture_create(fixture, "a");
    FileHandle *handle = object_file_open(file, O_RDWR);
    object_fixture_write_forward(handle, data, size, 32 * KIB);
    object_fixture_flush_and_close(handle);
    memory_fault_add(fixture->base.store, &hang);
    object_store_start_journal(fixture->store);
    g_assert_true(memory_fault_wait_blocked(fixture->base.store, 1, WAIT_US));
    handle = object_file_open(file, O_RDWR);
    object_fixture_write(handle, 0, "again", 5);
    memcpy(data, "again", 5);
    object_fixture_flush_and_close(handle);
    memory_fault_clear(fixture->base.store);
    await(fixture, 0, UPLOAD_WAITING);
    object_fixture_assert_stored(fixture, "a", data, size);
}

static void
test_removal_takes_everything_along(ObjectFixture *fixture, gconstpointer keys)
{
    g_autoptr(ObjectFile) file = object_fixture_create(fixture, "a");
    FileHandle *handle = object_file_open(file, O_RDWR);
    object_fixture_write(handle, 0, "text", 4);
    object_fixture_flush_and_close(handle);
    object_file_drop(file);
    g_assert_false(object_file_is_in_use(file));
    g_assert_cmpuint(count(fixture), ==, 0);
    g_assert_cmpuint(count_names(fixture->journal), ==, 0);
    memory_fault_reset_counts(fixture->base.store);
    object_store_start_journal(fixture->store);
    g_clear_pointer(&file, object_file_unref);
    object_fixture_restart(fixture, NULL);
    g_assert_null(object_store_take_record(fixture->store));
    g_assert_cmpuint(object_fixture_calls(fixture, MEMORY_ANY), ==, 0);
}

static void
test_rename_follows(ObjectFixture *fixture, gconstpointer keys)
{
    GError *error = NULL;
    g_autoptr(ObjectFile) file = object_fixture_create(fixture, ".tmp");
    FileHandle *handle = object_file_open(file, O_RDWR);
    object_fixture_write(handle, 0, "text", 4);
    object_fixture_flush_and_close(handle);
    object_fixture_put(fixture, "old", "before", 6);
    g_auto(ObjectInfo) replaced = {0};
    storage_stat_object(fixture->base.storage, NULL, "c", "old", &replaced, NULL);
    g_assert_true(object_file_take_place(file, NULL, "c", "old", &replaced, NULL, &error));
    g_clear_pointer(&file, object_file_unref);
    object_fixture_restart(fixture, NULL);
    file = restore(fixture);
    memory_fault_reset_counts(fixture->base.store);
    object_store_start_journal(fixture->store);
    await(fixture, 0, UPLOAD_WAITING);
    object_fixture_assert_stored(fixture, "old", "text", 4);
    g_assert_cmpuint(object_fixture_calls(fixture, MEMORY_WRITE_OBJECT), ==, 1);
    g_assert_false(storage_stat_object(fixture->base.storage, NULL, "c", ".tmp", &replaced, NULL));
}

static void
test_attributes_alone_are_kept(ObjectFixture *fixture, gconstpointer keys)
{
    FileAttributes wanted = {.mode = 0600};
    object_fixture_put(fixture, "a", "text", 4);
    FileHandle *handle = object_fixture_open(fixture, "a", FALSE);
    object_file_set_attributes(object_file_of_handle(handle), FILE_SET_MODE, &wanted);
    object_fixture_flush_and_close(handle);
    object_fixture_restart(fixture, NULL);
    g_autoptr(ObjectFile) file = restore(fixture);
    object_store_start_journal(fixture->store);
    await(fixture, 0, UPLOAD_WAITING);
    g_auto(ObjectInfo) info = {0};
    g_assert_true(storage_stat_object(fixture->base.storage, NULL, "c", "a", &info, NULL));
    g_assert_cmpstr(g_hash_table_lookup(info.metadata, "mode"), ==, "33152");
    object_fixture_assert_stored(fixture, "a", "text", 4);
}

/* Attributes set after the close, while the object is on its way. */
static void
test_attributes_during_an_upload(ObjectFixture *fixture, gconstpointer keys)
{
    GError *error = NULL;
    MemoryFault hang = {.operation = MEMORY_WRITE_OBJECT, .blocks = TRUE, .times = 1};
    FileAttributes wanted = {.mode = 0600};
    g_autoptr(ObjectFile) file = object_fixture_create(fixture, "a");
    FileHandle *handle = object_file_open(file, O_RDWR);
    object_fixture_write(handle, 0, "text", 4);
    object_fixture_flush_and_close(handle);
    memory_fault_add(fixture->base.store, &hang);
    object_store_start_journal(fixture->store);
    g_assert_true(memory_fault_wait_blocked(fixture->base.store, 1, WAIT_US));
    object_file_set_attributes(file, FILE_SET_MODE, &wanted);
    g_assert_true(object_file_sync(file, NULL, &error));
    memory_fault_clear(fixture->base.store);
    await(fixture, 0, UPLOAD_WAITING);
    g_auto(ObjectInfo) info = {0};
    g_assert_true(storage_stat_object(fixture->base.storage, NULL, "c", "a", &info, NULL));
    g_assert_cmpstr(g_hash_table_lookup(info.metadata, "mode"), ==, "33152");
}

/* The record then is on top of what was stored: a crash does not take that for somebody else's. */
static void
test_attributes_after_an_upload(ObjectFixture *fixture, gconstpointer keys)
{
    GError *error = NULL;
    MemoryFault hang = {.operation = MEMORY_WRITE_OBJECT, .blocks = TRUE, .times = 1};
    FileAttributes wanted = {.mode = 0600};
    g_autoptr(ObjectFile) file = object_fixture_create(fixture, "a");
    FileHandle *handle = object_file_open(file, O_RDWR);
    object_fixture_write(handle, 0, "text", 4);
    object_fixture_flush_and_close(handle);
    memory_fault_add(fixture->base.store, &hang);
    storage_fixture_fail(&fixture->base, MEMORY_SET_METADATA, 0, ERROR_UNAVAILABLE, FALSE);
    object_store_start_journal(fixture->store);
    g_assert_true(memory_fault_wait_blocked(fixture->base.store, 1, WAIT_US));
    object_file_set_attributes(file, FILE_SET_MODE, &wanted);
    g_assert_true(object_file_sync(file, NULL, &error));
    memory_fault_release(fixture->base.store);
    await_failure(fixture);
    g_clear_pointer(&file, object_file_unref);
    object_fixture_restart(fixture, NULL);
    memory_fault_clear(fixture->base.store);
    file = restore(fixture);
    object_store_start_journal(fixture->store);
    await(fixture, 0, UPLOAD_WAITING);
    g_auto(ObjectInfo) info = {0};
    g_assert_true(storage_stat_object(fixture->base.storage, NULL, "c", "a", &info, NULL));
    g_assert_cmpstr(g_hash_table_lookup(info.metadata, "mode"), ==, "33152");
}

static void
test_copies_from_other_objects_are_stored_at_once(ObjectFixture *fixture, gconstpointer keys)
{
    GError *error = NULL;
    guint64 copied = 0;
    object_fixture_put(fixture, "source", "source text", 11);
    FileHandle *from = object_fixture_open(fixture, "source", FALSE);
    FileHandle *to = object_fixture_open(fixture, "copy", TRUE);
    g_assert_true(from->operations->copy_range(from, NULL, 0, to, 0, 11, &copied, &error));
    object_fixture_flush_and_close(to);
    g_assert_cmpuint(count(fixture), ==, 0);
    object_fixture_assert_stored(fixture, "copy", "source text", 11);
    to = object_fixture_open(fixture, "second", TRUE);
    g_assert_true(from->operations->copy_range(from, NULL, 0, to, 0, 11, &copied, &error));
    storage_fixture_fail(&fixture->base, MEMORY_COPY_OBJECT, 0, ERROR_UNAVAILABLE, FALSE);
    object_fixture_flush_and_close(to);
    g_assert_cmpuint(count(fixture), ==, 1);
    object_fixture_close(from);
    memory_fault_clear(fixture->base.store);
    object_store_start_journal(fixture->store);
    await(fixture, 0, UPLOAD_WAITING);
    object_fixture_assert_stored(fixture, "second", "source text", 11);
}

static void
test_full_journal(ObjectFixture *fixture, gconstpointer keys)
{
    GError *error = NULL;
    const gsize size = 300 * KIB;
    g_autofree guint8 *data = object_fixture_pattern(7, size);
    fixture->journal_size_bytes = 512 * KIB;
    object_fixture_restart(fixture, NULL);
    object_store_start_journal(fixture->store);
    MemoryFault hang = {.operation = MEMORY_COMMIT_UPLOAD, .blocks = TRUE};
    memory_fault_add(fixture->base.store, &hang);
    put(fixture, "a", TRUE, data, size);
    FileHandle *handle = object_fixture_open(fixture, "b", TRUE);
    object_fixture_write_forward(handle, data, 200 * KIB, 40 * KIB);
    /* Nothing leaves in time. */
    g_autoptr(Call) hurried = call_new(50 * 1000);
    g_assert_false(
        handle->operations->write(handle, hurried, 200 * KIB, data + 200 * KIB, 100 * KIB, &error));
    g_assert_error(error, STORAGEFS_ERROR, ERROR_NO_SPACE);
    g_clear_error(&error);
    memory_fault_clear(fixture->base.store);
    /* It waits until the first one is stored. */
    object_fixture_write(handle, 200 * KIB, data + 200 * KIB, 100 * KIB);
    object_fixture_flush_and_close(handle);
    await(fixture, 0, UPLOAD_WAITING);
    object_fixture_assert_stored(fixture, "a", data, size);
    object_fixture_assert_stored(fixture, "b", data, size);
    ObjectStoreStatistics statistics;
    object_store_get_statistics(fixture->store, &statistics);
    g_assert_cmpuint(statistics.journal_bytes, ==, 0);
}

static void
test_unreadable_records_are_set_aside(ObjectFixture *fixture, gconstpointer keys)
{
    GError *error = NULL;
    g_autofree guint8 *data = object_fixture_pattern(8, 200 * KIB);
    put(fixture, "a", TRUE, data, 200 * KIB);
    g_autofree char *id = get_id(fixture), *name = g_strconcat(id, ".record", NULL);
    g_autofree char *path = g_build_filename(fixture->journal, name, NULL);
    g_autofree char *aside = g_build_filename(fixture->journal, "unreadable", name, NULL);
    g_autofree char *aside_id = g_strconcat("unreadable/", name, NULL);
    object_store_leave_uploads(fixture->store);
    object_store_end_journal(fixture->store, NULL);
    g_assert_cmpint(truncate(path, 20), ==, 0);
    object_fixture_restart(fixture, NULL);
    g_assert_null(object_store_take_record(fixture->store));
    g_assert_true(g_file_test(aside, G_FILE_TEST_IS_REGULAR));
    /* The record, and the bytes that may be its. */
    g_assert_cmpuint(count(fixture), ==, 2);
    g_assert_true(object_store_drop_upload(fixture->store, aside_id, &error));
    g_assert_cmpuint(count(fixture), ==, 1);
}

static void
test_strays_are_kept(ObjectFixture *fixture, gconstpointer keys)
{
    GError *error = NULL;
    put_text(fixture, "a", "text");
    object_fixture_restart(fixture, NULL);
    object_store_add_stray(fixture->store, object_store_take_record(fixture->store), "no such storage");
    g_autofree char *id = get_id(fixture), *path = g_build_filename(fixture->folder, "export", NULL);
    g_assert_true(object_store_export_upload(fixture->store, NULL, id, path, &error));
    g_autofree char *text = NULL;
    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    g_assert_cmpstr(text, ==, "text");
    object_fixture_restart(fixture, NULL);
    g_autoptr(ObjectFile) file = restore(fixture);
    g_assert_cmpuint(count(fixture), ==, 1);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    struct {
        const char *name;
        void (*run)(ObjectFixture *fixture, gconstpointer keys);
    } tests[] = {
        {"close", test_close_needs_no_storage},
        {"restart", test_restart_brings_it_back},
        {"restart-edit", test_restart_of_a_small_edit},
        {"collapse", test_rewriting_is_stored_once},
        {"protected", test_readers_keep_their_bytes_while_it_is_protected},
        {"conflict", test_conflict_is_parked_and_kept},
        {"refused", test_refusal_is_parked_until_retried},
        {"transient", test_transient_failures_are_tried_again},
        {"recognised", test_what_was_stored_is_recognised},
        {"write-ends-upload", test_writing_ends_the_upload},
        {"removed", test_removal_takes_everything_along},
        {"renamed", test_rename_follows},
        {"attributes", test_attributes_alone_are_kept},
        {"attributes-during", test_attributes_during_an_upload},
        {"attributes-after", test_attributes_after_an_upload},
        {"copies", test_copies_from_other_objects_are_stored_at_once},
        {"full", test_full_journal},
        {"unreadable", test_unreadable_records_are_set_aside},
        {"strays", test_strays_are_kept},
    };
    for (guint i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_autofree char *path = g_strconcat("/object_journal/", tests[i].name, NULL);
        object_fixture_add(path, tests[i].run, OBJECT_FIXTURE_JOURNAL_KEYS);
    }
    return g_test_run();
}
