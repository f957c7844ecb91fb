/* Objects of one storage: what may be repeated without thought, because it changes nothing or the same twice.
 */
#include "src/storage/retry.h"
#include "src/storage/storage_private.h"

#include <string.h>

gboolean
storage_list_objects(Storage *storage, Call *call, const char *container, const ListQuery *query,
                     ListPage *out, GError **error)
{
    const Driver *driver = storage->settings->driver;
    StorageAttempt attempt;
    if (!storage_attempt_begin_look(&attempt, storage, call, container, *query->prefix ? query->prefix : NULL,
                                    error))
        return FALSE;
    while (TRUE) {
        gboolean good =
            driver->list_objects(storage->instance, attempt.call, container, query, out, &attempt.failure);
        if (good && (!out->next || g_strcmp0(out->next, query->after_token) != 0))
            return storage_attempt_done(&attempt);
        if (good)
            g_set_error(&attempt.failure, STORAGEFS_ERROR, ERROR_PROTOCOL,
                        "a page of the listing does not advance");
        /* A page that came half is not to be told twice. */
        list_page_clear(out);
        list_page_init(out);
        if (!storage_attempt_again(&attempt, error))
            return FALSE;
    }
}

/* What HTTP lets through is a thousand times what services take; every open object keeps its metadata. */
static gboolean
check_size(const Metadata *metadata, GError **error)
{
    GHashTableIter iter;
    gpointer name, value;
    gsize total_bytes = 0;
    g_hash_table_iter_init(&iter, (Metadata *)metadata);
    while (g_hash_table_iter_next(&iter, &name, &value))
        total_bytes += strlen(name) + strlen(value);
    if (total_bytes <= DRIVER_MAX_METADATA_BYTES)
        return TRUE;
    g_set_error(error, STORAGEFS_ERROR, ERROR_PROTOCOL, "%zu bytes of metadata, more than %u", total_bytes,
                DRIVER_MAX_METADATA_BYTES);
    return FALSE;
}

static gboolean
stat_once(StorageAttempt *attempt, ObjectInfo *out)
{
    Storage *storage = attempt->storage;
    g_auto(ObjectInfo) found = {0};
    if (!storage->settings->driver->stat_object(storage->instance, attempt->call, attempt->container,
                                                attempt->key, &found, &attempt->failure) ||
        (found.metadata && !check_size(found.metadata, &attempt->failure)))
        return FALSE;
    *out = found;
    found = (ObjectInfo){0};
    return TRUE;
}

gboolean
storage_stat_object(Storage *storage, Call *call, const char *container, const char *key, ObjectInfo *out,
                    GError **error)
{
    StorageAttempt attempt;
    if (!storage_attempt_begin_look(&attempt, storage, call, container, key, error))
        return FALSE;
    while (!stat_once(&attempt, out)) {
        if (!storage_attempt_again(&attempt, error))
            return FALSE;
    }
    return storage_attempt_done(&attempt);
}

gboolean
storage_read_object(Storage *storage, Call *call, const char *container, const char *key, guint64 offset,
                    gsize length_bytes, const char *if_etag, void *buffer, gsize *out_length_bytes,
                    ObjectInfo *out_info, GError **error)
{
    const Driver *driver = storage->settings->driver;
    StorageAttempt attempt;
    gsize got = 0;
    /* Whatever version there is: that is a look which brings the bytes along. */
    if (!(if_etag ? storage_attempt_begin : storage_attempt_begin_look)(&attempt, storage, call, container,
                                                                        key, error))
        return FALSE;
    while (!driver->read_object(storage->instance, attempt.call, container, key, offset, length_bytes,
                                if_etag, buffer, &got, out_info, &attempt.failure)) {
        if (!storage_attempt_again(&attempt, error))
            return FALSE;
    }
    /* The bytes are good; who needs the metadata asks for it, and is told. */
    if (out_info && out_info->metadata && !check_size(out_info->metadata, NULL))
        g_clear_pointer(&out_info->metadata, g_hash_table_unref);
    *out_length_bytes = MIN(got, length_bytes);
    atomic_fetch_add_explicit(&storage->body_bytes_received, *out_length_bytes, memory_order_relaxed);
    return storage_attempt_done(&attempt);
}

/* Where the service cannot compare, look: best effort. */
static gboolean
check_version(Storage *storage, Call *call, const char *container, const char *key, const char *etag,
              GError **error)
{
    const WriteOptions options = {.if_etag = etag};
    return storage_check_condition(storage, call, container, key, &options, error);
}

static gboolean
is_absent(StorageAttempt *attempt)
{
    const Driver *driver = attempt->storage->settings->driver;
    g_auto(ObjectInfo) info = {0};
    g_autoptr(GError) failure = NULL;
    gboolean found = driver->stat_object(attempt->storage->instance, attempt->call, attempt->container,
                                         attempt->key, &info, &failure);
    return !found && error_is(failure, ERROR_NOT_FOUND);
}

gboolean
storage_delete_object(Storage *storage, Call *call, const char *container, const char *key,
                      const char *if_etag, GError **error)
{
    const Driver *driver = storage->settings->driver;
    Capabilities can;
    StorageAttempt attempt;
    gboolean unsure = FALSE;
    if (!storage_check_writable(storage, error))
        return FALSE;
    storage_get_capabilities(storage, &can);
    if (if_etag && can.delete_if_etag != CONDITION_ATOMIC) {
        if (!check_version(storage, call, container, key, if_etag, error))
            return FALSE;
        if_etag = NULL;
    }
    if (!storage_attempt_begin(&attempt, storage, call, container, key, error))
        return FALSE;
    while (!driver->delete_object(storage->instance, call, container, key, if_etag, &attempt.failure)) {
        /* Our own lost delete reads as "not that version" the second time. */
        if (unsure && error_is(attempt.failure, ERROR_CHANGED) && is_absent(&attempt))
            break;
        unsure = unsure || retry_may_have_happened(attempt.failure);
        if (!storage_attempt_again(&attempt, error))
            return FALSE;
    }
    return storage_attempt_done(&attempt);
}

gboolean
storage_sign_url(Storage *storage, const char *container, const char *key, char **out_url, GError **error)
{
    const Driver *driver = storage->settings->driver;
    return storage_check_offered(storage, driver->sign_url != NULL, "signed URLs", error) &&
           driver->sign_url(storage->instance, container, key, 0, out_url, error);
}
