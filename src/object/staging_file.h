/* The local file that holds what was written to an open object: sparse, private, without a name.
 *
 * Offsets are the object's own. Thread-safe as pread and pwrite are; which bytes mean something is the extent
 * map's business. It vanishes with its last descriptor, also when the daemon dies. The first kilobytes stay
 * in memory while its budget has room: making an inode costs more than storing a small object. So does what
 * is written forward, while the pool has pieces (staging_window.h).
 */
#pragma once

#include "src/object/memory_budget.h"
#include "src/object/staging_pool.h"

#include <glib.h>

typedef struct StagingFile StagingFile;

#define STAGING_FILE_MEMORY_BYTES (64u << 10)

/* Never fails. All are borrowed and must outlive it; budget and pool are never waited for. pool NULL: all
 * that the file has is in the file, as the journal needs it. */
StagingFile *staging_file_new(const char *folder, MemoryBudget *budget, StagingPool *pool);
void staging_file_free(StagingFile *staging);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(StagingFile, staging_file_free)

/* All bytes or an error. Fails: NO_SPACE, TOO_LARGE, NOT_FOUND, DENIED, READ_ONLY, NO_RESOURCES, IO. */
gboolean staging_file_write(StagingFile *staging, guint64 offset, const void *data, gsize length_bytes,
                            GError **error);
/* What was never written reads as zeros. Fails: IO. */
gboolean staging_file_read(StagingFile *staging, guint64 offset, void *buffer, gsize length_bytes,
                           GError **error);
/* Gives the disk space from `size_bytes` on back. */
gboolean staging_file_truncate(StagingFile *staging, guint64 size_bytes, GError **error);
/* These bytes were sent: nobody is expected to read them soon. */
void staging_file_release(StagingFile *staging, guint64 offset, guint64 length_bytes);

/* For the journal, which keeps the bytes of some ranges of a staging file without a pool under a name,
 * unchanged. The caller keeps writers of the file away; readers need not be. */
typedef struct {
    guint64 offset, length_bytes;
} StagingRange;
/* An existing file is taken over, with its name. Fails: NOT_FOUND, IO ... */
StagingFile *staging_file_open(const char *folder, MemoryBudget *budget, const char *name, GError **error);
/* TRUE while no file is needed. */
gboolean staging_file_is_in_memory(StagingFile *staging);
/* What was written is on disk. Blocks: yes. */
gboolean staging_file_sync(StagingFile *staging, GError **error);
/* Gives the file a name in its folder, and the bytes of `ranges` (of StagingRange) are on disk. Blocks: yes.
 */
gboolean staging_file_link(StagingFile *staging, const char *name, const GArray *ranges, GError **error);
/* Goes on in another file without a name, with the bytes of `ranges`: the one before stays as it is. */
gboolean staging_file_renew(StagingFile *staging, const GArray *ranges, GError **error);

/* Between two staging files, or to any descriptor: shares blocks where the file system can. */
gboolean staging_file_copy(StagingFile *from, guint64 from_offset, StagingFile *to, guint64 to_offset,
                           guint64 length_bytes, GError **error);
gboolean staging_file_copy_to_fd(StagingFile *from, guint64 offset, int fd, guint64 fd_offset,
                                 guint64 length_bytes, GError **error);
