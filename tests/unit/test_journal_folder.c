/* journal_folder.h on a disk that fails: nothing is removed, and nothing is promised that is not so. */
#include "src/object/journal_folder.h"

#include "src/base/error.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What fails: the opendir with this number, counted down; readdir at the first name; fsync of directories. */
static gint opendir_fails_at;
static gboolean readdir_fails;
static gint folder_syncs_fail, folder_syncs;

/* In place of the C library's. */
DIR *
opendir(const char *path)
{
    DIR *(*next)(const char *) = (DIR * (*)(const char *)) dlsym(RTLD_NEXT, "opendir");
    if (opendir_fails_at > 0 && --opendir_fails_at == 0) {
        errno = EMFILE;
        return NULL;
    }
    return next(path);
}

struct dirent *
readdir(DIR *dir)
{
    struct dirent *(*next)(DIR *) = (struct dirent * (*)(DIR *)) dlsym(RTLD_NEXT, "readdir64");
    if (!readdir_fails)
        return next(dir);
    errno = EIO;
    return NULL;
}

int
fsync(int fd)
{
    struct stat status;
    if (!g_atomic_int_get(&folder_syncs_fail) || fstat(fd, &status) != 0 || !S_ISDIR(status.st_mode))
        return (int)syscall(SYS_fsync, fd);
    /* A long one gathers a group, a short one overtakes those who still wake up. */
    if (g_atomic_int_add(&folder_syncs, 1) % 2 == 0)
        g_usleep(300);
    errno = EIO;
    return -1;
}

static JournalRecord *
make_record(JournalFolder *folder, const char *key, const char *data_name)
{
    JournalRecord *record = journal_record_new();
    record->id = journal_folder_take_id(folder);
    record->sequence = journal_folder_take_sequence(folder);
    record->storage = g_strdup("s");
    record->place = g_strdup("memory");
    record->container = g_strdup("c");
    record->key = g_strdup(key);
    record->content = TRUE;
    if (data_name != NULL) {
        JournalExtent extent = {JOURNAL_EXTENT_DATA, FALSE, 0, 4, 0};
        g_array_append_val(record->extents, extent);
        record->attributes.size_bytes = 4;
        record->data_name = g_strdup(data_name);
    }
    return record;
}

typedef struct {
    char *path;
    JournalFolder *folder;
} Fixture;

static void
open_folder(Fixture *fixture)
{
    GError *error = NULL;
    fixture->folder = journal_folder_open(fixture->path, 0, &error);
    g_assert_no_error(error);
}

static void
set_up(Fixture *fixture, gconstpointer unused)
{
    fixture->path = g_dir_make_tmp("journal-XXXXXX", NULL);
    open_folder(fixture);
}

static void
tear_down(Fixture *fixture, gconstpointer unused)
{
    journal_folder_close(fixture->folder);
    const char *words[] = {"rm", "-rf", fixture->path, NULL};
    g_assert_true(
        g_spawn_sync(NULL, (char **)words, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, NULL, NULL));
    g_free(fixture->path);
}

static char *
path_of(Fixture *fixture, const char *name)
{
    return g_build_filename(fixture->path, name, NULL);
}

static gboolean
write_record(Fixture *fixture, const JournalRecord *record, GError **error)
{
    gboolean written;
    return journal_folder_write(fixture->folder, record, &written, error);
}

/* One record with a data file. */
static void
fill(Fixture *fixture)
{
    GError *error = NULL;
    g_autofree char *data = path_of(fixture, "1-0.data");
    g_assert_true(g_file_set_contents(data, "text", 4, &error));
    g_autoptr(JournalRecord) record = make_record(fixture->folder, "a", "1-0.data");
    g_assert_true(write_record(fixture, record, &error));
    g_assert_no_error(error);
}

/* The next process on the same directory. */
static GPtrArray *
load(Fixture *fixture, GError **error)
{
    journal_folder_close(fixture->folder);
    open_folder(fixture);
    return journal_folder_load(fixture->folder, error);
}

static void
assert_untouched(Fixture *fixture)
{
    GError *error = NULL;
    g_autofree char *data = path_of(fixture, "1-0.data");
    g_assert_true(g_file_test(data, G_FILE_TEST_EXISTS));
    g_autoptr(GPtrArray) records = load(fixture, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(records->len, ==, 1);
    g_assert_cmpstr(((JournalRecord *)records->pdata[0])->key, ==, "a");
}

static void
test_no_directory_no_removal(Fixture *fixture, gconstpointer unused)
{
    fill(fixture);
    for (gint at = 1; at <= 3; at++) {
        g_autoptr(GError) error = NULL;
        opendir_fails_at = at;
        g_autoptr(GPtrArray) records = load(fixture, &error);
        opendir_fails_at = 0;
        g_assert_null(records);
        g_assert_error(error, STORAGEFS_ERROR, ERROR_NO_RESOURCES);
        g_assert_nonnull(strstr(error->message, "cannot be listed"));
        assert_untouched(fixture);
    }
}

static void
test_half_a_listing_no_removal(Fixture *fixture, gconstpointer unused)
{
    g_autoptr(GError) error = NULL;
    fill(fixture);
    readdir_fails = TRUE;
    g_autoptr(GPtrArray) records = load(fixture, &error);
    readdir_fails = FALSE;
    g_assert_null(records);
    g_assert_error(error, STORAGEFS_ERROR, ERROR_IO);
    assert_untouched(fixture);
}

static void
test_an_unreadable_folder_that_is_not_there(Fixture *fixture, gconstpointer unused)
{
    g_autoptr(GPtrArray) names = journal_folder_list_unreadable(fixture->folder);
    g_assert_cmpuint(names->len, ==, 0);
}

#define WRITERS 8u
#define ROUNDS 300u

static gpointer
write_many(gpointer data)
{
    Fixture *fixture = data;
    guint promised = 0;
    g_autoptr(JournalRecord) record = make_record(fixture->folder, "k", NULL);
    for (guint i = 0; i < ROUNDS; i++)
        promised += (guint)write_record(fixture, record, NULL);
    return GUINT_TO_POINTER(promised);
}

/* Whatever group a writer is in, and whenever it wakes: no fsync succeeded. */
static void
test_failed_groups_promise_nothing(Fixture *fixture, gconstpointer unused)
{
    GThread *threads[WRITERS];
    guint promised = 0;
    g_atomic_int_set(&folder_syncs_fail, TRUE);
    for (guint i = 0; i < WRITERS; i++)
        threads[i] = g_thread_new("writer", write_many, fixture);
    for (guint i = 0; i < WRITERS; i++)
        promised += GPOINTER_TO_UINT(g_thread_join(threads[i]));
    g_atomic_int_set(&folder_syncs_fail, FALSE);
    g_assert_cmpuint(promised, ==, 0);
}

static void
add(const char *path, void (*test)(Fixture *fixture, gconstpointer unused))
{
    g_test_add(path, Fixture, NULL, set_up, test, tear_down);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    add("/journal_folder/no_directory_no_removal", test_no_directory_no_removal);
    add("/journal_folder/half_a_listing_no_removal", test_half_a_listing_no_removal);
    add("/journal_folder/unreadable_absent", test_an_unreadable_folder_that_is_not_there);
    add("/journal_folder/failed_groups_promise_nothing", test_failed_groups_promise_nothing);
    return g_test_run();
}
