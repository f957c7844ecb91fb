/* Staging files with a window in memory: whatever is in memory, on disk or on its way there, reads are right,
 * and memory stays in its bound. */
#include "src/object/staging_file.h"

#include "src/base/error.h"
#include "src/base/lock.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <linux/magic.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/vfs.h>
#include <unistd.h>

#define PIECE ((gsize)STAGING_PIECE_BYTES)
#define PIECES 4u

typedef struct {
    char *folder;
    MemoryBudget *budget;
    StagingPool *pool;
    StagingFile *staging;
} Fixture;

/* Every byte tells its place and its version. */
static void
fill(guint8 *to, guint64 offset, gsize length, guint version)
{
    for (gsize i = 0; i < length; i++)
        to[i] = (guint8)((offset + i) * 31 + ((offset + i) >> 12) + version * 101);
}

static void
write_bytes(StagingFile *staging, guint64 offset, const guint8 *data, gsize length)
{
    GError *error = NULL;
    g_assert_true(staging_file_write(staging, offset, data, length, &error));
    g_assert_no_error(error);
}

static void
write_version(StagingFile *staging, guint64 offset, gsize length, guint version)
{
    g_autofree guint8 *data = g_malloc(length);
    fill(data, offset, length, version);
    write_bytes(staging, offset, data, length);
}

static void
check_version(StagingFile *staging, guint64 offset, gsize length, guint version)
{
    g_autofree guint8 *expected = g_malloc(length), *found = g_malloc(length);
    fill(expected, offset, length, version);
    g_assert_true(staging_file_read(staging, offset, found, length, NULL));
    g_assert_true(memcmp(found, expected, length) == 0);
}

/* As a program writes: forward, a megabyte at a time. */
static void
write_forward(StagingFile *staging, guint64 offset, guint64 end, guint version)
{
    for (; offset < end; offset += 1 << 20)
        write_version(staging, offset, (gsize)MIN(end - offset, 1 << 20), version);
}

static guint64
get_used(Fixture *fixture)
{
    guint64 used = 0, peak = 0;
    staging_pool_get_use(fixture->pool, &used, &peak);
    g_assert_cmpuint(peak, <=, staging_pool_get_limit(fixture->pool));
    return used;
}

typedef struct {
    Lock lock;
    Condition done;
    gboolean is_done;
} Barrier;

static void
reach(gpointer data)
{
    Barrier *barrier = data;
    lock_acquire(&barrier->lock);
    barrier->is_done = TRUE;
    condition_wake_all(&barrier->done);
    lock_release(&barrier->lock);
}

/* The pool has one thread: what was pushed before has run. */
static void
await_background(Fixture *fixture)
{
    Barrier barrier = {.is_done = FALSE};
    lock_init(&barrier.lock);
    condition_init(&barrier.done);
    staging_pool_push(fixture->pool, reach, &barrier);
    lock_acquire(&barrier.lock);
    while (!barrier.is_done)
        condition_wait(&barrier.done, &barrier.lock, 0);
    lock_release(&barrier.lock);
    condition_clear(&barrier.done);
    lock_clear(&barrier.lock);
}

static void
set_up(Fixture *fixture, gconstpointer data)
{
    fixture->folder = g_dir_make_tmp("storagefs-staging-XXXXXX", NULL);
    fixture->budget = memory_budget_new(1 << 20);
    fixture->pool = staging_pool_new(PIECES * PIECE + 1);
    fixture->staging = staging_file_new(fixture->folder, fixture->budget, fixture->pool);
}

static void
tear_down(Fixture *fixture, gconstpointer data)
{
    staging_file_free(fixture->staging);
    await_background(fixture);
    g_assert_cmpuint(get_used(fixture), ==, 0);
    staging_pool_free(fixture->pool);
    memory_budget_free(fixture->budget);
    g_assert_cmpint(g_rmdir(fixture->folder), ==, 0);
    g_free(fixture->folder);
}

/* In a temporary directory in memory there is no window to test. */
static gboolean
has_window(Fixture *fixture)
{
    struct statfs status;
    g_assert_cmpint(statfs(fixture->folder, &status), ==, 0);
    if (status.f_type != TMPFS_MAGIC)
        return TRUE;
    g_test_skip("the temporary directory is in memory");
    return FALSE;
}

static void
test_forward(Fixture *fixture, gconstpointer data)
{
    if (!has_window(fixture))
        return;
    write_forward(fixture->staging, 0, 3 * PIECE + 5, 1);
    g_assert_cmpuint(get_used(fixture), ==, 4 * PIECE);
    check_version(fixture->staging, 0, 3 * PIECE + 5, 1);
    /* No memory is left: the rest is in the file. */
    write_forward(fixture->staging, 3 * PIECE + 5, 7 * PIECE, 1);
    g_assert_cmpuint(get_used(fixture), ==, 4 * PIECE);
    check_version(fixture->staging, 0, 7 * PIECE, 1);
}

