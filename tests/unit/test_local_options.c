/* The local driver's keys: what is refused at open and how it is said, modes, sidecars seen as attributes. */
#include "drivers/local/local.h"

#include "tests/unit/folder_fixture.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

typedef struct {
    char *folder, *config;
} Fixture;

static void
set_up(Fixture *fixture, gconstpointer data)
{
    fixture->folder = g_dir_make_tmp("storagefs-options-XXXXXX", NULL);
    fixture->config = g_build_filename(fixture->folder, "storagefs.conf", NULL);
}

static void
tear_down(Fixture *fixture, gconstpointer data)
{
    folder_fixture_remove(fixture->folder);
    g_free(fixture->config);
    g_free(fixture->folder);
}

/* Opens a storage whose section holds these lines; %s in them is the temporary directory. */
static DriverInstance *
open_instance(Fixture *fixture, const char *path, const char *lines, GError **error)
{
    static const ConfigKey common[] = {
        {.name = "driver", .type = CONFIG_STRING},
        {.name = "folders", .type = CONFIG_BOOLEAN, .default_text = "no"},
        {NULL},
    };
    const ConfigKey *const tables[] = {common, local_driver.keys, NULL};
    g_autofree char *text =
        g_strdup_printf("[storage s]\ndriver = local\npath = %s/%s\n%s\n", fixture->folder, path, lines);
    g_assert_true(g_file_set_contents(fixture->config, text, -1, NULL));
    g_autoptr(ConfigFile) file = config_file_load(fixture->config, error);
    g_autoptr(ConfigSection) section = config_section_check(file, "storage s", tables, error);
    return section != NULL ? local_driver.open("local", section, error) : NULL;
}

static void
test_refused(Fixture *fixture, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    g_assert_null(open_instance(fixture, "storagefs.conf", "", &error));
    g_assert_true(error_is(error, ERROR_BAD_CONFIG));
    g_assert_nonnull(strstr(error->message, "storagefs.conf:3"));
    g_assert_nonnull(strstr(error->message, "is no directory"));
    g_clear_error(&error);
    g_assert_null(open_instance(fixture, "none", "sidecar = json", &error));
    g_assert_true(error_is(error, ERROR_BAD_CONFIG));
}

static gboolean
has_container(DriverInstance *instance, const char *name, GError **error)
{
    ContainerInfo info = {0};
    gboolean found = local_driver.stat_container(instance, NULL, name, &info, error);
    g_free(info.name);
    return found;
}

/* Missing, made, moved away, removed: noticed by the instance that is open. */
static void
test_base(Fixture *fixture, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    struct stat info;
    g_autofree char *base = g_build_filename(fixture->folder, "link", "base", NULL);
    g_autofree char *link = g_path_get_dirname(base), *moved = g_strconcat(base, "-moved", NULL);
    g_autofree char *first = g_build_filename(base, "first", NULL);
    g_autofree char *second = g_build_filename(base, "second", NULL);
    g_assert_cmpint(symlink(".", link), ==, 0);
    DriverInstance *instance = open_instance(fixture, "link/base", "", &error);
    g_assert_no_error(error);
    g_autofree char *place = local_driver.describe_place(instance);
    g_assert_false(has_container(instance, "first", &error));
    g_assert_true(error_is(error, ERROR_UNAVAILABLE));
    g_assert_nonnull(strstr(error->message, "create_path = yes"));
    g_clear_error(&error);
    g_assert_false(local_driver.files->stat_file(instance, "first", "", &info, &error));
    g_assert_true(error_is(error, ERROR_IO));
    g_clear_error(&error);
    g_assert_cmpint(g_mkdir_with_parents(first, 0700), ==, 0);
    g_assert_true(local_driver.files->stat_file(instance, "first", "", &info, NULL));
    g_assert_cmpint(rename(base, moved), ==, 0);
    g_assert_cmpint(g_mkdir_with_parents(second, 0700), ==, 0);
    g_assert_true(has_container(instance, "second", NULL));
    g_assert_false(has_container(instance, "first", &error));
    g_assert_true(error_is(error, ERROR_NOT_FOUND));
    DriverInstance *again = open_instance(fixture, "base", "", NULL);
    g_autofree char *found = local_driver.describe_place(again);
    g_assert_cmpstr(place, ==, found);
    local_driver.close(again);
    local_driver.close(instance);
}

static void
test_place(Fixture *fixture, gconstpointer data)
{
    GError *error = NULL;
    g_autofree char *link = g_build_filename(fixture->folder, "link", NULL);
    DriverInstance *made = open_instance(fixture, "base", "create_path = yes", &error);
    g_assert_no_error(error);
    g_assert_cmpint(symlink("base", link), ==, 0);
    DriverInstance *linked = open_instance(fixture, "link", "", &error);
    g_assert_no_error(error);
    g_autofree char *first = local_driver.describe_place(made), *second = local_driver.describe_place(linked);
    g_assert_cmpstr(first, ==, second);
    g_assert_true(g_str_has_prefix(first, "local /"));
    local_driver.close(made);
    local_driver.close(linked);
}

