/* rename(2) inside one object service: a copy on the server, then the source is deleted; an object that is
 * not stored yet only takes another key. The Node moves with its handles.
 */
#include "src/tree/objects.h"

#include "src/base/log.h"

#include <stdio.h>
#include <string.h>

#define MAXIMUM_ATTEMPTS 8u

/* What one rename works on. */
typedef struct {
    Tree *tree;
    Call *call;
    Node *node, *target; /* target NULL: the new name is free */
    Node *parent, *new_parent;
    const char *name, *new_name;
    unsigned flags;
    NodePlace from, to;
} Rename;

static gboolean
check_parents(Rename *rename, GError **error)
{
    Node *to = rename->new_parent;
    if (!tree_core_check_writable(rename->tree, rename->parent, error))
        return FALSE;
    if (rename->flags & ~(unsigned)RENAME_NOREPLACE) {
        g_set_error(error, STORAGEFS_ERROR, ERROR_BAD_ARGUMENT, "object services cannot exchange names");
        return FALSE;
    }
    if (to->kind < NODE_CONTAINER || node_get_storage(to) != node_get_storage(rename->parent)) {
        g_set_error(error, STORAGEFS_ERROR, ERROR_OTHER_STORAGE, "%s: a rename stays inside its storage",
                    rename->name);
        return FALSE;
    }
    return TRUE;
}

