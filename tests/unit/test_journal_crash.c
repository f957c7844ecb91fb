/* The journal's directory as a crash at any moment leaves it: before each call that changes what is on disk,
 * it is copied; from every copy comes what was acknowledged until then, or what was being committed, whole.
 */
#include "tests/unit/object_fixture.h"

#include "src/base/error.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define KIB 1024u
#define SIZE (200 * KIB)
#define VERSIONS 5

typedef struct {
    int acknowledged, latest; /* versions; -1 none */
    gboolean may_be_gone;     /* it is stored, or being removed */
    const char *key;
} Expected;

/* What the journal must hold at this moment; NULL path: not armed. */
static struct {
    const char *journal, *folder;
    Expected now;
    GArray *copies; /* of Expected, by number */
} watch;

static void
copy_folder(void)
{
    if (watch.journal == NULL)
        return;
    g_autofree char *to = g_strdup_printf("%s/crash-%u", watch.folder, watch.copies->len);
    const char *words[] = {"cp", "-a", watch.journal, to, NULL};
    g_assert_true(
        g_spawn_sync(NULL, (char **)words, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, NULL, NULL));
    g_array_append_val(watch.copies, watch.now);
}

/* In place of the C library's. */
int
fsync(int fd)
{
    copy_folder();
    return (int)syscall(SYS_fsync, fd);
}

int
fdatasync(int fd)
{
    copy_folder();
    return (int)syscall(SYS_fdatasync, fd);
}

int
renameat(int from_fd, const char *from, int to_fd, const char *to)
{
    copy_folder();
    return (int)syscall(SYS_renameat2, from_fd, from, to_fd, to, 0);
}

int
unlinkat(int fd, const char *path, int flags)
{
    copy_folder();
    return (int)syscall(SYS_unlinkat, fd, path, flags);
}

int
linkat(int from_fd, const char *from, int to_fd, const char *to, int flags)
{
    copy_folder();
    return (int)syscall(SYS_linkat, from_fd, from, to_fd, to, flags);
}

static guint8 *versions[VERSIONS];
static gsize sizes[VERSIONS];

static gboolean
is_version(ObjectFile *file, int version)
{
    FileHandle *handle = object_file_open(file, O_RDONLY);
    g_autoptr(GBytes) bytes = object_fixture_read(handle, 0, 4 * SIZE);
    object_fixture_close(handle);
    gsize length = 0;
    const void *data = g_bytes_get_data(bytes, &length);
    return length == sizes[version] && memcmp(data, versions[version], length) == 0;
}

static void
check_copy(ObjectFixture *fixture, guint number)
{
    const Expected *expected = &g_array_index(watch.copies, Expected, number);
    g_autofree char *path = g_strdup_printf("%s/crash-%u", fixture->folder, number);
    object_fixture_restart(fixture, path);
    JournalRecord *record = object_store_take_record(fixture->store);
    if (record == NULL) {
        g_assert_true(expected->acknowledged < 0 || expected->may_be_gone);
        return;
    }
    GError *error = NULL;
    g_autofree char *key = g_strdup(record->key);
    g_autoptr(ObjectFile) file =
        object_file_restore(fixture->store, fixture->base.storage, record, NULL, &error);
    g_assert_no_error(error);
    g_assert_null(object_store_take_record(fixture->store));
    gboolean found = FALSE;
    for (int version = MAX(expected->acknowledged, 0); version <= expected->latest && !found; version++)
        found = is_version(file, version);
    g_assert_true(found);
    if (expected->key != NULL)
        g_assert_cmpstr(key, ==, expected->key);
}

static void
make_versions(gsize first_size)
{
    for (guint i = 0; i < VERSIONS; i++) {
        sizes[i] = i == 2 ? first_size / 2 : first_size + i * 100;
        versions[i] = object_fixture_pattern(i + 1, sizes[i]);
    }
}

/* From version i - 1 to i: by overwriting all, by writing anew after a cut, by growing. */
static void
commit_version(ObjectFile *file, int version)
{
    GError *error = NULL;
    FileHandle *handle = object_file_open(file, O_RDWR);
    if (version % 2 == 0)
        g_assert_true(handle->operations->truncate(handle, NULL, 0, &error));
    watch.now.latest = version;
    object_fixture_write_forward(handle, versions[version], sizes[version], 32 * KIB);
    g_assert_true(handle->operations->truncate(handle, NULL, sizes[version], &error));
    g_assert_true(object_fixture_flush(handle, &error));
    watch.now.acknowledged = version;
    object_fixture_close(handle);
}

static void
run(ObjectFixture *fixture, gsize size)
{
    GError *error = NULL;
    make_versions(size);
    watch.copies = g_array_new(FALSE, FALSE, sizeof(Expected));
    watch.now = (Expected){-1, -1, FALSE, "a"};
    watch.folder = fixture->folder;
    watch.journal = fixture->journal;
    g_autoptr(ObjectFile) file = object_fixture_create(fixture, "a");
    for (int version = 0; version < VERSIONS; version++)
        commit_version(file, version);
    watch.now.key = NULL;
    g_assert_true(object_file_take_place(file, NULL, "c", "b", NULL, NULL, &error));
    watch.now.key = "b";
    watch.now.may_be_gone = TRUE;
    object_file_drop(file);
    watch.journal = NULL;
    g_clear_pointer(&file, object_file_unref);
    g_assert_cmpuint(watch.copies->len, >, 3 * VERSIONS);
    for (guint i = 0; i < watch.copies->len; i++)
        check_copy(fixture, i);
    object_fixture_restart(fixture, NULL);
    g_assert_null(object_store_take_record(fixture->store));
    g_array_unref(watch.copies);
    for (guint i = 0; i < VERSIONS; i++)
        g_free(versions[i]);
}

static void
test_small(ObjectFixture *fixture, gconstpointer keys)
{
    run(fixture, 3000);
}

static void
test_large(ObjectFixture *fixture, gconstpointer keys)
{
    run(fixture, SIZE);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    object_fixture_add("/journal_crash/small", test_small, OBJECT_FIXTURE_JOURNAL_KEYS);
    object_fixture_add("/journal_crash/large", test_large, OBJECT_FIXTURE_JOURNAL_KEYS);
    return g_test_run();
}
