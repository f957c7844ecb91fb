/* copy_file_range between objects: clean bytes are only recorded (loan.h), for the publication to copy on the
 * server; others are copied now.
 */
#include "src/base/error.h"
#include "src/object/file_content.h"
#include "src/object/object_file.h"
#include "src/object/object_file_state.h"
#include "src/object/stream_upload.h"

/* So much at once of what takes journal space, that others can leave it meanwhile. */
#define JOURNAL_STEP_BYTES (4u << 20)

typedef struct {
    ObjectFile *from, *to;
    guint64 from_offset, to_offset, length_bytes;
    guint64 generation; /* of the source when its pieces were taken */
} Copy;

/* A piece of the source, with its own references; its offset is where it goes in the target. */
typedef struct {
    Extent extent;
    guint64 staged_offset; /* in the source's staging file */
    gboolean refers;       /* else its bytes are copied */
} Piece;

static void
piece_clear(gpointer data)
{
    object_version_unref(((Piece *)data)->extent.version);
}

/* Clean bytes are worth more as a reference than as a local copy; zeros stay zeros. */
static void
decide_piece_locked(const Copy *copy, gboolean may_refer, Piece *piece)
{
    Extent *extent = &piece->extent;
    if (extent->version == NULL)
        return;
    object_version_ref(extent->version);
    /* What was tried and is in doubt has other bytes there than the version before: see
     * extent_map_replace_version(). */
    gboolean of_base = extent->version == copy->to->base;
    gboolean may = may_refer && (!of_base || copy->to->doubts == NULL);
    piece->refers = may && (of_base || loan_add(copy->to->store, extent->version, copy->to));
    if (piece->refers && extent->kind == EXTENT_LOCAL)
        extent->kind = EXTENT_VERSION;
    else if (!piece->refers && extent->kind != EXTENT_VERSION)
        g_clear_pointer(&extent->version, object_version_unref);
}

static GArray *
collect_pieces(Copy *copy, gboolean may_refer)
{
    ObjectFile *from = copy->from;
    guint64 offset = copy->from_offset, end = offset + copy->length_bytes;
    GArray *pieces = g_array_new(FALSE, FALSE, sizeof(Piece));
    Piece piece;
    g_array_set_clear_func(pieces, piece_clear);
    lock_acquire(&from->lock);
    copy->generation = from->generation;
    /* In doubt, nobody knows which version the storage has. */
    may_refer = may_refer && !from->dropped && !from->lost && from->doubts == NULL;
    while (extent_map_slice(from->extents, offset, end - offset, &piece.extent)) {
        piece.staged_offset = offset;
        piece.refers = FALSE;
        piece.extent.offset = copy->to_offset + (offset - copy->from_offset);
        decide_piece_locked(copy, may_refer, &piece);
        g_array_append_val(pieces, piece);
        offset += piece.extent.length_bytes;
    }
    lock_release(&from->lock);
    return pieces;
}

static gboolean
copy_staged(const Copy *copy, const Piece *piece, GError **error)
{
    const Extent *extent = &piece->extent;
    StagingFile *to = object_file_prepare_staging(copy->to);
    GError *failure = NULL;
    guint attempts = 0;
    while (!staging_file_copy(copy->from->staging, piece->staged_offset, to, extent->offset,
                              extent->length_bytes, &failure))
        if (!object_file_make_way(copy->to, extent->length_bytes, &attempts, &failure, error))
            return FALSE;
    return TRUE;
}

static gboolean
copy_piece(const Copy *copy, Call *call, Piece *piece, GError **error)
{
    Extent *extent = &piece->extent;
    if (piece->refers || extent->kind == EXTENT_ZERO)
        return TRUE;
    if (extent->kind == EXTENT_LOCAL)
        return copy_staged(copy, piece, error);
    if (!file_content_fetch(copy->to, call, extent, error))
        return FALSE;
    extent->kind = EXTENT_LOCAL;
    g_clear_pointer(&extent->version, object_version_unref);
    return TRUE;
}

