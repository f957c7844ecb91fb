/* What is tested: a tree over a memory storage as the daemon makes it, and the threads that use it, each with
 * its own directory (flat layout: the names that begin with its prefix), handles, and reference model.
 */
#pragma once

#include "drivers/memory/memory_fault.h"
#include "src/tree/tree.h"
#include "tests/model/model_operation.h"
#include "tests/model/model_state.h"

typedef struct {
    const char *name;
    const char *keys; /* of the storage */
    gint64 cache_size_bytes;
    gint64 memory_limit_bytes; /* 0: 32 MiB */
    ModelScope scope;          /* `alone` is set by who runs it */
} ModelVariant;

typedef struct ModelWorld ModelWorld;

typedef struct {
    ModelFile *file; /* NULL: closed */
    Node *node;
    FileHandle *handle;
    int flags;
    gboolean replaced; /* somebody else stored another version: its old bytes, or CHANGED */
} ModelSlot;

typedef struct {
    ModelWorld *world;
    guint number;
    char *prefix; /* of its names in the container: "t0/" or "t0-" */
    Node *base;   /* one lookup */
    ModelState state;
    ModelSlot slots[MODEL_SLOTS];
    GString *difference;  /* empty: none */
    GHashTable *unlinked; /* key → ModelFile of what was unlinked while it was open */
    gboolean failed;      /* the injected fault was reported by this operation, with failed_code */
    ErrorCode failed_code;
    gboolean may_fail;      /* a fault is or was there, and has not been reported yet */
    ErrorCode allowed_code; /* then: the injected one */
} ModelThread;

struct ModelWorld {
    const ModelVariant *variant;
    char *directory;
    StorageSet *set;
    ObjectStore *store;
    Tree *tree;
    Storage *storage;
    MemoryStore *memory;
    Node *container;
    ModelThread *threads;
    guint thread_count;
    guint parked;      /* uploads that conflicts left in the recovery directory */
    gboolean may_park; /* and an injected fault may have left some more */
    gint stop;         /* atomic: a difference was found */
};

ModelWorld *model_world_new(const ModelVariant *variant, guint threads);
void model_world_free(ModelWorld *world);
/* All slots must be closed. What is waiting is in the journal, and goes on. */
void model_world_remount(ModelWorld *world);
/* Until nothing is on its way; retries what is parked in the journal. FALSE: something stays. */
gboolean model_world_settle(ModelWorld *world);
/* key → GBytes of all that the store has below `prefix`. Past everything that is tested. */
GHashTable *model_world_dump(ModelWorld *world, const char *prefix);
/* Files that somebody has still open; without a journal. */
guint model_world_count_open(ModelWorld *world);
guint model_world_count_uploads(ModelWorld *world);
void model_world_store(ModelWorld *world, const char *key, const void *data, gsize length);
void model_world_delete(ModelWorld *world, const char *key);
/* The key of a path of this thread; caller frees. */
char *model_thread_key(ModelThread *thread, const char *path);
/* The file (or NULL) has lost its name; it may be open. */
void model_note_unlinked(ModelThread *thread, const char *path, ModelFile *file);

void model_differ(ModelThread *thread, const char *format, ...) G_GNUC_PRINTF(2, 3);
gboolean model_differs(ModelThread *thread);

/* model_apply.c. Does it on both sides; what differs is in thread->difference. */
void model_apply(ModelThread *thread, const ModelOperation *operation);
/* TRUE: it did what it should, and the model is to follow. An error that may be the injected fault's is
 * noted: then the model follows too, and what is the case is for the caller to find out. */
#define MODEL_OK (-1)
gboolean model_judge(ModelThread *thread, gboolean ok, const GError *error, int expected);
/* model_names.c, model_content.c, model_foreign.c: by kind; FALSE: not theirs. */
gboolean model_apply_name(ModelThread *thread, const ModelOperation *operation);
gboolean model_apply_content(ModelThread *thread, const ModelOperation *operation);
gboolean model_apply_foreign(ModelThread *thread, const ModelOperation *operation);
/* TRUE: the file is closed and stored, or failed as it may. */
gboolean model_close_slot(ModelThread *thread, ModelSlot *slot);
void model_close_slots(ModelThread *thread);
/* model_check.c. Everything: each name, content, attribute, by the tree, and what the store has. All slots
 * are closed, and all is settled. */
void model_check_tree(ModelThread *thread);
void model_check_store(ModelThread *thread);
/* By the tree: the names in a folder, one file or folder. */
void model_check_list(ModelThread *thread, const char *folder);
void model_check_stat(ModelThread *thread, const char *path);
void model_check_content(ModelThread *thread, const char *path);
/* The path must be in the model. */
void model_check_xattr(ModelThread *thread, const char *path, const char *name);
/* Appends up to `length` bytes, fewer at the end of the file. */
gboolean model_read(ModelThread *thread, FileHandle *handle, guint64 offset, gsize length, GByteArray *out,
                    GError **error);
void model_compare_bytes(ModelThread *thread, const char *what, ModelFile *file, guint64 offset, gsize length,
                         const GByteArray *found);

/* model_reach.c. The kernel's part: from paths to Nodes. */
typedef enum { REACH_OK, REACH_ABSENT, REACH_NO_FOLDER, REACH_ERROR } ModelReach;
/* *out_parent goes to model_forget(); the caller frees *out_name. */
ModelReach model_reach_parent(ModelThread *thread, const char *path, Node **out_parent, char **out_name,
                              GError **error);
/* out->node goes to model_forget(). */
ModelReach model_reach(ModelThread *thread, const char *path, TreeEntry *out, GError **error);
void model_forget(ModelThread *thread, Node *node);
