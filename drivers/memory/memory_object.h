/* The memory driver's operations on whole objects and on their listings; contracts in driver.h. */
#pragma once

#include "drivers/memory/memory_store.h"

typedef struct {
    DriverInstance base;
    MemoryStore *store;
    Capabilities capabilities;
    gboolean counted_etags; /* an ETag for each write; else the MD5 of the content */
} MemoryInstance;

gboolean memory_object_stat(DriverInstance *instance, Call *call, const char *container, const char *key,
                            ObjectInfo *out, GError **error);
gboolean memory_object_read(DriverInstance *instance, Call *call, const char *container, const char *key,
                            guint64 offset, gsize length_bytes, const char *if_etag, void *buffer,
                            gsize *out_length_bytes, ObjectInfo *out_info, GError **error);
gboolean memory_object_write(DriverInstance *instance, Call *call, const char *container, const char *key,
                             const ByteSource *source, const WriteOptions *options, ObjectInfo *out_info,
                             GError **error);
gboolean memory_object_delete(DriverInstance *instance, Call *call, const char *container, const char *key,
                              const char *if_etag, GError **error);
gboolean memory_object_copy(DriverInstance *instance, Call *call, const CopySource *source,
                            const char *container, const char *key, const WriteOptions *options,
                            ObjectInfo *out_info, GError **error);
gboolean memory_object_set_metadata(DriverInstance *instance, Call *call, const char *container,
                                    const char *key, const char *if_etag, const char *content_type,
                                    Metadata *metadata, ObjectInfo *out_info, GError **error);

/* Shared with memory.c and memory_upload.c. */

/* 1..1024 bytes. Fails: BAD_NAME, NAME_TOO_LONG. */
#define MEMORY_OBJECT_MAXIMUM_KEY_BYTES 1024
gboolean memory_object_check_key(const char *key, GError **error);

/* The bytes of a source. Fails: NO_SPACE, what source->read fails with, CANCELLED, TIMEOUT. */
MemoryBlob *memory_object_load(MemoryInstance *memory, const ByteSource *source, Call *call, GError **error);
/* A new ETag for these bytes; caller frees. */
char *memory_object_make_etag(MemoryInstance *memory, const MemoryBlob *blob);
/* The object that a copy reads. Fails: NOT_FOUND, CHANGED where the capability says so. */
MemoryObject *memory_object_get_source(MemoryInstance *memory, const CopySource *source, GError **error);
/* Makes `object` (taken) the one under `key` if the options' conditions hold, each looked at only when its
 * support is ATOMIC. Fails: NOT_FOUND (container), EXISTS, CHANGED. */
gboolean memory_object_publish(MemoryInstance *memory, const char *container, const char *key,
                               MemoryObject *object, const WriteOptions *options, ConditionSupport if_absent,
                               ConditionSupport if_etag, GError **error);
/* Fills all of *out from the object. */
void memory_object_describe(const char *key, const MemoryObject *object, ObjectInfo *out);
/* Fails: UNSUPPORTED when a capability is off. `what` names it. */
gboolean memory_object_require(gboolean capability, const char *what, GError **error);
