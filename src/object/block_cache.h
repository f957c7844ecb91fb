/* Blocks of remote versions in memory, shared by all readers, within the memory budget. Thread-safe.
 *
 *   state      memory   found by look()   next
 *   FETCHING   charged  BLOCKS_FETCHING   READY or gone (failed: every waiter gets the error), by run()
 *   READY      charged  BLOCKS_READY      gone, when its memory is needed and nobody refers to it
 *
 * A block nobody has read to its end yet is kept longer than one that was: the kernel has its own copy of
 * those, so only a few are kept for readers that follow closely. Those of a position whose reader pauses make
 * room for whoever needs it. Whoever needs a block that is not there
 * claims it, then runs it (or has it run on a lane); everybody else waits for that one request. One that runs
 * on a lane is cancelled when the last of those who waited for it has left before its end.
 */
#pragma once

#include "src/base/call.h"
#include "src/object/memory_budget.h"
#include "src/object/object_version.h"
#include "src/object/read_vector.h"
#include "src/object/stream_clock.h"

#include <glib.h>

#define BLOCK_CACHE_BLOCK_BYTES (1u << 20)

typedef struct BlockCache BlockCache;
typedef struct Block Block;

/* Sets the budget's reclaim function: one cache per budget. */
BlockCache *block_cache_new(MemoryBudget *budget);
/* No block may be referred to any more. */
void block_cache_free(BlockCache *cache);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(BlockCache, block_cache_free)

typedef enum { BLOCKS_READY, BLOCKS_FETCHING, BLOCKS_ABSENT } BlocksState;

/* READY: the pieces of offset .. offset+length have been added to `out`. Else `out` is untouched and
 * *out_index is the first block that is absent (ABSENT), or being fetched (FETCHING, none is absent).
 * length_bytes at most READ_VECTOR_MAX_PIECES - 1 blocks; the range lies inside the version. */
BlocksState block_cache_look(BlockCache *cache, ObjectVersion *version, guint64 offset, gsize length_bytes,
                             ReadVector *out, guint64 *out_index);
/* For whom a block is fetched ahead: the call it will be run with on a lane, and the position whose reader
 * may pause. */
typedef struct {
    Call *call;
    StreamClock *clock;
} BlockOwner;
/* The block in state FETCHING, for the caller to run; NULL when it is there already, past the end, or (then
 * *out_full is TRUE) memory is short. owner NULL: the caller himself is the one who waits for it. */
Block *block_cache_claim(BlockCache *cache, ObjectVersion *version, guint64 index, const BlockOwner *owner,
                         gboolean *out_full);
/* A version of one block whose bytes are here already: kept for its next reader, with others of its kind, as
 * long as they are few and memory is not short. `data` is copied. */
void block_cache_keep(BlockCache *cache, ObjectVersion *version, const void *data);
/* Fetches a claimed block and wakes its waiters. Takes the claim. *error also when others get it.
 * Blocks: yes. Fails: as object_version_read(). */
gboolean block_cache_run(BlockCache *cache, Block *block, Call *call, GError **error);
/* The same for who fetches in another way: where the claimed block's bytes go, and the end. failure NULL:
 * they are there, and the block is kept as by block_cache_keep(); else borrowed, for those who wait
 * (CANCELLED: they look again). Takes the claim. */
void *block_cache_get_buffer(Block *block);
void block_cache_end(BlockCache *cache, Block *block, const GError *failure);
/* Waits until the block is not being fetched. FALSE with the error of the fetch (CANCELLED of another
 * reader's fetch counts as TRUE: look again), or when the call ended. Blocks: yes. */
gboolean block_cache_wait(BlockCache *cache, ObjectVersion *version, guint64 index, Call *call,
                          GError **error);
/* first .. last will not be read: what nobody refers to is given back. Returns the bytes. */
guint64 block_cache_discard(BlockCache *cache, ObjectVersion *version, guint64 first, guint64 last);

/* Readers that wait for this block now. */
guint block_cache_count_waiters(BlockCache *cache, ObjectVersion *version, guint64 index);
void block_cache_get_counts(BlockCache *cache, guint64 *out_hits, guint64 *out_misses);
