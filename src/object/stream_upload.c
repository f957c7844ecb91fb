#include "src/object/stream_upload.h"

#include "src/base/log.h"
#include "src/object/call_wait.h"
#include "src/object/file_content.h"
#include "src/object/publication.h"

/* Parts of one file under way at a time: enough to fill a connection per core, few enough for many writers.
 */
#define MAXIMUM_IN_FLIGHT 4u

typedef enum { PART_NONE, PART_QUEUED, PART_SENDING, PART_SENT } PartState;

typedef struct {
    PartState state;
    gboolean changed; /* while it was being sent */
    gboolean begun;   /* the service may have it, in whatever state */
    UploadPart sent;
} StreamPart;

struct StreamUpload {
    char *container, *key, *id; /* id NULL until begun */
    Call *call;                 /* of its requests; without a deadline */
    char *content_type;
    Metadata *metadata;
    gboolean has_time;
    GArray *parts; /* of StreamPart, by index of the layout */
    guint next_queued;
    guint in_flight; /* tasks; they refer to it */
    gboolean stopped, abandoned;
    guint64 sent_bytes;
};

typedef struct {
    ObjectFile *file;
    StreamUpload *upload;
    guint index;
    guint64 offset, length_bytes;
} StreamTask;

static void
part_clear(gpointer data)
{
    upload_part_clear(&((StreamPart *)data)->sent);
}

void
stream_upload_prepare(ObjectFile *file)
{
    Capabilities can;
    if (file->layout_known)
        return;
    storage_get_capabilities(object_file_get_storage(file), &can);
    lock_acquire(&file->lock);
    part_layout_init(&file->layout, &can,
                     (guint64)storage_get_settings(object_file_get_storage(file))->part_bytes);
    /* The journal stores what is committed, and a crash would leave the parts of what is not. */
    file->streams = can.multipart && !file->journalled;
    file->layout_known = TRUE;
    lock_release(&file->lock);
}

static StreamUpload *
upload_new_locked(ObjectFile *file)
{
    StreamUpload *upload = g_new0(StreamUpload, 1);
    FileAttributes attributes = file->attributes;
    upload->container = g_strdup(file->container);
    upload->key = g_strdup(file->key);
    upload->call = call_new(0);
    upload->content_type = g_strdup(file->content_type);
    /* The time of the last write is not known yet, and could not be changed later without a copy. */
    upload->has_time = (file->explicit_attributes & FILE_SET_TIMES) != 0;
    if (!upload->has_time)
        attributes.mtime_ns = ATTRIBUTES_NO_TIME;
    upload->metadata = attributes_encode(&attributes, file->others);
    attributes_forget_content(upload->metadata);
    upload->parts = g_array_new(FALSE, TRUE, sizeof(StreamPart));
    g_array_set_clear_func(upload->parts, part_clear);
    return upload;
}

static void
upload_free(StreamUpload *upload)
{
    g_free(upload->container);
    g_free(upload->key);
    g_free(upload->id);
    g_free(upload->content_type);
    g_hash_table_unref(upload->metadata);
    g_array_unref(upload->parts);
    call_unref(upload->call);
    g_free(upload);
}

static void
push_task_locked(ObjectFile *file, WorkerTask run, StreamUpload *upload, guint index, guint64 offset,
                 guint64 length_bytes)
{
    StreamTask *task = g_new0(StreamTask, 1);
    *task = (StreamTask){object_file_ref(file), upload, index, offset, length_bytes};
    file->tasks++;
    object_store_begin_task(file->store);
    worker_pool_push(storage_get_lane(object_file_get_storage(file), STORAGE_LANE_TRANSFERS), run, task);
}

/* The upload has no task any more and no file: what it left on the server goes. */
static void
abort_and_free(Storage *storage, StreamUpload *upload)
{
    if (upload->id != NULL)
        storage_discard_upload(storage, upload->container, upload->key, upload->id);
    upload_free(upload);
}

static void dispatch_locked(ObjectFile *file, StreamUpload *upload) REQUIRES(file->lock);

static void
end_task(StreamTask *task)
{
    ObjectFile *file = task->file;
    StreamUpload *upload = task->upload;
    ObjectStore *store = file->store;
    lock_acquire(&file->lock);
    upload->in_flight--;
    file->tasks--;
    if (!upload->abandoned)
        dispatch_locked(file, upload);
    gboolean last = upload->abandoned && upload->in_flight == 0;
    condition_wake_all(&file->changed);
    lock_release(&file->lock);
    if (last)
        abort_and_free(object_file_get_storage(file), upload);
    object_file_unref(file);
    object_store_end_task(store);
    g_free(task);
}

/* One short request, which an upload that is given up does not cancel: the service may have carried it out,
 * and only who knows the id can abort it. */
