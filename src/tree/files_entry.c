/* Look-ups, stat and listings in file system storages. */
#include "src/tree/files.h"

#include "src/tree/containers.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define NS_PER_S G_GINT64_CONSTANT(1000000000)

static gboolean
reach(FilesPlace *place)
{
    place->files = storage_get_files(place->place.storage);
    place->instance = storage_get_instance(place->place.storage);
    place->flat = !storage_get_settings(place->place.storage)->folders;
    return TRUE;
}

gboolean
files_place_init(Tree *tree, FilesPlace *place, Node *parent, const char *name, GError **error)
{
    memset(place, 0, sizeof *place);
    lock_acquire(&tree->lock);
    gboolean ok = node_place_init(&place->place, parent, name, error);
    lock_release(&tree->lock);
    return ok && reach(place);
}

gboolean
files_place_of(Tree *tree, FilesPlace *place, Node *node, GError **error)
{
    memset(place, 0, sizeof *place);
    lock_acquire(&tree->lock);
    gboolean detached = (node->flags & NODE_DETACHED) != 0, removed = (node->flags & NODE_UNLINKED) != 0;
    if (detached || node->kind != NODE_CONTAINER) {
        gboolean ok = !detached && node_place_init(&place->place, node->parent, node->name, error);
        lock_release(&tree->lock);
        if (detached)
            tree_core_fail(tree, node, removed ? ERROR_NOT_FOUND : ERROR_CHANGED,
                           removed ? "was removed" : "was replaced", error);
        return ok && reach(place);
    }
    place->place.storage = storage_ref(node_get_storage(node));
    place->place.container = g_strdup(node->name);
    lock_release(&tree->lock);
    place->place.key = g_strdup("");
    return reach(place);
}

void
files_place_clear(FilesPlace *place)
{
    node_place_clear(&place->place);
}

static NodeKind
kind_of(mode_t mode)
{
    if (S_ISDIR(mode))
        return NODE_FOLDER;
    return S_ISLNK(mode) ? NODE_SYMLINK : NODE_FILE;
}

/* Content is the same while inode, size, mtime and ctime are. */
static void
make_version(VersionTag *tag, const struct stat *attributes)
{
    g_autofree char *text = g_strdup_printf(
        "%" G_GUINT64_FORMAT "-%" G_GINT64_FORMAT "-%" G_GINT64_FORMAT ".%09ld-%" G_GINT64_FORMAT ".%09ld",
        (guint64)attributes->st_ino, (gint64)attributes->st_size, (gint64)attributes->st_mtim.tv_sec,
        attributes->st_mtim.tv_nsec, (gint64)attributes->st_ctim.tv_sec, attributes->st_ctim.tv_nsec);
    g_autofree char *digest = g_compute_checksum_for_string(G_CHECKSUM_MD5, text, -1);
    version_tag_set(tag, digest);
}

static void
take_attributes(Node *node, const struct stat *attributes)
{
    EntryFacts *facts = &node->facts;
    VersionTag version = {0};
    facts->size_bytes = (guint64)attributes->st_size;
    facts->mtime_ns = attributes->st_mtim.tv_sec * NS_PER_S + attributes->st_mtim.tv_nsec;
    facts->mode = (guint16)(attributes->st_mode & 07777);
    facts->uid = attributes->st_uid;
    facts->gid = attributes->st_gid;
    facts->flags = FACT_EXACT;
    facts->known_at_us = tree_core_now();
    if (facts->kind != NODE_FILE)
        return;
    make_version(&version, attributes);
    if (version_tag_is_set(&facts->tag) && !version_tag_equal(&version, &facts->tag))
        tree_core_note_version_locked(node);
    version_tag_clear(&facts->tag);
    facts->tag = version;
}

/* Another file has the name of one that is open: its handles keep the old Node, so that the kernel never
 * mixes the pages of both, nor the pages of one with the size of the other. */
static gboolean
was_replaced(const Node *node, const struct stat *attributes)
{
    struct stat open;
    return node->kind == NODE_FILE && node->handles != NULL &&
           fstat(((FileHandle *)node->handles->data)->fd, &open) == 0 &&
           (open.st_ino != attributes->st_ino || open.st_dev != attributes->st_dev);
}

/* Found by its name, but that is another file's now. */
static gboolean
lost_name(const Node *node, const struct stat *attributes)
{
    return !(node->flags & NODE_DETACHED) && node->parent != NULL && node->kind != NODE_CONTAINER &&
           (node->kind != kind_of(attributes->st_mode) || was_replaced(node, attributes));
}

