/* The rename of a folder: what is open below it is published, its objects are copied and deleted by
 * objects_move.c, the Nodes take their new place, and what was opened or published meanwhile follows.
 */
#include "src/tree/objects_rename.h"

#include "src/base/log.h"

#include <string.h>

/* Open Nodes at or below the folder, a reference each. */
static GPtrArray *
list_open_locked(ObjectsRename *rename) REQUIRES(rename->tree->lock)
{
    GPtrArray *nodes = g_ptr_array_new();
    GHashTableIter iter;
    gpointer node;
    g_hash_table_iter_init(&iter, rename->tree->open_nodes);
    while (g_hash_table_iter_next(&iter, &node, NULL))
        if (node_is_below(node, rename->node))
            g_ptr_array_add(nodes, tree_core_hold_locked(node));
    return nodes;
}

static GPtrArray *
list_open(ObjectsRename *rename)
{
    lock_acquire(&rename->tree->lock);
    GPtrArray *nodes = list_open_locked(rename);
    lock_release(&rename->tree->lock);
    return nodes;
}

static guint16
get_flags(Tree *tree, Node *node)
{
    lock_acquire(&tree->lock);
    guint16 flags = node->flags;
    lock_release(&tree->lock);
    return flags;
}

/* Nothing below may be half stored while its keys change. */
static gboolean
settle_open(ObjectsRename *rename, GPtrArray *nodes, GError **error)
{
    for (guint i = 0; i < nodes->len; i++) {
        Node *node = g_ptr_array_index(nodes, i);
        g_autoptr(ObjectFile) file = objects_rename_ref_file(rename->tree, node);
        guint16 flags = get_flags(rename->tree, node);
        gboolean ok = TRUE;
        if (flags & NODE_UNLINKED)
            ok = objects_finish_lingering_node(rename->tree, rename->call, node, error);
        else if (file != NULL && !(flags & NODE_DETACHED))
            ok = object_file_publish(file, rename->call, error);
        if (!ok)
            return FALSE;
    }
    return TRUE;
}

/* The versions that are copied, in the order of `nodes`. */
static GPtrArray *
list_etags(ObjectsRename *rename, GPtrArray *nodes)
{
    GPtrArray *etags = g_ptr_array_new_with_free_func(g_free);
    for (guint i = 0; i < nodes->len; i++) {
        g_autoptr(ObjectFile) file = objects_rename_ref_file(rename->tree, g_ptr_array_index(nodes, i));
        g_auto(ObjectInfo) info = {0};
        if (file != NULL)
            object_file_get_info(file, &info);
        g_ptr_array_add(etags, g_strdup(info.etag));
    }
    return etags;
}

/* Where a file below a renamed directory was and is; *out_here FALSE: it was renamed once more. */
static gboolean
find_places_below(const ObjectsRename *rename, ObjectsRename *one, gboolean *out_here, GError **error)
{
    lock_acquire(&rename->tree->lock);
    gboolean ok = node_place_init(&one->to, one->node->parent, one->node->name, error);
    lock_release(&rename->tree->lock);
    *out_here = ok && one->to.key != NULL && g_str_has_prefix(one->to.key, rename->to.prefix);
    if (!*out_here)
        return ok;
    const char *rest = one->to.key + strlen(rename->to.prefix);
    one->from = (NodePlace){.storage = storage_ref(rename->from.storage),
                            .container = g_strdup(rename->from.container),
                            .key = g_strconcat(rename->from.prefix, rest, NULL)};
    return TRUE;
}

/* Of a file that was opened while its directory was moved. */
static gboolean
is_at_old_key(ObjectsRename *one)
{
    g_auto(ObjectInfo) old = {0};
    return storage_stat_object(one->from.storage, one->call, one->from.container, one->from.key, &old, NULL);
}

/* The Node is there already. What was published at the old key since it was copied is moved by itself; what
 * is new and not published takes the new key. */
static gboolean
move_below(ObjectsRename *one, ObjectFile *file, const char *copied_etag, GError **error)
{
    g_auto(ObjectInfo) info = {0};
    g_autoptr(GError) failure = NULL;
    if (storage_stat_object(one->to.storage, one->call, one->to.container, one->to.key, &info, &failure) &&
        object_file_move(file, one->call, one->to.container, one->to.key, copied_etag, &info, &failure))
        return TRUE;
    if (error_is(failure, ERROR_CHANGED) || error_is(failure, ERROR_NOT_FOUND))
        return objects_rename_move_open(one, file, error);
    g_propagate_error(error, g_steal_pointer(&failure));
    return FALSE;
}