static void
run_begin(gpointer data)
{
    StreamTask *task = data;
    StreamUpload *upload = task->upload;
    g_autoptr(Call) call = storage_new_call(object_file_get_storage(task->file));
    g_autoptr(GError) error = NULL;
    g_autofree char *id = NULL;
    WriteOptions options = {.content_type = upload->content_type, .metadata = upload->metadata};
    gboolean ok = storage_begin_upload(object_file_get_storage(task->file), call, upload->container,
                                       upload->key, &options, &id, &error);
    lock_acquire(&task->file->lock);
    if (ok)
        upload->id = g_steal_pointer(&id);
    else
        upload->stopped = TRUE;
    lock_release(&task->file->lock);
    if (!ok)
        log_debug("%s/%s: no upload while writing: %s", upload->container, upload->key, error->message);
    end_task(task);
}

static void
note_sent_locked(StreamUpload *upload, StreamTask *task, gboolean ok, UploadPart *sent)
{
    StreamPart *part = &g_array_index(upload->parts, StreamPart, task->index);
    if (ok && !part->changed) {
        upload_part_clear(&part->sent);
        part->sent = *sent;
        *sent = (UploadPart){0};
        part->state = PART_SENT;
        upload->sent_bytes += task->length_bytes;
        return;
    }
    part->state = PART_NONE;
    /* A failure is left to the publication, which sends the part again and reports. */
    upload->stopped = upload->stopped || (!ok && !part->changed);
}

static void
run_part(gpointer data)
{
    StreamTask *task = data;
    StreamUpload *upload = task->upload;
    g_autoptr(GError) error = NULL;
    FileContentSource content;
    ByteSource source;
    UploadPart sent = {0};
    file_content_init_source(&content, task->file, upload->call, task->offset, task->length_bytes, &source);
    gboolean ok = storage_put_part(object_file_get_storage(task->file), upload->call, upload->container,
                                   upload->key, upload->id, task->index + 1, &source, &sent, &error);
    if (!ok)
        log_debug("%s/%s: part %u while writing: %s", upload->container, upload->key, task->index + 1,
                  error->message);
    lock_acquire(&task->file->lock);
    note_sent_locked(upload, task, ok, &sent);
    lock_release(&task->file->lock);
    if (ok)
        staging_file_release(task->file->staging, task->offset, task->length_bytes);
    upload_part_clear(&sent);
    end_task(task);
}

static void
send_part_locked(ObjectFile *file, StreamUpload *upload, guint index)
{
    StreamPart *part = &g_array_index(upload->parts, StreamPart, index);
    guint64 offset = part_layout_get_start(&file->layout, index);
    part->state = PART_SENDING;
    part->changed = FALSE;
    part->begun = TRUE;
    upload->in_flight++;
    push_task_locked(file, run_part, upload, index, offset,
                     part_layout_get_start(&file->layout, index + 1) - offset);
}

static void
dispatch_locked(ObjectFile *file, StreamUpload *upload)
{
    if (upload->stopped || upload->id == NULL)
        return;
    for (; upload->next_queued < upload->parts->len && upload->in_flight < MAXIMUM_IN_FLIGHT;
         upload->next_queued++) {
        if (g_array_index(upload->parts, StreamPart, upload->next_queued).state == PART_QUEUED)
            send_part_locked(file, upload, upload->next_queued);
    }
}

static void
queue_part_locked(ObjectFile *file, guint index)
{
    if (file->upload == NULL) {
        file->upload = upload_new_locked(file);
        file->upload->in_flight++;
        push_task_locked(file, run_begin, file->upload, 0, 0, 0);
    }
    GArray *parts = file->upload->parts;
    if (parts->len <= index)
        g_array_set_size(parts, index + 1);
    StreamPart *part = &g_array_index(parts, StreamPart, index);
    if (part->state != PART_NONE)
        return;
    part->state = PART_QUEUED;
    file->upload->next_queued = MIN(file->upload->next_queued, index);
}

static void
begin_run_locked(ObjectFile *file, guint64 offset)
{
    guint index = part_layout_find(&file->layout, offset);
    file->run_start = offset;
    if (part_layout_get_start(&file->layout, index) < offset)
        index++;
    file->next_part = index;
    file->next_part_end = part_layout_get_start(&file->layout, index + 1);
}

/* A file that ends exactly with its first part may still be one PUT. */
static gboolean
is_left_behind(const ObjectFile *file)
{
    return file->frontier > file->next_part_end ||
           (file->frontier == file->next_part_end && file->next_part > 0);
}

