/* MNT itself, see root.h. */
#include "src/tree/root.h"

#include "src/tree/containers.h"
#include "src/tree/objects.h"

#include <string.h>

/* Nobody makes more symlinks here than one at a time; older ones are dropped. */
#define MAXIMUM_LINKS 16u

static void
init_facts(Tree *tree, Node *node)
{
    AttributeDefaults defaults;
    tree_core_get_defaults(tree, &defaults);
    gboolean is_link = node->kind == NODE_DEFAULT || node->kind == NODE_LINK;
    node->facts.mode = (guint16)(is_link ? 0777 : defaults.folder_mode);
    node->facts.uid = defaults.uid;
    node->facts.gid = defaults.gid;
    node->facts.flags = FACT_EXACT;
    node->facts.mtime_ns = tree->root->facts.mtime_ns;
}

void
root_init(Tree *tree)
{
    tree->root->facts.mtime_ns = g_get_real_time() * 1000;
    init_facts(tree, tree->root);
}

static Node *
get_default_locked(Tree *tree, const char *target) REQUIRES(tree->lock)
{
    Node *node = tree_core_find_locked(tree, tree->root, ROOT_DEFAULT_NAME);
    if (node == NULL) {
        node = tree_core_attach_locked(tree, tree->root, ROOT_DEFAULT_NAME, NODE_DEFAULT);
        init_facts(tree, node);
    }
    node->facts.size_bytes = strlen(target);
    return node;
}

Node *
root_get_storage_locked(Tree *tree, Storage *storage)
{
    const char *name = storage_get_name(storage);
    Node *node = tree_core_find_locked(tree, tree->root, name);
    if (node != NULL && node->kind == NODE_STORAGE && node->folder->storage == storage)
        return node;
    if (node != NULL)
        tree_core_detach_locked(tree, node, NODE_UNLINKED);
    node = tree_core_attach_locked(tree, tree->root, name, NODE_STORAGE);
    node->folder->storage = storage_ref(storage);
    if (storage_is_file_system(storage))
        node->is_in_files = TRUE;
    init_facts(tree, node);
    /* Kept meanwhile; afterwards it is the caller's to keep. */
    tree_core_hold_locked(node);
    objects_journal_adopt_locked(tree, storage);
    node->refs--;
    return node;
}

/* What the link says; NULL: there is no storage, or the link was unlinked just now. Caller frees. */
static char *
dup_default(Tree *tree)
{
    lock_acquire(&tree->lock);
    gboolean gone = tree->default_gone_until_us > tree_core_now();
    lock_release(&tree->lock);
    return gone ? NULL : storage_set_get_default_name(tree->set);
}

static TreeReady
lookup_default(Tree *tree, TreeEntry *out)
{
    g_autofree char *target = dup_default(tree);
    if (target == NULL)
        return TREE_ABSENT;
    lock_acquire(&tree->lock);
    tree_core_fill_entry_locked(tree, get_default_locked(tree, target), out);
    lock_release(&tree->lock);
    return TREE_ANSWERED;
}

static TreeReady
lookup_link(Tree *tree, const char *name, TreeEntry *out)
{
    lock_acquire(&tree->lock);
    Node *node = tree_core_find_locked(tree, tree->root, name);
    gboolean found = node != NULL && node->kind == NODE_LINK;
    if (found)
        tree_core_fill_entry_locked(tree, node, out);
    lock_release(&tree->lock);
    return found ? TREE_ANSWERED : TREE_ABSENT;
}

static TreeReady
lookup_ready(Tree *tree, Node *parent, const char *name, TreeEntry *out, gint64 *out_absent_valid_us)
{
    *out_absent_valid_us = 0;
    if (strcmp(name, ROOT_DEFAULT_NAME) == 0)
        return lookup_default(tree, out);
    g_autoptr(Storage) storage = storage_set_find(tree->set, name);
    if (storage == NULL)
        return lookup_link(tree, name, out);
    lock_acquire(&tree->lock);
    tree_core_fill_entry_locked(tree, root_get_storage_locked(tree, storage), out);
    lock_release(&tree->lock);
    return TREE_ANSWERED;
}

static gboolean
fail_absent(const char *name, GError **error)
{
    g_set_error(error, STORAGEFS_ERROR, ERROR_NOT_FOUND, "there is no storage \"%s\"", name);
    return FALSE;
}

static gboolean
lookup(Tree *tree, Call *call, Node *parent, const char *name, TreeEntry *out, gint64 *out_absent_valid_us,
       GError **error)
{
    return lookup_ready(tree, parent, name, out, out_absent_valid_us) == TREE_ANSWERED ||
           fail_absent(name, error);
}

static gboolean
stat_ready(Tree *tree, Node *node, FileHandle *handle, struct stat *out, gint64 *out_valid_us)
{
    g_autofree char *target = node->kind == NODE_DEFAULT ? storage_set_get_default_name(tree->set) : NULL;
    lock_acquire(&tree->lock);
    if (target != NULL)
        node->facts.size_bytes = strlen(target);
    tree_core_fill_stat_locked(tree, node, out);
    *out_valid_us = tree_core_get_valid_us(node, tree_core_now());
    lock_release(&tree->lock);
    return TRUE;
}

