/* Removing names, and symbolic links. A name that is unlinked while open lingers: hidden at once, its object
 * deleted at the last close, or before a new file takes the name.
 */
#include "src/tree/objects.h"

#include "src/base/log.h"

#include <limits.h>
#include <string.h>

#define MAXIMUM_ATTEMPTS 4u

/* Another one may linger by this name still, when ours was made or moved here just then: its object was
 * replaced by ours. *out_earlier: its record, or NULL. Nobody deletes the object before note_removal() is
 * done. */
static void
linger_locked(Tree *tree, Node *node, JournalRecord **out_earlier) REQUIRES(tree->lock)
{
    Node *parent = node->parent;
    node->flags |= NODE_DELETING;
    if (parent->folder->lingering == NULL)
        parent->folder->lingering = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    Node *earlier = g_hash_table_lookup(parent->folder->lingering, node->name);
    g_hash_table_insert(parent->folder->lingering, g_strdup(node->name), tree_core_hold_locked(node));
    if (earlier == NULL)
        return;
    *out_earlier = objects_removal_take_locked(tree, earlier);
    tree_core_drop_locked(tree, earlier);
}

/* What a look found out holds for a moment only: a DELETE that is repeated must not meet what others have put
 * there meanwhile. */
#define FIRST_LOOK_HOLDS_US (2 * (gint64)G_USEC_PER_SEC)

static gboolean
look_for_version(Call *call, const NodePlace *place, const char *etag, gboolean *out_there, GError **error)
{
    g_auto(ObjectInfo) info = {0};
    g_autoptr(GError) failure = NULL;
    *out_there = FALSE;
    if (storage_stat_object(place->storage, call, place->container, place->key, &info, &failure)) {
        *out_there = g_strcmp0(info.etag, etag) == 0;
        return TRUE;
    }
    if (error_is(failure, ERROR_NOT_FOUND))
        return TRUE;
    g_propagate_error(error, g_steal_pointer(&failure));
    return FALSE;
}

static gboolean
delete_object(Call *call, const NodePlace *place, const char *if_etag, GError **error)
{
    g_autoptr(GError) failure = NULL;
    if (storage_delete_object(place->storage, call, place->container, place->key, if_etag, &failure) ||
        error_is(failure, ERROR_CHANGED) || error_is(failure, ERROR_NOT_FOUND))
        return TRUE;
    g_propagate_error(error, g_steal_pointer(&failure));
    return FALSE;
}

/* Where the service has no condition for it. */
static gboolean
look_and_delete(Call *call, const NodePlace *place, const char *etag, GError **error)
{
    for (gint64 holds_us = FIRST_LOOK_HOLDS_US;; holds_us *= 2) {
        gboolean there = FALSE;
        g_autoptr(GError) failure = NULL;
        if (!look_for_version(call, place, etag, &there, error))
            return FALSE;
        g_autoptr(Call) short_call = call_new_child(call, holds_us);
        if (!there || delete_object(short_call, place, NULL, &failure))
            return TRUE;
        if (!error_is_transient(failure) || call_get_remaining_us(call) <= holds_us) {
            g_propagate_error(error, g_steal_pointer(&failure));
            return FALSE;
        }
    }
}

gboolean
objects_delete_version(Call *call, const NodePlace *place, const char *etag, GError **error)
{
    Capabilities can;
    storage_get_capabilities(place->storage, &can);
    return can.delete_if_etag == CONDITION_ATOMIC ? delete_object(call, place, etag, error)
                                                  : look_and_delete(call, place, etag, error);
}

/* file: the Node's, or NULL. Its publication that was cut off may have stored a version that the Node was
 * never told of. */
