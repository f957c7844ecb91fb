/* Folders, renames, links, attributes and xattrs over an object service. */
#include "tests/unit/tree_fixture.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>

#define FOLDERS TREE_FIXTURE_FRESH "folders = yes\netags = counter\n"
#define COUNTED TREE_FIXTURE_FRESH "etags = counter\n"

static void
rename_ok(TreeFixture *fixture, Node *parent, const char *name, Node *new_parent, const char *new_name)
{
    GError *error = NULL;
    gboolean ok = tree_rename(fixture->tree, NULL, parent, name, new_parent, new_name, 0, &error);
    g_assert_no_error(error);
    g_assert_true(ok);
}

static void
test_mkdir_flat(TreeFixture *fixture, gconstpointer keys)
{
    TreeEntry entry;
    GError *error = NULL;
    gboolean ok =
        tree_make_directory(fixture->tree, NULL, fixture->container, "d", 0755, 0, 0, &entry, &error);
    tree_fixture_assert_code(ok, error, ERROR_NOT_PERMITTED);
}

static void
test_mkdir(TreeFixture *fixture, gconstpointer keys)
{
    TreeEntry entry;
    GError *error = NULL;
    Node *made = tree_fixture_mkdir(fixture, fixture->container, "d");
    g_assert_true(tree_fixture_has(fixture, "d/"));
    tree_fixture_write(fixture, made, "file", "hello");
    tree_fixture_assert_requests(fixture, "write 1");
    tree_fixture_assert_stored(fixture, "d/file", "hello");
    gboolean ok =
        tree_make_directory(fixture->tree, NULL, fixture->container, "d", 0755, 0, 0, &entry, &error);
    tree_fixture_assert_code(ok, error, ERROR_EXISTS);
    tree_fixture_forget(fixture, made);
    tree_fixture_grow_old(fixture);
    struct stat attributes = tree_fixture_stat(fixture, fixture->container, "d");
    g_assert_cmpint(attributes.st_mode, ==, S_IFDIR | 0750);
    g_assert_cmpint(attributes.st_uid, ==, 7);
}

static void
test_rmdir(TreeFixture *fixture, gconstpointer keys)
{
    GError *error = NULL;
    Node *made = tree_fixture_mkdir(fixture, fixture->container, "d");
    tree_fixture_write(fixture, made, "file", "hello");
    gboolean ok = tree_remove_directory(fixture->tree, NULL, fixture->container, "d", &error);
    tree_fixture_assert_code(ok, error, ERROR_NOT_EMPTY);
    g_assert_true(tree_unlink(fixture->tree, NULL, made, "file", NULL));
    tree_fixture_assert_list(fixture, fixture->container, "d");
    g_assert_true(tree_remove_directory(fixture->tree, NULL, fixture->container, "d", NULL));
    tree_fixture_assert_absent(fixture, fixture->container, "d");
    tree_fixture_assert_list(fixture, fixture->container, "");
    tree_fixture_grow_old(fixture);
    tree_fixture_assert_absent(fixture, fixture->container, "d");
    tree_fixture_forget(fixture, made);
}

/* A folder that has no marker does not vanish with its last object. */
static void
test_last_object(TreeFixture *fixture, gconstpointer keys)
{
    tree_fixture_store(fixture, "p/d/a", "abc", NULL);
    tree_fixture_store(fixture, "p/d/b", "abc", NULL);
    Node *folder = tree_fixture_lookup(fixture, fixture->container, "p/d");
    g_assert_true(tree_unlink(fixture->tree, NULL, folder, "a", NULL));
    g_assert_false(tree_fixture_has(fixture, "p/d/"));
    g_assert_true(tree_unlink(fixture->tree, NULL, folder, "b", NULL));
    g_assert_true(tree_fixture_has(fixture, "p/d/"));
    tree_fixture_forget(fixture, folder);
    tree_fixture_remount(fixture);
    tree_fixture_assert_list(fixture, fixture->container, "p");
    g_assert_true(S_ISDIR(tree_fixture_stat(fixture, fixture->container, "p/d").st_mode));
}

