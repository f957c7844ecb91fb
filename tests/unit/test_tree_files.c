/* Storages that are file systems: names, open files, and what changes below the mount. */
#include "tests/unit/tree_fixture.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>

static char *
path_below(TreeFixture *fixture, const char *name)
{
    return g_build_filename(fixture->directory, "local", "data", "c", name, NULL);
}

/* Another program renames a new file over the name, while the old one may be open. */
static void
replace_below(TreeFixture *fixture, const char *name, const char *text)
{
    g_autofree char *fresh = path_below(fixture, "fresh"), *path = path_below(fixture, name);
    g_assert_true(g_file_set_contents(fresh, text, -1, NULL));
    g_assert_cmpint(g_rename(fresh, path), ==, 0);
}

static gint64
size_of(TreeFixture *fixture, Node *node, FileHandle *handle)
{
    struct stat attributes = {0};
    gint64 valid_us;
    g_assert_true(tree_stat(fixture->tree, NULL, node, handle, &attributes, &valid_us, NULL));
    return attributes.st_size;
}

static gboolean
set_mode(TreeFixture *fixture, Node *node, mode_t mode, GError **error)
{
    struct stat attributes = {.st_mode = mode}, after;
    gint64 valid_us;
    return tree_set_attributes(fixture->tree, NULL, node, NULL, FILE_SET_MODE, &attributes, NULL, &after,
                               &valid_us, error);
}

static mode_t
mode_below(TreeFixture *fixture, const char *name)
{
    struct stat attributes;
    g_autofree char *path = path_below(fixture, name);
    g_assert_cmpint(g_stat(path, &attributes), ==, 0);
    return attributes.st_mode & 07777;
}

static void
test_files(void)
{
    TreeFixture fixture = {0};
    GError *error = NULL;
    Node *container = tree_fixture_open_local(&fixture, "folders = yes\n");
    tree_fixture_write(&fixture, container, "file", "hello");
    tree_fixture_assert_content(&fixture, container, "file", "hello");
    g_assert_cmpint(tree_fixture_stat(&fixture, container, "file").st_size, ==, 5);
    Node *folder = tree_fixture_mkdir(&fixture, container, "d");
    g_assert_true(tree_rename(fixture.tree, NULL, container, "file", folder, "%2E", 0, &error));
    tree_fixture_assert_absent(&fixture, container, "file");
    tree_fixture_assert_content(&fixture, folder, "%2E", "hello");
    gboolean ok = tree_remove_directory(fixture.tree, NULL, container, "d", &error);
    tree_fixture_assert_code(ok, error, ERROR_NOT_EMPTY);
    g_assert_true(tree_unlink(fixture.tree, NULL, folder, "%2E", NULL));
    g_assert_true(tree_remove_directory(fixture.tree, NULL, container, "d", NULL));
    tree_fixture_assert_list(&fixture, container, "");
    tree_fixture_forget(&fixture, folder);
    tree_fixture_forget(&fixture, container);
    tree_fixture_close(&fixture);
}

static void
test_files_flat(void)
{
    TreeFixture fixture = {0};
    TreeEntry entry;
    GError *error = NULL;
    Node *container = tree_fixture_open_local(&fixture, "");
    tree_fixture_write(&fixture, container, "a%2Fb", "hello");
    tree_fixture_write(&fixture, container, "c", "hello");
    tree_fixture_assert_list(&fixture, container, "a%2Fb c");
    tree_fixture_assert_absent(&fixture, container, "a");
    tree_fixture_assert_content(&fixture, container, "a%2Fb", "hello");
    gboolean ok = tree_make_directory(fixture.tree, NULL, container, "d", 0755, 0, 0, &entry, &error);
    tree_fixture_assert_code(ok, error, ERROR_NOT_PERMITTED);
    g_assert_true(tree_rename(fixture.tree, NULL, container, "a%2Fb", container, "x%2Fy", 0, NULL));
    tree_fixture_assert_list(&fixture, container, "c x%2Fy");
    g_assert_true(tree_unlink(fixture.tree, NULL, container, "x%2Fy", NULL));
    tree_fixture_assert_list(&fixture, container, "c");
    tree_fixture_forget(&fixture, container);
    tree_fixture_close(&fixture);
}

