/* Memory for bytes that were written and not sent yet, in pieces of one size that are used again and again:
 * memory that was touched before costs a copy, fresh pages of a file cost several times that. Thread-safe.
 *
 * It is never waited for: who gets none writes to the staging file at once. All of it goes back to the system
 * when nobody uses a piece.
 */
#pragma once

#include "src/base/worker_pool.h"

#include <glib.h>

typedef struct StagingPool StagingPool;

#define STAGING_PIECE_BYTES (4u << 20)

/* limit_bytes: a hard bound; less than a piece: there is never one. */
StagingPool *staging_pool_new(guint64 limit_bytes);
/* All pieces were given back. Waits for the tasks. */
void staging_pool_free(StagingPool *pool);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(StagingPool, staging_pool_free)

/* STAGING_PIECE_BYTES at a page boundary, with anything in them; NULL: none is left. */
guint8 *staging_pool_try(StagingPool *pool);
void staging_pool_give(StagingPool *pool, guint8 *piece);
/* TRUE while less than half is left: what can be given back should be. */
gboolean staging_pool_is_low(StagingPool *pool);
/* Runs it in the background, on a thread that may wait for the local disk. */
void staging_pool_push(StagingPool *pool, WorkerTask task, gpointer data);

guint64 staging_pool_get_limit(StagingPool *pool);
void staging_pool_get_use(StagingPool *pool, guint64 *out_used_bytes, guint64 *out_peak_bytes);
