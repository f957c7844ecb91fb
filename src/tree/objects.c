/* The table of operations of object services, see objects.h. */
#include "src/tree/objects.h"

#include "src/tree/containers.h"

static gboolean
stat_filesystem(Tree *tree, Node *node, struct statvfs *out, GError **error)
{
    containers_stat_filesystem(out);
    return TRUE;
}

const TreeOperations objects_operations = {
    .lookup_ready = objects_lookup_ready,
    .lookup = objects_lookup,
    .stat_ready = objects_stat_ready,
    .stat = objects_stat,
    .set_attributes = objects_set_attributes,
    .read_symlink = objects_read_symlink,
    .make_symlink = objects_make_symlink,
    .open_ready = objects_open_ready,
    .open = objects_open,
    .create_ready = objects_create_ready,
    .create = objects_create,
    .release = objects_release,
    .open_listing = objects_recall_open_listing,
    .fetch_page = objects_fetch_page,
    .prefetch_page = objects_prefetch_page,
    .take = objects_take,
    .make_directory = objects_make_directory,
    .remove_directory = objects_remove_directory,
    .unlink = objects_unlink,
    .rename = objects_rename,
    .get_xattr = objects_get_xattr,
    .list_xattrs = objects_list_xattrs,
    .set_xattr = objects_set_xattr,
    .remove_xattr = objects_remove_xattr,
    .stat_filesystem = stat_filesystem,
};
