/* The contract of FileOperations, tried on the local driver in a temporary directory. */
#include "tests/contract/local_files.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

static gboolean
stat_file(const char *key, struct stat *info, GError **error)
{
    return local_files.files->stat_file(contract.instance, contract.container, key, info, error);
}

static gboolean
rename_file(const char *from, const char *to, unsigned flags, gboolean flat, GError **error)
{
    return local_files.files->rename_file(contract.instance, contract.container, from, contract.container, to,
                                          flags, flat, error);
}

static void
assert_disk(const char *key, const char *expected)
{
    g_autofree char *text = local_files_read_disk(key);
    g_assert_cmpstr(text, ==, expected);
}

static void
test_in_place(void)
{
    GError *error = NULL;
    struct stat before, after;
    local_files_put("f", "first text");
    g_assert_true(stat_file("f", &before, &error));
    g_assert_cmpuint(before.st_mode & 07777, ==, 0644);
    local_files_put("f", "second");
    g_assert_true(stat_file("f", &after, &error));
    g_assert_cmpuint(before.st_ino, ==, after.st_ino);
    g_assert_cmpint(after.st_size, ==, 6);
    assert_disk("f", "second");
    g_assert_cmpint(local_files_try_open("f", O_WRONLY | O_CREAT | O_EXCL, FALSE, &error), ==, -1);
    contract_assert_code(&error, ERROR_EXISTS);
    g_assert_cmpint(local_files_try_open("none", O_RDONLY, FALSE, &error), ==, -1);
    contract_assert_code(&error, ERROR_NOT_FOUND);
    int fd = local_files_try_open("f", O_RDWR | O_APPEND, FALSE, &error);
    g_assert_cmpint(write(fd, "!", 1), ==, 1);
    close(fd);
    assert_disk("f", "second!");
}

static void
test_parents(void)
{
    GError *error = NULL;
    g_assert_cmpint(local_files_try_open("x/y/f", O_WRONLY | O_CREAT, FALSE, &error), ==, -1);
    contract_assert_code(&error, ERROR_NOT_FOUND);
    local_files_put("x/y/f", "1");
    local_files_put("x/g", "2");
    g_assert_true(
        local_files.files->remove_file(contract.instance, contract.container, "x/y/f", TRUE, &error));
    g_assert_false(local_files_exists("x/y"));
    g_assert_true(local_files_exists("x/g"));
    g_assert_true(local_files.files->remove_file(contract.instance, contract.container, "x/g", TRUE, &error));
    g_assert_false(local_files_exists("x"));
    g_assert_true(local_files_exists(""));
    local_files_put("k/f", "3");
    g_assert_true(
        local_files.files->remove_file(contract.instance, contract.container, "k/f", FALSE, &error));
    g_assert_true(local_files_exists("k"));
    g_assert_false(local_files.files->open_file(contract.instance, "no-such", "a/b", O_WRONLY | O_CREAT, 0644,
                                                TRUE, &(int){-1}, &error));
    contract_assert_code(&error, ERROR_NOT_FOUND);
}

static void
test_file_beside_folder(void)
{
    GError *error = NULL;
    local_files_put("a", "file");
    g_assert_cmpint(local_files_try_open("a/b", O_WRONLY | O_CREAT, TRUE, &error), ==, -1);
    contract_assert_code(&error, ERROR_NOT_FOLDER);
    g_assert_false(contract_try_put("a/b", "x", 1, NULL, &error));
    contract_assert_code(&error, ERROR_NOT_FOLDER);
    assert_disk("a", "file");
    local_files_put("c/d", "below");
    g_assert_cmpint(local_files_try_open("c", O_WRONLY | O_CREAT | O_TRUNC, TRUE, &error), ==, -1);
    contract_assert_code(&error, ERROR_IS_FOLDER);
    g_assert_false(contract_try_put("c", "x", 1, NULL, &error));
    contract_assert_code(&error, ERROR_IS_FOLDER);
    g_assert_false(rename_file("a", "c", 0, TRUE, &error));
    contract_assert_code(&error, ERROR_IS_FOLDER);
    assert_disk("c/d", "below");
    assert_disk("a", "file");
}

