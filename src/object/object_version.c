#include "src/object/object_version.h"

#include "src/base/error.h"
#include "src/base/lock.h"

#include <string.h>

struct ObjectVersion {
    gint references;
    guint64 id, size_bytes;
    Storage *storage; /* set with the table's lock, read without */
    ObjectVersionTable *table;
    /* Guarded by the table's lock. */
    GSList *former_storages; /* references, for whoever still uses one */
    char *container, *key, *etag;
    char *name; /* its key in the table; NULL: not in it */
    guint moves;
};

/* The lock is a leaf. A version leaves the table when its last reference goes, both under the lock, so that a
 * look-up never meets a dying one. */
struct ObjectVersionTable {
    Lock lock;
    GHashTable *by_name; /* borrowed name → borrowed ObjectVersion */
    DiskCache *disk_cache;
    guint live;
    guint64 next_id;
};

ObjectVersionTable *
object_version_table_new(void)
{
    ObjectVersionTable *table = g_new0(ObjectVersionTable, 1);
    lock_init(&table->lock);
    table->by_name = g_hash_table_new(g_str_hash, g_str_equal);
    return table;
}

void
object_version_table_set_disk_cache(ObjectVersionTable *table, DiskCache *cache)
{
    table->disk_cache = cache;
}

void
object_version_table_free(ObjectVersionTable *table)
{
    if (table == NULL)
        return;
    g_assert(table->live == 0);
    g_hash_table_unref(table->by_name);
    lock_clear(&table->lock);
    g_free(table);
}

/* Lengths first: names and etags may hold any byte. */
static char *
make_name(Storage *storage, const char *container, const char *key, const char *etag, guint64 size_bytes)
{
    return g_strdup_printf("%p %" G_GSIZE_FORMAT " %" G_GSIZE_FORMAT " %" G_GUINT64_FORMAT " %s/%s/%s",
                           (void *)storage, strlen(container), strlen(key), size_bytes, container, key, etag);
}

static void
enter_locked(ObjectVersion *version)
{
    if (version->etag == NULL)
        return;
    g_autofree char *name =
        make_name(version->storage, version->container, version->key, version->etag, version->size_bytes);
    if (g_hash_table_contains(version->table->by_name, name))
        return;
    version->name = g_steal_pointer(&name);
    g_hash_table_insert(version->table->by_name, version->name, version);
}

static void
leave_locked(ObjectVersion *version)
{
    if (version->name == NULL)
        return;
    g_hash_table_remove(version->table->by_name, version->name);
    g_clear_pointer(&version->name, g_free);
}

static ObjectVersion *
find_locked(ObjectVersionTable *table, Storage *storage, const char *container, const char *key,
            const char *etag, guint64 size_bytes)
{
    if (etag == NULL)
        return NULL;
    g_autofree char *name = make_name(storage, container, key, etag, size_bytes);
    ObjectVersion *found = g_hash_table_lookup(table->by_name, name);
    return found != NULL ? object_version_ref(found) : NULL;
}

ObjectVersion *
object_version_get(ObjectVersionTable *table, Storage *storage, const char *container, const char *key,
                   const char *etag, guint64 size_bytes)
{
    lock_acquire(&table->lock);
    ObjectVersion *version = find_locked(table, storage, container, key, etag, size_bytes);
    if (version == NULL) {
        version = g_new0(ObjectVersion, 1);
        version->references = 1;
        version->id = ++table->next_id;
        version->size_bytes = size_bytes;
        version->storage = storage_ref(storage);
        version->table = table;
        version->container = g_strdup(container);
        version->key = g_strdup(key);
        version->etag = g_strdup(etag);
        table->live++;
        enter_locked(version);
    }
    lock_release(&table->lock);
    return version;
}

ObjectVersion *
object_version_ref(ObjectVersion *version)
{
    g_atomic_int_inc(&version->references);
    return version;
}

static gboolean
drop_unless_last(ObjectVersion *version)
{
    gint count = g_atomic_int_get(&version->references);
    while (count > 1) {
        if (g_atomic_int_compare_and_exchange(&version->references, count, count - 1))
            return TRUE;
        count = g_atomic_int_get(&version->references);
    }
    return FALSE;
}

