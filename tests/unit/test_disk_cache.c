/* What a disk cache keeps, finds again, and gives up. */
#include "src/base/error.h"
#include "tests/unit/disk_cache_fixture.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SIZE (3 * MIB + 5000)

static void
assert_objects(DiskCacheFixture *fixture, guint64 count)
{
    g_assert_cmpuint(disk_cache_fixture_statistics(fixture).objects, ==, count);
}

static void
test_finds_what_was_offered(DiskCacheFixture *fixture, gconstpointer data)
{
    static const struct {
        guint64 offset;
        gsize length;
    } RANGES[] = {{0, SIZE},          {0, 1},        {4095, 2},      {4096, 4096},
                  {MIB - 1, MIB + 2}, {SIZE - 1, 1}, {77, SIZE - 77}};
    g_assert_false(disk_cache_fixture_read_all(fixture, 1, SIZE));
    disk_cache_fixture_fill(fixture, 1, SIZE);
    for (guint i = 0; i < G_N_ELEMENTS(RANGES); i++)
        g_assert_true(disk_cache_fixture_read(fixture, 1, SIZE, RANGES[i].offset, RANGES[i].length));
    DiskCacheStatistics statistics = disk_cache_fixture_statistics(fixture);
    g_assert_true(statistics.on);
    g_assert_cmpuint(statistics.hits, ==, G_N_ELEMENTS(RANGES));
    g_assert_cmpuint(statistics.misses, ==, 1);
    g_assert_cmpuint(statistics.stored_bytes, ==, SIZE);
    g_assert_cmpuint(statistics.dropped_bytes, ==, 0);
    g_assert_cmpuint(statistics.used_bytes, ==, disk_cache_fixture_measure(fixture->folder));
}

/* One other word of what an object is, and it is another one. */
static void
test_tells_objects_apart(DiskCacheFixture *fixture, gconstpointer data)
{
    DiskCacheObject object = {"place", "container", "key", "etag", 5000};
    const DiskCacheObject others[] = {
        {"place2", "container", "key", "etag", 5000}, {"place", "container2", "key", "etag", 5000},
        {"place", "container", "key2", "etag", 5000}, {"place", "container", "key", "etag2", 5000},
        {"place", "container", "key", "etag", 5001},  {"place", "containerk", "ey", "etag", 5000},
        {"place", "container", "keye", "tag", 5000}};
    guint8 buffer[5000] = {1};
    disk_cache_offer(fixture->cache, &object, 0, 5000, buffer);
    disk_cache_flush(fixture->cache);
    for (guint i = 0; i < G_N_ELEMENTS(others); i++)
        g_assert_false(disk_cache_read(fixture->cache, &others[i], 0, 5000, buffer));
    g_assert_true(disk_cache_read(fixture->cache, &object, 0, 5000, buffer));
}

static void
test_keeps_whole_blocks(DiskCacheFixture *fixture, gconstpointer data)
{
    DiskCacheObject object = disk_cache_fixture_object(1, 20000);
    g_autofree guint8 *bytes = disk_cache_fixture_bytes(1, 20000);
    disk_cache_offer(fixture->cache, &object, 100, 8900, bytes + 100);
    disk_cache_offer(fixture->cache, &object, 16000, 4000, bytes + 16000);
    disk_cache_flush(fixture->cache);
    g_assert_true(disk_cache_fixture_read(fixture, 1, 20000, 4096, 4096));
    g_assert_true(disk_cache_fixture_read(fixture, 1, 20000, 16384, 20000 - 16384));
    g_assert_false(disk_cache_fixture_read(fixture, 1, 20000, 4095, 2));
    g_assert_false(disk_cache_fixture_read(fixture, 1, 20000, 8191, 2));
    g_assert_false(disk_cache_fixture_read(fixture, 1, 20000, 16383, 2));
    g_assert_false(disk_cache_fixture_read_all(fixture, 1, 20000));
}

static void
test_lasts(DiskCacheFixture *fixture, gconstpointer data)
{
    disk_cache_fixture_fill(fixture, 1, SIZE);
    disk_cache_fixture_fill(fixture, 2, 10);
    guint64 used = disk_cache_fixture_statistics(fixture).used_bytes;
    g_autofree char *list = g_build_filename(fixture->folder, "list", NULL);
    disk_cache_fixture_close(fixture);
    g_assert_true(g_file_test(list, G_FILE_TEST_EXISTS));
    disk_cache_fixture_open(fixture, DISK_CACHE_FIXTURE_LIMIT);
    /* It is true only once. */
    g_assert_false(g_file_test(list, G_FILE_TEST_EXISTS));
    assert_objects(fixture, 2);
    g_assert_cmpuint(disk_cache_fixture_statistics(fixture).used_bytes, ==, used);
    g_assert_true(disk_cache_fixture_read_all(fixture, 1, SIZE));
    g_assert_true(disk_cache_fixture_read_all(fixture, 2, 10));
}