static void
test_files_open_unlinked(void)
{
    TreeFixture fixture = {0};
    Node *node = NULL;
    struct stat attributes;
    gint64 valid_us;
    Node *container = tree_fixture_open_local(&fixture, "folders = yes\n");
    FileHandle *handle = tree_fixture_open_file(&fixture, container, "file", O_RDWR | O_CREAT, &node);
    tree_fixture_put(handle, "hello");
    g_assert_true(tree_unlink(fixture.tree, NULL, container, "file", NULL));
    tree_fixture_assert_absent(&fixture, container, "file");
    g_assert_true(tree_stat(fixture.tree, NULL, node, handle, &attributes, &valid_us, NULL));
    g_assert_cmpint(attributes.st_size, ==, 5);
    tree_fixture_close_file(&fixture, node, handle);
    tree_fixture_forget(&fixture, container);
    tree_fixture_close(&fixture);
}

static void
test_files_keep_cache(void)
{
    TreeFixture fixture = {0};
    FileHandle *handle = NULL;
    gboolean keep = TRUE;
    Node *container = tree_fixture_open_local(&fixture, "folders = yes\n");
    tree_fixture_write(&fixture, container, "file", "hello");
    Node *node = tree_fixture_lookup(&fixture, container, "file");
    g_assert_true(tree_open(fixture.tree, NULL, node, O_RDONLY, &handle, &keep, NULL));
    tree_release(fixture.tree, NULL, node, handle);
    g_assert_true(tree_open(fixture.tree, NULL, node, O_RDONLY, &handle, &keep, NULL));
    g_assert_true(keep);
    tree_release(fixture.tree, NULL, node, handle);
    g_autofree char *path = g_build_filename(fixture.directory, "local", "data", "c", "file", NULL);
    g_assert_true(g_file_set_contents(path, "another", -1, NULL));
    g_assert_true(tree_open(fixture.tree, NULL, node, O_RDONLY, &handle, &keep, NULL));
    g_assert_false(keep);
    tree_release(fixture.tree, NULL, node, handle);
    tree_fixture_forget(&fixture, node);
    tree_fixture_forget(&fixture, container);
    tree_fixture_close(&fixture);
}

/* The kernel asks without a handle, too, for who has the file open: the size of another file would fill up or
 * cut what is read. */
static void
test_replaced_while_open(void)
{
    TreeFixture fixture = {0};
    Node *node, *container = tree_fixture_open_local(&fixture, "folders = yes\n" TREE_FIXTURE_FRESH);
    tree_fixture_write(&fixture, container, "file", "hello");
    FileHandle *handle = tree_fixture_open_file(&fixture, container, "file", O_RDONLY, &node);
    replace_below(&fixture, "file", "longer than hello");
    g_assert_cmpint(size_of(&fixture, node, handle), ==, 5);
    g_assert_cmpint(size_of(&fixture, node, NULL), ==, 5);
    tree_fixture_assert_reads(handle, "hello");
    tree_fixture_assert_announced(&fixture, "");
    g_assert_cmpint(tree_fixture_stat(&fixture, container, "file").st_size, ==, 17);
    tree_fixture_assert_announced(&fixture, "entry file");
    g_assert_cmpint(size_of(&fixture, node, NULL), ==, 5);
    tree_fixture_assert_content(&fixture, container, "file", "longer than hello");
    tree_release(fixture.tree, NULL, node, handle);
    /* ESTALE, at which the kernel looks its path up again: there is such a name. */
    struct stat attributes;
    gint64 valid_us;
    GError *error = NULL;
    gboolean ok = tree_stat(fixture.tree, NULL, node, NULL, &attributes, &valid_us, &error);
    tree_fixture_assert_code(ok, error, ERROR_CHANGED);
    tree_fixture_forget(&fixture, node);
    tree_fixture_forget(&fixture, container);
    tree_fixture_close(&fixture);
}

