/* The set of storages: its default, what it remembers, reloading. */
#include "src/storage/storage_set.h"

#include "src/storage/learned_file.h"

#include "tests/unit/folder_fixture.h"
#include "tests/unit/storage_fixture.h"

#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>

#define TWO "[storage first]\ndriver = memory\nstore = one\n[storage second]\ndriver = memory\nstore = two\n"

typedef struct {
    char *parent, *directory;
} Fixture;

static void
set_up(Fixture *fixture, gconstpointer data)
{
    fixture->parent = g_dir_make_tmp("storagefs-set-XXXXXX", NULL);
    fixture->directory = g_build_filename(fixture->parent, "a", "state", NULL);
}

static void
tear_down(Fixture *fixture, gconstpointer data)
{
    folder_fixture_remove(fixture->parent);
    g_free(fixture->directory);
    g_free(fixture->parent);
}

static StorageSet *
open_set(Fixture *fixture, const char *text, const char *accepted, GError **error)
{
    const char *const list[] = {accepted, NULL};
    g_autoptr(Settings) settings = storage_fixture_settings(text);
    return storage_set_new(settings, fixture->directory, list, error);
}

static void
assert_default(StorageSet *set, const char *name)
{
    g_autofree char *found = storage_set_get_default_name(set);
    g_autoptr(Storage) storage = storage_set_get_default(set);
    g_assert_cmpstr(found, ==, name);
    if (name)
        g_assert_cmpstr(storage_get_name(storage), ==, name);
    else
        g_assert_null(storage);
}

static void
assert_default_after_open(Fixture *fixture, const char *text, const char *name)
{
    g_autoptr(StorageSet) set = open_set(fixture, text, NULL, NULL);
    assert_default(set, name);
}

static void
test_order_and_search(Fixture *fixture, gconstpointer data)
{
    g_autoptr(StorageSet) set = open_set(fixture, TWO, NULL, NULL);
    g_autoptr(GPtrArray) list = storage_set_list(set);
    g_autoptr(Storage) second = storage_set_find(set, "second");
    g_assert_cmpuint(list->len, ==, 2);
    g_assert_cmpstr(storage_get_name(g_ptr_array_index(list, 0)), ==, "first");
    g_assert_true(second == g_ptr_array_index(list, 1));
    g_assert_null(storage_set_find(set, "third"));
    assert_default(set, "first");
}

static void
test_no_storage(Fixture *fixture, gconstpointer data)
{
    assert_default_after_open(fixture, "", NULL);
}

static void
test_choice_survives_until_edited(Fixture *fixture, gconstpointer data)
{
    {
        g_autoptr(StorageSet) set = open_set(fixture, TWO, NULL, NULL);
        g_autoptr(GError) error = NULL;
        guint64 before = storage_set_get_generation(set);
        g_assert_false(storage_set_set_default(set, "nope", &error));
        g_assert_error(error, STORAGEFS_ERROR, ERROR_NOT_FOUND);
        assert_default(set, "first");
        g_assert_cmpuint(storage_set_get_generation(set), ==, before);
        g_assert_true(storage_set_set_default(set, "second", NULL));
        assert_default(set, "second");
        g_assert_cmpuint(storage_set_get_generation(set), >, before);
    }
    assert_default_after_open(fixture, TWO, "second");
    /* The configuration's own word is edited, and wins; taken out again, the old choice does not come back.
     */
    assert_default_after_open(fixture, "[storagefs]\ndefault = first\n" TWO, "first");
    assert_default_after_open(fixture, TWO, "first");
    {
        g_autoptr(StorageSet) set = open_set(fixture, "[storagefs]\ndefault = first\n" TWO, NULL, NULL);
        g_assert_true(storage_set_set_default(set, "second", NULL));
    }
    assert_default_after_open(fixture, "[storagefs]\ndefault = first\n" TWO, "second");
    assert_default_after_open(fixture, TWO, "first");
}

static void
test_chosen_storage_that_went(Fixture *fixture, gconstpointer data)
{
    {
        g_autoptr(StorageSet) set = open_set(fixture, TWO, NULL, NULL);
        g_assert_true(storage_set_set_default(set, "second", NULL));
    }
    assert_default_after_open(fixture, "[storage first]\ndriver = memory\nstore = one\n", "first");
}

