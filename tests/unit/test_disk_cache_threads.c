/* A disk cache with many readers while objects come and go, and on a disk that is full. */
#include "src/object/disk_cache_private.h"
#include "tests/unit/disk_cache_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#define READERS 4u
#define OBJECTS 12u
#define ROUNDS 400u

typedef struct {
    DiskCacheFixture *fixture;
    guint seed;
    guint found;
} Reader;

/* 12 objects of 1 to 3 MiB in 16 MiB: what one thread fetches pushes out what another one reads. */
static gpointer
run_reader(gpointer data)
{
    Reader *reader = data;
    g_autoptr(GRand) random = g_rand_new_with_seed(reader->seed);
    for (guint round = 0; round < ROUNDS; round++) {
        guint number = (guint)g_rand_int_range(random, 0, OBJECTS);
        gsize size = MIB + number % 3 * (MIB + 777);
        guint64 offset = (guint64)g_rand_int_range(random, 0, (gint32)size);
        gsize length = (gsize)g_rand_int_range(random, 1, (gint32)MIN(300 * KIB, size - offset) + 1);
        DiskCacheObject object = disk_cache_fixture_object(number, size);
        if (disk_cache_fixture_read(reader->fixture, number, size, offset, length)) {
            reader->found++;
        } else {
            g_autofree guint8 *bytes = disk_cache_fixture_bytes(number, size);
            disk_cache_offer(reader->fixture->cache, &object, offset, length, bytes + offset);
        }
        int fd = round % 8 == 0 ? disk_cache_open_complete(reader->fixture->cache, &object) : -1;
        if (fd >= 0)
            close(fd);
    }
    return NULL;
}

static void
test_readers_while_objects_go(DiskCacheFixture *fixture, gconstpointer data)
{
    Reader readers[READERS] = {{0}};
    GThread *threads[READERS];
    for (guint restart = 0; restart < 2; restart++) {
        for (guint i = 0; i < READERS; i++) {
            readers[i] = (Reader){fixture, i + restart * READERS, 0};
            threads[i] = g_thread_new("reader", run_reader, &readers[i]);
        }
        guint found = 0;
        for (guint i = 0; i < READERS; i++) {
            g_thread_join(threads[i]);
            found += readers[i].found;
        }
        disk_cache_flush(fixture->cache);
        DiskCacheStatistics statistics = disk_cache_fixture_statistics(fixture);
        g_assert_cmpuint(found, >, 0);
        g_assert_cmpuint(statistics.hits, ==, found);
        g_assert_cmpuint(statistics.hits + statistics.misses, ==, READERS * ROUNDS);
        g_assert_cmpuint(statistics.evictions, >, 0);
        g_assert_cmpuint(statistics.damaged, ==, 0);
        g_assert_cmpuint(disk_cache_fixture_measure(fixture->folder), <=, DISK_CACHE_FIXTURE_LIMIT);
        g_assert_cmpuint(disk_cache_fixture_measure(fixture->folder), ==, statistics.used_bytes);
        disk_cache_fixture_restart(fixture);
    }
}

typedef struct {
    DiskCache *cache;
    DiskCacheObject object;
    const guint8 *bytes;
    gint done; /* atomic */
} Fetcher;

/* What fetches ahead does, with blocks that come at once. */
static gpointer
run_fetcher(gpointer data)
{
    Fetcher *fetcher = data;
    for (guint64 at = 0; at < fetcher->object.size_bytes; at += MIB) {
        disk_cache_expect(fetcher->cache, MIB);
        disk_cache_offer(fetcher->cache, &fetcher->object, at, MIB, fetcher->bytes + at);
        disk_cache_end_expected(fetcher->cache, MIB);
    }
    g_atomic_int_set(&fetcher->done, 1);
    return NULL;
}

/* More than the queue takes comes while the disk does nothing. */
static void
run_fetcher_on_stuck_disk(DiskCacheFixture *fixture, gint64 patience_us, guint most_steps)
{
    g_autofree guint8 *bytes = disk_cache_fixture_bytes(1, 8 * MIB);
    Fetcher fetcher = {fixture->cache, disk_cache_fixture_object(1, 8 * MIB), bytes, 0};
    fixture->cache->maximum_queued_bytes = 3 * MIB;
    fixture->cache->patience_us = patience_us;
    lock_acquire(&fixture->cache->files_lock);
    GThread *thread = g_thread_new("fetcher", run_fetcher, &fetcher);
    for (guint i = 0; i < most_steps && g_atomic_int_get(&fetcher.done) == 0; i++)
        g_usleep(1000);
    lock_release(&fixture->cache->files_lock);
    g_thread_join(thread);
    disk_cache_flush(fixture->cache);
}

