/* One configured storage: its life, its lanes, what is known about it. The operations are in storage_*.c. */
#include "src/storage/storage.h"

#include "src/storage/storage_private.h"

#include <string.h>

#define FNV_OFFSET G_GUINT64_CONSTANT(14695981039346656037)
#define FNV_PRIME G_GUINT64_CONSTANT(1099511628211)

/* FNV-1a: the same name has the same number in every run. */
static guint64
hash_name(const char *name)
{
    guint64 hash = FNV_OFFSET;
    for (; *name; name++)
        hash = (hash ^ (guchar)*name) * FNV_PRIME;
    return MAX(hash, 1);
}

static gboolean
check_names(Storage *storage, const char *key, char **names, GError **error)
{
    for (; names && *names; names++) {
        g_autoptr(GError) failure = NULL;
        if (!storage_check_container_name(storage, *names, &failure))
            return config_section_fail(storage->settings->section, key, error, "%s: %s", key,
                                       failure->message);
    }
    return TRUE;
}

static void
destroy(gpointer data)
{
    Storage *storage = data;
    call_cancel(storage->lifetime);
    worker_pool_free(storage->background);
    worker_pool_free(storage->discarding);
    storage_forget_leftovers(storage);
    worker_pool_free(storage->calls);
    worker_pool_free(storage->transfers);
    if (storage->instance)
        storage->settings->driver->close(storage->instance);
    call_unref(storage->lifetime);
    g_hash_table_unref(storage->missing);
    g_clear_error(&storage->connect_error);
    g_clear_error(&storage->silence);
    condition_clear(&storage->changed);
    lock_clear(&storage->lock);
    g_free(storage->last_error);
    g_free(storage->learned_path);
    upload_ledger_free(storage->ledger);
    g_free(storage->place);
    settings_free_storage(storage->settings);
    g_free(storage);
}

static void
make_missing_set(Storage *storage)
{
    const StorageSettings *settings = storage->settings;
    storage->missing = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    for (char **name = settings->create_containers; name && *name && !settings->read_only; name++)
        g_hash_table_add(storage->missing, g_strdup(*name));
}

Storage *
storage_new(const StorageSettings *settings, GError **error)
{
    g_autoptr(Storage) storage = g_new0(Storage, 1);
    atomic_init(&storage->references, 1);
    storage->settings = settings_copy_storage(settings);
    storage->id = hash_name(settings->name);
    storage->lifetime = call_new(0);
    storage->calls = worker_pool_new("calls", settings->maximum_requests);
    storage->transfers = worker_pool_new("transfers", settings->maximum_requests);
    storage->background = worker_pool_new("connect", 1);
    storage->discarding = worker_pool_new("discard", 1);
    g_queue_init(&storage->leftovers);
    lock_init(&storage->lock);
    condition_init(&storage->changed);
    make_missing_set(storage);
    storage->instance = settings->driver->open(settings->driver_name, settings->section, error);
    if (!storage->instance || !check_names(storage, "containers", settings->containers, error) ||
        !check_names(storage, "create_containers", settings->create_containers, error))
        return NULL;
    storage->place = settings->driver->describe_place(storage->instance);
    return g_steal_pointer(&storage);
}

Storage *
storage_ref(Storage *storage)
{
    atomic_fetch_add_explicit(&storage->references, 1, memory_order_relaxed);
    return storage;
}

/* Destroys what a task of one of its own lanes was the last to hold. Never freed: it has no state but an idle
 * thread. */
static WorkerPool *reaper;

static void
make_reaper(void)
{
    reaper = worker_pool_new("reaper", 1);
}

void
storage_unref(Storage *storage)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    if (!storage || atomic_fetch_sub_explicit(&storage->references, 1, memory_order_acq_rel) != 1)
        return;
    if (!worker_pool_is_current(storage->calls) && !worker_pool_is_current(storage->transfers)) {
        destroy(storage);
        return;
    }
    pthread_once(&once, make_reaper);
    worker_pool_push(reaper, destroy, storage);
}

const char *
storage_get_name(Storage *storage)
{
    return storage->settings->name;
}

