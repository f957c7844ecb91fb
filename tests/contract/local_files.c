#include "tests/contract/local_files.h"

#include "tests/unit/folder_fixture.h"

#include "drivers/local/local.h"
#include "drivers/local/local_instance.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

LocalFiles local_files;

static void
write_config(const char *path)
{
    g_autofree char *text =
        g_strdup_printf("[storage files]\ndriver = local\nfolders = yes\npath = %s\n", local_files.base);
    g_assert_true(g_file_set_contents(path, text, -1, NULL));
}

void
local_files_open(void)
{
    local_files.folder = g_dir_make_tmp("storagefs-files-XXXXXX", NULL);
    local_files.base = g_build_filename(local_files.folder, "base", NULL);
    local_files.outside = g_build_filename(local_files.folder, "outside", NULL);
    g_autofree char *secret = g_build_filename(local_files.outside, "secret", NULL);
    g_autofree char *config = g_build_filename(local_files.folder, "storagefs.conf", NULL);
    g_assert_cmpint(g_mkdir(local_files.base, 0755), ==, 0);
    g_assert_cmpint(g_mkdir(local_files.outside, 0755), ==, 0);
    g_assert_true(g_file_set_contents(secret, "secret", -1, NULL));
    write_config(config);
    contract_open(config);
    local_files.files = contract.driver->files;
    g_unlink(config);
}

void
local_files_close(void)
{
    contract.driver->close(contract.instance);
    folder_fixture_remove(local_files.folder);
    g_free(contract.container);
    g_free(local_files.folder);
    g_free(local_files.base);
    g_free(local_files.outside);
}

typedef struct {
    void (*test)(void);
    gboolean walks;
} Case;

static void
run(gconstpointer data)
{
    const Case *given = data;
    LocalInstance *local = (LocalInstance *)contract.instance;
    gboolean native = local->root.walks;
    g_autofree char *container = local_files_get_path("");
    folder_fixture_remove(container);
    g_assert_cmpint(g_mkdir(container, 0755), ==, 0);
    if (given->walks)
        local_disable_openat2(contract.instance);
    given->test();
    local->root.walks = native;
    local_files_assert_outside_untouched();
}

void
local_files_add(const char *path, void (*test)(void))
{
    for (guint walks = 0; walks < 2; walks++) {
        Case *made = g_new(Case, 1);
        g_autofree char *full = g_strdup_printf("/contract/files%s%s", walks ? "-walked" : "", path);
        *made = (Case){.test = test, .walks = walks == 1};
        g_test_add_data_func_full(full, made, run, g_free);
    }
}

char *
local_files_get_path(const char *name)
{
    return g_build_filename(local_files.base, contract.container, *name != '\0' ? name : NULL, NULL);
}

int
local_files_try_open(const char *key, int flags, gboolean make_parents, GError **error)
{
    int fd = -1;
    if (!local_files.files->open_file(contract.instance, contract.container, key, flags, 0644, make_parents,
                                      &fd, error))
        return -1;
    return fd;
}

void
local_files_put(const char *key, const char *text)
{
    GError *error = NULL;
    int fd = local_files_try_open(key, O_WRONLY | O_CREAT | O_TRUNC, TRUE, &error);
    g_assert_no_error(error);
    g_assert_cmpint(write(fd, text, strlen(text)), ==, (int)strlen(text));
    close(fd);
}

char *
local_files_read_disk(const char *key)
{
    g_autofree char *path = local_files_get_path(key);
    char *text = NULL;
    return g_file_get_contents(path, &text, NULL, NULL) ? text : NULL;
}

gboolean
local_files_exists(const char *key)
{
    g_autofree char *path = local_files_get_path(key);
    struct stat info;
    return lstat(path, &info) == 0;
}

void
local_files_assert_outside_untouched(void)
{
    g_autofree char *secret = g_build_filename(local_files.outside, "secret", NULL);
    g_autofree char *text = NULL;
    g_autoptr(GDir) dir = g_dir_open(local_files.outside, 0, NULL);
    g_assert_nonnull(dir);
    g_assert_cmpstr(g_dir_read_name(dir), ==, "secret");
    g_assert_null(g_dir_read_name(dir));
    g_assert_true(g_file_get_contents(secret, &text, NULL, NULL));
    g_assert_cmpstr(text, ==, "secret");
}
