/* Look-ups and stat in object services, from objects_look.c's answers. */
#include "src/tree/objects.h"

TreeReady
objects_lookup_ready(Tree *tree, Node *parent, const char *name, TreeEntry *out, gint64 *out_absent_valid_us)
{
    Node *node = NULL;
    lock_acquire(&tree->lock);
    TreeReady ready = objects_known_locked(tree, parent, name, LOOK_KIND, FALSE, tree_core_now(), &node,
                                           out_absent_valid_us);
    if (ready == TREE_ANSWERED) {
        tree_core_fill_entry_locked(tree, node, out);
        objects_ahead_hit_locked(tree, parent, name, LOOK_KIND);
    }
    lock_release(&tree->lock);
    return ready;
}

/* A key that the layout cannot have does not exist; so much is known for good. */
static gboolean
fail_lookup(Tree *tree, Node *parent, const char *name, GError *failure, gint64 *out_absent_valid_us,
            GError **error)
{
    *out_absent_valid_us = 0;
    if (!error_is(failure, ERROR_BAD_NAME)) {
        g_propagate_error(error, failure);
        return FALSE;
    }
    g_error_free(failure);
    *out_absent_valid_us = tree_core_absent_valid_us(tree, parent);
    return objects_fail_absent(tree, parent, name, error);
}

gboolean
objects_lookup(Tree *tree, Call *call, Node *parent, const char *name, TreeEntry *out,
               gint64 *out_absent_valid_us, GError **error)
{
    Node *node = NULL;
    GError *failure = NULL;
    if (!objects_recall(tree, call, parent, name, LOOK_KIND, &node, out_absent_valid_us, &failure))
        return fail_lookup(tree, parent, name, failure, out_absent_valid_us, error);
    if (node == NULL)
        return objects_fail_absent(tree, parent, name, error);
    lock_acquire(&tree->lock);
    tree_core_fill_entry_locked(tree, node, out);
    tree_core_drop_locked(tree, node);
    lock_release(&tree->lock);
    return TRUE;
}

/* What is detached, or written here, has its attributes here. */
static gboolean
is_ours_alone(Node *node)
{
    if (node->kind != NODE_FILE || node->file == NULL)
        return FALSE;
    return node->flags & NODE_DETACHED || tree_core_is_dirty(node);
}

/* The kernel names a handle only before it reads through it, and then wants the size: the rest may be what
 * the listing says, for this one time. */
static gboolean
stat_known_locked(Tree *tree, Node *node, FileHandle *handle, struct stat *out, gint64 *out_valid_us)
    REQUIRES(tree->lock)
{
    gint64 valid_us = tree_core_get_valid_us(node, tree_core_now());
    gboolean ours = is_ours_alone(node), exact = tree_core_has_attributes(node);
    if (!ours && (node->flags & NODE_DETACHED || valid_us == 0 || (!exact && handle == NULL)))
        return FALSE;
    tree_core_fill_stat_locked(tree, node, out);
    *out_valid_us = ours || exact ? valid_us : 0;
    return TRUE;
}

gboolean
objects_stat_ready(Tree *tree, Node *node, FileHandle *handle, struct stat *out, gint64 *out_valid_us)
{
    lock_acquire(&tree->lock);
    gboolean known = stat_known_locked(tree, node, handle, out, out_valid_us);
    lock_release(&tree->lock);
    return known;
}

/* An fstat of a file whose object was replaced meanwhile: the handle's version counts. */
static gboolean
stat_replaced(Tree *tree, Node *node, struct stat *out, gint64 *out_valid_us)
{
    lock_acquire(&tree->lock);
    gboolean ours = is_ours_alone(node);
    if (ours) {
        tree_core_fill_stat_locked(tree, node, out);
        *out_valid_us = 0;
    }
    lock_release(&tree->lock);
    return ours;
}

gboolean
objects_stat(Tree *tree, Call *call, Node *node, FileHandle *handle, struct stat *out, gint64 *out_valid_us,
             GError **error)
{
    if (objects_stat_ready(tree, node, handle, out, out_valid_us))
        return TRUE;
    GError *failure = NULL;
    if (!objects_look_node(tree, call, node, handle != NULL ? LOOK_KIND : LOOK_ATTRIBUTES, &failure)) {
        if (!stat_replaced(tree, node, out, out_valid_us)) {
            g_propagate_error(error, failure);
            return FALSE;
        }
        g_error_free(failure);
        return TRUE;
    }
    lock_acquire(&tree->lock);
    tree_core_fill_stat_locked(tree, node, out);
    *out_valid_us = tree_core_has_attributes(node) ? tree_core_get_valid_us(node, tree_core_now()) : 0;
    lock_release(&tree->lock);
    return TRUE;
}

gboolean
objects_take(Tree *tree, Node *node, Listing *listing, const char *name, TreeEntry *out)
{
    Node *child = NULL;
    gint64 ignored;
    lock_acquire(&tree->lock);
    TreeReady ready =
        objects_known_locked(tree, node, name, LOOK_ATTRIBUTES, FALSE, tree_core_now(), &child, &ignored);
    if (ready == TREE_ANSWERED)
        tree_core_fill_entry_locked(tree, child, out);
    lock_release(&tree->lock);
    return ready == TREE_ANSWERED;
}
