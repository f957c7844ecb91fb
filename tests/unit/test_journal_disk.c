/* Open objects with durability = journal on a disk that fails, or is full: what was acknowledged is stored
 * all the same, and what is on disk is never torn.
 */
#include "tests/unit/object_fixture.h"

#include "src/base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define KIB 1024u
#define WAIT_US (20 * G_USEC_PER_SEC)

/* errno of each fsync of a file, and of a directory; 0: they succeed. */
static gint file_syncs_fail, folder_syncs_fail;
static gint recovery_works; /* it is on another disk */

static gboolean
is_in_recovery(int fd)
{
    g_autofree char *link = g_strdup_printf("/proc/self/fd/%d", fd);
    g_autofree char *path = g_file_read_link(link, NULL);
    return path != NULL && strstr(path, "/recovery") != NULL;
}

static gboolean
fails(int fd)
{
    struct stat status;
    if (g_atomic_int_get(&recovery_works) && is_in_recovery(fd))
        return FALSE;
    gint number = fstat(fd, &status) == 0 && S_ISDIR(status.st_mode) ? g_atomic_int_get(&folder_syncs_fail)
                                                                     : g_atomic_int_get(&file_syncs_fail);
    errno = number;
    return number != 0;
}

/* In place of the C library's. */
int
fsync(int fd)
{
    return fails(fd) ? -1 : (int)syscall(SYS_fsync, fd);
}

int
fdatasync(int fd)
{
    return fails(fd) ? -1 : (int)syscall(SYS_fdatasync, fd);
}

static guint
count(ObjectFixture *fixture)
{
    g_autoptr(GPtrArray) uploads = object_store_list_uploads(fixture->store);
    return uploads->len;
}

static void
await_stored(ObjectFixture *fixture)
{
    gint64 end_us = g_get_monotonic_time() + WAIT_US;
    while (count(fixture) > 0) {
        g_assert_cmpint(g_get_monotonic_time(), <, end_us);
        g_usleep(1000);
    }
}

/* FALSE: its close failed. */
static gboolean
overwrite(ObjectFile *file, const void *data, gsize length)
{
    FileHandle *handle = object_file_open(file, O_RDWR);
    object_fixture_write(handle, 0, data, length);
    gboolean ok = object_fixture_flush(handle, NULL);
    object_fixture_close(handle);
    return ok;
}

/* "one" waits; "two" is written on a full disk, while the storage refuses. */
static void
fail_to_overwrite(ObjectFixture *fixture, ObjectFile *file)
{
    object_store_start_journal(fixture->store);
    storage_fixture_fail(&fixture->base, MEMORY_ANY, 0, ERROR_UNAVAILABLE, FALSE);
    g_assert_true(overwrite(file, "one", 3));
    g_atomic_int_set(&file_syncs_fail, ENOSPC);
    g_assert_false(overwrite(file, "two", 3));
}

static void
test_a_failed_commit_is_made_up_for(ObjectFixture *fixture, gconstpointer keys)
{
    g_autoptr(ObjectFile) file = object_fixture_create(fixture, "a");
    fail_to_overwrite(fixture, file);
    /* It is tried meanwhile, in vain. */
    g_usleep(2 * G_USEC_PER_SEC);
    g_assert_cmpuint(count(fixture), ==, 1);
    g_atomic_int_set(&file_syncs_fail, 0);
    memory_fault_clear(fixture->base.store);
    await_stored(fixture);
    object_fixture_assert_stored(fixture, "a", "two", 3);
}

/* The recovery directory has it then, and the journal has promised to store an older state. */
static void
test_a_saved_file_is_stored_too(ObjectFixture *fixture, gconstpointer keys)
{
    g_autoptr(ObjectFile) file = object_fixture_create(fixture, "a");
    object_store_start_journal(fixture->store);
    storage_fixture_fail(&fixture->base, MEMORY_ANY, 0, ERROR_UNAVAILABLE, FALSE);
    g_assert_true(overwrite(file, "one", 3));
    g_atomic_int_set(&recovery_works, TRUE);
    g_atomic_int_set(&file_syncs_fail, ENOSPC);
    g_assert_false(overwrite(file, "two", 3));
    g_atomic_int_set(&file_syncs_fail, 0);
    g_atomic_int_set(&recovery_works, FALSE);
    memory_fault_clear(fixture->base.store);
    gint64 end_us = g_get_monotonic_time() + WAIT_US;
    while (object_file_is_waiting(file)) {
        g_assert_cmpint(g_get_monotonic_time(), <, end_us);
        g_usleep(1000);
    }
    object_fixture_assert_stored(fixture, "a", "two", 3);
    g_assert_cmpuint(count(fixture), ==, 1);
}

