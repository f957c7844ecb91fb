/* A tree for tests. */
#include "tests/unit/tree_fixture.h"

#include "drivers/memory/memory.h"
#include "tests/unit/folder_fixture.h"
#include "tests/unit/storage_fixture.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

static void
note(TreeFixture *fixture, const char *what, const char *name)
{
    lock_acquire(&fixture->announced_lock);
    g_string_append_printf(fixture->announced, "%s%s %s", fixture->announced->len > 0 ? ", " : "", what,
                           name);
    lock_release(&fixture->announced_lock);
}

static char *
name_of(TreeFixture *fixture, Node *node)
{
    g_autofree char *path = tree_describe(fixture->tree, node);
    return g_path_get_basename(path);
}

static void
entry_changed(gpointer data, Node *parent, const char *name)
{
    note(data, "entry", name);
}

static void
content_changed(gpointer data, Node *node)
{
    g_autofree char *name = name_of(data, node);
    note(data, "content", name);
}

static void
attributes_changed(gpointer data, Node *node)
{
    g_autofree char *name = name_of(data, node);
    note(data, "attributes", name);
}

static void
open_tree(TreeFixture *fixture)
{
    g_autofree char *state = g_build_filename(fixture->directory, "state", NULL);
    TreeSettings settings = {.uid = 1000, .gid = 1001, .umask = 022, .state_dir = state};
    TreeObserver observer = {entry_changed, content_changed, attributes_changed, fixture};
    fixture->tree = tree_new(fixture->set, fixture->store, &settings);
    tree_set_observer(fixture->tree, &observer);
}

void
tree_fixture_open(TreeFixture *fixture, const char *text)
{
    GError *error = NULL;
    fixture->directory = g_dir_make_tmp("storagefs-tree-XXXXXX", NULL);
    g_autofree char *state = g_build_filename(fixture->directory, "state", NULL);
    g_autofree char *staging = g_build_filename(fixture->directory, "staging", NULL);
    g_autofree char *recovery = g_build_filename(fixture->directory, "recovery", NULL);
    g_auto(GStrv) pieces = g_strsplit(text, "%s", -1);
    g_autofree char *configuration = g_strjoinv(fixture->directory, pieces);
    g_autoptr(Settings) settings = storage_fixture_settings(configuration);
    ObjectStoreSettings store = {64 << 20, staging, recovery};
    fixture->set = storage_set_new(settings, state, NULL, &error);
    g_assert_no_error(error);
    fixture->store = object_store_new(&store, &error);
    g_assert_no_error(error);
    fixture->announced = g_string_new(NULL);
    lock_init(&fixture->announced_lock);
    fixture->storage = storage_set_find(fixture->set, "s");
    open_tree(fixture);
}

Node *
tree_fixture_open_local(TreeFixture *fixture, const char *keys)
{
    g_autofree char *text =
        g_strconcat("[storage s]\ndriver = local\npath = %s/local/data\ncreate_path = yes\n", keys, NULL);
    tree_fixture_open(fixture, text);
    Node *storage = tree_fixture_lookup(fixture, tree_get_root(fixture->tree), "s");
    Node *container = tree_fixture_mkdir(fixture, storage, "c");
    tree_fixture_forget(fixture, storage);
    return container;
}

static void
close_tree(TreeFixture *fixture)
{
    if (fixture->container != NULL)
        tree_forget(fixture->tree, fixture->container, 1);
    fixture->container = NULL;
    g_clear_pointer(&fixture->tree, tree_free);
}

void
tree_fixture_close(TreeFixture *fixture)
{
    close_tree(fixture);
    g_clear_pointer(&fixture->storage, storage_unref);
    object_store_free(fixture->store);
    storage_set_free(fixture->set);
    g_string_free(fixture->announced, TRUE);
    lock_clear(&fixture->announced_lock);
    folder_fixture_remove(fixture->directory);
    g_free(fixture->directory);
}

void
tree_fixture_remount(TreeFixture *fixture)
{
    gboolean had_container = fixture->container != NULL;
    close_tree(fixture);
    open_tree(fixture);
    if (had_container)
        fixture->container = tree_fixture_lookup(fixture, tree_get_root(fixture->tree), "s/c");
}

