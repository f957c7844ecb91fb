/* Small objects fetched whole where a HEAD would do: the reply tells the metadata too, and the bytes are kept
 * in the block cache for whoever opens the object next. A file that is looked up, opened and read then costs
 * one request.
 */
#pragma once

#include "src/object/object_store.h"

#include <glib.h>

/* Like what read_ahead.h reads in one request. */
#define SMALL_OBJECT_MAX_BYTES (128u << 10)

/* What storage_stat_object() tells, by one GET of the expected 1..SMALL_OBJECT_MAX_BYTES bytes. A HEAD
 * answers where memory is short, or the object gives no bytes (archived) or no metadata with them. One that
 * is larger than expected is answered and not kept. Fails: as storage_stat_object(). Blocks: yes. */
gboolean small_object_stat(ObjectStore *store, Call *call, Storage *storage, const char *container,
                           const char *key, gsize expected_bytes, ObjectInfo *out, GError **error);
/* Ahead of a reader: the version with this etag and size, unless its bytes are here or on their way; who
 * opens it meanwhile waits for them. TRUE: *out is what the service told, maybe of a newer version. FALSE:
 * nothing was asked, memory is short, or it failed; its reader will meet that. Blocks: yes. */
gboolean small_object_fetch_ahead(ObjectStore *store, Call *call, Storage *storage, const char *container,
                                  const char *key, const char *etag, gsize size_bytes, ObjectInfo *out);
/* TRUE when the disk cache has something of this version: a HEAD is enough. No I/O. */
gboolean small_object_is_on_disk(ObjectStore *store, Storage *storage, const char *container, const char *key,
                                 const char *etag, gsize size_bytes);