/* Without a list, as after a crash: found by looking through the directory, with the same use of disk; what
 * has no partner is removed, what is not the cache's is left alone. */
static void
test_is_scanned_without_a_list(DiskCacheFixture *fixture, gconstpointer data)
{
    disk_cache_fixture_fill(fixture, 1, SIZE);
    guint64 used = disk_cache_fixture_statistics(fixture).used_bytes;
    g_autofree char *list = g_build_filename(fixture->folder, "list", NULL);
    g_autofree char *lonely = g_build_filename(fixture->folder, "ab", NULL);
    g_autofree char *lonely_map = g_build_filename(lonely, "0123456789012345678901234567ab.map", NULL);
    g_autofree char *foreign = g_build_filename(lonely, "notes", NULL);
    disk_cache_fixture_close(fixture);
    g_assert_no_errno(g_unlink(list));
    g_mkdir(lonely, 0700);
    g_assert_true(g_file_set_contents(lonely_map, "x", 1, NULL));
    g_assert_true(g_file_set_contents(foreign, "x", 1, NULL));
    disk_cache_fixture_open(fixture, DISK_CACHE_FIXTURE_LIMIT);
    assert_objects(fixture, 1);
    g_assert_cmpuint(disk_cache_fixture_statistics(fixture).used_bytes, ==, used);
    g_assert_true(disk_cache_fixture_read_all(fixture, 1, SIZE));
    g_assert_false(g_file_test(lonely_map, G_FILE_TEST_EXISTS));
    g_assert_true(g_file_test(foreign, G_FILE_TEST_EXISTS));
}

static void
test_is_bounded(DiskCacheFixture *fixture, gconstpointer data)
{
    const gsize size = 500 * KIB;
    for (guint number = 0; number < 100; number++) {
        disk_cache_fixture_fill(fixture, number, size);
        g_assert_cmpuint(disk_cache_fixture_measure(fixture->folder), <=, DISK_CACHE_FIXTURE_LIMIT);
        /* What is used stays. */
        g_assert_true(disk_cache_fixture_read(fixture, 0, size, 0, 4096));
    }
    DiskCacheStatistics statistics = disk_cache_fixture_statistics(fixture);
    g_assert_cmpuint(statistics.used_bytes, ==, disk_cache_fixture_measure(fixture->folder));
    g_assert_cmpuint(statistics.evictions + statistics.objects, ==, 100);
    g_assert_cmpuint(statistics.objects, >=, 28);
    g_assert_true(disk_cache_fixture_read_all(fixture, 99, size));
    g_assert_false(disk_cache_fixture_read(fixture, 1, size, 0, 1));
}

/* The order of use lasts too, and a smaller limit holds at once. */
static void
test_shrinks_at_start(DiskCacheFixture *fixture, gconstpointer data)
{
    for (guint number = 0; number < 12; number++)
        disk_cache_fixture_fill(fixture, number, MIB);
    g_assert_true(disk_cache_fixture_read(fixture, 0, MIB, 0, 1));
    disk_cache_fixture_close(fixture);
    disk_cache_fixture_open(fixture, 4 * MIB);
    g_assert_cmpuint(disk_cache_fixture_measure(fixture->folder), <=, 4 * MIB);
    g_assert_true(disk_cache_fixture_read_all(fixture, 0, MIB));
    g_assert_true(disk_cache_fixture_read_all(fixture, 11, MIB));
    g_assert_false(disk_cache_fixture_read_all(fixture, 1, MIB));
}

static guint
count_found(DiskCacheFixture *fixture, guint number, gsize size)
{
    guint found = 0;
    for (gsize at = 0; at < size; at += MIB)
        found += disk_cache_fixture_read(fixture, number, size, at, MIB);
    return found;
}

/* An object larger than the cache has a part there, which changes when another one is wanted for long. */
static void
test_object_larger_than_the_cache(DiskCacheFixture *fixture, gconstpointer data)
{
    const gsize size = 40 * MIB;
    disk_cache_fixture_fill(fixture, 1, size);
    g_assert_cmpuint(disk_cache_fixture_measure(fixture->folder), <=, DISK_CACHE_FIXTURE_LIMIT);
    g_assert_cmpuint(count_found(fixture, 1, size), >=, 1);
    DiskCacheObject object = disk_cache_fixture_object(1, size);
    g_autofree guint8 *bytes = disk_cache_fixture_bytes(1, size);
    for (guint round = 0; round < 40 && !disk_cache_fixture_read(fixture, 1, size, 39 * MIB, MIB); round++) {
        disk_cache_offer(fixture->cache, &object, 39 * MIB, MIB, bytes + 39 * MIB);
        disk_cache_flush(fixture->cache);
    }
    g_assert_true(disk_cache_fixture_read(fixture, 1, size, 39 * MIB, MIB));
}

