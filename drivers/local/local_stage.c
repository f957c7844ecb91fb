#include "drivers/local/local_stage.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* Others may remove the directory between our making and using it: it is removed whenever it is empty. */
#define MAXIMUM_ATTEMPTS 64

static char *
make_name(void)
{
    static guint counter;
    return g_strdup_printf("storagefs-%d-%u-%08x", (int)getpid(), (guint)g_atomic_int_add(&counter, 1),
                           g_random_int());
}

/* Makes one new file in the staging directory of that name. 0 or a negative errno. */
static int
open_in_folder(LocalStage *stage, const char *folder, mode_t folder_mode)
{
    if (mkdirat(stage->container_fd, folder, folder_mode) != 0 && errno != EEXIST)
        return -errno;
    int folder_fd = openat(stage->container_fd, folder, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (folder_fd < 0)
        return -errno;
    g_autofree char *name = make_name();
    int fd = openat(folder_fd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) {
        int failed = -errno;
        close(folder_fd);
        return failed;
    }
    stage->folder_fd = folder_fd;
    stage->fd = fd;
    stage->folder = folder;
    stage->name = g_steal_pointer(&name);
    return 0;
}

gboolean
local_stage_open(const LocalInstance *local, const char *container, LocalStage *out, GError **error)
{
    int container_fd = local_path_open_container(&local->root, container, O_PATH);
    if (container_fd < 0)
        return error_set_errno(error, -container_fd, "container '%s'", container);
    LocalStage stage = LOCAL_STAGE_EMPTY;
    stage.container_fd = container_fd;
    int result = -ENOENT;
    for (guint attempt = 0; attempt < MAXIMUM_ATTEMPTS && result == -ENOENT; attempt++) {
        result = open_in_folder(&stage, ".lock", local->root.folder_mode);
        if (result == -ENOTDIR || result == -ELOOP)
            result = open_in_folder(&stage, ".hash", local->root.folder_mode);
    }
    if (result < 0) {
        local_stage_clear(&stage);
        return error_set_errno(error, -result, "staging directory '%s/.lock'", container);
    }
    *out = stage;
    return TRUE;
}

static int
rename_into_place(const LocalInstance *local, LocalStage *stage, const char *container, const char *key,
                  gboolean if_absent)
{
    int result = -ENOENT;
    /* Pruning elsewhere may take the directory away again before the file lies in it. */
    for (guint attempt = 0; attempt < MAXIMUM_ATTEMPTS && result == -ENOENT; attempt++) {
        g_autofree char *leaf = NULL;
        int parent = local_path_open_parent(&local->root, container, key, TRUE, &leaf);
        if (parent < 0) {
            result = parent;
            continue;
        }
        unsigned flags = if_absent ? RENAME_NOREPLACE : 0;
        result = renameat2(stage->folder_fd, stage->name, parent, leaf, flags) == 0 ? 0 : -errno;
        close(parent);
    }
    return result;
}

gboolean
local_stage_publish(const LocalInstance *local, LocalStage *stage, const char *container, const char *key,
                    gboolean if_absent, GError **error)
{
    if (fchmod(stage->fd, local->file_mode) != 0 || fsync(stage->fd) != 0)
        return error_set_errno(error, errno, "object '%s/%s'", container, key);
    int result = rename_into_place(local, stage, container, key, if_absent);
    if (result < 0)
        return error_set_errno(error, -result, "object '%s/%s'", container, key);
    g_clear_pointer(&stage->name, g_free);
    return TRUE;
}

void
local_stage_clear(LocalStage *stage)
{
    if (stage->name != NULL)
        unlinkat(stage->folder_fd, stage->name, 0);
    if (stage->folder != NULL)
        unlinkat(stage->container_fd, stage->folder, AT_REMOVEDIR);
    g_clear_pointer(&stage->name, g_free);
    for (int *fd = (int[]){stage->fd, stage->folder_fd, stage->container_fd, -2}; *fd != -2; fd++) {
        if (*fd >= 0)
            close(*fd);
    }
    *stage = LOCAL_STAGE_EMPTY;
}
