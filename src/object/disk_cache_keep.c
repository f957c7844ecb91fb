/* Writing and removing the files of a disk cache, all on its own threads. */
#include "src/base/error.h"
#include "src/base/log.h"
#include "src/object/disk_cache_private.h"

#include <string.h>
#include <sys/stat.h>

/* A table of more would take more memory than it is worth. */
#define MAXIMUM_ENTRIES (1u << 19)
/* How long nothing is written after that failed; after how many bytes the disk is asked for room. */
#define RETRY_US (60 * G_USEC_PER_SEC)
#define CHECK_BYTES (16u << 20)
/* What a new object, and metadata of the file system, take beside the bytes. */
#define OVERHEAD_BYTES (16u << 10)

typedef struct {
    DiskCache *cache;
    DiskCacheObject object; /* its strings stand behind the bytes */
    guint64 offset;
    gsize length_bytes, charged_bytes;
    guint8 data[];
} Fill;

typedef struct {
    DiskCache *cache;
    DiskCacheName name;
} Removal;

void
disk_cache_fail(DiskCache *cache, GError *error)
{
    lock_acquire(&cache->lock);
    gboolean first = cache->failure == NULL;
    g_free(cache->failure);
    cache->failure = g_strdup(error->message);
    cache->retry_at_us = g_get_monotonic_time() + RETRY_US;
    lock_release(&cache->lock);
    if (first)
        log_warning("%s; nothing is kept until that ends, reads go on", error->message);
    g_error_free(error);
}

static void
note_success(DiskCache *cache)
{
    lock_acquire(&cache->lock);
    gboolean was_off = cache->failure != NULL;
    g_clear_pointer(&cache->failure, g_free);
    lock_release(&cache->lock);
    if (was_off)
        log_info("disk cache: on again");
}

/* Without the last twentieth of the disk, which is for others. */
static void
check_room(DiskCache *cache)
{
    gint64 room = disk_cache_folder_get_room(cache->folder_fd);
    lock_acquire(&cache->lock);
    cache->unchecked_bytes = 0;
    cache->limit_bytes = cache->size_bytes;
    if (room < 0)
        cache->limit_bytes =
            MIN(cache->size_bytes, cache->used_bytes - MIN(cache->used_bytes, (guint64)-room));
    else if ((guint64)room < cache->size_bytes)
        cache->limit_bytes = MIN(cache->size_bytes, cache->used_bytes + (guint64)room);
    lock_release(&cache->lock);
}

static gboolean
has_room_locked(DiskCache *cache, guint64 bytes) REQUIRES(cache->lock)
{
    return cache->used_bytes + cache->pending_bytes + bytes <= cache->limit_bytes &&
           g_hash_table_size(cache->entries) < MAXIMUM_ENTRIES;
}

/* The one that was not used for longest, but not `spare`. */
static DiskCacheEntry *
find_victim_locked(DiskCache *cache, const DiskCacheName *spare) REQUIRES(cache->lock)
{
    GList *item = cache->by_use.head;
    if (item != NULL && spare != NULL && item->data == disk_cache_find_locked(cache, spare))
        item = item->next;
    return item != NULL ? item->data : NULL;
}

/* TRUE when there is room for so many bytes more. With files_lock; the lock is free while files are removed,
 * which takes long for large ones. */
static gboolean
make_room(DiskCache *cache, const DiskCacheName *spare, guint64 bytes)
{
    DiskCacheEntry *victim = NULL;
    lock_acquire(&cache->lock);
    gboolean enough = has_room_locked(cache, bytes), possible = bytes <= cache->limit_bytes;
    while (!enough && possible && (victim = find_victim_locked(cache, spare)) != NULL) {
        DiskCacheName name = victim->name;
        DiskCacheFile *file = disk_cache_unlist_locked(cache, victim);
        cache->counts.evictions++;
        lock_release(&cache->lock);
        disk_cache_file_remove(cache->folder_fd, &name);
        disk_cache_file_unref(file);
        lock_acquire(&cache->lock);
        enough = has_room_locked(cache, bytes);
    }
    lock_release(&cache->lock);
    return enough;
}

