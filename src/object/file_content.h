/* The bytes of an ObjectFile by its extents, wherever they are: for publications, parts and recovery.
 *
 * Reads of open handles go through read_ahead.h instead.
 */
#pragma once

#include "src/object/object_file_state.h"

/* Bytes offset .. offset+length, all inside the file. Blocks: when they are remote. */
gboolean file_content_read(ObjectFile *file, Call *call, guint64 offset, void *buffer, gsize length_bytes,
                           GError **error);
/* Fetches what of the range is only remote into the staging file. The caller has a token of the file (or
 * works for a publication that has one). Fails: CHANGED, NO_SPACE, NO_RESOURCES and what the storage reports.
 * Blocks: yes. */
gboolean file_content_stage(ObjectFile *file, Call *call, guint64 offset, guint64 length_bytes,
                            GError **error);
/* The same in two steps, for tasks of a lane, which must not wait for memory that tasks behind them give
 * back. reserve: takes what the range needs of the store's budget, 0 when nothing of it is only remote; the
 * caller gives it back. Blocks: yes. Fails: NO_RESOURCES, CANCELLED. stage_reserved: with so much. */
gboolean file_content_reserve(ObjectFile *file, Call *call, guint64 offset, guint64 length_bytes,
                              gsize *out_bytes, GError **error);
gboolean file_content_stage_reserved(ObjectFile *file, Call *call, guint64 offset, guint64 length_bytes,
                                     gsize reserved_bytes, GError **error);

/* The same for all that is only in this version. */
gboolean file_content_stage_version(ObjectFile *file, Call *call, const ObjectVersion *version,
                                    GError **error);
/* Puts the bytes of a VERSION range into the staging file, and leaves the file's own map alone. The same
 * token, failures and waiting. */
gboolean file_content_fetch(ObjectFile *file, Call *call, const Extent *extent, GError **error);

/* Bytes offset .. offset+size of a file as a ByteSource; must outlive it. */
typedef struct {
    ObjectFile *file;
    Call *call;
    guint64 offset;
} FileContentSource;
void file_content_init_source(FileContentSource *from, ObjectFile *file, Call *call, guint64 offset,
                              guint64 size_bytes, ByteSource *out);
