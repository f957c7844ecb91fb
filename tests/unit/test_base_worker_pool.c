/* Worker pools and groups: nothing is lost, limits hold, threads come and go. Linked with
 * --wrap=pthread_create, so that starting a thread can be made to fail. */
#include "src/base/lock.h"
#include "src/base/task_queue.h"
#include "src/base/worker_pool.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>

#define POOL_NAME "testing"

static atomic_int failing_starts; /* so many pthread_create() fail from now on */

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                          void *data);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                          void *data);

int
__wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *data)
{
    int left = atomic_load(&failing_starts);
    while (left > 0)
        if (atomic_compare_exchange_weak(&failing_starts, &left, left - 1))
            return EAGAIN;
    return __real_pthread_create(thread, attributes, run, data);
}

static pthread_t
start(void *(*function)(void *), void *data)
{
    pthread_t thread;
    g_assert_cmpint(pthread_create(&thread, NULL, function, data), ==, 0);
    return thread;
}

static void
count(gpointer data)
{
    atomic_fetch_add((atomic_int *)data, 1);
}

/* A door that tasks wait at. */
typedef struct {
    Lock lock;
    Condition changed;
    gboolean is_open;
    int waiting;
} Gate;

static void
gate_init(Gate *gate)
{
    *gate = (Gate){.is_open = FALSE};
    lock_init(&gate->lock);
    condition_init(&gate->changed);
}

static void
gate_clear(Gate *gate)
{
    condition_clear(&gate->changed);
    lock_clear(&gate->lock);
}

static void
gate_pass(gpointer data)
{
    Gate *gate = data;
    lock_acquire(&gate->lock);
    gate->waiting++;
    condition_wake_all(&gate->changed);
    while (!gate->is_open)
        condition_wait(&gate->changed, &gate->lock, 0);
    lock_release(&gate->lock);
}

static void
gate_open_when(Gate *gate, int waiting)
{
    lock_acquire(&gate->lock);
    while (gate->waiting < waiting)
        condition_wait(&gate->changed, &gate->lock, 0);
    gate->is_open = TRUE;
    condition_wake_all(&gate->changed);
    lock_release(&gate->lock);
}

/* Threads of this process that have the pool's name. */
static int
count_pool_threads(void)
{
    g_autoptr(GDir) tasks = g_dir_open("/proc/self/task", 0, NULL);
    const char *id;
    int found = 0;
    while ((id = g_dir_read_name(tasks))) {
        g_autofree char *path = g_strdup_printf("/proc/self/task/%s/comm", id);
        g_autofree char *name = NULL;
        if (g_file_get_contents(path, &name, NULL, NULL) && g_str_has_prefix(name, POOL_NAME))
            found++;
    }
    return found;
}

/* A thread that was joined stays visible for a moment. */
static void
wait_for_pool_threads(int expected)
{
    int found = count_pool_threads();
    for (; found > expected; found = count_pool_threads())
        sched_yield();
    g_assert_cmpint(found, ==, expected);
}

static void
test_condition_deadline(void)
{
    Gate gate;
    gate_init(&gate);
    lock_acquire(&gate.lock);
    g_assert_false(condition_wait(&gate.changed, &gate.lock, 1));
    while (condition_wait(&gate.changed, &gate.lock, g_get_monotonic_time() + 1000))
        continue;
    lock_release(&gate.lock);
    gate_clear(&gate);
}

static void *
wake_gate(void *data)
{
    Gate *gate = data;
    lock_acquire(&gate->lock);
    condition_wake_one(&gate->changed);
    lock_release(&gate->lock);
    return NULL;
}

static void
test_condition_wakes_before_the_deadline(void)
{
    Gate gate;
    gate_init(&gate);
    lock_acquire(&gate.lock);
    pthread_t thread = start(wake_gate, &gate);
    g_assert_true(
        condition_wait(&gate.changed, &gate.lock, g_get_monotonic_time() + 3600 * (gint64)G_USEC_PER_SEC));
    lock_release(&gate.lock);
    pthread_join(thread, NULL);
    gate_clear(&gate);
}

/* First in, first out, wherever in the ring it has to grow. */
static void
test_task_queue(void)
{
    TaskQueue queue = {0};
    int pushed = 0, popped = 0;
    for (int round = 0; round < 200; round++) {
        for (int i = g_test_rand_int_range(0, 20); i > 0; i--)
            task_queue_push(&queue, (Task){count, GINT_TO_POINTER(pushed++)});
        for (int i = g_test_rand_int_range(0, 18); i > 0 && queue.length > 0; i--)
            g_assert_cmpint(GPOINTER_TO_INT(task_queue_pop(&queue).data), ==, popped++);
        g_assert_cmpint((int)queue.length, ==, pushed - popped);
    }
    task_queue_clear(&queue);
    g_assert_cmpuint(queue.length, ==, 0);
}

