#include "src/object/object_store.h"

#include "src/base/error.h"
#include "src/object/call_wait.h"
#include "src/object/object_file_state.h"
#include "src/object/object_store_private.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

/* Less would not hold the blocks of one large read. */
#define MINIMUM_MEMORY_BYTES (8 << 20)
/* One eighth of the memory may hold small staging files. */
#define STAGING_SHARE 8
/* And a quarter what large ones were given and has not been sent; no less than what makes a difference. */
#define WINDOW_SHARE 4
#define MINIMUM_WINDOW_BYTES (8u << 20)
#define STRIDE_SHARE 32

static gboolean
make_private_folder(const char *path, GError **error)
{
    struct stat status;
    if (g_mkdir_with_parents(path, 0700) != 0 || lstat(path, &status) != 0)
        return error_set_errno(error, errno, "directory %s", path);
    if (!S_ISDIR(status.st_mode) || status.st_uid != geteuid()) {
        g_set_error(error, STORAGEFS_ERROR, ERROR_DENIED,
                    "directory %s: not a directory of this user; remove it, or choose another one", path);
        return FALSE;
    }
    if ((status.st_mode & 077) != 0 && chmod(path, 0700) != 0)
        return error_set_errno(error, errno, "directory %s: mode 0700", path);
    return TRUE;
}

static gboolean
make_folders(const ObjectStoreSettings *settings, GError **error)
{
    return make_private_folder(settings->staging_dir, error) &&
           make_private_folder(settings->recovery_dir, error) &&
           (settings->cache_size_bytes == 0 || make_private_folder(settings->objects_dir, error));
}

static gboolean
make_disk_cache(ObjectStore *store, const ObjectStoreSettings *settings, GError **error)
{
    if (settings->cache_size_bytes == 0)
        return TRUE;
    store->disk_cache =
        disk_cache_new(settings->objects_dir, (guint64)settings->cache_size_bytes, store->budget, error);
    object_version_table_set_disk_cache(store->versions, store->disk_cache);
    return store->disk_cache != NULL;
}

static gboolean
make_journal(ObjectStore *store, const ObjectStoreSettings *settings, GError **error)
{
    if (settings->journal_dir == NULL)
        return TRUE;
    store->journal =
        journal_open(settings->journal_dir, settings->journal_size_bytes, settings->journal_wait_us, error);
    return store->journal != NULL;
}

ObjectStore *
object_store_new(const ObjectStoreSettings *settings, GError **error)
{
    if (!make_folders(settings, error))
        return NULL;
    g_autoptr(ObjectStore) store = g_new0(ObjectStore, 1);
    guint64 limit = (guint64)MAX(settings->memory_limit_bytes, MINIMUM_MEMORY_BYTES);
    store->staging_budget = memory_budget_new(limit / STAGING_SHARE);
    guint64 window = limit / WINDOW_SHARE >= MINIMUM_WINDOW_BYTES ? limit / WINDOW_SHARE : 0;
    store->staging_pool = staging_pool_new(window);
    store->stride_budget = memory_budget_new(limit / STRIDE_SHARE);
    store->budget = memory_budget_new(limit - limit / STAGING_SHARE - limit / STRIDE_SHARE -
                                      staging_pool_get_limit(store->staging_pool));
    store->blocks = block_cache_new(store->budget);
    store->clocks = stream_clock_set_new();
    store->versions = object_version_table_new();
    store->loans = loan_table_new();
    store->staging_dir = g_strdup(settings->staging_dir);
    store->recovery_dir = g_strdup(settings->recovery_dir);
    lock_init(&store->lock);
    lock_init(&store->files_lock);
    condition_init(&store->idle);
    g_queue_init(&store->files);
    return make_journal(store, settings, error) && make_disk_cache(store, settings, error)
               ? g_steal_pointer(&store)
               : NULL;
}