/* So many that their descriptors have to be closed and opened again. */
static void
test_many_objects(DiskCacheFixture *fixture, gconstpointer data)
{
    const guint count = 700;
    for (guint number = 0; number < count; number++)
        disk_cache_fixture_fill(fixture, number, 3000);
    for (guint number = 0; number < count; number++)
        g_assert_true(disk_cache_fixture_read_all(fixture, number, 3000));
    disk_cache_fixture_restart(fixture);
    assert_objects(fixture, count);
    for (guint number = 0; number < count; number++)
        g_assert_true(disk_cache_fixture_read_all(fixture, number, 3000));
}

static int
open_complete(DiskCacheFixture *fixture, guint number, gsize size)
{
    DiskCacheObject object = disk_cache_fixture_object(number, size);
    return disk_cache_open_complete(fixture->cache, &object);
}

static void
check_descriptor(int fd, guint number, gsize size)
{
    struct stat status;
    g_autofree guint8 *buffer = g_malloc(size);
    g_autofree guint8 *bytes = disk_cache_fixture_bytes(number, size);
    g_assert_cmpint(fd, >=, 0);
    g_assert_no_errno(fstat(fd, &status));
    g_assert_cmpint(status.st_size, ==, size);
    g_assert_cmpint(fcntl(fd, F_GETFL) & O_ACCMODE, ==, O_RDONLY);
    g_assert_cmpint(pread(fd, buffer, size, 0), ==, size);
    g_assert_true(memcmp(buffer, bytes, size) == 0);
}

static void
test_descriptor_of_a_complete_object(DiskCacheFixture *fixture, gconstpointer data)
{
    DiskCacheObject object = disk_cache_fixture_object(1, SIZE);
    g_autofree guint8 *bytes = disk_cache_fixture_bytes(1, SIZE);
    g_assert_cmpint(open_complete(fixture, 1, SIZE), ==, -1);
    disk_cache_offer(fixture->cache, &object, 0, SIZE - 100, bytes);
    disk_cache_flush(fixture->cache);
    g_assert_cmpint(open_complete(fixture, 1, SIZE), ==, -1);
    disk_cache_fixture_fill(fixture, 1, SIZE);
    int fd = open_complete(fixture, 1, SIZE);
    check_descriptor(fd, 1, SIZE);
    /* What pushes it out does not change what is read through it. */
    for (guint number = 2; number < 40; number++)
        disk_cache_fixture_fill(fixture, number, MIB);
    g_assert_cmpint(open_complete(fixture, 1, SIZE), ==, -1);
    check_descriptor(fd, 1, SIZE);
    close(fd);
}

/* After a restart it is complete when all of it was read, and so compared. */
static void
test_descriptor_after_a_restart(DiskCacheFixture *fixture, gconstpointer data)
{
    disk_cache_fixture_fill(fixture, 1, SIZE);
    disk_cache_fixture_restart(fixture);
    g_assert_cmpint(open_complete(fixture, 1, SIZE), ==, -1);
    g_assert_true(disk_cache_fixture_read(fixture, 1, SIZE, 0, SIZE - 4096));
    g_assert_cmpint(open_complete(fixture, 1, SIZE), ==, -1);
    g_assert_true(disk_cache_fixture_read(fixture, 1, SIZE, SIZE - 1, 1));
    g_assert_true(disk_cache_fixture_read(fixture, 1, SIZE, SIZE - 4097, 1));
    int fd = open_complete(fixture, 1, SIZE);
    check_descriptor(fd, 1, SIZE);
    close(fd);
}

/* A closed file that was complete still is, without being compared again. */
static void
test_complete_is_remembered(DiskCacheFixture *fixture, gconstpointer data)
{
    disk_cache_fixture_fill(fixture, 1000, 3000);
    for (guint number = 0; number < 600; number++)
        disk_cache_fixture_fill(fixture, number, 10);
    int fd = open_complete(fixture, 1000, 3000);
    check_descriptor(fd, 1000, 3000);
    close(fd);
}

