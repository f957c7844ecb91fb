/* Attempts to get out of the base: links, "..", special files, directories that become links meanwhile. */
#include "tests/contract/local_files.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define SWAPPED_ROUNDS 400

/* With openat2 a link on the way is LOOP, walked it is NOT_FOLDER; both are refusals. */
static void
assert_refused(GError **error)
{
    g_assert_nonnull(*error);
    g_assert_true(error_is(*error, ERROR_LOOP) || error_is(*error, ERROR_NOT_FOLDER) ||
                  error_is(*error, ERROR_NOT_FOUND));
    g_clear_error(error);
}

static void
test_links_on_the_way(void)
{
    GError *error = NULL;
    struct stat info;
    g_autofree char *link = local_files_get_path("out");
    g_autofree char *plain = local_files_get_path("in");
    const FileOperations *files = local_files.files;
    local_files_put("real/file", "inside");
    g_assert_cmpint(symlink(local_files.outside, link), ==, 0);
    g_assert_cmpint(symlink("real", plain), ==, 0);
    g_assert_cmpint(local_files_try_open("out/secret", O_RDONLY, FALSE, &error), ==, -1);
    assert_refused(&error);
    g_assert_cmpint(local_files_try_open("out/new", O_WRONLY | O_CREAT, TRUE, &error), ==, -1);
    assert_refused(&error);
    g_assert_cmpint(local_files_try_open("out/sub/new", O_WRONLY | O_CREAT, TRUE, &error), ==, -1);
    assert_refused(&error);
    g_assert_cmpint(local_files_try_open("in/file", O_RDONLY, FALSE, &error), ==, -1);
    assert_refused(&error);
    g_assert_false(files->stat_file(contract.instance, contract.container, "out/secret", &info, &error));
    assert_refused(&error);
    g_assert_false(files->remove_file(contract.instance, contract.container, "out/secret", TRUE, &error));
    assert_refused(&error);
    g_assert_false(files->make_folder(contract.instance, contract.container, "out/made", 0755, &error));
    assert_refused(&error);
    g_assert_false(files->make_symlink(contract.instance, contract.container, "out/made", "x", TRUE, &error));
    assert_refused(&error);
    g_assert_false(files->rename_file(contract.instance, contract.container, "real/file", contract.container,
                                      "out/file", 0, TRUE, &error));
    assert_refused(&error);
    g_assert_true(local_files_exists("real/file"));
}

static void
test_link_as_file(void)
{
    GError *error = NULL;
    struct stat info;
    g_autofree char *link = local_files_get_path("l");
    g_autofree char *secret = g_build_filename(local_files.outside, "secret", NULL);
    const struct stat wanted = {.st_size = 0, .st_mode = 0777};
    g_assert_cmpint(symlink(secret, link), ==, 0);
    g_assert_true(local_files.files->stat_file(contract.instance, contract.container, "l", &info, &error));
    g_assert_true(S_ISLNK(info.st_mode));
    g_assert_cmpint(local_files_try_open("l", O_RDONLY, FALSE, &error), ==, -1);
    contract_assert_code(&error, ERROR_LOOP);
    g_assert_cmpint(local_files_try_open("l", O_WRONLY | O_TRUNC, FALSE, &error), ==, -1);
    contract_assert_code(&error, ERROR_LOOP);
    g_assert_false(local_files.files->set_attributes(contract.instance, contract.container, "l",
                                                     FILE_SET_SIZE, &wanted, NULL, &error));
    g_clear_error(&error);
    g_assert_false(local_files.files->set_xattr(contract.instance, contract.container, "l", "user.x", "y", 1,
                                                0, &error));
    g_clear_error(&error);
    g_autofree char *bytes = g_malloc0(16);
    gsize length;
    g_assert_false(contract.driver->read_object(contract.instance, NULL, contract.container, "l", 0, 16, NULL,
                                                bytes, &length, NULL, &error));
    contract_assert_code(&error, ERROR_LOOP);
}

static void
test_names(void)
{
    static const char *const keys[] = {
        "../outside/secret", "..",          "a/../../x", "/etc/passwd", "//etc", ".",
        "real//file",        "real/./file", ".lock/x",   "d/.hash/x"};
    local_files_put("real/file", "inside");
    for (guint i = 0; i < G_N_ELEMENTS(keys); i++) {
        GError *error = NULL;
        struct stat info;
        g_assert_false(
            local_files.files->stat_file(contract.instance, contract.container, keys[i], &info, &error));
        contract_assert_code(&error, ERROR_NOT_FOUND);
        g_assert_cmpint(local_files_try_open(keys[i], O_RDONLY, FALSE, &error), ==, -1);
        contract_assert_code(&error, ERROR_NOT_FOUND);
        g_assert_cmpint(local_files_try_open(keys[i], O_WRONLY | O_CREAT, TRUE, &error), ==, -1);
        contract_assert_code(&error, ERROR_BAD_NAME);
        g_assert_false(local_files.files->rename_file(contract.instance, contract.container, "real/file",
                                                      contract.container, keys[i], 0, TRUE, &error));
        contract_assert_code(&error, ERROR_BAD_NAME);
        g_assert_false(
            local_files.files->remove_file(contract.instance, contract.container, keys[i], TRUE, &error));
        contract_assert_code(&error, ERROR_NOT_FOUND);
    }
    g_assert_true(local_files_exists("real/file"));
}

static gboolean
is_listed(const char *name)
{
    GError *error = NULL;
    g_autoptr(GArray) containers = NULL;
    contract.driver->list_containers(contract.instance, NULL, &containers, &error);
    g_assert_no_error(error);
    for (guint i = 0; i < containers->len; i++) {
        if (g_str_equal(g_array_index(containers, ContainerInfo, i).name, name))
            return TRUE;
    }
    return FALSE;
}