static void
test_rmdir_container(TreeFixture *fixture, gconstpointer keys)
{
    GError *error = NULL;
    TreeEntry entry;
    Node *storage = tree_fixture_lookup(fixture, tree_get_root(fixture->tree), "s");
    tree_fixture_store(fixture, "file", "abc", NULL);
    gboolean ok = tree_remove_directory(fixture->tree, NULL, storage, "c", &error);
    tree_fixture_assert_code(ok, error, ERROR_NOT_EMPTY);
    error = NULL;
    ok = tree_make_directory(fixture->tree, NULL, storage, "c", 0755, 0, 0, &entry, &error);
    tree_fixture_assert_code(ok, error, ERROR_EXISTS);
    g_assert_true(tree_unlink(fixture->tree, NULL, fixture->container, "file", NULL));
    g_assert_true(tree_remove_directory(fixture->tree, NULL, storage, "c", NULL));
    tree_fixture_assert_absent(fixture, storage, "c");
    error = NULL;
    ok = tree_rename(fixture->tree, NULL, storage, "c", storage, "e", 0, &error);
    tree_fixture_assert_code(ok, error, ERROR_OTHER_STORAGE);
    tree_fixture_forget(fixture, storage);
}

static void
test_rename(TreeFixture *fixture, gconstpointer keys)
{
    tree_fixture_write(fixture, fixture->container, "a", "hello");
    Node *node = tree_fixture_lookup(fixture, fixture->container, "a");
    struct stat before = tree_fixture_stat(fixture, fixture->container, "a");
    tree_fixture_assert_absent(fixture, fixture->container, "b");
    memory_fault_reset_counts(fixture->memory);
    rename_ok(fixture, fixture->container, "a", fixture->container, "b");
    tree_fixture_assert_requests(fixture, "delete 1 copy 1");
    Node *moved = tree_fixture_lookup(fixture, fixture->container, "b");
    g_assert_true(moved == node);
    g_assert_cmpint(tree_fixture_stat(fixture, fixture->container, "b").st_ino, ==, before.st_ino);
    tree_fixture_assert_absent(fixture, fixture->container, "a");
    tree_fixture_assert_list(fixture, fixture->container, "b");
    tree_fixture_assert_content(fixture, fixture->container, "b", "hello");
    g_assert_false(tree_fixture_has(fixture, "a"));
    tree_fixture_forget(fixture, moved);
    tree_fixture_forget(fixture, node);
}

static void
test_rename_over(TreeFixture *fixture, gconstpointer keys)
{
    GError *error = NULL;
    Node *old = NULL;
    tree_fixture_write(fixture, fixture->container, "a", "new");
    tree_fixture_write(fixture, fixture->container, "b", "old");
    gboolean ok = tree_rename(fixture->tree, NULL, fixture->container, "a", fixture->container, "b",
                              RENAME_NOREPLACE, &error);
    tree_fixture_assert_code(ok, error, ERROR_EXISTS);
    FileHandle *handle = tree_fixture_open_file(fixture, fixture->container, "b", O_RDONLY, &old);
    rename_ok(fixture, fixture->container, "a", fixture->container, "b");
    tree_fixture_assert_reads(handle, "old");
    tree_fixture_close_file(fixture, old, handle);
    tree_fixture_assert_content(fixture, fixture->container, "b", "new");
    tree_fixture_assert_list(fixture, fixture->container, "b");
}

static void
test_rename_noreplace(TreeFixture *fixture, gconstpointer keys)
{
    GError *error = NULL;
    tree_fixture_write(fixture, fixture->container, "a", "ours");
    tree_fixture_assert_absent(fixture, fixture->container, "b");
    tree_fixture_store(fixture, "b", "theirs", NULL);
    gboolean ok = tree_rename(fixture->tree, NULL, fixture->container, "a", fixture->container, "b",
                              RENAME_NOREPLACE, &error);
    tree_fixture_assert_code(ok, error, ERROR_EXISTS);
    tree_fixture_assert_stored(fixture, "b", "theirs");
    tree_fixture_assert_stored(fixture, "a", "ours");
}