static void
assert_restores(ObjectFixture *fixture, const char *journal, const guint8 *data, gsize length)
{
    GError *error = NULL;
    object_fixture_restart(fixture, journal);
    JournalRecord *record = object_store_take_record(fixture->store);
    g_assert_nonnull(record);
    g_autoptr(ObjectFile) file =
        object_file_restore(fixture->store, fixture->base.storage, record, NULL, &error);
    g_assert_no_error(error);
    FileHandle *handle = object_file_open(file, O_RDONLY);
    g_autoptr(GBytes) bytes = object_fixture_read(handle, 0, length + 1);
    object_fixture_close(handle);
    g_assert_cmpmem(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes), data, length);
}

/* fsync of the directory fails after the record has its name: what it names is there, and stays as it is. */
static void
test_a_record_whose_name_was_not_forced(ObjectFixture *fixture, gconstpointer keys)
{
    gsize length = 200 * KIB;
    g_autofree guint8 *first = object_fixture_pattern(1, length), *second = object_fixture_pattern(2, length);
    for (guint commits = 0; commits < 2; commits++) {
        g_autofree char *key = g_strdup_printf("k-%u", commits);
        ObjectFile *file = object_fixture_create(fixture, key);
        FileHandle *handle = object_file_open(file, O_RDWR);
        if (commits > 0) {
            object_fixture_write_forward(handle, first, length, 64 * KIB);
            g_assert_true(object_fixture_flush(handle, NULL));
        }
        object_fixture_write_forward(handle, second, length, 64 * KIB);
        g_atomic_int_set(&folder_syncs_fail, EIO);
        g_assert_false(object_fixture_flush(handle, NULL));
        g_atomic_int_set(&folder_syncs_fail, 0);
        /* Not committed, and a crash does not show it. */
        object_fixture_write(handle, 0, "torn", 4);
        g_autofree char *copy = g_strdup_printf("%s/copy-%u", fixture->folder, commits);
        const char *words[] = {"cp", "-a", fixture->journal, copy, NULL};
        g_assert_true(g_spawn_sync(NULL, (char **)words, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL,
                                   NULL, NULL));
        g_assert_true(object_fixture_flush(handle, NULL));
        object_fixture_close(handle);
        object_file_drop(file);
        object_file_unref(file);
        assert_restores(fixture, copy, second, length);
        object_fixture_restart(fixture, NULL);
        g_assert_null(object_store_take_record(fixture->store));
    }
}

/* Bytes that only this machine has count, however they got into the file. */
static void
test_copies_take_space(ObjectFixture *fixture, gconstpointer keys)
{
    GError *error = NULL;
    const gsize size = 300 * KIB;
    guint64 copied = 0;
    g_autofree guint8 *data = object_fixture_pattern(7, size);
    fixture->journal_size_bytes = 512 * KIB;
    object_fixture_restart(fixture, NULL);
    object_store_start_journal(fixture->store);
    storage_fixture_fail(&fixture->base, MEMORY_ANY, 0, ERROR_UNAVAILABLE, FALSE);
    FileHandle *from = object_fixture_open(fixture, "a", TRUE), *to = object_fixture_open(fixture, "b", TRUE);
    object_fixture_write_forward(from, data, size, 40 * KIB);
    g_assert_true(object_fixture_flush(from, &error));
    g_autoptr(Call) hurried = call_new(50 * 1000);
    g_assert_false(from->operations->copy_range(from, hurried, 0, to, 0, size, &copied, &error));
    g_assert_error(error, STORAGEFS_ERROR, ERROR_NO_SPACE);
    ObjectStoreStatistics statistics;
    object_store_get_statistics(fixture->store, &statistics);
    g_assert_cmpuint(statistics.journal_bytes, ==, size);
    memory_fault_clear(fixture->base.store);
    /* What fits is copied, the rest when the first one is stored. */
    g_assert_true(from->operations->copy_range(from, NULL, 0, to, 0, size, &copied, NULL));
    g_assert_cmpuint(copied, ==, size);
    object_fixture_flush_and_close(to);
    object_fixture_close(from);
    await_stored(fixture);
    object_fixture_assert_stored(fixture, "b", data, size);
    g_clear_error(&error);
}