const StorageSettings *
storage_get_settings(Storage *storage)
{
    return storage->settings;
}

const char *
storage_get_place(Storage *storage)
{
    return storage->place;
}

gboolean
storage_is_file_system(Storage *storage)
{
    return storage->settings->driver->files != NULL;
}

guint64
storage_get_id(Storage *storage)
{
    return storage->id;
}

DriverInstance *
storage_get_instance(Storage *storage)
{
    return storage->instance;
}

Call *
storage_new_call(Storage *storage)
{
    return call_new(storage->settings->timeout_us);
}

WorkerPool *
storage_get_lane(Storage *storage, StorageLane lane)
{
    return lane == STORAGE_LANE_CALLS ? storage->calls : storage->transfers;
}

void
storage_get_capabilities(Storage *storage, Capabilities *out)
{
    storage->settings->driver->get_capabilities(storage->instance, out);
}

void
storage_get_health(Storage *storage, StorageHealth *out)
{
    /* Files are used without asking here: nothing else would find out that they are there. */
    if (storage_is_file_system(storage))
        storage_heal(storage);
    *out = (StorageHealth){.state = (StorageState)atomic_load(&storage->state),
                           .requests = atomic_load(&storage->requests),
                           .retries = atomic_load(&storage->retries),
                           .failures = atomic_load(&storage->failures),
                           .body_bytes_sent = atomic_load(&storage->body_bytes_sent),
                           .body_bytes_received = atomic_load(&storage->body_bytes_received)};
    lock_acquire(&storage->lock);
    out->last_error = g_strdup(storage->last_error);
    if (storage->last_error)
        out->last_error_age_us = g_get_monotonic_time() - storage->last_error_at_us;
    lock_release(&storage->lock);
}

void
storage_health_clear(StorageHealth *health)
{
    g_clear_pointer(&health->last_error, g_free);
}

gboolean
storage_is_shown(Storage *storage, const char *container)
{
    char **shown = storage->settings->containers;
    return !shown || g_strv_contains((const char *const *)shown, container);
}

gboolean
storage_check_writable(Storage *storage, GError **error)
{
    if (!storage->settings->read_only)
        return TRUE;
    g_set_error(error, STORAGEFS_ERROR, ERROR_READ_ONLY, "%s: the storage is read-only",
                storage->settings->name);
    return FALSE;
}

gboolean
storage_check_offered(Storage *storage, gboolean offered, const char *what, GError **error)
{
    if (offered)
        return TRUE;
    g_set_error(error, STORAGEFS_ERROR, ERROR_UNSUPPORTED, "%s: the service does not offer %s",
                storage->settings->name, what);
    return FALSE;
}

gboolean
storage_check_container_name(Storage *storage, const char *name, GError **error)
{
    return storage->settings->driver->check_container_name(storage->instance, name, error);
}

gboolean
storage_check_key(Storage *storage, const char *key, GError **error)
{
    return storage->settings->driver->check_key(storage->instance, key, error);
}

gboolean
storage_check_metadata_name(Storage *storage, const char *name, GError **error)
{
    return storage->settings->driver->check_metadata_name(storage->instance, name, error);
}

gboolean
storage_check_metadata(Storage *storage, Metadata *metadata, GError **error)
{
    if (storage->settings->driver->check_metadata != NULL)
        return storage->settings->driver->check_metadata(storage->instance, metadata, error);
    Capabilities capabilities;
    GHashTableIter iter;
    gpointer name, value;
    gsize bytes = 0;
    storage_get_capabilities(storage, &capabilities);
    g_hash_table_iter_init(&iter, metadata);
    while (g_hash_table_iter_next(&iter, &name, &value))
        bytes += strlen(name) + strlen(value);
    if (capabilities.maximum_metadata_bytes == 0 || bytes <= capabilities.maximum_metadata_bytes)
        return TRUE;
    g_set_error(error, STORAGEFS_ERROR, ERROR_TOO_LARGE,
                "metadata of %" G_GSIZE_FORMAT " bytes, the service takes %u", bytes,
                capabilities.maximum_metadata_bytes);
    return FALSE;
}
