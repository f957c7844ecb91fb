/* Copies on the server: in one request, or, above the service's limit, by parts in parallel. */
#include "src/storage/storage_private.h"

#include <string.h>

/* A part that is only copied costs no bytes here, so it may be larger than one that is sent. */
#define COPY_PART_BYTES (G_GUINT64_CONSTANT(64) << 20)
#define MIB (G_GUINT64_CONSTANT(1) << 20)

/* Where a copy goes, and with what. */
typedef struct {
    const CopySource *source;
    const char *container, *key;
    const WriteOptions *options;
} CopyTarget;

typedef struct {
    StorageAttempt *attempt;
    const CopyTarget *target;
} CopyJob;

static gboolean
copy_step(gpointer data, ObjectInfo *out_info, GError **failure)
{
    CopyJob *job = data;
    Storage *storage = job->attempt->storage;
    return storage->settings->driver->copy_object(storage->instance, job->attempt->call, job->target->source,
                                                  job->target->container, job->target->key,
                                                  job->target->options, out_info, failure);
}

static gboolean
copy_whole(Storage *storage, Call *call, const CopyTarget *target, guint64 size_bytes, ObjectInfo *out_info,
           GError **error)
{
    StorageAttempt attempt;
    CopyJob job = {.attempt = &attempt, .target = target};
    StorageExpectation expected = {.size_bytes = size_bytes, .any_size = size_bytes == 0};
    if (storage_has_condition(target->options))
        expected.options = target->options;
    return storage_attempt_begin(&attempt, storage, call, target->container, target->key, error) &&
           storage_write_surely(&attempt, &expected, copy_step, &job, out_info, error);
}

/* One copy by parts, shared by the tasks of its parts. */
typedef struct {
    Storage *storage;
    Call *call; /* ended by the first part that fails, so that the others stop */
    const CopyTarget *target;
    const char *upload_id;
    guint64 size_bytes, part_bytes;
    UploadPart *parts;
    guint part_count;
    Lock lock;
    GError *failure; /* the first one */
} PartedCopy;

typedef struct {
    PartedCopy *copy;
    guint index;
} PartTask;

static void
copy_one_part(gpointer data)
{
    g_autofree PartTask *task = data;
    PartedCopy *copy = task->copy;
    const CopyTarget *target = copy->target;
    guint64 offset = task->index * copy->part_bytes;
    GError *failure = NULL;
    if (storage_copy_part(copy->storage, copy->call, target->container, target->key, copy->upload_id,
                          task->index + 1, target->source, offset,
                          MIN(copy->part_bytes, copy->size_bytes - offset), &copy->parts[task->index],
                          &failure))
        return;
    lock_acquire(&copy->lock);
    gboolean first = copy->failure == NULL;
    if (first)
        copy->failure = failure;
    lock_release(&copy->lock);
    if (!first)
        g_error_free(failure);
    call_cancel(copy->call);
}

static gboolean
copy_all_parts(PartedCopy *copy, Call *call, GError **error)
{
    guint limit = MAX(copy->storage->settings->maximum_requests / 2, 1);
    g_autoptr(WorkerGroup) group = worker_group_new(copy->storage->transfers, limit);
    lock_init(&copy->lock);
    copy->call = call_new_child(call, 0);
    for (guint i = 0; i < copy->part_count; i++) {
        PartTask *task = g_new(PartTask, 1);
        *task = (PartTask){.copy = copy, .index = i};
        worker_group_push(group, copy_one_part, task);
    }
    worker_group_wait(group);
    lock_clear(&copy->lock);
    g_clear_pointer(&copy->call, call_unref);
    if (!copy->failure)
        return TRUE;
    g_propagate_error(error, g_steal_pointer(&copy->failure));
    return FALSE;
}

