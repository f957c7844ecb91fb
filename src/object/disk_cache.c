#include "src/object/disk_cache.h"

#include "src/base/error.h"
#include "src/base/log.h"
#include "src/object/disk_cache_private.h"

#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define MAXIMUM_QUEUED_BYTES (128u << 20)
#define MAXIMUM_OPEN 256u
#define MAXIMUM_THREADS 4u
/* How long fetching ahead waits for the queue. */
#define PATIENCE_US (50 * 1000)
/* How often a directory that another mount has is tried. */
#define TAKEN_RETRY_US G_USEC_PER_SEC

static guint
name_hash(gconstpointer data)
{
    guint hash;
    memcpy(&hash, data, sizeof hash);
    return hash;
}

static gboolean
name_equal(gconstpointer a, gconstpointer b)
{
    return memcmp(a, b, sizeof(DiskCacheName)) == 0;
}

DiskCacheEntry *
disk_cache_find_locked(DiskCache *cache, const DiskCacheName *name)
{
    return g_hash_table_lookup(cache->entries, name);
}

DiskCacheEntry *
disk_cache_insert_locked(DiskCache *cache, const DiskCacheName *name, guint64 disk_bytes)
{
    DiskCacheEntry *entry = g_new0(DiskCacheEntry, 1);
    entry->name = *name;
    entry->disk_bytes = disk_bytes;
    entry->number = ++cache->next_number;
    entry->use_link.data = entry->open_link.data = entry;
    g_hash_table_insert(cache->entries, &entry->name, entry);
    g_queue_push_tail_link(&cache->by_use, &entry->use_link);
    cache->used_bytes += disk_bytes;
    return entry;
}

static DiskCacheFile *
close_file_locked(DiskCache *cache, DiskCacheEntry *entry) REQUIRES(cache->lock)
{
    DiskCacheFile *file = entry->file;
    if (file == NULL)
        return NULL;
    entry->complete = disk_cache_file_is_complete(file);
    entry->file = NULL;
    g_queue_unlink(&cache->open, &entry->open_link);
    return file;
}

DiskCacheFile *
disk_cache_set_file_locked(DiskCache *cache, DiskCacheEntry *entry, DiskCacheFile *file)
{
    entry->file = file;
    g_queue_push_tail_link(&cache->open, &entry->open_link);
    if (cache->open.length <= cache->maximum_open)
        return NULL;
    return close_file_locked(cache, cache->open.head->data);
}

DiskCacheFile *
disk_cache_unlist_locked(DiskCache *cache, DiskCacheEntry *entry)
{
    DiskCacheFile *file = close_file_locked(cache, entry);
    g_hash_table_remove(cache->entries, &entry->name);
    g_queue_unlink(&cache->by_use, &entry->use_link);
    cache->used_bytes -= entry->disk_bytes;
    g_free(entry);
    return file;
}

/* Records of a list or a scan are colder than what was used meanwhile. */
static void
take_over(DiskCache *cache, const GArray *records)
{
    lock_acquire(&cache->lock);
    for (guint i = records->len; i > 0; i--) {
        const DiskCacheRecord *record = &g_array_index(records, DiskCacheRecord, i - 1);
        if (disk_cache_find_locked(cache, &record->name) != NULL)
            continue;
        DiskCacheEntry *entry = disk_cache_insert_locked(cache, &record->name, record->disk_bytes);
        g_queue_unlink(&cache->by_use, &entry->use_link);
        g_queue_push_head_link(&cache->by_use, &entry->use_link);
    }
    cache->state = DISK_CACHE_READY;
    lock_release(&cache->lock);
}

static void
run_shrink(gpointer data)
{
    disk_cache_shrink(data);
}

static void
run_scan(gpointer data)
{
    DiskCache *cache = data;
    g_autoptr(GArray) records = disk_cache_folder_scan(cache->folder_fd, &cache->stopping);
    if (g_atomic_int_get(&cache->stopping) != 0)
        return;
    take_over(cache, records);
    disk_cache_shrink(cache);
}

