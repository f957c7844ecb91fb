/* One name of the tree that somebody knows: the kernel (lookups), or we (refs: children, open files, running
 * work). A Node keeps its address and inode number when it is renamed, and its children follow it, because
 * they point at it. A name that was removed or replaced leaves a detached Node to those who still use it.
 *
 * No locking here: the tree's lock protects every Node. Paths are walked up to the storage's Node.
 */
#pragma once

#include "src/object/object_file.h"
#include "src/tree/entry_facts.h"
#include "src/tree/tree.h"

#include <glib.h>

typedef struct Listing Listing;

enum {
    NODE_DETACHED = 1, /* found by nobody: its name is gone, or another Node's */
    NODE_PAGES = 2,    /* the kernel's cached pages are of this version */
    NODE_UNLINKED = 4, /* detached by unlink or by a rename onto it: never comes back */
    NODE_DELETING = 8, /* it lingers, and a thread is deleting its object */
    NODE_STALE = 16,   /* the kernel may have pages and attributes of another version */
    NODE_RENEWED = 32  /* stale, and opened since: once nobody has it open, nothing stale is left */
};

/* How the small files of a directory are opened for reading; see objects_order.c. */
typedef struct {
    char *head;      /* the name opened farthest on in the listing's order; NULL: none */
    guint run, span; /* files opened about in this order, and how many lie there */
    guint ahead;     /* entries behind head that were asked for */
    guint unread;    /* files fetched in this run and not opened yet */
    guint wasted;    /* of earlier ones; paid back by those that are opened */
    guint slowness;  /* grows while what was fetched is old when it is opened */
    guint serial;    /* of the run: what waits for another one is not fetched any more */
} ReadOrder;

/* What only directories have. */
typedef struct {
    Tree *tree;         /* of NODE_ROOT */
    Storage *storage;   /* of NODE_STORAGE: a reference */
    Listing *listings;  /* newest first; see listing.h */
    guint32 changes;    /* counts what is made, removed or published here */
    gboolean fits_page; /* the last listing was one page, or the directory was made here */
    gboolean listed;    /* fits_page is known */
    guint32 looks;      /* one by one, or saved by a listing, each within the freshness window of the last */
    guint32 pages;      /* of a whole listing, 0 unknown; while none was complete, a guess */
    guint8 wholes_unread;  /* small files fetched whole and not opened yet; see objects_choose_ask() */
    guint8 reads_seen;     /* files opened for reading, lately */
    guint8 looks_unread;   /* looks since the last of them */
    guint8 ahead_depth;    /* LookDepth of what is asked for ahead, see objects_ahead.c */
    guint32 details;       /* names here that detail_cache.h has something of */
    ReadOrder *order;      /* NULL: no file was opened for reading */
    gint64 last_look_us;   /* when a name here last needed a fresh look */
    GHashTable *absent;    /* name → gint64 *: when it was found not to be there; NULL none */
    GHashTable *lingering; /* name → Node: unlinked, still open, its object not deleted yet; NULL none */
} FolderState;

struct Node {
    Node *parent; /* a reference; NULL for the root */
    Node *next;   /* in node_table's bucket */
    const char *name;
    guint64 inode;
    guint64 lookups;
    union {
        FolderState *folder; /* directories */
        ObjectFile *file;    /* files of object services: a reference while open or unpublished */
        GSList *handles;     /* files of file systems: FileHandle, borrowed while open */
        char *target;        /* of NODE_LINK */
    };
    guint32 refs;
    guint16 flags; /* NODE_* */
    /* Never change, so that they are read without the lock. */
    guint8 kind;        /* NodeKind; facts.kind is the same */
    guint8 is_in_files; /* in a file system storage */
    EntryFacts facts;
    char own_name[];
};

/* No references yet, but one of the parent's is taken. */
Node *node_new(Node *parent, const char *name, NodeKind kind);
/* It is unused and in no table. The parent's reference is the caller's to give back. */
void node_free(Node *node);
gboolean node_is_unused(const Node *node);
gboolean node_is_directory(const Node *node);
/* The inode number that a Node of this path has. */
guint64 node_hash_inode(const Node *parent, const char *name);
/* The name changes, the inode stays. References of the parents are the caller's matter. */
void node_move(Node *node, Node *parent, const char *name);

Node *node_get_storage_node(Node *node);                  /* NULL above the storages */
Node *node_get_container_node(Node *node);                /* NULL above the containers */
Storage *node_get_storage(Node *node);                    /* borrowed, or NULL */
gboolean node_is_below(Node *node, const Node *ancestor); /* or the same */

/* The prefix of every key below a container or folder: "" or "a/b/". Caller frees. */
char *node_make_prefix(Node *node);

/* Where a name of an object service lives. */
typedef struct {
    Storage *storage; /* a reference */
    char *container;
    char *key;       /* of the object; NULL: the name can only be a folder's */
    char *prefix;    /* of the folder, ends in '/'; NULL: the name can only be an object's */
    gboolean beside; /* the name is an object's that gives way to a folder */
} NodePlace;
/* Fails: BAD_NAME (no key has this name). */
gboolean node_place_init(NodePlace *place, Node *parent, const char *name, GError **error);
void node_place_clear(NodePlace *place);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(NodePlace, node_place_clear)
/* "storage/container/key"; caller frees. */
char *node_describe(Node *node);