static gboolean
delete_lingering(Tree *tree, Call *call, Node *node, ObjectFile *file, GError **error)
{
    g_auto(NodePlace) place = {0};
    if (file != NULL && !object_file_settle_doubt(file, call, error))
        return FALSE;
    g_auto(ObjectInfo) info = {0};
    if (file != NULL)
        object_file_get_info(file, &info);
    lock_acquire(&tree->lock);
    g_autofree char *known = version_tag_dup(&node->facts.tag);
    const char *etag = info.etag != NULL ? info.etag : known;
    gboolean ok = etag == NULL || node_place_init(&place, node->parent, node->name, error);
    lock_release(&tree->lock);
    if (!ok || etag == NULL)
        return ok;
    g_autoptr(LoanCall) loans = objects_call_in_loans(tree, call, &place, error);
    return loans != NULL && objects_delete_version(call, &place, etag, error);
}

/* One thread at a time: the last close and whoever takes the name may both want to delete the object, and a
 * second request would hit what the name holds by then. *out_mine: it is this thread's task, and
 * end_deletion() must follow; else it is done. Fails when the call ends. */
static gboolean
begin_deletion(Tree *tree, Call *call, Node *node, gboolean *out_mine, GError **error)
{
    gboolean ok = TRUE;
    lock_acquire(&tree->lock);
    while (ok && node->flags & NODE_DELETING)
        ok = tree_core_wait_locked(tree, call, error);
    GHashTable *lingering = node->parent->folder->lingering;
    *out_mine = ok && lingering != NULL && g_hash_table_lookup(lingering, node->name) == node;
    if (*out_mine)
        node->flags |= NODE_DELETING;
    lock_release(&tree->lock);
    return ok;
}

typedef enum {
    DELETION_DONE,   /* the object is gone, or is not to be deleted any more */
    DELETION_FAILED, /* and is tried again here */
    DELETION_LEFT    /* to the next mount */
} DeletionEnd;

/* The record goes before anybody may store something new under the name, of which it could not be told. */
static void
end_deletion(Tree *tree, Node *node, DeletionEnd end)
{
    gboolean forget = end != DELETION_FAILED;
    JournalRecord *record = NULL;
    if (forget) {
        lock_acquire(&tree->lock);
        record = objects_removal_take_locked(tree, node);
        lock_release(&tree->lock);
    }
    if (end == DELETION_DONE)
        objects_removal_end(tree, record);
    else
        journal_record_free(record);
    lock_acquire(&tree->lock);
    node->flags &= (guint16)~NODE_DELETING;
    tree_core_wake_locked(tree);
    GHashTable *lingering = node->parent->folder->lingering;
    if (forget && lingering != NULL && g_hash_table_lookup(lingering, node->name) == node) {
        g_hash_table_remove(lingering, node->name);
        /* What was listed meanwhile still has the name. */
        if (tree_core_find_locked(tree, node->parent, node->name) == NULL)
            objects_vanished_locked(tree, node->parent, node->name);
        tree_core_drop_locked(tree, node);
    }
    lock_release(&tree->lock);
}

gboolean
objects_try_lingering(Tree *tree, Call *call, Node *node, ObjectFile *file, gboolean last)
{
    g_autoptr(GError) error = NULL;
    gboolean mine = FALSE;
    /* Nobody waits for this one, and when the other thread fails it is the one that goes on. */
    if (!begin_deletion(tree, NULL, node, &mine, NULL) || !mine)
        return TRUE;
    gboolean ok = delete_lingering(tree, call, node, file, &error);
    gboolean in_doubt = !ok && error_leaves_doubt(error);
    if (!ok && (last || !in_doubt)) {
        g_autofree char *path = tree_describe(tree, node);
        log_warning("%s: unlinked, but its object stays: %s", path, error->message);
    }
    end_deletion(tree, node, !in_doubt ? DELETION_DONE : last ? DELETION_LEFT : DELETION_FAILED);
    return last || !in_doubt;
}

void
objects_end_lingering(Tree *tree, Call *call, Node *node, ObjectFile *file)
{
    if (!objects_try_lingering(tree, call, node, file, FALSE))
        objects_linger(tree, node, file);
}