typedef struct {
    WorkerPool *pool;
    atomic_int *ran;
    int left;
} Chain;

static void
push_next(gpointer data)
{
    Chain *chain = data;
    count(chain->ran);
    if (chain->left-- > 0)
        worker_pool_push(chain->pool, push_next, chain);
    else
        g_free(chain);
}

static void *
push_many(void *data)
{
    Chain *chain = data;
    for (int i = 0; i < chain->left; i++)
        worker_pool_push(chain->pool, count, chain->ran);
    return NULL;
}

static void
test_everything_runs(void)
{
    atomic_int ran = 0;
    g_autoptr(WorkerPool) pool = worker_pool_new(POOL_NAME, 4);
    Chain chain = {pool, &ran, 3000};
    pthread_t pushers[3];
    for (gsize i = 0; i < G_N_ELEMENTS(pushers); i++)
        pushers[i] = start(push_many, &chain);
    Chain *own = g_new(Chain, 1);
    *own = (Chain){pool, &ran, 999};
    worker_pool_push(pool, push_next, own);
    for (gsize i = 0; i < G_N_ELEMENTS(pushers); i++)
        pthread_join(pushers[i], NULL);
    worker_pool_drain(pool);
    g_assert_cmpint(ran, ==, 3 * 3000 + 1000);
    guint waiting, running;
    worker_pool_get_load(pool, &waiting, &running);
    g_assert_cmpuint(waiting + running, ==, 0);
}

static void
test_free_runs_the_rest(void)
{
    atomic_int ran = 0;
    for (int round = 0; round < 100; round++) {
        WorkerPool *pool = worker_pool_new(POOL_NAME, 1 + round % 4);
        for (int i = 0; i < round; i++)
            worker_pool_push(pool, count, &ran);
        worker_pool_free(pool);
    }
    g_assert_cmpint(ran, ==, 99 * 100 / 2);
    worker_pool_free(NULL);
    wait_for_pool_threads(0);
}

static int order[500], order_length;

static void
note_order(gpointer data)
{
    order[order_length++] = GPOINTER_TO_INT(data);
}

static void
test_order_of_one_thread(void)
{
    Gate gate;
    gate_init(&gate);
    g_autoptr(WorkerPool) pool = worker_pool_new(POOL_NAME, 1);
    worker_pool_push(pool, gate_pass, &gate);
    for (int i = 0; i < (int)G_N_ELEMENTS(order); i++)
        worker_pool_push(pool, note_order, GINT_TO_POINTER(i));
    gate_open_when(&gate, 1);
    worker_pool_drain(pool);
    g_assert_cmpint(order_length, ==, (int)G_N_ELEMENTS(order));
    for (int i = 0; i < order_length; i++)
        g_assert_cmpint(order[i], ==, i);
    gate_clear(&gate);
}

/* Three tasks meet inside, the fourth has to wait; the other lane does not notice. */
static void
test_threads_up_to_the_limit(void)
{
    Gate gate;
    guint waiting, running;
    atomic_int ran = 0;
    gate_init(&gate);
    g_autoptr(WorkerPool) full = worker_pool_new(POOL_NAME, 3);
    g_autoptr(WorkerPool) other = worker_pool_new("other", 1);
    for (int i = 0; i < 4; i++)
        worker_pool_push(full, gate_pass, &gate);
    lock_acquire(&gate.lock);
    while (gate.waiting < 3)
        condition_wait(&gate.changed, &gate.lock, 0);
    lock_release(&gate.lock);
    worker_pool_get_load(full, &waiting, &running);
    g_assert_cmpuint(waiting, ==, 1);
    g_assert_cmpuint(running, ==, 3);
    wait_for_pool_threads(3);
    worker_pool_push(other, count, &ran);
    worker_pool_drain(other);
    g_assert_cmpint(ran, ==, 1);
    gate_open_when(&gate, 3);
    worker_pool_drain(full);
    g_assert_cmpint(gate.waiting, ==, 4);
    gate_clear(&gate);
}

static pthread_t last_thread;

static void
note_thread(gpointer data)
{
    last_thread = pthread_self();
}