void
disk_cache_shrink(DiskCache *cache)
{
    lock_acquire(&cache->files_lock);
    check_room(cache);
    make_room(cache, NULL, 0);
    lock_release(&cache->files_lock);
}

static gboolean
is_on_device(DiskCache *cache, dev_t device)
{
    struct stat status;
    lock_acquire(&cache->lock);
    int fd = cache->state != DISK_CACHE_WAITS ? cache->folder_fd : -1;
    lock_release(&cache->lock);
    return fd >= 0 && fstat(fd, &status) == 0 && status.st_dev == device;
}

/* Somebody else may have made the room just now. */
gboolean
disk_cache_make_way(DiskCache *cache, dev_t device, guint64 bytes)
{
    if (!is_on_device(cache, device))
        return FALSE;
    lock_acquire(&cache->files_lock);
    check_room(cache);
    lock_acquire(&cache->lock);
    guint64 evictions = cache->counts.evictions;
    gboolean has_room = cache->limit_bytes >= cache->used_bytes + bytes;
    guint64 wanted = cache->limit_bytes - MIN(cache->limit_bytes, bytes);
    if (!has_room)
        cache->limit_bytes = wanted;
    lock_release(&cache->lock);
    make_room(cache, NULL, 0);
    lock_acquire(&cache->lock);
    gboolean removed = cache->counts.evictions != evictions;
    lock_release(&cache->lock);
    lock_release(&cache->files_lock);
    return removed || has_room;
}

static void
run_removal(gpointer data)
{
    g_autofree Removal *removal = data;
    DiskCache *cache = removal->cache;
    lock_acquire(&cache->files_lock);
    lock_acquire(&cache->lock);
    gboolean used = disk_cache_find_locked(cache, &removal->name) != NULL;
    lock_release(&cache->lock);
    if (!used)
        disk_cache_file_remove(cache->folder_fd, &removal->name);
    lock_release(&cache->files_lock);
}

void
disk_cache_push_removal(DiskCache *cache, const DiskCacheName *name)
{
    Removal *removal = g_new(Removal, 1);
    *removal = (Removal){cache, *name};
    worker_pool_push(cache->pool, run_removal, removal);
}

/* An object that fills the cache alone keeps what it has, so that reading it again and again finds a part;
 * when as much again was wanted of it, it begins anew. */
static void
refuse(DiskCache *cache, const DiskCacheName *name, guint64 bytes)
{
    DiskCacheFile *file = NULL;
    gboolean anew = FALSE;
    lock_acquire(&cache->lock);
    DiskCacheEntry *entry = disk_cache_find_locked(cache, name);
    if (entry != NULL) {
        entry->refused_bytes += bytes;
        anew = entry->refused_bytes > cache->size_bytes;
    }
    if (anew) {
        file = disk_cache_unlist_locked(cache, entry);
        cache->counts.evictions++;
    }
    lock_release(&cache->lock);
    if (anew)
        disk_cache_file_remove(cache->folder_fd, name);
    disk_cache_file_unref(file);
}

static DiskCacheFile *
create_file(DiskCache *cache, const DiskCacheObject *object, const DiskCacheName *name, GError **error)
{
    DiskCacheFile *file = disk_cache_file_create(cache->folder_fd, name, object, error);
    if (file == NULL)
        return NULL;
    DiskCacheFile *spare = NULL, *old = NULL;
    lock_acquire(&cache->lock);
    DiskCacheEntry *entry = disk_cache_find_locked(cache, name);
    if (entry != NULL)
        old = disk_cache_unlist_locked(cache, entry);
    entry = disk_cache_insert_locked(cache, name, 0);
    spare = disk_cache_set_file_locked(cache, entry, disk_cache_file_ref(file));
    lock_release(&cache->lock);
    disk_cache_file_unref(spare);
    disk_cache_file_unref(old);
    return file;
}

