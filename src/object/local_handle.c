/* Files of a local storage, in place: every operation is the kernel's own on the descriptor. */
#include "src/base/error.h"
#include "src/object/file_handle.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

/* Reads until `length_bytes` or the end: a short answer of the kernel in between is no end of file. */
static gboolean
read_all(int fd, guint64 offset, guint8 *buffer, gsize length_bytes, gsize *out_got, GError **error)
{
    gsize got = 0;
    while (got < length_bytes) {
        ssize_t n = pread(fd, buffer + got, length_bytes - got, (off_t)(offset + got));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_set_errno(error, errno, "read");
        if (n == 0)
            break;
        got += (gsize)n;
    }
    *out_got = got;
    return TRUE;
}

static gboolean
handle_read(FileHandle *handle, Call *call, guint64 offset, gsize length_bytes, ReadVector *out,
            GError **error)
{
    gsize before = out->length_bytes, got = 0;
    void *buffer = read_vector_add_buffer(out, length_bytes);
    gboolean ok = read_all(handle->fd, offset, buffer, length_bytes, &got, error);
    read_vector_truncate(out, before + (ok ? got : 0));
    return ok;
}

static gboolean
handle_read_ready(FileHandle *handle, guint64 offset, gsize length_bytes, ReadVector *out)
{
    return FALSE;
}

static gboolean
handle_write(FileHandle *handle, Call *call, guint64 offset, const void *data, gsize length_bytes,
             GError **error)
{
    const guint8 *from = data;
    gboolean append = offset == FILE_HANDLE_APPEND;
    while (length_bytes > 0) {
        const struct iovec piece = {(void *)from, length_bytes};
        /* The descriptor itself does not append: pages that are written back have a place. */
        ssize_t n = append ? pwritev2(handle->fd, &piece, 1, 0, RWF_APPEND)
                           : pwrite(handle->fd, from, length_bytes, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return error_set_errno(error, n < 0 ? errno : EIO, "write");
        from += n;
        offset += append ? 0 : (guint64)n;
        length_bytes -= (gsize)n;
    }
    return TRUE;
}

static gboolean
handle_write_is_ready(FileHandle *handle, gsize length_bytes)
{
    return FALSE;
}

/* Closing a duplicate makes the file system below report what it only reports at close (NFS, quotas). */
static gboolean
handle_flush(FileHandle *handle, Call *call, gboolean last_descriptor, GError **error)
{
    int fd = dup(handle->fd);
    if (fd < 0)
        return error_set_errno(error, errno, "close");
    return close(fd) == 0 || error_set_errno(error, errno, "close");
}

static gboolean
handle_sync(FileHandle *handle, Call *call, gboolean data_only, GError **error)
{
    int result = data_only ? fdatasync(handle->fd) : fsync(handle->fd);
    return result == 0 || error_set_errno(error, errno, "fsync");
}

static gboolean
handle_allocate(FileHandle *handle, Call *call, int mode, guint64 offset, guint64 length_bytes,
                GError **error)
{
    return fallocate(handle->fd, mode, (off_t)offset, (off_t)length_bytes) == 0 ||
           error_set_errno(error, errno, "fallocate");
}

static gboolean
handle_seek(FileHandle *handle, Call *call, guint64 offset, int whence, guint64 *out_offset, GError **error)
{
    off_t at = lseek(handle->fd, (off_t)offset, whence);
    if (at < 0 && errno != ENXIO)
        return error_set_errno(error, errno, "lseek");
    *out_offset = at < 0 ? G_MAXUINT64 : (guint64)at;
    return TRUE;
}

static gboolean
handle_truncate(FileHandle *handle, Call *call, guint64 size_bytes, GError **error)
{
    return ftruncate(handle->fd, (off_t)size_bytes) == 0 || error_set_errno(error, errno, "ftruncate");
}

static gboolean
handle_copy_range(FileHandle *from, Call *call, guint64 from_offset, FileHandle *to, guint64 to_offset,
                  guint64 length_bytes, guint64 *out_copied_bytes, GError **error)
{
    off64_t in = (off64_t)from_offset, out = (off64_t)to_offset;
    ssize_t n;
    do
        n = copy_file_range(from->fd, &in, to->fd, &out, (gsize)MIN(length_bytes, 1u << 30), 0);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return error_set_errno(error, errno, "copy_file_range");
    *out_copied_bytes = (guint64)n;
    return TRUE;
}

static void
handle_close(FileHandle *handle, Call *call)
{
    close(handle->fd);
    storage_unref(handle->storage);
    g_free(handle);
}

static gboolean
handle_is_idle(FileHandle *handle)
{
    return FALSE;
}

static int
handle_get_backing_fd(FileHandle *handle)
{
    return handle->fd;
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
local_handle_new(Storage *storage, int fd, int flags)
{
    FileHandle *handle = g_new0(FileHandle, 1);
    *handle =
        (FileHandle){.operations = &OPERATIONS, .storage = storage_ref(storage), .flags = flags, .fd = fd};
    return handle;
}