static gboolean
stat_node(Tree *tree, Call *call, Node *node, FileHandle *handle, struct stat *out, gint64 *out_valid_us,
          GError **error)
{
    return stat_ready(tree, node, handle, out, out_valid_us);
}

static gboolean
read_symlink(Tree *tree, Call *call, Node *node, char **out_target, GError **error)
{
    g_autofree char *target = NULL;
    if (node->kind == NODE_DEFAULT) {
        target = storage_set_get_default_name(tree->set);
    } else if (node->kind == NODE_LINK) {
        lock_acquire(&tree->lock);
        target = g_strdup(node->target);
        lock_release(&tree->lock);
    } else {
        g_set_error(error, STORAGEFS_ERROR, ERROR_BAD_ARGUMENT, "%s is not a symbolic link", node->name);
        return FALSE;
    }
    if (target == NULL)
        return fail_absent("default", error);
    *out_target = g_steal_pointer(&target);
    return TRUE;
}

/* "NAME", "NAME/", "./NAME" → NAME. */
static char *
storage_of_target(const char *target)
{
    if (g_str_has_prefix(target, "./"))
        target += 2;
    gsize length = strlen(target);
    while (length > 0 && target[length - 1] == '/')
        length--;
    return g_strndup(target, length);
}

static gboolean
set_default(Tree *tree, const char *target, GError **error)
{
    g_autofree char *name = storage_of_target(target);
    gboolean good = storage_set_set_default(tree->set, name, error);
    lock_acquire(&tree->lock);
    /* What was unlinked before is there again, as it was. */
    tree->default_gone_until_us = 0;
    Node *node = tree_core_find_locked(tree, tree->root, ROOT_DEFAULT_NAME);
    if (good && node != NULL) {
        node->facts.size_bytes = strlen(name);
        tree_core_announce_attributes_locked(tree, node);
    }
    lock_release(&tree->lock);
    return good;
}

static void
drop_link_locked(Tree *tree, Node *node) REQUIRES(tree->lock)
{
    g_queue_remove(&tree->links, node);
    tree_core_detach_locked(tree, node, NODE_UNLINKED);
    tree_core_drop_locked(tree, node);
}

static void
add_link_locked(Tree *tree, const char *name, const char *target, TreeEntry *out) REQUIRES(tree->lock)
{
    if (g_queue_get_length(&tree->links) >= MAXIMUM_LINKS)
        drop_link_locked(tree, g_queue_peek_head(&tree->links));
    Node *node = tree_core_attach_locked(tree, tree->root, name, NODE_LINK);
    init_facts(tree, node);
    node->target = g_strdup(target);
    node->facts.size_bytes = strlen(target);
    g_queue_push_tail(&tree->links, tree_core_hold_locked(node));
    tree_core_fill_entry_locked(tree, node, out);
}

static gboolean
make_symlink(Tree *tree, Call *call, Node *parent, const char *name, const char *target, uid_t uid, gid_t gid,
             TreeEntry *out, GError **error)
{
    gint64 ignored;
    if (strcmp(name, ROOT_DEFAULT_NAME) == 0) {
        if (!set_default(tree, target, error))
            return FALSE;
        return lookup(tree, call, parent, name, out, &ignored, error);
    }
    g_autofree char *storage_name = storage_of_target(target);
    g_autoptr(Storage) storage = storage_set_find(tree->set, storage_name);
    if (storage == NULL)
        return fail_absent(storage_name, error);
    TreeEntry present;
    if (lookup_ready(tree, parent, name, &present, &ignored) == TREE_ANSWERED) {
        tree_forget(tree, present.node, 1);
        g_set_error(error, STORAGEFS_ERROR, ERROR_EXISTS, "%s exists", name);
        return FALSE;
    }
    lock_acquire(&tree->lock);
    add_link_locked(tree, name, target, out);
    lock_release(&tree->lock);
    return TRUE;
}

static Node *
find_link_locked(Tree *tree, const char *name) REQUIRES(tree->lock)
{
    Node *node = tree_core_find_locked(tree, tree->root, name);
    return node != NULL && node->kind == NODE_LINK ? node : NULL;
}

/* The first half of an `ln -sfn` that removes before it makes. Nobody is told: the kernel, which asked,
 * forgets the name itself, and is not told that it is absent for any longer than the answer. */
static gboolean
make_room(Tree *tree, GError **error)
{
    g_autofree char *target = dup_default(tree);
    if (target == NULL)
        return fail_absent(ROOT_DEFAULT_NAME, error);
    if (!tree_core_check_writable(tree, tree->root, error))
        return FALSE;
    lock_acquire(&tree->lock);
    Node *node = tree_core_find_locked(tree, tree->root, ROOT_DEFAULT_NAME);
    if (node != NULL)
        tree_core_detach_locked(tree, node, NODE_UNLINKED);
    tree->default_gone_until_us = tree_core_now() + TREE_DEFAULT_GAP_US;
    lock_release(&tree->lock);
    return TRUE;
}

