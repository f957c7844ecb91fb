#include "src/object/part_sender.h"

#include "src/base/error.h"
#include "src/object/file_content.h"
#include "src/object/stream_upload.h"

/* More parts at a time bring nothing from one machine, and would take the lane from everybody else. */
#define MAXIMUM_PARALLEL 8u

typedef struct {
    const PartSender *sender;
    guint limit; /* tasks at a time, and tasks that hold memory */
    Lock lock;
    Condition given;
    guint holders; /* tasks with memory */
    GError *error; /* the first */
} Run;

typedef struct {
    Run *run;
    const PlanPart *part;
    UploadPart *out;
    gboolean composes;    /* else copied by the service */
    gsize reserved_bytes; /* to fetch with; taken before the task is pushed, given back by it */
} Task;

static void
note_failure(Run *run, GError *error)
{
    lock_acquire(&run->lock);
    if (run->error == NULL)
        run->error = g_steal_pointer(&error);
    lock_release(&run->lock);
    g_clear_error(&error);
}

static gboolean
has_failed(Run *run)
{
    lock_acquire(&run->lock);
    gboolean failed = run->error != NULL;
    lock_release(&run->lock);
    return failed;
}

/* A task that waited for memory would keep a thread of the lane from the fetches that give it back. */
static gboolean
reserve(Task *task, GError **error)
{
    Run *run = task->run;
    ObjectFile *file = run->sender->file;
    lock_acquire(&run->lock);
    while (run->holders >= run->limit)
        condition_wait(&run->given, &run->lock, 0);
    lock_release(&run->lock);
    if (!file_content_reserve(file, run->sender->call, task->part->offset, task->part->length_bytes,
                              &task->reserved_bytes, error))
        return FALSE;
    lock_acquire(&run->lock);
    run->holders += task->reserved_bytes > 0;
    lock_release(&run->lock);
    return TRUE;
}

static void
give_back(Task *task)
{
    Run *run = task->run;
    if (task->reserved_bytes == 0)
        return;
    memory_budget_give(run->sender->file->store->budget, task->reserved_bytes);
    task->reserved_bytes = 0;
    lock_acquire(&run->lock);
    run->holders--;
    condition_wake_all(&run->given);
    lock_release(&run->lock);
}

static gboolean
stage(Task *task, GError **error)
{
    const PartSender *sender = task->run->sender;
    gboolean ok = file_content_stage_reserved(sender->file, sender->call, task->part->offset,
                                              task->part->length_bytes, task->reserved_bytes, error);
    give_back(task);
    return ok;
}

static gboolean
put_part(Task *task, GError **error)
{
    const PartSender *sender = task->run->sender;
    const PlanPart *part = task->part;
    FileContentSource content;
    ByteSource source;
    /* Fetched before, so that a driver that reads its source twice does not fetch twice. */
    if (!stage(task, error))
        return FALSE;
    file_content_init_source(&content, sender->file, sender->call, part->offset, part->length_bytes, &source);
    return storage_put_part(object_file_get_storage(sender->file), sender->call, sender->container,
                            sender->key, sender->upload_id, part->number, &source, task->out, error);
}

static gboolean
copy_part(const PartSender *sender, const PlanPart *part, UploadPart *out, GError **error)
{
    Storage *storage = object_file_get_storage(sender->file);
    g_auto(ObjectVersionPlace) place = {0};
    object_version_get_place(part->version, &place);
    CopySource source = {place.container, place.key, place.etag};
    return storage_copy_part(storage, sender->call, sender->container, sender->key, sender->upload_id,
                             part->number, &source, part->source_offset, part->length_bytes, out, error);
}

static gboolean
send_part(Task *task, GError **error)
{
    g_autoptr(GError) local_error = NULL;
    if (task->composes)
        return put_part(task, error);
    if (copy_part(task->run->sender, task->part, task->out, &local_error))
        return TRUE;
    /* The endpoint cannot after all: through this machine then. */
    task->composes = error_is(local_error, ERROR_UNSUPPORTED);
    if (error_is(local_error, ERROR_NOT_FOUND) &&
        !object_version_check(task->part->version, task->run->sender->call, error))
        return FALSE;
    if (!task->composes)
        g_propagate_error(error, g_steal_pointer(&local_error));
    return task->composes;
}

static void
run_task(gpointer data)
{
    Task *task = data;
    GError *error = NULL;
    if (!has_failed(task->run) && !send_part(task, &error))
        note_failure(task->run, error);
    give_back(task);
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
push_task(WorkerGroup *group, Task *task)
{
    GError *error = NULL;
    if (has_failed(task->run))
        return;
    if (!task->composes || reserve(task, &error))
        worker_group_push(group, run_task, task);
    else
        note_failure(task->run, error);
}

static void
run_tasks(Run *run, Task *tasks, GArray *parts)
{
    const PartSender *sender = run->sender;
    WorkerPool *lane = storage_get_lane(object_file_get_storage(sender->file), STORAGE_LANE_TRANSFERS);
    g_autoptr(WorkerGroup) group = worker_group_new(lane, run->limit);
    for (guint i = 0; i < parts->len; i++) {
        const PlanPart *part = &g_array_index(sender->plan->parts, PlanPart, i);
        UploadPart *out = &g_array_index(parts, UploadPart, i);
        tasks[i] = (Task){run, part, out, part->kind == PLAN_PART_COMPOSED, 0};
        if (part->kind == PLAN_PART_SENT)
            copy_sent_part(stream_upload_get_part(sender->file, part->number - 1), out);
        else
            push_task(group, &tasks[i]);
    }
    worker_group_wait(group);
    /* What the service was to copy, and could not. */
    for (guint i = 0; i < parts->len; i++) {
        if (tasks[i].part->kind == PLAN_PART_COPIED && tasks[i].composes)
            push_task(group, &tasks[i]);
    }
    worker_group_wait(group);
}

GArray *
part_sender_send(const PartSender *sender, GError **error)
{
    guint count = sender->plan->parts->len;
    guint limit =
        MIN(storage_get_settings(object_file_get_storage(sender->file))->maximum_requests, MAXIMUM_PARALLEL);
    /* Once, before tasks would race for it. */
    object_file_prepare_staging(sender->file);
    g_autoptr(GArray) parts = g_array_sized_new(FALSE, TRUE, sizeof(UploadPart), count);
    g_array_set_clear_func(parts, clear_part);
    g_array_set_size(parts, count);
    g_autofree Task *tasks = g_new0(Task, count);
    Run run = {.sender = sender, .limit = MAX(limit, 1)};
    lock_init(&run.lock);
    condition_init(&run.given);
    run_tasks(&run, tasks, parts);
    GError *failure = run.error;
    condition_clear(&run.given);
    lock_clear(&run.lock);
    if (failure != NULL) {
        g_propagate_error(error, failure);
        return NULL;
    }
    return g_steal_pointer(&parts);
}
