/* The namespace: storages / containers / objects, their names, attributes and listings, and every change of
 * them. The only thing the front talks to (beside FileHandle). Knows no libfuse.
 *
 *   MNT/            root: the storages in order, then `default`
 *   MNT/default     symlink to the default storage's name
 *   MNT/s/          a storage; mkdir and rmdir make and delete containers
 *   MNT/s/c/        a container; flat layout: one file per key; folder layout: '/' makes folders
 *
 * Everything in the tree is a Node, known to the kernel by its address; a Node lives while the kernel holds
 * lookups of it, something is open, or a child lives. Functions named *_ready() never do I/O and never wait;
 * they answer or say that they cannot, and the blocking twin is then called on a worker (tree_get_lane).
 * Times in TreeEntry say how long the kernel may keep what it is told; what changes earlier is announced
 * through TreeObserver. No function is called with a lock held, none calls the observer with one held.
 *
 * Storages that are file systems (driver local) are used in place: attributes, links, xattrs, renames are the
 * file's own (files*.c). Object services go through src/object (objects*.c). Both stand behind one
 * table of operations, so that nothing above a Node asks which it is.
 */
#pragma once

#include "src/base/call.h"
#include "src/object/file_handle.h"
#include "src/object/object_store.h"
#include "src/storage/storage_set.h"

#include <glib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

typedef struct Tree Tree;
typedef struct Node Node;

/* What the kernel should forget. Called on any thread that is not serving a *_ready() function. Nodes are
 * borrowed for the call: take what is needed (tree_node_ref). The front queues the first two to a thread of
 * its own; attributes are forgotten when the call returns. */
typedef struct {
    /* The name is gone, new, or another node. */
    void (*entry_changed)(gpointer data, Node *parent, const char *name);
    void (*content_changed)(gpointer data, Node *node); /* cached pages and attributes are stale */
    void (*attributes_changed)(gpointer data, Node *node);
    gpointer data;
} TreeObserver;

typedef struct {
    uid_t uid; /* owner of what has no owner of its own */
    gid_t gid;
    mode_t umask; /* taken off the modes of what has none of its own */
    gboolean read_only;
    /* Private; records of folder renames lie in its "renames", of removals in its "removals"; NULL: none are
     * kept. */
    const char *state_dir;
} TreeSettings;

/* set and store are borrowed and outlive the tree. */
Tree *tree_new(StorageSet *set, ObjectStore *store, const TreeSettings *settings);
/* After the last release and forget. */
void tree_free(Tree *tree);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Tree, tree_free)
void tree_set_observer(Tree *tree, const TreeObserver *observer);

Node *tree_get_root(Tree *tree); /* borrowed */
/* A reference that is not a lookup: keeps the Node's memory. */
Node *tree_node_ref(Tree *tree, Node *node);
void tree_node_unref(Tree *tree, Node *node);
/* The kernel gives back `count` lookups. Never blocks. */
void tree_forget(Tree *tree, Node *node, guint64 count);

/* Where blocking work on this node runs. NULL: nothing there blocks (root, default): run it in line. */
WorkerPool *tree_get_lane(Tree *tree, Node *node);
/* TRUE when the node lies in a file system storage: its calls are local disk I/O, quick as a rule. */
gboolean tree_is_local(Node *node);
/* A Call with the timeout of the node's storage (a default one outside). */
Call *tree_new_call(Tree *tree, Node *node);
/* "storage/container/key" for log lines; caller frees. */
char *tree_describe(Tree *tree, Node *node);

/* node: one lookup was added, the kernel owes a forget. */
typedef struct {
    Node *node;
    struct stat stat; /* st_ino is stable for the same path */
    gint64 entry_valid_us, attributes_valid_us;
} TreeEntry;

typedef enum { TREE_ANSWERED, TREE_ABSENT, TREE_WOULD_WAIT } TreeReady;

TreeReady tree_lookup_ready(Tree *tree, Node *parent, const char *name, TreeEntry *out,
                            gint64 *out_absent_valid_us);
/* NOT_FOUND sets *out_absent_valid_us: how long the kernel may keep the absence (0: not at all). */
gboolean tree_lookup(Tree *tree, Call *call, Node *parent, const char *name, TreeEntry *out,
                     gint64 *out_absent_valid_us, GError **error);

/* handle may be NULL. *out_valid_us as attributes_valid_us. */
gboolean tree_stat_ready(Tree *tree, Node *node, FileHandle *handle, struct stat *out, gint64 *out_valid_us);
gboolean tree_stat(Tree *tree, Call *call, Node *node, FileHandle *handle, struct stat *out,
                   gint64 *out_valid_us, GError **error);
/* valid: FILE_SET_* bits; times as utimensat's. Answers the attributes afterwards. */
gboolean tree_set_attributes(Tree *tree, Call *call, Node *node, FileHandle *handle, unsigned valid,
                             const struct stat *attributes, const struct timespec times[2], struct stat *out,
                             gint64 *out_valid_us, GError **error);
/* Never touches the network. */
gboolean tree_stat_filesystem(Tree *tree, Node *node, struct statvfs *out, GError **error);

gboolean tree_read_symlink(Tree *tree, Call *call, Node *node, char **out_target, GError **error);
/* In MNT, the name "default" sets the default storage, as does a link that is renamed onto it (`ln -sfn` has
 * either way). Fails: NOT_FOUND, no such storage: the default stays what it was. */