/* New and not stored: no copy, only another key; dirty: what is stored is copied, the rest follows. */
static void
test_rename_unpublished(TreeFixture *fixture, gconstpointer keys)
{
    Node *node = NULL;
    tree_fixture_assert_list(fixture, fixture->container, "");
    memory_fault_reset_counts(fixture->memory);
    FileHandle *handle = tree_fixture_open_file(fixture, fixture->container, "a", O_RDWR | O_CREAT, &node);
    tree_fixture_put(handle, "hello");
    rename_ok(fixture, fixture->container, "a", fixture->container, "b");
    tree_fixture_close_file(fixture, node, handle);
    tree_fixture_assert_requests(fixture, "write 1");
    tree_fixture_assert_stored(fixture, "b", "hello");
    g_assert_false(tree_fixture_has(fixture, "a"));
}

static void
test_rename_dirty(TreeFixture *fixture, gconstpointer keys)
{
    Node *node = NULL;
    tree_fixture_write(fixture, fixture->container, "a", "0123456789");
    FileHandle *handle = tree_fixture_open_file(fixture, fixture->container, "a", O_RDWR, &node);
    tree_fixture_put(handle, "abc");
    rename_ok(fixture, fixture->container, "a", fixture->container, "b");
    tree_fixture_assert_reads(handle, "abc3456789");
    tree_fixture_close_file(fixture, node, handle);
    tree_fixture_assert_content(fixture, fixture->container, "b", "abc3456789");
    g_assert_false(tree_fixture_has(fixture, "a"));
}

/* The source goes only after the copy is there. */
static void
test_rename_fails(TreeFixture *fixture, gconstpointer keys)
{
    GError *error = NULL;
    MemoryFault fault = {.operation = MEMORY_COPY_OBJECT, .fails = TRUE, .code = ERROR_DENIED};
    tree_fixture_write(fixture, fixture->container, "a", "hello");
    memory_fault_add(fixture->memory, &fault);
    gboolean ok =
        tree_rename(fixture->tree, NULL, fixture->container, "a", fixture->container, "b", 0, &error);
    tree_fixture_assert_code(ok, error, ERROR_DENIED);
    memory_fault_clear(fixture->memory);
    tree_fixture_assert_content(fixture, fixture->container, "a", "hello");
    tree_fixture_assert_list(fixture, fixture->container, "a");
}

static void
test_rename_folder(TreeFixture *fixture, gconstpointer keys)
{
    Node *open = NULL;
    Node *from = tree_fixture_mkdir(fixture, fixture->container, "from");
    Node *sub = tree_fixture_mkdir(fixture, from, "sub");
    for (guint i = 0; i < 40; i++) {
        g_autofree char *name = g_strdup_printf("f%02u", i);
        tree_fixture_write(fixture, i % 2 != 0 ? sub : from, name, name);
    }
    FileHandle *handle = tree_fixture_open_file(fixture, sub, "f01", O_RDWR, &open);
    tree_fixture_put(handle, "F");
    rename_ok(fixture, fixture->container, "from", fixture->container, "to");
    tree_fixture_assert_reads(handle, "F01");
    tree_fixture_close_file(fixture, open, handle);
    tree_fixture_assert_list(fixture, fixture->container, "to");
    Node *to = tree_fixture_lookup(fixture, fixture->container, "to");
    g_assert_true(to == from);
    tree_fixture_assert_content(fixture, sub, "f39", "f39");
    tree_fixture_assert_content(fixture, sub, "f01", "F01");
    g_assert_true(tree_fixture_has(fixture, "to/sub/f39"));
    g_assert_false(tree_fixture_has(fixture, "from/sub/f39"));
    g_assert_false(tree_fixture_has(fixture, "from/"));
    tree_fixture_forget(fixture, to);
    tree_fixture_forget(fixture, sub);
    tree_fixture_forget(fixture, from);
}

