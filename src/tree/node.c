/* Nodes and the places they stand for, see node.h. */
#include "src/tree/node.h"

#include "src/tree/listing.h"
#include "src/tree/object_name.h"

#include <string.h>

/* FNV-1a over the path, so that the same path has the same number in every mount. */
guint64
node_hash_inode(const Node *parent, const char *name)
{
    guint64 hash = parent != NULL ? parent->inode : 14695981039346656037u;
    for (const char *at = name; *at != '\0'; at++)
        hash = (hash ^ (guint8)*at) * 1099511628211u;
    hash = (hash ^ '/') * 1099511628211u;
    /* 0 means "no inode" to many programs, 1 is the mount's root. */
    return hash < 2 ? hash + 2 : hash;
}

static gboolean
is_directory_kind(NodeKind kind)
{
    return S_ISDIR(entry_facts_type(kind));
}

Node *
node_new(Node *parent, const char *name, NodeKind kind)
{
    gsize length = strlen(name) + 1;
    Node *node = g_malloc0(sizeof *node + length);
    memcpy(node->own_name, name, length);
    node->name = node->own_name;
    node->parent = parent;
    node->inode = kind == NODE_ROOT ? 1 : node_hash_inode(parent, name);
    node->kind = node->facts.kind = (guint8)kind;
    if (parent != NULL) {
        parent->refs++;
        node->is_in_files = parent->is_in_files;
    }
    if (is_directory_kind(kind))
        node->folder = g_new0(FolderState, 1);
    return node;
}

static void
free_folder(FolderState *folder)
{
    g_clear_pointer(&folder->storage, storage_unref);
    g_clear_pointer(&folder->lingering, g_hash_table_unref);
    g_clear_pointer(&folder->absent, g_hash_table_unref);
    listing_chain_forget(&folder->listings);
    if (folder->order != NULL)
        g_free(folder->order->head);
    g_free(folder->order);
    g_free(folder);
}

void
node_free(Node *node)
{
    if (node_is_directory(node))
        free_folder(node->folder);
    else if (node->kind == NODE_LINK)
        g_free(node->target);
    else if (node->is_in_files)
        g_slist_free(node->handles);
    else
        g_clear_pointer(&node->file, object_file_unref);
    if (node->name != node->own_name)
        g_free((char *)node->name);
    entry_facts_clear(&node->facts);
    g_free(node);
}

gboolean
node_is_unused(const Node *node)
{
    return node->refs == 0 && node->lookups == 0;
}

gboolean
node_is_directory(const Node *node)
{
    return is_directory_kind((NodeKind)node->kind);
}

void
node_move(Node *node, Node *parent, const char *name)
{
    char *copy = g_strdup(name);
    if (node->name != node->own_name)
        g_free((char *)node->name);
    node->name = copy;
    node->parent = parent;
}

Node *
node_get_storage_node(Node *node)
{
    while (node != NULL && node->kind != NODE_STORAGE)
        node = node->parent;
    return node;
}

Node *
node_get_container_node(Node *node)
{
    while (node != NULL && node->kind != NODE_CONTAINER)
        node = node->parent;
    return node;
}

Storage *
node_get_storage(Node *node)
{
    Node *storage = node_get_storage_node(node);
    return storage != NULL ? storage->folder->storage : NULL;
}

gboolean
node_is_below(Node *node, const Node *ancestor)
{
    while (node != NULL && node != ancestor)
        node = node->parent;
    return node != NULL;
}

/* Folders exist in the folder layout only, where every name is one part. */
static char *
part_of_name(const Node *node)
{
    char *part = NULL;
    gboolean beside;
    if (node->is_in_files || !object_name_to_part(node->name, &part, &beside, NULL))
        part = g_strdup(node->name);
    return part;
}

char *
node_make_prefix(Node *node)
{
    GString *prefix = g_string_new(NULL);
    for (; node != NULL && node->kind == NODE_FOLDER; node = node->parent) {
        g_autofree char *part = part_of_name(node);
        g_string_prepend_c(prefix, '/');
        g_string_prepend(prefix, part);
    }
    return g_string_free(prefix, FALSE);
}

static gboolean
init_flat(NodePlace *place, const char *name, GError **error)
{
    return object_name_to_key(name, &place->key, error);
}

static gboolean
init_folders(NodePlace *place, Node *parent, const char *name, GError **error)
{
    g_autofree char *part = NULL;
    if (!object_name_to_part(name, &part, &place->beside, error))
        return FALSE;
    g_autofree char *base = node_make_prefix(parent);
    if (place->beside || part[0] != '\0')
        place->key = g_strconcat(base, part, NULL);
    if (!place->beside)
        place->prefix = g_strconcat(base, part, "/", NULL);
    return TRUE;
}

/* A file system's names are the names themselves. */
static void
init_files(NodePlace *place, Node *parent, const char *name)
{
    g_autofree char *base = node_make_prefix(parent);
    place->key = g_strconcat(base, name, NULL);
    place->prefix = g_strconcat(base, name, "/", NULL);
}

gboolean
node_place_init(NodePlace *place, Node *parent, const char *name, GError **error)
{
    Node *storage = node_get_storage_node(parent), *container = node_get_container_node(parent);
    g_assert(storage != NULL && container != NULL);
    memset(place, 0, sizeof *place);
    gboolean ok = TRUE;
    if (!storage_get_settings(storage->folder->storage)->folders)
        ok = init_flat(place, name, error);
    else if (parent->is_in_files)
        init_files(place, parent, name);
    else
        ok = init_folders(place, parent, name, error);
    if (!ok)
        return FALSE;
    place->storage = storage_ref(storage->folder->storage);
    place->container = g_strdup(container->name);
    return TRUE;
}

void
node_place_clear(NodePlace *place)
{
    g_clear_pointer(&place->storage, storage_unref);
    g_free(place->container);
    g_free(place->key);
    g_free(place->prefix);
    memset(place, 0, sizeof *place);
}

char *
node_describe(Node *node)
{
    GString *path = g_string_new(NULL);
    for (; node != NULL && node->parent != NULL; node = node->parent) {
        if (path->len > 0)
            g_string_prepend_c(path, '/');
        g_string_prepend(path, node->name);
    }
    return g_string_free(path, FALSE);
}
