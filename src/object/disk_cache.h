/* Bytes of remote versions on local disk, across restarts: one sparse file for each object
 * (disk_cache_file.h), shared by all readers of the mount, the least recently used ones removed when the
 * directory is full.
 *
 *     if (!disk_cache_read(cache, &object, offset, length, buffer)) {
 *         ...fetch them from the storage...
 *         disk_cache_offer(cache, &object, offset, length, buffer);
 *     }
 *
 * Nobody who reads waits for writing: offered bytes are copied and written by threads of the cache, as far as
 * the memory budget allows; when disk or memory cannot follow, they are not kept. What is fetched ahead of a
 * reader lets the disk follow, for a moment (disk_cache_expect()). Removing is their work too. When writing
 * fails nothing is written for a minute; what is there is still read. Another mount
 * that has the same directory keeps this one out until it ends. Thread-safe.
 */
#pragma once

#include "src/object/disk_cache_file.h"
#include "src/object/memory_budget.h"

#include <glib.h>
#include <sys/types.h>

typedef struct DiskCache DiskCache;

/* path: a private directory that is there, of this cache alone. limit_bytes: of everything in it. budget is
 * borrowed. Fails: as disk_cache_folder_open(), but not when another mount has it. */
DiskCache *disk_cache_new(const char *path, guint64 limit_bytes, MemoryBudget *budget, GError **error);
/* Writes what was offered. Nobody uses it any more. */
void disk_cache_free(DiskCache *cache);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DiskCache, disk_cache_free)

/* TRUE: the buffer is filled; else its content is undefined. The range lies inside the object.
 * Blocks: for local disk. */
gboolean disk_cache_read(DiskCache *cache, const DiskCacheObject *object, guint64 offset, gsize length_bytes,
                         void *buffer);
/* These are the object's bytes. Whole blocks of DISK_CACHE_FILE_BLOCK_BYTES are kept. Never blocks. */
void disk_cache_offer(DiskCache *cache, const DiskCacheObject *object, guint64 offset, gsize length_bytes,
                      const void *data);
/* Before so many bytes are fetched that nobody waits for yet, and offered: waits until the queue has room for
 * them, so that an object that comes faster than the disk writes is kept whole. At most 50 ms: a disk that is
 * much slower slows reading down to that, and no further. disk_cache_end_expected() follows. Blocks: yes. */
void disk_cache_expect(DiskCache *cache, gsize length_bytes);
void disk_cache_end_expected(DiskCache *cache, gsize length_bytes);
/* A descriptor for reading whose file is the object: as long, every byte there and compared, never changed
 * any more; also when the cache has removed it. The caller closes it. -1: there is none. Blocks: briefly, for
 * local disk. */
int disk_cache_open_complete(DiskCache *cache, const DiskCacheObject *object);
/* TRUE when something of the object is there, as far as is known without looking at the disk. No I/O. */
gboolean disk_cache_may_have(DiskCache *cache, const DiskCacheObject *object);
/* Others need so much of the file system `device` and got NO_SPACE: removes objects until it has that, beside
 * what the cache always leaves to others. FALSE: nothing was removed and there is no room, so trying again
 * is no use. Blocks: for local disk. */
gboolean disk_cache_make_way(DiskCache *cache, dev_t device, guint64 bytes);
/* Blocks until what was offered is written or given up. */
void disk_cache_flush(DiskCache *cache);

typedef struct {
    gboolean on;      /* reads and keeps */
    char reason[256]; /* when not: why */
    guint64 limit_bytes, used_bytes, objects;
    guint64 hits, misses, hit_bytes;     /* of disk_cache_read() */
    guint64 stored_bytes, dropped_bytes; /* offered: written; not kept */
    guint64 evictions, damaged; /* objects removed for others; blocks or files that were not as left */
} DiskCacheStatistics;
void disk_cache_get_statistics(DiskCache *cache, DiskCacheStatistics *out);