static gboolean
read_nothing(gpointer data, guint64 offset, void *buffer, gsize length_bytes, GError **error)
{
    return TRUE;
}

static void
put(DriverInstance *instance, const char *key)
{
    GError *error = NULL;
    const ByteSource source = {.size_bytes = 0, .read = read_nothing};
    const WriteOptions options = {NULL};
    local_driver.write_object(instance, NULL, "c", key, &source, &options, NULL, &error);
    g_assert_no_error(error);
}

static mode_t
get_mode(DriverInstance *instance, const char *key)
{
    struct stat info;
    g_assert_true(local_driver.files->stat_file(instance, "c", key, &info, NULL));
    return info.st_mode & 07777;
}

static void
test_modes(Fixture *fixture, gconstpointer data)
{
    GError *error = NULL;
    DriverInstance *instance = open_instance(fixture, "base", "create_path = yes", &error);
    g_assert_true(local_driver.create_container(instance, NULL, "c", &error));
    put(instance, "d/f");
    g_assert_cmpuint(get_mode(instance, "d/f"), ==, 0664);
    g_assert_cmpuint(get_mode(instance, "d"), ==, 0755);
    local_driver.close(instance);
    instance = open_instance(fixture, "base", "umask = 077", &error);
    put(instance, "e/f");
    g_assert_cmpuint(get_mode(instance, "e/f"), ==, 0600);
    g_assert_cmpuint(get_mode(instance, "e"), ==, 0700);
    local_driver.close(instance);
}

static void
set_attribute(DriverInstance *instance, const char *name, const char *value, int flags, GError **error)
{
    local_driver.files->set_xattr(instance, "c", "f", name, value, strlen(value), flags, error);
}

static void
assert_sidecar(Fixture *fixture, const char *expected)
{
    g_autofree char *path = g_build_filename(fixture->folder, "base", "c", "f.metadata.json", NULL);
    g_autofree char *text = NULL;
    g_file_get_contents(path, &text, NULL, NULL);
    g_assert_cmpstr(text, ==, expected);
}

static void
test_sidecar_attributes(Fixture *fixture, gconstpointer data)
{
    GError *error = NULL;
    g_autoptr(GBytes) value = NULL, names = NULL;
    const FileOperations *files = local_driver.files;
    DriverInstance *instance =
        open_instance(fixture, "base", "create_path = yes\nsidecar = sqlalchemy-file", &error);
    g_assert_true(local_driver.create_container(instance, NULL, "c", &error));
    put(instance, "f");
    set_attribute(instance, "user.filename", "\xc3\xa9.txt", 0, &error);
    g_assert_no_error(error);
    assert_sidecar(fixture, "{\"filename\": \"\\u00e9.txt\"}");
    set_attribute(instance, "user.mime_type", "text/plain", 0, &error);
    g_assert_no_error(error);
    assert_sidecar(fixture, "{\"filename\": \"\\u00e9.txt\"}");
    g_assert_true(files->get_xattr(instance, "c", "f", "user.filename", &value, &error));
    g_assert_cmpmem(g_bytes_get_data(value, NULL), g_bytes_get_size(value), "\xc3\xa9.txt", 6);
    g_assert_true(files->list_xattrs(instance, "c", "f", &names, &error));
    g_assert_cmpuint(g_bytes_get_size(names), ==, strlen("user.mime_type") + strlen("user.filename") + 2);
    set_attribute(instance, "user.filename", "x", XATTR_CREATE, &error);
    g_assert_true(error_is(error, ERROR_EXISTS));
    g_clear_error(&error);
    set_attribute(instance, "user.bytes", "\xff", 0, &error);
    g_assert_true(error_is(error, ERROR_BAD_ARGUMENT));
    g_clear_error(&error);
    g_assert_true(files->remove_xattr(instance, "c", "f", "user.filename", &error));
    g_assert_false(files->remove_xattr(instance, "c", "f", "user.filename", &error));
    g_assert_true(error_is(error, ERROR_NO_ATTRIBUTE));
    g_clear_error(&error);
    g_assert_true(files->remove_file(instance, "c", "f", TRUE, &error));
    assert_sidecar(fixture, NULL);
    local_driver.close(instance);
}

int
main(int argc, char **argv)
{
    umask(0);
    g_test_init(&argc, &argv, NULL);
    g_test_add("/local/options/refused", Fixture, NULL, set_up, test_refused, tear_down);
    g_test_add("/local/options/base", Fixture, NULL, set_up, test_base, tear_down);
    g_test_add("/local/options/place", Fixture, NULL, set_up, test_place, tear_down);
    g_test_add("/local/options/modes", Fixture, NULL, set_up, test_modes, tear_down);
    g_test_add("/local/options/sidecar-attributes", Fixture, NULL, set_up, test_sidecar_attributes,
               tear_down);
    return g_test_run();
}
