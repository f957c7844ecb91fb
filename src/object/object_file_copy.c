/* copy_file_range between objects: clean bytes are only recorded, for the publication to copy on the server.
 */
#include "src/base/error.h"
#include "src/object/object_file.h"
#include "src/object/object_file_state.h"
#include "src/object/stream_upload.h"

/* A piece of the source, with its own references; its offset is where it goes in the target. */
typedef struct {
    Extent extent;
    guint64 staged_offset; /* in the source's staging file */
} Piece;

static void
piece_clear(gpointer data)
{
    object_version_unref(((Piece *)data)->extent.version);
}

static GArray *
collect_pieces(ObjectFile *from, guint64 offset, guint64 to_offset, guint64 length_bytes)
{
    GArray *pieces = g_array_new(FALSE, FALSE, sizeof(Piece));
    Piece piece;
    g_array_set_clear_func(pieces, piece_clear);
    lock_acquire(&from->lock);
    while (extent_map_slice(from->extents, offset, length_bytes, &piece.extent)) {
        guint64 copied = piece.extent.length_bytes;
        piece.staged_offset = offset;
        piece.extent.offset = to_offset;
        if (piece.extent.version != NULL)
            object_version_ref(piece.extent.version);
        /* Clean bytes are worth more as a reference than as a local copy; zeros stay zeros. */
        if (piece.extent.version != NULL && piece.extent.kind == EXTENT_LOCAL)
            piece.extent.kind = EXTENT_VERSION;
        g_array_append_val(pieces, piece);
        offset += copied;
        to_offset += copied;
        length_bytes -= copied;
    }
    lock_release(&from->lock);
    return pieces;
}

static gboolean
copy_staged(ObjectFile *from, ObjectFile *to, GArray *pieces, GError **error)
{
    for (guint i = 0; i < pieces->len; i++) {
        const Piece *piece = &g_array_index(pieces, Piece, i);
        if (piece->extent.kind != EXTENT_LOCAL)
            continue;
        StagingFile *staging = object_file_prepare_staging(to);
        if (!staging_file_copy(from->staging, piece->staged_offset, staging, piece->extent.offset,
                               piece->extent.length_bytes, error))
            return FALSE;
    }
    return TRUE;
}

static guint64
record_pieces_locked(ObjectFile *to, GArray *pieces)
{
    guint64 copied = 0;
    for (guint i = 0; i < pieces->len; i++) {
        const Extent *extent = &g_array_index(pieces, Piece, i).extent;
        extent_map_set(to->extents, extent);
        copied += extent->length_bytes;
    }
    return copied;
}

static gboolean
check_ranges(ObjectFile *from, guint64 from_offset, ObjectFile *to, guint64 to_offset, guint64 length_bytes,
             GError **error)
{
    if (from->storage != to->storage) {
        g_set_error(error, STORAGEFS_ERROR, ERROR_OTHER_STORAGE,
                    "%s and %s: bytes are not copied between storages", storage_get_name(from->storage),
                    storage_get_name(to->storage));
        return FALSE;
    }
    if (from == to && from_offset < to_offset + length_bytes && to_offset < from_offset + length_bytes) {
        g_set_error(error, STORAGEFS_ERROR, ERROR_BAD_ARGUMENT, "the ranges to copy overlap");
        return FALSE;
    }
    return TRUE;
}

gboolean
object_file_copy_range(ObjectFile *from, Call *call, guint64 from_offset, ObjectFile *to, guint64 to_offset,
                       guint64 length_bytes, guint64 *out_copied_bytes, GError **error)
{
    lock_acquire(&from->lock);
    guint64 size_bytes = extent_map_get_size(from->extents);
    lock_release(&from->lock);
    length_bytes = from_offset < size_bytes ? MIN(length_bytes, size_bytes - from_offset) : 0;
    if (!object_file_check_size(to, to_offset, length_bytes, error) ||
        !check_ranges(from, from_offset, to, to_offset, length_bytes, error) ||
        !object_file_begin_change(to, call, error))
        return FALSE;
    g_autoptr(GArray) pieces = collect_pieces(from, from_offset, to_offset, length_bytes);
    gboolean ok = copy_staged(from, to, pieces, error);
    lock_acquire(&to->lock);
    if (ok && pieces->len > 0) {
        *out_copied_bytes = record_pieces_locked(to, pieces);
        object_file_touch_locked(to);
        stream_upload_note_change_locked(to, to_offset, to_offset + *out_copied_bytes);
    } else if (ok) {
        *out_copied_bytes = 0;
    }
    object_file_end_change_locked(to);
    lock_release(&to->lock);
    return ok;
}
