/* What disk_cache.c (life, look-up, reading) and disk_cache_keep.c (writing, removing) share.
 *
 * Files are made, written and removed by the threads of `pool` only; who needs the disk for something else
 * removes them, too. Made and removed they are one after the other, under files_lock, which no reader takes;
 * written in parallel, because one thread does not keep up with many
 * readers. The lock guards the table; it is never held during I/O.
 */
#pragma once

#include "src/base/lock.h"
#include "src/base/worker_pool.h"
#include "src/object/disk_cache.h"
#include "src/object/disk_cache_folder.h"

typedef struct {
    DiskCacheName name;
    guint64 disk_bytes, refused_bytes;
    guint64 number;      /* tells it from an earlier one of that name */
    DiskCacheFile *file; /* NULL: not open */
    gboolean complete;   /* was, in this process: need not be compared again */
    GList use_link, open_link;
} DiskCacheEntry;

typedef enum {
    DISK_CACHE_WAITS, /* there is no folder_fd yet */
    DISK_CACHE_SCANS, /* what the table does not have may be there all the same; nothing is kept */
    DISK_CACHE_READY
} DiskCacheState;

struct DiskCache {
    char *path;
    guint64 size_bytes;
    MemoryBudget *budget;
    WorkerPool *pool;
    guint64 maximum_queued_bytes;
    guint maximum_open;
    gint stopping; /* atomic */

    Lock files_lock; /* above lock */
    Lock lock;
    DiskCacheState state;
    int folder_fd; /* once >= 0 it stays as it is */
    GHashTable *entries;
    GQueue by_use, open; /* of DiskCacheEntry, least recently used first; the open ones */
    guint64 limit_bytes; /* size_bytes, or less when the disk is short */
    guint64 used_bytes, pending_bytes, queued_bytes, unchecked_bytes, next_number;
    guint64 expected_bytes; /* will be offered soon */
    Condition left_queue;   /* something was written or given up, or is not expected any more */
    gint64 patience_us;     /* of disk_cache_expect() */
    char *failure;          /* why nothing is kept; NULL */
    gint64 retry_at_us;
    DiskCacheStatistics counts; /* hits and so on; the rest is made when asked for */
};

/* The file, open, with a reference; NULL when the cache does not have it. Blocks: for local disk. */
DiskCacheFile *disk_cache_take_file(DiskCache *cache, const DiskCacheObject *object,
                                    const DiskCacheName *name);
DiskCacheEntry *disk_cache_find_locked(DiskCache *cache, const DiskCacheName *name) REQUIRES(cache->lock);
/* New, the last to go; the name is not in the table. */
DiskCacheEntry *disk_cache_insert_locked(DiskCache *cache, const DiskCacheName *name, guint64 disk_bytes)
    REQUIRES(cache->lock);
/* Takes the file; the caller drops what is returned (may be NULL) when the lock is free. */
DiskCacheFile *disk_cache_set_file_locked(DiskCache *cache, DiskCacheEntry *entry, DiskCacheFile *file)
    REQUIRES(cache->lock);
/* Out of the table, freed; the same of what is returned. */
DiskCacheFile *disk_cache_unlist_locked(DiskCache *cache, DiskCacheEntry *entry) REQUIRES(cache->lock);

/* Has the files of that name removed unless there is an entry again. Never blocks. */
void disk_cache_push_removal(DiskCache *cache, const DiskCacheName *name);
/* On the pool's thread: removes until the limit holds. */
void disk_cache_shrink(DiskCache *cache);
/* Notes why nothing is kept, and logs it once. Takes error. */
void disk_cache_fail(DiskCache *cache, GError *error);
