/* What of a staging file is in memory: ranges that are written forward, until they have been sent.
 *
 * A piece covers STAGING_PIECE_BYTES at a multiple of that, and has one range of it; those bytes count, not
 * the file's. They go to the file when they were sent and memory is short, by direct I/O, so that a long
 * write leaves no pages behind; or when a write does not fit the range. Nothing is dropped before the file
 * has it, and a failure to write it there only means that it stays in memory.
 * Thread-safe; different threads do not write to the same bytes at a time.
 */
#pragma once

#include "src/object/staging_pool.h"

#include <glib.h>

typedef struct StagingWindow StagingWindow;

/* pwrite(2) until all of it is in the file: for pieces, and for what goes past them. Fails: NO_SPACE, IO.
 * Blocks: for local disk. */
gboolean staging_window_write_file(int fd, guint64 offset, const guint8 *data, gsize length_bytes,
                                   GError **error);
/* For the file behind fd. NULL where direct I/O would bring nothing or is not to be had: then all is written
 * to the file. pool is borrowed and outlives it. */
StagingWindow *staging_window_new(StagingPool *pool, int fd);
/* What is in memory is lost; what runs in the background ends by itself. */
void staging_window_free(StagingWindow *window);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(StagingWindow, staging_window_free)

/* One step of a write: *inout_length of the bytes at `offset` are in memory now (*out_taken), or are to be
 * written to the file by the caller. fd: the file. Fails: as a write to the file. Blocks: for local disk. */
gboolean staging_window_write(StagingWindow *window, int fd, guint64 offset, const void *data,
                              gsize *inout_length, gboolean *out_taken, GError **error);
/* One step of a read: TRUE when *inout_length bytes were copied from memory, FALSE when so many are to be
 * read from the file. */
gboolean staging_window_read(StagingWindow *window, guint64 offset, void *buffer, gsize *inout_length);
/* Forgets what lies behind. */
void staging_window_truncate(StagingWindow *window, guint64 size_bytes);
/* All of it is in the file. Fails: as a write to the file; then the rest is still in memory. */
gboolean staging_window_flush(StagingWindow *window, int fd, GError **error);
gboolean staging_window_is_empty(StagingWindow *window);
/* Nobody is expected to read the range soon: it gives its memory back when that is short. */
void staging_window_release(StagingWindow *window, guint64 offset, guint64 length_bytes);
