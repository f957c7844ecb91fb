/* When the service refuses: who wins, what the loser is told, and where his bytes are. */
#include "src/base/error.h"
#include "tests/unit/object_fixture.h"

#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define KIB 1024u

/* What was synchronized, by inode. */
static ino_t synced[64];
static guint synced_count;

/* Stands before the C library's. */
int
fsync(int fd)
{
    struct stat status;
    if (synced_count < G_N_ELEMENTS(synced) && fstat(fd, &status) == 0)
        synced[synced_count++] = status.st_ino;
    return (int)syscall(SYS_fsync, fd);
}

static guint
find_synced(const char *path)
{
    struct stat status;
    guint index = 0;
    g_assert_cmpint(stat(path, &status), ==, 0);
    while (index < synced_count && synced[index] != status.st_ino)
        index++;
    g_assert_cmpuint(index, <, synced_count);
    return index;
}

/* The only regular file below the folder whose name does not end in .info. */
static char *
find_saved(const char *folder)
{
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    const char *name;
    while (dir != NULL && (name = g_dir_read_name(dir)) != NULL) {
        g_autofree char *path = g_build_filename(folder, name, NULL);
        if (g_file_test(path, G_FILE_TEST_IS_DIR)) {
            char *found = find_saved(path);
            if (found != NULL)
                return found;
        } else if (!g_str_has_suffix(name, ".info")) {
            return g_steal_pointer(&path);
        }
    }
    return NULL;
}

static void
assert_saved(ObjectFixture *fixture, const void *data, gsize length_bytes)
{
    gsize length = 0;
    g_autofree char *text = NULL, *path = find_saved(fixture->recovery);
    g_assert_nonnull(path);
    g_assert_true(g_file_get_contents(path, &text, &length, NULL));
    g_assert_cmpmem(text, length, data, length_bytes);
    g_autoptr(GPtrArray) uploads = object_store_list_uploads(fixture->store);
    guint parked = 0;
    for (guint i = 0; i < uploads->len; i++) {
        UploadStatus *status = g_ptr_array_index(uploads, i);
        if (status->state != UPLOAD_PARKED)
            continue;
        parked++;
        g_assert_cmpstr(status->storage, ==, "s");
        g_assert_cmpstr(status->container, ==, "c");
        g_assert_cmpstr(status->recovery_path, ==, path);
        g_assert_cmpuint(status->size_bytes, ==, length_bytes);
    }
    g_assert_cmpuint(parked, ==, 1);
}

static void
test_second_writer_loses_and_keeps_its_bytes(ObjectFixture *fixture, gconstpointer keys)
{
    GError *error = NULL;
    object_fixture_put(fixture, "dir/a", "first version", 13);
    FileHandle *handle = object_fixture_open(fixture, "dir/a", FALSE);
    object_fixture_write(handle, 0, "mine!", 5);
    g_autoptr(GBytes) rest = object_fixture_read(handle, 0, 13);
    g_assert_cmpmem(g_bytes_get_data(rest, NULL), g_bytes_get_size(rest), "mine! version", 13);
    object_fixture_put(fixture, "dir/a", "theirs", 6);
    g_assert_false(object_fixture_flush(handle, &error));
    g_assert_error(error, STORAGEFS_ERROR, ERROR_CHANGED);
    g_clear_error(&error);
    g_assert_false(object_fixture_flush(handle, &error));
    g_assert_error(error, STORAGEFS_ERROR, ERROR_CHANGED);
    g_clear_error(&error);
    object_fixture_close(handle);
    object_fixture_assert_stored(fixture, "dir/a", "theirs", 6);
    g_autofree char *path = find_saved(fixture->recovery);
    struct stat status;
    g_assert_cmpint(stat(path, &status), ==, 0);
    g_assert_cmpuint(status.st_mode & 07777, ==, 0600);
}

/* Nothing of the old version is needed, so the condition of the write alone protects the other writer. */
static void
test_rewritten_object_keeps_the_other_writer(ObjectFixture *fixture, gconstpointer keys)
{
    static const gsize SIZES[] = {100, 300 * KIB};
    for (guint i = 0; i < G_N_ELEMENTS(SIZES); i++) {
        GError *error = NULL;
        g_autofree guint8 *data = object_fixture_pattern(i, SIZES[i]);
        object_fixture_put(fixture, "a", "old", 3);
        FileHandle *handle = object_fixture_open(fixture, "a", FALSE);
        g_assert_true(handle->operations->truncate(handle, NULL, 0, &error));
        object_fixture_write_forward(handle, data, SIZES[i], 16 * KIB);
        object_fixture_put(fixture, "a", "theirs", 6);
        g_assert_false(object_fixture_flush(handle, &error));
        g_assert_error(error, STORAGEFS_ERROR, ERROR_CHANGED);
        g_clear_error(&error);
        object_fixture_close(handle);
        object_fixture_assert_stored(fixture, "a", "theirs", 6);
    }
}