/* TRUE also when another mount has the directory: then it is tried again. */
static gboolean
open_folder(DiskCache *cache, GError **error)
{
    gboolean taken = FALSE;
    int fd = disk_cache_folder_open(cache->path, &taken, error);
    g_autoptr(GArray) records = fd >= 0 ? disk_cache_folder_take_list(fd) : NULL;
    lock_acquire(&cache->lock);
    gboolean first = taken && cache->failure == NULL;
    g_free(cache->failure);
    cache->failure = taken ? g_strdup_printf("another mount uses %s", cache->path) : NULL;
    cache->retry_at_us = g_get_monotonic_time() + TAKEN_RETRY_US;
    cache->folder_fd = fd;
    cache->state = fd >= 0 ? DISK_CACHE_SCANS : DISK_CACHE_WAITS;
    lock_release(&cache->lock);
    if (first)
        log_warning("disk cache: another mount uses %s; off until that ends, or give this one a cache_dir of "
                    "its own",
                    cache->path);
    if (records != NULL)
        take_over(cache, records);
    if (fd >= 0)
        worker_pool_push(cache->pool, records != NULL ? run_shrink : run_scan, cache);
    return fd >= 0 || taken;
}

static void
run_open(gpointer data)
{
    DiskCache *cache = data;
    g_autoptr(GError) error = NULL;
    if (!open_folder(cache, &error))
        disk_cache_fail(cache, g_steal_pointer(&error));
}

/* TRUE when the directory is ours. */
static gboolean
is_open(DiskCache *cache)
{
    lock_acquire(&cache->lock);
    gboolean waits = cache->state == DISK_CACHE_WAITS;
    gboolean due = waits && g_get_monotonic_time() >= cache->retry_at_us;
    if (due)
        cache->retry_at_us = G_MAXINT64;
    lock_release(&cache->lock);
    if (due)
        worker_pool_push(cache->pool, run_open, cache);
    return !waits;
}

static guint
count_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur / 16 >= MAXIMUM_OPEN)
        return MAXIMUM_OPEN;
    return (guint)MAX(limit.rlim_cur / 16, 4);
}

DiskCache *
disk_cache_new(const char *path, guint64 limit_bytes, MemoryBudget *budget, GError **error)
{
    g_autoptr(DiskCache) cache = g_new0(DiskCache, 1);
    cache->path = g_strdup(path);
    cache->size_bytes = cache->limit_bytes = limit_bytes;
    cache->budget = budget;
    cache->maximum_queued_bytes = MIN(MAXIMUM_QUEUED_BYTES, memory_budget_get_limit(budget) / 4);
    cache->maximum_open = count_descriptors();
    cache->folder_fd = -1;
    cache->entries = g_hash_table_new(name_hash, name_equal);
    g_queue_init(&cache->by_use);
    g_queue_init(&cache->open);
    lock_init(&cache->lock);
    condition_init(&cache->left_queue);
    cache->patience_us = PATIENCE_US;
    lock_init(&cache->files_lock);
    cache->pool = worker_pool_new("disk-cache", CLAMP(g_get_num_processors(), 2, MAXIMUM_THREADS));
    return open_folder(cache, error) ? g_steal_pointer(&cache) : NULL;
}

static void
leave_list(DiskCache *cache)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GArray) records = g_array_new(FALSE, FALSE, sizeof(DiskCacheRecord));
    for (GList *item = cache->by_use.head; item != NULL; item = item->next) {
        const DiskCacheEntry *entry = item->data;
        DiskCacheRecord record = {entry->name, entry->disk_bytes};
        g_array_append_val(records, record);
    }
    if (!disk_cache_folder_leave_list(cache->folder_fd, records, &error))
        log_warning("%s; the next mount looks through its directory instead", error->message);
}