/* A link in the base: a container when it stays inside, nothing at all when it does not. */
static void
check_container_link(const char *target, gboolean inside)
{
    GError *error = NULL;
    ContainerInfo info = {NULL};
    struct stat file;
    g_autofree char *link = g_build_filename(local_files.base, "linked", NULL);
    g_assert_cmpint(symlink(target, link), ==, 0);
    g_assert_cmpint(is_listed("linked"), ==, inside);
    gboolean found = contract.driver->stat_container(contract.instance, NULL, "linked", &info, &error);
    g_assert_cmpint(found, ==, inside);
    if (!inside)
        contract_assert_code(&error, ERROR_NOT_FOUND);
    g_free(info.name);
    found = local_files.files->stat_file(contract.instance, "linked", inside ? "real/file" : "secret", &file,
                                         &error);
    g_assert_cmpint(found, ==, inside);
    g_clear_error(&error);
    g_assert_false(contract.driver->delete_container(contract.instance, NULL, "linked", &error));
    g_clear_error(&error);
    g_assert_cmpint(unlink(link), ==, 0);
}

static void
test_container_links(void)
{
    g_autofree char *relative = g_strdup_printf("./%s", contract.container);
    local_files_put("real/file", "inside");
    check_container_link(contract.container, TRUE);
    check_container_link(relative, TRUE);
    check_container_link(local_files.outside, FALSE);
    check_container_link("../outside", FALSE);
    check_container_link("/etc", FALSE);
    check_container_link("nowhere", FALSE);
    check_container_link("linked", FALSE);
    g_assert_true(local_files_exists("real/file"));
}

/* Without the guard a FIFO would hang here: the alarm ends the program then. */
static void
test_special_files(void)
{
    GError *error = NULL;
    struct stat info;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    g_autofree char *fifo = local_files_get_path("fifo");
    g_autofree char *path = local_files_get_path("socket");
    g_assert_cmpint(mkfifo(fifo, 0666), ==, 0);
    g_assert_cmpuint(strlen(path), <, sizeof address.sun_path);
    memcpy(address.sun_path, path, strlen(path) + 1);
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    g_assert_cmpint(bind(listener, (struct sockaddr *)&address, sizeof address), ==, 0);
    static const char *const keys[] = {"fifo", "socket"};
    static const int flags[] = {O_RDONLY, O_WRONLY, O_RDWR, O_WRONLY | O_CREAT | O_TRUNC};
    alarm(60);
    for (guint i = 0; i < G_N_ELEMENTS(keys) * G_N_ELEMENTS(flags); i++) {
        g_assert_cmpint(local_files_try_open(keys[i % 2], flags[i / 2], TRUE, &error), ==, -1);
        contract_assert_code(&error, ERROR_NOT_PERMITTED);
    }
    alarm(0);
    g_assert_true(local_files.files->stat_file(contract.instance, contract.container, "fifo", &info, &error));
    g_assert_true(S_ISFIFO(info.st_mode));
    close(listener);
}

typedef struct {
    char *folder, *link;
    gint stop; /* atomic */
} Swapper;

static void *
swap(void *data)
{
    Swapper *swapper = data;
    while (!g_atomic_int_get(&swapper->stop))
        g_assert_cmpint(renameat2(AT_FDCWD, swapper->folder, AT_FDCWD, swapper->link, RENAME_EXCHANGE), ==,
                        0);
    return NULL;
}

static void
try_everything_below(const char *folder)
{
    char text[8] = "";
    g_autofree char *secret = g_strconcat(folder, "/secret", NULL);
    g_autofree char *made = g_strconcat(folder, "/made", NULL);
    g_autofree char *deep = g_strconcat(folder, "/sub/made", NULL);
    int fd = local_files_try_open(secret, O_RDONLY, FALSE, NULL);
    if (fd >= 0) {
        g_assert_cmpint(read(fd, text, sizeof text - 1), ==, 6);
        g_assert_cmpstr(text, ==, "inside");
        close(fd);
    }
    fd = local_files_try_open(made, O_WRONLY | O_CREAT, TRUE, NULL);
    if (fd >= 0)
        close(fd);
    fd = local_files_try_open(deep, O_WRONLY | O_CREAT, TRUE, NULL);
    if (fd >= 0)
        close(fd);
    contract_try_put(made, "x", 1, NULL, NULL);
    local_files.files->remove_file(contract.instance, contract.container, deep, TRUE, NULL);
    local_files.files->remove_file(contract.instance, contract.container, made, FALSE, NULL);
}

/* Another thread swaps a directory and a link to outside/ all the time. */
static void
test_swapped_folder(void)
{
    Swapper swapper = {.folder = local_files_get_path("d"), .link = local_files_get_path("l")};
    pthread_t thread;
    local_files_put("d/secret", "inside");
    g_assert_cmpint(symlink(local_files.outside, swapper.link), ==, 0);
    g_assert_cmpint(pthread_create(&thread, NULL, swap, &swapper), ==, 0);
    for (guint round = 0; round < SWAPPED_ROUNDS; round++)
        try_everything_below(round % 2 == 0 ? "d" : "l");
    g_atomic_int_set(&swapper.stop, 1);
    pthread_join(thread, NULL);
    g_free(swapper.folder);
    g_free(swapper.link);
}

void
local_files_add_escapes(void)
{
    local_files_add("/escape/links-on-the-way", test_links_on_the_way);
    local_files_add("/escape/link-as-file", test_link_as_file);
    local_files_add("/escape/names", test_names);
    local_files_add("/escape/container-links", test_container_links);
    local_files_add("/escape/special-files", test_special_files);
    local_files_add("/escape/swapped-folder", test_swapped_folder);
}
