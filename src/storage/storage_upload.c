/* Multi-part uploads of one storage. */
#include "src/storage/storage_private.h"

gboolean
storage_begin_upload(Storage *storage, Call *call, const char *container, const char *key,
                     const WriteOptions *options, char **out_upload_id, GError **error)
{
    const Driver *driver = storage->settings->driver;
    const WriteOptions effective = options ? *options : (WriteOptions){0};
    StorageAttempt attempt;
    if (!storage_check_writable(storage, error) ||
        !storage_check_offered(storage, driver->begin_upload != NULL, "multi-part uploads", error) ||
        !storage_attempt_begin(&attempt, storage, call, container, key, error))
        return FALSE;
    while (!driver->begin_upload(storage->instance, call, container, key, &effective, out_upload_id,
                                 &attempt.failure)) {
        if (!storage_attempt_again(&attempt, error))
            return FALSE;
    }
    upload_ledger_add(storage->ledger, container, key, *out_upload_id);
    return storage_attempt_done(&attempt);
}

gboolean
storage_put_part(Storage *storage, Call *call, const char *container, const char *key, const char *upload_id,
                 guint number, const ByteSource *source, UploadPart *out, GError **error)
{
    const Driver *driver = storage->settings->driver;
    StorageAttempt attempt;
    if (!storage_check_writable(storage, error) ||
        !storage_check_offered(storage, driver->put_part != NULL, "multi-part uploads", error) ||
        !storage_attempt_begin(&attempt, storage, call, container, key, error))
        return FALSE;
    while (!driver->put_part(storage->instance, call, container, key, upload_id, number, source, out,
                             &attempt.failure)) {
        if (!storage_attempt_again(&attempt, error))
            return FALSE;
    }
    atomic_fetch_add_explicit(&storage->body_bytes_sent, source->size_bytes, memory_order_relaxed);
    return storage_attempt_done(&attempt);
}

gboolean
storage_copy_part(Storage *storage, Call *call, const char *container, const char *key, const char *upload_id,
                  guint number, const CopySource *source, guint64 offset, guint64 length_bytes,
                  UploadPart *out, GError **error)
{
    const Driver *driver = storage->settings->driver;
    StorageAttempt attempt;
    if (!storage_check_writable(storage, error) ||
        !storage_check_offered(storage, driver->copy_part != NULL, "copies into parts", error) ||
        !storage_attempt_begin(&attempt, storage, call, container, key, error))
        return FALSE;
    while (!driver->copy_part(storage->instance, call, container, key, upload_id, number, source, offset,
                              length_bytes, out, &attempt.failure)) {
        if (!storage_attempt_again(&attempt, error))
            return FALSE;
    }
    return storage_attempt_done(&attempt);
}

typedef struct {
    StorageAttempt *attempt;
    const char *upload_id;
    const UploadPart *parts;
    guint part_count;
    const WriteOptions *options;
} CommitJob;

static gboolean
commit_step(gpointer data, ObjectInfo *out_info, GError **failure)
{
    CommitJob *job = data;
    StorageAttempt *attempt = job->attempt;
    return attempt->storage->settings->driver->commit_upload(
        attempt->storage->instance, attempt->call, attempt->container, attempt->key, job->upload_id,
        job->parts, job->part_count, job->options, out_info, failure);
}

/* The object is complete whatever this finds: an ETag that cannot be asked for is no failure. */
static void
complete_info(Storage *storage, Call *call, const char *container, const char *key, guint64 size_bytes,
              ObjectInfo *info)
{
    if (!info->etag) {
        g_auto(ObjectInfo) found = {0};
        if (storage_stat_object(storage, call, container, key, &found, NULL) &&
            found.size_bytes == size_bytes)
            info->etag = g_steal_pointer(&found.etag);
    }
    info->size_bytes = size_bytes;
}

gboolean
storage_commit_upload(Storage *storage, Call *call, const char *container, const char *key,
                      const char *upload_id, const UploadPart *parts, guint part_count,
                      const WriteOptions *options, guint64 size_bytes, ObjectInfo *out_info, GError **error)
{
    const Driver *driver = storage->settings->driver;
    g_auto(ObjectInfo) written = {0};
    WriteOptions effective = options ? *options : (WriteOptions){0};
    const StorageExpectation expected = {.size_bytes = size_bytes, .options = options};
    StorageAttempt attempt;
    if (!storage_check_writable(storage, error) ||
        !storage_check_offered(storage, driver->commit_upload != NULL, "multi-part uploads", error) ||
        !storage_prepare_condition(storage, call, container, key, TRUE, &effective, error) ||
        !storage_attempt_begin(&attempt, storage, call, container, key, error))
        return FALSE;
    CommitJob job = {.attempt = &attempt,
                     .upload_id = upload_id,
                     .parts = parts,
                     .part_count = part_count,
                     .options = &effective};
    if (!storage_write_surely(&attempt, &expected, commit_step, &job, &written, error))
        return FALSE;
    upload_ledger_remove(storage->ledger, upload_id);
    if (out_info) {
        complete_info(storage, call, container, key, size_bytes, &written);
        *out_info = written;
        written = (ObjectInfo){0};
    }
    return TRUE;
}

gboolean
storage_abort_upload(Storage *storage, Call *call, const char *container, const char *key,
                     const char *upload_id, GError **error)
{
    const Driver *driver = storage->settings->driver;
    StorageAttempt attempt;
    if (!storage_check_writable(storage, error) ||
        !storage_check_offered(storage, driver->abort_upload != NULL, "multi-part uploads", error) ||
        !storage_attempt_begin(&attempt, storage, call, container, key, error))
        return FALSE;
    while (!driver->abort_upload(storage->instance, call, container, key, upload_id, &attempt.failure)) {
        if (error_is(attempt.failure, ERROR_NOT_FOUND))
            upload_ledger_remove(storage->ledger, upload_id);
        if (!storage_attempt_again(&attempt, error))
            return FALSE;
    }
    upload_ledger_remove(storage->ledger, upload_id);
    return storage_attempt_done(&attempt);
}
