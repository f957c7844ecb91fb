#include "src/front/front_mount.h"

#include "src/base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <mntent.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

static gboolean
unmount(const char *mount_point)
{
    if (umount2(mount_point, MNT_DETACH) == 0)
        return TRUE;
    const char *arguments[] = {"fusermount3", "-u", "-z", "--", mount_point, NULL};
    int status = -1;
    return g_spawn_sync(NULL, (char **)arguments, NULL,
                        G_SPAWN_SEARCH_PATH | G_SPAWN_STDOUT_TO_DEV_NULL | G_SPAWN_STDERR_TO_DEV_NULL, NULL,
                        NULL, NULL, NULL, &status, NULL) &&
           status == 0;
}

gboolean
front_mount_clear_dead(const char *mount_point, GError **error)
{
    /* stat() may be answered from what the kernel still remembers of a dead mount. */
    struct statvfs statistics;
    for (int i = 0; i < 16 && statvfs(mount_point, &statistics) != 0 && errno == ENOTCONN; i++)
        if (!unmount(mount_point))
            return error_set_errno(error, errno, "cannot unmount the dead mount at %s", mount_point);
    return TRUE;
}

static gboolean
is_ours(const char *mount_point)
{
    FILE *table = setmntent("/proc/self/mounts", "re");
    if (table == NULL)
        return FALSE;
    struct mntent entry;
    char text[4096];
    gboolean found = FALSE;
    while (getmntent_r(table, &entry, text, sizeof text) != NULL)
        found = found ||
                (strcmp(entry.mnt_dir, mount_point) == 0 && strcmp(entry.mnt_type, "fuse.storagefs") == 0);
    endmntent(table);
    return found;
}

gboolean
front_mount_check(const char *mount_point, GError **error)
{
    struct stat attributes;
    if (stat(mount_point, &attributes) != 0)
        return error_set_errno(error, errno, "mount point %s", mount_point);
    if (!S_ISDIR(attributes.st_mode))
        return error_set_errno(error, ENOTDIR, "mount point %s", mount_point);
    if (is_ours(mount_point)) {
        g_set_error(error, STORAGEFS_ERROR, ERROR_EXISTS,
                    "%s is mounted already: storagefs umount %s ends it, storagefs reload %s re-reads its "
                    "configuration",
                    mount_point, mount_point, mount_point);
        return FALSE;
    }
    return TRUE;
}

/* From the kernel's table: asking the mount itself would be a request to this process, and a thread that
 * waits for its answer while the process is killed keeps the device open, so that the mount would never end.
 * NULL: unknown. */
static char *
find_device_number(const char *mount_point)
{
    char *found = NULL;
    g_autofree char *table = NULL;
    if (!g_file_get_contents("/proc/self/mountinfo", &table, NULL, NULL))
        return NULL;
    g_auto(GStrv) lines = g_strsplit(table, "\n", -1);
    for (guint i = 0; lines[i] != NULL; i++) {
        /* proc_pid_mountinfo(5): number, parent's, MAJOR:MINOR, root, mount point (octal escapes), ... */
        g_auto(GStrv) fields = g_strsplit(lines[i], " ", 6);
        if (g_strv_length(fields) < 6)
            continue;
        g_autofree char *point = g_strcompress(fields[4]);
        if (strcmp(point, mount_point) != 0)
            continue;
        g_free(found);
        found = g_strdup(fields[2]); /* the last one lies on top */
    }
    return found;
}

gboolean
front_mount_raise_read_ahead(const char *mount_point, guint kibibytes)
{
    g_autofree char *number = find_device_number(mount_point);
    if (number == NULL)
        return FALSE;
    g_autofree char *path = g_strdup_printf("/sys/class/bdi/%s/read_ahead_kb", number);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return FALSE;
    g_autofree char *text = g_strdup_printf("%u", kibibytes);
    gboolean written = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    close(fd);
    return written;
}

static gboolean
mount_device(const FrontOptions *options, int device)
{
    unsigned long flags = MS_NOSUID | MS_NODEV; /* as libfuse has it; suid and dev are not offered */
    struct stat attributes;
    if (stat(options->mount_point, &attributes) != 0)
        return FALSE;
    if (options->read_only)
        flags |= MS_RDONLY;
    if (options->noexec)
        flags |= MS_NOEXEC;
    g_autofree char *data =
        g_strdup_printf("fd=%d,rootmode=%o,user_id=%u,group_id=%u%s%s", device, attributes.st_mode & S_IFMT,
                        (guint)getuid(), (guint)getgid(), options->allow_other ? ",allow_other" : "",
                        options->default_permissions ? ",default_permissions" : "");
    return mount(options->source, options->mount_point, "fuse.storagefs", flags, data) == 0;
}

/* Never a standard one, when the program was started with some of them closed: those become /dev/null. */
static int
open_device(void)
{
    int device = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    if (device < 0 || device > STDERR_FILENO)
        return device;
    int higher = fcntl(device, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    close(device);
    return higher;
}

int
front_mount_open_device(const FrontOptions *options)
{
    int device = open_device();
    if (device < 0 || mount_device(options, device))
        return device;
    close(device);
    return -1;
}

/* An answer of POLLERR is the device's of a mount that is gone: another one may be there by now. */
void
front_mount_end(const char *mount_point, int device)
{
    struct pollfd state = {.fd = device};
    gboolean is_gone = poll(&state, 1, 0) == 1 && (state.revents & POLLERR) != 0;
    int nowhere = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (nowhere >= 0) {
        dup3(nowhere, device, O_CLOEXEC);
        close(nowhere);
    }
    /* Force: a thread that is telling the kernel something keeps the device open, and so would what the
     * kernel waits for. */
    if (!is_gone)
        umount2(mount_point, MNT_FORCE | MNT_DETACH);
}
