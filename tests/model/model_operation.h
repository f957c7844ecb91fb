/* One random operation: self-contained, so that a sequence from which some are taken away still means
 * something. Slots are the open handles of a thread; paths lie below the thread's own directory.
 */
#pragma once

#include <glib.h>

typedef enum {
    OP_OPEN,
    OP_CLOSE,
    OP_WRITE,
    OP_STREAM, /* forward, in small pieces, so that parts go out meanwhile */
    OP_APPEND,
    OP_READ,
    OP_CUT,      /* truncate of a handle */
    OP_CUT_PATH, /* truncate(2) */
    OP_FLUSH,
    OP_SYNC,
    OP_COPY, /* copy_file_range */
    OP_RENAME,
    OP_UNLINK,
    OP_MKDIR,
    OP_RMDIR,
    OP_SYMLINK,
    OP_LIST,
    OP_STAT,
    OP_CHECK, /* the whole content, through a handle of its own */
    OP_CHMOD,
    OP_TOUCH,
    OP_SET_XATTR,
    OP_GET_XATTR,
    OP_REMOVE_XATTR,
    OP_REFRESH,
    OP_REMOUNT,
    OP_FOREIGN_PUT,
    OP_FOREIGN_DELETE,
    OP_CONFLICT, /* somebody else stores the object that a handle has written to */
    OP_KINDS
} ModelKind;

#define MODEL_PATH_BYTES 24u
#define MODEL_SLOTS 4u
#define MODEL_MAXIMUM_BYTES (300u << 10)

typedef struct {
    ModelKind kind;
    guint thread;
    guint slot, other_slot;
    char path[MODEL_PATH_BYTES], other_path[MODEL_PATH_BYTES];
    int flags; /* open(2)'s, rename(2)'s, a mode */
    guint64 offset, to_offset;
    guint32 length, seed;
} ModelOperation;

/* What random operations may be. */
typedef struct {
    gboolean folders;
    gboolean alone; /* one thread: may remount, and somebody else may change its names */
    gboolean journal;
} ModelScope;

/* GArray of ModelOperation, `count` for each of the threads; equal for equal arguments. */
GArray *model_operation_random(guint32 seed, guint threads, guint count, const ModelScope *scope);
/* One line; caller frees. */
char *model_operation_describe(const ModelOperation *operation);