/* It may have been removed from the table meanwhile. */
static void
end_write(DiskCache *cache, const DiskCacheName *name, DiskCacheFile *file, gsize length_bytes,
          guint64 stored_bytes)
{
    lock_acquire(&cache->files_lock);
    guint64 disk_bytes = disk_cache_file_get_disk_bytes(file);
    lock_acquire(&cache->lock);
    DiskCacheEntry *entry = disk_cache_find_locked(cache, name);
    if (entry != NULL && entry->file == file) {
        cache->used_bytes += disk_bytes - entry->disk_bytes;
        entry->disk_bytes = disk_bytes;
    }
    cache->pending_bytes -= length_bytes + OVERHEAD_BYTES;
    cache->counts.stored_bytes += stored_bytes;
    cache->unchecked_bytes += stored_bytes;
    lock_release(&cache->lock);
    lock_release(&cache->files_lock);
}

/* The file to write to, with room in it; end_write() follows. NULL without error: it is not kept. */
static DiskCacheFile *
begin_write(DiskCache *cache, const Fill *fill, const DiskCacheName *name, GError **error)
{
    g_autoptr(DiskCacheFile) file = NULL;
    lock_acquire(&cache->files_lock);
    if (make_room(cache, name, fill->length_bytes + OVERHEAD_BYTES)) {
        file = disk_cache_take_file(cache, &fill->object, name);
        if (file == NULL)
            file = create_file(cache, &fill->object, name, error);
    } else {
        refuse(cache, name, fill->length_bytes);
    }
    if (file != NULL) {
        lock_acquire(&cache->lock);
        cache->pending_bytes += fill->length_bytes + OVERHEAD_BYTES;
        lock_release(&cache->lock);
    }
    lock_release(&cache->files_lock);
    return g_steal_pointer(&file);
}

/* TRUE: kept, or known already. */
static gboolean
keep(DiskCache *cache, const Fill *fill, GError **error)
{
    DiskCacheName name;
    disk_cache_file_name(&fill->object, &name);
    g_autoptr(DiskCacheFile) file = disk_cache_take_file(cache, &fill->object, &name);
    if (file != NULL && disk_cache_file_knows(file, fill->offset, fill->length_bytes))
        return TRUE;
    disk_cache_file_unref(g_steal_pointer(&file));
    file = begin_write(cache, fill, &name, error);
    if (file == NULL)
        return FALSE;
    gboolean ok = disk_cache_file_write(file, fill->offset, fill->length_bytes, fill->data, error);
    end_write(cache, &name, file, fill->length_bytes, ok ? fill->length_bytes : 0);
    return ok;
}

static gboolean
may_try_locked(DiskCache *cache) REQUIRES(cache->lock)
{
    return cache->failure == NULL || g_get_monotonic_time() >= cache->retry_at_us;
}

static gboolean
may_keep(DiskCache *cache)
{
    lock_acquire(&cache->lock);
    gboolean may = cache->state == DISK_CACHE_READY && may_try_locked(cache);
    gboolean unchecked = cache->unchecked_bytes >= CHECK_BYTES || cache->failure != NULL;
    lock_release(&cache->lock);
    if (may && unchecked)
        disk_cache_shrink(cache);
    return may;
}

static void
count_dropped(DiskCache *cache, gsize length_bytes)
{
    lock_acquire(&cache->lock);
    cache->counts.dropped_bytes += length_bytes;
    lock_release(&cache->lock);
}

static void
run_fill(gpointer data)
{
    Fill *fill = data;
    DiskCache *cache = fill->cache;
    GError *error = NULL;
    gboolean kept = may_keep(cache) && keep(cache, fill, &error);
    if (!kept)
        count_dropped(cache, fill->length_bytes);
    if (error != NULL)
        disk_cache_fail(cache, error);
    else if (kept)
        note_success(cache);
    gsize charged_bytes = fill->charged_bytes;
    g_free(fill);
    memory_budget_give(cache->budget, charged_bytes);
    lock_acquire(&cache->lock);
    cache->queued_bytes -= charged_bytes;
    condition_wake_all(&cache->left_queue);
    lock_release(&cache->lock);
}

