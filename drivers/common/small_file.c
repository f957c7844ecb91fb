/* Read with a limit, never mapped: the file may be replaced or cut while we look. */
#include "drivers/common/small_file.h"

#include "src/base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

gboolean
small_file_read(const char *path, gsize maximum_bytes, char **out_text, GError **error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return error_set_errno(error, errno, "%s", path);
    g_autofree char *text = g_malloc(maximum_bytes + 2);
    gsize length = 0;
    ssize_t got = 1;
    while (got > 0 && length <= maximum_bytes) {
        got = TEMP_FAILURE_RETRY(read(fd, text + length, maximum_bytes + 1 - length));
        length += got > 0 ? (gsize)got : 0;
    }
    int failure = got < 0 ? errno : 0;
    (void)close(fd);
    if (failure)
        return error_set_errno(error, failure, "%s", path);
    if (length > maximum_bytes) {
        g_set_error(error, STORAGEFS_ERROR, ERROR_TOO_LARGE, "%s: over %" G_GSIZE_FORMAT " bytes", path,
                    maximum_bytes);
        return FALSE;
    }
    text[length] = 0;
    *out_text = g_steal_pointer(&text);
    return TRUE;
}