static void
test_rename_folder_fails(TreeFixture *fixture, gconstpointer keys)
{
    GError *error = NULL;
    MemoryFault fault = {.operation = MEMORY_COPY_OBJECT, .nth = 5, .fails = TRUE, .code = ERROR_DENIED};
    for (guint i = 0; i < 10; i++) {
        g_autofree char *key = g_strdup_printf("from/f%u", i);
        tree_fixture_store(fixture, key, key, NULL);
    }
    memory_fault_add(fixture->memory, &fault);
    gboolean ok =
        tree_rename(fixture->tree, NULL, fixture->container, "from", fixture->container, "to", 0, &error);
    tree_fixture_assert_code(ok, error, ERROR_DENIED);
    memory_fault_clear(fixture->memory);
    for (guint i = 0; i < 10; i++) {
        g_autofree char *key = g_strdup_printf("from/f%u", i), *copy = g_strdup_printf("to/f%u", i);
        tree_fixture_assert_stored(fixture, key, key);
        g_assert_false(tree_fixture_has(fixture, copy));
    }
}

/* The caller's time is one request's; the storage's is a minute. */
static void
test_rename_folder_takes_its_time(TreeFixture *fixture, gconstpointer keys)
{
    GError *error = NULL;
    g_autoptr(Call) call = call_new(1);
    tree_fixture_store(fixture, "from/a", "a", NULL);
    Node *from = tree_fixture_lookup(fixture, fixture->container, "from");
    gboolean ok =
        tree_rename(fixture->tree, call, fixture->container, "from", fixture->container, "to", 0, &error);
    g_assert_no_error(error);
    g_assert_true(ok);
    tree_fixture_assert_stored(fixture, "to/a", "a");
    tree_fixture_forget(fixture, from);
}

typedef struct {
    TreeFixture *fixture;
    Call *call;
} Interruption;

static gpointer
interrupt_when_blocked(gpointer data)
{
    Interruption *interruption = data;
    MemoryStore *memory = interruption->fixture->memory;
    g_assert_true(memory_fault_wait_blocked(memory, 1, 60 * G_USEC_PER_SEC));
    call_cancel(interruption->call);
    memory_fault_clear(memory);
    return NULL;
}

/* Interrupted while it copies, a rename takes its copies back; while it deletes, it is finished. */
static void
interrupt_rename(TreeFixture *fixture, MemoryOperation operation, gboolean renamed)
{
    GError *error = NULL;
    g_autoptr(Call) call = call_new(0);
    Interruption interruption = {fixture, call};
    MemoryFault fault = {.operation = operation, .nth = 3, .times = 1, .blocks = TRUE};
    for (guint i = 0; i < 3; i++) {
        g_autofree char *key = g_strdup_printf("from/f%u", i);
        tree_fixture_store(fixture, key, key, NULL);
    }
    memory_fault_add(fixture->memory, &fault);
    GThread *thread = g_thread_new("interrupt", interrupt_when_blocked, &interruption);
    gboolean ok =
        tree_rename(fixture->tree, call, fixture->container, "from", fixture->container, "to", 0, &error);
    g_thread_join(thread);
    g_assert_cmpint(ok, ==, renamed);
    if (!ok)
        tree_fixture_assert_code(ok, error, ERROR_CANCELLED);
    for (guint i = 0; i < 3; i++) {
        g_autofree char *key = g_strdup_printf("from/f%u", i), *copy = g_strdup_printf("to/f%u", i);
        g_assert_cmpint(tree_fixture_has(fixture, key), ==, !renamed);
        g_assert_cmpint(tree_fixture_has(fixture, copy), ==, renamed);
    }
}

static void
test_rename_folder_interrupted(TreeFixture *fixture, gconstpointer keys)
{
    interrupt_rename(fixture, MEMORY_COPY_OBJECT, FALSE);
    interrupt_rename(fixture, MEMORY_DELETE_OBJECT, TRUE);
}

