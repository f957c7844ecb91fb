/* What a memory service holds: containers, objects, unfinished uploads.
 *
 * Blobs and objects are never changed once made, and counted, so that an operation takes a reference under
 * the store's lock and works on it without. Instances that name the same store (key `store`) share it.
 */
#pragma once

#include "src/base/lock.h"
#include "src/storage/driver.h"

typedef struct MemoryStore MemoryStore;
typedef struct MemoryFaults MemoryFaults;

/* Bytes, shared by all copies of an object. */
typedef struct {
    gint references;
    MemoryStore *store; /* its capacity is given back when the blob goes */
    gsize size_bytes;
    guint8 *bytes;
} MemoryBlob;

typedef struct {
    gint references;
    MemoryBlob *blob;
    gint64 mtime_ns;
    char *etag, *content_type, *storage_class; /* storage_class may be NULL */
    Metadata *metadata;                        /* never NULL, never handed out itself: readers get copies */
} MemoryObject;

typedef struct {
    char *key;
    char *content_type, *storage_class;
    Metadata *metadata;
    GTree *parts; /* number → MemoryObject, whose etag is the part's */
} MemoryUpload;

typedef struct {
    gint64 created_ns;
    GTree *objects;      /* key → MemoryObject, in byte order */
    GHashTable *uploads; /* id → MemoryUpload */
} MemoryContainer;

struct MemoryStore {
    Lock lock; /* guards all but `used_bytes` */
    char *name;
    guint instances;
    GTree *containers;                  /* name → MemoryContainer, in byte order */
    guint64 capacity_bytes, used_bytes; /* used_bytes: atomic */
    guint64 counter;                    /* upload ids and counted ETags */
    MemoryFaults *faults;
};

/* Opens the store of that name, or a private one when name is "". close drops it with its last instance. */
MemoryStore *memory_store_open(const char *name, guint64 capacity_bytes);
void memory_store_close(MemoryStore *store);
/* The open store of that name, NULL when there is none; borrowed. */
MemoryStore *memory_store_find(const char *name);

/* NOT_FOUND with the container's name. */
MemoryContainer *memory_store_get_container_locked(MemoryStore *store, const char *name, GError **error)
    REQUIRES(store->lock);
/* A reference to the object. Fails: NOT_FOUND (container, key). */
MemoryObject *memory_store_get_object_locked(MemoryStore *store, const char *container, const char *key,
                                             GError **error) REQUIRES(store->lock);
void memory_store_add_container_locked(MemoryStore *store, const char *name) REQUIRES(store->lock);

/* Room for size_bytes, its bytes undefined. Fails: NO_SPACE (capacity, or no memory). */
MemoryBlob *memory_store_new_blob(MemoryStore *store, guint64 size_bytes, GError **error);
MemoryBlob *memory_store_ref_blob(MemoryBlob *blob);
void memory_store_unref_blob(MemoryBlob *blob);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MemoryBlob, memory_store_unref_blob)

/* Takes blob and etag; copies the rest. content_type NULL: application/octet-stream. metadata NULL: none. */
MemoryObject *memory_store_new_object(MemoryBlob *blob, char *etag, const char *content_type,
                                      Metadata *metadata, const char *storage_class);
MemoryObject *memory_store_ref_object(MemoryObject *object);
void memory_store_unref_object(MemoryObject *object);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MemoryObject, memory_store_unref_object)

/* Takes the strings and the table. */
MemoryUpload *memory_store_new_upload(const char *key, const WriteOptions *options);

/* A copy that shares nothing, strings included. */
Metadata *memory_store_copy_metadata(Metadata *metadata);