static void
test_lost_bytes_are_complete_when_all_are_here(ObjectFixture *fixture, gconstpointer keys)
{
    GError *error = NULL;
    FileHandle *handle = object_fixture_open(fixture, "new", TRUE);
    object_fixture_write(handle, 0, "mine", 4);
    object_fixture_put(fixture, "new", "theirs", 6);
    g_assert_false(object_fixture_flush(handle, &error));
    g_assert_error(error, STORAGEFS_ERROR, ERROR_CHANGED);
    g_clear_error(&error);
    object_fixture_close(handle);
    assert_saved(fixture, "mine", 4);
    object_fixture_assert_stored(fixture, "new", "theirs", 6);
}

static void
test_exclusive_creation_tells_exists(ObjectFixture *fixture, gconstpointer keys)
{
    GError *error = NULL;
    FileAttributes attributes = {.mode = S_IFREG | 0644};
    g_autoptr(ObjectFile) file =
        object_file_new(fixture->store, fixture->base.storage, "c", "new", NULL, &attributes, TRUE, NULL);
    FileHandle *handle = object_file_open(file, O_RDWR);
    object_fixture_put(fixture, "new", "theirs", 6);
    g_assert_false(object_fixture_flush(handle, &error));
    g_assert_error(error, STORAGEFS_ERROR, ERROR_EXISTS);
    g_clear_error(&error);
    object_fixture_close(handle);
    object_fixture_assert_stored(fixture, "new", "theirs", 6);
}

static void
test_unreachable_storage_keeps_the_bytes(ObjectFixture *fixture, gconstpointer keys)
{
    GError *error = NULL;
    FileHandle *handle = object_fixture_open(fixture, "a", TRUE);
    object_fixture_write(handle, 0, "data", 4);
    storage_fixture_fail(&fixture->base, MEMORY_ANY, 0, ERROR_UNAVAILABLE, FALSE);
    g_assert_false(object_fixture_flush(handle, &error));
    g_clear_error(&error);
    g_assert_true(object_file_is_dirty(object_file_of_handle(handle)));
    memory_fault_clear(fixture->base.store);
    object_fixture_flush_and_close(handle);
    object_fixture_assert_stored(fixture, "a", "data", 4);
    g_assert_null(find_saved(fixture->recovery));
}

static void
test_unreachable_storage_at_close_saves(ObjectFixture *fixture, gconstpointer keys)
{
    GError *error = NULL;
    FileHandle *handle = object_fixture_open(fixture, "a", TRUE);
    object_fixture_write(handle, 0, "data", 4);
    storage_fixture_fail(&fixture->base, MEMORY_ANY, 0, ERROR_DENIED, FALSE);
    g_assert_false(object_fixture_flush(handle, &error));
    g_assert_error(error, STORAGEFS_ERROR, ERROR_DENIED);
    g_clear_error(&error);
    g_autoptr(ObjectFile) file = object_file_ref(object_file_of_handle(handle));
    object_fixture_close(handle);
    memory_fault_clear(fixture->base.store);
    assert_saved(fixture, "data", 4);
    g_assert_true(object_file_is_dropped(file));
}

static void
test_saved_names_outlast_a_crash(ObjectFixture *fixture, gconstpointer keys)
{
    FileHandle *handle = object_fixture_open(fixture, "new", TRUE);
    object_fixture_write(handle, 0, "mine", 4);
    object_fixture_put(fixture, "new", "theirs", 6);
    synced_count = 0;
    g_assert_false(object_fixture_flush(handle, NULL));
    object_fixture_close(handle);
    g_autofree char *path = find_saved(fixture->recovery), *info = g_strconcat(path, ".info", NULL);
    g_autofree char *container = g_path_get_dirname(path), *storage = g_path_get_dirname(container);
    g_assert_cmpuint(find_synced(container), >, find_synced(path));
    g_assert_cmpuint(find_synced(container), >, find_synced(info));
    find_synced(storage);
    find_synced(fixture->recovery);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define ADD(name) object_fixture_add("/object/conflict/" #name, test_##name, NULL)
    ADD(second_writer_loses_and_keeps_its_bytes);
    ADD(rewritten_object_keeps_the_other_writer);
    ADD(lost_bytes_are_complete_when_all_are_here);
    ADD(exclusive_creation_tells_exists);
    ADD(unreachable_storage_keeps_the_bytes);
    ADD(unreachable_storage_at_close_saves);
    object_fixture_add("/object/conflict/saved-names", test_saved_names_outlast_a_crash, NULL);
    return g_test_run();
}