static void
move_one_below(ObjectsRename *rename, Node *node, gboolean was_open, const char *copied_etag)
{
    ObjectsRename one = {.tree = rename->tree, .call = rename->call, .node = node};
    g_autoptr(ObjectFile) file = objects_rename_ref_file(rename->tree, node);
    g_auto(ObjectInfo) info = {0};
    g_autoptr(GError) error = NULL;
    gboolean here = FALSE;
    if (file == NULL || get_flags(rename->tree, node) & NODE_DETACHED)
        return;
    object_file_get_info(file, &info);
    gboolean ok = find_places_below(rename, &one, &here, &error);
    if (here && !was_open && is_at_old_key(&one))
        ok = objects_rename_move_open(&one, file, &error);
    else if (here)
        ok = move_below(&one, file, was_open ? copied_etag : info.etag, &error);
    if (!ok) {
        g_autofree char *path = tree_describe(rename->tree, node);
        log_warning("%s: open while its directory was renamed: %s", path, error->message);
    }
    node_place_clear(&one.from);
    node_place_clear(&one.to);
}

/* now: what was open when the names moved, some of it not when the copying began. Gives its references back.
 */
static void
move_open_below(ObjectsRename *rename, GPtrArray *nodes, GPtrArray *etags, GPtrArray *now)
{
    for (guint i = 0; i < nodes->len; i++)
        move_one_below(rename, g_ptr_array_index(nodes, i), TRUE, g_ptr_array_index(etags, i));
    for (guint i = 0; i < now->len; i++) {
        Node *node = g_ptr_array_index(now, i);
        if (!g_ptr_array_find(nodes, node, NULL))
            move_one_below(rename, node, FALSE, NULL);
        tree_node_unref(rename->tree, node);
    }
}

typedef struct {
    Tree *tree;
    Node *folder;
} Below;

/* Copies have other times and versions, and other ETags where they were made in parts. */
static void
forget_known(gpointer data, Node *node)
{
    Below *below = data;
    if (!node_is_below(node, below->folder))
        return;
    node->facts.known_at_us = 0;
    if (!node_is_directory(node))
        return;
    listing_chain_expire(node->folder->listings);
    detail_cache_drop_all(&below->tree->details, node);
}

static gboolean
move_bare_mark(ObjectsRename *rename, GError **error)
{
    g_auto(ObjectInfo) stored = {0};
    lock_acquire(&rename->tree->lock);
    gboolean is_bare = (rename->node->facts.flags & FACT_BARE_MARK) != 0;
    lock_release(&rename->tree->lock);
    if (!is_bare)
        return TRUE;
    return objects_rename_copy_version(rename, NULL, 0, &stored, error) &&
           objects_rename_delete_source(rename, NULL, error);
}

static gboolean
move_folder(ObjectsRename *rename, GPtrArray *open, GError **error)
{
    if (!settle_open(rename, open, error) ||
        !objects_finish_lingering_name(rename->tree, rename->call, rename->new_parent, rename->new_name,
                                       error) ||
        !objects_removal_finish_prefix(rename->tree, rename->call, &rename->from, error) ||
        !objects_removal_finish_prefix(rename->tree, rename->call, &rename->to, error))
        return FALSE;
    g_autoptr(GPtrArray) etags = list_etags(rename, open);
    if (!objects_keep_folder(rename->tree, rename->call, rename->parent, rename->from.prefix, error) ||
        !objects_move_prefix(rename->tree, rename->call, &rename->from, &rename->to, error) ||
        !move_bare_mark(rename, error))
        return FALSE;
    Below below = {rename->tree, rename->node};
    lock_acquire(&rename->tree->lock);
    g_autoptr(GPtrArray) now = list_open_locked(rename);
    objects_rename_move_node_locked(rename->tree, rename);
    node_table_foreach(&rename->tree->table, forget_known, &below);
    rename->node->facts.known_at_us = tree_core_now();
    lock_release(&rename->tree->lock);
    move_open_below(rename, open, etags, now);
    return TRUE;
}

gboolean
objects_rename_folder(ObjectsRename *rename, GError **error)
{
    g_autoptr(GPtrArray) open = list_open(rename);
    gboolean ok = move_folder(rename, open, error);
    for (guint i = 0; i < open->len; i++)
        tree_node_unref(rename->tree, g_ptr_array_index(open, i));
    return ok;
}