static void
test_warmest_thread_first(void)
{
    Gate gate;
    gate_init(&gate);
    g_autoptr(WorkerPool) pool = worker_pool_new(POOL_NAME, 3);
    for (int i = 0; i < 3; i++)
        worker_pool_push(pool, gate_pass, &gate);
    gate_open_when(&gate, 3);
    worker_pool_drain(pool);
    worker_pool_push(pool, note_thread, NULL);
    worker_pool_drain(pool);
    pthread_t first = last_thread;
    for (int i = 0; i < 100; i++) {
        worker_pool_push(pool, note_thread, NULL);
        worker_pool_drain(pool);
        g_assert_true(pthread_equal(first, last_thread));
    }
    gate_clear(&gate);
}

static void
test_idle_threads_end(void)
{
    Gate gate;
    atomic_int ran = 0;
    gate_init(&gate);
    g_autoptr(WorkerPool) pool = worker_pool_new(POOL_NAME, 8);
    worker_pool_set_idle_us(pool, 1000);
    for (int i = 0; i < 8; i++)
        worker_pool_push(pool, gate_pass, &gate);
    gate_open_when(&gate, 8);
    wait_for_pool_threads(1);
    for (int i = 0; i < 20; i++) {
        g_usleep(1000);
        g_assert_cmpint(count_pool_threads(), ==, 1);
    }
    for (int round = 0; round < 200; round++) {
        for (int i = 0; i < 4; i++)
            worker_pool_push(pool, count, &ran);
        if (round % 20 == 0)
            g_usleep(1500);
    }
    worker_pool_drain(pool);
    g_assert_cmpint(ran, ==, 800);
    gate_clear(&gate);
}

static sigset_t blocked_signals;

static void
note_signals(gpointer data)
{
    pthread_sigmask(SIG_SETMASK, NULL, &blocked_signals);
}

static void
test_signals_are_not_for_workers(void)
{
    g_autoptr(WorkerPool) pool = worker_pool_new(POOL_NAME, 1);
    worker_pool_push(pool, note_signals, NULL);
    worker_pool_drain(pool);
    g_assert_cmpint(sigismember(&blocked_signals, SIGTERM), ==, 1);
    g_assert_cmpint(sigismember(&blocked_signals, SIGHUP), ==, 1);
    sigset_t own;
    pthread_sigmask(SIG_SETMASK, NULL, &own);
    g_assert_cmpint(sigismember(&own, SIGTERM), ==, 0);
}

static void
test_threads_that_cannot_start(void)
{
    Gate gate;
    atomic_int ran = 0;
    gate_init(&gate);
    g_autoptr(WorkerPool) pool = worker_pool_new(POOL_NAME, 4);
    atomic_store(&failing_starts, 3);
    worker_pool_push(pool, gate_pass, &gate);
    g_assert_cmpint(failing_starts, ==, 0);
    atomic_store(&failing_starts, 2);
    for (int i = 0; i < 5; i++)
        worker_pool_push(pool, count, &ran);
    gate_open_when(&gate, 1);
    worker_pool_drain(pool);
    g_assert_cmpint(failing_starts, ==, 0);
    g_assert_cmpint(ran, ==, 5);
    gate_clear(&gate);
}

typedef struct {
    WorkerPool *own, *other;
    gboolean is_in_own, is_in_other;
} Question;

static void
ask_current(gpointer data)
{
    Question *question = data;
    question->is_in_own = worker_pool_is_current(question->own);
    question->is_in_other = worker_pool_is_current(question->other);
}

static void
test_current_pool(void)
{
    g_autoptr(WorkerPool) pool = worker_pool_new(POOL_NAME, 1);
    g_autoptr(WorkerPool) other = worker_pool_new("other", 1);
    Question question = {pool, other, FALSE, TRUE};
    worker_pool_push(pool, ask_current, &question);
    worker_pool_drain(pool);
    g_assert_true(question.is_in_own);
    g_assert_false(question.is_in_other);
    g_assert_false(worker_pool_is_current(pool));
}

typedef struct {
    atomic_int inside, most, ran;
} Meter;

static void
measure(gpointer data)
{
    Meter *meter = data;
    int inside = atomic_fetch_add(&meter->inside, 1) + 1, most = atomic_load(&meter->most);
    while (inside > most && !atomic_compare_exchange_weak(&meter->most, &most, inside))
        continue;
    sched_yield();
    atomic_fetch_sub(&meter->inside, 1);
    atomic_fetch_add(&meter->ran, 1);
}

