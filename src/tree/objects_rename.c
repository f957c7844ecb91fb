/* rename(2) inside one object service: a copy on the server, then the source is deleted; an object that is
 * not stored yet only takes another key. The Node moves with its handles.
 */
#include "src/tree/objects_rename.h"

#include "src/base/log.h"

#include <stdio.h>
#include <string.h>

#define MAXIMUM_ATTEMPTS 8u

static gboolean
check_parents(ObjectsRename *rename, GError **error)
{
    Node *to = rename->new_parent;
    if (!tree_core_check_writable(rename->tree, rename->parent, error))
        return FALSE;
    if (rename->flags & ~(unsigned)RENAME_NOREPLACE) {
        g_set_error(error, STORAGEFS_ERROR, ERROR_BAD_ARGUMENT, "object services cannot exchange names");
        return FALSE;
    }
    if (to->kind < NODE_CONTAINER || !tree_core_same_storage(rename->tree, to, rename->parent)) {
        g_set_error(error, STORAGEFS_ERROR, ERROR_OTHER_STORAGE, "%s: a rename stays inside its storage",
                    rename->name);
        return FALSE;
    }
    return TRUE;
}

static gboolean
init_places(ObjectsRename *rename, GError **error)
{
    lock_acquire(&rename->tree->lock);
    gboolean ok = node_place_init(&rename->from, rename->parent, rename->name, error) &&
                  node_place_init(&rename->to, rename->new_parent, rename->new_name, error);
    lock_release(&rename->tree->lock);
    if (!ok)
        return FALSE;
    gboolean is_folder = rename->node->kind == NODE_FOLDER;
    const char *key = is_folder ? rename->to.prefix : rename->to.key;
    if (key == NULL || rename->to.beside) {
        g_set_error(error, STORAGEFS_ERROR, ERROR_BAD_NAME, "%s cannot be named \"%s\"", rename->name,
                    rename->new_name);
        return FALSE;
    }
    return storage_check_key(rename->to.storage, key, error);
}

static gboolean
check_target(ObjectsRename *rename, GError **error)
{
    gboolean from_folder = rename->node->kind == NODE_FOLDER;
    lock_acquire(&rename->tree->lock);
    gboolean into_itself = from_folder && node_is_below(rename->new_parent, rename->node);
    lock_release(&rename->tree->lock);
    if (into_itself) {
        g_set_error(error, STORAGEFS_ERROR, ERROR_BAD_ARGUMENT, "%s cannot be moved into itself",
                    rename->name);
        return FALSE;
    }
    if (rename->target == NULL)
        return TRUE;
    gboolean to_folder = node_is_directory(rename->target);
    ErrorCode code;
    if (rename->flags & RENAME_NOREPLACE)
        code = ERROR_EXISTS;
    else if (from_folder && !to_folder)
        code = ERROR_NOT_FOLDER;
    else if (!from_folder && to_folder)
        code = ERROR_IS_FOLDER;
    else
        return !to_folder || objects_check_empty(rename->tree, rename->call, rename->target, error);
    g_set_error(error, STORAGEFS_ERROR, code, "%s cannot replace %s", rename->name, rename->new_name);
    return FALSE;
}

ObjectFile *
objects_rename_ref_file(Tree *tree, Node *node)
{
    lock_acquire(&tree->lock);
    gboolean open = node != NULL && node->kind == NODE_FILE && node->file != NULL;
    ObjectFile *file = open ? object_file_ref(node->file) : NULL;
    lock_release(&tree->lock);
    return file;
}

/* Handles on the file that is replaced go on with what is fetched now; later reads fail when that is too
 * much. */
static void
detach_target(ObjectsRename *rename)
{
    g_autoptr(ObjectFile) file = objects_rename_ref_file(rename->tree, rename->target);
    g_autoptr(GError) error = NULL;
    FileAttributes attributes = {0};
    if (file != NULL)
        object_file_get_attributes(file, &attributes);
    if (file != NULL && object_file_get_handle_count(file) > 0 &&
        attributes.size_bytes <= OBJECTS_DETACH_MAX_BYTES && !object_file_detach(file, rename->call, &error))
        log_warning("%s: open while replaced: %s", rename->new_name, error->message);
}

