/* Calls: deadlines, cancellation from other threads, children, and wake functions that end when told. */
#include "src/base/call.h"
#include "src/base/error.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#define HOUR_US (3600 * (gint64)G_USEC_PER_SEC)
#define ROUNDS 2000

static void *
cancel_in_thread(void *data)
{
    call_cancel(data);
    return NULL;
}

static pthread_t
start(void *(*function)(void *), void *data)
{
    pthread_t thread;
    g_assert_cmpint(pthread_create(&thread, NULL, function, data), ==, 0);
    return thread;
}

static void
count_wake(gpointer data)
{
    atomic_fetch_add((atomic_int *)data, 1);
}

static void
test_null_never_ends(void)
{
    g_autoptr(GError) error = NULL;
    atomic_int count = 0;
    call_cancel(NULL);
    g_assert_false(call_is_cancelled(NULL));
    g_assert_true(call_check(NULL, &error));
    g_assert_true(call_sleep(NULL, 1, &error));
    g_assert_true(call_sleep(NULL, -1, &error));
    g_assert_cmpint(call_get_deadline_us(NULL), ==, 0);
    g_assert_cmpint(call_get_remaining_us(NULL), ==, G_MAXINT64);
    g_assert_cmpuint(call_get_number(NULL), ==, 0);
    g_assert_cmpuint(call_add_wake(NULL, count_wake, &count), ==, 0);
    call_remove_wake(NULL, 0);
    g_assert_null(call_ref(NULL));
    call_unref(NULL);
}

static void
test_patience(void)
{
    g_autoptr(Call) none = call_new(0);
    g_autoptr(Call) hour = call_new(HOUR_US);
    g_autoptr(Call) child = call_new_child(hour, 1);
    g_autoptr(Call) long_call = call_new_without_deadline(hour);
    g_autoptr(Call) part = call_new_child(long_call, 0);
    g_autoptr(Call) orphan = call_new_without_deadline(NULL);
    g_assert_cmpint(call_get_patience_us(NULL), ==, 0);
    g_assert_cmpint(call_get_patience_us(none), ==, 0);
    g_assert_cmpint(call_get_patience_us(orphan), ==, 0);
    g_assert_cmpint(call_get_patience_us(hour), ==, HOUR_US);
    g_assert_cmpint(call_get_patience_us(child), ==, HOUR_US);
    g_assert_cmpint(call_get_deadline_us(part), ==, 0);
    g_assert_cmpint(call_get_patience_us(part), ==, HOUR_US);
}

static void
test_deadline(void)
{
    g_autoptr(Call) none = call_new(0);
    g_assert_cmpint(call_get_deadline_us(none), ==, 0);
    g_assert_cmpint(call_get_remaining_us(none), ==, G_MAXINT64);
    g_autoptr(Call) longest = call_new(G_MAXINT64);
    g_assert_cmpint(call_get_remaining_us(longest), ==, G_MAXINT64);
    g_autoptr(Call) hour = call_new(HOUR_US);
    g_assert_cmpint(call_get_remaining_us(hour), >, 0);
    g_assert_cmpint(call_get_remaining_us(hour), <=, HOUR_US);
    g_assert_true(call_check(hour, NULL));
    g_assert_cmpuint(call_get_number(hour), !=, call_get_number(none));
    for (gint64 past = -1; past >= -2; past--) {
        g_autoptr(Call) ended = call_new(past == -1 ? past : G_MININT64);
        g_autoptr(GError) error = NULL;
        g_assert_cmpint(call_get_remaining_us(ended), ==, 0);
        g_assert_false(call_check(ended, &error));
        g_assert_true(error_is(error, ERROR_TIMEOUT));
    }
}

static void
test_sleep_ends_at_the_deadline(void)
{
    g_autoptr(Call) call = call_new(1000);
    g_autoptr(GError) error = NULL;
    g_assert_false(call_sleep(call, HOUR_US, &error));
    g_assert_true(error_is(error, ERROR_TIMEOUT));
    g_autoptr(Call) enough = call_new(HOUR_US);
    g_assert_true(call_sleep(enough, 1000, NULL));
}

/* Each sleeps for an hour unless the other thread's cancellation reaches it. */
static void
test_cancel_wakes_sleepers(void)
{
    for (int round = 0; round < 50; round++) {
        g_autoptr(Call) parent = call_new(0);
        g_autoptr(Call) middle = call_new_child(parent, HOUR_US);
        g_autoptr(Call) child = call_new_child(middle, 0);
        g_autoptr(GError) error = NULL;
        pthread_t thread = start(cancel_in_thread, parent);
        g_assert_false(call_sleep(round % 2 ? child : parent, HOUR_US, &error));
        g_assert_true(error_is(error, ERROR_CANCELLED));
        pthread_join(thread, NULL);
        g_assert_true(call_is_cancelled(child));
    }
}