static void
test_waits_for_the_disk(DiskCacheFixture *fixture, gconstpointer data)
{
    run_fetcher_on_stuck_disk(fixture, 600 * G_USEC_PER_SEC, 200);
    DiskCacheStatistics statistics = disk_cache_fixture_statistics(fixture);
    g_assert_cmpuint(statistics.dropped_bytes, ==, 0);
    g_assert_true(disk_cache_fixture_read_all(fixture, 1, 8 * MIB));
}

static void
test_does_not_wait_for_ever(DiskCacheFixture *fixture, gconstpointer data)
{
    run_fetcher_on_stuck_disk(fixture, 1000, G_MAXUINT);
    g_assert_cmpuint(disk_cache_fixture_statistics(fixture).dropped_bytes, >=, 5 * MIB);
}

/* A small file system of our own over the fixture's folder; FALSE where we may not. */
static gboolean
mount_small_disk(DiskCacheFixture *fixture, const char *options)
{
    disk_cache_fixture_close(fixture);
    gboolean done = unshare(CLONE_NEWNS) == 0 && mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) == 0 &&
                    mount("none", fixture->folder, "tmpfs", 0, options) == 0;
    if (!done)
        g_test_skip("needs the right to mount");
    disk_cache_fixture_open(fixture, DISK_CACHE_FIXTURE_LIMIT);
    return done;
}

static void
leave_small_disk(DiskCacheFixture *fixture)
{
    disk_cache_fixture_close(fixture);
    g_assert_no_errno(umount2(fixture->folder, MNT_DETACH));
    disk_cache_fixture_open(fixture, DISK_CACHE_FIXTURE_LIMIT);
}

/* Something else takes the disk but `left_bytes`. */
static void
take_disk(DiskCacheFixture *fixture, gsize left_bytes)
{
    g_autofree char *path = g_build_filename(fixture->folder, "other", NULL);
    g_autofree guint8 *bytes = g_malloc0(64 * KIB);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    g_assert_cmpint(fd, >=, 0);
    while (write(fd, bytes, 64 * KIB) > 0)
        continue;
    off_t end = lseek(fd, 0, SEEK_END);
    g_assert_no_errno(ftruncate(fd, end - (off_t)left_bytes));
    close(fd);
}

static void
test_full_disk(DiskCacheFixture *fixture, gconstpointer data)
{
    if (!mount_small_disk(fixture, "size=24m,mode=0700"))
        return;
    disk_cache_fixture_fill(fixture, 1, MIB);
    take_disk(fixture, 512 * KIB);
    disk_cache_fixture_fill(fixture, 2, 3 * MIB);
    DiskCacheStatistics statistics = disk_cache_fixture_statistics(fixture);
    g_assert_false(statistics.on);
    g_assert_nonnull(strstr(statistics.reason, g_strerror(ENOSPC)));
    g_assert_cmpuint(statistics.dropped_bytes, >=, 2 * MIB);
    /* What is there is still read. */
    g_assert_true(disk_cache_fixture_read_all(fixture, 1, MIB));
    g_assert_false(disk_cache_fixture_read_all(fixture, 2, 3 * MIB));
    leave_small_disk(fixture);
}

/* The next start gives back what others need, and never takes the last of the disk. */
static void
test_leaves_room(DiskCacheFixture *fixture, gconstpointer data)
{
    if (!mount_small_disk(fixture, "size=12m,mode=0700"))
        return;
    for (guint number = 0; number < 30; number++)
        disk_cache_fixture_fill(fixture, number, MIB);
    DiskCacheStatistics statistics = disk_cache_fixture_statistics(fixture);
    g_assert_true(statistics.on);
    g_assert_cmpuint(statistics.used_bytes, >, 8 * MIB);
    g_assert_cmpuint(statistics.used_bytes, <=, 12 * MIB - 12 * MIB / 20);
    disk_cache_fixture_close(fixture);
    take_disk(fixture, 0);
    disk_cache_fixture_open(fixture, DISK_CACHE_FIXTURE_LIMIT);
    guint64 used = disk_cache_fixture_statistics(fixture).used_bytes;
    g_assert_cmpuint(used, <=, statistics.used_bytes - 12 * MIB / 20);
    leave_small_disk(fixture);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    disk_cache_fixture_add("/disk_cache/threads/readers", test_readers_while_objects_go);
    disk_cache_fixture_add("/disk_cache/threads/waits", test_waits_for_the_disk);
    disk_cache_fixture_add("/disk_cache/threads/not_for_ever", test_does_not_wait_for_ever);
    disk_cache_fixture_add("/disk_cache/disk/full", test_full_disk);
    disk_cache_fixture_add("/disk_cache/disk/room", test_leaves_room);
    return g_test_run();
}
