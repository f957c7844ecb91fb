/* Reads of pinned versions through one handle: finds out how it is read, and fetches accordingly.
 *
 * Sequential (forward or backward; the kernel's parallel requests may come out of order, several positions
 * may advance at once): whole blocks, fetched ahead in parallel, over a window (read_window.h) that shares
 * the memory budget fairly among the positions of the daemon that are read (stream_clock.h). Random, or with
 * gaps many times what is read: exactly what is asked, in pages (read_stride.h), and nothing is kept. A small
 * file that is read from its start comes in one request. Thread-safe.
 */
#pragma once

#include "src/base/call.h"
#include "src/object/object_store.h"
#include "src/object/object_version.h"
#include "src/object/read_vector.h"

#include <glib.h>

typedef struct ReadAhead ReadAhead;

ReadAhead *read_ahead_new(ObjectStore *store);
/* Ends what it fetches ahead and gives that memory back. */
void read_ahead_free(ReadAhead *ahead);

/* Adds the bytes offset .. offset+length, which lie inside the version, as pieces. length_bytes at most 32
 * MiB. Fails: as object_version_read(), NO_RESOURCES. Blocks: yes. */
gboolean read_ahead_read(ReadAhead *ahead, Call *call, ObjectVersion *version, guint64 offset,
                         gsize length_bytes, ReadVector *out, GError **error);
/* The same when the bytes are here; FALSE (vector untouched) when not. */
gboolean read_ahead_read_ready(ReadAhead *ahead, ObjectVersion *version, guint64 offset, gsize length_bytes,
                               ReadVector *out);
/* Either of them was called. */
gboolean read_ahead_was_used(ReadAhead *ahead);
