/* What all files of the tree share: the Tree itself, its one lock, Nodes coming and going, attributes as the
 * kernel wants them, announcements, waiting, and the table of operations behind every Node.
 *
 * `_locked` functions want tree->lock held; the others want it free. Nothing that may block or call the
 * observer happens with it held: announcements and last references of storages are queued, and
 * tree_core_flush() gives them out at the end of every blocking operation.
 */
#pragma once

#include "src/base/lock.h"
#include "src/tree/detail_cache.h"
#include "src/tree/listing.h"
#include "src/tree/node.h"
#include "src/tree/node_table.h"
#include "src/tree/tree.h"

/* What a directory gives for a name that the kernel has not: see the public functions of the same names. */
typedef struct {
    TreeReady (*lookup_ready)(Tree *tree, Node *parent, const char *name, TreeEntry *out,
                              gint64 *out_absent_valid_us);
    gboolean (*lookup)(Tree *tree, Call *call, Node *parent, const char *name, TreeEntry *out,
                       gint64 *out_absent_valid_us, GError **error);
    gboolean (*stat_ready)(Tree *tree, Node *node, FileHandle *handle, struct stat *out,
                           gint64 *out_valid_us);
    gboolean (*stat)(Tree *tree, Call *call, Node *node, FileHandle *handle, struct stat *out,
                     gint64 *out_valid_us, GError **error);
    gboolean (*set_attributes)(Tree *tree, Call *call, Node *node, FileHandle *handle, unsigned valid,
                               const struct stat *attributes, const struct timespec times[2], GError **error);
    gboolean (*read_symlink)(Tree *tree, Call *call, Node *node, char **out_target, GError **error);
    gboolean (*make_symlink)(Tree *tree, Call *call, Node *parent, const char *name, const char *target,
                             uid_t uid, gid_t gid, TreeEntry *out, GError **error);
    gboolean (*open_ready)(Tree *tree, Node *node, int flags, FileHandle **out_handle,
                           gboolean *out_keep_cache);
    gboolean (*open)(Tree *tree, Call *call, Node *node, int flags, FileHandle **out_handle,
                     gboolean *out_keep_cache, GError **error);
    TreeReady (*create_ready)(Tree *tree, Node *parent, const char *name, int flags,
                              const FileAttributes *made, TreeEntry *out, FileHandle **out_handle);
    gboolean (*create)(Tree *tree, Call *call, Node *parent, const char *name, int flags,
                       const FileAttributes *made, TreeEntry *out, FileHandle **out_handle, GError **error);
    void (*release)(Tree *tree, Call *call, Node *node, FileHandle *handle);
    /* A listing to read from, one reference; fetch_page brings more of it. */
    gboolean (*open_listing)(Tree *tree, Call *call, Node *node, Listing **out, GError **error);
    gboolean (*fetch_page)(Tree *tree, Call *call, Node *node, Listing *listing, GError **error);
    void (*prefetch_page)(Tree *tree, Node *node, Listing *listing);
    gboolean (*take)(Tree *tree, Node *node, Listing *listing, const char *name, TreeEntry *out);
    gboolean (*make_directory)(Tree *tree, Call *call, Node *parent, const char *name, mode_t mode, uid_t uid,
                               gid_t gid, TreeEntry *out, GError **error);
    gboolean (*remove_directory)(Tree *tree, Call *call, Node *parent, const char *name, GError **error);
    gboolean (*unlink)(Tree *tree, Call *call, Node *parent, const char *name, GError **error);
    gboolean (*rename)(Tree *tree, Call *call, Node *parent, const char *name, Node *new_parent,
                       const char *new_name, unsigned flags, GError **error);
    gboolean (*get_xattr)(Tree *tree, Call *call, Node *node, const char *name, GBytes **out_value,
                          GError **error);
    gboolean (*list_xattrs)(Tree *tree, Call *call, Node *node, GBytes **out_names, GError **error);
    gboolean (*set_xattr)(Tree *tree, Call *call, Node *node, const char *name, GBytes *value, int flags,
                          GError **error);
    gboolean (*remove_xattr)(Tree *tree, Call *call, Node *node, const char *name, GError **error);
    gboolean (*stat_filesystem)(Tree *tree, Node *node, struct statvfs *out, GError **error);
    /* Why making and removing names is NOT_PERMITTED where the operation for it is NULL. */
    const char *refusal;
} TreeOperations;

typedef struct Removals Removals;

struct Tree {
    Lock lock;
    Condition changed; /* a page came, a HEAD ahead came, work ended */
    guint64 wakes;     /* counts the broadcasts */
    StorageSet *set;
    ObjectStore *store;
    TreeSettings settings;
    char *state_dir; /* NULL: folder renames and removals are not journalled */
    TreeObserver observer;
    gboolean has_observer;
    NodeTable table;
    GHashTable *odd_inodes; /* inode number → Node, where it is not the one of the Node's path */
    NodeTable detached; /* never searched by name: what the kernel still counts at the end is found here */
    Node *root;
    GHashTable *open_nodes;       /* Nodes with an ObjectFile */
    GQueue links;                 /* NODE_LINK Nodes, oldest first, a reference each */
    gint64 default_gone_until_us; /* unlinked, and nothing was made in its place yet */
    DetailCache details;
    GArray *announcements; /* of Announcement */
    GPtrArray *garbage;    /* storages whose reference is given back outside the lock */
    guint tasks;           /* running in the background */
    guint streams;         /* listings that are fetched ahead of their readers */
    GQueue unsettled;      /* objects_linger.c's: unlinked, and not deleted yet */
    gboolean settling;     /* a thread is at it */
    Removals *removals;    /* objects_removal.c's; NULL: none outlive the process */
    gboolean closing;
    guint64 listed_names, long_names;
};