void
object_version_unref(ObjectVersion *version)
{
    if (version == NULL || drop_unless_last(version))
        return;
    ObjectVersionTable *table = version->table;
    lock_acquire(&table->lock);
    gboolean last = g_atomic_int_dec_and_test(&version->references);
    if (last) {
        leave_locked(version);
        table->live--;
    }
    lock_release(&table->lock);
    if (!last)
        return;
    storage_unref(version->storage);
    g_slist_free_full(version->former_storages, (GDestroyNotify)storage_unref);
    g_free(version->container);
    g_free(version->key);
    g_free(version->etag);
    g_free(version);
}

guint64
object_version_get_id(const ObjectVersion *version)
{
    return version->id;
}

guint64
object_version_get_size(const ObjectVersion *version)
{
    return version->size_bytes;
}

Storage *
object_version_get_storage(const ObjectVersion *version)
{
    return __atomic_load_n(&version->storage, __ATOMIC_ACQUIRE);
}

void
object_version_get_place(ObjectVersion *version, ObjectVersionPlace *out)
{
    lock_acquire(&version->table->lock);
    out->container = g_strdup(version->container);
    out->key = g_strdup(version->key);
    out->etag = g_strdup(version->etag);
    out->moves = version->moves;
    lock_release(&version->table->lock);
}

void
object_version_place_clear(ObjectVersionPlace *place)
{
    g_clear_pointer(&place->container, g_free);
    g_clear_pointer(&place->key, g_free);
    g_clear_pointer(&place->etag, g_free);
}

/* Both ways of one exchange: what was there is freed when the lock is free. */
static void
swap(char **a, char **b)
{
    char *kept = *a;
    *a = *b;
    *b = kept;
}

void
object_version_move(ObjectVersion *version, const char *container, const char *key, const char *etag)
{
    ObjectVersionPlace place = {g_strdup(container), g_strdup(key), g_strdup(etag), 0};
    lock_acquire(&version->table->lock);
    leave_locked(version);
    swap(&version->container, &place.container);
    swap(&version->key, &place.key);
    if (etag != NULL)
        swap(&version->etag, &place.etag);
    version->moves++;
    enter_locked(version);
    lock_release(&version->table->lock);
    object_version_place_clear(&place);
}

void
object_version_rebind(ObjectVersion *version, Storage *before, Storage *storage)
{
    lock_acquire(&version->table->lock);
    if (version->storage == before && before != storage) {
        leave_locked(version);
        version->former_storages = g_slist_prepend(version->former_storages, before);
        g_atomic_pointer_set(&version->storage, storage_ref(storage));
        enter_locked(version);
    }
    lock_release(&version->table->lock);
}

static gboolean
has_moved(ObjectVersion *version, guint moves)
{
    lock_acquire(&version->table->lock);
    gboolean moved = version->moves != moves;
    lock_release(&version->table->lock);
    return moved;
}

static gboolean
fail_changed(GError **error, const ObjectVersionPlace *place, const char *why)
{
    g_set_error(error, STORAGEFS_ERROR, ERROR_CHANGED, "%s/%s: %s", place->container, place->key, why);
    return FALSE;
}

/* What the first read of a version without an etag found is what it is from now on. */
static gboolean
pin(ObjectVersion *version, const ObjectInfo *info, const ObjectVersionPlace *place, GError **error)
{
    gboolean same = TRUE;
    if (info->etag == NULL)
        return TRUE;
    lock_acquire(&version->table->lock);
    if (version->etag == NULL) {
        version->etag = g_strdup(info->etag);
        enter_locked(version);
    } else {
        same = version->moves != place->moves || g_str_equal(version->etag, info->etag);
    }
    lock_release(&version->table->lock);
    return same || fail_changed(error, place, "was replaced while it was read");
}

static gboolean
read_at(ObjectVersion *version, Call *call, const ObjectVersionPlace *place, guint64 offset,
        gsize length_bytes, void *buffer, GError **error)
{
    g_auto(ObjectInfo) info = {0};
    gsize got = 0;
    g_autoptr(GError) local_error = NULL;
    gboolean pinned = place->etag != NULL;
    if (!storage_read_object(object_version_get_storage(version), call, place->container, place->key, offset,
                             length_bytes, place->etag, buffer, &got, pinned ? NULL : &info, &local_error)) {
        if (error_is(local_error, ERROR_NOT_FOUND))
            return fail_changed(error, place, "the version that was opened is gone");
        g_propagate_error(error, g_steal_pointer(&local_error));
        return FALSE;
    }
    if (!pinned && !pin(version, &info, place, error))
        return FALSE;
    return got == length_bytes || fail_changed(error, place, "is shorter than it was");
}

