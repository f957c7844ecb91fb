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