static void
test_moved_name_is_refused(Fixture *fixture, gconstpointer data)
{
    static const char moved[] = "[storage first]\ndriver = memory\nstore = elsewhere\n";
    g_autoptr(GError) error = NULL;
    storage_set_free(open_set(fixture, TWO, NULL, NULL));
    g_assert_null(open_set(fixture, moved, NULL, &error));
    g_assert_error(error, STORAGEFS_ERROR, ERROR_BAD_CONFIG);
    g_assert_nonnull(strstr(error->message, "memory one"));
    g_assert_nonnull(strstr(error->message, "memory elsewhere"));
    g_assert_nonnull(strstr(error->message, "--accept-moved first"));
    g_clear_error(&error);
    g_assert_null(open_set(fixture, moved, "second", NULL));
    /* Accepted once, it is the place from then on. */
    storage_set_free(open_set(fixture, moved, "first", &error));
    g_assert_no_error(error);
    storage_set_free(open_set(fixture, moved, NULL, &error));
    g_assert_no_error(error);
}

static void
test_name_that_was_away_is_remembered(Fixture *fixture, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    storage_set_free(open_set(fixture, TWO, NULL, NULL));
    storage_set_free(open_set(fixture, "[storage second]\ndriver = memory\nstore = two\n", NULL, NULL));
    g_assert_null(open_set(fixture, "[storage first]\ndriver = memory\nstore = three\n", NULL, &error));
    g_assert_error(error, STORAGEFS_ERROR, ERROR_BAD_CONFIG);
}

static void
test_names_of_any_characters(Fixture *fixture, gconstpointer data)
{
    static const char odd[] = "[storage  x = #;\\ \xc3\xa9]\ndriver = memory\nstore = one\n";
    g_autoptr(GError) error = NULL;
    g_autoptr(StorageSet) set = open_set(fixture, odd, NULL, &error);
    g_assert_no_error(error);
    g_assert_true(storage_set_set_default(set, "x = #;\\ \xc3\xa9", NULL));
    assert_default_after_open(fixture, odd, "x = #;\\ \xc3\xa9");
}

static void
test_directory_is_private(Fixture *fixture, gconstpointer data)
{
    struct stat info;
    g_autoptr(GError) error = NULL;
    storage_set_free(open_set(fixture, TWO, NULL, NULL));
    g_assert_cmpint(stat(fixture->directory, &info), ==, 0);
    g_assert_cmpint(info.st_mode & 0777, ==, 0700);
    g_assert_cmpint(chmod(fixture->directory, 0770), ==, 0);
    g_assert_null(open_set(fixture, TWO, NULL, &error));
    g_assert_error(error, STORAGEFS_ERROR, ERROR_DENIED);
}

static void
test_damaged_file_is_told(Fixture *fixture, gconstpointer data)
{
    g_autofree char *file = g_build_filename(fixture->directory, "storages", NULL);
    g_autoptr(GError) error = NULL;
    storage_set_free(open_set(fixture, TWO, NULL, NULL));
    g_assert_true(g_file_set_contents(file, "\x01garbage", -1, NULL));
    g_assert_null(open_set(fixture, TWO, NULL, &error));
    g_assert_error(error, STORAGEFS_ERROR, ERROR_IO);
    g_assert_nonnull(strstr(error->message, file));
}

static void
test_choice_that_cannot_be_kept(Fixture *fixture, gconstpointer data)
{
    g_autoptr(StorageSet) set = open_set(fixture, TWO, NULL, NULL);
    g_autoptr(GError) error = NULL;
    g_autofree char *file = g_build_filename(fixture->directory, "storages", NULL);
    g_autofree char *block = g_strconcat(file, ".new", NULL);
    g_assert_cmpint(g_mkdir(block, 0700), ==, 0);
    g_assert_false(storage_set_set_default(set, "second", &error));
    assert_default(set, "first");
    g_rmdir(block);
}

static void
reload(StorageSet *set, const char *text, GError **error)
{
    g_autoptr(Settings) settings = storage_fixture_settings(text);
    storage_set_reload(set, settings, error);
}