gboolean
objects_finish_lingering_node(Tree *tree, Call *call, Node *node, GError **error)
{
    gboolean mine = FALSE;
    if (!begin_deletion(tree, call, node, &mine, error))
        return FALSE;
    if (!mine)
        return TRUE;
    lock_acquire(&tree->lock);
    g_autoptr(ObjectFile) file = node->file != NULL ? object_file_ref(node->file) : NULL;
    gboolean small = node->facts.size_bytes <= OBJECTS_DETACH_MAX_BYTES;
    lock_release(&tree->lock);
    g_autoptr(GError) ignored = NULL;
    if (file != NULL && small && !object_file_detach(file, call, &ignored)) {
        g_autofree char *path = tree_describe(tree, node);
        log_warning("%s: open, but its object goes: %s", path, ignored->message);
    }
    gboolean deleted = delete_lingering(tree, call, node, file, error);
    end_deletion(tree, node, deleted ? DELETION_DONE : DELETION_FAILED);
    return deleted;
}

gboolean
objects_finish_lingering_name(Tree *tree, Call *call, Node *directory, const char *name, GError **error)
{
    lock_acquire(&tree->lock);
    GHashTable *lingering = directory->folder->lingering;
    Node *node = lingering != NULL ? g_hash_table_lookup(lingering, name) : NULL;
    if (node != NULL)
        tree_core_hold_locked(node);
    lock_release(&tree->lock);
    if (node == NULL)
        return objects_removal_finish_name(tree, call, directory, name, error);
    gboolean ok = objects_finish_lingering_node(tree, call, node, error) &&
                  objects_removal_finish_name(tree, call, directory, name, error);
    tree_node_unref(tree, node);
    return ok;
}

static GPtrArray *
list_lingering(Tree *tree, Node *directory)
{
    GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
    GHashTableIter iter;
    gpointer name;
    lock_acquire(&tree->lock);
    if (directory->folder->lingering != NULL) {
        g_hash_table_iter_init(&iter, directory->folder->lingering);
        while (g_hash_table_iter_next(&iter, &name, NULL))
            g_ptr_array_add(names, g_strdup(name));
    }
    lock_release(&tree->lock);
    return names;
}

static gboolean
has_open_names(Tree *tree, Node *directory)
{
    GHashTableIter iter;
    gpointer node;
    gboolean found = FALSE;
    lock_acquire(&tree->lock);
    g_hash_table_iter_init(&iter, tree->open_nodes);
    while (!found && g_hash_table_iter_next(&iter, &node, NULL))
        found = !(((Node *)node)->flags & NODE_DETACHED) && node_is_below(node, directory);
    lock_release(&tree->lock);
    return found;
}

gboolean
objects_finish_lingering(Tree *tree, Call *call, Node *directory, GError **error)
{
    if (has_open_names(tree, directory))
        return tree_core_fail(tree, directory, ERROR_NOT_EMPTY, "holds open files", error);
    g_autoptr(GPtrArray) names = list_lingering(tree, directory);
    for (guint i = 0; i < names->len; i++)
        if (!objects_finish_lingering_name(tree, call, directory, g_ptr_array_index(names, i), error))
            return FALSE;
    return objects_removal_finish_below(tree, call, directory, error);
}

/* What the name was found as may have gone, or been replaced, while requests were under way. */
static gboolean
check_attached_locked(Node *node, GError **error)
{
    if (!(node->flags & NODE_DETACHED))
        return TRUE;
    gboolean gone = (node->flags & NODE_UNLINKED) != 0;
    g_set_error(error, STORAGEFS_ERROR, gone ? ERROR_NOT_FOUND : ERROR_CHANGED, "%s was %s meanwhile",
                node->name, gone ? "removed" : "replaced");
    return FALSE;
}

/* What is to be deleted is noted when no publication can change it any more, and before the journal gives up
 * what waits: whoever finds this after a crash has the name as it was, or not at all. */
