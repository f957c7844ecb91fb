/* Where the bytes of an open object are: an ordered map of ranges that covers 0 .. size without a gap.
 *
 * Pure and not thread-safe. A range is in the staging file (at the same offset), is zeros, or comes from a
 * version. `version` set beside LOCAL or ZERO says that the same bytes are also in that version, so they are
 * clean: a publication may copy them on the server, a read need not fetch them.
 * Every operation is O(log n) in the number of ranges that stay, however large the object.
 */
#pragma once

#include "src/object/object_version.h"

#include <glib.h>

typedef enum { EXTENT_LOCAL, EXTENT_ZERO, EXTENT_VERSION } ExtentKind;

typedef struct {
    guint64 offset, length_bytes;
    ExtentKind kind;
    ObjectVersion *version; /* never NULL for EXTENT_VERSION */
    guint64 source_offset;  /* in version */
} Extent;

typedef struct ExtentMap ExtentMap;

ExtentMap *extent_map_new(void);
void extent_map_free(ExtentMap *map);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ExtentMap, extent_map_free)

guint64 extent_map_get_size(const ExtentMap *map);
guint extent_map_get_count(const ExtentMap *map);
guint64 extent_map_get_local_bytes(const ExtentMap *map);

/* Replaces what the range held; past the end the size grows, and a gap becomes zeros. Takes its own reference
 * of version. length_bytes 0 changes nothing. */
void extent_map_set(ExtentMap *map, const Extent *extent);
/* Cuts, or grows with zeros. */
void extent_map_resize(ExtentMap *map, guint64 size_bytes);
/* The range that holds `offset`; FALSE at and past the end. out->version is borrowed. */
gboolean extent_map_find(const ExtentMap *map, guint64 offset, Extent *out);
/* The same, cut to begin at `offset` and to be at most length_bytes long. */
gboolean extent_map_slice(const ExtentMap *map, guint64 offset, guint64 length_bytes, Extent *out);
/* The bytes of VERSION ranges of offset .. offset+length have been put into the staging file. */
void extent_map_mark_local(ExtentMap *map, guint64 offset, guint64 length_bytes);
/* The opposite: LOCAL bytes of offset .. offset+length that are also in a version come from there again. */
void extent_map_unmark_local(ExtentMap *map, guint64 offset, guint64 length_bytes);
/* What was clean in version `before`, wherever it was there, is clean in `after`, which was made of this map:
 * at the same offset. */
void extent_map_replace_version(ExtentMap *map, ObjectVersion *before, ObjectVersion *after);
/* The staging file's bytes and the zeros are not in `version` any more. */
void extent_map_forget(ExtentMap *map, const ObjectVersion *version);
/* All bytes are now also in `version`, at the same offsets. */
void extent_map_rebase(ExtentMap *map, ObjectVersion *version);
