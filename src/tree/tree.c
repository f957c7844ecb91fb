/* The public face of the tree: its life, its Nodes, and the way from each call to the operations of the
 * Node's kind (root.c, containers.c, objects*.c, files*.c). What a kind does not have fails here.
 */
#include "src/tree/tree.h"

#include "src/tree/object_name.h"
#include "src/tree/objects.h"
#include "src/tree/root.h"

#include <fcntl.h>
#include <string.h>

Tree *
tree_new(StorageSet *set, ObjectStore *store, const TreeSettings *settings)
{
    Tree *tree = g_new0(Tree, 1);
    lock_init(&tree->lock);
    condition_init(&tree->changed);
    tree->set = set;
    tree->store = store;
    tree->settings = *settings;
    tree->state_dir = g_strdup(settings->state_dir);
    tree->settings.state_dir = tree->state_dir;
    node_table_init(&tree->table);
    node_table_init(&tree->detached);
    detail_cache_init(&tree->details);
    tree->open_nodes = g_hash_table_new(NULL, NULL);
    tree->odd_inodes = g_hash_table_new(g_int64_hash, g_int64_equal);
    g_queue_init(&tree->links);
    tree_core_init_queues(tree);
    tree->root = node_new(NULL, "", NODE_ROOT);
    tree->root->folder->tree = tree;
    root_init(tree);
    objects_removal_open(tree);
    objects_move_recover(tree);
    objects_journal_restore(tree);
    objects_removal_start(tree);
    return tree;
}

static void
wait_for_tasks(Tree *tree)
{
    lock_acquire(&tree->lock);
    tree->closing = TRUE;
    tree_core_wake_locked(tree);
    while (tree->tasks > 0)
        tree_core_wait_locked(tree, NULL, NULL);
    lock_release(&tree->lock);
}

static void
collect_node(gpointer data, Node *node)
{
    g_ptr_array_add(data, node);
}

/* The kernel forgets nothing at an unmount: what it still counts goes here. */
static void
drop_nodes(Tree *tree)
{
    g_autoptr(GPtrArray) nodes = g_ptr_array_new();
    lock_acquire(&tree->lock);
    while (!g_queue_is_empty(&tree->links))
        tree_core_drop_locked(tree, g_queue_pop_head(&tree->links));
    node_table_foreach(&tree->table, collect_node, nodes);
    node_table_foreach(&tree->detached, collect_node, nodes);
    for (guint i = 0; i < nodes->len; i++)
        tree_core_hold_locked(g_ptr_array_index(nodes, i));
    for (guint i = 0; i < nodes->len; i++) {
        Node *node = g_ptr_array_index(nodes, i);
        node->lookups = 0;
        tree_core_drop_locked(tree, node);
    }
    lock_release(&tree->lock);
}

void
tree_free(Tree *tree)
{
    objects_removal_stop(tree);
    wait_for_tasks(tree);
    tree_set_observer(tree, NULL);
    tree_core_flush(tree);
    objects_journal_forget(tree);
    drop_nodes(tree);
    tree_core_flush(tree);
    objects_removal_close(tree);
    tree_core_clear_queues(tree);
    node_free(tree->root);
    node_table_clear(&tree->table);
    node_table_clear(&tree->detached);
    detail_cache_clear(&tree->details);
    g_hash_table_unref(tree->open_nodes);
    g_hash_table_unref(tree->odd_inodes);
    g_free(tree->state_dir);
    condition_clear(&tree->changed);
    lock_clear(&tree->lock);
    g_free(tree);
}

void
tree_set_observer(Tree *tree, const TreeObserver *observer)
{
    lock_acquire(&tree->lock);
    tree->has_observer = observer != NULL;
    tree->observer = observer != NULL ? *observer : (TreeObserver){0};
    lock_release(&tree->lock);
}

Node *
tree_get_root(Tree *tree)
{
    return tree->root;
}

Node *
tree_node_ref(Tree *tree, Node *node)
{
    lock_acquire(&tree->lock);
    tree_core_hold_locked(node);
    lock_release(&tree->lock);
    return node;
}

void
tree_node_unref(Tree *tree, Node *node)
{
    lock_acquire(&tree->lock);
    tree_core_drop_locked(tree, node);
    lock_release(&tree->lock);
}

void
tree_forget(Tree *tree, Node *node, guint64 count)
{
    lock_acquire(&tree->lock);
    node->lookups -= MIN(count, node->lookups);
    tree_core_collect_locked(tree, node);
    lock_release(&tree->lock);
}

WorkerPool *
tree_get_lane(Tree *tree, Node *node)
{
    lock_acquire(&tree->lock);
    Storage *storage = node_get_storage(node);
    lock_release(&tree->lock);
    return storage != NULL ? storage_get_lane(storage, STORAGE_LANE_CALLS) : NULL;
}

gboolean
tree_is_local(Node *node)
{
    return node->is_in_files;
}

