/* Open objects: one ObjectFile per Node while handles are open or something is unpublished. The Node holds
 * one reference of it, and the file holds the Node, because it tells it what was published.
 */
#include "src/tree/objects.h"

#include <fcntl.h>

static gboolean
wants_write(int flags)
{
    return (flags & O_ACCMODE) != O_RDONLY || flags & O_TRUNC;
}

static void
take_stored_locked(Tree *tree, Node *node, ObjectFile *file, const ObjectInfo *stored) REQUIRES(tree->lock)
{
    FileAttributes attributes;
    g_auto(ObjectInfo) info = {0};
    object_file_get_attributes(file, &attributes);
    object_file_get_info(file, &info);
    entry_facts_from_attributes(&node->facts, &attributes);
    node->facts.flags |= FACT_EXACT;
    node->facts.known_at_us = tree_core_now();
    version_tag_set(&node->facts.tag, stored->etag);
    if (node->flags & NODE_DETACHED)
        return;
    if (info.metadata != NULL)
        detail_cache_put(&tree->details, node->parent, node->name, &info);
    else
        detail_cache_drop(&tree->details, node->parent, node->name);
    objects_appeared_locked(tree, node);
    tree_core_confirm_locked(node->parent, node->facts.known_at_us);
}

static void
handle_published(gpointer owner, gpointer subject, ObjectFile *file, const ObjectInfo *stored)
{
    Tree *tree = owner;
    Node *node = subject;
    lock_acquire(&tree->lock);
    take_stored_locked(tree, node, file, stored);
    lock_release(&tree->lock);
}

void
objects_bind_locked(Tree *tree, Node *node, ObjectFile *file)
{
    node->file = file;
    g_hash_table_add(tree->open_nodes, tree_core_hold_locked(node));
}

/* The Node lives until the file is let go of, which nobody does before it is told that it was released. */
static void
handle_released(gpointer owner, gpointer subject, ObjectFile *file)
{
    Tree *tree = owner;
    Node *node = subject;
    lock_acquire(&tree->lock);
    tree_core_hold_locked(node);
    object_file_end_release(file);
    g_autoptr(Call) call = storage_new_call(node_get_storage(node));
    lock_release(&tree->lock);
    objects_settle(tree, call, node);
    tree_node_unref(tree, node);
    tree_core_flush(tree);
}

void
objects_fill_events(Tree *tree, Node *node, ObjectFileEvents *out)
{
    *out = (ObjectFileEvents){
        .published = handle_published, .released = handle_released, .owner = tree, .subject = node};
}

static ObjectFile *
make_file_locked(Tree *tree, Node *node, const NodePlace *place, const ObjectInfo *version,
                 const FileAttributes *attributes, gboolean exclusive) REQUIRES(tree->lock)
{
    ObjectFileEvents events;
    objects_fill_events(tree, node, &events);
    ObjectFile *file = object_file_new(tree->store, place->storage, place->container, place->key, version,
                                       attributes, exclusive, &events);
    objects_bind_locked(tree, node, file);
    return file;
}

/* The version that is known, for an object nobody has open. */
static void
make_version_locked(Tree *tree, Node *node, const NodePlace *place, ObjectInfo *out) REQUIRES(tree->lock)
{
    if (objects_get_details_locked(tree, node, out))
        return;
    out->key = g_strdup(place->key);
    out->size_bytes = node->facts.size_bytes;
    out->mtime_ns = node->facts.mtime_ns;
    out->etag = version_tag_dup(&node->facts.tag);
}

static gboolean
open_file_locked(Tree *tree, Node *node, int flags, FileHandle **out_handle, gboolean *out_keep_cache,
                 gboolean *out_stale, GError **error) REQUIRES(tree->lock)
{
    if (node->file == NULL) {
        g_auto(NodePlace) place = {0};
        g_auto(ObjectInfo) version = {0};
        FileAttributes attributes;
        if (!node_place_init(&place, node->parent, node->name, error))
            return FALSE;
        make_version_locked(tree, node, &place, &version);
        entry_facts_to_attributes(&node->facts, &attributes);
        make_file_locked(tree, node, &place, &version, &attributes, FALSE);
    }
    if (!wants_write(flags)) {
        objects_ask_note_read(node->parent);
        objects_order_note_open_locked(tree, node);
    }
    *out_handle = object_file_open(node->file, flags);
    *out_keep_cache = tree_core_open_pages_locked(node, out_stale);
    return TRUE;
}

/* Whether open() needs no request: what is known is fresh, and enough for these flags. */
static gboolean
may_open_locked(Tree *tree, Node *node, int flags) REQUIRES(tree->lock)
{
    if (node->kind != NODE_FILE)
        return FALSE;
    /* A replaced one is refused, so that the kernel looks its path up again; an unlinked one has no other. */
    if (node->flags & NODE_DETACHED)
        return node->flags & NODE_UNLINKED && node->file != NULL;
    if (tree_core_is_dirty(node))
        return TRUE;
    if (tree_core_get_valid_us(node, tree_core_now()) == 0)
        return FALSE;
    g_auto(ObjectInfo) info = {0};
    return !wants_write(flags) || objects_get_details_locked(tree, node, &info);
}

