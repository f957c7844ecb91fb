#include "drivers/memory/memory_upload.h"

#include "drivers/memory/memory_fault.h"
#include "drivers/memory/memory_object.h"

#include <string.h>

static MemoryUpload *
find_upload_locked(MemoryStore *store, const char *container, const char *key, const char *upload_id,
                   GError **error) REQUIRES(store->lock)
{
    MemoryContainer *found = memory_store_get_container_locked(store, container, error);
    if (found == NULL)
        return NULL;
    MemoryUpload *upload = g_hash_table_lookup(found->uploads, upload_id);
    if (upload == NULL || !g_str_equal(upload->key, key)) {
        g_set_error(error, STORAGEFS_ERROR, ERROR_NOT_FOUND, "upload '%s' of object '%s/%s' does not exist",
                    upload_id, container, key);
        return NULL;
    }
    return upload;
}

gboolean
memory_upload_begin(DriverInstance *instance, Call *call, const char *container, const char *key,
                    const WriteOptions *options, char **out_upload_id, GError **error)
{
    MemoryInstance *memory = (MemoryInstance *)instance;
    MemoryStore *store = memory->store;
    MemoryHit hit;
    if (!memory_fault_enter(store, MEMORY_BEGIN_UPLOAD, key, call, &hit, error) ||
        !memory_object_check_key(key, error) ||
        !memory_object_require(memory->capabilities.multipart, "multipart", error))
        return FALSE;
    g_autofree char *id = NULL;
    lock_acquire(&store->lock);
    MemoryContainer *found = memory_store_get_container_locked(store, container, error);
    if (found != NULL) {
        id = g_strdup_printf("upload-%" G_GUINT64_FORMAT, ++store->counter);
        g_hash_table_insert(found->uploads, g_strdup(id), memory_store_new_upload(key, options));
    }
    lock_release(&store->lock);
    if (found == NULL || !memory_fault_leave(&hit, error))
        return FALSE;
    *out_upload_id = g_steal_pointer(&id);
    return TRUE;
}

static gboolean
check_part(const Capabilities *can, guint number, guint64 size_bytes, GError **error)
{
    if (number < 1 || number > can->maximum_parts) {
        g_set_error(error, STORAGEFS_ERROR, ERROR_BAD_ARGUMENT, "part number %u is not within 1..%u", number,
                    can->maximum_parts);
        return FALSE;
    }
    if (size_bytes > can->maximum_part_bytes) {
        g_set_error(error, STORAGEFS_ERROR, ERROR_TOO_LARGE,
                    "part %u: %" G_GUINT64_FORMAT " bytes are more than a part may have", number, size_bytes);
        return FALSE;
    }
    return TRUE;
}

/* Keeps `blob` (taken) as a part of the upload. */
static gboolean
store_part(MemoryInstance *memory, const char *container, const char *key, const char *upload_id,
           guint number, MemoryBlob *blob, const MemoryHit *hit, UploadPart *out, GError **error)
{
    MemoryStore *store = memory->store;
    g_autoptr(MemoryObject) part =
        memory_store_new_object(blob, memory_object_make_etag(memory, blob), NULL, NULL, NULL);
    lock_acquire(&store->lock);
    MemoryUpload *upload = find_upload_locked(store, container, key, upload_id, error);
    if (upload != NULL)
        g_tree_replace(upload->parts, GUINT_TO_POINTER(number), memory_store_ref_object(part));
    lock_release(&store->lock);
    if (upload == NULL || !memory_fault_leave(hit, error))
        return FALSE;
    *out = (UploadPart){.number = number, .etag = g_strdup(part->etag), .size_bytes = blob->size_bytes};
    return TRUE;
}

gboolean
memory_upload_put_part(DriverInstance *instance, Call *call, const char *container, const char *key,
                       const char *upload_id, guint number, const ByteSource *source, UploadPart *out,
                       GError **error)
{
    MemoryInstance *memory = (MemoryInstance *)instance;
    MemoryHit hit;
    if (!memory_fault_enter(memory->store, MEMORY_PUT_PART, key, call, &hit, error) ||
        !check_part(&memory->capabilities, number, source->size_bytes, error))
        return FALSE;
    MemoryBlob *blob = memory_object_load(memory, source, call, error);
    return blob != NULL && store_part(memory, container, key, upload_id, number, blob, &hit, out, error);
}