static void
test_rename_into_itself(TreeFixture *fixture, gconstpointer keys)
{
    GError *error = NULL;
    Node *from = tree_fixture_mkdir(fixture, fixture->container, "from");
    gboolean ok = tree_rename(fixture->tree, NULL, fixture->container, "from", from, "x", 0, &error);
    tree_fixture_assert_code(ok, error, ERROR_BAD_ARGUMENT);
    tree_fixture_forget(fixture, from);
}

/* Neither what is not stored yet nor a folder can be seen by the service's If-None-Match. */
static void
test_symlink_replaces_nothing(TreeFixture *fixture, gconstpointer keys)
{
    static const char *const NAMES[] = {"new", "folder"};
    Node *node = NULL;
    FileHandle *handle =
        tree_fixture_open_file(fixture, fixture->container, "new", O_WRONLY | O_CREAT, &node);
    tree_fixture_forget(fixture, tree_fixture_mkdir(fixture, fixture->container, "folder"));
    for (guint i = 0; i < G_N_ELEMENTS(NAMES); i++) {
        GError *error = NULL;
        TreeEntry entry = {0};
        gboolean ok = tree_make_symlink(fixture->tree, NULL, fixture->container, NAMES[i], "target", 7, 8,
                                        &entry, &error);
        tree_fixture_assert_code(ok, error, ERROR_EXISTS);
    }
    tree_fixture_close_file(fixture, node, handle);
    tree_fixture_assert_stored(fixture, "new", "");
    tree_fixture_assert_list(fixture, fixture->container, "new folder");
}

static void
test_symlink(TreeFixture *fixture, gconstpointer keys)
{
    TreeEntry entry;
    GError *error = NULL;
    g_autofree char *target = NULL, *again = NULL;
    g_auto(ObjectInfo) info = {0};
    g_assert_true(
        tree_make_symlink(fixture->tree, NULL, fixture->container, "link", "../there", 7, 8, &entry, NULL));
    g_assert_true(S_ISLNK(entry.stat.st_mode));
    g_assert_true(tree_read_symlink(fixture->tree, NULL, entry.node, &target, &error));
    g_assert_cmpstr(target, ==, "../there");
    tree_fixture_forget(fixture, entry.node);
    tree_fixture_assert_stored(fixture, "link", "../there");
    g_assert_true(storage_stat_object(fixture->storage, NULL, "c", "link", &info, NULL));
    g_assert_cmpstr(g_hash_table_lookup(info.metadata, "mode"), ==, "41471");
    tree_fixture_grow_old(fixture);
    Node *node = tree_fixture_lookup(fixture, fixture->container, "link");
    g_assert_true(tree_read_symlink(fixture->tree, NULL, node, &again, &error));
    g_assert_cmpstr(again, ==, "../there");
    tree_fixture_forget(fixture, node);
}

static void
set_times(TreeFixture *fixture, Node *node, unsigned valid, mode_t mode, gint64 mtime)
{
    struct stat wanted = {.st_mode = mode}, out;
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = mtime}};
    gint64 valid_us;
    GError *error = NULL;
    gboolean ok =
        tree_set_attributes(fixture->tree, NULL, node, NULL, valid, &wanted, times, &out, &valid_us, &error);
    g_assert_no_error(error);
    g_assert_true(ok);
}

static void
test_attributes_closed(TreeFixture *fixture, gconstpointer keys)
{
    tree_fixture_write(fixture, fixture->container, "file", "hello");
    Node *node = tree_fixture_lookup(fixture, fixture->container, "file");
    memory_fault_reset_counts(fixture->memory);
    set_times(fixture, node, FILE_SET_MODE | FILE_SET_TIMES, 0600, 1000000000);
    tree_fixture_assert_requests(fixture, "metadata 1");
    tree_fixture_forget(fixture, node);
    tree_fixture_grow_old(fixture);
    struct stat attributes = tree_fixture_stat(fixture, fixture->container, "file");
    g_assert_cmpint(attributes.st_mode, ==, S_IFREG | 0600);
    g_assert_cmpint(attributes.st_mtim.tv_sec, ==, 1000000000);
    g_assert_cmpint(attributes.st_uid, ==, 7);
}

