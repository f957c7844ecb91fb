#include "src/object/small_object.h"

#include "src/base/error.h"
#include "src/object/object_store_private.h"

/* Where the bytes are refused, the attributes may still be told. */
static gboolean
may_ask_by_head(const GError *failure)
{
    static const ErrorCode final[] = {ERROR_NOT_FOUND, ERROR_CANCELLED, ERROR_TIMEOUT, ERROR_UNAVAILABLE,
                                      ERROR_THROTTLED};
    for (guint i = 0; i < G_N_ELEMENTS(final); i++) {
        if (error_is(failure, final[i]))
            return FALSE;
    }
    return TRUE;
}

static void
keep(ObjectStore *store, Storage *storage, const char *container, const char *key, const ObjectInfo *info,
     const void *data)
{
    g_autoptr(ObjectVersion) version =
        object_version_get(store->versions, storage, container, key, info->etag, info->size_bytes);
    block_cache_keep(store->blocks, version, data);
    object_version_offer(version, 0, (gsize)info->size_bytes, data);
}

static gboolean
stat_whole(ObjectStore *store, Call *call, Storage *storage, const char *container, const char *key,
           gsize expected_bytes, ObjectInfo *out, GError **error)
{
    g_autofree guint8 *data = g_malloc(expected_bytes);
    gsize got = 0;
    g_auto(ObjectInfo) info = {0};
    g_autoptr(GError) failure = NULL;
    gboolean ok = storage_read_object(storage, call, container, key, 0, expected_bytes, NULL, data, &got,
                                      &info, &failure);
    if (!ok && !may_ask_by_head(failure)) {
        g_propagate_error(error, g_steal_pointer(&failure));
        return FALSE;
    }
    if (!ok || got == 0 || info.metadata == NULL)
        return storage_stat_object(storage, call, container, key, out, error);
    if (info.etag != NULL && info.size_bytes == got)
        keep(store, storage, container, key, &info, data);
    *out = info;
    info = (ObjectInfo){0};
    return TRUE;
}

gboolean
small_object_stat(ObjectStore *store, Call *call, Storage *storage, const char *container, const char *key,
                  gsize expected_bytes, ObjectInfo *out, GError **error)
{
    g_assert(expected_bytes > 0 && expected_bytes <= SMALL_OBJECT_MAX_BYTES);
    if (!memory_budget_try(store->budget, expected_bytes))
        return storage_stat_object(storage, call, container, key, out, error);
    gboolean ok = stat_whole(store, call, storage, container, key, expected_bytes, out, error);
    memory_budget_give(store->budget, expected_bytes);
    return ok;
}

/* Into the claimed block. Another version than was expected is kept as what it is, and those who wait for the
 * old one find out by themselves. */
static gboolean
fill(ObjectStore *store, Call *call, ObjectVersion *version, Block *block, const ObjectVersionPlace *place,
     ObjectInfo *out)
{
    Storage *storage = object_version_get_storage(version);
    gsize size_bytes = (gsize)object_version_get_size(version), got = 0;
    g_auto(ObjectInfo) info = {0};
    g_autoptr(GError) failure = NULL;
    void *data = block_cache_get_buffer(block);
    gboolean ok = storage_read_object(storage, call, place->container, place->key, 0, size_bytes, NULL, data,
                                      &got, &info, &failure);
    gboolean whole = ok && got > 0 && info.size_bytes == got && info.etag != NULL;
    gboolean expected = whole && got == size_bytes && g_str_equal(info.etag, place->etag);
    if (expected)
        object_version_offer(version, 0, size_bytes, data);
    else if (whole)
        keep(store, storage, place->container, place->key, &info, data);
    if (ok && !expected)
        g_set_error(&failure, STORAGEFS_ERROR, ERROR_CANCELLED, "%s/%s: is another version", place->container,
                    place->key);
    block_cache_end(store->blocks, block, failure);
    if (!ok || info.metadata == NULL)
        return FALSE;
    *out = info;
    info = (ObjectInfo){0};
    return TRUE;
}

gboolean
small_object_fetch_ahead(ObjectStore *store, Call *call, Storage *storage, const char *container,
                         const char *key, const char *etag, gsize size_bytes, ObjectInfo *out)
{
    g_assert(size_bytes > 0 && size_bytes <= SMALL_OBJECT_MAX_BYTES);
    gboolean full = FALSE;
    g_auto(ObjectVersionPlace) place = {g_strdup(container), g_strdup(key), g_strdup(etag), 0};
    g_autoptr(ObjectVersion) version =
        object_version_get(store->versions, storage, container, key, etag, size_bytes);
    const BlockOwner owner = {call, NULL};
    Block *block = block_cache_claim(store->blocks, version, 0, &owner, &full);
    return block != NULL && fill(store, call, version, block, &place, out);
}

gboolean
small_object_is_on_disk(ObjectStore *store, Storage *storage, const char *container, const char *key,
                        const char *etag, gsize size_bytes)
{
    if (store->disk_cache == NULL)
        return FALSE;
    g_autoptr(ObjectVersion) version =
        object_version_get(store->versions, storage, container, key, etag, size_bytes);
    return object_version_is_cached(version);
}