static void
test_stat(void)
{
    GError *error = NULL;
    struct stat info;
    local_files_put("d/f", "12345");
    g_assert_true(stat_file("", &info, &error));
    g_assert_true(S_ISDIR(info.st_mode));
    g_assert_true(stat_file("d", &info, &error));
    g_assert_true(S_ISDIR(info.st_mode));
    g_assert_true(stat_file("d/", &info, &error));
    g_assert_true(stat_file("d/f", &info, &error));
    g_assert_cmpint(info.st_size, ==, 5);
    g_assert_false(stat_file("d/f/", &info, &error));
    contract_assert_code(&error, ERROR_NOT_FOLDER);
    g_assert_false(stat_file("d/g", &info, &error));
    contract_assert_code(&error, ERROR_NOT_FOUND);
    g_assert_false(stat_file("d/f/g", &info, &error));
    contract_assert_code(&error, ERROR_NOT_FOLDER);
    g_assert_false(local_files.files->stat_file(contract.instance, "no-such", "", &info, &error));
    contract_assert_code(&error, ERROR_NOT_FOUND);
}

static gboolean
collect(gpointer data, const char *name, unsigned char type)
{
    GString *text = data;
    g_string_append_printf(text, "%s:%d ", name, type);
    return TRUE;
}

static gboolean
stop_at_once(gpointer data, const char *name, unsigned char type)
{
    ++*(guint *)data;
    return FALSE;
}

static void
test_list(void)
{
    GError *error = NULL;
    guint count = 0;
    g_autoptr(GString) text = g_string_new(NULL);
    g_autofree char *hidden = local_files_get_path(".lock");
    g_autofree char *also = local_files_get_path("d/.hash");
    g_assert_cmpint(mkdir(hidden, 0755), ==, 0);
    local_files_put("d/.lock", "a file of that name is an object");
    g_assert_cmpint(mkdir(also, 0755), ==, 0);
    const FileOperations *files = local_files.files;
    g_assert_true(files->list_folder(contract.instance, contract.container, "", collect, text, &error));
    g_assert_cmpstr(text->str, ==, "d:4 ");
    g_string_truncate(text, 0);
    g_assert_true(files->list_folder(contract.instance, contract.container, "d", collect, text, &error));
    g_assert_cmpstr(text->str, ==, ".lock:8 ");
    local_files_put("d/2", "");
    g_assert_true(
        files->list_folder(contract.instance, contract.container, "d", stop_at_once, &count, &error));
    g_assert_cmpuint(count, ==, 1);
    g_assert_false(files->list_folder(contract.instance, contract.container, "d/2", collect, text, &error));
    contract_assert_code(&error, ERROR_NOT_FOLDER);
    g_assert_false(files->list_folder(contract.instance, contract.container, "none", collect, text, &error));
    contract_assert_code(&error, ERROR_NOT_FOUND);
}

static void
test_folders(void)
{
    GError *error = NULL;
    const FileOperations *files = local_files.files;
    g_assert_true(files->make_folder(contract.instance, contract.container, "d", 0750, &error));
    g_assert_false(files->make_folder(contract.instance, contract.container, "d", 0750, &error));
    contract_assert_code(&error, ERROR_EXISTS);
    g_assert_false(files->make_folder(contract.instance, contract.container, "none/d", 0750, &error));
    contract_assert_code(&error, ERROR_NOT_FOUND);
    g_assert_false(files->make_folder(contract.instance, contract.container, ".lock", 0750, &error));
    contract_assert_code(&error, ERROR_BAD_NAME);
    local_files_put("d/f", "1");
    g_assert_false(files->remove_folder(contract.instance, contract.container, "d", &error));
    contract_assert_code(&error, ERROR_NOT_EMPTY);
    g_assert_false(files->remove_folder(contract.instance, contract.container, "d/f", &error));
    contract_assert_code(&error, ERROR_NOT_FOLDER);
    g_assert_false(files->remove_file(contract.instance, contract.container, "d", FALSE, &error));
    contract_assert_code(&error, ERROR_IS_FOLDER);
    g_assert_true(files->remove_file(contract.instance, contract.container, "d/f", FALSE, &error));
    g_assert_true(files->remove_folder(contract.instance, contract.container, "d", &error));
    g_assert_false(files->remove_folder(contract.instance, contract.container, "d", &error));
    contract_assert_code(&error, ERROR_NOT_FOUND);
}

