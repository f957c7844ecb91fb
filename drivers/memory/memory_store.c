#include "drivers/memory/memory_store.h"

#include "drivers/memory/memory_fault.h"

#include <string.h>

/* Named stores that are open; private ones are not in it. */
static Lock named_lock = {PTHREAD_MUTEX_INITIALIZER};
static GSList *named_stores;

static gint
compare_names(gconstpointer a, gconstpointer b, gpointer data)
{
    return strcmp(a, b);
}

static gint
compare_numbers(gconstpointer a, gconstpointer b, gpointer data)
{
    guint left = GPOINTER_TO_UINT(a), right = GPOINTER_TO_UINT(b);
    return left < right ? -1 : left > right;
}

static void
free_upload(gpointer data)
{
    MemoryUpload *upload = data;
    g_free(upload->key);
    g_free(upload->content_type);
    g_free(upload->storage_class);
    g_hash_table_unref(upload->metadata);
    g_tree_unref(upload->parts);
    g_free(upload);
}

static void
unref_object(gpointer data)
{
    memory_store_unref_object(data);
}

static void
free_container(gpointer data)
{
    MemoryContainer *container = data;
    g_tree_unref(container->objects);
    g_hash_table_unref(container->uploads);
    g_free(container);
}

static MemoryStore *
find_locked(const char *name) REQUIRES(named_lock)
{
    for (GSList *item = named_stores; item != NULL; item = item->next) {
        MemoryStore *store = item->data;
        if (g_str_equal(store->name, name))
            return store;
    }
    return NULL;
}

static MemoryStore *
new_store(const char *name, guint64 capacity_bytes)
{
    MemoryStore *store = g_new0(MemoryStore, 1);
    lock_init(&store->lock);
    store->name = g_strdup(name);
    store->containers = g_tree_new_full(compare_names, NULL, g_free, free_container);
    store->capacity_bytes = capacity_bytes;
    store->faults = memory_fault_new();
    return store;
}

MemoryStore *
memory_store_open(const char *name, guint64 capacity_bytes)
{
    lock_acquire(&named_lock);
    MemoryStore *store = *name != '\0' ? find_locked(name) : NULL;
    if (store == NULL) {
        store = new_store(name, capacity_bytes);
        if (*name != '\0')
            named_stores = g_slist_prepend(named_stores, store);
    }
    store->instances++;
    lock_release(&named_lock);
    return store;
}

void
memory_store_close(MemoryStore *store)
{
    lock_acquire(&named_lock);
    gboolean last = --store->instances == 0;
    if (last)
        named_stores = g_slist_remove(named_stores, store);
    lock_release(&named_lock);
    if (!last)
        return;
    g_tree_unref(store->containers);
    memory_fault_free(store->faults);
    lock_clear(&store->lock);
    g_free(store->name);
    g_free(store);
}

MemoryStore *
memory_store_find(const char *name)
{
    lock_acquire(&named_lock);
    MemoryStore *store = find_locked(name);
    lock_release(&named_lock);
    return store;
}

MemoryContainer *
memory_store_get_container_locked(MemoryStore *store, const char *name, GError **error)
{
    MemoryContainer *container = g_tree_lookup(store->containers, name);
    if (container == NULL)
        g_set_error(error, STORAGEFS_ERROR, ERROR_NOT_FOUND, "container '%s' does not exist", name);
    return container;
}

MemoryObject *
memory_store_get_object_locked(MemoryStore *store, const char *container, const char *key, GError **error)
{
    MemoryContainer *found = memory_store_get_container_locked(store, container, error);
    if (found == NULL)
        return NULL;
    MemoryObject *object = g_tree_lookup(found->objects, key);
    if (object == NULL) {
        g_set_error(error, STORAGEFS_ERROR, ERROR_NOT_FOUND, "object '%s/%s' does not exist", container, key);
        return NULL;
    }
    return memory_store_ref_object(object);
}