static guint64
choose_part_bytes(Storage *storage, const Capabilities *can, guint64 size_bytes)
{
    guint64 part_bytes = MAX((guint64)storage->settings->part_bytes, COPY_PART_BYTES);
    guint parts = MAX(can->maximum_parts, 1);
    guint64 needed = (size_bytes + parts - 1) / parts;
    part_bytes = MAX(part_bytes, (needed + MIB - 1) / MIB * MIB);
    part_bytes = MAX(part_bytes, can->minimum_part_bytes);
    if (can->maximum_part_bytes)
        part_bytes = MIN(part_bytes, can->maximum_part_bytes);
    return MIN(part_bytes, MAX(can->maximum_copy_bytes, MIB));
}

static gboolean
upload_copy(Storage *storage, Call *call, const CopyTarget *target, guint64 size_bytes, ObjectInfo *out_info,
            GError **error)
{
    Capabilities can;
    g_autofree char *upload_id = NULL;
    storage_get_capabilities(storage, &can);
    PartedCopy copy = {.storage = storage,
                       .target = target,
                       .size_bytes = size_bytes,
                       .part_bytes = choose_part_bytes(storage, &can, size_bytes)};
    guint64 count = (size_bytes + copy.part_bytes - 1) / copy.part_bytes;
    if (count > can.maximum_parts) {
        g_set_error(error, STORAGEFS_ERROR, ERROR_TOO_LARGE,
                    "%s/%s/%s: %" G_GUINT64_FORMAT " bytes are more than the service can put together",
                    storage->settings->name, target->container, target->key, size_bytes);
        return FALSE;
    }
    if (!storage_begin_upload(storage, call, target->container, target->key, target->options, &upload_id,
                              error))
        return FALSE;
    copy.upload_id = upload_id;
    copy.part_count = (guint)count;
    copy.parts = g_new0(UploadPart, count);
    gboolean good =
        copy_all_parts(&copy, call, error) &&
        storage_commit_upload(storage, call, target->container, target->key, upload_id, copy.parts,
                              copy.part_count, target->options, size_bytes, out_info, error);
    if (!good)
        storage_discard_upload(storage, target->container, target->key, upload_id);
    for (guint i = 0; i < copy.part_count; i++)
        upload_part_clear(&copy.parts[i]);
    g_free(copy.parts);
    return good;
}

/* Parts carry neither metadata nor type, and could come from two versions: so the source is looked at first.
 */
static gboolean
copy_by_parts(Storage *storage, Call *call, const CopyTarget *target, ObjectInfo *out_info, GError **error)
{
    g_auto(ObjectInfo) info = {0};
    const CopySource *source = target->source;
    if (!storage_stat_object(storage, call, source->container, source->key, &info, error))
        return FALSE;
    if (source->if_etag && g_strcmp0(source->if_etag, info.etag) != 0) {
        g_set_error(error, STORAGEFS_ERROR, ERROR_CHANGED, "%s/%s/%s: the object was replaced meanwhile",
                    storage->settings->name, source->container, source->key);
        return FALSE;
    }
    const CopySource pinned = {.container = source->container, .key = source->key, .if_etag = info.etag};
    const WriteOptions carried = {.content_type = info.content_type, .metadata = info.metadata};
    const CopyTarget whole = {.source = &pinned,
                              .container = target->container,
                              .key = target->key,
                              .options = target->options ? target->options : &carried};
    return upload_copy(storage, call, &whole, info.size_bytes, out_info, error);
}

static void
hand_over(ObjectInfo *written, ObjectInfo *out_info)
{
    if (!out_info)
        return;
    *out_info = *written;
    *written = (ObjectInfo){0};
}

/* Looked at here what the service would ignore: the version of the source, and the condition on the target,
 * which few services know for copies. */
static gboolean
check_conditions(Storage *storage, Call *call, const CopyTarget *target, const Capabilities *can,
                 GError **error)
{
    const CopySource *source = target->source;
    const WriteOptions version = {.if_etag = source->if_etag};
    if (source->if_etag && !can->copy_checks_source &&
        !storage_check_condition(storage, call, source->container, source->key, &version, error))
        return FALSE;
    return !storage_has_condition(target->options) ||
           storage_check_condition(storage, call, target->container, target->key, target->options, error);
}