/* The disk cache that this version may be in, with what it is called there; NULL: none. A weak ETag does not
 * speak of bytes. */
static DiskCache *
find_disk_cache(ObjectVersion *version, const ObjectVersionPlace *place, DiskCacheObject *out)
{
    Capabilities can;
    if (version->table->disk_cache == NULL || place->etag == NULL || g_str_has_prefix(place->etag, "W/") ||
        version->size_bytes == 0)
        return NULL;
    storage_get_capabilities(object_version_get_storage(version), &can);
    *out = (DiskCacheObject){storage_get_place(object_version_get_storage(version)), place->container,
                             place->key, place->etag, version->size_bytes};
    return can.lasting_etags ? version->table->disk_cache : NULL;
}

/* read_at() by way of the disk cache. */
static gboolean
read_by_cache(ObjectVersion *version, Call *call, const ObjectVersionPlace *place, guint64 offset,
              gsize length_bytes, void *buffer, GError **error)
{
    DiskCacheObject object;
    DiskCache *cache = find_disk_cache(version, place, &object);
    if (cache != NULL && disk_cache_read(cache, &object, offset, length_bytes, buffer))
        return TRUE;
    if (!read_at(version, call, place, offset, length_bytes, buffer, error))
        return FALSE;
    if (cache != NULL)
        disk_cache_offer(cache, &object, offset, length_bytes, buffer);
    return TRUE;
}

void
object_version_offer(ObjectVersion *version, guint64 offset, gsize length_bytes, const void *data)
{
    DiskCacheObject object;
    g_auto(ObjectVersionPlace) place = {0};
    object_version_get_place(version, &place);
    DiskCache *cache = find_disk_cache(version, &place, &object);
    if (cache != NULL)
        disk_cache_offer(cache, &object, offset, length_bytes, data);
}

gboolean
object_version_is_cached(ObjectVersion *version)
{
    DiskCacheObject object;
    g_auto(ObjectVersionPlace) place = {0};
    object_version_get_place(version, &place);
    DiskCache *cache = find_disk_cache(version, &place, &object);
    return cache != NULL && disk_cache_may_have(cache, &object);
}

int
object_version_open_cached(ObjectVersion *version)
{
    DiskCacheObject object;
    g_auto(ObjectVersionPlace) place = {0};
    object_version_get_place(version, &place);
    DiskCache *cache = find_disk_cache(version, &place, &object);
    return cache != NULL ? disk_cache_open_complete(cache, &object) : -1;
}

gboolean
object_version_read(ObjectVersion *version, Call *call, guint64 offset, gsize length_bytes, void *buffer,
                    GError **error)
{
    for (;;) {
        g_auto(ObjectVersionPlace) place = {0};
        g_autoptr(GError) local_error = NULL;
        object_version_get_place(version, &place);
        if (read_by_cache(version, call, &place, offset, length_bytes, buffer, &local_error))
            return TRUE;
        /* A rename took it away under us: it is at its new place. */
        if (!error_is(local_error, ERROR_CHANGED) || !has_moved(version, place.moves)) {
            g_propagate_error(error, g_steal_pointer(&local_error));
            return FALSE;
        }
    }
}

gboolean
object_version_check(ObjectVersion *version, Call *call, GError **error)
{
    g_auto(ObjectVersionPlace) place = {0};
    g_auto(ObjectInfo) info = {0};
    g_autoptr(GError) local_error = NULL;
    object_version_get_place(version, &place);
    if (!storage_stat_object(object_version_get_storage(version), call, place.container, place.key, &info,
                             &local_error)) {
        if (error_is(local_error, ERROR_NOT_FOUND))
            return fail_changed(error, &place, "was deleted while it was copied");
        g_propagate_error(error, g_steal_pointer(&local_error));
        return FALSE;
    }
    if (info.size_bytes != version->size_bytes ||
        (place.etag != NULL && info.etag != NULL && !g_str_equal(place.etag, info.etag)))
        return fail_changed(error, &place, "was replaced while it was copied");
    return TRUE;
}
