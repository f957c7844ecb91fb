/* One kernel request that could not be answered at once: its arguments, copied, and where it runs.
 *
 * An operation first tries the *_ready() way. If that would wait, it makes a job and dispatches it:
 *   FrontJob *job = front_job_new(request, node, run_lookup);
 *   job->name = g_strdup(name);
 *   front_job_dispatch(job);
 * and run_lookup() ends with exactly one front_reply_*(front_job_take_request(job), ...). The job is freed by
 * the dispatcher. Calls on file system storages run in line while few of them run at once (they are local
 * disk I/O, and a hand-over to another thread costs more than most of them); the others go to the lane of
 * their storage.
 */
#pragma once

#include "src/front/front_internal.h"

typedef struct FrontJob FrontJob;
typedef void (*FrontRun)(FrontJob *job);

struct FrontJob {
    Front *front;
    fuse_req_t request; /* NULL once taken */
    Call *call;
    FrontRun run;
    gboolean is_read;  /* nobody misses its answer once the mount, or who asked, has ended */
    gint64 started_us; /* on a lane: monotonic */
    gboolean is_held;  /* links below are in use, see front_held.h */
    GList held_link, other_held_link;
    Node *node; /* referenced until the job ends */

    Node *other_node; /* referenced when set by front_job_set_other */
    char *name, *other_name, *data;
    gsize data_bytes;
    FileHandle *handle, *other_handle;
    DirectoryHandle *directory;
    struct fuse_file_info info;
    guint64 offset, other_offset;
    gsize length_bytes;
    int flags;
    mode_t mode;
    unsigned valid;
    struct stat attributes;
    struct timespec times[2];
    pid_t pid; /* of the thread that asked, 0 where it is not seen */
    uid_t uid;
    gid_t gid;
};

void front_job_init(Front *front);
void front_job_clear(Front *front);
/* The mount has ended: the reads that still run (the kernel's read-ahead has no process that a signal could
 * end) are given up. Whatever writes goes on. */
void front_job_cancel_reads(Front *front);
/* Gives up the reads that have run for age_us and whose thread has ended: the kernel interrupts no
 * read-ahead, and whoever reads the same pages next waits for its answer. TRUE: reads are running. */
gboolean front_job_cancel_dead_reads(Front *front, gint64 age_us);

FrontJob *front_job_new(fuse_req_t request, Node *node, FrontRun run);
void front_job_set_other(FrontJob *job, Node *node);
/* Runs the job in line or on a lane. The job is not the caller's any more. */
void front_job_dispatch(FrontJob *job);
/* TRUE when a call on this node may run in line now: front_job_leave_inline() must follow. For operations
 * that would have to copy data for a job. */
gboolean front_job_enter_inline(Front *front, Node *node);
void front_job_leave_inline(Front *front);
/* The request, for the reply: from here on it cannot be interrupted. */
fuse_req_t front_job_take_request(FrontJob *job);
/* Replies with the errno of *error, logs, frees it. what: the operation, for the log line. */
void front_job_fail(FrontJob *job, const char *what, GError **error);
