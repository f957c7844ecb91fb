#include "src/object/staging_file.h"

#include "src/base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COPY_BUFFER_BYTES (256u << 10)

struct StagingFile {
    int fd;
};

/* File systems without O_TMPFILE: a name that is gone before anybody can use it. */
static int
open_named(const char *folder)
{
    g_autofree char *path = g_build_filename(folder, "staging-XXXXXX", NULL);
    int fd = mkostemp(path, O_CLOEXEC);
    if (fd >= 0)
        unlink(path);
    return fd;
}

StagingFile *
staging_file_new(const char *folder, GError **error)
{
    int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL))
        fd = open_named(folder);
    if (fd < 0) {
        error_set_errno(error, errno, "staging file in %s", folder);
        return NULL;
    }
    StagingFile *staging = g_new0(StagingFile, 1);
    staging->fd = fd;
    return staging;
}

void
staging_file_free(StagingFile *staging)
{
    if (staging == NULL)
        return;
    close(staging->fd);
    g_free(staging);
}

static gboolean
write_all(int fd, guint64 offset, const guint8 *data, gsize length_bytes, GError **error)
{
    while (length_bytes > 0) {
        ssize_t written = pwrite(fd, data, length_bytes, (off_t)offset);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return error_set_errno(error, written < 0 ? errno : EIO, "write to the staging directory");
        data += written;
        offset += (guint64)written;
        length_bytes -= (gsize)written;
    }
    return TRUE;
}

gboolean
staging_file_write(StagingFile *staging, guint64 offset, const void *data, gsize length_bytes, GError **error)
{
    return write_all(staging->fd, offset, data, length_bytes, error);
}

gboolean
staging_file_read(StagingFile *staging, guint64 offset, void *buffer, gsize length_bytes, GError **error)
{
    guint8 *to = buffer;
    while (length_bytes > 0) {
        ssize_t got = pread(staging->fd, to, length_bytes, (off_t)offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return error_set_errno(error, errno, "read from the staging directory");
        if (got == 0) {
            memset(to, 0, length_bytes);
            return TRUE;
        }
        to += got;
        offset += (guint64)got;
        length_bytes -= (gsize)got;
    }
    return TRUE;
}

gboolean
staging_file_truncate(StagingFile *staging, guint64 size_bytes, GError **error)
{
    if (ftruncate(staging->fd, (off_t)size_bytes) != 0)
        return error_set_errno(error, errno, "truncate in the staging directory");
    return TRUE;
}

static gboolean
copy_by_buffer(StagingFile *from, guint64 offset, int fd, guint64 fd_offset, guint64 length_bytes,
               GError **error)
{
    g_autofree guint8 *buffer = g_malloc(COPY_BUFFER_BYTES);
    while (length_bytes > 0) {
        gsize piece = (gsize)MIN(length_bytes, COPY_BUFFER_BYTES);
        if (!staging_file_read(from, offset, buffer, piece, error) ||
            !write_all(fd, fd_offset, buffer, piece, error))
            return FALSE;
        offset += piece;
        fd_offset += piece;
        length_bytes -= piece;
    }
    return TRUE;
}

gboolean
staging_file_copy_to_fd(StagingFile *from, guint64 offset, int fd, guint64 fd_offset, guint64 length_bytes,
                        GError **error)
{
    while (length_bytes > 0) {
        off64_t in = (off64_t)offset, out = (off64_t)fd_offset;
        ssize_t copied = copy_file_range(from->fd, &in, fd, &out, (gsize)MIN(length_bytes, 1u << 30), 0);
        if (copied < 0 && errno == EINTR)
            continue;
        if (copied <= 0)
            return copy_by_buffer(from, offset, fd, fd_offset, length_bytes, error);
        offset += (guint64)copied;
        fd_offset += (guint64)copied;
        length_bytes -= (guint64)copied;
    }
    return TRUE;
}

gboolean
staging_file_copy(StagingFile *from, guint64 from_offset, StagingFile *to, guint64 to_offset,
                  guint64 length_bytes, GError **error)
{
    return staging_file_copy_to_fd(from, from_offset, to->fd, to_offset, length_bytes, error);
}