gboolean
memory_upload_copy_part(DriverInstance *instance, Call *call, const char *container, const char *key,
                        const char *upload_id, guint number, const CopySource *source, guint64 offset,
                        guint64 length_bytes, UploadPart *out, GError **error)
{
    MemoryInstance *memory = (MemoryInstance *)instance;
    MemoryHit hit;
    if (!memory_fault_enter(memory->store, MEMORY_COPY_PART, key, call, &hit, error) ||
        !memory_object_require(memory->capabilities.copy_part, "copy_part", error) ||
        !check_part(&memory->capabilities, number, length_bytes, error))
        return FALSE;
    g_autoptr(MemoryObject) from = memory_object_get_source(memory, source, error);
    if (from == NULL)
        return FALSE;
    guint64 size = from->blob->size_bytes;
    if (offset > size || length_bytes > size - offset) {
        g_set_error(error, STORAGEFS_ERROR, ERROR_BAD_ARGUMENT,
                    "object '%s/%s' ends before the range that is to be copied", source->container,
                    source->key);
        return FALSE;
    }
    MemoryBlob *blob = memory_store_new_blob(memory->store, length_bytes, error);
    if (blob == NULL)
        return FALSE;
    memcpy(blob->bytes, from->blob->bytes + offset, length_bytes);
    return store_part(memory, container, key, upload_id, number, blob, &hit, out, error);
}

static gboolean
fail_part(ErrorCode code, guint number, const char *why, GError **error)
{
    g_set_error(error, STORAGEFS_ERROR, code, "part %u %s", number, why);
    return FALSE;
}

/* Checks one named part against what is there and the rules for its place; NULL when it breaks one. */
static MemoryObject *
find_part(MemoryInstance *memory, MemoryUpload *upload, const UploadPart *parts, guint index, guint count,
          GError **error)
{
    const Capabilities *can = &memory->capabilities;
    guint number = parts[index].number;
    MemoryObject *part = g_tree_lookup(upload->parts, GUINT_TO_POINTER(number));
    const char *why = NULL;
    if (index > 0 && number <= parts[index - 1].number)
        why = "is not in ascending order";
    else if (part == NULL || g_strcmp0(part->etag, parts[index].etag) != 0)
        why = "is not the one that was put";
    else if (index + 1 < count && part->blob->size_bytes < can->minimum_part_bytes)
        why = "is smaller than a part may be before the last";
    else if (can->equal_parts && index + 1 < count && part->blob->size_bytes != parts[0].size_bytes)
        why = "is not as long as the first";
    if (why != NULL) {
        fail_part(ERROR_BAD_ARGUMENT, number, why, error);
        return NULL;
    }
    return part;
}

/* References to the parts that the object is made of. Fails: NOT_FOUND, BAD_ARGUMENT, TOO_LARGE. */
static GPtrArray *
collect_parts_locked(MemoryInstance *memory, MemoryUpload *upload, const UploadPart *parts, guint count,
                     guint64 *out_size_bytes, GError **error)
{
    g_autoptr(GPtrArray) found = g_ptr_array_new_with_free_func((GDestroyNotify)memory_store_unref_object);
    guint64 size = 0;
    for (guint i = 0; i < count; i++) {
        MemoryObject *part = find_part(memory, upload, parts, i, count, error);
        if (part == NULL)
            return NULL;
        size += part->blob->size_bytes;
        g_ptr_array_add(found, memory_store_ref_object(part));
    }
    if (count == 0 || size > memory->capabilities.maximum_object_bytes) {
        g_set_error(error, STORAGEFS_ERROR, count == 0 ? ERROR_BAD_ARGUMENT : ERROR_TOO_LARGE,
                    "an upload of %u parts and %" G_GUINT64_FORMAT " bytes cannot be an object", count, size);
        return NULL;
    }
    *out_size_bytes = size;
    return g_steal_pointer(&found);
}