static gboolean
unlink_name(Tree *tree, Call *call, Node *parent, const char *name, GError **error)
{
    if (strcmp(name, ROOT_DEFAULT_NAME) == 0)
        return make_room(tree, error);
    lock_acquire(&tree->lock);
    Node *node = find_link_locked(tree, name);
    if (node != NULL)
        drop_link_locked(tree, node);
    lock_release(&tree->lock);
    return node != NULL || tree_core_refuse_name(parent, name, error);
}

static gboolean
rename_name(Tree *tree, Call *call, Node *parent, const char *name, Node *new_parent, const char *new_name,
            unsigned flags, GError **error)
{
    g_autofree char *target = NULL;
    lock_acquire(&tree->lock);
    Node *node = find_link_locked(tree, name);
    if (node != NULL)
        target = g_strdup(node->target);
    lock_release(&tree->lock);
    if (target == NULL || new_parent != tree->root || strcmp(new_name, ROOT_DEFAULT_NAME) != 0 || flags != 0)
        return tree_core_refuse_name(parent, name, error);
    if (!set_default(tree, target, error))
        return FALSE;
    lock_acquire(&tree->lock);
    node = find_link_locked(tree, name);
    if (node != NULL)
        drop_link_locked(tree, node);
    /* The kernel now takes the link's inode for the one named default. */
    tree_core_announce_entry_locked(tree, tree->root, ROOT_DEFAULT_NAME);
    lock_release(&tree->lock);
    return TRUE;
}

static gboolean
open_listing(Tree *tree, Call *call, Node *node, Listing **out, GError **error)
{
    g_autoptr(GPtrArray) storages = storage_set_list(tree->set);
    g_autofree char *target = dup_default(tree);
    Listing *listing = listing_new(NULL, LISTING_PLAIN, tree_core_now());
    EntryFacts facts = {.kind = NODE_STORAGE, .flags = FACT_EXACT};
    for (guint i = 0; i < storages->len; i++)
        listing_append_name(listing, storage_get_name(g_ptr_array_index(storages, i)), &facts);
    facts.kind = NODE_DEFAULT;
    if (target != NULL)
        listing_append_name(listing, ROOT_DEFAULT_NAME, &facts);
    listing_finish(listing, FALSE);
    *out = listing;
    return TRUE;
}

static gboolean
take(Tree *tree, Node *node, Listing *listing, const char *name, TreeEntry *out)
{
    gint64 ignored;
    return lookup_ready(tree, node, name, out, &ignored) == TREE_ANSWERED;
}

static gboolean
stat_filesystem(Tree *tree, Node *node, struct statvfs *out, GError **error)
{
    containers_stat_filesystem(out);
    return TRUE;
}

static void
collect_storage(gpointer data, Node *node)
{
    if (node->kind == NODE_STORAGE)
        g_ptr_array_add(data, node);
}

/* What waits is in sight again at once, not when somebody looks there. */
static void
adopt_all_locked(Tree *tree, const GPtrArray *storages) REQUIRES(tree->lock)
{
    for (guint i = 0; i < storages->len; i++)
        if (objects_journal_is_left_behind(tree, storages->pdata[i]))
            tree_core_collect_locked(tree, root_get_storage_locked(tree, storages->pdata[i]));
}

void
root_storages_changed(Tree *tree)
{
    g_autoptr(GPtrArray) nodes = g_ptr_array_new();
    g_autoptr(GPtrArray) storages = storage_set_list(tree->set);
    lock_acquire(&tree->lock);
    node_table_foreach(&tree->table, collect_storage, nodes);
    for (guint i = 0; i < nodes->len; i++) {
        Node *node = g_ptr_array_index(nodes, i);
        Storage *now = storage_set_find(tree->set, node->name);
        gboolean same = now == node->folder->storage;
        if (now != NULL)
            g_ptr_array_add(tree->garbage, now);
        if (same)
            continue;
        tree_core_announce_entry_locked(tree, tree->root, node->name);
        tree_core_detach_locked(tree, node, NODE_UNLINKED);
    }
    adopt_all_locked(tree, storages);
    Node *link = tree_core_find_locked(tree, tree->root, ROOT_DEFAULT_NAME);
    if (link != NULL)
        tree_core_announce_attributes_locked(tree, link);
    lock_release(&tree->lock);
    objects_journal_rebind(tree);
}

const TreeOperations root_operations = {
    .lookup_ready = lookup_ready,
    .lookup = lookup,
    .stat_ready = stat_ready,
    .stat = stat_node,
    .read_symlink = read_symlink,
    .make_symlink = make_symlink,
    .open_listing = open_listing,
    .take = take,
    .unlink = unlink_name,
    .rename = rename_name,
    .stat_filesystem = stat_filesystem,
    .refusal = "storages are made, renamed and removed in the configuration",
};
