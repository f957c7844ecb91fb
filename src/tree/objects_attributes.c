/* chmod, chown, utimens, truncate in object services: kept with an open file and published with it, stored at
 * once with a closed one.
 */
#include "src/tree/objects.h"

#include <fcntl.h>
#include <string.h>

#define NS_PER_S G_GINT64_CONSTANT(1000000000)

/* Only the modification time is stored; an access time alone changes nothing. */
static unsigned
merge(FileAttributes *to, unsigned valid, const struct stat *attributes, const struct timespec times[2])
{
    unsigned changed = valid & (FILE_SET_MODE | FILE_SET_UID | FILE_SET_GID);
    if (valid & FILE_SET_MODE)
        to->mode = (to->mode & S_IFMT) | (attributes->st_mode & 07777);
    if (valid & FILE_SET_UID)
        to->uid = attributes->st_uid;
    if (valid & FILE_SET_GID)
        to->gid = attributes->st_gid;
    if (valid & FILE_SET_TIMES && times != NULL && times[1].tv_nsec != UTIME_OMIT) {
        changed |= FILE_SET_TIMES;
        to->mtime_ns = times[1].tv_nsec == UTIME_NOW ? g_get_real_time() * 1000
                                                     : times[1].tv_sec * NS_PER_S + times[1].tv_nsec;
    }
    return changed;
}

FileHandle *
objects_hold_open(Tree *tree, Node *node)
{
    lock_acquire(&tree->lock);
    gboolean is_open = node->kind == NODE_FILE && node->file != NULL;
    FileHandle *handle = is_open ? object_file_open(node->file, O_RDONLY) : NULL;
    lock_release(&tree->lock);
    return handle;
}

/* A file that was opened without its metadata must know it before it is changed. */
static gboolean
know_metadata(Tree *tree, Call *call, Node *node, GError **error)
{
    lock_acquire(&tree->lock);
    gboolean ours = node->flags & NODE_DETACHED || tree_core_is_dirty(node);
    lock_release(&tree->lock);
    return ours || objects_look_node(tree, call, node, LOOK_DETAILS, error);
}

/* What has no writer to publish it is published here: by_name says that no handle was named. */
static gboolean
set_open(Tree *tree, Call *call, ObjectFile *file, Node *node, gboolean by_name, unsigned valid,
         const struct stat *attributes, const struct timespec times[2], GError **error)
{
    if (!know_metadata(tree, call, node, error))
        return FALSE;
    gboolean kept = object_file_is_dirty(file) && !object_file_is_waiting(file);
    gboolean publish = by_name && !kept && !object_file_is_dropped(file);
    if (valid & FILE_SET_SIZE && !object_file_truncate(file, call, (guint64)attributes->st_size, error))
        return FALSE;
    FileAttributes wanted;
    object_file_get_attributes(file, &wanted);
    unsigned changed = merge(&wanted, valid, attributes, times);
    if (changed != 0)
        object_file_set_attributes(file, changed, &wanted);
    return !publish || object_file_sync(file, call, error);
}

/* truncate(2) of a file nobody has open: open, cut, publish. */
static gboolean
truncate_closed(Tree *tree, Call *call, Node *node, guint64 size_bytes, GError **error)
{
    FileHandle *handle = NULL;
    gboolean ignored;
    if (!objects_open(tree, call, node, O_WRONLY, &handle, &ignored, error))
        return FALSE;
    gboolean ok = handle->operations->truncate(handle, call, size_bytes, error) &&
                  handle->operations->flush(handle, call, TRUE, error);
    objects_release(tree, call, node, handle);
    return ok;
}

static gboolean
store(Tree *tree, Call *call, Node *node, const NodePlace *place, const FileAttributes *attributes,
      const ObjectInfo *known, const char *content_type, Metadata *others, ObjectInfo *out_info,
      GError **error)
{
    if (node->kind == NODE_FOLDER)
        return objects_write_marker(tree, call, place, attributes, others, FALSE, out_info, error);
    g_autoptr(LoanCall) loans = objects_call_in_loans(tree, call, place, error);
    if (loans == NULL)
        return FALSE;
    Metadata *metadata = attributes_encode(attributes, others);
    gboolean ok = storage_set_metadata(place->storage, call, place->container, place->key, known,
                                       content_type, metadata, out_info, error);
    if (ok && out_info->metadata == NULL)
        out_info->metadata = g_hash_table_ref(metadata);
    g_hash_table_unref(metadata);
    return ok;
}

/* What the service did not repeat in its answer stays as it was. */
static void
complete_info(ObjectInfo *info, const ObjectInfo *known, const NodePlace *place, const char *content_type)
{
    if (info->key == NULL)
        info->key = g_strdup(place->key != NULL ? place->key : place->prefix);
    if (info->etag == NULL)
        info->etag = g_strdup(known->etag);
    if (info->content_type == NULL)
        info->content_type = g_strdup(content_type);
    if (info->storage_class == NULL)
        info->storage_class = g_strdup(known->storage_class);
    info->size_bytes = known->size_bytes;
}

static void
doubt_node(Tree *tree, Node *node, const GError *failure)
{
    lock_acquire(&tree->lock);
    if (error_leaves_doubt(failure) && !(node->flags & NODE_DETACHED))
        objects_doubt_locked(tree, node->parent, node->name, node);
    lock_release(&tree->lock);
    tree_core_flush(tree);
}