gboolean
objects_rename_copy_version(ObjectsRename *rename, const char *etag, guint64 size_bytes, ObjectInfo *out_info,
                            GError **error)
{
    CopySource source = {rename->from.container, rename->from.key, etag};
    g_auto(ObjectInfo) details = {0};
    WriteOptions options = {.if_absent = TRUE};
    gboolean exclusive = rename->flags & RENAME_NOREPLACE &&
                         objects_look_node(rename->tree, rename->call, rename->node, LOOK_DETAILS, NULL);
    if (exclusive) {
        lock_acquire(&rename->tree->lock);
        exclusive = objects_get_details_locked(rename->tree, rename->node, &details);
        lock_release(&rename->tree->lock);
        options.content_type = details.content_type;
        options.metadata = details.metadata;
    }
    return storage_copy_object(rename->from.storage, rename->call, &source, size_bytes, rename->to.container,
                               rename->to.key, exclusive ? &options : NULL, out_info, error);
}

/* On CHANGED the name is looked at again, once. */
static gboolean
copy_closed(ObjectsRename *rename, ObjectInfo *out_info, char **out_etag, GError **error)
{
    Node *node = rename->node;
    for (guint attempt = 0;; attempt++) {
        g_autoptr(GError) failure = NULL;
        lock_acquire(&rename->tree->lock);
        g_autofree char *etag = version_tag_dup(&node->facts.tag);
        guint64 size_bytes = node->facts.size_bytes;
        lock_release(&rename->tree->lock);
        if (objects_rename_copy_version(rename, etag, size_bytes, out_info, &failure)) {
            *out_etag = g_steal_pointer(&etag);
            return TRUE;
        }
        if (!error_is(failure, ERROR_CHANGED) || attempt > 0) {
            g_propagate_error(error, g_steal_pointer(&failure));
            return FALSE;
        }
        lock_acquire(&rename->tree->lock);
        node->facts.known_at_us = 0;
        listing_chain_expire(rename->parent->folder->listings);
        lock_release(&rename->tree->lock);
        if (!objects_look_node(rename->tree, rename->call, node, LOOK_ATTRIBUTES, error))
            return FALSE;
    }
}

gboolean
objects_rename_delete_source(ObjectsRename *rename, const char *etag, GError **error)
{
    Capabilities capabilities;
    storage_get_capabilities(rename->from.storage, &capabilities);
    gboolean atomic = capabilities.delete_if_etag == CONDITION_ATOMIC;
    g_autoptr(GError) failure = NULL;
    if (storage_delete_object(rename->from.storage, rename->call, rename->from.container, rename->from.key,
                              atomic ? etag : NULL, &failure) ||
        error_is(failure, ERROR_CHANGED))
        return TRUE;
    g_propagate_error(error, g_steal_pointer(&failure));
    return FALSE;
}

/* Not every service says which version a copy has made: whoever wants to know has to ask. */
static void
keep_moved_locked(Tree *tree, ObjectsRename *rename, const ObjectInfo *stored, ObjectInfo *details)
    REQUIRES(tree->lock)
{
    Node *node = rename->node;
    if (node->flags & NODE_DETACHED)
        return;
    if (details->version != NULL && stored->version == NULL) {
        detail_cache_drop(&tree->details, node->parent, node->name);
        return;
    }
    g_free(details->key);
    g_free(details->etag);
    g_free(details->version);
    details->key = g_strdup(rename->to.key);
    details->etag = g_strdup(stored->etag);
    details->version = g_strdup(stored->version);
    detail_cache_put(&tree->details, node->parent, node->name, details);
}