static void
test_released(Fixture *fixture, gconstpointer data)
{
    if (!has_window(fixture))
        return;
    for (guint i = 0; i < 5 * PIECES; i++) {
        write_forward(fixture->staging, i * PIECE, (i + 1) * PIECE, 1);
        staging_file_release(fixture->staging, i * PIECE, PIECE);
        await_background(fixture);
        g_assert_cmpuint(get_used(fixture), <=, PIECES / 2 * PIECE);
    }
    check_version(fixture->staging, 0, 5 * PIECES * PIECE, 1);
}

static void
test_random_writes_take_none(Fixture *fixture, gconstpointer data)
{
    for (guint i = 10; i > 0; i--)
        write_version(fixture->staging, i * PIECE + 4096, 70000, 1);
    g_assert_cmpuint(get_used(fixture), ==, 0);
    for (guint i = 10; i > 0; i--)
        check_version(fixture->staging, i * PIECE + 4096, 70000, 1);
}

/* The disk refuses: what was sent is still there, in memory. */
static void
test_disk_refuses(Fixture *fixture, gconstpointer data)
{
    struct rlimit before, none = {4096, RLIM_INFINITY};
    if (!has_window(fixture))
        return;
    g_assert_cmpint(getrlimit(RLIMIT_FSIZE, &before), ==, 0);
    none.rlim_max = before.rlim_max;
    write_forward(fixture->staging, 0, 4 * PIECE, 1);
    signal(SIGXFSZ, SIG_IGN);
    g_assert_cmpint(setrlimit(RLIMIT_FSIZE, &none), ==, 0);
    staging_file_release(fixture->staging, 0, 4 * PIECE);
    await_background(fixture);
    g_autoptr(GError) error = NULL;
    g_assert_false(staging_file_write(fixture->staging, 4 * PIECE, "x", 1, &error));
    g_assert_error(error, STORAGEFS_ERROR, ERROR_TOO_LARGE);
    g_assert_cmpint(setrlimit(RLIMIT_FSIZE, &before), ==, 0);
    g_assert_cmpuint(get_used(fixture), ==, 4 * PIECE);
    check_version(fixture->staging, 0, 4 * PIECE, 1);
}

static void
test_truncated(Fixture *fixture, gconstpointer data)
{
    static const guint8 zeros[4096];
    guint8 found[4096];
    write_forward(fixture->staging, 0, 3 * PIECE, 1);
    g_assert_true(staging_file_truncate(fixture->staging, PIECE + 100, NULL));
    check_version(fixture->staging, 0, PIECE + 100, 1);
    g_assert_true(staging_file_read(fixture->staging, PIECE + 100, found, sizeof found, NULL));
    g_assert_true(memcmp(found, zeros, sizeof found) == 0);
    write_version(fixture->staging, PIECE + 300, 4096, 2);
    g_assert_true(staging_file_read(fixture->staging, PIECE + 100, found, 200, NULL));
    g_assert_true(memcmp(found, zeros, 200) == 0);
    check_version(fixture->staging, PIECE + 300, 4096, 2);
}

static void
test_copies(Fixture *fixture, gconstpointer data)
{
    g_autoptr(StagingFile) to = staging_file_new(fixture->folder, fixture->budget, fixture->pool);
    g_autofree guint8 *copied = g_malloc(2 * PIECE), *expected = g_malloc(2 * PIECE);
    g_autofree char *path = g_build_filename(fixture->folder, "copy", NULL);
    /* The files have holes where the windows have bytes. */
    write_version(fixture->staging, 6 * PIECE, 4096, 3);
    write_version(to, 6 * PIECE, 4096, 3);
    write_forward(fixture->staging, 0, 2 * PIECE, 1);
    write_forward(to, 0, 2 * PIECE, 2);
    g_assert_true(staging_file_copy(fixture->staging, 4096, to, 8192, PIECE, NULL));
    fill(expected, 0, 2 * PIECE, 2);
    fill(expected + 8192, 4096, PIECE, 1);
    g_assert_true(staging_file_read(to, 0, copied, 2 * PIECE, NULL));
    g_assert_true(memcmp(copied, expected, 2 * PIECE) == 0);
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
    g_assert_true(staging_file_copy_to_fd(fixture->staging, 0, fd, 0, 2 * PIECE, NULL));
    g_assert_cmpint(pread(fd, copied, 2 * PIECE, 0), ==, (gssize)(2 * PIECE));
    fill(expected, 0, 2 * PIECE, 1);
    g_assert_true(memcmp(copied, expected, 2 * PIECE) == 0);
    close(fd);
    g_assert_cmpint(unlink(path), ==, 0);
}

#define MODEL_BYTES (8 * PIECE)

