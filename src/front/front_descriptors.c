#include "src/front/front_descriptors.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* More descriptors than a process that redirects output ever has: give up rather than read for long. */
#define DESCRIPTORS_MAX 256

static gboolean
shows_inode(int directory, const char *name, guint64 inode)
{
    char text[1024];
    int fd = openat(directory, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return FALSE;
    ssize_t length = read(fd, text, sizeof text - 1);
    close(fd);
    if (length <= 0)
        return FALSE;
    text[length] = '\0';
    const char *found = strstr(text, "\nino:\t");
    return found != NULL && g_ascii_strtoull(found + strlen("\nino:\t"), NULL, 10) == inode;
}

gboolean
front_descriptors_has_other(pid_t pid, guint64 inode)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/fdinfo", (int)pid);
    DIR *directory = opendir(path);
    if (directory == NULL)
        return FALSE;
    gboolean found = FALSE;
    struct dirent *entry;
    for (int i = 0; !found && i < DESCRIPTORS_MAX && (entry = readdir(directory)) != NULL; i++)
        found = entry->d_name[0] != '.' && shows_inode(dirfd(directory), entry->d_name, inode);
    closedir(directory);
    return found;
}