static char *
make_etag(MemoryInstance *memory, GPtrArray *parts, MemoryBlob *whole)
{
    if (memory->counted_etags)
        return memory_object_make_etag(memory, whole);
    g_autoptr(GChecksum) checksum = g_checksum_new(G_CHECKSUM_MD5);
    for (guint i = 0; i < parts->len; i++) {
        MemoryObject *part = g_ptr_array_index(parts, i);
        g_checksum_update(checksum, (const guchar *)part->etag, -1);
    }
    return g_strdup_printf("%s-%u", g_checksum_get_string(checksum), parts->len);
}

/* The object that the upload's parts make up. */
static MemoryObject *
assemble(MemoryInstance *memory, const char *container, const char *key, const char *upload_id,
         const UploadPart *parts, guint count, GError **error)
{
    MemoryStore *store = memory->store;
    g_autoptr(GPtrArray) found = NULL;
    g_autofree char *content_type = NULL, *storage_class = NULL;
    g_autoptr(GHashTable) metadata = NULL;
    guint64 size = 0;
    lock_acquire(&store->lock);
    MemoryUpload *upload = find_upload_locked(store, container, key, upload_id, error);
    if (upload != NULL) {
        found = collect_parts_locked(memory, upload, parts, count, &size, error);
        content_type = g_strdup(upload->content_type);
        storage_class = g_strdup(upload->storage_class);
        metadata = memory_store_copy_metadata(upload->metadata);
    }
    lock_release(&store->lock);
    MemoryBlob *whole = found != NULL ? memory_store_new_blob(store, size, error) : NULL;
    if (whole == NULL)
        return NULL;
    guint64 offset = 0;
    for (guint i = 0; i < found->len; i++) {
        MemoryBlob *part = ((MemoryObject *)g_ptr_array_index(found, i))->blob;
        memcpy(whole->bytes + offset, part->bytes, part->size_bytes);
        offset += part->size_bytes;
    }
    return memory_store_new_object(whole, make_etag(memory, found, whole), content_type, metadata,
                                   storage_class);
}

static void
drop_upload(MemoryStore *store, const char *container, const char *upload_id)
{
    lock_acquire(&store->lock);
    MemoryContainer *found = g_tree_lookup(store->containers, container);
    if (found != NULL)
        g_hash_table_remove(found->uploads, upload_id);
    lock_release(&store->lock);
}

gboolean
memory_upload_commit(DriverInstance *instance, Call *call, const char *container, const char *key,
                     const char *upload_id, const UploadPart *parts, guint part_count,
                     const WriteOptions *options, ObjectInfo *out_info, GError **error)
{
    MemoryInstance *memory = (MemoryInstance *)instance;
    const Capabilities *can = &memory->capabilities;
    MemoryHit hit;
    if (!memory_fault_enter(memory->store, MEMORY_COMMIT_UPLOAD, key, call, &hit, error))
        return FALSE;
    MemoryObject *object = assemble(memory, container, key, upload_id, parts, part_count, error);
    if (object == NULL)
        return FALSE;
    g_autoptr(MemoryObject) kept = memory_store_ref_object(object);
    if (!memory_object_publish(memory, container, key, object, options, can->commit_if_absent,
                               can->commit_if_etag, error))
        return FALSE;
    drop_upload(memory->store, container, upload_id);
    if (!memory_fault_leave(&hit, error))
        return FALSE;
    if (out_info != NULL)
        memory_object_describe(key, kept, out_info);
    return TRUE;
}

gboolean
memory_upload_abort(DriverInstance *instance, Call *call, const char *container, const char *key,
                    const char *upload_id, GError **error)
{
    MemoryInstance *memory = (MemoryInstance *)instance;
    MemoryHit hit;
    if (!memory_fault_enter(memory->store, MEMORY_ABORT_UPLOAD, key, call, &hit, error))
        return FALSE;
    drop_upload(memory->store, container, upload_id);
    return memory_fault_leave(&hit, error);
}