void
stream_upload_note_write_locked(ObjectFile *file, guint64 offset, guint64 length_bytes)
{
    if (!file->streams)
        return;
    stream_upload_note_change_locked(file, offset, offset + length_bytes);
    if (offset != file->frontier || file->next_part_end == G_MAXUINT64)
        begin_run_locked(file, offset);
    file->frontier = offset + length_bytes;
    if (!is_left_behind(file))
        return;
    while (is_left_behind(file) && file->next_part < file->layout.maximum_parts) {
        queue_part_locked(file, file->next_part++);
        file->next_part_end = part_layout_get_start(&file->layout, file->next_part + 1);
    }
    if (file->upload != NULL)
        dispatch_locked(file, file->upload);
}

static void
note_part_changed_locked(StreamUpload *upload, guint index)
{
    StreamPart *part = &g_array_index(upload->parts, StreamPart, index);
    part->changed = TRUE;
    if (part->state == PART_SENT)
        upload->sent_bytes -= MIN(upload->sent_bytes, part->sent.size_bytes);
    if (part->state != PART_SENDING)
        part->state = PART_NONE;
}

void
stream_upload_note_change_locked(ObjectFile *file, guint64 offset, guint64 end)
{
    StreamUpload *upload = file->upload;
    if (upload == NULL || offset >= end)
        return;
    guint first = part_layout_find(&file->layout, offset), last = part_layout_find(&file->layout, end - 1);
    for (guint index = first; index <= last && index < upload->parts->len; index++)
        note_part_changed_locked(upload, index);
}

gboolean
stream_upload_settle(ObjectFile *file, Call *call, GError **error)
{
    CallWait wait;
    gboolean ok = TRUE;
    call_wait_begin(&wait, call, &file->lock, &file->changed);
    lock_acquire(&file->lock);
    if (file->upload != NULL)
        file->upload->stopped = TRUE;
    while (file->upload != NULL && file->upload->in_flight > 0 && ok)
        ok = call_wait_next(&wait, error);
    lock_release(&file->lock);
    call_wait_end(&wait);
    return ok;
}

gboolean
stream_upload_has_begun(ObjectFile *file)
{
    return file->upload != NULL && file->upload->id != NULL;
}

const char *
stream_upload_get_id(ObjectFile *file)
{
    return file->upload->id;
}

gboolean
stream_upload_has_time(ObjectFile *file)
{
    return file->upload->has_time;
}

Metadata *
stream_upload_get_metadata(ObjectFile *file)
{
    return file->upload->metadata;
}

const char *
stream_upload_get_content_type(ObjectFile *file)
{
    return file->upload->content_type;
}

gboolean
stream_upload_is_sent(gconstpointer data, guint index)
{
    const ObjectFile *file = data;
    const StreamUpload *upload = file->upload;
    return index < upload->parts->len && g_array_index(upload->parts, StreamPart, index).state == PART_SENT;
}

guint
stream_upload_count_begun(ObjectFile *file)
{
    guint count = 0;
    for (guint index = 0; index < file->upload->parts->len; index++)
        count += g_array_index(file->upload->parts, StreamPart, index).begun;
    return count;
}

gboolean
stream_upload_has_part(ObjectFile *file, guint number)
{
    GArray *parts = file->upload->parts;
    return number <= parts->len && g_array_index(parts, StreamPart, number - 1).begun;
}

const UploadPart *
stream_upload_get_part(ObjectFile *file, guint index)
{
    return &g_array_index(file->upload->parts, StreamPart, index).sent;
}

static StreamUpload *
steal_locked(ObjectFile *file)
{
    StreamUpload *upload = g_steal_pointer(&file->upload);
    file->next_part_end = G_MAXUINT64;
    if (upload != NULL)
        upload->abandoned = TRUE;
    return upload;
}

void
stream_upload_finish(ObjectFile *file)
{
    lock_acquire(&file->lock);
    StreamUpload *upload = steal_locked(file);
    lock_release(&file->lock);
    if (upload != NULL)
        upload_free(upload);
}

static void
run_abort(gpointer data)
{
    StreamTask *task = data;
    end_task(task);
}

void
stream_upload_abandon(ObjectFile *file)
{
    lock_acquire(&file->lock);
    StreamUpload *upload = steal_locked(file);
    gboolean idle = upload != NULL && upload->in_flight == 0;
    gboolean in_background = idle && upload->id != NULL && g_atomic_int_get(&file->references) > 0;
    g_autoptr(Call) call = upload != NULL ? call_ref(upload->call) : NULL;
    if (in_background) {
        upload->in_flight++;
        push_task_locked(file, run_abort, upload, 0, 0, 0);
    }
    lock_release(&file->lock);
    if (call != NULL)
        call_cancel(call);
    if (idle && !in_background)
        abort_and_free(object_file_get_storage(file), upload);
}

guint64
stream_upload_get_sent_bytes_locked(ObjectFile *file)
{
    return file->upload != NULL ? file->upload->sent_bytes : 0;
}