/* An eighth of the queue stays free for what comes without being expected. */
static gboolean
is_crowded_locked(DiskCache *cache, gsize length_bytes) REQUIRES(cache->lock)
{
    guint64 most_bytes = cache->maximum_queued_bytes / 8 * 7;
    return cache->queued_bytes > 0 && cache->queued_bytes + cache->expected_bytes + length_bytes > most_bytes;
}

void
disk_cache_expect(DiskCache *cache, gsize length_bytes)
{
    gint64 deadline_us = g_get_monotonic_time() + cache->patience_us;
    lock_acquire(&cache->lock);
    while (is_crowded_locked(cache, length_bytes))
        if (!condition_wait(&cache->left_queue, &cache->lock, deadline_us))
            break;
    cache->expected_bytes += length_bytes;
    lock_release(&cache->lock);
}

void
disk_cache_end_expected(DiskCache *cache, gsize length_bytes)
{
    lock_acquire(&cache->lock);
    cache->expected_bytes -= length_bytes;
    condition_wake_all(&cache->left_queue);
    lock_release(&cache->lock);
}

static gboolean
has_already_locked(DiskCache *cache, const DiskCacheName *name, guint64 offset, gsize length_bytes)
    REQUIRES(cache->lock)
{
    DiskCacheEntry *entry = disk_cache_find_locked(cache, name);
    return entry != NULL && entry->file != NULL && disk_cache_file_knows(entry->file, offset, length_bytes);
}

/* Takes part of the queue's bound. */
static gboolean
reserve(DiskCache *cache, const DiskCacheObject *object, guint64 offset, gsize length_bytes,
        gsize charged_bytes)
{
    DiskCacheName name;
    disk_cache_file_name(object, &name);
    lock_acquire(&cache->lock);
    gboolean wanted =
        cache->state == DISK_CACHE_READY && !has_already_locked(cache, &name, offset, length_bytes);
    gboolean taken =
        wanted && may_try_locked(cache) && cache->queued_bytes + charged_bytes <= cache->maximum_queued_bytes;
    if (taken)
        cache->queued_bytes += charged_bytes;
    else if (wanted)
        cache->counts.dropped_bytes += length_bytes;
    lock_release(&cache->lock);
    if (!taken || memory_budget_try(cache->budget, charged_bytes))
        return taken;
    lock_acquire(&cache->lock);
    cache->queued_bytes -= charged_bytes;
    cache->counts.dropped_bytes += length_bytes;
    lock_release(&cache->lock);
    return FALSE;
}

static const char *
put_text(char **at, const char *text)
{
    gsize bytes = strlen(text) + 1;
    char *copy = memcpy(*at, text, bytes);
    *at += bytes;
    return copy;
}

void
disk_cache_offer(DiskCache *cache, const DiskCacheObject *object, guint64 offset, gsize length_bytes,
                 const void *data)
{
    gsize text_bytes =
        strlen(object->place) + strlen(object->container) + strlen(object->key) + strlen(object->etag) + 4;
    gsize charged_bytes = sizeof(Fill) + length_bytes + text_bytes;
    if (!reserve(cache, object, offset, length_bytes, charged_bytes))
        return;
    Fill *fill = g_malloc(charged_bytes);
    char *text = (char *)fill->data + length_bytes;
    memcpy(fill->data, data, length_bytes);
    fill->cache = cache;
    fill->object.place = put_text(&text, object->place);
    fill->object.container = put_text(&text, object->container);
    fill->object.key = put_text(&text, object->key);
    fill->object.etag = put_text(&text, object->etag);
    fill->object.size_bytes = object->size_bytes;
    fill->offset = offset;
    fill->length_bytes = length_bytes;
    fill->charged_bytes = charged_bytes;
    worker_pool_push(cache->pool, run_fill, fill);
}