/* Attributes of a file that is being written go with its one PUT. */
static void
test_attributes_open(TreeFixture *fixture, gconstpointer keys)
{
    Node *node = NULL;
    tree_fixture_assert_list(fixture, fixture->container, "");
    memory_fault_reset_counts(fixture->memory);
    FileHandle *handle =
        tree_fixture_open_file(fixture, fixture->container, "file", O_WRONLY | O_CREAT, &node);
    tree_fixture_put(handle, "hello");
    set_times(fixture, node, FILE_SET_MODE | FILE_SET_TIMES, 0600, 1000000000);
    tree_fixture_close_file(fixture, node, handle);
    tree_fixture_assert_requests(fixture, "write 1");
    tree_fixture_grow_old(fixture);
    struct stat attributes = tree_fixture_stat(fixture, fixture->container, "file");
    g_assert_cmpint(attributes.st_mode, ==, S_IFREG | 0600);
    g_assert_cmpint(attributes.st_mtim.tv_sec, ==, 1000000000);
}

static void
test_attributes_folder(TreeFixture *fixture, gconstpointer keys)
{
    tree_fixture_store(fixture, "d/file", "hello", NULL);
    Node *node = tree_fixture_lookup(fixture, fixture->container, "d");
    set_times(fixture, node, FILE_SET_MODE | FILE_SET_TIMES, 0700, 1000000000);
    tree_fixture_forget(fixture, node);
    tree_fixture_grow_old(fixture);
    struct stat attributes = tree_fixture_stat(fixture, fixture->container, "d");
    g_assert_cmpint(attributes.st_mode, ==, S_IFDIR | 0700);
    g_assert_cmpint(attributes.st_mtim.tv_sec, ==, 1000000000);
}

static void
test_truncate_closed(TreeFixture *fixture, gconstpointer keys)
{
    struct stat wanted = {.st_size = 2}, out;
    gint64 valid_us;
    tree_fixture_write(fixture, fixture->container, "file", "hello");
    Node *node = tree_fixture_lookup(fixture, fixture->container, "file");
    g_assert_true(tree_set_attributes(fixture->tree, NULL, node, NULL, FILE_SET_SIZE, &wanted, NULL, &out,
                                      &valid_us, NULL));
    g_assert_cmpint(out.st_size, ==, 2);
    tree_fixture_assert_stored(fixture, "file", "he");
    tree_fixture_forget(fixture, node);
}

static void
assert_xattr(TreeFixture *fixture, Node *node, const char *name, const char *value)
{
    GError *error = NULL;
    g_autoptr(GBytes) found = NULL;
    g_assert_true(tree_get_xattr(fixture->tree, NULL, node, name, &found, &error));
    g_assert_no_error(error);
    gsize length = 0;
    const char *data = g_bytes_get_data(found, &length);
    g_assert_cmpmem(data, length, value, strlen(value));
}

static void
assert_no_xattr(TreeFixture *fixture, Node *node, const char *name, ErrorCode code)
{
    GError *error = NULL;
    g_autoptr(GBytes) found = NULL;
    gboolean ok = tree_get_xattr(fixture->tree, NULL, node, name, &found, &error);
    tree_fixture_assert_code(ok, error, code);
}