static void
give_name_up_locked(Tree *tree, Node *node) REQUIRES(tree->lock)
{
    tree_core_announce_entry_locked(tree, node->parent, node->name);
    tree_core_detach_locked(tree, node, 0);
}

Node *
files_apply_locked(Tree *tree, Node *parent, const char *name, const struct stat *attributes)
{
    Node *node = tree_core_find_locked(tree, parent, name);
    if (node != NULL && lost_name(node, attributes)) {
        give_name_up_locked(tree, node);
        node = NULL;
    }
    if (node == NULL)
        node = tree_core_attach_locked(tree, parent, name, kind_of(attributes->st_mode));
    take_attributes(node, attributes);
    return node;
}

/* The file's own attributes, under our inode number. */
static void
fill_stat(Node *node, const struct stat *attributes, struct stat *out)
{
    *out = *attributes;
    out->st_ino = node->inode;
    out->st_dev = 0;
    out->st_rdev = 0;
    if (S_ISDIR(out->st_mode))
        out->st_nlink = 1;
}

void
files_fill_entry_locked(Tree *tree, Node *node, const struct stat *attributes, TreeEntry *out)
{
    gint64 freshness_us = tree_core_get_freshness_us(node);
    node->lookups++;
    out->node = node;
    fill_stat(node, attributes, &out->stat);
    out->entry_valid_us = out->attributes_valid_us = freshness_us;
}

TreeReady
files_lookup_ready(Tree *tree, Node *parent, const char *name, TreeEntry *out, gint64 *out_absent_valid_us)
{
    return TREE_WOULD_WAIT;
}

gboolean
files_lookup(Tree *tree, Call *call, Node *parent, const char *name, TreeEntry *out,
             gint64 *out_absent_valid_us, GError **error)
{
    g_auto(FilesPlace) place = {0};
    struct stat attributes;
    g_autoptr(GError) failure = NULL;
    *out_absent_valid_us = 0;
    if (!files_place_init(tree, &place, parent, name, &failure) ||
        !place.files->stat_file(place.instance, place.place.container, place.place.key, &attributes,
                                &failure)) {
        gboolean absent = error_is(failure, ERROR_NOT_FOUND) || error_is(failure, ERROR_BAD_NAME);
        if (absent)
            *out_absent_valid_us = tree_core_absent_valid_us(tree, parent);
        if (absent && !error_is(failure, ERROR_NOT_FOUND))
            g_set_error(error, STORAGEFS_ERROR, ERROR_NOT_FOUND, "%s", failure->message);
        else
            g_propagate_error(error, g_steal_pointer(&failure));
        return FALSE;
    }
    if (place.flat && S_ISDIR(attributes.st_mode)) {
        g_set_error(error, STORAGEFS_ERROR, ERROR_NOT_FOUND, "%s is a part of keys only", name);
        return FALSE;
    }
    lock_acquire(&tree->lock);
    Node *node = files_apply_locked(tree, parent, name, &attributes);
    files_fill_entry_locked(tree, node, &attributes, out);
    lock_release(&tree->lock);
    tree_core_flush(tree);
    return TRUE;
}

gboolean
files_stat_ready(Tree *tree, Node *node, FileHandle *handle, struct stat *out, gint64 *out_valid_us)
{
    return FALSE;
}

/* flags 0: whatever they are. */
static int
dup_open(Tree *tree, Node *node, guint flags)
{
    int fd = -1;
    lock_acquire(&tree->lock);
    if (node->kind == NODE_FILE && (flags == 0 || node->flags & flags) && node->handles != NULL)
        fd = fcntl(((FileHandle *)node->handles->data)->fd, F_DUPFD_CLOEXEC, 0);
    lock_release(&tree->lock);
    return fd;
}

int
files_dup_nameless(Tree *tree, Node *node, guint flags)
{
    return dup_open(tree, node, flags);
}

static gboolean
stat_open(int fd, struct stat *out, GError **error)
{
    return fstat(fd, out) == 0 || error_set_errno(error, errno, "fstat");
}

static gboolean
stat_place(Tree *tree, Node *node, struct stat *out, GError **error)
{
    g_auto(FilesPlace) place = {0};
    GError *failure = NULL;
    if (files_place_of(tree, &place, node, &failure) &&
        place.files->stat_file(place.instance, place.place.container, place.place.key, out, &failure))
        return TRUE;
    if (node->kind == NODE_CONTAINER)
        containers_doubt_failure(tree, node, failure);
    g_propagate_error(error, failure);
    return FALSE;
}

/* What is asked without a handle may be meant for an open file (fstat), and that is what the Node stands for:
 * its name may be another file's. */