void
memory_store_add_container_locked(MemoryStore *store, const char *name)
{
    MemoryContainer *container = g_new0(MemoryContainer, 1);
    container->created_ns = g_get_real_time() * 1000;
    container->objects = g_tree_new_full(compare_names, NULL, g_free, unref_object);
    container->uploads = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, free_upload);
    g_tree_insert(store->containers, g_strdup(name), container);
}

MemoryBlob *
memory_store_new_blob(MemoryStore *store, guint64 size_bytes, GError **error)
{
    guint64 used = __atomic_add_fetch(&store->used_bytes, size_bytes, __ATOMIC_RELAXED);
    gboolean fits = used >= size_bytes && used <= store->capacity_bytes;
    guint8 *bytes = fits ? g_try_malloc(MAX(size_bytes, 1)) : NULL;
    if (bytes == NULL) {
        __atomic_sub_fetch(&store->used_bytes, size_bytes, __ATOMIC_RELAXED);
        g_set_error(error, STORAGEFS_ERROR, ERROR_NO_SPACE,
                    "%" G_GUINT64_FORMAT " bytes do not fit into the storage's %" G_GUINT64_FORMAT,
                    size_bytes, store->capacity_bytes);
        return NULL;
    }
    MemoryBlob *blob = g_new0(MemoryBlob, 1);
    *blob = (MemoryBlob){.references = 1, .store = store, .size_bytes = size_bytes, .bytes = bytes};
    return blob;
}

MemoryBlob *
memory_store_ref_blob(MemoryBlob *blob)
{
    g_atomic_int_inc(&blob->references);
    return blob;
}

void
memory_store_unref_blob(MemoryBlob *blob)
{
    if (!g_atomic_int_dec_and_test(&blob->references))
        return;
    __atomic_sub_fetch(&blob->store->used_bytes, blob->size_bytes, __ATOMIC_RELAXED);
    g_free(blob->bytes);
    g_free(blob);
}

MemoryObject *
memory_store_new_object(MemoryBlob *blob, char *etag, const char *content_type, Metadata *metadata,
                        const char *storage_class)
{
    MemoryObject *object = g_new0(MemoryObject, 1);
    object->references = 1;
    object->blob = blob;
    object->mtime_ns = g_get_real_time() * 1000;
    object->etag = etag;
    object->content_type = g_strdup(content_type != NULL ? content_type : "application/octet-stream");
    object->storage_class = g_strdup(storage_class);
    object->metadata = memory_store_copy_metadata(metadata);
    return object;
}

MemoryObject *
memory_store_ref_object(MemoryObject *object)
{
    g_atomic_int_inc(&object->references);
    return object;
}

void
memory_store_unref_object(MemoryObject *object)
{
    if (!g_atomic_int_dec_and_test(&object->references))
        return;
    memory_store_unref_blob(object->blob);
    g_free(object->etag);
    g_free(object->content_type);
    g_free(object->storage_class);
    g_hash_table_unref(object->metadata);
    g_free(object);
}

MemoryUpload *
memory_store_new_upload(const char *key, const WriteOptions *options)
{
    MemoryUpload *upload = g_new0(MemoryUpload, 1);
    upload->key = g_strdup(key);
    upload->content_type = g_strdup(options->content_type);
    upload->storage_class = g_strdup(options->storage_class);
    upload->metadata = memory_store_copy_metadata(options->metadata);
    upload->parts = g_tree_new_full(compare_numbers, NULL, NULL, unref_object);
    return upload;
}

Metadata *
memory_store_copy_metadata(Metadata *metadata)
{
    Metadata *copy = metadata_new();
    GHashTableIter iter;
    gpointer name, value;
    if (metadata == NULL)
        return copy;
    g_hash_table_iter_init(&iter, metadata);
    while (g_hash_table_iter_next(&iter, &name, &value))
        g_hash_table_insert(copy, g_strdup(name), g_strdup(value));
    return copy;
}