gboolean
storage_copy_object(Storage *storage, Call *call, const CopySource *source, guint64 source_size_bytes,
                    const char *container, const char *key, const WriteOptions *options, ObjectInfo *out_info,
                    GError **error)
{
    const Driver *driver = storage->settings->driver;
    g_auto(ObjectInfo) written = {0};
    Capabilities can;
    CopySource effective = *source;
    const CopyTarget target = {.source = &effective, .container = container, .key = key, .options = options};
    if (!storage_check_writable(storage, error))
        return FALSE;
    storage_await_capabilities(storage, call, &can);
    if (!storage_check_offered(storage, driver->copy_object && can.copy_object, "copies", error) ||
        !check_conditions(storage, call, &target, &can, error))
        return FALSE;
    if (!can.copy_checks_source)
        effective.if_etag = NULL;
    gboolean parted = source_size_bytes > can.maximum_copy_bytes && can.maximum_copy_bytes > 0;
    if (parted && !storage_check_offered(storage, driver->copy_part && can.copy_part && can.multipart,
                                         "copies of objects so large", error))
        return FALSE;
    if (parted ? !copy_by_parts(storage, call, &target, &written, error)
               : !copy_whole(storage, call, &target, source_size_bytes, &written, error))
        return FALSE;
    hand_over(&written, out_info);
    return TRUE;
}

typedef struct {
    StorageAttempt *attempt;
    const char *if_etag, *content_type;
    Metadata *metadata;
} MetadataJob;

static gboolean
metadata_step(gpointer data, ObjectInfo *out_info, GError **failure)
{
    MetadataJob *job = data;
    StorageAttempt *attempt = job->attempt;
    return attempt->storage->settings->driver->set_metadata(
        attempt->storage->instance, attempt->call, attempt->container, attempt->key, job->if_etag,
        job->content_type, job->metadata, out_info, failure);
}

static gboolean
replace_metadata(Storage *storage, Call *call, const CopySource *object, guint64 size_bytes,
                 const WriteOptions *options, ObjectInfo *out_info, GError **error)
{
    StorageAttempt attempt;
    MetadataJob job = {.attempt = &attempt,
                       .if_etag = object->if_etag,
                       .content_type = options->content_type,
                       .metadata = options->metadata};
    const StorageExpectation expected = {
        .size_bytes = size_bytes, .any_size = size_bytes == 0, .options = options};
    return storage_attempt_begin(&attempt, storage, call, object->container, object->key, error) &&
           storage_write_surely(&attempt, &expected, metadata_step, &job, out_info, error);
}

gboolean
storage_set_metadata(Storage *storage, Call *call, const char *container, const char *key,
                     const ObjectInfo *known, const char *content_type, Metadata *metadata,
                     ObjectInfo *out_info, GError **error)
{
    const Driver *driver = storage->settings->driver;
    g_auto(ObjectInfo) written = {0};
    Capabilities can;
    guint64 size_bytes = known ? known->size_bytes : 0;
    const CopySource object = {.container = container, .key = key, .if_etag = known ? known->etag : NULL};
    /* The ETag may stay the same when only metadata change, so it says nothing about a lost reply. */
    const WriteOptions options = {.content_type = content_type, .metadata = metadata};
    if (!storage_check_writable(storage, error))
        return FALSE;
    storage_await_capabilities(storage, call, &can);
    if (!storage_check_offered(storage, driver->set_metadata && can.set_metadata, "changes of metadata",
                               error))
        return FALSE;
    g_autoptr(GError) failure = NULL;
    gboolean good = replace_metadata(storage, call, &object, size_bytes, &options, &written, &failure);
    if (!good && error_is(failure, ERROR_TOO_LARGE) && size_bytes > can.maximum_copy_bytes && can.copy_part) {
        /* Where this is a copy onto itself, a large object takes the way of all large copies. */
        const CopyTarget itself = {
            .source = &object, .container = container, .key = key, .options = &options};
        g_clear_error(&failure);
        good = copy_by_parts(storage, call, &itself, &written, &failure);
    }
    if (!good) {
        g_propagate_error(error, g_steal_pointer(&failure));
        return FALSE;
    }
    hand_over(&written, out_info);
    return TRUE;
}