static gboolean
init_places(Rename *rename, GError **error)
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
check_target(Rename *rename, GError **error)
{
    gboolean from_folder = rename->node->kind == NODE_FOLDER;
    if (from_folder && node_is_below(rename->new_parent, rename->node)) {
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

static ObjectFile *
ref_file(Tree *tree, Node *node)
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
detach_target(Rename *rename)
{
    g_autoptr(ObjectFile) file = ref_file(rename->tree, rename->target);
    g_autoptr(GError) error = NULL;
    FileAttributes attributes = {0};
    if (file != NULL)
        object_file_get_attributes(file, &attributes);
    if (file != NULL && object_file_get_handle_count(file) > 0 &&
        attributes.size_bytes <= OBJECTS_DETACH_MAX_BYTES && !object_file_detach(file, rename->call, &error))
        log_warning("%s: open while replaced: %s", rename->new_name, error->message);
}

/* The version the copy must be of. On CHANGED the name is looked at again, once. */
static gboolean
copy_version(Rename *rename, const char *etag, guint64 size_bytes, ObjectInfo *out_info, GError **error)
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

static gboolean
copy_closed(Rename *rename, ObjectInfo *out_info, char **out_etag, GError **error)
{
    Node *node = rename->node;
    for (guint attempt = 0;; attempt++) {
        g_autoptr(GError) failure = NULL;
        lock_acquire(&rename->tree->lock);
        g_autofree char *etag = version_tag_dup(&node->facts.tag);
        guint64 size_bytes = node->facts.size_bytes;
        lock_release(&rename->tree->lock);
        if (copy_version(rename, etag, size_bytes, out_info, &failure)) {
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

static gboolean
delete_source(Rename *rename, const char *etag, GError **error)
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

/* The stored object is at its new key; what the service did not repeat is as it was. */
static void
take_moved_locked(Tree *tree, Rename *rename, const ObjectInfo *stored) REQUIRES(tree->lock)
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
    if (!known)
        return;
    g_free(details.key);
    g_free(details.etag);
    details.key = g_strdup(rename->to.key);
    details.etag = g_strdup(stored->etag);
    detail_cache_put(&tree->details, node, &details);
}

/* The tree's side: the target's Node goes, ours takes its place. */
static void
move_node_locked(Tree *tree, Rename *rename) REQUIRES(tree->lock)
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
move_unpublished(Rename *rename, ObjectFile *file, gboolean *out_moved, GError **error)
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

/* Once: of what the storage has of it now. CHANGED: it was published meanwhile. */
static gboolean
move_open_once(Rename *rename, ObjectFile *file, GError **error)
{
    gboolean moved = FALSE;
    g_auto(ObjectInfo) info = {0}, stored = {0};
    if (!move_unpublished(rename, file, &moved, error))
        return FALSE;
    if (moved)
        return TRUE;
    object_file_get_info(file, &info);
    if (!copy_version(rename, info.etag, info.size_bytes, &stored, error))
        return FALSE;
    /* From here on what has the new name is our own copy. */
    rename->flags &= ~(unsigned)RENAME_NOREPLACE;
    g_autofree char *old_etag = g_strdup(info.etag);
    take_copied(&info, &stored, rename->to.key);
    if (!object_file_move(file, rename->call, rename->to.container, rename->to.key, old_etag, &info, error) ||
        !delete_source(rename, old_etag, error))
        return FALSE;
    lock_acquire(&rename->tree->lock);
    take_moved_locked(rename->tree, rename, &stored);
    lock_release(&rename->tree->lock);
    return TRUE;
}

/* Whoever writes it may publish it between the copy and the move: then it is that version that moves. */
static gboolean
move_open(Rename *rename, ObjectFile *file, GError **error)
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
move_closed(Rename *rename, ObjectInfo *out_stored, char **out_etag, GError **error)
{
    g_autoptr(LoanCall) loans = objects_call_in_loans(rename->tree, rename->call, &rename->from, error);
    return loans != NULL && copy_closed(rename, out_stored, out_etag, error) &&
           delete_source(rename, *out_etag, error);
}

/* Opened by its old name while the closed object was moved: its handles go with it, and what they have
 * published under the old name. */
static gboolean
move_opened(Rename *rename, ObjectFile *file, const ObjectInfo *stored, const char *etag, GError **error)
{
    g_auto(ObjectInfo) info = {0};
    g_autoptr(GError) failure = NULL;
    object_file_get_info(file, &info);
    take_copied(&info, stored, rename->to.key);
    if (object_file_move(file, rename->call, rename->to.container, rename->to.key, etag, &info, &failure))
        return TRUE;
    if (error_is(failure, ERROR_CHANGED))
        return move_open(rename, file, error);
    g_propagate_error(error, g_steal_pointer(&failure));
    return FALSE;
}

/* What waits in the journal and is not stored, or whatever else is open. */
static gboolean
move_with_file(Rename *rename, ObjectFile *file, GError **error)
{
    gboolean moved = FALSE;
    g_autofree char *stray = NULL;
    if (!objects_journal_move(rename->tree, rename->call, file, rename->target, &rename->to, &moved, &stray,
                              error))
        return FALSE;
    if (!moved)
        return move_open(rename, file, error);
    return stray == NULL || delete_source(rename, stray, error);
}

static gboolean
rename_file(Rename *rename, GError **error)
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
    g_autoptr(ObjectFile) file = ref_file(rename->tree, rename->node);
    if (!(file != NULL ? move_with_file(rename, file, error) : move_closed(rename, &stored, &etag, error)))
        return FALSE;
    g_autoptr(ObjectFile) replaced = ref_file(rename->tree, rename->target);
    g_autoptr(ObjectFile) opened = NULL;
    lock_acquire(&rename->tree->lock);
    if (file == NULL) {
        take_moved_locked(rename->tree, rename, &stored);
        opened = rename->node->file != NULL ? object_file_ref(rename->node->file) : NULL;
    }
    move_node_locked(rename->tree, rename);
    lock_release(&rename->tree->lock);
    if (replaced != NULL) {
        object_file_drop(replaced);
        objects_settle(rename->tree, rename->call, rename->target);
    }
    return opened == NULL || move_opened(rename, opened, &stored, etag, error);
}

/* Open Nodes at or below the folder, a reference each. */
static GPtrArray *
list_open_locked(Rename *rename) REQUIRES(rename->tree->lock)
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
list_open(Rename *rename)
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
settle_open(Rename *rename, GPtrArray *nodes, GError **error)
{
    for (guint i = 0; i < nodes->len; i++) {
        Node *node = g_ptr_array_index(nodes, i);
        g_autoptr(ObjectFile) file = ref_file(rename->tree, node);
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
list_etags(Rename *rename, GPtrArray *nodes)
{
    GPtrArray *etags = g_ptr_array_new_with_free_func(g_free);
    for (guint i = 0; i < nodes->len; i++) {
        g_autoptr(ObjectFile) file = ref_file(rename->tree, g_ptr_array_index(nodes, i));
        g_auto(ObjectInfo) info = {0};
        if (file != NULL)
            object_file_get_info(file, &info);
        g_ptr_array_add(etags, g_strdup(info.etag));
    }
    return etags;
}

/* Where a file below a renamed directory was and is; *out_here FALSE: it was renamed once more. */
static gboolean
find_places_below(const Rename *rename, Rename *one, gboolean *out_here, GError **error)
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
is_at_old_key(Rename *one)
{
    g_auto(ObjectInfo) old = {0};
    return storage_stat_object(one->from.storage, one->call, one->from.container, one->from.key, &old, NULL);
}

/* The Node is there already. What was published at the old key since it was copied is moved by itself; what
 * is new and not published takes the new key. */
static gboolean
move_below(Rename *one, ObjectFile *file, const char *copied_etag, GError **error)
{
    g_auto(ObjectInfo) info = {0};
    g_autoptr(GError) failure = NULL;
    if (storage_stat_object(one->to.storage, one->call, one->to.container, one->to.key, &info, &failure) &&
        object_file_move(file, one->call, one->to.container, one->to.key, copied_etag, &info, &failure))
        return TRUE;
    if (error_is(failure, ERROR_CHANGED) || error_is(failure, ERROR_NOT_FOUND))
        return move_open(one, file, error);
    g_propagate_error(error, g_steal_pointer(&failure));
    return FALSE;
}

static void
move_one_below(Rename *rename, Node *node, gboolean was_open, const char *copied_etag)
{
    Rename one = {.tree = rename->tree, .call = rename->call, .node = node};
    g_autoptr(ObjectFile) file = ref_file(rename->tree, node);
    g_auto(ObjectInfo) info = {0};
    g_autoptr(GError) error = NULL;
    gboolean here = FALSE;
    if (file == NULL || get_flags(rename->tree, node) & NODE_DETACHED)
        return;
    object_file_get_info(file, &info);
    gboolean ok = find_places_below(rename, &one, &here, &error);
    if (here && !was_open && is_at_old_key(&one))
        ok = move_open(&one, file, &error);
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
move_open_below(Rename *rename, GPtrArray *nodes, GPtrArray *etags, GPtrArray *now)
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
    Node *folder;
} Below;

/* Copies have other times, and other ETags where they were made in parts. */
static void
forget_known(gpointer data, Node *node)
{
    if (!node_is_below(node, ((Below *)data)->folder))
        return;
    node->facts.known_at_us = 0;
    if (node_is_directory(node))
        listing_chain_expire(node->folder->listings);
}

static gboolean
move_bare_mark(Rename *rename, GError **error)
{
    g_auto(ObjectInfo) stored = {0};
    lock_acquire(&rename->tree->lock);
    gboolean is_bare = (rename->node->facts.flags & FACT_BARE_MARK) != 0;
    lock_release(&rename->tree->lock);
    if (!is_bare)
        return TRUE;
    return copy_version(rename, NULL, 0, &stored, error) && delete_source(rename, NULL, error);
}

static gboolean
move_folder(Rename *rename, GPtrArray *open, GError **error)
{
    if (!settle_open(rename, open, error))
        return FALSE;
    g_autoptr(GPtrArray) etags = list_etags(rename, open);
    if (!objects_keep_folder(rename->tree, rename->call, rename->parent, rename->from.prefix, error) ||
        !objects_move_prefix(rename->tree, rename->call, &rename->from, &rename->to, error) ||
        !move_bare_mark(rename, error))
        return FALSE;
    Below below = {rename->node};
    lock_acquire(&rename->tree->lock);
    g_autoptr(GPtrArray) now = list_open_locked(rename);
    move_node_locked(rename->tree, rename);
    node_table_foreach(&rename->tree->table, forget_known, &below);
    rename->node->facts.known_at_us = tree_core_now();
    lock_release(&rename->tree->lock);
    move_open_below(rename, open, etags, now);
    return TRUE;
}

static gboolean
rename_folder(Rename *rename, GError **error)
{
    g_autoptr(GPtrArray) open = list_open(rename);
    gboolean ok = move_folder(rename, open, error);
    for (guint i = 0; i < open->len; i++)
        tree_node_unref(rename->tree, g_ptr_array_index(open, i));
    return ok;
}

static gboolean
run(Rename *rename, GError **error)
{
    if (rename->target == rename->node)
        return TRUE;
    if (!init_places(rename, error) || !check_target(rename, error))
        return FALSE;
    return rename->node->kind == NODE_FOLDER ? rename_folder(rename, error) : rename_file(rename, error);
}

gboolean
objects_rename(Tree *tree, Call *call, Node *parent, const char *name, Node *new_parent, const char *new_name,
               unsigned flags, GError **error)
{
    /* As many requests as there are objects, or parts of them: each has the storage's time. */
    g_autoptr(Call) long_call = call_new_without_deadline(call);
    Rename rename = {.tree = tree,
                     .call = long_call,
                     .parent = parent,
                     .name = name,
                     .new_parent = new_parent,
                     .new_name = new_name,
                     .flags = flags};
    if (!check_parents(&rename, error) || !objects_find(tree, long_call, parent, name, &rename.node, error))
        return FALSE;
    gboolean ok = objects_look(tree, long_call, new_parent, new_name, LOOK_KIND, &rename.target, error) &&
                  run(&rename, error);
    node_place_clear(&rename.from);
    node_place_clear(&rename.to);
    tree_node_unref(tree, rename.node);
    if (rename.target != NULL)
        tree_node_unref(tree, rename.target);
    tree_core_flush(tree);
    return ok;
}