static void
test_rename(void)
{
    GError *error = NULL;
    local_files_put("a", "one");
    local_files_put("b", "two");
    g_assert_false(rename_file("a", "b", RENAME_NOREPLACE, FALSE, &error));
    contract_assert_code(&error, ERROR_EXISTS);
    g_assert_true(rename_file("a", "b", RENAME_EXCHANGE, FALSE, &error));
    assert_disk("a", "two");
    assert_disk("b", "one");
    g_assert_true(rename_file("a", "b", 0, FALSE, &error));
    assert_disk("b", "two");
    g_assert_false(local_files_exists("a"));
    g_assert_false(rename_file("a", "n/m", 0, TRUE, &error));
    contract_assert_code(&error, ERROR_NOT_FOUND);
    g_assert_false(local_files_exists("n"));
    g_assert_false(rename_file("b", "n/m", 0, FALSE, &error));
    contract_assert_code(&error, ERROR_NOT_FOUND);
    g_assert_true(rename_file("b", "n/m", RENAME_NOREPLACE, TRUE, &error));
    assert_disk("n/m", "two");
    g_assert_true(rename_file("n/m", "o/p", 0, TRUE, &error));
    g_assert_false(local_files_exists("n"));
    g_assert_false(rename_file("o", "q", 0, TRUE, &error));
    contract_assert_code(&error, ERROR_NOT_FOUND);
    g_assert_true(rename_file("o", "q", 0, FALSE, &error));
    assert_disk("q/p", "two");
}

static void
test_rename_between_containers(void)
{
    GError *error = NULL;
    g_autofree char *other = g_strconcat(contract.container, "-b", NULL);
    local_files_put("a/f", "moved");
    g_assert_true(contract.driver->create_container(contract.instance, NULL, other, &error));
    g_assert_true(local_files.files->rename_file(contract.instance, contract.container, "a/f", other, "x/y",
                                                 0, TRUE, &error));
    g_assert_no_error(error);
    g_assert_false(local_files_exists("a"));
    g_assert_true(local_files.files->rename_file(contract.instance, other, "x/y", contract.container, "f", 0,
                                                 TRUE, &error));
    assert_disk("f", "moved");
    g_assert_true(contract.driver->delete_container(contract.instance, NULL, other, &error));
}

static void
test_symlinks(void)
{
    GError *error = NULL;
    g_autofree char *target = NULL;
    const FileOperations *files = local_files.files;
    g_assert_true(
        files->make_symlink(contract.instance, contract.container, "d/l", "../any where", TRUE, &error));
    g_assert_true(files->read_symlink(contract.instance, contract.container, "d/l", &target, &error));
    g_assert_cmpstr(target, ==, "../any where");
    g_assert_false(files->make_symlink(contract.instance, contract.container, "d/l", "x", TRUE, &error));
    contract_assert_code(&error, ERROR_EXISTS);
    local_files_put("f", "1");
    g_assert_false(files->read_symlink(contract.instance, contract.container, "f", &target, &error));
    contract_assert_code(&error, ERROR_BAD_ARGUMENT);
    g_assert_true(files->remove_file(contract.instance, contract.container, "d/l", TRUE, &error));
    g_assert_false(local_files_exists("d"));
}

static void
test_attributes(void)
{
    GError *error = NULL;
    struct stat info;
    const struct stat wanted = {.st_mode = 04711, .st_size = 3, .st_uid = 1234, .st_gid = 4321};
    const struct timespec times[2] = {{.tv_sec = 111, .tv_nsec = 222}, {.tv_sec = 333, .tv_nsec = 444}};
    const struct timespec only_atime[2] = {{.tv_sec = 555}, {.tv_nsec = UTIME_OMIT}};
    unsigned owner = geteuid() == 0 ? FILE_SET_UID | FILE_SET_GID : 0;
    const FileOperations *files = local_files.files;
    local_files_put("f", "12345");
    g_assert_true(files->set_attributes(contract.instance, contract.container, "f",
                                        FILE_SET_MODE | FILE_SET_SIZE | FILE_SET_TIMES | owner, &wanted,
                                        times, &error));
    g_assert_true(stat_file("f", &info, &error));
    g_assert_cmpuint(info.st_mode & 07777, ==, 04711);
    g_assert_cmpint(info.st_size, ==, 3);
    g_assert_cmpint(info.st_atim.tv_sec, ==, 111);
    g_assert_cmpint(info.st_mtim.tv_sec, ==, 333);
    g_assert_cmpint(info.st_mtim.tv_nsec, ==, 444);
    if (owner != 0)
        g_assert_cmpuint(info.st_uid, ==, 1234);
    g_assert_true(files->set_attributes(contract.instance, contract.container, "f", FILE_SET_TIMES, &wanted,
                                        only_atime, &error));
    g_assert_true(stat_file("f", &info, &error));
    g_assert_cmpint(info.st_atim.tv_sec, ==, 555);
    g_assert_cmpint(info.st_mtim.tv_sec, ==, 333);
    g_assert_true(files->make_symlink(contract.instance, contract.container, "l", "f", FALSE, &error));
    g_assert_true(files->set_attributes(contract.instance, contract.container, "l", FILE_SET_TIMES, &wanted,
                                        times, &error));
    g_assert_true(stat_file("l", &info, &error));
    g_assert_cmpint(info.st_mtim.tv_sec, ==, 333);
    g_assert_false(files->set_attributes(contract.instance, contract.container, "", FILE_SET_SIZE, &wanted,
                                         NULL, &error));
    contract_assert_code(&error, ERROR_IS_FOLDER);
}