static void
test_child_keeps_to_its_parent(void)
{
    g_autoptr(Call) parent = call_new(HOUR_US);
    g_autoptr(Call) longer = call_new_child(parent, 2 * HOUR_US);
    g_autoptr(Call) shorter = call_new_child(parent, HOUR_US / 2);
    g_autoptr(Call) same = call_new_child(parent, 0);
    g_autoptr(Call) orphan = call_new_child(NULL, 0);
    g_assert_cmpint(call_get_deadline_us(longer), ==, call_get_deadline_us(parent));
    g_assert_cmpint(call_get_deadline_us(same), ==, call_get_deadline_us(parent));
    g_assert_cmpint(call_get_deadline_us(shorter), <, call_get_deadline_us(parent));
    g_assert_cmpint(call_get_deadline_us(orphan), ==, 0);
    call_cancel(shorter);
    g_assert_false(call_is_cancelled(parent));
    call_cancel(parent);
    g_assert_true(call_is_cancelled(longer));
    g_autoptr(Call) late = call_new_child(parent, 0);
    g_assert_true(call_is_cancelled(late));
}

static void
test_call_without_deadline_is_cancelled_with_its_parent(void)
{
    g_autoptr(Call) parent = call_new(-1);
    g_autoptr(Call) child = call_new_without_deadline(parent);
    g_autoptr(Call) orphan = call_new_without_deadline(NULL);
    g_assert_false(call_check(parent, NULL));
    g_assert_cmpint(call_get_deadline_us(child), ==, 0);
    g_assert_true(call_check(child, NULL));
    call_cancel(parent);
    g_assert_true(call_is_cancelled(child));
    g_assert_true(call_check(orphan, NULL));
}

static void
test_wake_runs_once(void)
{
    g_autoptr(Call) call = call_new(0);
    atomic_int kept = 0, removed = 0, late = 0;
    guint kept_id = call_add_wake(call, count_wake, &kept);
    guint removed_id = call_add_wake(call, count_wake, &removed);
    g_assert_cmpuint(kept_id, >, 0);
    g_assert_cmpuint(removed_id, !=, kept_id);
    call_remove_wake(call, removed_id);
    call_cancel(call);
    call_cancel(call);
    guint late_id = call_add_wake(call, count_wake, &late);
    g_assert_cmpuint(late_id, >, 0);
    call_remove_wake(call, kept_id);
    call_remove_wake(call, late_id);
    g_assert_cmpint(kept, ==, 1);
    g_assert_cmpint(removed, ==, 0);
    g_assert_cmpint(late, ==, 1);
}

typedef struct {
    atomic_bool is_inside;
    int unguarded; /* only TSan sees a wake function that runs after its removal */
} Waker;

static void
touch_waker(gpointer data)
{
    Waker *waker = data;
    atomic_store(&waker->is_inside, TRUE);
    sched_yield();
    waker->unguarded++;
    atomic_store(&waker->is_inside, FALSE);
}

static void
test_removed_wake_is_over(void)
{
    for (int round = 0; round < ROUNDS; round++) {
        g_autoptr(Call) call = call_new(0);
        Waker *wakers[3];
        guint ids[G_N_ELEMENTS(wakers)];
        for (gsize i = 0; i < G_N_ELEMENTS(wakers); i++) {
            wakers[i] = g_new0(Waker, 1);
            ids[i] = call_add_wake(call, touch_waker, wakers[i]);
        }
        pthread_t thread = start(cancel_in_thread, call);
        for (gsize i = 0; i < G_N_ELEMENTS(wakers); i++) {
            call_remove_wake(call, ids[i]);
            g_assert_false(atomic_load(&wakers[i]->is_inside));
            g_assert_cmpint(wakers[i]->unguarded, <=, 1);
            g_free(wakers[i]);
        }
        pthread_join(thread, NULL);
    }
}

static void *
make_children(void *data)
{
    for (int i = 0; i < 20; i++) {
        g_autoptr(Call) child = call_new_child(data, HOUR_US);
        g_autoptr(Call) grandchild = call_new_child(child, 0);
        atomic_int count = 0;
        guint id = call_add_wake(grandchild, count_wake, &count);
        gboolean was_cancelled = call_is_cancelled(data) && call_is_cancelled(grandchild);
        call_remove_wake(grandchild, id);
        g_assert_true(!was_cancelled || count <= 1);
    }
    call_unref(data);
    return NULL;
}

/* Children come and go while their parent is cancelled; whoever is last frees. */
static void
test_children_against_cancel(void)
{
    for (int round = 0; round < ROUNDS / 10; round++) {
        Call *parent = call_new(0);
        pthread_t makers[2];
        for (gsize i = 0; i < G_N_ELEMENTS(makers); i++)
            makers[i] = start(make_children, call_ref(parent));
        pthread_t canceller = start(cancel_in_thread, parent);
        pthread_join(canceller, NULL);
        call_unref(parent);
        for (gsize i = 0; i < G_N_ELEMENTS(makers); i++)
            pthread_join(makers[i], NULL);
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/call/null", test_null_never_ends);
    g_test_add_func("/call/patience", test_patience);
    g_test_add_func("/call/deadline", test_deadline);
    g_test_add_func("/call/sleep", test_sleep_ends_at_the_deadline);
    g_test_add_func("/call/cancel-wakes", test_cancel_wakes_sleepers);
    g_test_add_func("/call/child", test_child_keeps_to_its_parent);
    g_test_add_func("/call/without-deadline", test_call_without_deadline_is_cancelled_with_its_parent);
    g_test_add_func("/call/wake-once", test_wake_runs_once);
    g_test_add_func("/call/wake-removed", test_removed_wake_is_over);
    g_test_add_func("/call/children-against-cancel", test_children_against_cancel);
    return g_test_run();
}
