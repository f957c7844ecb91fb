/* One open file as the front sees it: an interface with two implementations, local_handle.c (a descriptor of
 * a local storage, in place) and object_handle.c (an object behind a network).
 *
 * Thread-safe: the kernel sends requests of one handle in parallel.
 */
#pragma once

#include "src/base/call.h"
#include "src/object/read_vector.h"
#include "src/storage/storage.h"

#include <glib.h>

#define FILE_HANDLE_APPEND G_MAXUINT64

typedef struct FileHandle FileHandle;

typedef struct {
    /* Fewer bytes than asked only at the end of the file. Fails: CHANGED (the object was replaced), IO ... */
    gboolean (*read)(FileHandle *handle, Call *call, guint64 offset, gsize length_bytes, ReadVector *out,
                     GError **error);
    /* The same when it needs no waiting; FALSE (vector untouched) when it would. */
    gboolean (*read_ready)(FileHandle *handle, guint64 offset, gsize length_bytes, ReadVector *out);
    /* All or nothing. offset: FILE_HANDLE_APPEND is the file's end. The handle's O_APPEND says nothing here,
     * because the kernel writes mapped pages back through any handle. Fails: NO_SPACE, TOO_LARGE, READ_ONLY.
     */
    gboolean (*write)(FileHandle *handle, Call *call, guint64 offset, const void *data, gsize length_bytes,
                      GError **error);
    /* TRUE when a write of so many bytes would not wait (for a publication that runs, for part slots). */
    gboolean (*write_is_ready)(FileHandle *handle, gsize length_bytes);
    /* close(2) of one descriptor: what was written is published, or the call fails. last_descriptor FALSE:
     * another descriptor of the same open file stays (dup), so a file nothing was written to yet may wait. */
    gboolean (*flush)(FileHandle *handle, Call *call, gboolean last_descriptor, GError **error);
    gboolean (*sync)(FileHandle *handle, Call *call, gboolean data_only, GError **error);
    /* mode 0 extends the file with zeros; others UNSUPPORTED unless the local kernel has them. */
    gboolean (*allocate)(FileHandle *handle, Call *call, int mode, guint64 offset, guint64 length_bytes,
                         GError **error);
    /* SEEK_DATA, SEEK_HOLE. Fails: with ENXIO's meaning as BAD_ARGUMENT, see out: G_MAXUINT64 says ENXIO. */
    gboolean (*seek)(FileHandle *handle, Call *call, guint64 offset, int whence, guint64 *out_offset,
                     GError **error);
    gboolean (*truncate)(FileHandle *handle, Call *call, guint64 size_bytes, GError **error);
    /* Both handles have the same operations and storage. *out_copied may be short at the source's end. */
    gboolean (*copy_range)(FileHandle *from, Call *call, guint64 from_offset, FileHandle *to,
                           guint64 to_offset, guint64 length_bytes, guint64 *out_copied_bytes,
                           GError **error);
    /* Last use; frees. What is unpublished is published, or saved in the recovery directory and logged. */
    void (*close)(FileHandle *handle, Call *call);
    /* TRUE when flush and close have nothing to wait for. */
    gboolean (*is_idle)(FileHandle *handle);
    /* A regular file whose bytes are the handle's bytes, all of them, at the same offsets, until the last
     * handle of its Node is closed: the kernel may read it, write it (when the handle may) and map it without
     * asking. Borrowed, -1: none, as NULL. A sparse file whose holes are no zeros is none, neither is one
     * whose writes must be seen. All handles open at one time on one Node offer the same file, or none does:
     * one that differs is answered with ESTALE, so that the kernel looks its name up again and finds another
     * Node.
     */
    int (*get_backing_fd)(FileHandle *handle);
} FileHandleOperations;

struct FileHandle {
    const FileHandleOperations *operations;
    Storage *storage; /* a reference; its lanes run the blocking operations */
    int flags;        /* open(2)'s; O_CREAT: it made the file, O_TRUNC: it cut it, so that its close tells */
    int fd;           /* >= 0: the file itself, for in-place reads and writes; else -1 */
};

/* A handle on an open descriptor of a local storage. Takes fd. */
FileHandle *local_handle_new(Storage *storage, int fd, int flags);