gboolean
objects_open_ready(Tree *tree, Node *node, int flags, FileHandle **out_handle, gboolean *out_keep_cache)
{
    gboolean is_stale;
    if (flags & O_TRUNC || (wants_write(flags) && !tree_core_check_writable(tree, node, NULL)))
        return FALSE;
    lock_acquire(&tree->lock);
    gboolean ok = !(node->flags & NODE_STALE) && may_open_locked(tree, node, flags) &&
                  !(wants_write(flags) && objects_removal_is_left_locked(tree, node->parent, node->name)) &&
                  open_file_locked(tree, node, flags, out_handle, out_keep_cache, &is_stale, NULL);
    lock_release(&tree->lock);
    return ok;
}

/* Another version than the one that was removed before: what is written might come to be the same. */
static gboolean
finish_removal(Tree *tree, Call *call, Node *node, GError **error)
{
    lock_acquire(&tree->lock);
    Node *parent = tree_core_hold_locked(node->parent);
    g_autofree char *name = g_strdup(node->name);
    lock_release(&tree->lock);
    gboolean ok = objects_removal_finish_name(tree, call, parent, name, error);
    tree_node_unref(tree, parent);
    return ok;
}

static gboolean
check_kind(Tree *tree, Node *node, GError **error)
{
    if (node->kind == NODE_FILE)
        return TRUE;
    if (node->kind == NODE_SYMLINK)
        return tree_core_fail(tree, node, ERROR_LOOP, "is a symbolic link", error);
    return tree_core_fail(tree, node, ERROR_IS_FOLDER, "is a directory", error);
}

gboolean
objects_open(Tree *tree, Call *call, Node *node, int flags, FileHandle **out_handle, gboolean *out_keep_cache,
             GError **error)
{
    if (!check_kind(tree, node, error) ||
        (wants_write(flags) &&
         !(tree_core_check_writable(tree, node, error) && finish_removal(tree, call, node, error))))
        return FALSE;
    lock_acquire(&tree->lock);
    gboolean ready = may_open_locked(tree, node, flags);
    lock_release(&tree->lock);
    if (!ready && !objects_look_node(tree, call, node, wants_write(flags) ? LOOK_VERSION : LOOK_KIND, error))
        return FALSE;
    FileHandle *handle = NULL;
    gboolean is_stale = FALSE;
    lock_acquire(&tree->lock);
    gboolean ok = open_file_locked(tree, node, flags & ~O_TRUNC, &handle, out_keep_cache, &is_stale, error);
    lock_release(&tree->lock);
    if (is_stale)
        tree_core_drop_attributes(tree, node);
    if (ok && flags & O_TRUNC) {
        handle->flags |= O_TRUNC;
        ok = handle->operations->truncate(handle, call, 0, error);
        if (!ok)
            objects_release(tree, call, node, handle);
    }
    if (ok)
        *out_handle = handle;
    return ok;
}

static gboolean
make_new_locked(Tree *tree, Node *parent, const char *name, int flags, const FileAttributes *made,
                TreeEntry *out, FileHandle **out_handle, GError **error) REQUIRES(tree->lock)
{
    g_auto(NodePlace) place = {0};
    if (!node_place_init(&place, parent, name, error))
        return FALSE;
    if (place.key == NULL || !storage_check_key(place.storage, place.key, error)) {
        if (place.key == NULL)
            g_set_error(error, STORAGEFS_ERROR, ERROR_BAD_NAME, "\"%s\" can only be a directory's name",
                        name);
        return FALSE;
    }
    if (place.beside) {
        g_set_error(error, STORAGEFS_ERROR, ERROR_BAD_NAME, "\"%s\" names an object beside its folder", name);
        return FALSE;
    }
    Node *node = tree_core_attach_locked(tree, parent, name, NODE_FILE);
    entry_facts_from_attributes(&node->facts, made);
    node->facts.flags = FACT_EXACT;
    node->facts.known_at_us = tree_core_now();
    node->flags |= NODE_PAGES;
    ObjectFile *file = make_file_locked(tree, node, &place, NULL, made, (flags & O_EXCL) != 0);
    *out_handle = object_file_open(file, (flags & ~(O_EXCL | O_TRUNC)) | O_CREAT);
    parent->facts.mtime_ns = made->mtime_ns;
    objects_appeared_locked(tree, node);
    tree_core_fill_entry_locked(tree, node, out);
    return TRUE;
}