Call *
tree_new_call(Tree *tree, Node *node)
{
    lock_acquire(&tree->lock);
    Storage *storage = node_get_storage(node);
    lock_release(&tree->lock);
    return storage != NULL ? storage_new_call(storage) : call_new(60 * G_USEC_PER_SEC);
}

char *
tree_describe(Tree *tree, Node *node)
{
    lock_acquire(&tree->lock);
    char *path = node_describe(node);
    lock_release(&tree->lock);
    return path;
}

static gboolean
fail_missing(Tree *tree, Node *node, ErrorCode code, GError **error)
{
    return tree_core_fail(tree, node, code, "does not offer this", error);
}

/* Names come from the kernel, but a directory's operations are only for directories, and newer kernels let
 * names through that are longer than any here. */
static gboolean
check_name(Tree *tree, Node *parent, const char *name, GError **error)
{
    if (!node_is_directory(parent))
        return fail_missing(tree, parent, ERROR_NOT_FOLDER, error);
    if (strlen(name) <= OBJECT_NAME_MAX_BYTES)
        return TRUE;
    return tree_core_fail(tree, parent, ERROR_NAME_TOO_LONG, "holds no names over 1024 bytes", error);
}

TreeReady
tree_lookup_ready(Tree *tree, Node *parent, const char *name, TreeEntry *out, gint64 *out_absent_valid_us)
{
    *out_absent_valid_us = 0;
    if (!node_is_directory(parent) || strlen(name) > OBJECT_NAME_MAX_BYTES)
        return TREE_WOULD_WAIT;
    return tree_core_operations(parent)->lookup_ready(tree, parent, name, out, out_absent_valid_us);
}

gboolean
tree_lookup(Tree *tree, Call *call, Node *parent, const char *name, TreeEntry *out,
            gint64 *out_absent_valid_us, GError **error)
{
    *out_absent_valid_us = 0;
    return check_name(tree, parent, name, error) &&
           tree_core_operations(parent)->lookup(tree, call, parent, name, out, out_absent_valid_us, error);
}

gboolean
tree_stat_ready(Tree *tree, Node *node, FileHandle *handle, struct stat *out, gint64 *out_valid_us)
{
    return tree_core_operations(node)->stat_ready(tree, node, handle, out, out_valid_us);
}

gboolean
tree_stat(Tree *tree, Call *call, Node *node, FileHandle *handle, struct stat *out, gint64 *out_valid_us,
          GError **error)
{
    return tree_core_operations(node)->stat(tree, call, node, handle, out, out_valid_us, error);
}

gboolean
tree_set_attributes(Tree *tree, Call *call, Node *node, FileHandle *handle, unsigned valid,
                    const struct stat *attributes, const struct timespec times[2], struct stat *out,
                    gint64 *out_valid_us, GError **error)
{
    const TreeOperations *operations = tree_core_operations(node);
    if (operations->set_attributes == NULL)
        return fail_missing(tree, node, ERROR_NOT_PERMITTED, error);
    return operations->set_attributes(tree, call, node, handle, valid, attributes, times, error) &&
           operations->stat(tree, call, node, handle, out, out_valid_us, error);
}

gboolean
tree_stat_filesystem(Tree *tree, Node *node, struct statvfs *out, GError **error)
{
    return tree_core_operations(node)->stat_filesystem(tree, node, out, error);
}

gboolean
tree_read_symlink(Tree *tree, Call *call, Node *node, char **out_target, GError **error)
{
    const TreeOperations *operations = tree_core_operations(node);
    if (operations->read_symlink == NULL)
        return fail_missing(tree, node, ERROR_BAD_ARGUMENT, error);
    return operations->read_symlink(tree, call, node, out_target, error);
}

gboolean
tree_make_symlink(Tree *tree, Call *call, Node *parent, const char *name, const char *target, uid_t uid,
                  gid_t gid, TreeEntry *out, GError **error)
{
    if (!check_name(tree, parent, name, error))
        return FALSE;
    const TreeOperations *operations = tree_core_operations(parent);
    if (operations->make_symlink == NULL)
        return tree_core_refuse_name(parent, name, error);
    return operations->make_symlink(tree, call, parent, name, target, uid, gid, out, error);
}

gboolean
tree_open_ready(Tree *tree, Node *node, int flags, FileHandle **out_handle, gboolean *out_keep_cache)
{
    const TreeOperations *operations = tree_core_operations(node);
    return operations->open_ready != NULL &&
           operations->open_ready(tree, node, flags, out_handle, out_keep_cache);
}

gboolean
tree_open(Tree *tree, Call *call, Node *node, int flags, FileHandle **out_handle, gboolean *out_keep_cache,
          GError **error)
{
    const TreeOperations *operations = tree_core_operations(node);
    if (node_is_directory(node) || operations->open == NULL)
        return fail_missing(tree, node, node_is_directory(node) ? ERROR_IS_FOLDER : ERROR_LOOP, error);
    return operations->open(tree, call, node, flags, out_handle, out_keep_cache, error);
}

static FileAttributes
make_attributes(mode_t mode, uid_t uid, gid_t gid)
{
    return (FileAttributes){
        .mtime_ns = g_get_real_time() * 1000, .mode = S_IFREG | (mode & 07777), .uid = uid, .gid = gid};
}