static void
test_xattrs(TreeFixture *fixture, gconstpointer keys)
{
    GError *error = NULL;
    g_autoptr(GBytes) names = NULL;
    tree_fixture_write(fixture, fixture->container, "a.png", "hello");
    Node *node = tree_fixture_lookup(fixture, fixture->container, "a.png");
    assert_xattr(fixture, node, "user.mime_type", "image/png");
    assert_xattr(fixture, node, "storagefs.key", "a.png");
    assert_no_xattr(fixture, node, "user.colour", ERROR_NO_ATTRIBUTE);
    assert_no_xattr(fixture, node, "security.capability", ERROR_UNSUPPORTED);
    assert_no_xattr(fixture, node, "user.mtime", ERROR_NO_ATTRIBUTE);
    g_assert_true(tree_set_xattr(fixture->tree, NULL, node, "user.colour", "red", 3, 0, &error));
    assert_xattr(fixture, node, "user.colour", "red");
    gboolean ok = tree_set_xattr(fixture->tree, NULL, node, "user.colour", "blue", 4, XATTR_CREATE, &error);
    tree_fixture_assert_code(ok, error, ERROR_EXISTS);
    error = NULL;
    ok = tree_set_xattr(fixture->tree, NULL, node, "user.other", "blue", 4, XATTR_REPLACE, &error);
    tree_fixture_assert_code(ok, error, ERROR_NO_ATTRIBUTE);
    error = NULL;
    ok = tree_set_xattr(fixture->tree, NULL, node, "user.uid", "1", 1, 0, &error);
    tree_fixture_assert_code(ok, error, ERROR_BAD_ARGUMENT);
    g_assert_true(tree_set_xattr(fixture->tree, NULL, node, "user.mime_type", "text/x", 6, 0, NULL));
    tree_fixture_forget(fixture, node);
    tree_fixture_grow_old(fixture);
    node = tree_fixture_lookup(fixture, fixture->container, "a.png");
    assert_xattr(fixture, node, "user.mime_type", "text/x");
    assert_xattr(fixture, node, "user.colour", "red");
    g_assert_true(tree_remove_xattr(fixture->tree, NULL, node, "user.colour", NULL));
    assert_no_xattr(fixture, node, "user.colour", ERROR_NO_ATTRIBUTE);
    g_assert_true(tree_list_xattrs(fixture->tree, NULL, node, &names, NULL));
    g_assert_cmpint(tree_fixture_stat(fixture, fixture->container, "a.png").st_mode, ==, S_IFREG | 0640);
    tree_fixture_forget(fixture, node);
}

/* A rename that a crash cut off after the first copies is finished by the next mount. */
static void
test_recovery(TreeFixture *fixture, gconstpointer keys)
{
    static const char record[] = "[rename]\nstorage=cw==\nfrom_container=Yw==\nfrom_prefix=ZnJvbS8=\n"
                                 "to_container=Yw==\nto_prefix=dG8v\n";
    g_autofree char *directory = g_build_filename(fixture->directory, "state", "renames", NULL);
    g_autofree char *path = g_build_filename(directory, "x.rename", NULL);
    tree_fixture_store(fixture, "from/a", "a", NULL);
    tree_fixture_store(fixture, "from/b", "b", NULL);
    tree_fixture_store(fixture, "to/a", "a", NULL);
    g_assert_cmpint(g_mkdir_with_parents(directory, 0700), ==, 0);
    g_assert_true(g_file_set_contents(path, record, -1, NULL));
    tree_fixture_remount(fixture);
    tree_fixture_remount(fixture); /* tree_free waits for the recovery */
    g_assert_false(g_file_test(path, G_FILE_TEST_EXISTS));
    tree_fixture_assert_stored(fixture, "to/a", "a");
    tree_fixture_assert_stored(fixture, "to/b", "b");
    g_assert_false(tree_fixture_has(fixture, "from/a"));
    g_assert_false(tree_fixture_has(fixture, "from/b"));
}

static guint64
get_inode(TreeFixture *fixture, const char *name)
{
    return tree_fixture_stat(fixture, fixture->container, name).st_ino;
}