static void
set_up(TreeFixture *fixture, gconstpointer keys)
{
    g_autofree char *text = g_strconcat("[storage s]\ndriver = memory\n", keys, NULL);
    tree_fixture_open(fixture, text);
    fixture->memory = memory_get_store(storage_get_instance(fixture->storage));
    g_assert_true(storage_create_container(fixture->storage, NULL, "c", NULL));
    fixture->container = tree_fixture_lookup(fixture, tree_get_root(fixture->tree), "s/c");
    memory_fault_reset_counts(fixture->memory);
}

static void
tear_down(TreeFixture *fixture, gconstpointer keys)
{
    tree_fixture_close(fixture);
}

void
tree_fixture_add(const char *path, void (*test)(TreeFixture *fixture, gconstpointer keys), const char *keys)
{
    g_test_add(path, TreeFixture, keys != NULL ? keys : TREE_FIXTURE_FRESH, set_up, test, tear_down);
}

/* As the front does it: first without waiting, then on a call. */
static gboolean
look_up(TreeFixture *fixture, Node *parent, const char *name, TreeEntry *out, GError **error)
{
    gint64 valid_us = -1;
    TreeReady ready = tree_lookup_ready(fixture->tree, parent, name, out, &valid_us);
    if (ready == TREE_ANSWERED)
        return TRUE;
    if (ready == TREE_ABSENT) {
        g_set_error(error, STORAGEFS_ERROR, ERROR_NOT_FOUND, "%s", name);
        return FALSE;
    }
    g_autoptr(Call) call = call_new(20 * G_USEC_PER_SEC);
    return tree_lookup(fixture->tree, call, parent, name, out, &valid_us, error);
}

static gboolean
walk(TreeFixture *fixture, Node *parent, const char *path, TreeEntry *out, GError **error)
{
    g_auto(GStrv) names = g_strsplit(path, "/", -1);
    Node *at = parent;
    for (guint i = 0; names[i] != NULL; i++) {
        gboolean ok = look_up(fixture, at, names[i], out, error);
        if (at != parent)
            tree_forget(fixture->tree, at, 1);
        if (!ok)
            return FALSE;
        at = out->node;
    }
    return TRUE;
}

Node *
tree_fixture_lookup(TreeFixture *fixture, Node *parent, const char *path)
{
    GError *error = NULL;
    TreeEntry entry = {0};
    gboolean ok = walk(fixture, parent, path, &entry, &error);
    g_assert_no_error(error);
    g_assert_true(ok);
    return entry.node;
}

void
tree_fixture_forget(TreeFixture *fixture, Node *node)
{
    tree_forget(fixture->tree, node, 1);
}

void
tree_fixture_assert_absent(TreeFixture *fixture, Node *parent, const char *path)
{
    g_autoptr(GError) error = NULL;
    TreeEntry entry = {0};
    g_assert_false(walk(fixture, parent, path, &entry, &error));
    g_assert_error(error, STORAGEFS_ERROR, ERROR_NOT_FOUND);
}

struct stat
tree_fixture_stat(TreeFixture *fixture, Node *parent, const char *path)
{
    GError *error = NULL;
    struct stat attributes = {0};
    gint64 valid_us = -1;
    Node *node = tree_fixture_lookup(fixture, parent, path);
    if (!tree_stat_ready(fixture->tree, node, NULL, &attributes, &valid_us))
        g_assert_true(tree_stat(fixture->tree, NULL, node, NULL, &attributes, &valid_us, &error));
    g_assert_no_error(error);
    tree_forget(fixture->tree, node, 1);
    return attributes;
}

char *
tree_fixture_list(TreeFixture *fixture, Node *directory)
{
    GError *error = NULL;
    DirectoryHandle *handle = NULL;
    GString *names = g_string_new(NULL);
    guint64 offset = 0;
    gboolean end = FALSE;
    g_assert_true(tree_open_directory(fixture->tree, NULL, directory, &handle, &error));
    while (!end) {
        DirectoryItem item = {0};
        if (!tree_directory_next_ready(fixture->tree, handle, offset, &item, &end))
            g_assert_true(tree_directory_next(fixture->tree, NULL, handle, offset, &item, &end, &error));
        g_assert_no_error(error);
        offset = item.next_offset;
        if (!end && strcmp(item.name, ".") != 0 && strcmp(item.name, "..") != 0)
            g_string_append_printf(names, "%s%s", names->len > 0 ? " " : "", item.name);
    }
    tree_close_directory(fixture->tree, handle);
    return g_string_free(names, FALSE);
}