/* What is exported may be dropped then. */
static void
test_an_export_is_durable(ObjectFixture *fixture, gconstpointer keys)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(ObjectFile) file = object_fixture_create(fixture, "a");
    g_assert_true(overwrite(file, "one", 3));
    g_autoptr(GPtrArray) uploads = object_store_list_uploads(fixture->store);
    const char *id = ((UploadStatus *)uploads->pdata[0])->id;
    g_autofree char *path = g_build_filename(fixture->folder, "export", NULL);
    for (guint i = 0; i < 2; i++) {
        g_atomic_int_set(i == 0 ? &file_syncs_fail : &folder_syncs_fail, EIO);
        g_assert_false(object_store_export_upload(fixture->store, NULL, id, path, &error));
        g_assert_error(error, STORAGEFS_ERROR, ERROR_IO);
        g_clear_error(&error);
        g_assert_false(g_file_test(path, G_FILE_TEST_EXISTS));
        g_atomic_int_set(&file_syncs_fail, 0);
        g_atomic_int_set(&folder_syncs_fail, 0);
    }
    g_assert_true(object_store_export_upload(fixture->store, NULL, id, path, &error));
}

/* How long and how often it was tried, and what was wrong. */
static void
test_a_restart_keeps_the_history(ObjectFixture *fixture, gconstpointer keys)
{
    ObjectFile *file = object_fixture_create(fixture, "a");
    object_store_start_journal(fixture->store);
    storage_fixture_fail(&fixture->base, MEMORY_ANY, 0, ERROR_DENIED, FALSE);
    g_assert_true(overwrite(file, "one", 3));
    gint64 end_us = g_get_monotonic_time() + WAIT_US;
    for (UploadState state = UPLOAD_WAITING; state != UPLOAD_PARKED; g_usleep(1000)) {
        g_autoptr(GPtrArray) uploads = object_store_list_uploads(fixture->store);
        state = ((UploadStatus *)uploads->pdata[0])->state;
        g_assert_cmpint(g_get_monotonic_time(), <, end_us);
    }
    g_usleep(G_USEC_PER_SEC);
    object_file_unref(file);
    object_fixture_restart(fixture, NULL);
    JournalRecord *record = object_store_take_record(fixture->store);
    file = object_file_restore(fixture->store, fixture->base.storage, record, NULL, NULL);
    g_autoptr(GPtrArray) uploads = object_store_list_uploads(fixture->store);
    const UploadStatus *upload = uploads->pdata[0];
    g_assert_cmpuint(upload->attempts, ==, 1);
    g_assert_cmpint(upload->age_us, >=, G_USEC_PER_SEC);
    g_assert_nonnull(upload->last_error);
    /* What is committed on top is as old as the oldest change that is not stored. */
    g_assert_true(overwrite(file, "two", 3));
    object_file_unref(file);
    object_fixture_restart(fixture, NULL);
    record = object_store_take_record(fixture->store);
    g_assert_cmpint(g_get_real_time() - record->since_us, >=, G_USEC_PER_SEC);
    object_store_add_stray(fixture->store, record, "the end of the test");
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    object_fixture_add("/journal_disk/failed_commit", test_a_failed_commit_is_made_up_for,
                       OBJECT_FIXTURE_JOURNAL_KEYS);
    object_fixture_add("/journal_disk/saved", test_a_saved_file_is_stored_too, OBJECT_FIXTURE_JOURNAL_KEYS);
    object_fixture_add("/journal_disk/not_forced", test_a_record_whose_name_was_not_forced,
                       OBJECT_FIXTURE_JOURNAL_KEYS);
    object_fixture_add("/journal_disk/copies_take_space", test_copies_take_space,
                       OBJECT_FIXTURE_JOURNAL_KEYS);
    object_fixture_add("/journal_disk/export", test_an_export_is_durable, OBJECT_FIXTURE_JOURNAL_KEYS);
    object_fixture_add("/journal_disk/history", test_a_restart_keeps_the_history,
                       OBJECT_FIXTURE_JOURNAL_KEYS);
    return g_test_run();
}
