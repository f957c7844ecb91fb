/* Opening and changing files of file system storages. */
#include "src/tree/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

static gboolean
wants_write(int flags)
{
    return (flags & O_ACCMODE) != O_RDONLY || flags & O_TRUNC;
}

static gboolean
open_place(FilesPlace *place, int flags, mode_t mode, int *out_fd, GError **error)
{
    /* Appending is said with each write (see FILE_HANDLE_APPEND), and what the kernel hands us is not aligned
     * as O_DIRECT wants it. */
    return place->files->open_file(place->instance, place->place.container, place->place.key,
                                   flags & ~(O_APPEND | O_DIRECT), mode, place->flat, out_fd, error);
}

static gboolean
stat_place(FilesPlace *place, struct stat *out, GError **error)
{
    return place->files->stat_file(place->instance, place->place.container, place->place.key, out, error);
}

static FileHandle *
add_handle_locked(Node *node, FileHandle *handle)
{
    node->handles = g_slist_prepend(node->handles, handle);
    return handle;
}

/* The file that has no name any more, once more: through /proc/self/fd, for example. */
static gboolean
open_nameless(int open_fd, int flags, int *out_fd, GError **error)
{
    char path[32];
    g_snprintf(path, sizeof path, "/proc/self/fd/%d", open_fd);
    int fd = open(path, (flags & (O_ACCMODE | O_TRUNC | O_SYNC | O_DSYNC | O_NOATIME)) | O_CLOEXEC);
    close(open_fd);
    if (fd < 0)
        return error_set_errno(error, errno, "open");
    *out_fd = fd;
    return TRUE;
}

static gboolean
open_node(Tree *tree, Node *node, int flags, int *out_fd, gboolean *out_by_name, GError **error)
{
    g_auto(FilesPlace) place = {0};
    /* One that was replaced is refused, so that the kernel looks its path up again; an unlinked one has none.
     */
    int nameless = files_dup_nameless(tree, node, NODE_UNLINKED);
    *out_by_name = nameless < 0;
    if (nameless >= 0)
        return open_nameless(nameless, flags, out_fd, error);
    return files_place_of(tree, &place, node, error) &&
           open_place(&place, flags & ~(O_CREAT | O_EXCL), 0, out_fd, error);
}

/* FALSE: the name has come to be another file's, which is another Node; or it is not this Node's any more, so
 * that nobody knows whose file was opened. */
static gboolean
take_open_locked(Tree *tree, Node *node, gboolean by_name, const struct stat *attributes) REQUIRES(tree->lock)
{
    if (node->flags & NODE_DETACHED)
        return !by_name;
    return files_apply_locked(tree, node->parent, node->name, attributes) == node;
}

gboolean
files_open(Tree *tree, Call *call, Node *node, int flags, FileHandle **out_handle, gboolean *out_keep_cache,
           GError **error)
{
    struct stat attributes;
    gboolean is_stale = FALSE, by_name = TRUE;
    int fd = -1;
    if ((wants_write(flags) && !tree_core_check_writable(tree, node, error)) ||
        !open_node(tree, node, flags, &fd, &by_name, error))
        return FALSE;
    if (fstat(fd, &attributes) != 0) {
        error_set_errno(error, errno, "fstat");
        close(fd);
        return FALSE;
    }
    lock_acquire(&tree->lock);
    gboolean ok = take_open_locked(tree, node, by_name, &attributes);
    if (ok) {
        *out_keep_cache = tree_core_open_pages_locked(node, &is_stale);
        *out_handle = add_handle_locked(node, local_handle_new(node_get_storage(node), fd, flags));
    }
    lock_release(&tree->lock);
    tree_core_flush(tree);
    if (is_stale)
        tree_core_drop_attributes(tree, node);
    if (ok)
        return TRUE;
    close(fd);
    return tree_core_fail(tree, node, ERROR_NOT_FOUND, "was replaced", error);
}

/* A file belongs to who made it, where we may give it away. */
static void
give_away(int fd, const FileAttributes *made)
{
    if (geteuid() == 0 && fchown(fd, made->uid, made->gid) != 0)
        return;
    fchmod(fd, made->mode & 07777);
}