static void
note_removal(Tree *tree, Node *node, ObjectFile *file, JournalRecord *earlier)
{
    object_file_end_publishing(file);
    objects_removal_note(tree, node, file);
    objects_removal_end(tree, earlier);
    object_file_drop(file);
    lock_acquire(&tree->lock);
    node->flags &= (guint16)~NODE_DELETING;
    tree_core_wake_locked(tree);
    lock_release(&tree->lock);
}

/* Open: hidden now, deleted at the last close. Dropping the file waits for a publication that runs, which
 * tells the Node about itself: without the lock. */
static gboolean
unlink_open(Tree *tree, Node *node, gboolean *out_open, GError **error)
{
    g_autoptr(ObjectFile) file = NULL;
    JournalRecord *earlier = NULL;
    lock_acquire(&tree->lock);
    gboolean ok = check_attached_locked(node, error);
    if (ok && node->kind == NODE_FILE && node->file != NULL) {
        file = object_file_ref(node->file);
        linger_locked(tree, node, &earlier);
        objects_vanished_locked(tree, node->parent, node->name);
    }
    lock_release(&tree->lock);
    if (file != NULL)
        note_removal(tree, node, file, earlier);
    *out_open = file != NULL;
    return ok;
}

typedef struct {
    Tree *tree;
    Call *call;
    const NodePlace *place;
} WaitingDeletion;

static gboolean
delete_waiting(gpointer data, const char *etag, GError **error)
{
    const WaitingDeletion *deletion = data;
    g_autoptr(LoanCall) loans = objects_call_in_loans(deletion->tree, deletion->call, deletion->place, error);
    return loans != NULL && objects_delete_version(deletion->call, deletion->place, etag, error);
}

/* It waits in the journal, and nobody has it open: what is stored goes first, because it cannot go later, and
 * nothing has happened when that fails. *out_done FALSE: it is not such a file. */
static gboolean
unlink_waiting(Tree *tree, Call *call, Node *node, const NodePlace *place, gboolean *out_done, GError **error)
{
    lock_acquire(&tree->lock);
    g_autoptr(ObjectFile) file =
        node->kind == NODE_FILE && node->file != NULL ? object_file_ref(node->file) : NULL;
    gboolean ok = check_attached_locked(node, error);
    lock_release(&tree->lock);
    *out_done = file != NULL && object_file_is_waiting(file) && object_file_get_handle_count(file) == 0;
    if (!ok || !*out_done)
        return ok;
    WaitingDeletion deletion = {tree, call, place};
    if (!object_file_remove(file, call, &(ObjectFileDeletion){delete_waiting, &deletion}, error))
        return FALSE;
    lock_acquire(&tree->lock);
    if (!(node->flags & NODE_DETACHED))
        objects_vanished_locked(tree, node->parent, node->name);
    lock_release(&tree->lock);
    objects_settle(tree, call, node);
    return TRUE;
}

static gboolean
unlink_node(Tree *tree, Call *call, Node *node, GError **error)
{
    g_auto(NodePlace) place = {0};
    if (node_is_directory(node))
        return tree_core_fail(tree, node, ERROR_IS_FOLDER, "is a directory", error);
    lock_acquire(&tree->lock);
    gboolean ok = node_place_init(&place, node->parent, node->name, error);
    lock_release(&tree->lock);
    if (!ok || !objects_keep_parent(tree, call, node, place.key, error))
        return FALSE;
    gboolean done = FALSE, was_open = FALSE;
    if (!unlink_waiting(tree, call, node, &place, &done, error))
        return FALSE;
    if (done)
        return TRUE;
    if (!unlink_open(tree, node, &was_open, error))
        return FALSE;
    if (was_open)
        return TRUE;
    g_autoptr(LoanCall) loans = objects_call_in_loans(tree, call, &place, error);
    if (loans == NULL || !storage_delete_object(place.storage, call, place.container, place.key, NULL, error))
        return FALSE;
    lock_acquire(&tree->lock);
    objects_vanished_locked(tree, node->parent, node->name);
    tree_core_confirm_locked(node->parent, tree_core_now());
    lock_release(&tree->lock);
    return TRUE;
}

