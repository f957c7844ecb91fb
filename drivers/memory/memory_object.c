#include "drivers/memory/memory_object.h"

#include "drivers/memory/memory_fault.h"

#include <string.h>

#define LOAD_CHUNK_BYTES (1u << 20)

gboolean
memory_object_check_key(const char *key, GError **error)
{
    gsize length = strlen(key);
    if (length >= 1 && length <= MEMORY_OBJECT_MAXIMUM_KEY_BYTES)
        return TRUE;
    g_set_error(error, STORAGEFS_ERROR, length < 1 ? ERROR_BAD_NAME : ERROR_NAME_TOO_LONG,
                "key '%s' has %" G_GSIZE_FORMAT " bytes, not 1 to 1024", key, length);
    return FALSE;
}

gboolean
memory_object_require(gboolean capability, const char *what, GError **error)
{
    if (!capability)
        g_set_error(error, STORAGEFS_ERROR, ERROR_UNSUPPORTED, "this memory storage is configured without %s",
                    what);
    return capability;
}

void
memory_object_describe(const char *key, const MemoryObject *object, ObjectInfo *out)
{
    *out = (ObjectInfo){.key = g_strdup(key),
                        .size_bytes = object->blob->size_bytes,
                        .mtime_ns = object->mtime_ns,
                        .etag = g_strdup(object->etag),
                        .storage_class = g_strdup(object->storage_class),
                        .content_type = g_strdup(object->content_type),
                        .metadata = memory_store_copy_metadata(object->metadata)};
}

MemoryBlob *
memory_object_load(MemoryInstance *memory, const ByteSource *source, Call *call, GError **error)
{
    g_autoptr(MemoryBlob) blob = memory_store_new_blob(memory->store, source->size_bytes, error);
    if (blob == NULL)
        return NULL;
    for (guint64 offset = 0; offset < source->size_bytes; offset += LOAD_CHUNK_BYTES) {
        gsize length = MIN(LOAD_CHUNK_BYTES, source->size_bytes - offset);
        if (!call_check(call, error) ||
            !source->read(source->data, offset, blob->bytes + offset, length, error))
            return NULL;
    }
    return g_steal_pointer(&blob);
}

char *
memory_object_make_etag(MemoryInstance *memory, const MemoryBlob *blob)
{
    if (!memory->counted_etags)
        return g_compute_checksum_for_data(G_CHECKSUM_MD5, blob->bytes, blob->size_bytes);
    lock_acquire(&memory->store->lock);
    guint64 number = ++memory->store->counter;
    lock_release(&memory->store->lock);
    return g_strdup_printf("v%" G_GUINT64_FORMAT, number);
}

static MemoryObject *
get_object(MemoryInstance *memory, const char *container, const char *key, GError **error)
{
    lock_acquire(&memory->store->lock);
    MemoryObject *object = memory_store_get_object_locked(memory->store, container, key, error);
    lock_release(&memory->store->lock);
    return object;
}

static gboolean
fail_changed(const char *container, const char *key, const char *if_etag, GError **error)
{
    g_set_error(error, STORAGEFS_ERROR, ERROR_CHANGED, "object '%s/%s' is not version '%s' any more",
                container, key, if_etag);
    return FALSE;
}

MemoryObject *
memory_object_get_source(MemoryInstance *memory, const CopySource *source, GError **error)
{
    g_autoptr(MemoryObject) object = get_object(memory, source->container, source->key, error);
    if (object == NULL)
        return NULL;
    if (source->if_etag != NULL && memory->capabilities.copy_checks_source &&
        !g_str_equal(object->etag, source->if_etag)) {
        fail_changed(source->container, source->key, source->if_etag, error);
        return NULL;
    }
    return g_steal_pointer(&object);
}

static gboolean
check_conditions(const char *container, const char *key, const MemoryObject *current,
                 const WriteOptions *options, ConditionSupport if_absent, ConditionSupport if_etag,
                 GError **error)
{
    if (options->if_absent && if_absent != CONDITION_NONE && current != NULL) {
        g_set_error(error, STORAGEFS_ERROR, ERROR_EXISTS, "object '%s/%s' exists", container, key);
        return FALSE;
    }
    if (options->if_etag != NULL && if_etag != CONDITION_NONE &&
        (current == NULL || !g_str_equal(current->etag, options->if_etag)))
        return fail_changed(container, key, options->if_etag, error);
    return TRUE;
}