static void
test_one_mount_at_a_time(DiskCacheFixture *fixture, gconstpointer data)
{
    DiskCacheFixture second = {fixture->folder, fixture->budget, NULL};
    disk_cache_fixture_fill(fixture, 1, SIZE);
    disk_cache_fixture_open(&second, DISK_CACHE_FIXTURE_LIMIT);
    DiskCacheStatistics statistics = disk_cache_fixture_statistics(&second);
    g_assert_false(statistics.on);
    g_assert_nonnull(strstr(statistics.reason, "another mount"));
    g_assert_false(disk_cache_fixture_read_all(&second, 1, SIZE));
    disk_cache_fixture_fill(&second, 2, SIZE);
    g_assert_true(disk_cache_fixture_read_all(fixture, 1, SIZE));
    g_clear_pointer(&fixture->cache, disk_cache_free);
    /* From now on it may be used, which is noticed by itself. */
    gint64 deadline_us = g_get_monotonic_time() + 60 * G_USEC_PER_SEC;
    while (!disk_cache_fixture_read_all(&second, 1, SIZE)) {
        g_assert_cmpint(g_get_monotonic_time(), <, deadline_us);
        g_usleep(10000);
    }
    g_assert_true(disk_cache_fixture_statistics(&second).on);
    g_assert_false(disk_cache_fixture_read_all(&second, 2, SIZE));
    fixture->cache = second.cache;
}

static void
test_is_private(DiskCacheFixture *fixture, gconstpointer data)
{
    struct stat status;
    disk_cache_fixture_fill(fixture, 1, 10);
    for (guint map = 0; map < 2; map++) {
        g_autofree char *path = disk_cache_fixture_find(fixture, map != 0);
        g_autofree char *shard = g_path_get_dirname(path);
        g_assert_no_errno(stat(path, &status));
        g_assert_cmpint(status.st_mode & 07777, ==, 0600);
        g_assert_no_errno(stat(shard, &status));
        g_assert_cmpint(status.st_mode & 07777, ==, 0700);
    }
    disk_cache_fixture_close(fixture);
    g_autofree char *list = g_build_filename(fixture->folder, "list", NULL);
    g_assert_no_errno(stat(list, &status));
    g_assert_cmpint(status.st_mode & 07777, ==, 0600);
    g_autoptr(GError) error = NULL;
    g_assert_no_errno(chmod(fixture->folder, 0750));
    g_assert_null(disk_cache_new(fixture->folder, MIB, fixture->budget, &error));
    g_assert_error(error, STORAGEFS_ERROR, ERROR_DENIED);
    g_assert_no_errno(chmod(fixture->folder, 0700));
    disk_cache_fixture_open(fixture, DISK_CACHE_FIXTURE_LIMIT);
}

/* Memory that others have is not waited for. */
static void
test_does_not_wait_for_memory(DiskCacheFixture *fixture, gconstpointer data)
{
    g_assert_true(memory_budget_try(fixture->budget, 64 * MIB));
    disk_cache_fixture_fill(fixture, 1, SIZE);
    memory_budget_give(fixture->budget, 64 * MIB);
    DiskCacheStatistics statistics = disk_cache_fixture_statistics(fixture);
    g_assert_cmpuint(statistics.dropped_bytes, ==, SIZE);
    g_assert_cmpuint(statistics.objects, ==, 0);
    disk_cache_fixture_fill(fixture, 1, SIZE);
    g_assert_true(disk_cache_fixture_read_all(fixture, 1, SIZE));
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    disk_cache_fixture_add("/disk_cache/finds", test_finds_what_was_offered);
    disk_cache_fixture_add("/disk_cache/tells_apart", test_tells_objects_apart);
    disk_cache_fixture_add("/disk_cache/whole_blocks", test_keeps_whole_blocks);
    disk_cache_fixture_add("/disk_cache/lasts", test_lasts);
    disk_cache_fixture_add("/disk_cache/scan", test_is_scanned_without_a_list);
    disk_cache_fixture_add("/disk_cache/bounded", test_is_bounded);
    disk_cache_fixture_add("/disk_cache/shrinks", test_shrinks_at_start);
    disk_cache_fixture_add("/disk_cache/large_object", test_object_larger_than_the_cache);
    disk_cache_fixture_add("/disk_cache/many", test_many_objects);
    disk_cache_fixture_add("/disk_cache/descriptor", test_descriptor_of_a_complete_object);
    disk_cache_fixture_add("/disk_cache/descriptor_restart", test_descriptor_after_a_restart);
    disk_cache_fixture_add("/disk_cache/complete_remembered", test_complete_is_remembered);
    disk_cache_fixture_add("/disk_cache/one_mount", test_one_mount_at_a_time);
    disk_cache_fixture_add("/disk_cache/private", test_is_private);
    disk_cache_fixture_add("/disk_cache/memory", test_does_not_wait_for_memory);
    return g_test_run();
}