static void
test_removed_while_open(void)
{
    TreeFixture fixture = {0};
    Node *node, *container = tree_fixture_open_local(&fixture, "folders = yes\n");
    g_autofree char *path = path_below(&fixture, "file");
    tree_fixture_write(&fixture, container, "file", "hello");
    FileHandle *handle = tree_fixture_open_file(&fixture, container, "file", O_RDONLY, &node);
    g_assert_cmpint(g_unlink(path), ==, 0);
    g_assert_cmpint(size_of(&fixture, node, NULL), ==, 5);
    g_assert_true(set_mode(&fixture, node, 0611, NULL));
    tree_fixture_assert_reads(handle, "hello");
    tree_fixture_assert_absent(&fixture, container, "file");
    tree_fixture_close_file(&fixture, node, handle);
    tree_fixture_forget(&fixture, container);
    tree_fixture_close(&fixture);
}

/* It is not known whether a path or the open file is meant, and the wrong one is not changed. */
static void
test_change_after_replacement(void)
{
    TreeFixture fixture = {0};
    GError *error = NULL;
    Node *node, *container = tree_fixture_open_local(&fixture, "folders = yes\n");
    tree_fixture_write(&fixture, container, "file", "hello");
    FileHandle *handle = tree_fixture_open_file(&fixture, container, "file", O_RDWR, &node);
    replace_below(&fixture, "file", "another");
    mode_t before = mode_below(&fixture, "file");
    gboolean ok = set_mode(&fixture, node, 0600, &error);
    tree_fixture_assert_code(ok, error, ERROR_CHANGED);
    /* Its name is not this Node's any more: now only the open file can be meant. */
    g_assert_true(set_mode(&fixture, node, 0611, NULL));
    struct stat open;
    g_assert_cmpint(fstat(handle->fd, &open), ==, 0);
    g_assert_cmpint(open.st_mode & 07777, ==, 0611);
    g_assert_cmpint(mode_below(&fixture, "file"), ==, before);
    tree_fixture_close_file(&fixture, node, handle);
    tree_fixture_forget(&fixture, container);
    tree_fixture_close(&fixture);
}

static void
test_xattr_after_replacement(void)
{
    TreeFixture fixture = {0};
    GError *error = NULL;
    Node *node, *container = tree_fixture_open_local(&fixture, "folders = yes\n");
    tree_fixture_write(&fixture, container, "file", "hello");
    FileHandle *handle = tree_fixture_open_file(&fixture, container, "file", O_RDWR, &node);
    replace_below(&fixture, "file", "another");
    gboolean ok = tree_set_xattr(fixture.tree, NULL, node, "user.a", "b", 1, 0, &error);
    tree_fixture_assert_code(ok, error, ERROR_CHANGED);
    tree_fixture_assert_content(&fixture, container, "file", "another");
    tree_fixture_close_file(&fixture, node, handle);
    tree_fixture_forget(&fixture, container);
    tree_fixture_close(&fixture);
}

/* The kernel takes an inode whose kind changes for broken: it has to look the name up again. */
static void
test_replaced_by_directory(void)
{
    TreeFixture fixture = {0};
    GError *error = NULL;
    struct stat attributes;
    gint64 valid_us;
    Node *container = tree_fixture_open_local(&fixture, "folders = yes\n");
    g_autofree char *path = path_below(&fixture, "file");
    tree_fixture_write(&fixture, container, "file", "hello");
    Node *node = tree_fixture_lookup(&fixture, container, "file");
    tree_fixture_assert_announced(&fixture, "");
    g_assert_cmpint(g_unlink(path), ==, 0);
    g_assert_cmpint(g_mkdir(path, 0755), ==, 0);
    gboolean ok = tree_stat(fixture.tree, NULL, node, NULL, &attributes, &valid_us, &error);
    tree_fixture_assert_code(ok, error, ERROR_CHANGED);
    tree_fixture_assert_announced(&fixture, "entry file");
    g_assert_true(S_ISDIR(tree_fixture_stat(&fixture, container, "file").st_mode));
    tree_fixture_forget(&fixture, node);
    tree_fixture_forget(&fixture, container);
    tree_fixture_close(&fixture);
}

