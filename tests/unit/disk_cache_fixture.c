#include "tests/unit/disk_cache_fixture.h"

#include "tests/unit/folder_fixture.h"

#include "src/base/error.h"

#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>

void
disk_cache_fixture_open(DiskCacheFixture *fixture, guint64 limit_bytes)
{
    g_autoptr(GError) error = NULL;
    fixture->cache = disk_cache_new(fixture->folder, limit_bytes, fixture->budget, &error);
    g_assert_no_error(error);
    disk_cache_flush(fixture->cache);
}

void
disk_cache_fixture_close(DiskCacheFixture *fixture)
{
    guint64 used = 0, peak = 0;
    g_clear_pointer(&fixture->cache, disk_cache_free);
    memory_budget_get_use(fixture->budget, &used, &peak);
    g_assert_cmpuint(used, ==, 0);
}

void
disk_cache_fixture_restart(DiskCacheFixture *fixture)
{
    disk_cache_fixture_close(fixture);
    disk_cache_fixture_open(fixture, DISK_CACHE_FIXTURE_LIMIT);
}

static void
set_up(DiskCacheFixture *fixture, gconstpointer data)
{
    fixture->folder = g_dir_make_tmp("storagefs-disk-cache-XXXXXX", NULL);
    fixture->budget = memory_budget_new(64 * MIB);
    disk_cache_fixture_open(fixture, DISK_CACHE_FIXTURE_LIMIT);
}

static void
tear_down(DiskCacheFixture *fixture, gconstpointer data)
{
    disk_cache_fixture_close(fixture);
    memory_budget_free(fixture->budget);
    folder_fixture_remove(fixture->folder);
    g_free(fixture->folder);
}

void
disk_cache_fixture_add(const char *path, void (*test)(DiskCacheFixture *fixture, gconstpointer data))
{
    g_test_add(path, DiskCacheFixture, NULL, set_up, test, tear_down);
}

DiskCacheObject
disk_cache_fixture_object(guint number, guint64 size_bytes)
{
    g_autofree char *key = g_strdup_printf("key-%u", number);
    return (DiskCacheObject){"test of nothing", "c", g_intern_string(key), "etag", size_bytes};
}

static guint8
byte_at(guint number, guint64 offset)
{
    guint64 word = (offset / 8 + ((guint64)number << 40)) * G_GUINT64_CONSTANT(0x9e3779b97f4a7c15);
    word ^= word >> 29;
    return (guint8)(word >> offset % 8 * 8);
}

static guint8 *
make_bytes(guint number, guint64 offset, gsize length_bytes)
{
    guint8 *bytes = g_malloc(length_bytes);
    for (gsize i = 0; i < length_bytes; i++)
        bytes[i] = byte_at(number, offset + i);
    return bytes;
}

guint8 *
disk_cache_fixture_bytes(guint number, gsize size_bytes)
{
    return make_bytes(number, 0, size_bytes);
}

void
disk_cache_fixture_fill(DiskCacheFixture *fixture, guint number, gsize size_bytes)
{
    DiskCacheObject object = disk_cache_fixture_object(number, size_bytes);
    g_autofree guint8 *bytes = disk_cache_fixture_bytes(number, size_bytes);
    for (gsize at = 0; at < size_bytes; at += MIB) {
        disk_cache_offer(fixture->cache, &object, at, MIN(MIB, size_bytes - at), bytes + at);
        disk_cache_flush(fixture->cache);
    }
}

gboolean
disk_cache_fixture_read(DiskCacheFixture *fixture, guint number, gsize size_bytes, guint64 offset,
                        gsize length_bytes)
{
    DiskCacheObject object = disk_cache_fixture_object(number, size_bytes);
    g_autofree guint8 *buffer = g_malloc(length_bytes);
    if (!disk_cache_read(fixture->cache, &object, offset, length_bytes, buffer))
        return FALSE;
    g_autofree guint8 *bytes = make_bytes(number, offset, length_bytes);
    g_assert_true(memcmp(buffer, bytes, length_bytes) == 0);
    return TRUE;
}

gboolean
disk_cache_fixture_read_all(DiskCacheFixture *fixture, guint number, gsize size_bytes)
{
    return disk_cache_fixture_read(fixture, number, size_bytes, 0, size_bytes);
}

DiskCacheStatistics
disk_cache_fixture_statistics(DiskCacheFixture *fixture)
{
    DiskCacheStatistics statistics;
    disk_cache_get_statistics(fixture->cache, &statistics);
    return statistics;
}

static char *
find(const char *folder, gboolean map)
{
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    const char *name;
    while (dir != NULL && (name = g_dir_read_name(dir)) != NULL) {
        g_autofree char *child = g_build_filename(folder, name, NULL);
        if (g_file_test(child, G_FILE_TEST_IS_DIR)) {
            char *found = find(child, map);
            if (found != NULL)
                return found;
        } else if (!g_str_has_prefix(name, "list") && strchr(name, '-') == NULL &&
                   g_str_has_suffix(name, ".map") == map) {
            return g_steal_pointer(&child);
        }
    }
    return NULL;
}

char *
disk_cache_fixture_find(DiskCacheFixture *fixture, gboolean map)
{
    char *found = find(fixture->folder, map);
    g_assert_nonnull(found);
    return found;
}

guint64
disk_cache_fixture_measure(const char *folder)
{
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    guint64 bytes = 0;
    const char *name;
    while (dir != NULL && (name = g_dir_read_name(dir)) != NULL) {
        g_autofree char *child = g_build_filename(folder, name, NULL);
        struct stat status;
        if (lstat(child, &status) == 0 && S_ISREG(status.st_mode))
            bytes += (guint64)status.st_blocks * 512;
        else
            bytes += disk_cache_fixture_measure(child);
    }
    return bytes;
}