void
disk_cache_free(DiskCache *cache)
{
    if (cache == NULL)
        return;
    g_atomic_int_set(&cache->stopping, 1);
    worker_pool_free(cache->pool);
    if (cache->state == DISK_CACHE_READY)
        leave_list(cache);
    lock_acquire(&cache->lock);
    while (cache->by_use.head != NULL)
        disk_cache_file_unref(disk_cache_unlist_locked(cache, cache->by_use.head->data));
    lock_release(&cache->lock);
    if (cache->folder_fd >= 0)
        close(cache->folder_fd);
    g_hash_table_unref(cache->entries);
    condition_clear(&cache->left_queue);
    lock_clear(&cache->lock);
    lock_clear(&cache->files_lock);
    g_free(cache->failure);
    g_free(cache->path);
    g_free(cache);
}

void
disk_cache_flush(DiskCache *cache)
{
    worker_pool_drain(cache->pool);
}

static void
touch_locked(DiskCache *cache, DiskCacheEntry *entry) REQUIRES(cache->lock)
{
    g_queue_unlink(&cache->by_use, &entry->use_link);
    g_queue_push_tail_link(&cache->by_use, &entry->use_link);
    if (entry->file == NULL)
        return;
    g_queue_unlink(&cache->open, &entry->open_link);
    g_queue_push_tail_link(&cache->open, &entry->open_link);
}

/* What look-up finds before and after the file is opened without the lock. */
typedef struct {
    gboolean try_disk; /* there may be a file to open */
    guint64 number;    /* 0: no entry yet */
} Found;

static DiskCacheFile *
find_open_file(DiskCache *cache, const DiskCacheName *name, Found *out)
{
    DiskCacheFile *file = NULL;
    lock_acquire(&cache->lock);
    DiskCacheEntry *entry = disk_cache_find_locked(cache, name);
    *out = (Found){entry != NULL || cache->state == DISK_CACHE_SCANS, entry != NULL ? entry->number : 0};
    if (entry != NULL)
        touch_locked(cache, entry);
    if (entry != NULL && entry->file != NULL)
        file = disk_cache_file_ref(entry->file);
    lock_release(&cache->lock);
    return file;
}

/* Nothing of use has that name any more. */
static void
forget(DiskCache *cache, const DiskCacheName *name, guint64 number)
{
    DiskCacheFile *file = NULL;
    lock_acquire(&cache->lock);
    DiskCacheEntry *entry = disk_cache_find_locked(cache, name);
    gboolean ours = entry != NULL && entry->number == number;
    if (ours)
        file = disk_cache_unlist_locked(cache, entry);
    lock_release(&cache->lock);
    disk_cache_file_unref(file);
    if (ours || number == 0)
        disk_cache_push_removal(cache, name);
}

/* Two threads may open the same file; one of them finds the other's here. Takes file. */
static DiskCacheFile *
enter_file(DiskCache *cache, const DiskCacheName *name, const Found *found, DiskCacheFile *file)
{
    guint64 disk_bytes = disk_cache_file_get_disk_bytes(file);
    DiskCacheFile *spare = NULL, *result = NULL;
    lock_acquire(&cache->lock);
    DiskCacheEntry *entry = disk_cache_find_locked(cache, name);
    if (entry == NULL && found->number == 0 && cache->state == DISK_CACHE_SCANS)
        entry = disk_cache_insert_locked(cache, name, disk_bytes);
    else if (entry != NULL && found->number != 0 && entry->number != found->number)
        entry = NULL;
    if (entry == NULL) {
        spare = file;
    } else if (entry->file != NULL) {
        spare = file;
        result = disk_cache_file_ref(entry->file);
    } else {
        if (entry->complete)
            disk_cache_file_set_complete(file);
        spare = disk_cache_set_file_locked(cache, entry, file);
        result = disk_cache_file_ref(file);
    }
    lock_release(&cache->lock);
    disk_cache_file_unref(spare);
    return result;
}

