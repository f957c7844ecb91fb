/* A disk cache whose files are not as they were left: right bytes or none, and what is fetched again is kept
 * again. */
#include "tests/unit/disk_cache_fixture.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOCK DISK_CACHE_FILE_BLOCK_BYTES
/* Three blocks, the last one short. */
#define SIZE (2 * BLOCK + 1000)

static GBytes *
read_file(const char *path)
{
    char *text = NULL;
    gsize length = 0;
    g_assert_true(g_file_get_contents(path, &text, &length, NULL));
    return g_bytes_new_take(text, length);
}

/* In place: the file stays the same one. */
static void
write_file(const char *path, gconstpointer data, gsize length_bytes)
{
    int fd = open(path, O_WRONLY | O_TRUNC | O_CREAT | O_CLOEXEC, 0600);
    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(write(fd, data, length_bytes), ==, length_bytes);
    close(fd);
}

static void
flip(const char *path, gsize at, guint8 mask)
{
    guint8 byte = 0;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(pread(fd, &byte, 1, (off_t)at), ==, 1);
    byte ^= mask;
    g_assert_cmpint(pwrite(fd, &byte, 1, (off_t)at), ==, 1);
    close(fd);
}

/* Blocks that are found; each is the right one, or the read itself ends the test. */
static guint
count_blocks(DiskCacheFixture *fixture, guint number)
{
    guint found = 0;
    for (gsize at = 0; at < SIZE; at += BLOCK)
        found += disk_cache_fixture_read(fixture, number, SIZE, at, MIN(BLOCK, SIZE - at));
    return found;
}

static void
assert_heals(DiskCacheFixture *fixture)
{
    disk_cache_flush(fixture->cache);
    disk_cache_fixture_fill(fixture, 1, SIZE);
    g_assert_true(disk_cache_fixture_read_all(fixture, 1, SIZE));
    disk_cache_fixture_restart(fixture);
    g_assert_true(disk_cache_fixture_read_all(fixture, 1, SIZE));
}

/* Every byte of the map: its header, the names in it, each record. */
static void
test_each_byte_of_the_map(DiskCacheFixture *fixture, gconstpointer data)
{
    disk_cache_fixture_fill(fixture, 1, SIZE);
    g_autofree char *path = disk_cache_fixture_find(fixture, TRUE);
    g_autoptr(GBytes) map = read_file(path);
    gsize length = g_bytes_get_size(map), records = 3 * sizeof(guint64);
    /* The bytes that fill the text up to a record say nothing. */
    gsize text_end = 40 + strlen("test of nothing") + strlen("c") + strlen("key-1") + strlen("etag") + 4;
    g_assert_cmpuint(length, ==, (text_end + 7) / 8 * 8 + records);
    for (gsize at = 0; at < length; at++) {
        disk_cache_fixture_close(fixture);
        flip(path, at, (guint8)(1u << at % 8));
        disk_cache_fixture_open(fixture, DISK_CACHE_FIXTURE_LIMIT);
        guint expected = at < text_end ? 0 : at < length - records ? 3 : 2;
        g_assert_cmpuint(count_blocks(fixture, 1), ==, expected);
        disk_cache_flush(fixture->cache);
        disk_cache_fixture_fill(fixture, 1, SIZE);
        g_assert_cmpuint(count_blocks(fixture, 1), ==, 3);
    }
}

static void
test_bytes_of_the_object(DiskCacheFixture *fixture, gconstpointer data)
{
    disk_cache_fixture_fill(fixture, 1, SIZE);
    g_autofree char *path = disk_cache_fixture_find(fixture, FALSE);
    for (gsize at = 0; at < SIZE; at += at % BLOCK == BLOCK - 1 ? 1 : BLOCK - 1) {
        disk_cache_fixture_close(fixture);
        flip(path, at, 0x10);
        disk_cache_fixture_open(fixture, DISK_CACHE_FIXTURE_LIMIT);
        g_assert_false(disk_cache_fixture_read_all(fixture, 1, SIZE));
        g_assert_cmpuint(count_blocks(fixture, 1), ==, 2);
        g_assert_cmpuint(disk_cache_fixture_statistics(fixture).damaged, ==, 1);
        disk_cache_fixture_fill(fixture, 1, SIZE);
        g_assert_cmpuint(count_blocks(fixture, 1), ==, 3);
    }
}

