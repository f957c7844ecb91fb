/* Objects that wait in the journal (durability = journal): shown from the first moment of a mount, unlinked
 * and renamed without asking the storage for what it does not have yet.
 */
#include "src/tree/objects.h"

#include "src/base/log.h"
#include "src/tree/object_name.h"
#include "src/tree/root.h"

#include <string.h>

/* Directories on the way to an object are known by their names alone: they are asked for when need be. */
static Node *
get_directory_locked(Tree *tree, Node *parent, const char *name, NodeKind kind) REQUIRES(tree->lock)
{
    Node *node = tree_core_find_locked(tree, parent, name);
    AttributeDefaults defaults;
    if (node != NULL)
        return node->kind == kind ? node : NULL;
    node = tree_core_attach_locked(tree, parent, name, kind);
    tree_core_get_defaults(tree, &defaults);
    entry_facts_from_folder(&node->facts, &defaults, 0);
    node->facts.kind = (guint8)kind;
    if (kind == NODE_CONTAINER)
        node->facts.flags |= FACT_EXACT;
    node->facts.mtime_ns = g_get_real_time() * 1000;
    return node;
}

/* The directory of an object, and its name there. NULL: it cannot be shown. */
static Node *
find_directory_locked(Tree *tree, Storage *storage, const char *container, const char *key, char **out_name)
    REQUIRES(tree->lock)
{
    Node *at = root_get_storage_locked(tree, storage);
    at = get_directory_locked(tree, at, container, NODE_CONTAINER);
    if (!storage_get_settings(storage)->folders) {
        *out_name = object_name_from_key(key);
        return at;
    }
    g_auto(GStrv) parts = g_strsplit(key, "/", -1);
    guint last = g_strv_length(parts) - 1;
    for (guint i = 0; i < last && at != NULL; i++) {
        g_autofree char *name = object_name_from_part(parts[i], TRUE, FALSE);
        at = name != NULL ? get_directory_locked(tree, at, name, NODE_FOLDER) : NULL;
    }
    *out_name = object_name_from_part(parts[last], FALSE, FALSE);
    return at;
}

/* The name's Node that nobody has open, made if there is none; NULL: somebody has, or it is a directory. */
static Node *
take_name_locked(Tree *tree, Node *parent, const char *name, gboolean *out_open) REQUIRES(tree->lock)
{
    Node *node = tree_core_find_locked(tree, parent, name);
    if (node == NULL)
        return tree_core_attach_locked(tree, parent, name, NODE_FILE);
    *out_open = node->kind == NODE_FILE && node->file != NULL;
    return node->kind == NODE_FILE && node->file == NULL ? node : NULL;
}

/* A Node with a reference, or NULL. *out_open: because the name's file is open. */
static Node *
make_node(Tree *tree, Storage *storage, const JournalRecord *record, gboolean *out_open)
{
    g_autofree char *name = NULL;
    lock_acquire(&tree->lock);
    Node *parent = find_directory_locked(tree, storage, record->container, record->key, &name);
    Node *node = parent != NULL && name != NULL ? take_name_locked(tree, parent, name, out_open) : NULL;
    if (node != NULL) {
        tree_core_hold_locked(node);
        entry_facts_from_attributes(&node->facts, &record->attributes);
        node->facts.flags = FACT_EXACT;
        node->facts.known_at_us = tree_core_now();
        version_tag_set(&node->facts.tag, record->base.etag);
    } else if (parent != NULL) {
        tree_core_collect_locked(tree, parent);
    }
    lock_release(&tree->lock);
    return node;
}

/* What the storage has under that name is looked up. */
static void
forget_node(Tree *tree, Node *node)
{
    if (node == NULL)
        return;
    lock_acquire(&tree->lock);
    if (node->file == NULL && !(node->flags & NODE_DETACHED))
        tree_core_detach_locked(tree, node, NODE_UNLINKED);
    tree_core_drop_locked(tree, node);
    lock_release(&tree->lock);
}

/* The Node's reference is given up, unless somebody has opened it just now: then the file has no name here,
 * and the Node must outlive it. */
static void
bind(Tree *tree, Node *node, ObjectFile *file, const char *what)
{
    lock_acquire(&tree->lock);
    gboolean free = node->file == NULL && !(node->flags & NODE_DETACHED);
    if (free) {
        objects_bind_locked(tree, node, object_file_ref(file));
        tree_core_note_version_locked(node);
        tree_core_announce_entry_locked(tree, node->parent, node->name);
        objects_appeared_locked(tree, node);
        tree_core_drop_locked(tree, node);
    }
    lock_release(&tree->lock);
    if (!free)
        log_warning("%s: waits in the journal, and another file has its name", what);
}

/* Takes record. */
static void
restore(Tree *tree, Storage *storage, JournalRecord *record)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *what = g_strjoin("/", record->storage, record->container, record->key, NULL);
    gboolean is_open = FALSE;
    Node *node = make_node(tree, storage, record, &is_open);
    ObjectFileEvents events = {0};
    if (is_open) {
        object_store_add_stray(tree->store, record, "another file has its name, and is open");
        return;
    }
    if (node != NULL)
        objects_fill_events(tree, node, &events);
    else
        log_warning("%s: waits in the journal, and has no name here", what);
    objects_removal_overrule(tree, record);
    g_autoptr(ObjectFile) file = object_file_restore(tree->store, storage, record, &events, &error);
    if (file == NULL) {
        forget_node(tree, node);
        object_store_add_stray(tree->store, record, error->message);
        return;
    }
    log_info("%s: found in the journal", what);
    if (node != NULL)
        bind(tree, node, file, what);
}