static void
test_xattrs(void)
{
    GError *error = NULL;
    const FileOperations *files = local_files.files;
    g_autoptr(GBytes) value = NULL, names = NULL, folder = NULL;
    local_files_put("f", "1");
    g_assert_true(
        files->set_xattr(contract.instance, contract.container, "f", "user.a", "\0\xff", 2, 0, &error));
    g_assert_true(files->get_xattr(contract.instance, contract.container, "f", "user.a", &value, &error));
    g_assert_cmpmem(g_bytes_get_data(value, NULL), g_bytes_get_size(value), "\0\xff", 2);
    g_assert_false(
        files->set_xattr(contract.instance, contract.container, "f", "user.a", "x", 1, XATTR_CREATE, &error));
    contract_assert_code(&error, ERROR_EXISTS);
    g_assert_false(files->set_xattr(contract.instance, contract.container, "f", "user.b", "x", 1,
                                    XATTR_REPLACE, &error));
    contract_assert_code(&error, ERROR_NO_ATTRIBUTE);
    g_assert_true(files->list_xattrs(contract.instance, contract.container, "f", &names, &error));
    g_assert_cmpmem(g_bytes_get_data(names, NULL), g_bytes_get_size(names), "user.a", 7);
    g_assert_true(files->remove_xattr(contract.instance, contract.container, "f", "user.a", &error));
    g_assert_false(files->remove_xattr(contract.instance, contract.container, "f", "user.a", &error));
    contract_assert_code(&error, ERROR_NO_ATTRIBUTE);
    g_assert_false(
        files->set_xattr(contract.instance, contract.container, "f", "trusted.a", "x", 1, 0, &error));
    contract_assert_code(&error, ERROR_UNSUPPORTED);
    g_assert_true(files->set_xattr(contract.instance, contract.container, "", "user.c", "", 0, 0, &error));
    g_assert_true(files->get_xattr(contract.instance, contract.container, "", "user.c", &folder, &error));
    g_assert_cmpuint(g_bytes_get_size(folder), ==, 0);
}

static void
test_filesystem(void)
{
    GError *error = NULL;
    struct statvfs info;
    g_assert_true(local_files.files->stat_filesystem(contract.instance, &info, &error));
    g_assert_cmpuint(info.f_blocks, >, 0);
}

static void
test_staging_is_gone(void)
{
    g_autofree char *etag = contract_put("x", "1", 1, NULL);
    g_assert_false(local_files_exists(".lock"));
    local_files_put(".lock", "a file of the name that staging uses");
    g_autofree char *second = contract_put("y", "2", 1, NULL);
    assert_disk("y", "2");
    g_assert_false(local_files_exists(".hash"));
}

int
main(int argc, char **argv)
{
    umask(0);
    g_test_init(&argc, &argv, NULL);
    local_files_open();
    local_files_add("/in-place", test_in_place);
    local_files_add("/parents", test_parents);
    local_files_add("/file-beside-folder", test_file_beside_folder);
    local_files_add("/stat", test_stat);
    local_files_add("/list", test_list);
    local_files_add("/folders", test_folders);
    local_files_add("/rename", test_rename);
    local_files_add("/rename-between-containers", test_rename_between_containers);
    local_files_add("/symlinks", test_symlinks);
    local_files_add("/attributes", test_attributes);
    local_files_add("/xattrs", test_xattrs);
    local_files_add("/filesystem", test_filesystem);
    local_files_add("/staging-is-gone", test_staging_is_gone);
    local_files_add_escapes();
    int status = g_test_run();
    local_files_close();
    return status;
}
