/* A read-only file system: everything that changes something is refused, the rest goes through. */
#include "src/storage/storage.h"

#include "tests/unit/storage_fixture.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

typedef struct {
    char *base, *folder, *file;
    Storage *storage;
    const FileOperations *files;
    DriverInstance *instance;
} Fixture;

static void
set_up(Fixture *fixture, gconstpointer read_only)
{
    GError *error = NULL;
    fixture->base = g_dir_make_tmp("storagefs-files-XXXXXX", NULL);
    fixture->folder = g_build_filename(fixture->base, "c", NULL);
    fixture->file = g_build_filename(fixture->folder, "k", NULL);
    g_assert_cmpint(g_mkdir(fixture->folder, 0755), ==, 0);
    g_assert_true(g_file_set_contents(fixture->file, "text", -1, NULL));
    g_autofree char *text =
        g_strdup_printf("[storage s]\ndriver = local\npath = %s\nread_only = %s\ncreate_containers = new\n",
                        fixture->base, read_only ? "yes" : "no");
    g_autoptr(Settings) settings = storage_fixture_settings(text);
    fixture->storage = storage_new(g_ptr_array_index(settings->storages, 0), &error);
    g_assert_no_error(error);
    fixture->files = storage_get_files(fixture->storage);
    fixture->instance = storage_get_instance(fixture->storage);
    g_assert_true(storage_is_file_system(fixture->storage));
}

static void
tear_down(Fixture *fixture, gconstpointer read_only)
{
    g_autofree char *made = g_build_filename(fixture->base, "new", NULL);
    storage_unref(fixture->storage);
    g_remove(fixture->file);
    g_rmdir(made);
    g_rmdir(fixture->folder);
    g_rmdir(fixture->base);
    g_free(fixture->file);
    g_free(fixture->folder);
    g_free(fixture->base);
}

static void
test_writable(Fixture *fixture, gconstpointer read_only)
{
    int fd = -1;
    GError *error = NULL;
    fixture->files->open_file(fixture->instance, "c", "k", O_RDWR, 0, FALSE, &fd, &error);
    g_assert_no_error(error);
    close(fd);
}

/* Containers to be made are there as soon as the storage is connected. */
static void
test_connects_at_once(Fixture *fixture, gconstpointer read_only)
{
    g_autofree char *made = g_build_filename(fixture->base, "new", NULL);
    storage_connect(fixture->storage);
    g_assert_true(g_file_test(made, G_FILE_TEST_IS_DIR) == !read_only);
    g_assert_true(storage_wait_connected(fixture->storage, NULL, NULL));
}

static gboolean
count_one(gpointer data, const char *name, unsigned char type)
{
    ++*(guint *)data;
    return TRUE;
}

static void
test_reading_goes_through(Fixture *fixture, gconstpointer read_only)
{
    const FileOperations *files = fixture->files;
    struct stat info;
    struct statvfs system;
    char buffer[8];
    int fd = -1;
    guint count = 0;
    g_assert_true(files->stat_file(fixture->instance, "c", "k", &info, NULL));
    g_assert_cmpint(info.st_size, ==, 4);
    g_assert_true(files->open_file(fixture->instance, "c", "k", O_RDONLY, 0, FALSE, &fd, NULL));
    g_assert_cmpint(read(fd, buffer, sizeof buffer), ==, 4);
    close(fd);
    g_assert_true(files->list_folder(fixture->instance, "c", "", count_one, &count, NULL));
    g_assert_cmpuint(count, ==, 1);
    g_assert_true(files->stat_filesystem(fixture->instance, &system, NULL));
}

static void
assert_refused(gboolean done, GError **error)
{
    g_assert_false(done);
    g_assert_error(*error, STORAGEFS_ERROR, ERROR_READ_ONLY);
    g_clear_error(error);
}

static void
test_changes_are_refused(Fixture *fixture, gconstpointer read_only)
{
    const FileOperations *files = fixture->files;
    DriverInstance *instance = fixture->instance;
    const struct timespec times[2] = {{0}};
    const struct stat attributes = {0};
    static const int flags[] = {O_WRONLY, O_RDWR, O_RDONLY | O_TRUNC, O_RDONLY | O_CREAT};
    GError *error = NULL;
    int fd = -1;
    for (guint i = 0; i < G_N_ELEMENTS(flags); i++)
        assert_refused(files->open_file(instance, "c", "k", flags[i], 0600, FALSE, &fd, &error), &error);
    assert_refused(files->make_folder(instance, "c", "d", 0700, &error), &error);
    assert_refused(files->remove_folder(instance, "c", "d", &error), &error);
    assert_refused(files->remove_file(instance, "c", "k", TRUE, &error), &error);
    assert_refused(files->rename_file(instance, "c", "k", "c", "l", 0, TRUE, &error), &error);
    assert_refused(files->make_symlink(instance, "c", "l", "k", FALSE, &error), &error);
    assert_refused(files->set_attributes(instance, "c", "k", FILE_SET_MODE, &attributes, times, &error),
                   &error);
    assert_refused(files->set_xattr(instance, "c", "k", "user.a", "b", 1, 0, &error), &error);
    assert_refused(files->remove_xattr(instance, "c", "k", "user.a", &error), &error);
    g_assert_true(g_file_test(fixture->file, G_FILE_TEST_EXISTS));
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add("/storage-files/writable", Fixture, NULL, set_up, test_writable, tear_down);
    g_test_add("/storage-files/connects-at-once", Fixture, NULL, set_up, test_connects_at_once, tear_down);
    g_test_add("/storage-files/read-only-makes-nothing", Fixture, "yes", set_up, test_connects_at_once,
               tear_down);
    g_test_add("/storage-files/reading-goes-through", Fixture, "yes", set_up, test_reading_goes_through,
               tear_down);
    g_test_add("/storage-files/changes-are-refused", Fixture, "yes", set_up, test_changes_are_refused,
               tear_down);
    return g_test_run();
}
