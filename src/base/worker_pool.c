/* Threads on demand.
 *
 * A task goes straight to the thread that fell idle last (its caches are warm), past the queue; the queue
 * holds tasks only while no thread is idle. One thread stays for ever once it has been started: the next task
 * then waits neither for a start nor on the mercy of the process limits. A thread that ends is joined by the
 * next one that ends, the last by worker_pool_free(), so no thread outlives its pool.
 */
#include "src/base/worker_pool.h"

#include "src/base/lock.h"
#include "src/base/log.h"
#include "src/base/task_queue.h"

#include <signal.h>
#include <string.h>

#define IDLE_US (10 * G_USEC_PER_SEC)
#define START_RETRY_US (10 * 1000)

/* Lives until the pool is freed, because a thread is woken outside the lock, when it may have ended already.
 */
typedef struct Worker {
    WorkerPool *pool;
    Condition woken;
    struct Worker *below; /* next on the idle or the spare stack */
    Task task;            /* run is NULL: none handed over */
} Worker;

struct WorkerPool {
    char name[12];
    guint max_threads;
    gint64 idle_us;
    Lock lock; /* guards all below */
    TaskQueue waiting;
    Worker *idle, *spare;
    GPtrArray *workers; /* all Worker structs */
    guint threads, running;
    gboolean ending;
    gboolean has_ended_thread;
    pthread_t ended_thread; /* to be joined by the next one that ends */
    Condition quiet;        /* nothing waits or runs, or a thread has ended */
};

static _Thread_local WorkerPool *current;

WorkerPool *
worker_pool_new(const char *name, guint max_threads)
{
    WorkerPool *pool = g_new0(WorkerPool, 1);
    g_strlcpy(pool->name, name, sizeof(pool->name));
    pool->max_threads = CLAMP(max_threads, 1, 1024);
    pool->idle_us = IDLE_US;
    pool->workers = g_ptr_array_new();
    lock_init(&pool->lock);
    condition_init(&pool->quiet);
    return pool;
}

void
worker_pool_set_idle_us(WorkerPool *pool, gint64 idle_us)
{
    pool->idle_us = idle_us;
}

static Worker *
take_spare_worker(WorkerPool *pool) REQUIRES(pool->lock)
{
    Worker *worker = pool->spare;
    if (worker) {
        pool->spare = worker->below;
        return worker;
    }
    worker = g_new0(Worker, 1);
    worker->pool = pool;
    condition_init(&worker->woken);
    g_ptr_array_add(pool->workers, worker);
    return worker;
}

static void
remove_idle(WorkerPool *pool, Worker *worker) REQUIRES(pool->lock)
{
    Worker **link = &pool->idle;
    while (*link != worker)
        link = &(*link)->below;
    *link = worker->below;
}

/* Waits on the idle stack. FALSE: the thread is to end. */
static gboolean
wait_for_task(WorkerPool *pool, Worker *worker, Task *out_task) REQUIRES(pool->lock)
{
    worker->task.run = NULL;
    worker->below = pool->idle;
    pool->idle = worker;
    gint64 deadline_us = g_get_monotonic_time() + pool->idle_us;
    while (!worker->task.run && !pool->ending) {
        gboolean in_time = condition_wait(&worker->woken, &pool->lock, deadline_us);
        if (worker->task.run || in_time)
            continue;
        if (pool->threads > 1)
            break;
        deadline_us = 0;
    }
    if (!worker->task.run) {
        remove_idle(pool, worker);
        return FALSE;
    }
    *out_task = worker->task;
    return TRUE;
}

/* The task's end is counted, and the next one, if there is one, begun, under one hold of the lock. */
static gboolean
next_task(WorkerPool *pool, Worker *worker, Task *out_task) REQUIRES(pool->lock)
{
    if (pool->waiting.length > 0) {
        pool->running++;
        *out_task = task_queue_pop(&pool->waiting);
        return TRUE;
    }
    if (pool->running == 0)
        condition_wake_all(&pool->quiet);
    return wait_for_task(pool, worker, out_task);
}

