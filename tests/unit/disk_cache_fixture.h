/* A disk cache in a directory of its own, and objects whose bytes follow from their number. */
#pragma once

#include "src/object/disk_cache.h"

#define KIB 1024u
#define MIB (1024u * KIB)
#define DISK_CACHE_FIXTURE_LIMIT (16 * MIB)

typedef struct {
    char *folder;
    MemoryBudget *budget;
    DiskCache *cache;
} DiskCacheFixture;

void disk_cache_fixture_add(const char *path, void (*test)(DiskCacheFixture *fixture, gconstpointer data));
/* Ends the cache in order and opens it again; what it still has to look through is done. */
void disk_cache_fixture_restart(DiskCacheFixture *fixture);
/* The same in halves. */
void disk_cache_fixture_close(DiskCacheFixture *fixture);
void disk_cache_fixture_open(DiskCacheFixture *fixture, guint64 limit_bytes);

/* Objects are told by their number and size; the strings live as long as the program. */
DiskCacheObject disk_cache_fixture_object(guint number, guint64 size_bytes);
guint8 *disk_cache_fixture_bytes(guint number, gsize size_bytes);
/* Offers the whole object in ranges of 1 MiB and waits until they are written. */
void disk_cache_fixture_fill(DiskCacheFixture *fixture, guint number, gsize size_bytes);
/* FALSE: not there. Bytes that are not the object's end the test. */
gboolean disk_cache_fixture_read(DiskCacheFixture *fixture, guint number, gsize size_bytes, guint64 offset,
                                 gsize length_bytes);
gboolean disk_cache_fixture_read_all(DiskCacheFixture *fixture, guint number, gsize size_bytes);

DiskCacheStatistics disk_cache_fixture_statistics(DiskCacheFixture *fixture);
/* Of the one object that is there. The caller frees. */
char *disk_cache_fixture_find(DiskCacheFixture *fixture, gboolean map);
/* What everything in the folder takes on disk. */
guint64 disk_cache_fixture_measure(const char *folder);