void
tree_fixture_assert_list(TreeFixture *fixture, Node *directory, const char *names)
{
    g_autofree char *found = tree_fixture_list(fixture, directory);
    g_assert_cmpstr(found, ==, names);
}

static FileHandle *
create_file(TreeFixture *fixture, Node *parent, const char *name, int flags, Node **out_node)
{
    GError *error = NULL;
    TreeEntry entry = {0};
    FileHandle *handle = NULL;
    if (tree_create_ready(fixture->tree, parent, name, flags, 0640, 7, 8, &entry, &handle) != TREE_ANSWERED)
        g_assert_true(
            tree_create(fixture->tree, NULL, parent, name, flags, 0640, 7, 8, &entry, &handle, &error));
    g_assert_no_error(error);
    *out_node = entry.node;
    return handle;
}

FileHandle *
tree_fixture_open_file(TreeFixture *fixture, Node *parent, const char *name, int flags, Node **out_node)
{
    GError *error = NULL;
    TreeEntry entry = {0};
    FileHandle *handle = NULL;
    gboolean keep = FALSE;
    if (!look_up(fixture, parent, name, &entry, &error)) {
        g_clear_error(&error);
        g_assert_true(flags & O_CREAT);
        return create_file(fixture, parent, name, flags, out_node);
    }
    *out_node = entry.node;
    if (!tree_open_ready(fixture->tree, entry.node, flags & ~O_CREAT, &handle, &keep))
        g_assert_true(tree_open(fixture->tree, NULL, entry.node, flags & ~O_CREAT, &handle, &keep, &error));
    g_assert_no_error(error);
    return handle;
}

void
tree_fixture_put(FileHandle *handle, const char *text)
{
    GError *error = NULL;
    if (handle->fd >= 0)
        g_assert_cmpint(pwrite(handle->fd, text, strlen(text), 0), ==, strlen(text));
    else
        g_assert_true(handle->operations->write(handle, NULL, 0, text, strlen(text), &error));
    g_assert_no_error(error);
}

void
tree_fixture_assert_reads(FileHandle *handle, const char *text)
{
    GError *error = NULL;
    g_auto(ReadVector) vector;
    read_vector_init(&vector);
    handle->operations->read(handle, NULL, 0, 1 << 16, &vector, &error);
    g_assert_no_error(error);
    g_autoptr(GString) found = g_string_new(NULL);
    for (guint i = 0; i < vector.count; i++)
        g_string_append_len(found, vector.pieces[i].iov_base, (gssize)vector.pieces[i].iov_len);
    g_assert_cmpstr(found->str, ==, text);
}

void
tree_fixture_close_file(TreeFixture *fixture, Node *node, FileHandle *handle)
{
    GError *error = NULL;
    g_assert_true(handle->operations->flush(handle, NULL, TRUE, &error));
    g_assert_no_error(error);
    tree_release(fixture->tree, NULL, node, handle);
    tree_forget(fixture->tree, node, 1);
}

void
tree_fixture_write(TreeFixture *fixture, Node *parent, const char *name, const char *text)
{
    Node *node = NULL;
    FileHandle *handle = tree_fixture_open_file(fixture, parent, name, O_WRONLY | O_CREAT | O_TRUNC, &node);
    if (text[0] != '\0')
        tree_fixture_put(handle, text);
    tree_fixture_close_file(fixture, node, handle);
}

void
tree_fixture_assert_content(TreeFixture *fixture, Node *parent, const char *name, const char *text)
{
    Node *node = NULL;
    FileHandle *handle = tree_fixture_open_file(fixture, parent, name, O_RDONLY, &node);
    tree_fixture_assert_reads(handle, text);
    tree_fixture_close_file(fixture, node, handle);
}

