/* .control/refresh: forgetting what is known of a path and everything below it. */
#include "src/tree/tree.h"

#include "src/tree/tree_core.h"

#include <string.h>

typedef struct {
    Tree *tree;
    const Node *top;
} Refresh;

/* What is written here and not published stays: it is known nowhere else. */
static void
forget_known(gpointer data, Node *node)
{
    Refresh *refresh = data;
    if (!node_is_below(node, refresh->top))
        return;
    node->facts.known_at_us = 0;
    if (node_is_directory(node)) {
        listing_chain_expire(node->folder->listings);
        g_clear_pointer(&node->folder->absent, g_hash_table_unref);
    } else {
        detail_cache_drop(&refresh->tree->details, node);
    }
    if (node->parent != NULL)
        tree_core_announce_entry_locked(refresh->tree, node->parent, node->name);
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
    lock_acquire(&tree->lock);
    Refresh refresh = {tree, find_top_locked(tree, parts)};
    node_table_foreach(&tree->table, forget_known, &refresh);
    lock_release(&tree->lock);
    tree_core_flush(tree);
    return TRUE;
}
