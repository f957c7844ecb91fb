#include "src/front/front_job.h"

#include "src/front/front_held.h"
#include "src/front/front_interrupt.h"
#include "src/front/front_reply.h"

/* In-line calls may wait for a local disk: few enough that they never occupy all threads that read /dev/fuse.
 */
#define INLINE_MAX 8

void
front_job_init(Front *front)
{
    lock_init(&front->reads_lock);
    front->reads = g_hash_table_new(NULL, NULL);
}

void
front_job_clear(Front *front)
{
    g_hash_table_unref(front->reads);
    lock_clear(&front->reads_lock);
}

static void
remember_read(FrontJob *job)
{
    Front *front = job->front;
    lock_acquire(&front->reads_lock);
    g_hash_table_add(front->reads, job);
    lock_release(&front->reads_lock);
    front_interrupt_note_read(front->interrupt);
}

static void
forget_read(FrontJob *job)
{
    Front *front = job->front;
    lock_acquire(&front->reads_lock);
    g_hash_table_remove(front->reads, job);
    lock_release(&front->reads_lock);
}

/* The calls of those reads, and in *out_pids who they are for. */
static GPtrArray *
list_reads(Front *front, gint64 started_before_us, GArray *out_pids)
{
    GHashTableIter iter;
    gpointer key;
    GPtrArray *calls = g_ptr_array_new_with_free_func((GDestroyNotify)call_unref);
    lock_acquire(&front->reads_lock);
    g_hash_table_iter_init(&iter, front->reads);
    while (g_hash_table_iter_next(&iter, &key, NULL)) {
        const FrontJob *job = key;
        if (job->started_us > started_before_us)
            continue;
        g_ptr_array_add(calls, call_ref(job->call));
        g_array_append_val(out_pids, job->pid);
    }
    lock_release(&front->reads_lock);
    return calls;
}

void
front_job_cancel_reads(Front *front)
{
    g_autoptr(GArray) pids = g_array_new(FALSE, FALSE, sizeof(pid_t));
    g_autoptr(GPtrArray) calls = list_reads(front, G_MAXINT64, pids);
    for (guint i = 0; i < calls->len; i++)
        call_cancel(calls->pdata[i]);
}

gboolean
front_job_cancel_dead_reads(Front *front, gint64 age_us)
{
    g_autoptr(GArray) pids = g_array_new(FALSE, FALSE, sizeof(pid_t));
    g_autoptr(GPtrArray) calls = list_reads(front, g_get_monotonic_time() - age_us, pids);
    for (guint i = 0; i < calls->len; i++) {
        /* 0: the kernel itself, or a process that this namespace does not see. */
        pid_t pid = g_array_index(pids, pid_t, i);
        if (pid > 0 && front_interrupt_is_fatal(pid))
            call_cancel(calls->pdata[i]);
    }
    lock_acquire(&front->reads_lock);
    gboolean any = g_hash_table_size(front->reads) > 0;
    lock_release(&front->reads_lock);
    return any;
}

FrontJob *
front_job_new(fuse_req_t request, Node *node, FrontRun run)
{
    FrontJob *job = g_new0(FrontJob, 1);
    job->front = front_of(request);
    job->request = request;
    job->run = run;
    job->node = tree_node_ref(job->front->tree, node);
    job->call = tree_new_call(job->front->tree, node);
    const struct fuse_ctx *context = fuse_req_ctx(request);
    job->pid = context->pid;
    job->uid = context->uid;
    job->gid = context->gid;
    return job;
}

void
front_job_set_other(FrontJob *job, Node *node)
{
    job->other_node = tree_node_ref(job->front->tree, node);
}

static void
job_run(gpointer data)
{
    FrontJob *job = data;
    job->run(job);
    g_assert(job->request == NULL);
    if (job->is_read)
        forget_read(job);
    if (job->is_held)
        front_held_remove(job);
    tree_node_unref(job->front->tree, job->node);
    if (job->other_node != NULL)
        tree_node_unref(job->front->tree, job->other_node);
    g_free(job->name);
    g_free(job->other_name);
    g_free(job->data);
    call_unref(job->call);
    g_free(job);
}

gboolean
front_job_enter_inline(Front *front, Node *node)
{
    if (!tree_is_local(node))
        return FALSE;
    if (g_atomic_int_add(&front->inline_running, 1) < INLINE_MAX)
        return TRUE;
    front_job_leave_inline(front);
    return FALSE;
}

void
front_job_leave_inline(Front *front)
{
    g_atomic_int_add(&front->inline_running, -1);
}

void
front_job_dispatch(FrontJob *job)
{
    Front *front = job->front;
    WorkerPool *lane = tree_get_lane(front->tree, job->node);
    if (lane == NULL) {
        job_run(job);
        return;
    }
    if (front_job_enter_inline(front, job->node)) {
        job_run(job);
        front_job_leave_inline(front);
        return;
    }
    job->started_us = g_get_monotonic_time();
    front_held_add(job);
    if (job->is_read)
        remember_read(job);
    front_interrupt_watch(front->interrupt, job->request, job->call);
    worker_pool_push(lane, job_run, job);
}

fuse_req_t
front_job_take_request(FrontJob *job)
{
    fuse_req_t request = g_steal_pointer(&job->request);
    front_interrupt_unwatch(job->front->interrupt, request, job->call);
    return request;
}

void
front_job_fail(FrontJob *job, const char *what, GError **error)
{
    g_autofree char *subject = tree_describe(job->front->tree, job->node);
    front_reply_failure(front_job_take_request(job), what, subject, job->name, error);
}