/* An open file goes as the version it stands at: another client's object would be back after it was unlinked,
 * or could not be renamed. */
static gboolean
is_in_doubt(Node *node)
{
    return node->kind == NODE_FILE && node->file != NULL &&
           tree_core_get_valid_us(node, tree_core_now()) == 0;
}

gboolean
objects_find(Tree *tree, Call *call, Node *parent, const char *name, Node **out_node, GError **error)
{
    lock_acquire(&tree->lock);
    Node *node = tree_core_find_locked(tree, parent, name);
    if (node != NULL && is_in_doubt(node))
        node = NULL;
    if (node != NULL)
        tree_core_hold_locked(node);
    lock_release(&tree->lock);
    if (node == NULL && !objects_look(tree, call, parent, name, LOOK_KIND, &node, error))
        return FALSE;
    if (node == NULL) {
        objects_fail_absent(tree, parent, name, error);
        return FALSE;
    }
    *out_node = node;
    return TRUE;
}

static gboolean
unlink_once(Tree *tree, Call *call, Node *parent, const char *name, GError **error)
{
    Node *node = NULL;
    if (!objects_find(tree, call, parent, name, &node, error))
        return FALSE;
    gboolean ok = unlink_node(tree, call, node, error);
    tree_node_unref(tree, node);
    return ok;
}

/* A name that is replaced meanwhile is removed as what it is now. */
gboolean
objects_unlink(Tree *tree, Call *call, Node *parent, const char *name, GError **error)
{
    if (!tree_core_check_writable(tree, parent, error))
        return FALSE;
    g_autoptr(GError) failure = NULL;
    gboolean ok = FALSE;
    for (guint attempt = 0; !ok && attempt < MAXIMUM_ATTEMPTS; attempt++) {
        g_clear_error(&failure);
        ok = unlink_once(tree, call, parent, name, &failure);
        if (!ok && !error_is(failure, ERROR_CHANGED))
            break;
    }
    if (!ok) {
        objects_doubt_failure(tree, parent, name, failure);
        g_propagate_error(error, g_steal_pointer(&failure));
    }
    tree_core_flush(tree);
    return ok;
}

static gboolean
read_memory(gpointer data, guint64 offset, void *buffer, gsize length_bytes, GError **error)
{
    memcpy(buffer, (const char *)data + offset, length_bytes);
    return TRUE;
}

static gboolean
write_symlink(Call *call, const NodePlace *place, const char *target, const FileAttributes *attributes,
              ObjectInfo *out_info, GError **error)
{
    g_autoptr(GHashTable) metadata = attributes_encode(attributes, NULL);
    ByteSource source = {.size_bytes = strlen(target), .read = read_memory, .data = (gpointer)target};
    WriteOptions options = {
        .content_type = "application/octet-stream", .metadata = metadata, .if_absent = TRUE};
    if (!storage_write_object(place->storage, call, place->container, place->key, &source, &options, out_info,
                              error))
        return FALSE;
    g_free(out_info->key);
    out_info->key = g_strdup(place->key);
    out_info->size_bytes = source.size_bytes;
    if (out_info->metadata == NULL)
        out_info->metadata = g_hash_table_ref(metadata);
    return TRUE;
}

static gboolean
check_symlink(const NodePlace *place, const char *target, GError **error)
{
    if (strlen(target) >= PATH_MAX || target[0] == '\0') {
        g_set_error(error, STORAGEFS_ERROR, ERROR_BAD_ARGUMENT, "a link's target has 1 to %d bytes",
                    PATH_MAX - 1);
        return FALSE;
    }
    if (place->key == NULL || place->beside) {
        g_set_error(error, STORAGEFS_ERROR, ERROR_BAD_NAME, "a link cannot have this name");
        return FALSE;
    }
    return storage_check_key(place->storage, place->key, error);
}