void
objects_journal_restore(Tree *tree)
{
    JournalRecord *record;
    while ((record = object_store_take_record(tree->store)) != NULL) {
        g_autoptr(Storage) storage = storage_set_find(tree->set, record->storage);
        if (storage == NULL)
            object_store_add_stray(tree->store, record, "the configuration has no storage of this name");
        else if (strcmp(storage_get_place(storage), record->place) != 0)
            object_store_add_stray(tree->store, record, "the storage of this name is another place now");
        else
            restore(tree, storage, record);
    }
}

/* An unlinked Node, or one below it, has no place in the new tree. */
static gboolean
is_left_behind(Node *node, Storage *storage)
{
    const Node *root = node_get_storage_node(node);
    return root->flags & NODE_DETACHED && !(node->flags & NODE_DETACHED) &&
           strcmp(root->name, storage_get_name(storage)) == 0 &&
           strcmp(storage_get_place(root->folder->storage), storage_get_place(storage)) == 0 &&
           object_file_is_journalled(node->file);
}

static GPtrArray *
list_left_behind(Tree *tree, Storage *storage)
{
    GPtrArray *nodes = g_ptr_array_new();
    GHashTableIter iter;
    gpointer key;
    g_hash_table_iter_init(&iter, tree->open_nodes);
    while (g_hash_table_iter_next(&iter, &key, NULL))
        if (is_left_behind(key, storage))
            g_ptr_array_add(nodes, key);
    return nodes;
}

gboolean
objects_journal_is_left_behind(Tree *tree, Storage *storage)
{
    g_autoptr(GPtrArray) nodes = list_left_behind(tree, storage);
    return nodes->len > 0;
}

static void
adopt_locked(Tree *tree, Storage *storage, Node *node) REQUIRES(tree->lock)
{
    g_auto(NodePlace) place = {0};
    g_autofree char *name = NULL;
    if (!node_place_init(&place, node->parent, node->name, NULL) || place.key == NULL)
        return;
    Node *parent = find_directory_locked(tree, storage, place.container, place.key, &name);
    if (parent != NULL && name != NULL && tree_core_find_locked(tree, parent, name) == NULL)
        tree_core_move_locked(tree, node, parent, name);
    else if (parent != NULL)
        tree_core_collect_locked(tree, parent);
}

void
objects_journal_adopt_locked(Tree *tree, Storage *storage)
{
    g_autoptr(GPtrArray) nodes = list_left_behind(tree, storage);
    for (guint i = 0; i < nodes->len; i++)
        adopt_locked(tree, storage, nodes->pdata[i]);
}

void
objects_journal_rebind(Tree *tree)
{
    g_autoptr(GPtrArray) storages = storage_set_list(tree->set);
    for (guint i = 0; i < storages->len; i++) {
        object_store_rebind(tree->store, storages->pdata[i]);
        object_store_recall_strays(tree->store, storages->pdata[i]);
    }
    objects_journal_restore(tree);
}

void
objects_journal_forget(Tree *tree)
{
    g_autoptr(GPtrArray) files = g_ptr_array_new_with_free_func((GDestroyNotify)object_file_unref);
    GHashTableIter iter;
    gpointer key;
    lock_acquire(&tree->lock);
    g_hash_table_iter_init(&iter, tree->open_nodes);
    while (g_hash_table_iter_next(&iter, &key, NULL)) {
        Node *node = key;
        g_hash_table_iter_remove(&iter);
        g_ptr_array_add(files, g_steal_pointer(&node->file));
        tree_core_drop_locked(tree, node);
    }
    lock_release(&tree->lock);
}

gboolean
objects_journal_has_waiting(Tree *tree, const Node *directory)
{
    GHashTableIter iter;
    gpointer key;
    g_hash_table_iter_init(&iter, tree->open_nodes);
    while (g_hash_table_iter_next(&iter, &key, NULL)) {
        Node *node = key;
        if (!(node->flags & NODE_DETACHED) && node_is_below(node, directory) &&
            object_file_is_waiting(node->file))
            return TRUE;
    }
    return FALSE;
}

/* What the new name's object is, as far as it is stored, and what may be stored there yet (NULL: nothing).
 * FALSE: it is there, but nobody knows which. */
static gboolean
find_replaced(Tree *tree, Node *target, ObjectInfo *out, GPtrArray **out_prospects)
{
    lock_acquire(&tree->lock);
    g_autoptr(ObjectFile) file =
        target->kind == NODE_FILE && target->file != NULL ? object_file_ref(target->file) : NULL;
    if (file == NULL) {
        out->etag = version_tag_dup(&target->facts.tag);
        out->size_bytes = target->facts.size_bytes;
    }
    lock_release(&tree->lock);
    if (file == NULL)
        return out->etag != NULL;
    *out_prospects = object_file_list_prospects(file, out);
    return TRUE;
}

gboolean
objects_journal_move(Tree *tree, Call *call, ObjectFile *file, Node *target, const NodePlace *to,
                     gboolean *out_moved, GError **error)
{
    g_auto(ObjectInfo) own = {0}, replaced = {0};
    g_autoptr(GPtrArray) prospects = NULL;
    g_autoptr(GError) failure = NULL;
    *out_moved = FALSE;
    object_file_get_info(file, &own);
    if (own.etag != NULL || !storage_get_settings(to->storage)->journal || !object_file_is_waiting(file))
        return TRUE;
    if (target != NULL && !find_replaced(tree, target, &replaced, &prospects))
        return TRUE;
    *out_moved = object_file_take_place(file, call, to->container, to->key,
                                        replaced.etag != NULL ? &replaced : NULL, prospects, &failure);
    /* Stored just now: it is renamed like everything that is. */
    if (*out_moved || error_is(failure, ERROR_CHANGED))
        return TRUE;
    g_propagate_error(error, g_steal_pointer(&failure));
    return FALSE;
}