/* The stored object is at its new key; what the service did not repeat is as it was. */
static void
take_moved_locked(Tree *tree, ObjectsRename *rename, const ObjectInfo *stored) REQUIRES(tree->lock)
{
    Node *node = rename->node;
    g_auto(ObjectInfo) details = {0};
    gboolean known = objects_get_details_locked(tree, node, &details);
    if (stored->etag == NULL) {
        node->facts.known_at_us = 0;
        return;
    }
    version_tag_set(&node->facts.tag, stored->etag);
    node->facts.known_at_us = tree_core_now();
    if (!(node->facts.flags & FACT_EXACT) && stored->mtime_ns != 0)
        node->facts.mtime_ns = stored->mtime_ns;
    if (known)
        keep_moved_locked(tree, rename, stored, &details);
}

/* The tree's side: the target's Node goes, ours takes its place. */
void
objects_rename_move_node_locked(Tree *tree, ObjectsRename *rename)
{
    Node *target = tree_core_find_locked(tree, rename->new_parent, rename->new_name);
    if (target != NULL && target != rename->node) {
        tree_core_detach_locked(tree, target, NODE_UNLINKED);
    }
    listing_note_absent(rename->parent->folder->listings, rename->name);
    rename->parent->folder->changes++;
    if (!(rename->node->flags & NODE_DETACHED))
        tree_core_move_locked(tree, rename->node, rename->new_parent, rename->new_name);
    objects_appeared_locked(tree, rename->node);
    tree_core_confirm_locked(rename->parent, tree_core_now());
    tree_core_confirm_locked(rename->new_parent, tree_core_now());
}

/* New and not stored: it will be stored under its new key, or, where that would replace something, is stored
 * first. *out_moved: nothing is left to copy. */
static gboolean
move_unpublished(ObjectsRename *rename, ObjectFile *file, gboolean *out_moved, GError **error)
{
    g_auto(ObjectInfo) info = {0};
    object_file_get_info(file, &info);
    *out_moved = info.etag == NULL && rename->target == NULL;
    if (info.etag != NULL)
        return TRUE;
    if (rename->target != NULL)
        return object_file_publish(file, rename->call, error);
    return object_file_move(file, rename->call, rename->to.container, rename->to.key, NULL, NULL, error);
}

/* A copy has everything of its source but its key and, perhaps, its ETag. */
static void
take_copied(ObjectInfo *info, const ObjectInfo *stored, const char *key)
{
    g_free(info->key);
    info->key = g_strdup(key);
    g_free(info->etag);
    info->etag = g_strdup(stored->etag);
    g_free(info->version);
    info->version = g_strdup(stored->version);
    info->mtime_ns = stored->mtime_ns != 0 ? stored->mtime_ns : info->mtime_ns;
}

/* What waits at the new name is stored before it is replaced there: the record of it would be taken for newer
 * than what replaced it, should this process die in between. What cannot be stored ever is lost anyway. */
static gboolean
store_target(ObjectsRename *rename, GError **error)
{
    g_autoptr(ObjectFile) file = objects_rename_ref_file(rename->tree, rename->target);
    g_autoptr(GError) failure = NULL;
    if (file == NULL || !object_file_is_waiting(file) || object_file_publish(file, rename->call, &failure) ||
        error_is(failure, ERROR_CHANGED) || error_is(failure, ERROR_EXISTS))
        return TRUE;
    g_propagate_error(error, g_steal_pointer(&failure));
    return FALSE;
}

/* What is being written is in the journal as a whole before it is stored past it. */
static gboolean
store_source(ObjectsRename *rename, ObjectFile *file, GError **error)
{
    if (!object_file_is_waiting(file))
        return TRUE;
    if (!object_file_sync(file, rename->call, error) || !object_file_publish(file, rename->call, error))
        return FALSE;
    /* A removal of it was found to be done. */
    return !object_file_is_dropped(file) ||
           tree_core_fail(rename->tree, rename->node, ERROR_NOT_FOUND, "was removed", error);
}

