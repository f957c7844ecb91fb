/* conf/storagefs.conf.example shows every key of every driver with its default, and nothing else. */
#include "src/storage/driver_registry.h"
#include "src/storage/settings.h"

#include <glib/gstdio.h>
#include <string.h>

/* The example with all its "#key = value" and "#[section]" lines switched on, or with only their keys kept.
 */
static char *
read_example(gboolean uncomment)
{
    g_autofree char *path =
        g_build_filename(g_getenv("STORAGEFS_SOURCE"), "conf", "storagefs.conf.example", NULL);
    g_autofree char *text = NULL;
    g_autoptr(GError) error = NULL;
    gboolean ok = g_file_get_contents(path, &text, NULL, &error);
    g_assert_no_error(error);
    g_assert_true(ok);
    if (!uncomment)
        return g_steal_pointer(&text);
    g_autoptr(GRegex) commented = g_regex_new("^#(?=[a-z\\[])", G_REGEX_MULTILINE, 0, NULL);
    return g_regex_replace_literal(commented, text, -1, 0, "", 0, NULL);
}

static Settings *
load(const char *text, GError **error)
{
    g_autofree char *path = NULL;
    int fd = g_file_open_tmp("storagefs-example-XXXXXX", &path, NULL);
    g_assert_cmpint(fd, >=, 0);
    g_close(fd, NULL);
    g_assert_true(g_file_set_contents(path, text, -1, NULL));
    g_assert_no_errno(g_chmod(path, 0600));
    Settings *settings = settings_load(path, error);
    g_unlink(path);
    return settings;
}

static void
test_loads_as_it_is(void)
{
    g_autofree char *text = read_example(FALSE);
    g_autoptr(GError) error = NULL;
    g_autoptr(Settings) settings = load(text, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(settings->storages->len, ==, 1);
}

/* Unknown keys, values of the wrong type and unknown drivers would fail here. */
static void
test_loads_with_every_key(void)
{
    g_autofree char *text = read_example(TRUE);
    g_autoptr(GError) error = NULL;
    g_autoptr(Settings) settings = load(text, &error);
    g_assert_no_error(error);
    g_assert_nonnull(settings);
}

static void
check_key(GKeyFile *all, const char *section, const ConfigKey *key)
{
    g_autofree char *value = g_key_file_get_value(all, section, key->name, NULL);
    if (!value)
        g_error("the example does not show %s in [%s]", key->name, section);
    /* create_path is set to yes, so that the example can be used as it stands. */
    if (key->default_text && strcmp(key->name, "create_path") != 0 && strcmp(value, key->default_text) != 0)
        g_error("the example shows %s = %s in [%s], the default is %s", key->name, value, section,
                key->default_text);
}

static void
check_keys(GKeyFile *all, const char *section, const ConfigKey *keys)
{
    for (const ConfigKey *key = keys; key->name; key++)
        check_key(all, section, key);
}

static void
test_shows_every_key(void)
{
    g_autofree char *text = read_example(TRUE);
    g_autoptr(GKeyFile) all = g_key_file_new();
    g_assert_true(g_key_file_load_from_data(all, text, -1, G_KEY_FILE_NONE, NULL));
    check_keys(all, "storagefs", settings_get_global_keys());
    check_keys(all, "storage scratch", settings_get_storage_keys());
}

/* The first section of each driver shows its keys; presets are named in the comments. */
static void
test_shows_every_driver(void)
{
    g_autofree char *text = read_example(TRUE);
    g_autoptr(GKeyFile) all = g_key_file_new();
    g_assert_true(g_key_file_load_from_data(all, text, -1, G_KEY_FILE_NONE, NULL));
    g_autoptr(GHashTable) sections = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    g_auto(GStrv) groups = g_key_file_get_groups(all, NULL);
    for (char **group = groups; *group; group++) {
        char *driver = g_key_file_get_value(all, *group, "driver", NULL);
        if (driver)
            g_hash_table_insert(sections, driver, g_strdup(*group));
    }
    for (const char *const *name = driver_registry_get_names(); *name; name++) {
        const Driver *driver = driver_registry_find(*name);
        const char *section = g_hash_table_lookup(sections, driver->name);
        if (!section)
            g_error("the example has no section with driver = %s", driver->name);
        check_keys(all, section, driver->keys);
        g_autofree char *word = g_strdup_printf("\\b%s\\b", *name);
        if (!g_regex_match_simple(word, text, 0, 0))
            g_error("the example does not name the driver %s", *name);
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/settings-example/loads-as-it-is", test_loads_as_it_is);
    g_test_add_func("/settings-example/loads-with-every-key", test_loads_with_every_key);
    g_test_add_func("/settings-example/shows-every-key", test_shows_every_key);
    g_test_add_func("/settings-example/shows-every-driver", test_shows_every_driver);
    return g_test_run();
}