Node *
tree_fixture_mkdir(TreeFixture *fixture, Node *parent, const char *name)
{
    GError *error = NULL;
    TreeEntry entry = {0};
    g_assert_true(tree_make_directory(fixture->tree, NULL, parent, name, 0750, 7, 8, &entry, &error));
    g_assert_no_error(error);
    return entry.node;
}

void
tree_fixture_assert_code(gboolean ok, GError *error, ErrorCode code)
{
    g_assert_false(ok);
    g_assert_error(error, STORAGEFS_ERROR, (int)code);
    g_error_free(error);
}

void
tree_fixture_store(TreeFixture *fixture, const char *key, const char *text, Metadata *metadata)
{
    GError *error = NULL;
    ByteSource source = storage_fixture_text(text);
    WriteOptions options = {.metadata = metadata};
    g_assert_true(storage_write_object(fixture->storage, NULL, "c", key, &source, &options, NULL, &error));
    g_assert_no_error(error);
    memory_fault_reset_counts(fixture->memory);
}

void
tree_fixture_delete(TreeFixture *fixture, const char *key)
{
    g_assert_true(storage_delete_object(fixture->storage, NULL, "c", key, NULL, NULL));
    memory_fault_reset_counts(fixture->memory);
}

gboolean
tree_fixture_has(TreeFixture *fixture, const char *key)
{
    g_auto(ObjectInfo) info = {0};
    gboolean found = storage_stat_object(fixture->storage, NULL, "c", key, &info, NULL);
    memory_fault_reset_counts(fixture->memory);
    return found;
}

void
tree_fixture_assert_stored(TreeFixture *fixture, const char *key, const char *text)
{
    char buffer[4096] = "";
    gsize length_bytes = 0;
    GError *error = NULL;
    g_assert_true(storage_read_object(fixture->storage, NULL, "c", key, 0, sizeof buffer - 1, NULL, buffer,
                                      &length_bytes, NULL, &error));
    g_assert_no_error(error);
    g_assert_cmpstr(buffer, ==, text);
    memory_fault_reset_counts(fixture->memory);
}

char *
tree_fixture_take_requests(TreeFixture *fixture)
{
    static const struct {
        MemoryOperation operation;
        const char *name;
    } names[] = {
        {MEMORY_LIST_CONTAINERS, "containers"}, {MEMORY_STAT_CONTAINER, "container"},
        {MEMORY_LIST_OBJECTS, "list"},          {MEMORY_STAT_OBJECT, "stat"},
        {MEMORY_READ_OBJECT, "read"},           {MEMORY_WRITE_OBJECT, "write"},
        {MEMORY_DELETE_OBJECT, "delete"},       {MEMORY_COPY_OBJECT, "copy"},
        {MEMORY_SET_METADATA, "metadata"},      {MEMORY_BEGIN_UPLOAD, "upload"},
    };
    GString *text = g_string_new(NULL);
    for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
        guint64 count = memory_fault_get_count(fixture->memory, names[i].operation);
        if (count > 0)
            g_string_append_printf(text, "%s%s %" G_GUINT64_FORMAT, text->len > 0 ? " " : "", names[i].name,
                                   count);
    }
    memory_fault_reset_counts(fixture->memory);
    return g_string_free(text, FALSE);
}

void
tree_fixture_assert_requests(TreeFixture *fixture, const char *requests)
{
    g_autofree char *found = tree_fixture_take_requests(fixture);
    g_assert_cmpstr(found, ==, requests);
}

void
tree_fixture_assert_announced(TreeFixture *fixture, const char *announced)
{
    lock_acquire(&fixture->announced_lock);
    g_autofree char *found = g_strdup(fixture->announced->str);
    g_string_truncate(fixture->announced, 0);
    lock_release(&fixture->announced_lock);
    g_assert_cmpstr(found, ==, announced);
}

void
tree_fixture_grow_old(TreeFixture *fixture)
{
    g_assert_true(tree_refresh(fixture->tree, "", NULL));
    lock_acquire(&fixture->announced_lock);
    g_string_truncate(fixture->announced, 0);
    lock_release(&fixture->announced_lock);
}