/* Once: of what the storage has of it now. CHANGED: it was published meanwhile. */
static gboolean
move_open_once(ObjectsRename *rename, ObjectFile *file, GError **error)
{
    gboolean moved = FALSE;
    g_auto(ObjectInfo) info = {0}, stored = {0};
    if (!move_unpublished(rename, file, &moved, error))
        return FALSE;
    if (moved)
        return TRUE;
    /* A copy of what is stored would be an older state than the one that was promised, at either name, for
     * whoever mounts after a crash. */
    if (!store_source(rename, file, error) || !store_target(rename, error))
        return FALSE;
    object_file_get_info(file, &info);
    if (!objects_rename_copy_version(rename, info.etag, info.size_bytes, &stored, error))
        return FALSE;
    /* From here on what has the new name is our own copy. */
    rename->flags &= ~(unsigned)RENAME_NOREPLACE;
    g_autofree char *old_etag = g_strdup(info.etag);
    take_copied(&info, &stored, rename->to.key);
    if (!object_file_move(file, rename->call, rename->to.container, rename->to.key, old_etag, &info, error) ||
        !objects_rename_delete_source(rename, old_etag, error))
        return FALSE;
    lock_acquire(&rename->tree->lock);
    take_moved_locked(rename->tree, rename, &stored);
    lock_release(&rename->tree->lock);
    return TRUE;
}

/* Whoever writes it may publish it between the copy and the move: then it is that version that moves. */
gboolean
objects_rename_move_open(ObjectsRename *rename, ObjectFile *file, GError **error)
{
    for (guint attempt = 1;; attempt++) {
        g_autoptr(GError) failure = NULL;
        if (move_open_once(rename, file, &failure))
            return TRUE;
        if (!error_is(failure, ERROR_CHANGED) || attempt == MAXIMUM_ATTEMPTS) {
            g_propagate_error(error, g_steal_pointer(&failure));
            return FALSE;
        }
    }
}

/* out_stored: the copy; *out_etag: of what was copied. */
static gboolean
move_closed(ObjectsRename *rename, ObjectInfo *out_stored, char **out_etag, GError **error)
{
    g_autoptr(LoanCall) loans = objects_call_in_loans(rename->tree, rename->call, &rename->from, error);
    return loans != NULL && store_target(rename, error) && copy_closed(rename, out_stored, out_etag, error) &&
           objects_rename_delete_source(rename, *out_etag, error);
}

/* Opened by its old name while the closed object was moved: its handles go with it, and what they have
 * published under the old name. */
static gboolean
move_opened(ObjectsRename *rename, ObjectFile *file, const ObjectInfo *stored, const char *etag,
            GError **error)
{
    g_auto(ObjectInfo) info = {0};
    g_autoptr(GError) failure = NULL;
    object_file_get_info(file, &info);
    take_copied(&info, stored, rename->to.key);
    if (object_file_move(file, rename->call, rename->to.container, rename->to.key, etag, &info, &failure))
        return TRUE;
    if (error_is(failure, ERROR_CHANGED))
        return objects_rename_move_open(rename, file, error);
    g_propagate_error(error, g_steal_pointer(&failure));
    return FALSE;
}

/* What waits in the journal and is not stored, or whatever else is open. */
static gboolean
move_with_file(ObjectsRename *rename, ObjectFile *file, GError **error)
{
    gboolean moved = FALSE;
    return objects_journal_move(rename->tree, rename->call, file, rename->target, &rename->to, &moved,
                                error) &&
           (moved || objects_rename_move_open(rename, file, error));
}