static gboolean
copy_pieces(const Copy *copy, Call *call, GArray *pieces, GError **error)
{
    for (guint i = 0; i < pieces->len; i++) {
        if (!copy_piece(copy, call, &g_array_index(pieces, Piece, i), error))
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
    if (object_file_get_storage(from) != object_file_get_storage(to)) {
        g_set_error(
            error, STORAGEFS_ERROR, ERROR_OTHER_STORAGE, "%s and %s: bytes are not copied between storages",
            storage_get_name(object_file_get_storage(from)), storage_get_name(object_file_get_storage(to)));
        return FALSE;
    }
    if (from == to && from_offset < to_offset + length_bytes && to_offset < from_offset + length_bytes) {
        g_set_error(error, STORAGEFS_ERROR, ERROR_BAD_ARGUMENT, "the ranges to copy overlap");
        return FALSE;
    }
    return TRUE;
}

/* Where bytes are here and in the storage, a look tells whether the storage still has them: if somebody has
 * replaced the object, a reference would lose what could be copied. */
static gboolean
may_refer_to_staged(const Copy *copy, Call *call)
{
    ObjectFile *from = copy->from;
    guint64 offset = copy->from_offset, end = offset + copy->length_bytes;
    g_autoptr(ObjectVersion) version = NULL;
    Extent extent;
    lock_acquire(&from->lock);
    while (version == NULL && extent_map_slice(from->extents, offset, end - offset, &extent)) {
        if (extent.kind == EXTENT_LOCAL && extent.version != NULL)
            version = object_version_ref(extent.version);
        offset += extent.length_bytes;
    }
    lock_release(&from->lock);
    return version == NULL || object_version_check(version, call, NULL);
}

static guint64
count_local_bytes(const GArray *pieces)
{
    guint64 total = 0;
    for (guint i = 0; i < pieces->len; i++) {
        const Piece *piece = &g_array_index(pieces, Piece, i);
        total += piece->refers || piece->extent.kind == EXTENT_ZERO ? 0 : piece->extent.length_bytes;
    }
    return total;
}

/* ends: and the token goes. */
static void
give_back(ObjectFile *file, gboolean ends)
{
    lock_acquire(&file->lock);
    if (ends)
        object_file_end_change_locked(file);
    else
        object_file_settle_space_locked(file);
    lock_release(&file->lock);
}

/* The target's token, and the pieces, with space for those that become local. Which these are is known under
 * the token, and who has it does not wait for space. NULL: error, without the token. */
static GArray *
begin_copy(Copy *copy, Call *call, gboolean may_refer, GError **error)
{
    ObjectFile *to = copy->to;
    gboolean in_journal = object_file_uses_journal(to);
    for (guint64 taken = 0;;) {
        if (!object_file_begin_change(to, call, error))
            break;
        g_autoptr(GArray) pieces = collect_pieces(copy, may_refer);
        guint64 local = in_journal ? count_local_bytes(pieces) : 0;
        if (local <= taken)
            return g_steal_pointer(&pieces);
        give_back(to, TRUE);
        if (local > JOURNAL_STEP_BYTES && copy->length_bytes > JOURNAL_STEP_BYTES) {
            copy->length_bytes = JOURNAL_STEP_BYTES;
            continue;
        }
        if (!object_file_take_space(to, call, local - taken, error))
            break;
        taken = local;
    }
    give_back(to, FALSE);
    return NULL;
}

static gboolean
copy_once(Copy *copy, Call *call, guint64 *out_copied_bytes, GError **error)
{
    ObjectFile *to = copy->to;
    g_autoptr(GArray) pieces = begin_copy(copy, call, may_refer_to_staged(copy, call), error);
    if (pieces == NULL)
        return FALSE;
    gboolean ok = object_file_protect(to, copy->to_offset, copy->length_bytes, error) &&
                  copy_pieces(copy, call, pieces, error);
    lock_acquire(&to->lock);
    if (ok && pieces->len > 0) {
        *out_copied_bytes = record_pieces_locked(to, pieces);
        object_file_touch_locked(to);
        stream_upload_note_change_locked(to, copy->to_offset, copy->to_offset + *out_copied_bytes);
    } else if (ok) {
        *out_copied_bytes = 0;
    } else {
        object_file_note_torn_locked(to, copy->to_offset, copy->length_bytes);
    }
    object_file_settle_space_locked(to);
    object_file_end_change_locked(to);
    lock_release(&to->lock);
    return ok;
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
        !check_ranges(from, from_offset, to, to_offset, length_bytes, error))
        return FALSE;
    Copy copy = {from, to, from_offset, to_offset, length_bytes, 0};
    for (;;) {
        g_autoptr(GError) failure = NULL;
        /* When the storage does not tell, what is here is copied all the same. */
        gboolean settled = object_file_settle_doubt(from, call, NULL);
        if (copy_once(&copy, call, out_copied_bytes, &failure))
            return TRUE;
        if (!error_is(failure, ERROR_CHANGED) ||
            (!(settled && object_file_is_doubtful(from)) &&
             !object_file_was_republished(from, call, copy.generation))) {
            g_propagate_error(error, g_steal_pointer(&failure));
            return FALSE;
        }
    }
}
