/* Containers of one storage. */
#include "src/storage/retry.h"
#include "src/storage/storage_private.h"

#include <string.h>

static void
clear_container(gpointer data)
{
    g_free(((ContainerInfo *)data)->name);
}

static int
compare_containers(gconstpointer a, gconstpointer b)
{
    return strcmp(((const ContainerInfo *)a)->name, ((const ContainerInfo *)b)->name);
}

static GArray *
list_shown(Storage *storage)
{
    GArray *shown = g_array_new(FALSE, FALSE, sizeof(ContainerInfo));
    g_array_set_clear_func(shown, clear_container);
    for (char **name = storage->settings->containers; *name; name++) {
        ContainerInfo info = {.name = g_strdup(*name)};
        g_array_append_val(shown, info);
    }
    g_array_sort(shown, compare_containers);
    return shown;
}

gboolean
storage_lists_unseen(Storage *storage)
{
    return storage->settings->containers != NULL;
}

gboolean
storage_list_containers(Storage *storage, Call *call, GArray **out_containers, GError **error)
{
    const Driver *driver = storage->settings->driver;
    StorageAttempt attempt;
    if (storage->settings->containers) {
        *out_containers = list_shown(storage);
        return TRUE;
    }
    if (!storage_check_offered(storage, driver->list_containers != NULL, "lists of containers", error) ||
        !storage_attempt_begin_look(&attempt, storage, call, NULL, NULL, error))
        return FALSE;
    while (!driver->list_containers(storage->instance, attempt.call, out_containers, &attempt.failure)) {
        if (!storage_attempt_again(&attempt, error))
            return FALSE;
    }
    return storage_attempt_done(&attempt);
}

gboolean
storage_stat_container(Storage *storage, Call *call, const char *container, ContainerInfo *out,
                       GError **error)
{
    const Driver *driver = storage->settings->driver;
    StorageAttempt attempt;
    if (!storage_attempt_begin_look(&attempt, storage, call, container, NULL, error))
        return FALSE;
    while (!driver->stat_container(storage->instance, attempt.call, container, out, &attempt.failure)) {
        if (!storage_attempt_again(&attempt, error))
            return FALSE;
    }
    return storage_attempt_done(&attempt);
}

static gboolean
exists(StorageAttempt *attempt)
{
    const Driver *driver = attempt->storage->settings->driver;
    ContainerInfo info = {0};
    gboolean found =
        driver->stat_container(attempt->storage->instance, attempt->call, attempt->container, &info, NULL);
    g_free(info.name);
    return found;
}

gboolean
storage_create_container(Storage *storage, Call *call, const char *container, GError **error)
{
    const Driver *driver = storage->settings->driver;
    StorageAttempt attempt;
    gboolean unsure = FALSE;
    if (!storage_check_writable(storage, error) ||
        !storage_check_offered(storage, driver->create_container != NULL, "new containers", error) ||
        !storage_check_container_name(storage, container, error))
        return FALSE;
    if (!storage_is_shown(storage, container)) {
        g_set_error(error, STORAGEFS_ERROR, ERROR_NOT_PERMITTED,
                    "%s/%s: containers = does not name it, so it would not be seen", storage->settings->name,
                    container);
        return FALSE;
    }
    if (!storage_attempt_begin(&attempt, storage, call, container, NULL, error))
        return FALSE;
    while (!(unsure && exists(&attempt)) &&
           !driver->create_container(storage->instance, call, container, &attempt.failure)) {
        if (unsure && error_is(attempt.failure, ERROR_EXISTS))
            break;
        unsure = unsure || retry_may_have_happened(attempt.failure);
        if (!storage_attempt_again(&attempt, error))
            return FALSE;
    }
    return storage_attempt_done(&attempt);
}

gboolean
storage_delete_container(Storage *storage, Call *call, const char *container, GError **error)
{
    const Driver *driver = storage->settings->driver;
    StorageAttempt attempt;
    gboolean unsure = FALSE;
    if (!storage_check_writable(storage, error) ||
        !storage_check_offered(storage, driver->delete_container != NULL, "removal of containers", error) ||
        !storage_attempt_begin(&attempt, storage, call, container, NULL, error))
        return FALSE;
    while (!driver->delete_container(storage->instance, call, container, &attempt.failure)) {
        if (unsure && error_is(attempt.failure, ERROR_NOT_FOUND))
            break;
        unsure = unsure || retry_may_have_happened(attempt.failure);
        if (!storage_attempt_again(&attempt, error))
            return FALSE;
    }
    return storage_attempt_done(&attempt);
}