#define REPLACEMENTS 3000

typedef struct {
    TreeFixture *fixture;
    Node *container;
    gint *done; /* atomic, shared */
    guint opened;
} Reader;

static gint64
open_size(FileHandle *handle)
{
    struct stat attributes;
    g_assert_cmpint(fstat(handle->fd, &attributes), ==, 0);
    return attributes.st_size;
}

/* All who have a Node open have the same file open, and its size is the one that the kernel is told. */
static gpointer
read_replaced(gpointer data)
{
    Reader *reader = data;
    Tree *tree = reader->fixture->tree;
    while (!g_atomic_int_get(reader->done)) {
        FileHandle *handles[2] = {NULL, NULL};
        gboolean keeps;
        Node *node = tree_fixture_lookup(reader->fixture, reader->container, "file");
        gboolean first = tree_open(tree, NULL, node, O_RDONLY, &handles[0], &keeps, NULL);
        g_thread_yield();
        gboolean second = tree_open(tree, NULL, node, O_RDONLY, &handles[1], &keeps, NULL);
        if (first && second) {
            g_assert_cmpint(open_size(handles[0]), ==, open_size(handles[1]));
            g_assert_cmpint(size_of(reader->fixture, node, NULL), ==, open_size(handles[0]));
            reader->opened++;
        }
        for (guint i = 0; i < 2; i++)
            if (handles[i] != NULL)
                tree_release(tree, NULL, node, handles[i]);
        tree_fixture_forget(reader->fixture, node);
    }
    return NULL;
}

static void
test_replaced_under_readers(void)
{
    TreeFixture fixture = {0};
    gint done = 0;
    Node *container = tree_fixture_open_local(&fixture, "folders = yes\n");
    Reader readers[4];
    GThread *threads[4];
    replace_below(&fixture, "file", "x");
    for (guint i = 0; i < 4; i++) {
        readers[i] = (Reader){&fixture, container, &done, 0};
        threads[i] = g_thread_new("reader", read_replaced, &readers[i]);
    }
    g_autofree char *text = g_strnfill(1000, 'x');
    for (guint i = 0; i < REPLACEMENTS; i++)
        replace_below(&fixture, "file", text + i % 997);
    g_atomic_int_set(&done, 1);
    guint opened = 0;
    for (guint i = 0; i < 4; i++) {
        g_thread_join(threads[i]);
        opened += readers[i].opened;
    }
    g_assert_cmpuint(opened, >, 0);
    tree_fixture_forget(&fixture, container);
    tree_fixture_close(&fixture);
}

int
main(int argc, char *argv[])
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/tree/files/folders", test_files);
    g_test_add_func("/tree/files/flat", test_files_flat);
    g_test_add_func("/tree/files/open-unlinked", test_files_open_unlinked);
    g_test_add_func("/tree/files/keep-cache", test_files_keep_cache);
    g_test_add_func("/tree/files/replaced-while-open", test_replaced_while_open);
    g_test_add_func("/tree/files/removed-while-open", test_removed_while_open);
    g_test_add_func("/tree/files/change-after-replacement", test_change_after_replacement);
    g_test_add_func("/tree/files/xattr-after-replacement", test_xattr_after_replacement);
    g_test_add_func("/tree/files/replaced-by-directory", test_replaced_by_directory);
    g_test_add_func("/tree/files/replaced-under-readers", test_replaced_under_readers);
    return g_test_run();
}