gboolean
objects_make_symlink(Tree *tree, Call *call, Node *parent, const char *name, const char *target, uid_t uid,
                     gid_t gid, TreeEntry *out, GError **error)
{
    g_auto(NodePlace) place = {0};
    g_auto(ObjectInfo) stored = {0};
    FileAttributes attributes = {.size_bytes = strlen(target),
                                 .mtime_ns = g_get_real_time() * 1000,
                                 .mode = S_IFLNK | 0777,
                                 .uid = uid,
                                 .gid = gid};
    if (!tree_core_check_writable(tree, parent, error))
        return FALSE;
    lock_acquire(&tree->lock);
    gboolean ok = node_place_init(&place, parent, name, error);
    lock_release(&tree->lock);
    if (!ok || !check_symlink(&place, target, error) ||
        !objects_check_absent(tree, call, parent, name, error))
        return FALSE;
    GError *failure = NULL;
    if (!write_symlink(call, &place, target, &attributes, &stored, &failure)) {
        objects_doubt_failure(tree, parent, name, failure);
        g_propagate_error(error, failure);
        tree_core_flush(tree);
        return FALSE;
    }
    g_auto(EntryFacts) facts = {.kind = NODE_SYMLINK, .flags = FACT_EXACT, .known_at_us = tree_core_now()};
    entry_facts_from_attributes(&facts, &attributes);
    version_tag_set(&facts.tag, stored.etag);
    lock_acquire(&tree->lock);
    Node *node = objects_apply_locked(tree, parent, name, &facts, &stored);
    detail_cache_set_target(&tree->details, parent, name, &node->facts.tag, target);
    objects_appeared_locked(tree, node);
    tree_core_confirm_locked(parent, facts.known_at_us);
    tree_core_fill_entry_locked(tree, node, out);
    lock_release(&tree->lock);
    return TRUE;
}

static char *
get_known_target(Tree *tree, Node *node, NodePlace *place, ObjectInfo *info)
{
    lock_acquire(&tree->lock);
    char *target =
        g_strdup(detail_cache_get_target(&tree->details, node->parent, node->name, &node->facts.tag));
    if (target == NULL && objects_get_details_locked(tree, node, info))
        target = g_strdup(attributes_get_symlink_target(info));
    if (target == NULL && !node_place_init(place, node->parent, node->name, NULL))
        target = g_strdup("");
    lock_release(&tree->lock);
    return target;
}

static char *
read_target(Call *call, const NodePlace *place, const char *etag, GError **error)
{
    g_autofree char *buffer = g_malloc0(PATH_MAX);
    gsize length_bytes = 0;
    if (!storage_read_object(place->storage, call, place->container, place->key, 0, PATH_MAX - 1, etag,
                             buffer, &length_bytes, NULL, error))
        return NULL;
    buffer[length_bytes] = '\0';
    return g_steal_pointer(&buffer);
}

gboolean
objects_read_symlink(Tree *tree, Call *call, Node *node, char **out_target, GError **error)
{
    if (node->kind != NODE_SYMLINK)
        return tree_core_fail(tree, node, ERROR_BAD_ARGUMENT, "is not a symbolic link", error);
    g_auto(NodePlace) place = {0};
    g_auto(ObjectInfo) info = {0};
    if (!objects_look_node(tree, call, node, LOOK_DETAILS, error))
        return FALSE;
    char *target = get_known_target(tree, node, &place, &info);
    if (target == NULL) {
        target = read_target(call, &place, info.etag, error);
        lock_acquire(&tree->lock);
        if (target != NULL)
            detail_cache_set_target(&tree->details, node->parent, node->name, &node->facts.tag, target);
        lock_release(&tree->lock);
    }
    if (target == NULL)
        return FALSE;
    *out_target = target;
    return TRUE;
}
