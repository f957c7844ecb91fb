/* Folders of the folder layout: markers, and when one must be written so that a folder does not vanish with
 * its last object.
 */
#include "src/tree/objects.h"

#include "src/tree/containers.h"

#include <string.h>

static gboolean
read_nothing(gpointer data, guint64 offset, void *buffer, gsize length_bytes, GError **error)
{
    return TRUE;
}

gboolean
objects_write_marker(Tree *tree, Call *call, const NodePlace *place, const FileAttributes *attributes,
                     Metadata *others, gboolean if_absent, ObjectInfo *out_info, GError **error)
{
    g_autoptr(GHashTable) metadata = attributes_encode(attributes, others);
    ByteSource source = {.size_bytes = 0, .read = read_nothing};
    WriteOptions options = {
        .content_type = "application/x-directory", .metadata = metadata, .if_absent = if_absent};
    if (!storage_write_object(place->storage, call, place->container, place->prefix, &source, &options,
                              out_info, error))
        return FALSE;
    g_free(out_info->key);
    out_info->key = g_strdup(place->prefix);
    if (out_info->metadata == NULL)
        out_info->metadata = g_hash_table_ref(metadata);
    return TRUE;
}

static gboolean
check_place(Node *parent, const NodePlace *place, const char *name, GError **error)
{
    if (!storage_get_settings(place->storage)->folders) {
        g_set_error(error, STORAGEFS_ERROR, ERROR_NOT_PERMITTED,
                    "%s/%s: containers hold no directories; set folders = yes for the storage",
                    storage_get_name(place->storage), name);
        return FALSE;
    }
    if (place->prefix == NULL) {
        g_set_error(error, STORAGEFS_ERROR, ERROR_BAD_NAME, "\"%s\" cannot be a directory's name", name);
        return FALSE;
    }
    return storage_check_key(place->storage, place->prefix, error);
}

gboolean
objects_check_absent(Tree *tree, Call *call, Node *parent, const char *name, GError **error)
{
    Node *node = NULL;
    if (!objects_look(tree, call, parent, name, LOOK_KIND, &node, error))
        return FALSE;
    if (node == NULL)
        return objects_finish_lingering_name(tree, call, parent, name, error);
    tree_node_unref(tree, node);
    g_set_error(error, STORAGEFS_ERROR, ERROR_EXISTS, "%s exists", name);
    return FALSE;
}

gboolean
objects_make_directory(Tree *tree, Call *call, Node *parent, const char *name, mode_t mode, uid_t uid,
                       gid_t gid, TreeEntry *out, GError **error)
{
    g_auto(NodePlace) place = {0};
    g_auto(ObjectInfo) stored = {0};
    FileAttributes attributes = {
        .mtime_ns = g_get_real_time() * 1000, .mode = S_IFDIR | (mode & 07777), .uid = uid, .gid = gid};
    if (!tree_core_check_writable(tree, parent, error))
        return FALSE;
    lock_acquire(&tree->lock);
    gboolean ok = node_place_init(&place, parent, name, error);
    lock_release(&tree->lock);
    if (!ok || !check_place(parent, &place, name, error) ||
        !objects_check_absent(tree, call, parent, name, error))
        return FALSE;
    GError *failure = NULL;
    if (!objects_write_marker(tree, call, &place, &attributes, NULL, TRUE, &stored, &failure)) {
        objects_doubt_failure(tree, parent, name, failure);
        containers_doubt_failure(tree, parent, failure);
        g_propagate_error(error, failure);
        tree_core_flush(tree);
        return FALSE;
    }
    g_auto(EntryFacts) facts = {.kind = NODE_FOLDER,
                                .flags = FACT_EXACT | FACT_MARKER | FACT_MARKER_ASKED,
                                .known_at_us = tree_core_now()};
    entry_facts_from_attributes(&facts, &attributes);
    version_tag_set(&facts.tag, stored.etag);
    lock_acquire(&tree->lock);
    Node *node = objects_apply_locked(tree, parent, name, &facts, &stored);
    objects_know_empty_locked(node);
    objects_appeared_locked(tree, node);
    tree_core_confirm_locked(parent, facts.known_at_us);
    tree_core_fill_entry_locked(tree, node, out);
    lock_release(&tree->lock);
    return TRUE;
}

/* What a few keys below a folder tell; the marker sorts first. */
typedef struct {
    gboolean has_marker;
    guint others; /* keys beside the marker and `ignored` */
} FolderContent;

static gboolean
is_below_key(const char *key, const char *ignored)
{
    gsize length = ignored != NULL ? strlen(ignored) : 0;
    if (length == 0)
        return FALSE;
    return ignored[length - 1] == '/' ? strncmp(key, ignored, length) == 0 : strcmp(key, ignored) == 0;
}

static gboolean
fetch_content(Tree *tree, Call *call, const NodePlace *place, const char *ignored, FolderContent *out,
              GError **error)
{
    g_auto(ListPage) page;
    gint64 asked_us = tree_core_now();
    list_page_init(&page);
    if (!objects_fetch_first(place->storage, call, place->container, place->prefix, 3, &page, error))
        return FALSE;
    for (guint i = 0; i < page.objects->len; i++) {
        const ObjectInfo *info = &g_array_index(page.objects, ObjectInfo, i);
        if (strcmp(info->key, place->prefix) == 0 && info->size_bytes == 0)
            out->has_marker = TRUE;
        else if (!is_below_key(info->key, ignored) &&
                 !objects_removal_hides(tree, place->storage, place->container, info, asked_us))
            out->others++;
    }
    return TRUE;
}

