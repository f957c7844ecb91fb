/* .control/refresh: forgetting what is known of a path and everything below it. */
#include "src/tree/tree.h"

#include "src/tree/root.h"
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
find_top_locked(Tree *tree, GPtrArray *names) REQUIRES(tree->lock)
{
    Node *node = tree->root;
    for (guint i = 0; i < names->len; i++) {
        Node *child = node_is_directory(node) ? tree_core_find_locked(tree, node, names->pdata[i]) : NULL;
        if (child == NULL)
            break;
        node = child;
    }
    return node;
}

/* The names on the way from MNT, without what says nothing: "./s//c/../d" → s, d. Keys never come as "." or
 * "..": their names are escaped. */
static GPtrArray *
split(const char *path)
{
    GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
    g_auto(GStrv) parts = g_strsplit(path, "/", -1);
    for (guint i = 0; parts[i] != NULL; i++) {
        if (strcmp(parts[i], "..") == 0)
            g_ptr_array_set_size(names, (int)MAX(names->len, 1) - 1);
        else if (*parts[i] != '\0' && strcmp(parts[i], ".") != 0)
            g_ptr_array_add(names, g_strdup(parts[i]));
    }
    return names;
}

/* Through the link `default`, as it names now. */
static gboolean
check_storage(Tree *tree, GPtrArray *names, GError **error)
{
    if (names->len == 0)
        return TRUE;
    const char *name = names->pdata[0];
    g_autoptr(Storage) storage = strcmp(name, ROOT_DEFAULT_NAME) == 0 ? storage_set_get_default(tree->set)
                                                                      : storage_set_find(tree->set, name);
    if (storage == NULL) {
        g_set_error(error, STORAGEFS_ERROR, ERROR_NOT_FOUND, "there is no storage \"%s\"", name);
        return FALSE;
    }
    g_free(names->pdata[0]);
    names->pdata[0] = g_strdup(storage_get_name(storage));
    return TRUE;
}

gboolean
tree_refresh(Tree *tree, const char *path, GError **error)
{
    g_autoptr(GPtrArray) names = split(path);
    if (!check_storage(tree, names, error))
        return FALSE;
    g_autoptr(GPtrArray) nodes = g_ptr_array_new();
    lock_acquire(&tree->lock);
    Below below = {find_top_locked(tree, names), nodes};
    node_table_foreach(&tree->table, collect_below, &below);
    for (guint i = 0; i < nodes->len; i++)
        forget_known_locked(tree, g_ptr_array_index(nodes, i));
    lock_release(&tree->lock);
    tree_core_flush(tree);
    return TRUE;
}