static gboolean
stat_node(Tree *tree, Node *node, FileHandle *handle, struct stat *out, gboolean *out_by_name, GError **error)
{
    int fd = handle == NULL ? dup_open(tree, node, 0) : -1;
    *out_by_name = handle == NULL && fd < 0;
    if (*out_by_name)
        return stat_place(tree, node, out, error);
    gboolean ok = stat_open(handle != NULL ? handle->fd : fd, out, error);
    if (fd >= 0)
        close(fd);
    return ok;
}

gboolean
files_stat(Tree *tree, Call *call, Node *node, FileHandle *handle, struct stat *out, gint64 *out_valid_us,
           GError **error)
{
    struct stat attributes;
    gboolean by_name, opened = TRUE, fits = TRUE;
    while (opened) {
        if (!stat_node(tree, node, handle, &attributes, &by_name, error)) {
            tree_core_flush(tree);
            return FALSE;
        }
        lock_acquire(&tree->lock);
        opened = by_name && was_replaced(node, &attributes);
        fits = !by_name || !lost_name(node, &attributes);
        if (!fits && !opened)
            give_name_up_locked(tree, node);
        if (fits && !(node->flags & NODE_DETACHED))
            take_attributes(node, &attributes);
        fill_stat(node, &attributes, out);
        *out_valid_us = tree_core_get_freshness_us(node);
        lock_release(&tree->lock);
    }
    tree_core_flush(tree);
    return fits || tree_core_fail(tree, node, ERROR_CHANGED, "was replaced", error);
}

gboolean
files_check_name(Tree *tree, Node *node, GError **error)
{
    struct stat attributes;
    int fd = dup_open(tree, node, 0);
    if (fd < 0)
        return TRUE;
    close(fd);
    if (!stat_place(tree, node, &attributes, NULL))
        return TRUE;
    lock_acquire(&tree->lock);
    gboolean lost = lost_name(node, &attributes);
    if (lost)
        give_name_up_locked(tree, node);
    lock_release(&tree->lock);
    tree_core_flush(tree);
    return !lost || tree_core_fail(tree, node, ERROR_CHANGED, "was replaced", error);
}

/* Of an open file: it may have no name any more. */
static gboolean
set_open(int fd, unsigned valid, const struct stat *attributes, const struct timespec times[2],
         GError **error)
{
    uid_t uid = valid & FILE_SET_UID ? attributes->st_uid : (uid_t)-1;
    gid_t gid = valid & FILE_SET_GID ? attributes->st_gid : (gid_t)-1;
    if (valid & FILE_SET_SIZE && ftruncate(fd, attributes->st_size) != 0)
        return error_set_errno(error, errno, "ftruncate");
    if (valid & (FILE_SET_UID | FILE_SET_GID) && fchown(fd, uid, gid) != 0)
        return error_set_errno(error, errno, "fchown");
    if (valid & FILE_SET_MODE && fchmod(fd, attributes->st_mode & 07777) != 0)
        return error_set_errno(error, errno, "fchmod");
    if (valid & FILE_SET_TIMES && futimens(fd, times) != 0)
        return error_set_errno(error, errno, "futimens");
    return TRUE;
}

static gboolean
set_by_name(Tree *tree, Node *node, unsigned valid, const struct stat *attributes,
            const struct timespec times[2], GError **error)
{
    g_auto(FilesPlace) place = {0};
    return files_check_name(tree, node, error) && files_place_of(tree, &place, node, error) &&
           place.files->set_attributes(place.instance, place.place.container, place.place.key, valid,
                                       attributes, times, error);
}

gboolean
files_set_attributes(Tree *tree, Call *call, Node *node, FileHandle *handle, unsigned valid,
                     const struct stat *attributes, const struct timespec times[2], GError **error)
{
    GError *failure = NULL;
    if (!tree_core_check_writable(tree, node, error))
        return FALSE;
    if (handle != NULL)
        return set_open(handle->fd, valid, attributes, times, error);
    int fd = dup_open(tree, node, NODE_DETACHED);
    if (fd < 0 && set_by_name(tree, node, valid, attributes, times, &failure))
        return TRUE;
    /* Only who has it open can mean a file without a name. */
    if (fd < 0 && error_is(failure, ERROR_NOT_FOUND))
        fd = dup_open(tree, node, 0);
    if (fd < 0) {
        g_propagate_error(error, failure);
        return FALSE;
    }
    g_clear_error(&failure);
    gboolean ok = set_open(fd, valid, attributes, times, error);
    close(fd);
    return ok;
}

gboolean
files_take(Tree *tree, Node *node, Listing *listing, const char *name, TreeEntry *out)
{
    gint64 ignored;
    return files_lookup(tree, NULL, node, name, out, &ignored, NULL);
}
