#include "src/object/file_content.h"

#include <string.h>

/* One request when a part is filled from the storage; charged to the memory budget. */
#define STAGE_BYTES (4u << 20)

/* A copy of the first extent of the range, with its own reference of the version. */
static gboolean
slice(ObjectFile *file, guint64 offset, guint64 length_bytes, Extent *out, StagingFile **out_staging)
{
    lock_acquire(&file->lock);
    gboolean found = extent_map_slice(file->extents, offset, length_bytes, out);
    if (found && out->version != NULL)
        object_version_ref(out->version);
    *out_staging = file->staging;
    lock_release(&file->lock);
    return found;
}

static gboolean
read_extent(const Extent *extent, StagingFile *staging, Call *call, void *buffer, GError **error)
{
    switch (extent->kind) {
    case EXTENT_LOCAL:
        return staging_file_read(staging, extent->offset, buffer, extent->length_bytes, error);
    case EXTENT_VERSION:
        return object_version_read(extent->version, call, extent->source_offset, extent->length_bytes, buffer,
                                   error);
    case EXTENT_ZERO:
        break;
    }
    memset(buffer, 0, extent->length_bytes);
    return TRUE;
}

gboolean
file_content_read(ObjectFile *file, Call *call, guint64 offset, void *buffer, gsize length_bytes,
                  GError **error)
{
    guint8 *to = buffer;
    Extent extent;
    StagingFile *staging = NULL;
    while (slice(file, offset, length_bytes, &extent, &staging)) {
        gboolean ok = read_extent(&extent, staging, call, to, error);
        object_version_unref(extent.version);
        if (!ok)
            return FALSE;
        to += extent.length_bytes;
        offset += extent.length_bytes;
        length_bytes -= (gsize)extent.length_bytes;
    }
    /* A file that was cut meanwhile ends in zeros: the part is sent again. */
    memset(to, 0, length_bytes);
    return TRUE;
}

static gboolean
stage_extent(ObjectFile *file, Call *call, const Extent *extent, void *buffer, GError **error)
{
    if (!object_version_read(extent->version, call, extent->source_offset, extent->length_bytes, buffer,
                             error) ||
        !object_file_stage(file, extent->offset, buffer, extent->length_bytes, error))
        return FALSE;
    lock_acquire(&file->lock);
    extent_map_mark_local(file->extents, extent->offset, extent->length_bytes);
    lock_release(&file->lock);
    return TRUE;
}

/* The first range of offset .. end that is only remote: in `version`, NULL any. */
static gboolean
find_remote(ObjectFile *file, guint64 offset, guint64 end, const ObjectVersion *version, Extent *out)
{
    StagingFile *staging = NULL;
    while (slice(file, offset, MIN(end - offset, G_MAXINT64), out, &staging)) {
        if (out->kind == EXTENT_VERSION && (version == NULL || out->version == version)) {
            out->length_bytes = MIN(out->length_bytes, STAGE_BYTES);
            return TRUE;
        }
        object_version_unref(out->version);
        offset += out->length_bytes;
    }
    return FALSE;
}

static gboolean
stage_range(ObjectFile *file, Call *call, guint64 offset, guint64 end, const ObjectVersion *version,
            void *buffer, GError **error)
{
    Extent extent;
    while (find_remote(file, offset, end, version, &extent)) {
        gboolean ok = stage_extent(file, call, &extent, buffer, error);
        object_version_unref(extent.version);
        if (!ok)
            return FALSE;
        offset = extent.offset + extent.length_bytes;
    }
    return TRUE;
}

static gboolean
reserve(ObjectFile *file, Call *call, guint64 offset, guint64 length_bytes, const ObjectVersion *version,
        gsize *out_bytes, GError **error)
{
    Extent first;
    *out_bytes = 0;
    if (!find_remote(file, offset, offset + length_bytes, version, &first))
        return TRUE;
    object_version_unref(first.version);
    gsize wanted = (gsize)MIN(length_bytes, STAGE_BYTES);
    if (!memory_budget_take(file->store->budget, call, wanted, error))
        return FALSE;
    *out_bytes = wanted;
    return TRUE;
}

static gboolean
stage_reserved(ObjectFile *file, Call *call, guint64 offset, guint64 length_bytes,
               const ObjectVersion *version, gsize reserved_bytes, GError **error)
{
    if (reserved_bytes == 0)
        return TRUE;
    object_file_prepare_staging(file);
    guint8 *buffer = g_malloc(reserved_bytes);
    gboolean ok = stage_range(file, call, offset, offset + length_bytes, version, buffer, error);
    g_free(buffer);
    return ok;
}

static gboolean
stage(ObjectFile *file, Call *call, guint64 offset, guint64 length_bytes, const ObjectVersion *version,
      GError **error)
{
    gsize reserved_bytes;
    if (!reserve(file, call, offset, length_bytes, version, &reserved_bytes, error))
        return FALSE;
    gboolean ok = stage_reserved(file, call, offset, length_bytes, version, reserved_bytes, error);
    memory_budget_give(file->store->budget, reserved_bytes);
    return ok;
}

gboolean
file_content_reserve(ObjectFile *file, Call *call, guint64 offset, guint64 length_bytes, gsize *out_bytes,
                     GError **error)
{
    return reserve(file, call, offset, length_bytes, NULL, out_bytes, error);
}

gboolean
file_content_stage_reserved(ObjectFile *file, Call *call, guint64 offset, guint64 length_bytes,
                            gsize reserved_bytes, GError **error)
{
    return stage_reserved(file, call, offset, length_bytes, NULL, reserved_bytes, error);
}

gboolean
file_content_stage(ObjectFile *file, Call *call, guint64 offset, guint64 length_bytes, GError **error)
{
    return stage(file, call, offset, length_bytes, NULL, error);
}

gboolean
file_content_stage_version(ObjectFile *file, Call *call, const ObjectVersion *version, GError **error)
{
    return stage(file, call, 0, extent_map_get_size(file->extents), version, error);
}

static gboolean
fetch_pieces(ObjectFile *file, Call *call, const Extent *extent, guint8 *buffer, gsize buffer_bytes,
             GError **error)
{
    guint64 done = 0;
    while (done < extent->length_bytes) {
        gsize piece = (gsize)MIN(extent->length_bytes - done, buffer_bytes);
        if (!object_version_read(extent->version, call, extent->source_offset + done, piece, buffer, error) ||
            !object_file_stage(file, extent->offset + done, buffer, piece, error))
            return FALSE;
        done += piece;
    }
    return TRUE;
}

gboolean
file_content_fetch(ObjectFile *file, Call *call, const Extent *extent, GError **error)
{
    MemoryBudget *budget = file->store->budget;
    gsize charged = (gsize)MIN(extent->length_bytes, STAGE_BYTES);
    object_file_prepare_staging(file);
    if (!memory_budget_take(budget, call, charged, error))
        return FALSE;
    guint8 *buffer = g_malloc(charged);
    gboolean ok = fetch_pieces(file, call, extent, buffer, charged, error);
    g_free(buffer);
    memory_budget_give(budget, charged);
    return ok;
}

static gboolean
read_source(gpointer data, guint64 offset, void *buffer, gsize length_bytes, GError **error)
{
    FileContentSource *from = data;
    return file_content_read(from->file, from->call, from->offset + offset, buffer, length_bytes, error);
}

void
file_content_init_source(FileContentSource *from, ObjectFile *file, Call *call, guint64 offset,
                         guint64 size_bytes, ByteSource *out)
{
    *from = (FileContentSource){file, call, offset};
    *out = (ByteSource){.size_bytes = size_bytes, .read = read_source, .data = from};
}
