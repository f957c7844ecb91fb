#include "src/object/object_handle.h"

#include "src/base/error.h"
#include "src/object/object_file_state.h"
#include "src/object/read_ahead.h"
#include "src/object/stream_upload.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* A read over more ranges than this goes through one buffer instead of one piece each. */
#define MAXIMUM_EXTENTS 4u

typedef struct {
    FileHandle handle;
    ObjectFile *file;
    ReadAhead *ahead;
} ObjectHandle;

typedef struct {
    Extent extents[MAXIMUM_EXTENTS]; /* with references */
    guint count;
    guint64 covered_bytes, length_bytes; /* less: more extents follow */
    guint64 generation;
    StagingFile *staging;
} ReadPlan;

static ObjectHandle *
of(FileHandle *handle)
{
    return (ObjectHandle *)handle;
}

ObjectFile *
object_handle_get_file(FileHandle *handle)
{
    return of(handle)->file;
}

gboolean
object_handle_was_read(FileHandle *handle)
{
    return read_ahead_was_used(of(handle)->ahead);
}

static gboolean
may_write(const FileHandle *handle)
{
    return (handle->flags & O_ACCMODE) != O_RDONLY;
}

/* Where the bytes are at this moment; *plan stays good after the lock is gone. */
static void
plan_read(ObjectFile *file, guint64 offset, gsize length_bytes, ReadPlan *plan)
{
    *plan = (ReadPlan){0};
    lock_acquire(&file->lock);
    guint64 size_bytes = extent_map_get_size(file->extents);
    plan->length_bytes = offset < size_bytes ? MIN(length_bytes, size_bytes - offset) : 0;
    plan->generation = file->generation;
    plan->staging = file->staging;
    while (plan->count < MAXIMUM_EXTENTS && plan->covered_bytes < plan->length_bytes) {
        Extent *extent = &plan->extents[plan->count++];
        extent_map_slice(file->extents, offset + plan->covered_bytes,
                         plan->length_bytes - plan->covered_bytes, extent);
        if (extent->version != NULL)
            object_version_ref(extent->version);
        plan->covered_bytes += extent->length_bytes;
    }
    lock_release(&file->lock);
}

