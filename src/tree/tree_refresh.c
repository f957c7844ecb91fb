/* .control/refresh: forgetting what is known of a path and everything below it. */
#include "src/tree/tree.h"

#include "src/tree/tree_core.h"

#include <string.h>

typedef struct {
    const Node *top;
    GPtrArray *nodes;
} Below;

static void
collect_below(gpointer data, Node *node)
{
    Below *below = data;
    if (node_is_below(node, below->top))
        g_ptr_array_add(below->nodes, node);
}

/* What is written here and not published stays: it is known nowhere else. */
static void
forget_known_locked(Tree *tree, Node *node) REQUIRES(tree->lock)
{
    node->facts.known_at_us = 0;
    if (node_is_directory(node)) {
        listing_chain_doubt(node->folder->listings);
        g_clear_pointer(&node->folder->absent, g_hash_table_unref);
        detail_cache_drop_all(&tree->details, node);
    }
    detail_cache_drop(&tree->details, node->parent, node->name);
    listing_doubt_name(node->parent->folder->listings, node->name);
    tree_core_announce_entry_locked(tree, node->parent, node->name);
}

/* The deepest Node on the way that is known; what lies below an unknown one is not known either. */
static Node *
find_top_locked(Tree *tree, char **parts) REQUIRES(tree->lock)
{
    Node *node = tree->root;
    for (guint i = 0; parts[i] != NULL; i++) {
        if (parts[i][0] == '\0')
            continue;
        Node *child = node_is_directory(node) ? tree_core_find_locked(tree, node, parts[i]) : NULL;
        if (child == NULL)
            break;
        node = child;
    }
    return node;
}

static gboolean
check_storage(Tree *tree, char **parts, GError **error)
{
    guint first = 0;
    while (parts[first] != NULL && parts[first][0] == '\0')
        first++;
    if (parts[first] == NULL)
        return TRUE;
    g_autoptr(Storage) storage = storage_set_find(tree->set, parts[first]);
    if (storage != NULL)
        return TRUE;
    g_set_error(error, STORAGEFS_ERROR, ERROR_NOT_FOUND, "there is no storage \"%s\"", parts[first]);
    return FALSE;
}

gboolean
tree_refresh(Tree *tree, const char *path, GError **error)
{
    g_auto(GStrv) parts = g_strsplit(path, "/", -1);
    if (!check_storage(tree, parts, error))
        return FALSE;
    g_autoptr(GPtrArray) nodes = g_ptr_array_new();
    lock_acquire(&tree->lock);
    Below below = {find_top_locked(tree, parts), nodes};
    node_table_foreach(&tree->table, collect_below, &below);
    for (guint i = 0; i < nodes->len; i++)
        forget_known_locked(tree, g_ptr_array_index(nodes, i));
    lock_release(&tree->lock);
    tree_core_flush(tree);
    return TRUE;
}
