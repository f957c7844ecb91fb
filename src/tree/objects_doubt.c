/* Changes that failed without an answer: nobody knows whether they have happened. */
#include "src/tree/objects.h"

/* An ETag of the content alone is the same with other metadata: what was known of it goes too. */
static void
doubt_node_locked(Tree *tree, Node *node) REQUIRES(tree->lock)
{
    node->facts.known_at_us = 0;
    node->facts.flags &= (guint8) ~(FACT_EXACT | FACT_MARKER | FACT_MARKER_ASKED);
    if (!node_is_directory(node))
        return;
    listing_chain_doubt(node->folder->listings);
    detail_cache_drop_all(&tree->details, node);
}

void
objects_doubt_locked(Tree *tree, Node *parent, const char *name, Node *node)
{
    FolderState *folder = parent->folder;
    /* What was asked before may have been answered before, too. */
    folder->changes++;
    /* What a listing does not hold is absent to it: it answers nothing any more. */
    listing_chain_expire(folder->listings);
    listing_doubt_name(folder->listings, name);
    g_clear_pointer(&folder->absent, g_hash_table_unref);
    detail_cache_drop(&tree->details, parent, name);
    tree_core_announce_entry_locked(tree, parent, name);
    if (node == NULL)
        node = tree_core_find_locked(tree, parent, name);
    if (node != NULL && !tree_core_is_dirty(node))
        doubt_node_locked(tree, node);
    if (node != NULL && !(node->flags & NODE_DETACHED))
        tree_core_announce_attributes_locked(tree, node);
}

void
objects_doubt_failure(Tree *tree, Node *parent, const char *name, const GError *failure)
{
    if (!error_leaves_doubt(failure))
        return;
    lock_acquire(&tree->lock);
    objects_doubt_locked(tree, parent, name, NULL);
    lock_release(&tree->lock);
}
