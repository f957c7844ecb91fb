/* Threads that run blocking work. One pool per lane: a lane that is full (a storage that hangs) never
 * takes threads from another one.
 *
 * Threads start on demand up to max_threads and end after some idle seconds. Tasks run in the order they were
 * pushed, as threads become free. A task must not wait for a task of its own pool.
 */
#pragma once

#include <glib.h>

typedef struct WorkerPool WorkerPool;
typedef void (*WorkerTask)(gpointer data);

/* name: up to 11 bytes, for thread names. max_threads 1..1024. */
WorkerPool *worker_pool_new(const char *name, guint max_threads);

/* How long a thread waits for work before it ends: 10 s unless this is called, before the first push. One
 * thread stays for ever. */
void worker_pool_set_idle_us(WorkerPool *pool, gint64 idle_us);

/* Does not block, unless the pool has no thread at all and the system refuses one: it then asks again until
 * there is one. `data` is handed to the task as it is. */
void worker_pool_push(WorkerPool *pool, WorkerTask task, gpointer data);

/* Tasks waiting for a thread, and tasks running. */
void worker_pool_get_load(WorkerPool *pool, guint *out_waiting, guint *out_running);

/* Blocks until everything pushed has run, including what running tasks push. Not from a task of this pool. */
void worker_pool_drain(WorkerPool *pool);
/* TRUE in a task of this pool: what must not wait for the pool asks this. */
gboolean worker_pool_is_current(WorkerPool *pool);
/* Drains, ends the threads, frees. */
void worker_pool_free(WorkerPool *pool);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(WorkerPool, worker_pool_free)

/* Tasks that somebody waits for together: parallel ranges, parts, HEADs.
 * limit: at most so many of the group at a time, so that one file does not take the whole lane; 0 no limit.
 */
typedef struct WorkerGroup WorkerGroup;
WorkerGroup *worker_group_new(WorkerPool *pool, guint limit);
void worker_group_push(WorkerGroup *group, WorkerTask task, gpointer data);
void worker_group_wait(WorkerGroup *group);
/* Waits, then frees. */
void worker_group_free(WorkerGroup *group);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(WorkerGroup, worker_group_free)