static gpointer
run_worker(gpointer data)
{
    Worker *worker = data;
    WorkerPool *pool = worker->pool;
    Task task;
    current = pool;
    lock_acquire(&pool->lock);
    while (next_task(pool, worker, &task)) {
        lock_release(&pool->lock);
        task.run(task.data);
        lock_acquire(&pool->lock);
        pool->running--;
    }
    gboolean has_previous = pool->has_ended_thread;
    pthread_t previous = pool->ended_thread;
    pool->has_ended_thread = TRUE;
    pool->ended_thread = pthread_self();
    pool->threads--;
    worker->below = pool->spare;
    pool->spare = worker;
    condition_wake_all(&pool->quiet);
    lock_release(&pool->lock);
    if (has_previous)
        pthread_join(previous, NULL);
    return NULL;
}

/* Signals are for the thread that handles them, never for a worker. Returns 0 or pthread_create's errno. */
static int
start_thread(Worker *worker)
{
    sigset_t all, before;
    pthread_t thread;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int status = pthread_create(&thread, NULL, run_worker, worker);
    if (status == 0)
        pthread_setname_np(thread, worker->pool->name);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return status;
}

/* A pool that has a thread can do without one more, and says so only to who looks for it; one that has none
 * has to get it. */
static void
start_worker(WorkerPool *pool, Worker *worker)
{
    gboolean is_told = FALSE;
    for (int status = start_thread(worker); status != 0; status = start_thread(worker)) {
        lock_acquire(&pool->lock);
        gboolean has_others = pool->threads > 1;
        if (has_others) {
            pool->threads--;
            worker->below = pool->spare;
            pool->spare = worker;
        }
        lock_release(&pool->lock);
        if (has_others) {
            log_debug("no further thread for %s: %s", pool->name, g_strerror(status));
            return;
        }
        if (!is_told)
            log_warning("no thread for %s yet: %s", pool->name, g_strerror(status));
        is_told = TRUE;
        g_usleep(START_RETRY_US);
    }
}

void
worker_pool_push(WorkerPool *pool, WorkerTask task, gpointer data)
{
    Worker *woken = NULL, *started = NULL;
    lock_acquire(&pool->lock);
    if (pool->idle) {
        woken = pool->idle;
        pool->idle = woken->below;
        woken->task = (Task){task, data};
        pool->running++;
    } else {
        task_queue_push(&pool->waiting, (Task){task, data});
        if (pool->threads < pool->max_threads) {
            pool->threads++;
            started = take_spare_worker(pool);
        }
    }
    lock_release(&pool->lock);
    if (woken)
        condition_wake_one(&woken->woken);
    if (started)
        start_worker(pool, started);
}

void
worker_pool_get_load(WorkerPool *pool, guint *out_waiting, guint *out_running)
{
    lock_acquire(&pool->lock);
    *out_waiting = pool->waiting.length;
    *out_running = pool->running;
    lock_release(&pool->lock);
}

static void
wait_until_quiet(WorkerPool *pool) REQUIRES(pool->lock)
{
    while (pool->waiting.length > 0 || pool->running > 0)
        condition_wait(&pool->quiet, &pool->lock, 0);
}

void
worker_pool_drain(WorkerPool *pool)
{
    lock_acquire(&pool->lock);
    wait_until_quiet(pool);
    lock_release(&pool->lock);
}

gboolean
worker_pool_is_current(WorkerPool *pool)
{
    return current == pool;
}

static void
free_worker(gpointer data)
{
    Worker *worker = data;
    condition_clear(&worker->woken);
    g_free(worker);
}

void
worker_pool_free(WorkerPool *pool)
{
    if (!pool)
        return;
    lock_acquire(&pool->lock);
    wait_until_quiet(pool);
    pool->ending = TRUE;
    for (Worker *worker = pool->idle; worker; worker = worker->below)
        condition_wake_one(&worker->woken);
    while (pool->threads > 0)
        condition_wait(&pool->quiet, &pool->lock, 0);
    lock_release(&pool->lock);
    if (pool->has_ended_thread)
        pthread_join(pool->ended_thread, NULL);
    g_ptr_array_set_free_func(pool->workers, free_worker);
    g_ptr_array_unref(pool->workers);
    task_queue_clear(&pool->waiting);
    condition_clear(&pool->quiet);
    lock_clear(&pool->lock);
    g_free(pool);
}
