/* The details of objects (whole ObjectInfos): where they are known, and asking for them. An open file has its
 * own; the others are in tree->details, see detail_cache.h.
 */
#include "src/tree/objects.h"

/* How often they are asked for again when others came between and took their room. */
#define MAXIMUM_ATTEMPTS 4u

/* Where a name was gone meanwhile, or a change of it is in doubt, the ETag alone does not tell that it is the
 * same object still; that its attributes are known does. */
const ObjectInfo *
objects_get_kept_locked(Tree *tree, Node *directory, const char *name, const EntryFacts *facts)
{
    if (storage_get_settings(node_get_storage(directory))->exact_attributes && !(facts->flags & FACT_EXACT))
        return NULL;
    const ObjectInfo *info = detail_cache_get(&tree->details, directory, name, &facts->tag);
    return info != NULL && info->metadata != NULL ? info : NULL;
}

/* It was opened without its metadata, which came by another way: it must know it before it is changed. */
static void
teach_file(Tree *tree, Node *node, const ObjectInfo *info)
{
    AttributeDefaults defaults;
    FileAttributes attributes;
    if (node->kind != NODE_FILE || node->file == NULL)
        return;
    tree_core_get_defaults(tree, &defaults);
    attributes_decode(info, &defaults, &attributes);
    object_file_learn(node->file, info, &attributes);
}

gboolean
objects_get_details_locked(Tree *tree, Node *node, ObjectInfo *out)
{
    if (node->kind == NODE_FILE && node->file != NULL) {
        object_file_get_info(node->file, out);
        if (out->metadata != NULL)
            return TRUE;
        object_info_clear(out);
    }
    const ObjectInfo *info = node->flags & NODE_DETACHED
                                 ? NULL
                                 : objects_get_kept_locked(tree, node->parent, node->name, &node->facts);
    if (info == NULL)
        return FALSE;
    teach_file(tree, node, info);
    object_info_copy(out, info);
    return TRUE;
}

static gboolean
has_no_object(const Node *node)
{
    return node->kind == NODE_FOLDER && !(node->facts.flags & FACT_MARKER);
}

gboolean
objects_fetch_details(Tree *tree, Call *call, Node *node, ObjectInfo *out, GError **error)
{
    gboolean known = FALSE;
    for (guint attempt = 0; !known && attempt < MAXIMUM_ATTEMPTS; attempt++) {
        if (!objects_look_node(tree, call, node, LOOK_DETAILS, error))
            return FALSE;
        lock_acquire(&tree->lock);
        known = objects_get_details_locked(tree, node, out) || has_no_object(node) ||
                !version_tag_is_set(&node->facts.tag);
        lock_release(&tree->lock);
    }
    return TRUE;
}