gboolean
files_create(Tree *tree, Call *call, Node *parent, const char *name, int flags, const FileAttributes *made,
             TreeEntry *out, FileHandle **out_handle, GError **error)
{
    g_auto(FilesPlace) place = {0};
    struct stat attributes;
    gboolean is_stale;
    int fd = -1;
    if (!tree_core_check_writable(tree, parent, error) ||
        !files_place_init(tree, &place, parent, name, error) ||
        !storage_check_key(place.place.storage, place.place.key, error))
        return FALSE;
    mode_t mode = made->mode & 07777;
    g_autoptr(GError) failure = NULL;
    gboolean is_new = open_place(&place, flags | O_CREAT | O_EXCL, mode, &fd, &failure);
    if (!is_new && (flags & O_EXCL || !error_is(failure, ERROR_EXISTS))) {
        g_propagate_error(error, g_steal_pointer(&failure));
        return FALSE;
    }
    if (!is_new && !open_place(&place, flags & ~O_CREAT, 0, &fd, error))
        return FALSE;
    if (is_new)
        give_away(fd, made);
    if (fstat(fd, &attributes) != 0) {
        error_set_errno(error, errno, "%s", name);
        close(fd);
        return FALSE;
    }
    lock_acquire(&tree->lock);
    Node *node = files_apply_locked(tree, parent, name, &attributes);
    tree_core_open_pages_locked(node, &is_stale);
    files_fill_entry_locked(tree, node, &attributes, out);
    FileHandle *handle = local_handle_new(place.place.storage, fd, flags & ~(O_CREAT | O_EXCL | O_TRUNC));
    *out_handle = add_handle_locked(node, handle);
    lock_release(&tree->lock);
    tree_core_flush(tree);
    if (is_stale)
        tree_core_drop_attributes(tree, node);
    return TRUE;
}

void
files_release(Tree *tree, Call *call, Node *node, FileHandle *handle)
{
    lock_acquire(&tree->lock);
    node->handles = g_slist_remove(node->handles, handle);
    if (node->handles == NULL)
        tree_core_close_pages_locked(node);
    lock_release(&tree->lock);
    handle->operations->close(handle, call);
    tree_core_flush(tree);
}

static gboolean
take_new(Tree *tree, FilesPlace *place, Node *parent, const char *name, TreeEntry *out, GError **error)
{
    struct stat attributes;
    if (!stat_place(place, &attributes, error))
        return FALSE;
    lock_acquire(&tree->lock);
    files_fill_entry_locked(tree, files_apply_locked(tree, parent, name, &attributes), &attributes, out);
    lock_release(&tree->lock);
    return TRUE;
}

/* Best effort: without the right to give files away they stay ours. */
static void
set_owner(FilesPlace *place, uid_t uid, gid_t gid)
{
    struct stat owner = {.st_uid = uid, .st_gid = gid};
    if (geteuid() == 0)
        place->files->set_attributes(place->instance, place->place.container, place->place.key,
                                     FILE_SET_UID | FILE_SET_GID, &owner, NULL, NULL);
}

gboolean
files_make_directory(Tree *tree, Call *call, Node *parent, const char *name, mode_t mode, uid_t uid,
                     gid_t gid, TreeEntry *out, GError **error)
{
    g_auto(FilesPlace) place = {0};
    if (!tree_core_check_writable(tree, parent, error) ||
        !files_place_init(tree, &place, parent, name, error))
        return FALSE;
    if (place.flat) {
        g_set_error(error, STORAGEFS_ERROR, ERROR_NOT_PERMITTED,
                    "%s/%s: containers hold no directories; set folders = yes for the storage",
                    storage_get_name(place.place.storage), name);
        return FALSE;
    }
    if (!storage_check_key(place.place.storage, place.place.prefix, error) ||
        !place.files->make_folder(place.instance, place.place.container, place.place.key, mode & 07777,
                                  error))
        return FALSE;
    set_owner(&place, uid, gid);
    return take_new(tree, &place, parent, name, out, error);
}

/* The name is gone from the file system: its Node, too. */
static void
forget_name(Tree *tree, Node *parent, const char *name)
{
    lock_acquire(&tree->lock);
    Node *node = tree_core_find_locked(tree, parent, name);
    if (node != NULL)
        tree_core_detach_locked(tree, node, NODE_UNLINKED);
    lock_release(&tree->lock);
}