/* Runs of writes at random places, cuts, releases, beside an array that has the same done to it. */
static void
test_model(Fixture *fixture, gconstpointer data)
{
    g_autofree guint8 *model = g_malloc0(MODEL_BYTES), *found = g_malloc(MODEL_BYTES);
    g_autofree guint8 *bytes = g_malloc(PIECE);
    guint64 next = 0;
    for (guint step = 1; step <= 400; step++) {
        guint kind = (guint)g_test_rand_int_range(0, 100);
        gsize length = (gsize)g_test_rand_int_range(1, kind % 3 == 0 ? 3 << 20 : 200000);
        guint64 offset = kind < 70 ? next : (guint64)g_test_rand_int_range(0, (gint32)MODEL_BYTES);
        length = MIN(length, MODEL_BYTES - offset);
        if (kind < 90) {
            fill(bytes, offset, length, step);
            memcpy(model + offset, bytes, length);
            write_bytes(fixture->staging, offset, bytes, length);
            next = (offset + length) % MODEL_BYTES;
        } else if (kind < 93) {
            memset(model + offset, 0, MODEL_BYTES - offset);
            g_assert_true(staging_file_truncate(fixture->staging, offset, NULL));
        } else {
            staging_file_release(fixture->staging, offset, 2 * PIECE);
        }
        guint64 at = (guint64)g_test_rand_int_range(0, (gint32)(MODEL_BYTES - 300000));
        g_assert_true(staging_file_read(fixture->staging, at, found, 300000, NULL));
        g_assert_true(memcmp(found, model + at, 300000) == 0);
    }
    g_assert_true(staging_file_read(fixture->staging, 0, found, MODEL_BYTES, NULL));
    g_assert_true(memcmp(found, model, MODEL_BYTES) == 0);
}

typedef struct {
    Fixture *fixture;
    gint *frontier; /* in pieces */
    guint pieces;
} Reader;

/* Reads what is behind the writer, then releases it, as a part that was sent. */
static gpointer
read_behind(gpointer data)
{
    Reader *reader = data;
    for (gint piece = 0; piece < (gint)reader->pieces;) {
        if (g_atomic_int_get(reader->frontier) <= piece) {
            g_thread_yield();
            continue;
        }
        check_version(reader->fixture->staging, (guint64)piece * PIECE, PIECE, 1);
        staging_file_release(reader->fixture->staging, (guint64)piece * PIECE, PIECE);
        piece++;
    }
    return NULL;
}

static void
test_threads(Fixture *fixture, gconstpointer data)
{
    gint frontier = 0;
    Reader reader = {fixture, &frontier, 12};
    GThread *threads[3];
    for (guint i = 0; i < G_N_ELEMENTS(threads); i++)
        threads[i] = g_thread_new("reader", read_behind, &reader);
    for (guint i = 0; i < reader.pieces; i++) {
        write_forward(fixture->staging, i * PIECE, (i + 1) * PIECE, 1);
        g_atomic_int_inc(&frontier);
        /* Once more, while it is read and goes to the disk. */
        write_version(fixture->staging, i * PIECE + 4096, 100000, 1);
    }
    for (guint i = 0; i < G_N_ELEMENTS(threads); i++)
        g_thread_join(threads[i]);
    check_version(fixture->staging, 0, reader.pieces * PIECE, 1);
}

static void
test_many_share(Fixture *fixture, gconstpointer data)
{
    StagingFile *files[8];
    for (guint i = 0; i < G_N_ELEMENTS(files); i++) {
        files[i] = staging_file_new(fixture->folder, fixture->budget, fixture->pool);
        write_forward(files[i], 0, PIECE + 7, i);
        g_assert_cmpuint(get_used(fixture), <=, PIECES * PIECE);
    }
    for (guint i = 0; i < G_N_ELEMENTS(files); i++) {
        check_version(files[i], 0, PIECE + 7, i);
        staging_file_free(files[i]);
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add("/staging/forward", Fixture, NULL, set_up, test_forward, tear_down);
    g_test_add("/staging/released", Fixture, NULL, set_up, test_released, tear_down);
    g_test_add("/staging/random", Fixture, NULL, set_up, test_random_writes_take_none, tear_down);
    g_test_add("/staging/disk-refuses", Fixture, NULL, set_up, test_disk_refuses, tear_down);
    g_test_add("/staging/truncated", Fixture, NULL, set_up, test_truncated, tear_down);
    g_test_add("/staging/copies", Fixture, NULL, set_up, test_copies, tear_down);
    g_test_add("/staging/model", Fixture, NULL, set_up, test_model, tear_down);
    g_test_add("/staging/threads", Fixture, NULL, set_up, test_threads, tear_down);
    g_test_add("/staging/many", Fixture, NULL, set_up, test_many_share, tear_down);
    return g_test_run();
}