/* As a power failure leaves it: records came to disk, their blocks did not. */
static void
test_records_without_blocks(DiskCacheFixture *fixture, gconstpointer data)
{
    disk_cache_fixture_fill(fixture, 1, SIZE);
    g_autofree char *path = disk_cache_fixture_find(fixture, FALSE);
    disk_cache_fixture_close(fixture);
    g_autofree guint8 *zeros = g_malloc0(SIZE);
    write_file(path, zeros, SIZE);
    disk_cache_fixture_open(fixture, DISK_CACHE_FIXTURE_LIMIT);
    g_assert_cmpuint(count_blocks(fixture, 1), ==, 0);
    assert_heals(fixture);
}

/* Records of another block, and of another object of the same size, fit nothing. */
static void
test_records_of_others(DiskCacheFixture *fixture, gconstpointer data)
{
    disk_cache_fixture_fill(fixture, 1, SIZE);
    g_autofree char *path = disk_cache_fixture_find(fixture, TRUE);
    disk_cache_fixture_close(fixture);
    g_autoptr(GBytes) map = read_file(path);
    gsize length = g_bytes_get_size(map);
    g_autofree guint64 *changed = g_memdup2(g_bytes_get_data(map, NULL), length);
    guint64 *records = changed + length / 8 - 3, first = records[0];
    records[0] = records[1];
    records[1] = first;
    write_file(path, changed, length);
    disk_cache_fixture_open(fixture, DISK_CACHE_FIXTURE_LIMIT);
    g_assert_cmpuint(count_blocks(fixture, 1), ==, 1);
    assert_heals(fixture);
}

static void
test_map_of_another_object(DiskCacheFixture *fixture, gconstpointer data)
{
    disk_cache_fixture_fill(fixture, 2, SIZE);
    g_autofree char *second = disk_cache_fixture_find(fixture, TRUE);
    g_autofree char *second_data = disk_cache_fixture_find(fixture, FALSE);
    g_autoptr(GBytes) map = read_file(second);
    g_autoptr(GBytes) bytes = read_file(second_data);
    g_unlink(second);
    g_unlink(second_data);
    disk_cache_fixture_fill(fixture, 1, SIZE);
    g_autofree char *first = disk_cache_fixture_find(fixture, TRUE);
    g_autofree char *first_data = disk_cache_fixture_find(fixture, FALSE);
    disk_cache_fixture_close(fixture);
    write_file(first, g_bytes_get_data(map, NULL), g_bytes_get_size(map));
    write_file(first_data, g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes));
    disk_cache_fixture_open(fixture, DISK_CACHE_FIXTURE_LIMIT);
    g_assert_cmpuint(count_blocks(fixture, 1), ==, 0);
    assert_heals(fixture);
}

typedef void (*Spoil)(const char *path);

static void
spoil_cut(const char *path)
{
    g_assert_no_errno(truncate(path, BLOCK / 2));
}

static void
spoil_cut_to_nothing(const char *path)
{
    g_assert_no_errno(truncate(path, 0));
}

static void
spoil_longer(const char *path)
{
    g_assert_no_errno(truncate(path, SIZE * 2));
}

static void
spoil_gone(const char *path)
{
    g_assert_no_errno(g_unlink(path));
}

static void
spoil_fifo(const char *path)
{
    spoil_gone(path);
    g_assert_no_errno(mkfifo(path, 0600));
}

static void
spoil_link(const char *path)
{
    g_autofree char *target = g_strconcat(path, "-elsewhere", NULL);
    g_assert_no_errno(g_rename(path, target));
    g_assert_no_errno(symlink(target, path));
}

static void
spoil_second_name(const char *path)
{
    g_autofree char *other = g_strconcat(path, "-second", NULL);
    g_unlink(other);
    g_assert_no_errno(link(path, other));
}

static void
spoil_open_to_others(const char *path)
{
    g_assert_no_errno(chmod(path, 0640));
}

static const Spoil SPOILS[] = {spoil_cut,  spoil_cut_to_nothing, spoil_longer,      spoil_gone,
                               spoil_fifo, spoil_link,           spoil_second_name, spoil_open_to_others};