static void
test_reload(Fixture *fixture, gconstpointer data)
{
    g_autoptr(StorageSet) set = open_set(fixture, TWO, NULL, NULL);
    g_autoptr(Storage) first = storage_set_find(set, "first");
    g_autoptr(Storage) second = storage_set_find(set, "second");
    g_autoptr(GError) error = NULL;
    guint64 before = storage_set_get_generation(set);
    reload(set,
           "[storage third]\ndriver = memory\n[storage first]\ndriver = memory\nstore = one\n"
           "[storage second]\ndriver = memory\nstore = two\nread_only = yes\n",
           &error);
    g_assert_no_error(error);
    g_autoptr(Storage) first_after = storage_set_find(set, "first");
    g_autoptr(Storage) second_after = storage_set_find(set, "second");
    g_autoptr(Storage) third = storage_set_find(set, "third");
    g_assert_true(first_after == first);
    g_assert_true(second_after != second);
    g_assert_true(storage_get_settings(second_after)->read_only);
    g_assert_nonnull(third);
    assert_default(set, "third");
    g_assert_cmpuint(storage_set_get_generation(set), >, before);
}

static void
test_reload_is_all_or_nothing(Fixture *fixture, gconstpointer data)
{
    g_autoptr(StorageSet) set = open_set(fixture, TWO, NULL, NULL);
    g_autoptr(GError) error = NULL;
    guint64 before = storage_set_get_generation(set);
    reload(set, "[storage third]\ndriver = memory\n[storage first]\ndriver = memory\nstore = x\n", &error);
    g_assert_error(error, STORAGEFS_ERROR, ERROR_BAD_CONFIG);
    g_assert_null(storage_set_find(set, "third"));
    g_assert_cmpuint(storage_set_get_generation(set), ==, before);
}

static void
test_state_directory(void)
{
    g_autofree char *one = NULL, *same = NULL, *other = NULL;
    g_setenv("XDG_STATE_HOME", "/x", TRUE);
    one = storage_set_default_state_dir("/etc/a", "/mnt/b");
    same = storage_set_default_state_dir("/etc/a", "/mnt/b");
    other = storage_set_default_state_dir("/etc/a", "/mnt/c");
    g_assert_true(g_str_has_prefix(one, "/x/storagefs/"));
    g_assert_cmpstr(one, ==, same);
    g_assert_cmpstr(one, !=, other);
}

static void
test_learned(Fixture *fixture, gconstpointer data)
{
    enum { NOW_S = 1000000000 };
    g_autofree char *path = g_build_filename(fixture->parent, "learned", NULL);
    GError *error = NULL;
    g_assert_null(learned_file_load(path, "s3 a", NOW_S));
    learned_file_save(path, "s3 a", NOW_S, "a text", &error);
    g_assert_no_error(error);
    g_autofree char *text = learned_file_load(path, "s3 a", NOW_S + LEARNED_FILE_MAXIMUM_AGE_S);
    g_assert_cmpstr(text, ==, "a text");
    g_assert_null(learned_file_load(path, "s3 b", NOW_S));
    g_assert_null(learned_file_load(path, "s3 a", NOW_S + LEARNED_FILE_MAXIMUM_AGE_S + 1));
    g_assert_null(learned_file_load(path, "s3 a", NOW_S - 1));
    g_assert_true(g_file_set_contents(path, "[learned]\nplace", -1, NULL));
    g_assert_null(learned_file_load(path, "s3 a", NOW_S));
    g_remove(path);
}

int
main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*test)(Fixture *fixture, gconstpointer data);
    } tests[] = {
        {"order-and-search", test_order_and_search},
        {"no-storage", test_no_storage},
        {"choice-survives-until-edited", test_choice_survives_until_edited},
        {"chosen-storage-that-went", test_chosen_storage_that_went},
        {"moved-name-is-refused", test_moved_name_is_refused},
        {"name-that-was-away-is-remembered", test_name_that_was_away_is_remembered},
        {"names-of-any-characters", test_names_of_any_characters},
        {"directory-is-private", test_directory_is_private},
        {"damaged-file-is-told", test_damaged_file_is_told},
        {"choice-that-cannot-be-kept", test_choice_that_cannot_be_kept},
        {"learned", test_learned},
        {"reload", test_reload},
        {"reload-is-all-or-nothing", test_reload_is_all_or_nothing},
    };
    g_test_init(&argc, &argv, NULL);
    for (guint i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_autofree char *path = g_strdup_printf("/storage-set/%s", tests[i].name);
        g_test_add(path, Fixture, NULL, set_up, tests[i].test, tear_down);
    }
    g_test_add_func("/storage-set/state-directory", test_state_directory);
    return g_test_run();
}
