/* Tasks that end together (worker_pool.h).
 *
 * What is pushed to the pool are runners: each begins with one task of the group. Where more tasks wait than
 * runners are on their way, a runner goes on with the next one, and steps back behind the pool's other work
 * when there is any. So every task that a runner was pushed for is still there when it begins, and when no
 * runner is left, every task has run.
 */
#include "src/base/lock.h"
#include "src/base/task_queue.h"
#include "src/base/worker_pool.h"

struct WorkerGroup {
    WorkerPool *pool;
    guint limit;
    Lock lock; /* guards all below */
    TaskQueue waiting;
    guint runners;         /* pushed or running */
    guint waiting_runners; /* pushed and not begun; never more than tasks wait */
    Condition finished;
};

WorkerGroup *
worker_group_new(WorkerPool *pool, guint limit)
{
    WorkerGroup *group = g_new0(WorkerGroup, 1);
    group->pool = pool;
    group->limit = limit;
    lock_init(&group->lock);
    condition_init(&group->finished);
    return group;
}

static gboolean
is_pool_busy(WorkerPool *pool)
{
    guint waiting, running;
    worker_pool_get_load(pool, &waiting, &running);
    return waiting > 0;
}

static void
run_tasks(gpointer data)
{
    WorkerGroup *group = data;
    lock_acquire(&group->lock);
    group->waiting_runners--;
    do {
        Task task = task_queue_pop(&group->waiting);
        lock_release(&group->lock);
        task.run(task.data);
        gboolean is_busy = is_pool_busy(group->pool);
        lock_acquire(&group->lock);
        if (is_busy && group->waiting.length > group->waiting_runners) {
            group->waiting_runners++;
            lock_release(&group->lock);
            worker_pool_push(group->pool, run_tasks, group);
            return;
        }
    } while (group->waiting.length > group->waiting_runners);
    group->runners--;
    if (group->runners == 0)
        condition_wake_all(&group->finished);
    lock_release(&group->lock);
}

void
worker_group_push(WorkerGroup *group, WorkerTask task, gpointer data)
{
    lock_acquire(&group->lock);
    task_queue_push(&group->waiting, (Task){task, data});
    gboolean is_room = group->limit == 0 || group->runners < group->limit;
    if (is_room) {
        group->runners++;
        group->waiting_runners++;
    }
    lock_release(&group->lock);
    if (is_room)
        worker_pool_push(group->pool, run_tasks, group);
}

void
worker_group_wait(WorkerGroup *group)
{
    lock_acquire(&group->lock);
    while (group->runners > 0)
        condition_wait(&group->finished, &group->lock, 0);
    lock_release(&group->lock);
}

void
worker_group_free(WorkerGroup *group)
{
    if (!group)
        return;
    worker_group_wait(group);
    task_queue_clear(&group->waiting);
    condition_clear(&group->finished);
    lock_clear(&group->lock);
    g_free(group);
}
