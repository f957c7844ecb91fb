/* What the files of this folder share of an ObjectStore; nobody above includes it. */
#pragma once

#include "src/base/lock.h"
#include "src/object/block_cache.h"
#include "src/object/journal.h"
#include "src/object/loan.h"
#include "src/object/memory_budget.h"
#include "src/object/object_store.h"
#include "src/object/object_version.h"
#include "src/object/staging_pool.h"
#include "src/object/stream_clock.h"

#include <glib.h>

struct ObjectStore {
    MemoryBudget *budget;
    MemoryBudget *staging_budget; /* small staging files; apart, because they are held while others wait */
    StagingPool *staging_pool;    /* large ones, while they are written */
    MemoryBudget *stride_budget;  /* what read_stride.h fetches ahead; apart, because it is kept for readers
                                     that pause */
    BlockCache *blocks;
    DiskCache *disk_cache; /* NULL: none */
    ObjectVersionTable *versions;
    LoanTable *loans;
    char *staging_dir, *recovery_dir;
    Journal *journal; /* NULL: no storage has one */
    gint leaves;      /* atomic: what waits in it is not tried at the end */

    StreamClockSet *clocks; /* of the positions that read ahead */

    Lock files_lock; /* above object_file in the lock order */
    GQueue files;    /* of ObjectFile, borrowed: a file leaves it before it is freed */

    Lock lock; /* a leaf */
    Condition idle;
    guint tasks;             /* background work that refers to the store */
    guint publications_open; /* running or waiting */
    guint64 publications, publication_failures, read_ahead_bytes, read_ahead_wasted_bytes;
};

/* `folder` has no space for so many bytes more: TRUE when the disk cache has given way. Blocks: for local
 * disk.
 */
gboolean object_store_make_way(ObjectStore *store, const char *folder, guint64 bytes);

/* Around background work: object_store_free() waits for it. */
void object_store_begin_task(ObjectStore *store);
void object_store_end_task(ObjectStore *store);

void object_store_begin_publication(ObjectStore *store);
void object_store_end_publication(ObjectStore *store, gboolean ok);

void object_store_count_read_ahead(ObjectStore *store, guint64 fetched_bytes, guint64 wasted_bytes);
