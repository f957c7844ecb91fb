/* Configuration → Settings, and every mistake that must be refused with its line. */
#include "src/storage/settings.h"

#include "src/storage/driver_registry.h"
#include "tests/unit/storage_fixture.h"

#include <glib/gstdio.h>
#include <string.h>

static void
test_defaults(void)
{
    g_autoptr(Settings) settings = storage_fixture_settings("[storage a]\ndriver = memory\n");
    g_assert_true(g_path_is_absolute(settings->path));
    g_assert_null(settings->default_name);
    g_assert_null(settings->state_dir);
    g_assert_cmpint(settings->memory_limit_bytes, ==, 512 << 20);
    g_assert_cmpint(settings->freshness_us, ==, G_USEC_PER_SEC);
    g_assert_cmpint(settings->timeout_us, ==, 60 * G_USEC_PER_SEC);
    g_assert_cmpint(settings->log_level, ==, LOG_LEVEL_INFO);
    g_assert_cmpuint(settings->storages->len, ==, 1);
    StorageSettings *storage = g_ptr_array_index(settings->storages, 0);
    g_assert_cmpstr(storage->name, ==, "a");
    g_assert_cmpstr(storage->driver_name, ==, "memory");
    g_assert_true(storage->driver == driver_registry_find("memory"));
    g_assert_false(storage->folders);
    g_assert_false(storage->read_only);
    g_assert_true(storage->exact_attributes);
    g_assert_null(storage->containers);
    g_assert_cmpuint(g_strv_length(storage->create_containers), ==, 0);
    g_assert_cmpint(storage->freshness_us, ==, G_USEC_PER_SEC);
    g_assert_cmpint(storage->timeout_us, ==, 60 * G_USEC_PER_SEC);
    g_assert_cmpint(storage->part_bytes, ==, 16 << 20);
    g_assert_cmpuint(storage->maximum_requests, ==, 64);
}

static void
test_values(void)
{
    g_autoptr(Settings) settings = storage_fixture_settings(
        "[storage b b]\ndriver = memory\ncontainers = x;y\ncreate_containers = y\nfolders = yes\nread_only = "
        "on\n"
        "attributes = listing\nfreshness = 5s\npart_size = 8M\nmax_requests = 3\n"
        "[storagefs]\ndefault = a\ntimeout = 2m\nfreshness = 0\nlog_level = debug\nmemory_limit = 64M\n"
        "state_dir = /s\ncache_dir = sub\ncache_size = 8M\n"
        "[storage a]\ndriver = memory\ntimeout = 3s\n");
    StorageSettings *b = g_ptr_array_index(settings->storages, 0),
                    *a = g_ptr_array_index(settings->storages, 1);
    g_assert_cmpstr(settings->default_name, ==, "a");
    g_assert_cmpstr(settings->state_dir, ==, "/s");
    g_assert_true(g_path_is_absolute(settings->cache_dir));
    g_assert_cmpint(settings->log_level, ==, LOG_LEVEL_DEBUG);
    g_assert_cmpint(settings->memory_limit_bytes, ==, 64 << 20);
    g_assert_cmpint(settings->cache_size_bytes, ==, 8 << 20);
    g_assert_cmpstr(b->name, ==, "b b");
    g_assert_cmpstr(b->containers[1], ==, "y");
    g_assert_cmpstr(b->create_containers[0], ==, "y");
    g_assert_true(b->folders && b->read_only && !b->exact_attributes);
    g_assert_cmpint(b->freshness_us, ==, 5 * G_USEC_PER_SEC);
    g_assert_cmpint(b->timeout_us, ==, 120 * G_USEC_PER_SEC);
    g_assert_cmpint(b->part_bytes, ==, 8 << 20);
    g_assert_cmpuint(b->maximum_requests, ==, 3);
    g_assert_cmpint(a->freshness_us, ==, 0);
    g_assert_cmpint(a->timeout_us, ==, 3 * G_USEC_PER_SEC);
}

static void
test_no_storage_is_no_error(void)
{
    g_autoptr(Settings) settings = storage_fixture_settings("# nothing yet\n");
    g_assert_cmpuint(settings->storages->len, ==, 0);
}