gboolean
files_remove_directory(Tree *tree, Call *call, Node *parent, const char *name, GError **error)
{
    g_auto(FilesPlace) place = {0};
    if (!tree_core_check_writable(tree, parent, error) ||
        !files_place_init(tree, &place, parent, name, error) ||
        !place.files->remove_folder(place.instance, place.place.container, place.place.key, error))
        return FALSE;
    forget_name(tree, parent, name);
    return TRUE;
}

gboolean
files_make_symlink(Tree *tree, Call *call, Node *parent, const char *name, const char *target, uid_t uid,
                   gid_t gid, TreeEntry *out, GError **error)
{
    g_auto(FilesPlace) place = {0};
    if (!tree_core_check_writable(tree, parent, error) ||
        !files_place_init(tree, &place, parent, name, error) ||
        !storage_check_key(place.place.storage, place.place.key, error) ||
        !place.files->make_symlink(place.instance, place.place.container, place.place.key, target, place.flat,
                                   error))
        return FALSE;
    set_owner(&place, uid, gid);
    return take_new(tree, &place, parent, name, out, error);
}

gboolean
files_read_symlink(Tree *tree, Call *call, Node *node, char **out_target, GError **error)
{
    g_auto(FilesPlace) place = {0};
    return files_place_of(tree, &place, node, error) &&
           place.files->read_symlink(place.instance, place.place.container, place.place.key, out_target,
                                     error);
}

gboolean
files_unlink(Tree *tree, Call *call, Node *parent, const char *name, GError **error)
{
    g_auto(FilesPlace) place = {0};
    if (!tree_core_check_writable(tree, parent, error) ||
        !files_place_init(tree, &place, parent, name, error) ||
        !place.files->remove_file(place.instance, place.place.container, place.place.key, place.flat, error))
        return FALSE;
    forget_name(tree, parent, name);
    return TRUE;
}

/* RENAME_EXCHANGE leaves both names; the next look-ups find which file each one is. */
static void
move_name(Tree *tree, Node *parent, const char *name, Node *new_parent, const char *new_name,
          gboolean exchange)
{
    lock_acquire(&tree->lock);
    Node *node = tree_core_find_locked(tree, parent, name);
    Node *target = tree_core_find_locked(tree, new_parent, new_name);
    if (exchange) {
        if (node != NULL)
            tree_core_announce_entry_locked(tree, parent, name);
        if (target != NULL)
            tree_core_announce_entry_locked(tree, new_parent, new_name);
    }
    if (target != NULL && target != node)
        tree_core_detach_locked(tree, target, NODE_UNLINKED);
    if (node != NULL && exchange)
        tree_core_detach_locked(tree, node, NODE_UNLINKED);
    else if (node != NULL && target != node)
        tree_core_move_locked(tree, node, new_parent, new_name);
    lock_release(&tree->lock);
}

gboolean
files_rename(Tree *tree, Call *call, Node *parent, const char *name, Node *new_parent, const char *new_name,
             unsigned flags, GError **error)
{
    g_auto(FilesPlace) from = {0}, to = {0};
    if (!tree_core_check_writable(tree, parent, error))
        return FALSE;
    /* RENAME_WHITEOUT, which leaves a device node behind. */
    if (flags & ~(unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE)) {
        g_set_error(error, STORAGEFS_ERROR, ERROR_BAD_ARGUMENT, "%s: this kind of rename is not offered",
                    name);
        return FALSE;
    }
    if (new_parent->kind < NODE_CONTAINER || !tree_core_same_storage(tree, new_parent, parent)) {
        g_set_error(error, STORAGEFS_ERROR, ERROR_OTHER_STORAGE, "%s: a rename stays inside its storage",
                    name);
        return FALSE;
    }
    if (!files_place_init(tree, &from, parent, name, error) ||
        !files_place_init(tree, &to, new_parent, new_name, error) ||
        !storage_check_key(to.place.storage, to.place.key, error) ||
        !from.files->rename_file(from.instance, from.place.container, from.place.key, to.place.container,
                                 to.place.key, flags, from.flat, error))
        return FALSE;
    move_name(tree, parent, name, new_parent, new_name, (flags & RENAME_EXCHANGE) != 0);
    tree_core_flush(tree);
    return TRUE;
}