static gboolean
init_folder_place(Tree *tree, Node *folder, NodePlace *place, FileAttributes *attributes, GError **error)
{
    lock_acquire(&tree->lock);
    gboolean ok = node_place_init(place, folder->parent, folder->name, error);
    entry_facts_to_attributes(&folder->facts, attributes);
    lock_release(&tree->lock);
    return ok;
}

static gboolean
keep_by_marker(Tree *tree, Call *call, Node *folder, const NodePlace *place, FileAttributes *attributes,
               GError **error)
{
    g_auto(ObjectInfo) stored = {0};
    if (attributes->mtime_ns == 0)
        attributes->mtime_ns = g_get_real_time() * 1000;
    if (!objects_write_marker(tree, call, place, attributes, NULL, FALSE, &stored, error))
        return FALSE;
    lock_acquire(&tree->lock);
    folder->facts.flags |= FACT_MARKER | FACT_MARKER_ASKED;
    lock_release(&tree->lock);
    return TRUE;
}

/* A complete young listing knows whether there are others, without a request. */
static gboolean
has_others_listed(Tree *tree, Node *folder)
{
    guint found = 0;
    guint64 position = 0;
    lock_acquire(&tree->lock);
    Listing *listing = objects_get_fresh_listing(folder, tree_core_now());
    while (listing != NULL && listing->complete && found < 2) {
        g_autofree char *name = NULL;
        EntryFacts *facts = NULL;
        if (listing_next(listing, &position, &name, &facts) != LISTING_ITEM)
            break;
        found++;
    }
    lock_release(&tree->lock);
    return found >= 2;
}

static guint8
get_flags(Tree *tree, Node *folder)
{
    lock_acquire(&tree->lock);
    guint8 flags = folder->facts.flags;
    lock_release(&tree->lock);
    return flags;
}

gboolean
objects_keep_folder(Tree *tree, Call *call, Node *folder, const char *key, GError **error)
{
    g_auto(NodePlace) place = {0};
    FileAttributes attributes;
    FolderContent content = {0};
    if (folder->kind != NODE_FOLDER || (get_flags(tree, folder) & (FACT_MARKER | FACT_BARE_MARK)) != 0 ||
        has_others_listed(tree, folder))
        return TRUE;
    if (!init_folder_place(tree, folder, &place, &attributes, error) ||
        !fetch_content(tree, call, &place, key, &content, error))
        return FALSE;
    if (content.others > 0 && !content.has_marker)
        return TRUE;
    if (!content.has_marker)
        return keep_by_marker(tree, call, folder, &place, &attributes, error);
    lock_acquire(&tree->lock);
    folder->facts.flags |= FACT_MARKER | FACT_MARKER_ASKED;
    lock_release(&tree->lock);
    return TRUE;
}

gboolean
objects_keep_parent(Tree *tree, Call *call, Node *node, const char *key, GError **error)
{
    Node *parent = tree_core_ref_parent(tree, node);
    gboolean ok = objects_keep_folder(tree, call, parent, key, error);
    tree_node_unref(tree, parent);
    return ok;
}

gboolean
objects_check_empty(Tree *tree, Call *call, Node *folder, GError **error)
{
    g_auto(NodePlace) place = {0};
    FileAttributes ignored;
    FolderContent content = {0};
    if (!objects_finish_lingering(tree, call, folder, error) ||
        !init_folder_place(tree, folder, &place, &ignored, error) ||
        !fetch_content(tree, call, &place, NULL, &content, error))
        return FALSE;
    return content.others == 0 || tree_core_fail(tree, folder, ERROR_NOT_EMPTY, "is not empty", error);
}

/* An object that gave its name to this folder gets it back: the listing has it under the other name. */
static void
give_name_back_locked(Node *folder)
{
    Listing *listing = folder->parent->folder->listings;
    g_autofree char *beside = g_strconcat(folder->name, "%00", NULL);
    EntryFacts *facts = NULL;
    if (listing != NULL && listing_lookup(listing, beside, &facts) == LISTING_PRESENT)
        listing_chain_expire(listing);
}

static gboolean
remove_folder(Tree *tree, Call *call, Node *folder, GError **error)
{
    g_auto(NodePlace) place = {0};
    FileAttributes ignored;
    if (!objects_check_empty(tree, call, folder, error) ||
        !init_folder_place(tree, folder, &place, &ignored, error) ||
        !objects_keep_parent(tree, call, folder, place.prefix, error) ||
        !storage_delete_object(place.storage, call, place.container, place.prefix, NULL, error))
        return FALSE;
    if (get_flags(tree, folder) & FACT_BARE_MARK &&
        !storage_delete_object(place.storage, call, place.container, place.key, NULL, error))
        return FALSE;
    lock_acquire(&tree->lock);
    objects_vanished_locked(tree, folder->parent, folder->name);
    give_name_back_locked(folder);
    tree_core_confirm_locked(folder->parent, tree_core_now());
    lock_release(&tree->lock);
    return TRUE;
}

gboolean
objects_remove_directory(Tree *tree, Call *call, Node *parent, const char *name, GError **error)
{
    Node *node = NULL;
    if (!tree_core_check_writable(tree, parent, error) ||
        !objects_find(tree, call, parent, name, &node, error))
        return FALSE;
    gboolean ok = FALSE;
    GError *failure = NULL;
    if (node->kind != NODE_FOLDER)
        g_set_error(&failure, STORAGEFS_ERROR, ERROR_NOT_FOLDER, "%s is not a directory", name);
    else
        ok = remove_folder(tree, call, node, &failure);
    if (!ok) {
        objects_doubt_failure(tree, parent, name, failure);
        g_propagate_error(error, failure);
    }
    tree_node_unref(tree, node);
    tree_core_flush(tree);
    return ok;
}
