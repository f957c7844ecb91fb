/* Handles on files of the local file system: the kernel's own behaviour, also at the end and where it
 * refuses. */
#include "tests/unit/object_fixture.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static FileHandle *
open_local(ObjectFixture *fixture, const char *name, int flags)
{
    g_autofree char *path = g_build_filename(fixture->folder, name, NULL);
    int fd = open(path, flags | O_CREAT | O_CLOEXEC, 0600);
    g_assert_cmpint(fd, >=, 0);
    return local_handle_new(fixture->base.storage, fd, flags);
}

static void
assert_read(FileHandle *handle, guint64 offset, gsize length_bytes, const char *expected)
{
    g_autoptr(GBytes) bytes = object_fixture_read(handle, offset, length_bytes);
    g_assert_cmpmem(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes), expected, strlen(expected));
}

static void
test_reads_and_writes(ObjectFixture *fixture, gconstpointer keys)
{
    GError *error = NULL;
    FileHandle *handle = open_local(fixture, "a", O_RDWR);
    object_fixture_write(handle, 0, "hello world", 11);
    assert_read(handle, 6, 100, "world");
    assert_read(handle, 11, 100, "");
    g_assert_true(handle->operations->truncate(handle, NULL, 5, &error));
    assert_read(handle, 0, 100, "hello");
    g_assert_true(object_fixture_flush(handle, &error));
    g_assert_true(handle->operations->sync(handle, NULL, TRUE, &error));
    g_assert_true(handle->operations->sync(handle, NULL, FALSE, &error));
    object_fixture_close(handle);
}

static void
test_append_goes_to_the_end(ObjectFixture *fixture, gconstpointer keys)
{
    FileHandle *handle = open_local(fixture, "a", O_RDWR | O_APPEND);
    object_fixture_write(handle, 0, "one", 3);
    object_fixture_write(handle, 0, "two", 3);
    assert_read(handle, 0, 100, "onetwo");
    object_fixture_close(handle);
}

static void
test_copy_and_seek(ObjectFixture *fixture, gconstpointer keys)
{
    GError *error = NULL;
    guint64 copied = 0, at = 0;
    FileHandle *from = open_local(fixture, "a", O_RDWR), *to = open_local(fixture, "b", O_RDWR);
    object_fixture_write(from, 0, "hello world", 11);
    g_assert_true(from->operations->copy_range(from, NULL, 6, to, 2, 100, &copied, &error));
    g_assert_cmpuint(copied, ==, 5);
    g_autoptr(GBytes) bytes = object_fixture_read(to, 0, 100);
    g_assert_cmpmem(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes), "\0\0world", 7);
    g_assert_true(from->operations->seek(from, NULL, 0, SEEK_HOLE, &at, &error));
    g_assert_cmpuint(at, ==, 11);
    g_assert_true(from->operations->seek(from, NULL, 100, SEEK_DATA, &at, &error));
    g_assert_cmpuint(at, ==, G_MAXUINT64);
    object_fixture_close(from);
    object_fixture_close(to);
}

static void
test_refusals_are_the_kernel_s(ObjectFixture *fixture, gconstpointer keys)
{
    GError *error = NULL;
    FileHandle *handle = open_local(fixture, "a", O_RDONLY);
    g_assert_false(handle->operations->write(handle, NULL, 0, "x", 1, &error));
    g_assert_nonnull(error);
    g_clear_error(&error);
    g_assert_false(handle->operations->allocate(handle, NULL, 0, 0, 10, &error));
    g_clear_error(&error);
    object_fixture_close(handle);
    handle = open_local(fixture, "b", O_RDWR);
    g_assert_true(handle->operations->allocate(handle, NULL, 0, 0, 4096, &error));
    g_assert_true(handle->operations->seek(handle, NULL, 0, SEEK_END, &(guint64){0}, &error));
    object_fixture_close(handle);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    object_fixture_add("/object/local/reads-and-writes", test_reads_and_writes, NULL);
    object_fixture_add("/object/local/append", test_append_goes_to_the_end, NULL);
    object_fixture_add("/object/local/copy-and-seek", test_copy_and_seek, NULL);
    object_fixture_add("/object/local/refusals", test_refusals_are_the_kernel_s, NULL);
    return g_test_run();
}