static void
test_group_limit_and_wait(void)
{
    g_autoptr(WorkerPool) pool = worker_pool_new(POOL_NAME, 8);
    for (guint limit = 0; limit <= 4; limit++) {
        Meter meter = {0};
        g_autoptr(WorkerGroup) group = worker_group_new(pool, limit);
        worker_group_wait(group);
        for (int round = 1; round <= 20; round++) {
            for (int i = 0; i < 50; i++)
                worker_group_push(group, measure, &meter);
            worker_group_wait(group);
            g_assert_cmpint(meter.ran, ==, 50 * round);
        }
        g_assert_cmpint(meter.most, <=, limit ? (int)limit : 8);
    }
    worker_group_free(NULL);
}

static void *
open_gate(void *data)
{
    gate_open_when(data, 4);
    return NULL;
}

/* All have begun, none has ended: that is not enough. */
static void
test_group_waits_for_the_last(void)
{
    Gate gate;
    gate_init(&gate);
    g_autoptr(WorkerPool) pool = worker_pool_new(POOL_NAME, 4);
    WorkerGroup *group = worker_group_new(pool, 0);
    for (int i = 0; i < 4; i++)
        worker_group_push(group, gate_pass, &gate);
    lock_acquire(&gate.lock);
    while (gate.waiting < 4)
        condition_wait(&gate.changed, &gate.lock, 0);
    lock_release(&gate.lock);
    pthread_t thread = start(open_gate, &gate);
    worker_group_wait(group);
    lock_acquire(&gate.lock);
    g_assert_true(gate.is_open);
    lock_release(&gate.lock);
    pthread_join(thread, NULL);
    worker_group_free(group);
    gate_clear(&gate);
}

/* A group that has filled its limit leaves the rest of the lane to others. */
static void
test_group_leaves_room(void)
{
    Gate gate;
    atomic_int ran = 0;
    gate_init(&gate);
    g_autoptr(WorkerPool) pool = worker_pool_new(POOL_NAME, 3);
    WorkerGroup *group = worker_group_new(pool, 2);
    for (int i = 0; i < 6; i++)
        worker_group_push(group, gate_pass, &gate);
    WorkerGroup *other = worker_group_new(pool, 1);
    for (int i = 0; i < 10; i++)
        worker_group_push(other, count, &ran);
    worker_group_free(other);
    g_assert_cmpint(ran, ==, 10);
    gate_open_when(&gate, 2);
    worker_group_free(group);
    g_assert_cmpint(gate.waiting, ==, 6);
    gate_clear(&gate);
}

static void *
run_groups(void *data)
{
    for (int round = 0; round < 100; round++) {
        atomic_int ran = 0;
        WorkerGroup *group = worker_group_new(data, (guint)round % 4);
        for (int i = 0; i < 20; i++)
            worker_group_push(group, count, &ran);
        worker_group_free(group);
        g_assert_cmpint(ran, ==, 20);
    }
    return NULL;
}

/* Groups are made, waited for and freed at once on one small pool: their memory is gone right afterwards. */
static void
test_groups_side_by_side(void)
{
    g_autoptr(WorkerPool) pool = worker_pool_new(POOL_NAME, 3);
    pthread_t threads[4];
    for (gsize i = 0; i < G_N_ELEMENTS(threads); i++)
        threads[i] = start(run_groups, pool);
    for (gsize i = 0; i < G_N_ELEMENTS(threads); i++)
        pthread_join(threads[i], NULL);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/lock/condition-deadline", test_condition_deadline);
    g_test_add_func("/lock/condition-wakes", test_condition_wakes_before_the_deadline);
    g_test_add_func("/task-queue/order", test_task_queue);
    g_test_add_func("/worker-pool/everything-runs", test_everything_runs);
    g_test_add_func("/worker-pool/free", test_free_runs_the_rest);
    g_test_add_func("/worker-pool/order", test_order_of_one_thread);
    g_test_add_func("/worker-pool/limit", test_threads_up_to_the_limit);
    g_test_add_func("/worker-pool/warmest-first", test_warmest_thread_first);
    g_test_add_func("/worker-pool/idle", test_idle_threads_end);
    g_test_add_func("/worker-pool/signals", test_signals_are_not_for_workers);
    g_test_add_func("/worker-pool/start-fails", test_threads_that_cannot_start);
    g_test_add_func("/worker-pool/current", test_current_pool);
    g_test_add_func("/worker-group/limit", test_group_limit_and_wait);
    g_test_add_func("/worker-group/last", test_group_waits_for_the_last);
    g_test_add_func("/worker-group/leaves-room", test_group_leaves_room);
    g_test_add_func("/worker-group/side-by-side", test_groups_side_by_side);
    return g_test_run();
}
