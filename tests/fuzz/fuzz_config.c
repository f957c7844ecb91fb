/* Configuration files: settings with every value in its range, or an error with file and line. */
#include "src/base/config.h"
#include "src/storage/settings.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

static char *path;

void
fuzz_begin(void)
{
    path = fuzz_path("storagefs.conf");
}

static void
check_storage(const StorageSettings *storage)
{
    g_autoptr(StorageSettings) copy = settings_copy_storage(storage);
    g_assert_true(settings_equal_storage(storage, copy));
    g_assert_nonnull(storage->driver);
    fuzz_check_utf8(storage->name);
    g_assert_cmpuint(strlen(storage->name), <=, 255);
    g_assert_null(strchr(storage->name, '/'));
    g_assert_cmpint(storage->name[0], !=, '.');
    g_assert_cmpstr(storage->name, !=, "default");
    g_assert_cmpuint(storage->maximum_requests, >=, 1);
    g_assert_cmpuint(storage->maximum_requests, <=, 512);
    g_assert_cmpint(storage->part_bytes, >=, 0);
    g_assert_cmpint(storage->timeout_us, >, 0);
    g_assert_cmpint(storage->freshness_us, >=, 0);
}

/* The drivers' own reading of their values: nothing is connected. A local storage may make its directory, and
 * that would be anywhere. */
static void
open_storage(const StorageSettings *storage)
{
    g_autoptr(GError) error = NULL;
    if (strcmp(storage->driver->name, "local") == 0)
        return;
    DriverInstance *instance = storage->driver->open(storage->driver_name, storage->section, &error);
    if (!instance) {
        fuzz_check_line(error);
        return;
    }
    g_autofree char *place = storage->driver->describe_place(instance);
    g_assert_nonnull(place);
    storage->driver->close(instance);
}

static void
check_values(const char *text)
{
    g_autoptr(GError) error = NULL;
    gint64 number = 0;
    gboolean flag = FALSE;
    if (config_parse_size(text, &number, &error))
        g_assert_cmpint(number, >=, 0);
    else
        fuzz_check_line(error);
    g_clear_error(&error);
    if (config_parse_duration(text, &number, &error))
        g_assert_cmpint(number, >=, 0);
    else
        fuzz_check_line(error);
    g_clear_error(&error);
    if (!config_parse_boolean(text, &flag, &error))
        fuzz_check_line(error);
}

void
fuzz_one(FuzzInput *input)
{
    g_autoptr(GError) error = NULL;
    fuzz_write("storagefs.conf", input->at, fuzz_left(input));
    g_autoptr(Settings) settings = settings_load(path, &error);
    g_autofree char *text = fuzz_take_text(input, '\n');
    check_values(text);
    if (!settings) {
        fuzz_check_line(error);
        g_assert_true(g_str_has_prefix(error->message, path));
        return;
    }
    for (guint i = 0; i < settings->storages->len; i++) {
        const StorageSettings *storage = g_ptr_array_index(settings->storages, i);
        check_storage(storage);
        open_storage(storage);
    }
}