void tree_core_init_queues(Tree *tree);
void tree_core_clear_queues(Tree *tree);

gint64 tree_core_now(void);
const TreeOperations *tree_core_operations(Node *node);

/* Nodes. A new or found Node without lookups and references lives only as long as the lock is held. */
Node *tree_core_find_locked(Tree *tree, Node *parent, const char *name) REQUIRES(tree->lock);
Node *tree_core_attach_locked(Tree *tree, Node *parent, const char *name, NodeKind kind) REQUIRES(tree->lock);
/* Takes it out of the table; flags: NODE_UNLINKED or 0. The Node may be freed. */
void tree_core_detach_locked(Tree *tree, Node *node, guint32 flags) REQUIRES(tree->lock);
/* The name becomes another one's; the parents' references are moved. */
void tree_core_move_locked(Tree *tree, Node *node, Node *parent, const char *name) REQUIRES(tree->lock);
Node *tree_core_hold_locked(Node *node);
void tree_core_drop_locked(Tree *tree, Node *node) REQUIRES(tree->lock);
void tree_core_collect_locked(Tree *tree, Node *node) REQUIRES(tree->lock);

/* Attributes. Freshness, validity, what there is to know and confirmations walk up from the Node: with the
 * tree's lock held. */
void tree_core_get_defaults(Tree *tree, AttributeDefaults *out);
gint64 tree_core_get_freshness_us(Node *node);
/* How much longer what is known of the node holds; 0: not. */
gint64 tree_core_get_valid_us(Node *node, gint64 now_us);
/* A service's container that was not heard of for longer than the freshness, though look-ups still trust in
 * it: a listing that begins has to see it first. FALSE for all other Nodes. */
gboolean tree_core_may_be_gone(Node *container, gint64 now_us);
/* stat() may be answered from what is known. */
gboolean tree_core_has_attributes(Node *node);
/* A file's attributes are its ObjectFile's alone: written here and not published yet. */
gboolean tree_core_is_dirty(Node *node);
void tree_core_fill_stat_locked(Tree *tree, Node *node, struct stat *out) REQUIRES(tree->lock);
/* Adds a lookup. */
void tree_core_fill_entry_locked(Tree *tree, Node *node, TreeEntry *out) REQUIRES(tree->lock);
/* A request showed that the directory (and all above it) exists. */
void tree_core_confirm_locked(Node *directory, gint64 now_us);

/* What the kernel keeps of a file's content: pages, and the size among the attributes, with which it fills up
 * or cuts what is read. */
/* From here on it is another version's than the one that the kernel knows. */
void tree_core_note_version_locked(Node *node);
/* At open: may the kernel keep its pages? *out_stale: call tree_core_drop_attributes() before the open is
 * answered. */
gboolean tree_core_open_pages_locked(Node *node, gboolean *out_stale);
/* Nobody has the file open any more, so that every open was answered. */
void tree_core_close_pages_locked(Node *node);
/* Told at once, and good for answers that are on their way, too. Not from *_ready() functions. */
void tree_core_drop_attributes(Tree *tree, Node *node) EXCLUDES(tree->lock);

/* Announcements; queued. */
void tree_core_announce_entry_locked(Tree *tree, Node *parent, const char *name) REQUIRES(tree->lock);
void tree_core_announce_content_locked(Tree *tree, Node *node) REQUIRES(tree->lock);
void tree_core_announce_attributes_locked(Tree *tree, Node *node) REQUIRES(tree->lock);
void tree_core_flush(Tree *tree) EXCLUDES(tree->lock);

/* Waits until somebody calls tree_core_wake_locked(). Gives the lock up meanwhile: look again afterwards.
 * Fails: TIMEOUT, CANCELLED. */
gboolean tree_core_wait_locked(Tree *tree, Call *call, GError **error) REQUIRES(tree->lock);
void tree_core_wake_locked(Tree *tree) REQUIRES(tree->lock);
/* Work in the background, which tree_free() waits for. FALSE: the tree is closing, do not start. */
gboolean tree_core_begin_task_locked(Tree *tree) REQUIRES(tree->lock);
void tree_core_end_task(Tree *tree) EXCLUDES(tree->lock);

/* Sets *error to "PATH why". Always FALSE. */
gboolean tree_core_fail(Tree *tree, Node *node, ErrorCode code, const char *why, GError **error)
    EXCLUDES(tree->lock);
/* The refusal of a directory that has no operation for a name of its own. Always FALSE. */
gboolean tree_core_refuse_name(Node *parent, const char *name, GError **error);
/* How long it holds that a name was found not to be there just now. */
gint64 tree_core_absent_valid_us(Tree *tree, Node *parent) EXCLUDES(tree->lock);
/* A reference of the Node's storage; NULL above the storages. */
Storage *tree_core_ref_storage(Tree *tree, Node *node) EXCLUDES(tree->lock);
/* A reference of the Node's parent, which a rename may change at any time. */
Node *tree_core_ref_parent(Tree *tree, Node *node) EXCLUDES(tree->lock);
gboolean tree_core_same_storage(Tree *tree, Node *a, Node *b) EXCLUDES(tree->lock);
/* FALSE with READ_ONLY where nothing may be changed. */
gboolean tree_core_check_writable(Tree *tree, Node *node, GError **error) EXCLUDES(tree->lock);