DiskCacheFile *
disk_cache_take_file(DiskCache *cache, const DiskCacheObject *object, const DiskCacheName *name)
{
    Found found;
    g_autoptr(GError) error = NULL;
    DiskCacheFile *file = find_open_file(cache, name, &found);
    if (file != NULL || !found.try_disk)
        return file;
    file = disk_cache_file_open(cache->folder_fd, name, object, &error);
    if (file != NULL)
        return enter_file(cache, name, &found, file);
    gboolean absent = error_is(error, ERROR_NOT_FOUND);
    if (error_is(error, ERROR_PROTOCOL)) {
        lock_acquire(&cache->lock);
        cache->counts.damaged++;
        lock_release(&cache->lock);
        log_info("%s; it is fetched again", error->message);
    }
    if ((absent && found.number != 0) || error_is(error, ERROR_PROTOCOL))
        forget(cache, name, found.number);
    return NULL;
}

static void
count_read(DiskCache *cache, DiskCacheResult result, gsize length_bytes)
{
    lock_acquire(&cache->lock);
    if (result == DISK_CACHE_READ) {
        cache->counts.hits++;
        cache->counts.hit_bytes += length_bytes;
    } else {
        cache->counts.misses++;
    }
    if (result == DISK_CACHE_DAMAGED || result == DISK_CACHE_BROKEN)
        cache->counts.damaged++;
    lock_release(&cache->lock);
}

static void
forget_file(DiskCache *cache, const DiskCacheName *name, const DiskCacheFile *file)
{
    guint64 number = 0;
    lock_acquire(&cache->lock);
    DiskCacheEntry *entry = disk_cache_find_locked(cache, name);
    if (entry != NULL && entry->file == file)
        number = entry->number;
    lock_release(&cache->lock);
    if (number != 0)
        forget(cache, name, number);
}

gboolean
disk_cache_read(DiskCache *cache, const DiskCacheObject *object, guint64 offset, gsize length_bytes,
                void *buffer)
{
    DiskCacheName name;
    DiskCacheResult result = DISK_CACHE_ABSENT;
    if (!is_open(cache))
        return FALSE;
    disk_cache_file_name(object, &name);
    g_autoptr(DiskCacheFile) file = disk_cache_take_file(cache, object, &name);
    if (file != NULL)
        result = disk_cache_file_read(file, offset, length_bytes, buffer);
    if (result == DISK_CACHE_BROKEN)
        forget_file(cache, &name, file);
    if (result == DISK_CACHE_DAMAGED || result == DISK_CACHE_BROKEN)
        log_info("disk cache: a file is not as it was left; it is fetched again");
    count_read(cache, result, length_bytes);
    return result == DISK_CACHE_READ;
}

gboolean
disk_cache_may_have(DiskCache *cache, const DiskCacheObject *object)
{
    DiskCacheName name;
    disk_cache_file_name(object, &name);
    lock_acquire(&cache->lock);
    gboolean found = disk_cache_find_locked(cache, &name) != NULL;
    lock_release(&cache->lock);
    return found;
}

int
disk_cache_open_complete(DiskCache *cache, const DiskCacheObject *object)
{
    DiskCacheName name;
    if (!is_open(cache))
        return -1;
    disk_cache_file_name(object, &name);
    g_autoptr(DiskCacheFile) file = disk_cache_take_file(cache, object, &name);
    return file != NULL && disk_cache_file_is_complete(file) ? disk_cache_file_open_data(file) : -1;
}

void
disk_cache_get_statistics(DiskCache *cache, DiskCacheStatistics *out)
{
    lock_acquire(&cache->lock);
    *out = cache->counts;
    out->on = cache->state != DISK_CACHE_WAITS && cache->failure == NULL;
    g_strlcpy(out->reason, cache->failure != NULL ? cache->failure : "", sizeof out->reason);
    out->limit_bytes = cache->size_bytes;
    out->used_bytes = cache->used_bytes;
    out->objects = g_hash_table_size(cache->entries);
    lock_release(&cache->lock);
}
