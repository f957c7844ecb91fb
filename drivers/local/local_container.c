#include "drivers/local/local_container.h"

#include "drivers/local/local_instance.h"
#include "drivers/local/local_list.h"
#include "drivers/local/local_lock.h"
#include "drivers/local/local_names.h"
#include "drivers/local/local_remove.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void
clear_container(gpointer data)
{
    g_free(((ContainerInfo *)data)->name);
}

static gint
compare_containers(gconstpointer a, gconstpointer b)
{
    return strcmp(((const ContainerInfo *)a)->name, ((const ContainerInfo *)b)->name);
}

/* 0 or a negative errno. Where the file system knows no birth time, 0 stands for it. */
static int
look(const LocalInstance *local, const char *container, gint64 *out_created_ns)
{
    struct statx info;
    int fd = local_path_open_container(&local->root, container, O_PATH);
    if (fd < 0)
        return fd;
    *out_created_ns = 0;
    if (statx(fd, "", AT_EMPTY_PATH, STATX_BTIME, &info) == 0 && (info.stx_mask & STATX_BTIME) != 0)
        *out_created_ns = info.stx_btime.tv_sec * G_GINT64_CONSTANT(1000000000) + info.stx_btime.tv_nsec;
    close(fd);
    return 0;
}

static void
append_container(const LocalInstance *local, const struct dirent *entry, GArray *containers)
{
    ContainerInfo info = {NULL};
    if (g_str_equal(entry->d_name, ".") || g_str_equal(entry->d_name, ".."))
        return;
    if (entry->d_type != DT_DIR && entry->d_type != DT_LNK && entry->d_type != DT_UNKNOWN)
        return;
    if (look(local, entry->d_name, &info.created_ns) != 0)
        return;
    info.name = g_strdup(entry->d_name);
    g_array_append_val(containers, info);
}

gboolean
local_container_list(DriverInstance *instance, Call *call, GArray **out_containers, GError **error)
{
    LocalInstance *local = (LocalInstance *)instance;
    if (!call_check(call, error) || !local_base_check(local->root.base, error))
        return FALSE;
    int fd = openat(local_base_use(local->root.base), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (dir == NULL) {
        error_set_errno(error, errno, "listing '%s'", local->path);
        if (fd >= 0)
            close(fd);
        return FALSE;
    }
    GArray *containers = g_array_new(FALSE, FALSE, sizeof(ContainerInfo));
    g_array_set_clear_func(containers, clear_container);
    for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir))
        append_container(local, entry, containers);
    closedir(dir);
    g_array_sort(containers, compare_containers);
    *out_containers = containers;
    return TRUE;
}

gboolean
local_container_stat(DriverInstance *instance, Call *call, const char *container, ContainerInfo *out,
                     GError **error)
{
    const LocalInstance *local = (LocalInstance *)instance;
    gint64 created_ns;
    if (!call_check(call, error) || !local_base_check(local->root.base, error))
        return FALSE;
    int result = look(local, container, &created_ns);
    if (result < 0)
        return error_set_errno(error, -result, "container '%s'", container);
    *out = (ContainerInfo){.name = g_strdup(container), .created_ns = created_ns};
    return TRUE;
}

gboolean
local_container_create(DriverInstance *instance, Call *call, const char *container, GError **error)
{
    LocalInstance *local = (LocalInstance *)instance;
    if (!call_check(call, error) || !local_names_check_container(container, error) ||
        !local_base_check(local->root.base, error))
        return FALSE;
    if (mkdirat(local_base_use(local->root.base), container, local->root.folder_mode) != 0)
        return error_set_errno(error, errno, "container '%s'", container);
    return TRUE;
}

gboolean
local_container_delete(DriverInstance *instance, Call *call, const char *container, GError **error)
{
    LocalInstance *local = (LocalInstance *)instance;
    g_auto(LocalLock) lock = LOCAL_LOCK_EMPTY;
    g_auto(ListPage) page;
    const ListQuery any = {.prefix = "", .limit = 1};
    list_page_init(&page);
    if (!local_list_objects(instance, call, container, &any, &page, error) ||
        !local_lock_take(local, container, NULL, call, &lock, error))
        return FALSE;
    if (page.objects->len > 0)
        return error_set_errno(error, ENOTEMPTY, "container '%s'", container);
    return local_remove_container(local, container, error);
}