/* Both files of an object, in every way; in order and as after a crash. */
static void
test_files_that_are_no_more(DiskCacheFixture *fixture, gconstpointer data)
{
    for (guint i = 0; i < 4 * G_N_ELEMENTS(SPOILS); i++) {
        disk_cache_fixture_fill(fixture, 1, SIZE);
        g_autofree char *path = disk_cache_fixture_find(fixture, i % 2 != 0);
        g_autofree char *list = g_build_filename(fixture->folder, "list", NULL);
        disk_cache_fixture_close(fixture);
        SPOILS[i / 4](path);
        if (i / 2 % 2 != 0)
            g_assert_no_errno(g_unlink(list));
        disk_cache_fixture_open(fixture, DISK_CACHE_FIXTURE_LIMIT);
        g_test_message("spoilt in way %u", i);
        g_assert_cmpuint(count_blocks(fixture, 1), ==, 0);
        assert_heals(fixture);
    }
}

/* While it is open: cut, or the whole directory gone. */
static void
test_damage_while_open(DiskCacheFixture *fixture, gconstpointer data)
{
    disk_cache_fixture_fill(fixture, 1, SIZE);
    g_autofree char *path = disk_cache_fixture_find(fixture, FALSE);
    g_assert_no_errno(truncate(path, 100));
    g_assert_false(disk_cache_fixture_read_all(fixture, 1, SIZE));
    assert_heals(fixture);
    g_autofree char *shard = g_path_get_dirname(path);
    g_autofree char *map = g_strconcat(path, ".map", NULL);
    g_assert_no_errno(g_unlink(path));
    g_assert_no_errno(g_unlink(map));
    g_assert_no_errno(g_rmdir(shard));
    disk_cache_fixture_fill(fixture, 2, SIZE);
    g_assert_true(disk_cache_fixture_read_all(fixture, 2, SIZE));
    disk_cache_fixture_restart(fixture);
    g_assert_cmpuint(count_blocks(fixture, 1), ==, 0);
    g_assert_cmpuint(count_blocks(fixture, 2), ==, 3);
    assert_heals(fixture);
}

/* Every byte of the list: it is not believed, and the directory says the same. */
static void
test_each_byte_of_the_list(DiskCacheFixture *fixture, gconstpointer data)
{
    disk_cache_fixture_fill(fixture, 1, SIZE);
    guint64 used = disk_cache_fixture_statistics(fixture).used_bytes;
    g_autofree char *path = g_build_filename(fixture->folder, "list", NULL);
    disk_cache_fixture_close(fixture);
    g_autoptr(GBytes) list = read_file(path);
    gsize length = g_bytes_get_size(list);
    for (gsize at = 0; at <= length; at++) {
        g_autofree guint8 *changed = g_memdup2(g_bytes_get_data(list, NULL), length);
        if (at < length)
            changed[at] ^= 0x21;
        write_file(path, changed, at < length ? length : length - 1);
        disk_cache_fixture_open(fixture, DISK_CACHE_FIXTURE_LIMIT);
        DiskCacheStatistics statistics = disk_cache_fixture_statistics(fixture);
        g_assert_cmpuint(statistics.objects, ==, 1);
        g_assert_cmpuint(statistics.used_bytes, ==, used);
        g_assert_true(disk_cache_fixture_read_all(fixture, 1, SIZE));
        disk_cache_fixture_close(fixture);
    }
    disk_cache_fixture_open(fixture, DISK_CACHE_FIXTURE_LIMIT);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    disk_cache_fixture_add("/disk_cache/damage/map", test_each_byte_of_the_map);
    disk_cache_fixture_add("/disk_cache/damage/bytes", test_bytes_of_the_object);
    disk_cache_fixture_add("/disk_cache/damage/unwritten", test_records_without_blocks);
    disk_cache_fixture_add("/disk_cache/damage/records", test_records_of_others);
    disk_cache_fixture_add("/disk_cache/damage/other_map", test_map_of_another_object);
    disk_cache_fixture_add("/disk_cache/damage/files", test_files_that_are_no_more);
    disk_cache_fixture_add("/disk_cache/damage/open", test_damage_while_open);
    disk_cache_fixture_add("/disk_cache/damage/list", test_each_byte_of_the_list);
    return g_test_run();
}
