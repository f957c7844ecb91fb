#include "src/cli/cli_control.h"

#include "src/base/json_shape.h"
#include "src/cli/cli_status_shape.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A million uploads have room. */
#define MAXIMUM_BYTES (1u << 30)

static int
open_control(const char *mount_point, const char *name, int flags, GError **error)
{
    g_autofree char *path = g_build_filename(mount_point, ".control", name, NULL);
    int fd = open(path, flags | O_CLOEXEC);
    if (fd >= 0)
        return fd;
    if (errno == ENOENT || errno == ENOTDIR)
        g_set_error(error, STORAGEFS_ERROR, ERROR_NOT_FOUND, "%s is not a storagefs mount (there is no %s)",
                    mount_point, path);
    else if (errno == ENOTCONN)
        g_set_error(error, STORAGEFS_ERROR, ERROR_UNAVAILABLE,
                    "the daemon of %s is gone: storagefs mount clears it, storagefs umount removes it",
                    mount_point);
    else if (errno == EROFS)
        g_set_error(error, STORAGEFS_ERROR, ERROR_READ_ONLY,
                    "%s is mounted read-only and cannot be steered: unmount it and mount it again",
                    mount_point);
    else if (errno == EACCES && (flags & O_ACCMODE) != O_RDONLY)
        g_set_error(error, STORAGEFS_ERROR, ERROR_DENIED, "%s: only the owner of the mount may do this",
                    path);
    else
        error_set_errno(error, errno, "%s", path);
    return -1;
}

char *
cli_control_read(const char *mount_point, const char *name, GError **error)
{
    int fd = open_control(mount_point, name, O_RDONLY, error);
    if (fd < 0)
        return NULL;
    g_autoptr(GString) text = g_string_new(NULL);
    char buffer[16384];
    ssize_t length = 0;
    while (text->len <= MAXIMUM_BYTES && (length = read(fd, buffer, sizeof buffer)) > 0)
        g_string_append_len(text, buffer, length);
    int errnum = errno;
    close(fd);
    if (length < 0) {
        error_set_errno(error, errnum, "%s/.control/%s", mount_point, name);
        return NULL;
    }
    if (text->len > MAXIMUM_BYTES) {
        g_set_error(error, STORAGEFS_ERROR, ERROR_TOO_LARGE, "%s/.control/%s: more than %u bytes",
                    mount_point, name, MAXIMUM_BYTES);
        return NULL;
    }
    return g_string_free(g_steal_pointer(&text), FALSE);
}

gboolean
cli_control_may_write(const char *mount_point, const char *name, GError **error)
{
    int fd = open_control(mount_point, name, O_WRONLY, error);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

gboolean
cli_control_write(const char *mount_point, const char *name, const char *text, GError **error)
{
    int fd = open_control(mount_point, name, O_WRONLY, error);
    if (fd < 0)
        return FALSE;
    ssize_t length = write(fd, text, strlen(text));
    int errnum = errno;
    close(fd);
    if (length == (ssize_t)strlen(text))
        return TRUE;
    return error_set_errno(error, length < 0 ? errnum : EIO, "%s/.control/%s", mount_point, name);
}

JsonNode *
cli_control_read_status(const char *mount_point, GError **error)
{
    g_autofree char *text = cli_control_read(mount_point, "status", error);
    if (text == NULL)
        return NULL;
    g_autoptr(JsonNode) root = json_shape_check(text, strlen(text)) ? json_from_string(text, NULL) : NULL;
    if (root != NULL && JSON_NODE_HOLDS_OBJECT(root) && cli_status_shape_check(json_node_get_object(root)))
        return g_steal_pointer(&root);
    g_set_error(error, STORAGEFS_ERROR, ERROR_PROTOCOL,
                "%s/.control/status is not what this version understands", mount_point);
    return NULL;
}

pid_t
cli_control_get_pid(JsonNode *status)
{
    JsonObject *object = json_node_get_object(status);
    struct stat namespace;
    if (stat("/proc/self/ns/pid", &namespace) != 0 ||
        (guint64)json_object_get_int_member_with_default(object, "pid_namespace", 0) != namespace.st_ino)
        return 0;
    return (pid_t)json_object_get_int_member_with_default(object, "pid", 0);
}
