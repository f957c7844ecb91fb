/* One version of one remote object: what reads and server-side copies are pinned to.
 *
 * Its id keys the block cache. A rename on the server gives it another place without making it another
 * version, so blocks and extents that refer to it stay good. The table holds every live version weakly, so
 * that a file that is opened again finds its blocks. Reference counted, thread-safe.
 */
#pragma once

#include "src/base/call.h"
#include "src/object/disk_cache.h"
#include "src/storage/storage.h"

#include <glib.h>

typedef struct ObjectVersion ObjectVersion;
typedef struct ObjectVersionTable ObjectVersionTable;

ObjectVersionTable *object_version_table_new(void);
/* From now on reads look there first, and what they fetch is offered to it. Borrowed; NULL: none. Before the
 * table is used by other threads. */
void object_version_table_set_disk_cache(ObjectVersionTable *table, DiskCache *cache);
/* Every version must be gone. */
void object_version_table_free(ObjectVersionTable *table);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ObjectVersionTable, object_version_table_free)

/* The live version of that name, etag and size, or a new one. etag NULL (not known): a new one, which the
 * first read pins to what it finds. New reference. */
ObjectVersion *object_version_get(ObjectVersionTable *table, Storage *storage, const char *container,
                                  const char *key, const char *etag, guint64 size_bytes);
ObjectVersion *object_version_ref(ObjectVersion *version);
void object_version_unref(ObjectVersion *version);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ObjectVersion, object_version_unref)

guint64 object_version_get_id(const ObjectVersion *version); /* unique in this process, never 0 */
guint64 object_version_get_size(const ObjectVersion *version);
Storage *object_version_get_storage(
    const ObjectVersion *version); /* borrowed, alive as long as the version */

typedef struct {
    char *container, *key, *etag; /* etag NULL: not known yet */
    guint moves;
} ObjectVersionPlace;

/* A copy of where it is now. */
void object_version_get_place(ObjectVersion *version, ObjectVersionPlace *out);
void object_version_place_clear(ObjectVersionPlace *place);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(ObjectVersionPlace, object_version_place_clear)

/* The same bytes are now found there (rename), or have another etag (metadata replaced). etag NULL keeps it.
 */
void object_version_move(ObjectVersion *version, const char *container, const char *key, const char *etag);

/* If it is found through `before`, it is found through `storage` from now on, at the same place. */
void object_version_rebind(ObjectVersion *version, Storage *before, Storage *storage);

/* Fills `buffer` with bytes offset .. offset+length, which must lie inside its size: from the disk cache
 * where it has them, else from the storage. Fails: CHANGED (this version is not there any more), CANCELLED,
 * TIMEOUT and what the storage reports. Blocks: yes. */
gboolean object_version_read(ObjectVersion *version, Call *call, guint64 offset, gsize length_bytes,
                             void *buffer, GError **error);
/* Asks the storage whether this version is still what its place holds. Fails: CHANGED. Blocks: yes. */
gboolean object_version_check(ObjectVersion *version, Call *call, GError **error);
/* These bytes of it were fetched in another way: the disk cache may keep them. Never blocks. */
void object_version_offer(ObjectVersion *version, guint64 offset, gsize length_bytes, const void *data);
/* TRUE when the disk cache has something of it. No I/O. */
gboolean object_version_is_cached(ObjectVersion *version);
/* A descriptor for reading whose file has the version's bytes, all of them, and never changes; the caller
 * closes it. -1: the disk cache does not have it. Blocks: briefly, for local disk. */
int object_version_open_cached(ObjectVersion *version);