TreeReady
tree_create_ready(Tree *tree, Node *parent, const char *name, int flags, mode_t mode, uid_t uid, gid_t gid,
                  TreeEntry *out, FileHandle **out_handle)
{
    const TreeOperations *operations = tree_core_operations(parent);
    FileAttributes made = make_attributes(mode, uid, gid);
    if (!node_is_directory(parent) || operations->create_ready == NULL ||
        strlen(name) > OBJECT_NAME_MAX_BYTES)
        return TREE_WOULD_WAIT;
    return operations->create_ready(tree, parent, name, flags, &made, out, out_handle);
}

gboolean
tree_create(Tree *tree, Call *call, Node *parent, const char *name, int flags, mode_t mode, uid_t uid,
            gid_t gid, TreeEntry *out, FileHandle **out_handle, GError **error)
{
    FileAttributes made = make_attributes(mode, uid, gid);
    if (!check_name(tree, parent, name, error))
        return FALSE;
    const TreeOperations *operations = tree_core_operations(parent);
    if (operations->create == NULL)
        return tree_core_refuse_name(parent, name, error);
    return operations->create(tree, call, parent, name, flags, &made, out, out_handle, error);
}

void
tree_release(Tree *tree, Call *call, Node *node, FileHandle *handle)
{
    tree_core_operations(node)->release(tree, call, node, handle);
}

gboolean
tree_make_directory(Tree *tree, Call *call, Node *parent, const char *name, mode_t mode, uid_t uid, gid_t gid,
                    TreeEntry *out, GError **error)
{
    if (!check_name(tree, parent, name, error))
        return FALSE;
    const TreeOperations *operations = tree_core_operations(parent);
    if (operations->make_directory == NULL)
        return tree_core_refuse_name(parent, name, error);
    return operations->make_directory(tree, call, parent, name, mode, uid, gid, out, error);
}

gboolean
tree_remove_directory(Tree *tree, Call *call, Node *parent, const char *name, GError **error)
{
    if (!check_name(tree, parent, name, error))
        return FALSE;
    const TreeOperations *operations = tree_core_operations(parent);
    if (operations->remove_directory == NULL)
        return tree_core_refuse_name(parent, name, error);
    return operations->remove_directory(tree, call, parent, name, error);
}

gboolean
tree_unlink(Tree *tree, Call *call, Node *parent, const char *name, GError **error)
{
    return check_name(tree, parent, name, error) &&
           tree_core_operations(parent)->unlink(tree, call, parent, name, error);
}

gboolean
tree_rename(Tree *tree, Call *call, Node *parent, const char *name, Node *new_parent, const char *new_name,
            unsigned flags, GError **error)
{
    return check_name(tree, parent, name, error) && check_name(tree, new_parent, new_name, error) &&
           tree_core_operations(parent)->rename(tree, call, parent, name, new_parent, new_name, flags, error);
}

gboolean
tree_get_xattr(Tree *tree, Call *call, Node *node, const char *name, GBytes **out_value, GError **error)
{
    const TreeOperations *operations = tree_core_operations(node);
    if (operations->get_xattr == NULL)
        return fail_missing(tree, node, ERROR_UNSUPPORTED, error);
    return operations->get_xattr(tree, call, node, name, out_value, error);
}

gboolean
tree_list_xattrs(Tree *tree, Call *call, Node *node, GBytes **out_names, GError **error)
{
    const TreeOperations *operations = tree_core_operations(node);
    if (operations->list_xattrs != NULL)
        return operations->list_xattrs(tree, call, node, out_names, error);
    *out_names = g_bytes_new(NULL, 0);
    return TRUE;
}

gboolean
tree_set_xattr(Tree *tree, Call *call, Node *node, const char *name, const void *value, gsize length_bytes,
               int flags, GError **error)
{
    const TreeOperations *operations = tree_core_operations(node);
    if (operations->set_xattr == NULL)
        return fail_missing(tree, node, ERROR_UNSUPPORTED, error);
    g_autoptr(GBytes) bytes = g_bytes_new(value, length_bytes);
    return operations->set_xattr(tree, call, node, name, bytes, flags, error);
}

gboolean
tree_remove_xattr(Tree *tree, Call *call, Node *node, const char *name, GError **error)
{
    const TreeOperations *operations = tree_core_operations(node);
    if (operations->remove_xattr == NULL)
        return fail_missing(tree, node, ERROR_UNSUPPORTED, error);
    return operations->remove_xattr(tree, call, node, name, error);
}

void
tree_storages_changed(Tree *tree)
{
    root_storages_changed(tree);
    tree_core_flush(tree);
}

void
tree_get_statistics(Tree *tree, TreeStatistics *out)
{
    lock_acquire(&tree->lock);
    *out = (TreeStatistics){
        .nodes = tree->table.count, .listed_names = tree->listed_names, .long_names = tree->long_names};
    lock_release(&tree->lock);
}