static void
read_plan_clear(ReadPlan *plan)
{
    for (guint i = 0; i < plan->count; i++)
        object_version_unref(plan->extents[i].version);
    plan->count = 0;
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(ReadPlan, read_plan_clear)

static gboolean
read_local(const Extent *extent, StagingFile *staging, ReadVector *out, GError **error)
{
    void *buffer = read_vector_add_buffer(out, extent->length_bytes);
    if (extent->kind == EXTENT_LOCAL)
        return staging_file_read(staging, extent->offset, buffer, extent->length_bytes, error);
    memset(buffer, 0, extent->length_bytes);
    return TRUE;
}

static gboolean
read_extent(ObjectHandle *self, Call *call, const Extent *extent, StagingFile *staging, ReadVector *out,
            GError **error)
{
    if (extent->kind == EXTENT_VERSION)
        return read_ahead_read(self->ahead, call, extent->version, extent->source_offset,
                               extent->length_bytes, out, error);
    return read_local(extent, staging, out, error);
}

/* Many small ranges: each is read in its own way and put into one buffer. */
static gboolean
read_scattered(ObjectHandle *self, Call *call, guint64 offset, gsize length_bytes, ReadVector *out,
               GError **error)
{
    guint8 *buffer = read_vector_add_buffer(out, length_bytes);
    gsize done = 0;
    while (done < length_bytes) {
        g_auto(ReadPlan) plan;
        g_auto(ReadVector) pieces;
        read_vector_init(&pieces);
        plan_read(self->file, offset + done, length_bytes - done, &plan);
        if (plan.count == 0)
            break;
        if (!read_extent(self, call, &plan.extents[0], plan.staging, &pieces, error))
            return FALSE;
        for (guint i = 0; i < pieces.count; i++) {
            memcpy(buffer + done, pieces.pieces[i].iov_base, pieces.pieces[i].iov_len);
            done += pieces.pieces[i].iov_len;
        }
    }
    read_vector_truncate(out, done);
    return TRUE;
}

static gboolean
read_planned(ObjectHandle *self, Call *call, guint64 offset, const ReadPlan *plan, ReadVector *out,
             GError **error)
{
    if (plan->covered_bytes < plan->length_bytes)
        return read_scattered(self, call, offset, (gsize)plan->length_bytes, out, error);
    for (guint i = 0; i < plan->count; i++) {
        if (!read_extent(self, call, &plan->extents[i], plan->staging, out, error))
            return FALSE;
    }
    return TRUE;
}

static gboolean
handle_read(FileHandle *handle, Call *call, guint64 offset, gsize length_bytes, ReadVector *out,
            GError **error)
{
    ObjectHandle *self = of(handle);
    for (;;) {
        g_auto(ReadPlan) plan;
        g_autoptr(GError) local_error = NULL;
        plan_read(self->file, offset, length_bytes, &plan);
        if (read_planned(self, call, offset, &plan, out, &local_error))
            return TRUE;
        read_vector_clear(out);
        if (!error_is(local_error, ERROR_CHANGED) ||
            !object_file_was_republished(self->file, call, plan.generation)) {
            g_propagate_error(error, g_steal_pointer(&local_error));
            return FALSE;
        }
    }
}

static gboolean
handle_read_ready(FileHandle *handle, guint64 offset, gsize length_bytes, ReadVector *out)
{
    ObjectHandle *self = of(handle);
    g_auto(ReadPlan) plan;
    plan_read(self->file, offset, length_bytes, &plan);
    gboolean ready = plan.covered_bytes == plan.length_bytes;
    for (guint i = 0; i < plan.count && ready; i++) {
        const Extent *extent = &plan.extents[i];
        if (extent->kind == EXTENT_VERSION)
            ready = read_ahead_read_ready(self->ahead, extent->version, extent->source_offset,
                                          extent->length_bytes, out);
        else
            ready = read_local(extent, plan.staging, out, NULL);
    }
    if (!ready)
        read_vector_clear(out);
    return ready;
}

static gboolean
handle_write(FileHandle *handle, Call *call, guint64 offset, const void *data, gsize length_bytes,
             GError **error)
{
    ObjectFile *file = of(handle)->file;
    if (!object_file_take_space(file, call, length_bytes, error) ||
        !object_file_begin_change(file, call, error))
        return FALSE;
    if (offset == FILE_HANDLE_APPEND)
        offset = extent_map_get_size(file->extents);
    gboolean fits = object_file_check_size(file, offset, length_bytes, error);
    if (fits)
        stream_upload_prepare(file);
    gboolean ok = fits && object_file_protect(file, offset, length_bytes, error) &&
                  object_file_stage(file, offset, data, length_bytes, error);
    lock_acquire(&file->lock);
    if (fits && !ok)
        object_file_note_torn_locked(file, offset, length_bytes);
    if (ok && length_bytes > 0) {
        extent_map_set(file->extents, &(Extent){offset, length_bytes, EXTENT_LOCAL, NULL, 0});
        object_file_touch_locked(file);
        stream_upload_note_write_locked(file, offset, length_bytes);
    }
    object_file_settle_space_locked(file);
    object_file_end_change_locked(file);
    lock_release(&file->lock);
    return ok;
}

static gboolean
is_calm(ObjectFile *file)
{
    lock_acquire(&file->lock);
    /* What goes to the journal may have to wait for its space, or copy what is committed. */
    gboolean calm = !file->publishing && !file->changing && !file->journalled;
    lock_release(&file->lock);
    return calm;
}

static gboolean
handle_write_is_ready(FileHandle *handle, gsize length_bytes)
{
    return is_calm(of(handle)->file);
}

/* A new file that nothing was written to waits for its last descriptor: shells dup and close before they
 * write. */
static gboolean
may_wait(ObjectFile *file)
{
    lock_acquire(&file->lock);
    gboolean empty = file->base == NULL && !file->content_dirty;
    lock_release(&file->lock);
    return empty;
}

static gboolean
handle_flush(FileHandle *handle, Call *call, gboolean last_descriptor, GError **error)
{
    ObjectFile *file = of(handle)->file;
    gboolean made_or_cut = (handle->flags & (O_CREAT | O_TRUNC)) != 0;
    if ((!may_write(handle) && !made_or_cut) || (!last_descriptor && may_wait(file)))
        return TRUE;
    return object_file_sync(file, call, error);
}

static gboolean
handle_sync(FileHandle *handle, Call *call, gboolean data_only, GError **error)
{
    return object_file_sync(of(handle)->file, call, error);
}

static gboolean
handle_allocate(FileHandle *handle, Call *call, int mode, guint64 offset, guint64 length_bytes,
                GError **error)
{
    ObjectFile *file = of(handle)->file;
    if (mode != 0) {
        g_set_error(error, STORAGEFS_ERROR, ERROR_UNSUPPORTED, "fallocate mode %d: objects only grow", mode);
        return FALSE;
    }
    return object_file_check_size(file, offset, length_bytes, error) &&
           object_file_grow(file, call, offset + length_bytes, error);
}

static gboolean
handle_seek(FileHandle *handle, Call *call, guint64 offset, int whence, guint64 *out_offset, GError **error)
{
    ObjectFile *file = of(handle)->file;
    Extent extent;
    if (whence != SEEK_DATA && whence != SEEK_HOLE) {
        g_set_error(error, STORAGEFS_ERROR, ERROR_BAD_ARGUMENT, "whence %d", whence);
        return FALSE;
    }
    lock_acquire(&file->lock);
    guint64 size_bytes = extent_map_get_size(file->extents), at = offset;
    while (extent_map_find(file->extents, at, &extent) &&
           (extent.kind == EXTENT_ZERO) != (whence == SEEK_HOLE))
        at = extent.offset + extent.length_bytes;
    lock_release(&file->lock);
    gboolean found = offset < size_bytes && (at < size_bytes || whence == SEEK_HOLE);
    *out_offset = found ? at : G_MAXUINT64;
    return TRUE;
}

static gboolean
handle_truncate(FileHandle *handle, Call *call, guint64 size_bytes, GError **error)
{
    return object_file_truncate(of(handle)->file, call, size_bytes, error);
}

static gboolean
handle_copy_range(FileHandle *from, Call *call, guint64 from_offset, FileHandle *to, guint64 to_offset,
                  guint64 length_bytes, guint64 *out_copied_bytes, GError **error)
{
    return object_file_copy_range(of(from)->file, call, from_offset, of(to)->file, to_offset, length_bytes,
                                  out_copied_bytes, error);
}

static void
handle_close(FileHandle *handle, Call *call)
{
    ObjectHandle *self = of(handle);
    ObjectFile *file = self->file;
    read_ahead_free(self->ahead);
    if (object_file_drop_handle(file))
        object_file_publish_at_close(file, call);
    storage_unref(handle->storage);
    g_free(self);
    object_file_unref(file);
}

static gboolean
handle_is_idle(FileHandle *handle)
{
    ObjectFile *file = of(handle)->file;
    lock_acquire(&file->lock);
    /* The last close of a file whose name is gone deletes its object. */
    gboolean idle =
        !file->publishing && !file->changing && !file->dropped && !object_file_needs_publication_locked(file);
    lock_release(&file->lock);
    return idle;
}

/* An object that the disk cache has completely, where nobody can write to it here. A file that is passed
 * through stays so until its last handle is closed, and a writer that opened it meanwhile would have its
 * bytes in the staging file: who had opened the object before would not see them. For the same reason the
 * staging file itself is never offered; besides, writes that the daemon does not see cannot be sent while
 * writing goes on, and then close has everything left to do. */
static int
handle_get_backing_fd(FileHandle *handle)
{
    ObjectFile *file = of(handle)->file;
    if (!storage_get_settings(handle->storage)->read_only)
        return -1;
    lock_acquire(&file->lock);
    int fd = file->cached_fd;
    g_autoptr(ObjectVersion) base = fd < 0 && file->base != NULL ? object_version_ref(file->base) : NULL;
    lock_release(&file->lock);
    int opened = base != NULL ? object_version_open_cached(base) : -1;
    if (opened < 0)
        return fd;
    lock_acquire(&file->lock);
    if (file->cached_fd < 0)
        file->cached_fd = opened;
    fd = file->cached_fd;
    lock_release(&file->lock);
    if (fd != opened)
        close(opened);
    return fd;
}

static const FileHandleOperations OPERATIONS = {
    .read = handle_read,
    .read_ready = handle_read_ready,
    .write = handle_write,
    .write_is_ready = handle_write_is_ready,
    .flush = handle_flush,
    .sync = handle_sync,
    .allocate = handle_allocate,
    .seek = handle_seek,
    .truncate = handle_truncate,
    .copy_range = handle_copy_range,
    .close = handle_close,
    .is_idle = handle_is_idle,
    .get_backing_fd = handle_get_backing_fd,
};

FileHandle *
object_handle_new(ObjectFile *file, int flags)
{
    ObjectHandle *self = g_new0(ObjectHandle, 1);
    self->handle = (FileHandle){.operations = &OPERATIONS,
                                .storage = storage_ref(object_file_get_storage(file)),
                                .flags = flags,
                                .fd = -1};
    self->file = object_file_ref(file);
    self->ahead = read_ahead_new(file->store);
    object_file_add_handle(file);
    return &self->handle;
}