TreeReady
objects_create_ready(Tree *tree, Node *parent, const char *name, int flags, const FileAttributes *made,
                     TreeEntry *out, FileHandle **out_handle)
{
    Node *node = NULL;
    gint64 ignored;
    if (!tree_core_check_writable(tree, parent, NULL))
        return TREE_WOULD_WAIT;
    lock_acquire(&tree->lock);
    gboolean hidden =
        (parent->folder->lingering != NULL && g_hash_table_contains(parent->folder->lingering, name)) ||
        objects_removal_is_left_locked(tree, parent, name);
    TreeReady ready =
        objects_known_locked(tree, parent, name, LOOK_KIND, FALSE, tree_core_now(), &node, &ignored);
    gboolean made_here = ready == TREE_ABSENT && !hidden &&
                         make_new_locked(tree, parent, name, flags, made, out, out_handle, NULL);
    lock_release(&tree->lock);
    return made_here ? TREE_ANSWERED : TREE_WOULD_WAIT;
}

static gboolean
open_existing(Tree *tree, Call *call, Node *node, int flags, TreeEntry *out, FileHandle **out_handle,
              GError **error)
{
    gboolean ignored;
    if (flags & O_EXCL)
        return tree_core_fail(tree, node, ERROR_EXISTS, "exists", error);
    if (!objects_open(tree, call, node, flags & ~O_CREAT, out_handle, &ignored, error))
        return FALSE;
    lock_acquire(&tree->lock);
    tree_core_fill_entry_locked(tree, node, out);
    lock_release(&tree->lock);
    return TRUE;
}

gboolean
objects_create(Tree *tree, Call *call, Node *parent, const char *name, int flags, const FileAttributes *made,
               TreeEntry *out, FileHandle **out_handle, GError **error)
{
    Node *node = NULL;
    gint64 ignored;
    if (!tree_core_check_writable(tree, parent, error) ||
        !objects_recall(tree, call, parent, name, LOOK_KIND, &node, &ignored, error))
        return FALSE;
    gboolean ok;
    if (node != NULL) {
        ok = open_existing(tree, call, node, flags, out, out_handle, error);
        tree_node_unref(tree, node);
        return ok;
    }
    if (!objects_finish_lingering_name(tree, call, parent, name, error))
        return FALSE;
    lock_acquire(&tree->lock);
    node = tree_core_find_locked(tree, parent, name);
    if (node != NULL)
        tree_core_hold_locked(node);
    ok = node != NULL || make_new_locked(tree, parent, name, flags, made, out, out_handle, error);
    lock_release(&tree->lock);
    if (node == NULL)
        return ok;
    /* Another one made it while the lock was free. */
    ok = open_existing(tree, call, node, flags, out, out_handle, error);
    tree_node_unref(tree, node);
    return ok;
}

LoanCall *
objects_call_in_loans(Tree *tree, Call *call, const NodePlace *place, GError **error)
{
    return loan_call_in(tree->store, call, place->storage, place->container, place->key, FALSE, error);
}

/* The last handle is gone: what the file knew is the Node's now. A new object that could not be published is
 * no name any more. */
static ObjectFile *
settle_locked(Tree *tree, Node *node) REQUIRES(tree->lock)
{
    ObjectFile *file = node->file;
    if (file == NULL || object_file_is_in_use(file))
        return NULL;
    g_auto(ObjectInfo) info = {0};
    object_file_get_info(file, &info);
    gboolean published = info.etag != NULL, lost = object_file_is_dirty(file) || object_file_is_dropped(file);
    node->file = NULL;
    tree_core_close_pages_locked(node);
    g_hash_table_remove(tree->open_nodes, node);
    if (lost)
        node->facts.known_at_us = 0;
    if (!(node->flags & NODE_DETACHED) && !published) {
        tree_core_announce_entry_locked(tree, node->parent, node->name);
        objects_vanished_locked(tree, node->parent, node->name);
    } else if (lost && !(node->flags & NODE_DETACHED)) {
        tree_core_note_version_locked(node);
        tree_core_announce_content_locked(tree, node);
    }
    if (lost && !(node->flags & NODE_DETACHED))
        objects_doubt_locked(tree, node->parent, node->name, node);
    else if (lost)
        listing_chain_expire(node->parent->folder->listings);
    return file;
}

void
objects_settle(Tree *tree, Call *call, Node *node)
{
    lock_acquire(&tree->lock);
    ObjectFile *file = node->kind == NODE_FILE ? settle_locked(tree, node) : NULL;
    gboolean unlinked = (node->flags & NODE_UNLINKED) != 0;
    lock_release(&tree->lock);
    if (file == NULL)
        return;
    if (unlinked)
        objects_end_lingering(tree, call, node, file);
    object_file_unref(file);
    tree_node_unref(tree, node);
}

/* Who opens without reading, or reads what the kernel has, needs nothing ahead. */
static void
note_release(Tree *tree, Node *node, FileHandle *handle)
{
    if (wants_write(handle->flags) || object_file_was_read(handle))
        return;
    lock_acquire(&tree->lock);
    if (!(node->flags & NODE_DETACHED))
        objects_order_note_unread_locked(node->parent);
    lock_release(&tree->lock);
}

void
objects_release(Tree *tree, Call *call, Node *node, FileHandle *handle)
{
    note_release(tree, node, handle);
    handle->operations->close(handle, call);
    objects_settle(tree, call, node);
    tree_core_flush(tree);
}