gboolean
memory_object_publish(MemoryInstance *memory, const char *container, const char *key, MemoryObject *object,
                      const WriteOptions *options, ConditionSupport if_absent, ConditionSupport if_etag,
                      GError **error)
{
    g_autoptr(MemoryObject) taken = object;
    lock_acquire(&memory->store->lock);
    MemoryContainer *found = memory_store_get_container_locked(memory->store, container, error);
    gboolean done = found != NULL && check_conditions(container, key, g_tree_lookup(found->objects, key),
                                                      options, if_absent, if_etag, error);
    if (done)
        g_tree_replace(found->objects, g_strdup(key), g_steal_pointer(&taken));
    lock_release(&memory->store->lock);
    return done;
}

gboolean
memory_object_stat(DriverInstance *instance, Call *call, const char *container, const char *key,
                   ObjectInfo *out, GError **error)
{
    MemoryInstance *memory = (MemoryInstance *)instance;
    MemoryHit hit;
    if (!memory_fault_enter(memory->store, MEMORY_STAT_OBJECT, key, call, &hit, error))
        return FALSE;
    g_autoptr(MemoryObject) object = get_object(memory, container, key, error);
    if (object == NULL || !memory_fault_leave(&hit, error))
        return FALSE;
    memory_object_describe(key, object, out);
    return TRUE;
}

gboolean
memory_object_read(DriverInstance *instance, Call *call, const char *container, const char *key,
                   guint64 offset, gsize length_bytes, const char *if_etag, void *buffer,
                   gsize *out_length_bytes, ObjectInfo *out_info, GError **error)
{
    MemoryInstance *memory = (MemoryInstance *)instance;
    MemoryHit hit;
    if (!memory_fault_enter(memory->store, MEMORY_READ_OBJECT, key, call, &hit, error))
        return FALSE;
    g_autoptr(MemoryObject) object = get_object(memory, container, key, error);
    if (object == NULL)
        return FALSE;
    if (if_etag != NULL && !g_str_equal(object->etag, if_etag))
        return fail_changed(container, key, if_etag, error);
    if (!memory_fault_leave(&hit, error))
        return FALSE;
    guint64 size = object->blob->size_bytes;
    gsize length = offset < size ? MIN(length_bytes, size - offset) : 0;
    if (length > 0)
        memcpy(buffer, object->blob->bytes + offset, length);
    *out_length_bytes = length;
    if (out_info != NULL)
        memory_object_describe(key, object, out_info);
    return TRUE;
}

/* Publishes under the conditions of a plain write or copy, and reports what is stored. */
static gboolean
store_object(MemoryInstance *memory, const char *container, const char *key, MemoryObject *object,
             const WriteOptions *options, const MemoryHit *hit, ObjectInfo *out_info, GError **error)
{
    g_autoptr(MemoryObject) kept = memory_store_ref_object(object);
    const Capabilities *can = &memory->capabilities;
    if (!memory_object_publish(memory, container, key, object, options, can->write_if_absent,
                               can->write_if_etag, error) ||
        !memory_fault_leave(hit, error))
        return FALSE;
    if (out_info != NULL)
        memory_object_describe(key, kept, out_info);
    return TRUE;
}

static gboolean
check_size(guint64 size_bytes, guint64 maximum_bytes, const char *container, const char *key, GError **error)
{
    if (size_bytes <= maximum_bytes)
        return TRUE;
    g_set_error(error, STORAGEFS_ERROR, ERROR_TOO_LARGE,
                "object '%s/%s': %" G_GUINT64_FORMAT " bytes are more than the %" G_GUINT64_FORMAT
                " that one request may store",
                container, key, size_bytes, maximum_bytes);
    return FALSE;
}