/* No two Nodes have one number, whatever was renamed, or unlinked while open; and each keeps its own. */
static void
test_inode_numbers(TreeFixture *fixture, gconstpointer keys)
{
    Node *first = NULL, *second = NULL;
    FileHandle *open = tree_fixture_open_file(fixture, fixture->container, "a", O_CREAT | O_RDWR, &first);
    guint64 unlinked = get_inode(fixture, "a");
    g_assert_true(tree_unlink(fixture->tree, NULL, fixture->container, "a", NULL));
    tree_fixture_write(fixture, fixture->container, "a", "second");
    second = tree_fixture_lookup(fixture, fixture->container, "a");
    guint64 number = get_inode(fixture, "a");
    g_assert_cmpuint(number, !=, unlinked);
    rename_ok(fixture, fixture->container, "a", fixture->container, "b");
    g_assert_cmpuint(get_inode(fixture, "b"), ==, number);
    tree_fixture_close_file(fixture, first, open);
    tree_fixture_write(fixture, fixture->container, "a", "third");
    Node *third = tree_fixture_lookup(fixture, fixture->container, "a");
    guint64 third_number = get_inode(fixture, "a");
    g_assert_cmpuint(third_number, !=, number);
    rename_ok(fixture, fixture->container, "a", fixture->container, "c");
    g_assert_cmpuint(get_inode(fixture, "c"), ==, third_number);
    rename_ok(fixture, fixture->container, "b", fixture->container, "a");
    g_assert_cmpuint(get_inode(fixture, "a"), ==, number);
    rename_ok(fixture, fixture->container, "a", fixture->container, "d");
    tree_fixture_write(fixture, fixture->container, "a", "fourth");
    g_assert_cmpuint(get_inode(fixture, "a"), !=, number);
    g_assert_cmpuint(get_inode(fixture, "a"), !=, third_number);
    tree_fixture_forget(fixture, third);
    tree_fixture_forget(fixture, second);
}

int
main(int argc, char *argv[])
{
    g_test_init(&argc, &argv, NULL);
    tree_fixture_add("/tree/change/inode-numbers", test_inode_numbers, NULL);
    tree_fixture_add("/tree/change/mkdir-flat", test_mkdir_flat, NULL);
    tree_fixture_add("/tree/change/mkdir", test_mkdir, FOLDERS);
    tree_fixture_add("/tree/change/rmdir", test_rmdir, FOLDERS);
    tree_fixture_add("/tree/change/last-object", test_last_object, FOLDERS);
    tree_fixture_add("/tree/change/rmdir-container", test_rmdir_container, NULL);
    tree_fixture_add("/tree/change/rename", test_rename, COUNTED);
    tree_fixture_add("/tree/change/rename-folders", test_rename, FOLDERS);
    tree_fixture_add("/tree/change/rename-over", test_rename_over, COUNTED);
    tree_fixture_add("/tree/change/rename-noreplace", test_rename_noreplace, COUNTED);
    tree_fixture_add("/tree/change/rename-unpublished", test_rename_unpublished, COUNTED);
    tree_fixture_add("/tree/change/rename-dirty", test_rename_dirty, COUNTED);
    tree_fixture_add("/tree/change/rename-fails", test_rename_fails, COUNTED);
    tree_fixture_add("/tree/change/rename-folder", test_rename_folder, FOLDERS);
    tree_fixture_add("/tree/change/rename-folder-fails", test_rename_folder_fails, FOLDERS);
    tree_fixture_add("/tree/change/rename-folder-takes-its-time", test_rename_folder_takes_its_time, FOLDERS);
    tree_fixture_add("/tree/change/rename-folder-interrupted", test_rename_folder_interrupted, FOLDERS);
    tree_fixture_add("/tree/change/rename-into-itself", test_rename_into_itself, FOLDERS);
    tree_fixture_add("/tree/change/symlink", test_symlink, COUNTED);
    tree_fixture_add("/tree/change/symlink-replaces-nothing", test_symlink_replaces_nothing,
                     "folders = yes\n");
    tree_fixture_add("/tree/change/attributes-closed", test_attributes_closed, COUNTED);
    tree_fixture_add("/tree/change/attributes-open", test_attributes_open, COUNTED);
    tree_fixture_add("/tree/change/attributes-folder", test_attributes_folder, FOLDERS);
    tree_fixture_add("/tree/change/truncate-closed", test_truncate_closed, COUNTED);
    tree_fixture_add("/tree/change/xattrs", test_xattrs, COUNTED);
    tree_fixture_add("/tree/change/recovery", test_recovery, FOLDERS);
    return g_test_run();
}