/* RGW does not say which version a copy has made: whoever wants to know has to ask. */
static void
keep_stored_locked(Tree *tree, Node *node, const ObjectInfo *known, const ObjectInfo *stored)
    REQUIRES(tree->lock)
{
    if (known->version == NULL || stored->version != NULL)
        detail_cache_put(&tree->details, node->parent, node->name, stored);
    else
        detail_cache_drop(&tree->details, node->parent, node->name);
}

gboolean
objects_store_metadata(Tree *tree, Call *call, Node *node, const FileAttributes *attributes,
                       const char *content_type, Metadata *others, gboolean *out_overtaken, GError **error)
{
    g_auto(NodePlace) place = {0};
    g_auto(ObjectInfo) known = {0}, stored = {0};
    *out_overtaken = FALSE;
    lock_acquire(&tree->lock);
    gboolean ok = node_place_init(&place, node->parent, node->name, error);
    objects_get_details_locked(tree, node, &known);
    lock_release(&tree->lock);
    GError *failure = NULL;
    if (!ok)
        return FALSE;
    if (!store(tree, call, node, &place, attributes, &known, content_type, others, &stored, &failure)) {
        doubt_node(tree, node, failure);
        g_propagate_error(error, failure);
        return FALSE;
    }
    complete_info(&stored, &known, &place, content_type);
    lock_acquire(&tree->lock);
    /* Somebody has opened it meanwhile, as it was before. What he has published since is newer than this. */
    if (node->kind == NODE_FILE && node->file != NULL &&
        !object_file_take_metadata(node->file, known.etag, &stored, attributes, out_overtaken)) {
        lock_release(&tree->lock);
        return TRUE;
    }
    entry_facts_from_attributes(&node->facts, attributes);
    node->facts.flags |= FACT_EXACT | (node->kind == NODE_FOLDER ? FACT_MARKER | FACT_MARKER_ASKED : 0);
    node->facts.known_at_us = tree_core_now();
    version_tag_set(&node->facts.tag, stored.etag);
    if (!(node->flags & NODE_DETACHED)) {
        keep_stored_locked(tree, node, &known, &stored);
        objects_appeared_locked(tree, node);
    }
    lock_release(&tree->lock);
    return TRUE;
}

static gboolean
set_closed(Tree *tree, Call *call, Node *node, unsigned valid, const struct stat *attributes,
           const struct timespec times[2], gboolean *out_overtaken, GError **error)
{
    *out_overtaken = FALSE;
    if (valid & FILE_SET_SIZE && !truncate_closed(tree, call, node, (guint64)attributes->st_size, error))
        return FALSE;
    FileAttributes wanted;
    g_auto(ObjectInfo) known = {0};
    if (!objects_fetch_details(tree, call, node, &known, error))
        return FALSE;
    lock_acquire(&tree->lock);
    entry_facts_to_attributes(&node->facts, &wanted);
    lock_release(&tree->lock);
    if (merge(&wanted, valid, attributes, times) == 0)
        return TRUE;
    return objects_store_metadata(tree, call, node, &wanted, known.content_type, known.metadata,
                                  out_overtaken, error);
}

/* A container has no place to store attributes: what is set lasts as long as the mount. */
static gboolean
set_container(Tree *tree, Node *node, unsigned valid, const struct stat *attributes,
              const struct timespec times[2])
{
    FileAttributes wanted;
    lock_acquire(&tree->lock);
    entry_facts_to_attributes(&node->facts, &wanted);
    merge(&wanted, valid, attributes, times);
    entry_facts_from_attributes(&node->facts, &wanted);
    lock_release(&tree->lock);
    return TRUE;
}

static gboolean
set_once(Tree *tree, Call *call, Node *node, gboolean by_name, unsigned valid, const struct stat *attributes,
         const struct timespec times[2], gboolean *out_overtaken, GError **error)
{
    *out_overtaken = FALSE;
    FileHandle *held = objects_hold_open(tree, node);
    if (held == NULL)
        return set_closed(tree, call, node, valid, attributes, times, out_overtaken, error);
    gboolean ok =
        set_open(tree, call, object_file_of_handle(held), node, by_name, valid, attributes, times, error);
    objects_release(tree, call, node, held);
    return ok;
}

gboolean
objects_set_attributes(Tree *tree, Call *call, Node *node, FileHandle *handle, unsigned valid,
                       const struct stat *attributes, const struct timespec times[2], GError **error)
{
    if (!tree_core_check_writable(tree, node, error))
        return FALSE;
    if (valid & FILE_SET_SIZE && (node->kind != NODE_FILE || attributes->st_size < 0)) {
        ErrorCode code = node_is_directory(node) ? ERROR_IS_FOLDER : ERROR_BAD_ARGUMENT;
        return tree_core_fail(tree, node, code, "cannot be cut to this size", error);
    }
    if (node->kind == NODE_CONTAINER)
        return set_container(tree, node, valid, attributes, times);
    gboolean ok = TRUE, overtaken = TRUE;
    for (guint attempt = 0; ok && overtaken && attempt < OBJECTS_METADATA_ATTEMPTS; attempt++) {
        ok = set_once(tree, call, node, handle == NULL, valid, attributes, times, &overtaken, error);
        /* Who has opened it meanwhile may have written since. */
        valid &= ~(unsigned)FILE_SET_SIZE;
    }
    return ok;
}