gboolean
memory_object_write(DriverInstance *instance, Call *call, const char *container, const char *key,
                    const ByteSource *source, const WriteOptions *options, ObjectInfo *out_info,
                    GError **error)
{
    MemoryInstance *memory = (MemoryInstance *)instance;
    MemoryHit hit;
    if (!memory_fault_enter(memory->store, MEMORY_WRITE_OBJECT, key, call, &hit, error) ||
        !memory_object_check_key(key, error) ||
        !check_size(source->size_bytes, memory->capabilities.maximum_put_bytes, container, key, error))
        return FALSE;
    MemoryBlob *blob = memory_object_load(memory, source, call, error);
    if (blob == NULL)
        return FALSE;
    MemoryObject *object =
        memory_store_new_object(blob, memory_object_make_etag(memory, blob), options->content_type,
                                options->metadata, options->storage_class);
    return store_object(memory, container, key, object, options, &hit, out_info, error);
}

gboolean
memory_object_delete(DriverInstance *instance, Call *call, const char *container, const char *key,
                     const char *if_etag, GError **error)
{
    MemoryInstance *memory = (MemoryInstance *)instance;
    MemoryHit hit;
    if (!memory_fault_enter(memory->store, MEMORY_DELETE_OBJECT, key, call, &hit, error))
        return FALSE;
    WriteOptions condition = {.if_etag = if_etag};
    lock_acquire(&memory->store->lock);
    MemoryContainer *found = memory_store_get_container_locked(memory->store, container, error);
    MemoryObject *current = found != NULL ? g_tree_lookup(found->objects, key) : NULL;
    gboolean done = found != NULL;
    if (current != NULL) {
        done = check_conditions(container, key, current, &condition, CONDITION_NONE,
                                memory->capabilities.delete_if_etag, error);
        if (done)
            g_tree_remove(found->objects, key);
    }
    lock_release(&memory->store->lock);
    return done && memory_fault_leave(&hit, error);
}

gboolean
memory_object_copy(DriverInstance *instance, Call *call, const CopySource *source, const char *container,
                   const char *key, const WriteOptions *options, ObjectInfo *out_info, GError **error)
{
    MemoryInstance *memory = (MemoryInstance *)instance;
    MemoryHit hit;
    if (!memory_fault_enter(memory->store, MEMORY_COPY_OBJECT, key, call, &hit, error) ||
        !memory_object_check_key(key, error) ||
        !memory_object_require(memory->capabilities.copy_object, "copy_object", error))
        return FALSE;
    g_autoptr(MemoryObject) from = memory_object_get_source(memory, source, error);
    if (from == NULL ||
        !check_size(from->blob->size_bytes, memory->capabilities.maximum_copy_bytes, container, key, error))
        return FALSE;
    const WriteOptions carried = {
        .content_type = from->content_type, .metadata = from->metadata, .storage_class = from->storage_class};
    const WriteOptions *wanted = options != NULL ? options : &carried;
    MemoryObject *object = memory_store_new_object(
        memory_store_ref_blob(from->blob), memory_object_make_etag(memory, from->blob), wanted->content_type,
        wanted->metadata, wanted->storage_class);
    return store_object(memory, container, key, object, wanted, &hit, out_info, error);
}

gboolean
memory_object_set_metadata(DriverInstance *instance, Call *call, const char *container, const char *key,
                           const char *if_etag, const char *content_type, Metadata *metadata,
                           ObjectInfo *out_info, GError **error)
{
    MemoryInstance *memory = (MemoryInstance *)instance;
    MemoryHit hit;
    if (!memory_fault_enter(memory->store, MEMORY_SET_METADATA, key, call, &hit, error) ||
        !memory_object_require(memory->capabilities.set_metadata, "set_metadata", error))
        return FALSE;
    g_autoptr(MemoryObject) from = get_object(memory, container, key, error);
    if (from == NULL)
        return FALSE;
    if (if_etag != NULL && !g_str_equal(from->etag, if_etag))
        return fail_changed(container, key, if_etag, error);
    MemoryObject *object = memory_store_new_object(memory_store_ref_blob(from->blob),
                                                   memory_object_make_etag(memory, from->blob), content_type,
                                                   metadata, from->storage_class);
    /* Only the version that was read may be replaced, or a write in between would be undone. */
    const WriteOptions unchanged = {.if_etag = from->etag};
    g_autoptr(MemoryObject) kept = memory_store_ref_object(object);
    if (!memory_object_publish(memory, container, key, object, &unchanged, CONDITION_NONE, CONDITION_ATOMIC,
                               error) ||
        !memory_fault_leave(&hit, error))
        return FALSE;
    if (out_info != NULL)
        memory_object_describe(key, kept, out_info);
    return TRUE;
}
