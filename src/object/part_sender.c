#include "src/object/part_sender.h"

#include "src/base/error.h"
#include "src/object/file_content.h"
#include "src/object/stream_upload.h"

/* More parts at a time bring nothing from one machine, and would take the lane from everybody else. */
#define MAXIMUM_PARALLEL 8u

typedef struct {
    const PartSender *sender;
    Lock lock;
    GError *error; /* the first */
} Run;

typedef struct {
    Run *run;
    const PlanPart *part;
    UploadPart *out;
} Task;

static gboolean
put_part(const PartSender *sender, const PlanPart *part, UploadPart *out, GError **error)
{
    Storage *storage = sender->file->storage;
    FileContentSource content;
    ByteSource source;
    /* Fetched before, so that a driver that reads its source twice does not fetch twice. */
    if (!file_content_stage(sender->file, sender->call, part->offset, part->length_bytes, error))
        return FALSE;
    file_content_init_source(&content, sender->file, sender->call, part->offset, part->length_bytes, &source);
    return storage_put_part(storage, sender->call, sender->container, sender->key, sender->upload_id,
                            part->number, &source, out, error);
}

static gboolean
copy_part(const PartSender *sender, const PlanPart *part, UploadPart *out, GError **error)
{
    Storage *storage = sender->file->storage;
    g_auto(ObjectVersionPlace) place = {0};
    object_version_get_place(part->version, &place);
    CopySource source = {place.container, place.key, place.etag};
    return storage_copy_part(storage, sender->call, sender->container, sender->key, sender->upload_id,
                             part->number, &source, part->source_offset, part->length_bytes, out, error);
}

static gboolean
send_part(const PartSender *sender, const PlanPart *part, UploadPart *out, GError **error)
{
    g_autoptr(GError) local_error = NULL;
    if (part->kind == PLAN_PART_COMPOSED)
        return put_part(sender, part, out, error);
    if (copy_part(sender, part, out, &local_error))
        return TRUE;
    /* The endpoint cannot after all: through this machine then. */
    if (error_is(local_error, ERROR_UNSUPPORTED))
        return put_part(sender, part, out, error);
    g_propagate_error(error, g_steal_pointer(&local_error));
    return FALSE;
}

static gboolean
has_failed(Run *run)
{
    lock_acquire(&run->lock);
    gboolean failed = run->error != NULL;
    lock_release(&run->lock);
    return failed;
}

static void
run_task(gpointer data)
{
    Task *task = data;
    g_autoptr(GError) error = NULL;
    if (has_failed(task->run) || send_part(task->run->sender, task->part, task->out, &error))
        return;
    lock_acquire(&task->run->lock);
    if (task->run->error == NULL)
        task->run->error = g_steal_pointer(&error);
    lock_release(&task->run->lock);
}

static void
clear_part(gpointer data)
{
    upload_part_clear(data);
}

static void
copy_sent_part(const UploadPart *from, UploadPart *to)
{
    *to = (UploadPart){from->number, g_strdup(from->etag), from->size_bytes, g_strdup(from->checksum)};
}

static void
run_tasks(Run *run, Task *tasks, GArray *parts)
{
    const PartSender *sender = run->sender;
    Storage *storage = sender->file->storage;
    guint limit = MIN(storage_get_settings(storage)->maximum_requests, MAXIMUM_PARALLEL);
    g_autoptr(WorkerGroup) group =
        worker_group_new(storage_get_lane(storage, STORAGE_LANE_TRANSFERS), MAX(limit, 1));
    for (guint i = 0; i < parts->len; i++) {
        const PlanPart *part = &g_array_index(sender->plan->parts, PlanPart, i);
        UploadPart *out = &g_array_index(parts, UploadPart, i);
        tasks[i] = (Task){run, part, out};
        if (part->kind == PLAN_PART_SENT)
            copy_sent_part(stream_upload_get_part(sender->file, part->number - 1), out);
        else
            worker_group_push(group, run_task, &tasks[i]);
    }
    worker_group_wait(group);
}

GArray *
part_sender_send(const PartSender *sender, GError **error)
{
    guint count = sender->plan->parts->len;
    /* Once, before tasks would race for it. */
    object_file_prepare_staging(sender->file);
    g_autoptr(GArray) parts = g_array_sized_new(FALSE, TRUE, sizeof(UploadPart), count);
    g_array_set_clear_func(parts, clear_part);
    g_array_set_size(parts, count);
    g_autofree Task *tasks = g_new0(Task, count);
    Run run = {.sender = sender};
    lock_init(&run.lock);
    run_tasks(&run, tasks, parts);
    GError *failure = run.error;
    lock_clear(&run.lock);
    if (failure != NULL) {
        g_propagate_error(error, failure);
        return NULL;
    }
    return g_steal_pointer(&parts);
}
