/* The table of operations of file system storages, see files.h, and their extended attributes. */
#include "src/tree/files.h"

#include <string.h>

#define KEY_ATTRIBUTE "storagefs.key"

static gboolean
check_name(const char *name, GError **error)
{
    if (g_str_has_prefix(name, "user.") && name[5] != '\0')
        return TRUE;
    g_set_error(error, STORAGEFS_ERROR, ERROR_UNSUPPORTED, "attribute %s: only user.* can be kept", name);
    return FALSE;
}

static gboolean
get_xattr(Tree *tree, Call *call, Node *node, const char *name, GBytes **out_value, GError **error)
{
    g_auto(FilesPlace) place = {0};
    if (!files_place_of(tree, &place, node, error))
        return FALSE;
    const char *key = place.place.key;
    if (strcmp(name, KEY_ATTRIBUTE) == 0 && key[0] != '\0') {
        *out_value = g_bytes_new(key, strlen(key));
        return TRUE;
    }
    if (g_str_has_prefix(name, "storagefs.")) {
        g_set_error(error, STORAGEFS_ERROR, ERROR_NO_ATTRIBUTE, "there is no attribute %s", name);
        return FALSE;
    }
    return check_name(name, error) &&
           place.files->get_xattr(place.instance, place.place.container, key, name, out_value, error);
}

/* Without storagefs.*: tools that copy attributes would try to set them. */
static gboolean
list_xattrs(Tree *tree, Call *call, Node *node, GBytes **out_names, GError **error)
{
    g_auto(FilesPlace) place = {0};
    return files_place_of(tree, &place, node, error) &&
           place.files->list_xattrs(place.instance, place.place.container, place.place.key, out_names, error);
}

static gboolean
set_xattr(Tree *tree, Call *call, Node *node, const char *name, GBytes *value, int flags, GError **error)
{
    g_auto(FilesPlace) place = {0};
    gsize length = 0;
    const void *data = g_bytes_get_data(value, &length);
    return tree_core_check_writable(tree, node, error) && check_name(name, error) &&
           files_check_name(tree, node, error) && files_place_of(tree, &place, node, error) &&
           place.files->set_xattr(place.instance, place.place.container, place.place.key, name, data, length,
                                  flags, error);
}

static gboolean
remove_xattr(Tree *tree, Call *call, Node *node, const char *name, GError **error)
{
    g_auto(FilesPlace) place = {0};
    return tree_core_check_writable(tree, node, error) && check_name(name, error) &&
           files_check_name(tree, node, error) && files_place_of(tree, &place, node, error) &&
           place.files->remove_xattr(place.instance, place.place.container, place.place.key, name, error);
}

static gboolean
stat_filesystem(Tree *tree, Node *node, struct statvfs *out, GError **error)
{
    lock_acquire(&tree->lock);
    Storage *storage = storage_ref(node_get_storage(node));
    lock_release(&tree->lock);
    gboolean ok = storage_get_files(storage)->stat_filesystem(storage_get_instance(storage), out, error);
    storage_unref(storage);
    return ok;
}

const TreeOperations files_operations = {
    .lookup_ready = files_lookup_ready,
    .lookup = files_lookup,
    .stat_ready = files_stat_ready,
    .stat = files_stat,
    .set_attributes = files_set_attributes,
    .read_symlink = files_read_symlink,
    .make_symlink = files_make_symlink,
    .open = files_open,
    .create = files_create,
    .release = files_release,
    .open_listing = files_open_listing,
    .take = files_take,
    .make_directory = files_make_directory,
    .remove_directory = files_remove_directory,
    .unlink = files_unlink,
    .rename = files_rename,
    .get_xattr = get_xattr,
    .list_xattrs = list_xattrs,
    .set_xattr = set_xattr,
    .remove_xattr = remove_xattr,
    .stat_filesystem = stat_filesystem,
};