void
object_store_free(ObjectStore *store)
{
    if (store == NULL)
        return;
    lock_acquire(&store->lock);
    while (store->tasks > 0)
        condition_wait(&store->idle, &store->lock, 0);
    lock_release(&store->lock);
    g_assert(store->files.length == 0);
    journal_free(store->journal);
    block_cache_free(store->blocks);
    disk_cache_free(store->disk_cache);
    stream_clock_set_free(store->clocks);
    memory_budget_free(store->budget);
    memory_budget_free(store->staging_budget);
    staging_pool_free(store->staging_pool);
    memory_budget_free(store->stride_budget);
    loan_table_free(store->loans);
    object_version_table_free(store->versions);
    condition_clear(&store->idle);
    lock_clear(&store->lock);
    lock_clear(&store->files_lock);
    g_free(store->staging_dir);
    g_free(store->recovery_dir);
    g_free(store);
}

void
object_store_begin_task(ObjectStore *store)
{
    lock_acquire(&store->lock);
    store->tasks++;
    lock_release(&store->lock);
}

void
object_store_end_task(ObjectStore *store)
{
    lock_acquire(&store->lock);
    if (--store->tasks == 0)
        condition_wake_all(&store->idle);
    lock_release(&store->lock);
}

void
object_store_begin_publication(ObjectStore *store)
{
    lock_acquire(&store->lock);
    store->publications_open++;
    lock_release(&store->lock);
}

void
object_store_end_publication(ObjectStore *store, gboolean ok)
{
    lock_acquire(&store->lock);
    store->publications++;
    if (!ok)
        store->publication_failures++;
    if (--store->publications_open == 0)
        condition_wake_all(&store->idle);
    lock_release(&store->lock);
}

void
object_store_count_read_ahead(ObjectStore *store, guint64 fetched_bytes, guint64 wasted_bytes)
{
    lock_acquire(&store->lock);
    store->read_ahead_bytes += fetched_bytes;
    store->read_ahead_wasted_bytes += wasted_bytes;
    lock_release(&store->lock);
}

gboolean
object_store_drain(ObjectStore *store, Call *call, GError **error)
{
    CallWait wait;
    gboolean ok = TRUE;
    call_wait_begin(&wait, call, &store->lock, &store->idle);
    lock_acquire(&store->lock);
    while (store->publications_open > 0 && ok)
        ok = call_wait_next(&wait, error);
    lock_release(&store->lock);
    call_wait_end(&wait);
    return ok;
}

void
object_store_get_statistics(ObjectStore *store, ObjectStoreStatistics *out)
{
    guint64 window_used = 0, window_peak = 0;
    MemoryBudget *const budgets[] = {store->budget, store->staging_budget, store->stride_budget};
    staging_pool_get_use(store->staging_pool, &window_used, &window_peak);
    *out = (ObjectStoreStatistics){.memory_limit_bytes = staging_pool_get_limit(store->staging_pool),
                                   .memory_used_bytes = window_used,
                                   .memory_peak_bytes = window_peak};
    for (guint i = 0; i < G_N_ELEMENTS(budgets); i++) {
        guint64 used = 0, peak = 0;
        memory_budget_get_use(budgets[i], &used, &peak);
        out->memory_limit_bytes += memory_budget_get_limit(budgets[i]);
        out->memory_used_bytes += used;
        out->memory_peak_bytes += peak;
    }
    block_cache_get_counts(store->blocks, &out->block_hits, &out->block_misses);
    lock_acquire(&store->lock);
    out->read_ahead_bytes = store->read_ahead_bytes;
    out->read_ahead_wasted_bytes = store->read_ahead_wasted_bytes;
    out->publications = store->publications;
    out->publication_failures = store->publication_failures;
    lock_release(&store->lock);
    if (store->journal != NULL)
        journal_get_counts(store->journal, out);
    lock_acquire(&store->files_lock);
    for (GList *item = store->files.head; item != NULL; item = item->next)
        object_file_count(item->data, &out->open_files, &out->staged_bytes);
    lock_release(&store->files_lock);
}

gboolean
object_store_make_way(ObjectStore *store, const char *folder, guint64 bytes)
{
    struct stat status;
    return store->disk_cache != NULL && stat(folder, &status) == 0 &&
           disk_cache_make_way(store->disk_cache, status.st_dev, bytes);
}

void
object_store_get_disk_cache(ObjectStore *store, DiskCacheStatistics *out)
{
    *out = (DiskCacheStatistics){0};
    if (store->disk_cache != NULL)
        disk_cache_get_statistics(store->disk_cache, out);
}