static gboolean
rename_file(ObjectsRename *rename, GError **error)
{
    if (!objects_keep_folder(rename->tree, rename->call, rename->parent, rename->from.key, error) ||
        !objects_finish_lingering_name(rename->tree, rename->call, rename->new_parent, rename->new_name,
                                       error))
        return FALSE;
    g_autoptr(LoanCall) replaced_loans =
        objects_call_in_loans(rename->tree, rename->call, &rename->to, error);
    if (replaced_loans == NULL)
        return FALSE;
    detach_target(rename);
    g_auto(ObjectInfo) stored = {0};
    g_autofree char *etag = NULL;
    g_autoptr(ObjectFile) file = objects_rename_ref_file(rename->tree, rename->node);
    if (!(file != NULL ? move_with_file(rename, file, error) : move_closed(rename, &stored, &etag, error)))
        return FALSE;
    g_autoptr(ObjectFile) replaced = objects_rename_ref_file(rename->tree, rename->target);
    g_autoptr(ObjectFile) opened = NULL;
    lock_acquire(&rename->tree->lock);
    if (file == NULL) {
        take_moved_locked(rename->tree, rename, &stored);
        opened = rename->node->file != NULL ? object_file_ref(rename->node->file) : NULL;
    }
    objects_rename_move_node_locked(rename->tree, rename);
    lock_release(&rename->tree->lock);
    if (replaced != NULL) {
        object_file_drop(replaced);
        objects_settle(rename->tree, rename->call, rename->target);
    }
    return opened == NULL || move_opened(rename, opened, &stored, etag, error);
}

static gboolean
run(ObjectsRename *rename, GError **error)
{
    if (rename->target == rename->node)
        return TRUE;
    if (!init_places(rename, error) || !check_target(rename, error))
        return FALSE;
    return rename->node->kind == NODE_FOLDER ? objects_rename_folder(rename, error)
                                             : rename_file(rename, error);
}

static void
doubt_outcome(ObjectsRename *rename, const GError *failure)
{
    if (!error_leaves_doubt(failure))
        return;
    lock_acquire(&rename->tree->lock);
    objects_doubt_locked(rename->tree, rename->parent, rename->name, rename->node);
    objects_doubt_locked(rename->tree, rename->new_parent, rename->new_name, rename->target);
    lock_release(&rename->tree->lock);
}

/* What waits in the journal, and was never stored, needs no storage to get another name: it replaces what is
 * known to be there, or nothing. */
static gboolean
find_target(ObjectsRename *rename, GError **error)
{
    Tree *tree = rename->tree;
    g_auto(ObjectInfo) info = {0};
    gint64 ignored;
    g_autoptr(ObjectFile) file = objects_rename_ref_file(tree, rename->node);
    if (file != NULL)
        object_file_get_info(file, &info);
    if (file != NULL && info.etag == NULL && object_file_is_waiting(file))
        return objects_recall(tree, rename->call, rename->new_parent, rename->new_name, LOOK_KIND,
                              &rename->target, &ignored, error);
    return objects_look(tree, rename->call, rename->new_parent, rename->new_name, LOOK_KIND, &rename->target,
                        error);
}

gboolean
objects_rename(Tree *tree, Call *call, Node *parent, const char *name, Node *new_parent, const char *new_name,
               unsigned flags, GError **error)
{
    /* As many requests as there are objects, or parts of them: each has the storage's time. */
    g_autoptr(Call) long_call = call_new_without_deadline(call);
    ObjectsRename rename = {.tree = tree,
                            .call = long_call,
                            .parent = parent,
                            .name = name,
                            .new_parent = new_parent,
                            .new_name = new_name,
                            .flags = flags};
    if (!check_parents(&rename, error) || !objects_find(tree, long_call, parent, name, &rename.node, error))
        return FALSE;
    GError *failure = NULL;
    gboolean ok = find_target(&rename, &failure) && run(&rename, &failure);
    if (!ok) {
        doubt_outcome(&rename, failure);
        g_propagate_error(error, failure);
    }
    node_place_clear(&rename.from);
    node_place_clear(&rename.to);
    tree_node_unref(tree, rename.node);
    if (rename.target != NULL)
        tree_node_unref(tree, rename.target);
    tree_core_flush(tree);
    return ok;
}