static void
test_mistakes(void)
{
    static const struct {
        const char *text;
        const char *place; /* what the message must name ... */
        const char *hint;  /* ... and say */
    } cases[] = {
        {"[storage a]\ndriver = memory\n[storage a]\ndriver = memory\n", "conf:3:", "a"},
        {"[storage a]\ndriver = memory\n[storage  a]\ndriver = memory\n", "conf:3:", "'a' is there already"},
        {"\n[storage default]\ndriver = memory\n", "conf:2:", "default = main"},
        {"[storage ]\ndriver = memory\n", "conf:1:", "name"},
        {"[storage]\ndriver = memory\n", "conf:1:", "needs a name"},
        {"[storage .x]\ndriver = memory\n", "conf:1:", "dot"},
        {"[storage ..]\ndriver = memory\n", "conf:1:", "dot"},
        {"[storage a/b]\ndriver = memory\n", "conf:1:", "'/'"},
        {"[storage a]\n", "conf:1:", "memory"},
        {"[storage a]\ndriver = memoy\n", "conf:2:", "'memory'"},
        {"[storage a]\ndriver = qqqqqqqq\n", "conf:2:", "memory"},
        {"[storage a]\ndriver = memory\nfolder = yes\n", "conf:3:", "'folders'"},
        {"[storage a]\ndriver = memory\ncapacty = 1G\n", "conf:3:", "'capacity'"},
        {"[storage a]\ndriver = memory\nmax_requests = 0\n", "conf:3:", "max_requests"},
        {"[storage a]\ndriver = local\npath = /srv\ndurability = journal\n",
         "conf:4:", "written in place and need no journal"},
        {"[storage a]\ndriver = memory\ncontainers = x\ncreate_containers = x;y\n", "conf:4:", "'y'"},
        {"[storagefs]\ndefault = b\n[storage a]\ndriver = memory\n", "conf:2:", "b"},
        {"[storagefs]\ndefault = archve\n[storage archive]\ndriver = memory\n", "conf:2:", "'archive'"},
        {"[storagefs]\ncache_size = 1M\n", "conf:2:", "0 is none, else 8M or more"},
        {"[storagefs]\nmemory_limit = 1\n", "conf:2:", "memory_limit"},
        {"[storagefs]\ntimeot = 1\n", "conf:2:", "'timeout'"},
        {"[storagef]\n", "conf:1:", "[storagefs]"},
        {"[storge a]\n", "conf:1:", "[storage NAME]"},
        {"[unrelated]\n", "conf:1:", "[storage NAME]"},
        {"[storages a]\n", "conf:1:", "[storage NAME]"},
    };
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = NULL;
        g_assert_null(storage_fixture_load(cases[i].text, &error));
        g_test_message("%s", error->message);
        g_assert_error(error, STORAGEFS_ERROR, ERROR_BAD_CONFIG);
        g_assert_nonnull(strstr(error->message, cases[i].place));
        g_assert_nonnull(strstr(error->message, cases[i].hint));
        g_assert_null(strchr(error->message, '\n'));
    }
}

static void
test_long_name(void)
{
    g_autofree char *name = g_strnfill(256, 'n');
    g_autofree char *text = g_strdup_printf("[storage %s]\ndriver = memory\n", name);
    g_autofree char *fits = g_strdup_printf("[storage %s]\ndriver = memory\n", name + 1);
    g_autoptr(GError) error = NULL;
    g_assert_null(storage_fixture_load(text, &error));
    g_assert_error(error, STORAGEFS_ERROR, ERROR_BAD_CONFIG);
    g_autoptr(Settings) settings = storage_fixture_settings(fits);
    g_assert_nonnull(settings);
}

static void
test_missing_file_names_the_places(void)
{
    g_autoptr(GError) error = NULL;
    if (g_file_test("/etc/storagefs/storagefs.conf", G_FILE_TEST_EXISTS)) {
        g_test_skip("this machine has a configuration");
        return;
    }
    g_assert_null(settings_load(NULL, &error));
    g_assert_error(error, STORAGEFS_ERROR, ERROR_NOT_FOUND);
    g_assert_nonnull(strstr(error->message, g_get_user_config_dir()));
    g_assert_nonnull(strstr(error->message, "/etc/storagefs/storagefs.conf"));
}

static void
test_copies_are_equal(void)
{
    static const char text[] = "[storage a]\ndriver = memory\ncontainers = x\ncapacity = 1M\n";
    g_autoptr(Settings) one = storage_fixture_settings(text);
    g_autoptr(Settings) other = storage_fixture_settings("[storage a]\ndriver = memory\ncontainers = x\n");
    g_autoptr(StorageSettings) copy = settings_copy_storage(g_ptr_array_index(one->storages, 0));
    g_assert_true(settings_equal_storage(copy, g_ptr_array_index(one->storages, 0)));
    g_assert_false(settings_equal_storage(copy, g_ptr_array_index(other->storages, 0)));
}

int
main(int argc, char **argv)
{
    g_autofree char *home = g_dir_make_tmp("storagefs-home-XXXXXX", NULL);
    g_setenv("XDG_CONFIG_HOME", home, TRUE);
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/storage-settings/defaults", test_defaults);
    g_test_add_func("/storage-settings/values", test_values);
    g_test_add_func("/storage-settings/no-storage-is-no-error", test_no_storage_is_no_error);
    g_test_add_func("/storage-settings/mistakes", test_mistakes);
    g_test_add_func("/storage-settings/long-name", test_long_name);
    g_test_add_func("/storage-settings/missing-file-names-the-places", test_missing_file_names_the_places);
    g_test_add_func("/storage-settings/copies-are-equal", test_copies_are_equal);
    int status = g_test_run();
    g_rmdir(home);
    return status;
}