gboolean tree_make_symlink(Tree *tree, Call *call, Node *parent, const char *name, const char *target,
                           uid_t uid, gid_t gid, TreeEntry *out, GError **error);

/* keep_cache: the pages the kernel may still hold belong to this version. */
gboolean tree_open_ready(Tree *tree, Node *node, int flags, FileHandle **out_handle,
                         gboolean *out_keep_cache);
gboolean tree_open(Tree *tree, Call *call, Node *node, int flags, FileHandle **out_handle,
                   gboolean *out_keep_cache, GError **error);
/* mode: with the caller's umask applied. O_EXCL fails with EXISTS, also when a race is lost at publication.
 */
TreeReady tree_create_ready(Tree *tree, Node *parent, const char *name, int flags, mode_t mode, uid_t uid,
                            gid_t gid, TreeEntry *out, FileHandle **out_handle);
gboolean tree_create(Tree *tree, Call *call, Node *parent, const char *name, int flags, mode_t mode,
                     uid_t uid, gid_t gid, TreeEntry *out, FileHandle **out_handle, GError **error);
/* Closes the handle (may publish: run it on a lane unless operations->is_idle). */
void tree_release(Tree *tree, Call *call, Node *node, FileHandle *handle);
/* After flush, sync, write, copy_range on a handle the node's attributes are its own: nothing to call. */

typedef struct DirectoryHandle DirectoryHandle;
typedef struct {
    const char *name; /* borrowed from the handle until the next call */
    guint64 next_offset;
    guint64 inode; /* st_ino */
    mode_t type;   /* S_IFMT bits; 0 unknown until somebody stats it */
} DirectoryItem;
/* Listings stream: a page is fetched when the reader comes to it. "." and ".." are the first two items, with
 * the offsets 0 and 1. */
#define TREE_FIRST_OFFSET 2u
/* Fails: NOT_FOUND, also for a container that look-ups still trust in. */
gboolean tree_open_directory(Tree *tree, Call *call, Node *node, DirectoryHandle **out_handle,
                             GError **error);
/* The item at `offset` (0, or a next_offset given before). *out_end instead of an item at the end.
 * tree_directory_next_ready: FALSE when the page is not there yet. Fails: CHANGED, when the container of an
 * object service is gone meanwhile. */
gboolean tree_directory_next_ready(Tree *tree, DirectoryHandle *handle, guint64 offset, DirectoryItem *out,
                                   gboolean *out_end);
gboolean tree_directory_next(Tree *tree, Call *call, DirectoryHandle *handle, guint64 offset,
                             DirectoryItem *out, gboolean *out_end, GError **error);
/* For readdirplus: the item's Node with one lookup added and its attributes, when they are known without
 * asking (not for "." and ".."). FALSE: give the kernel the name alone. */
gboolean tree_directory_take(Tree *tree, DirectoryHandle *handle, const DirectoryItem *item, TreeEntry *out);
void tree_close_directory(Tree *tree, DirectoryHandle *handle);

/* A container in a storage, a marker in the folder layout; NOT_PERMITTED elsewhere. */
gboolean tree_make_directory(Tree *tree, Call *call, Node *parent, const char *name, mode_t mode, uid_t uid,
                             gid_t gid, TreeEntry *out, GError **error);
gboolean tree_remove_directory(Tree *tree, Call *call, Node *parent, const char *name, GError **error);
/* MNT always has a default. Unlinking "default" changes nothing but makes room for the link that is to
 * follow, for those whose `ln -sfn` removes first (busybox): the name is absent until tree_make_symlink()
 * sets it, or until TREE_DEFAULT_GAP_US have passed, and then names what it named. */
#define TREE_DEFAULT_GAP_US G_USEC_PER_SEC
gboolean tree_unlink(Tree *tree, Call *call, Node *parent, const char *name, GError **error);
/* flags: 0, RENAME_NOREPLACE, RENAME_EXCHANGE (file systems only, else UNSUPPORTED... BAD_ARGUMENT as Linux
 * says). A symlink renamed onto MNT/default sets the default. Between storages OTHER_STORAGE. */
gboolean tree_rename(Tree *tree, Call *call, Node *parent, const char *name, Node *new_parent,
                     const char *new_name, unsigned flags, GError **error);

/* Fails: NO_ATTRIBUTE, UNSUPPORTED (outside "user." and "storagefs."), BAD_ARGUMENT, NO_SPACE. */
gboolean tree_get_xattr(Tree *tree, Call *call, Node *node, const char *name, GBytes **out_value,
                        GError **error);
/* NUL-separated names. */
gboolean tree_list_xattrs(Tree *tree, Call *call, Node *node, GBytes **out_names, GError **error);
gboolean tree_set_xattr(Tree *tree, Call *call, Node *node, const char *name, const void *value,
                        gsize length_bytes, int flags, GError **error);
gboolean tree_remove_xattr(Tree *tree, Call *call, Node *node, const char *name, GError **error);

/* For .control: forget what is cached about a path below MNT ("" all), which may go through `default` and may
 * hold "." and "..". Fails: NOT_FOUND (no such storage). */
gboolean tree_refresh(Tree *tree, const char *path, GError **error);
/* The set changed (default, reload): announces what the kernel must forget, and what waits in the journal is
 * stored with the new settings. Blocks: for uploads that are given up. */
void tree_storages_changed(Tree *tree);

typedef struct {
    guint64 nodes, listed_names, long_names; /* long_names: keys without a name of 1024 bytes or less */
} TreeStatistics;
void tree_get_statistics(Tree *tree, TreeStatistics *out);
