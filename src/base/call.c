/* A Call: atomics for what is asked often, one lock for the wake functions and the sleepers.
 *
 * Wake functions run without the lock, so they may take locks of their own; `running_id` lets
 * call_remove_wake() wait for the one that runs. A child is cancelled by a wake function that it keeps with
 * its parent.
 */
#include "src/base/call.h"

#include "src/base/error.h"
#include "src/base/lock.h"

#include <stdatomic.h>

typedef struct {
    guint id;
    CallWake wake;
    gpointer data;
} WakeEntry;

struct Call {
    atomic_uint references;
    atomic_bool cancelled;
    gint64 deadline_us, patience_us;
    guint64 number;
    Call *parent; /* NULL, or a reference */
    guint parent_wake_id;
    Lock lock;         /* guards all below */
    Condition changed; /* cancelled, or a wake function has ended */
    GArray *wakes;     /* of WakeEntry; NULL until the first */
    guint last_id;
    guint running_id; /* the entry that call_cancel() is running, 0 none */
};

static gint64
deadline_after(gint64 timeout_us)
{
    gint64 now_us = g_get_monotonic_time();
    if (timeout_us == 0 || timeout_us > G_MAXINT64 - now_us)
        return 0;
    return MAX(now_us + MAX(timeout_us, -now_us), 1);
}

Call *
call_new(gint64 timeout_us)
{
    static _Atomic guint64 last_number;
    Call *call = g_new0(Call, 1);
    atomic_init(&call->references, 1);
    atomic_init(&call->cancelled, FALSE);
    call->deadline_us = deadline_after(timeout_us);
    call->patience_us = MAX(timeout_us, 0);
    call->number = atomic_fetch_add_explicit(&last_number, 1, memory_order_relaxed) + 1;
    lock_init(&call->lock);
    condition_init(&call->changed);
    return call;
}

Call *
call_ref(Call *call)
{
    if (call)
        atomic_fetch_add_explicit(&call->references, 1, memory_order_relaxed);
    return call;
}

void
call_unref(Call *call)
{
    if (!call || atomic_fetch_sub_explicit(&call->references, 1, memory_order_acq_rel) != 1)
        return;
    /* First, because the parent may be cancelling this call right now. */
    call_remove_wake(call->parent, call->parent_wake_id);
    call_unref(call->parent);
    if (call->wakes)
        g_array_unref(call->wakes);
    condition_clear(&call->changed);
    lock_clear(&call->lock);
    g_free(call);
}

static void
cancel_child(gpointer data)
{
    call_cancel(data);
}

static void
follow(Call *child, Call *parent)
{
    child->parent = call_ref(parent);
    if (parent)
        child->patience_us = parent->patience_us;
    child->parent_wake_id = call_add_wake(parent, cancel_child, child);
}

Call *
call_new_child(Call *parent, gint64 timeout_us)
{
    Call *child = call_new(timeout_us);
    if (parent && parent->deadline_us && (!child->deadline_us || parent->deadline_us < child->deadline_us))
        child->deadline_us = parent->deadline_us;
    follow(child, parent);
    return child;
}

Call *
call_new_without_deadline(Call *parent)
{
    Call *child = call_new(0);
    follow(child, parent);
    return child;
}

void
call_cancel(Call *call)
{
    if (!call)
        return;
    lock_acquire(&call->lock);
    if (!atomic_exchange(&call->cancelled, TRUE)) {
        condition_wake_all(&call->changed);
        while (call->wakes && call->wakes->len > 0) {
            WakeEntry entry = g_array_index(call->wakes, WakeEntry, 0);
            g_array_remove_index(call->wakes, 0);
            call->running_id = entry.id;
            lock_release(&call->lock);
            entry.wake(entry.data);
            lock_acquire(&call->lock);
            call->running_id = 0;
            condition_wake_all(&call->changed);
        }
    }
    lock_release(&call->lock);
}

gboolean
call_is_cancelled(Call *call)
{
    return call && atomic_load_explicit(&call->cancelled, memory_order_acquire);
}

gint64
call_get_deadline_us(Call *call)
{
    return call ? call->deadline_us : 0;
}

gint64
call_get_remaining_us(Call *call)
{
    if (!call || !call->deadline_us)
        return G_MAXINT64;
    return MAX(call->deadline_us - g_get_monotonic_time(), 0);
}

gint64
call_get_patience_us(Call *call)
{
    return call ? call->patience_us : 0;
}

guint64
call_get_number(Call *call)
{
    return call ? call->number : 0;
}

gboolean
call_check(Call *call, GError **error)
{
    if (call_is_cancelled(call)) {
        g_set_error_literal(error, STORAGEFS_ERROR, ERROR_CANCELLED, "interrupted");
        return FALSE;
    }
    if (call_get_remaining_us(call) == 0) {
        g_set_error_literal(error, STORAGEFS_ERROR, ERROR_TIMEOUT, "timed out");
        return FALSE;
    }
    return TRUE;
}

gboolean
call_sleep(Call *call, gint64 delay_us, GError **error)
{
    if (!call) {
        if (delay_us > 0)
            g_usleep((gulong)delay_us);
        return TRUE;
    }
    gint64 now_us = g_get_monotonic_time();
    gint64 end_us = now_us + CLAMP(delay_us, 0, G_MAXINT64 - now_us);
    gint64 until_us = call->deadline_us ? MIN(end_us, call->deadline_us) : end_us;
    lock_acquire(&call->lock);
    while (!call_is_cancelled(call) && g_get_monotonic_time() < until_us)
        condition_wait(&call->changed, &call->lock, until_us);
    lock_release(&call->lock);
    return call_check(call, error);
}

guint
call_add_wake(Call *call, CallWake wake, gpointer data)
{
    if (!call)
        return 0;
    lock_acquire(&call->lock);
    guint id = ++call->last_id;
    gboolean at_once = call_is_cancelled(call);
    if (!at_once) {
        WakeEntry entry = {id, wake, data};
        if (!call->wakes)
            call->wakes = g_array_new(FALSE, FALSE, sizeof(WakeEntry));
        g_array_append_val(call->wakes, entry);
    }
    lock_release(&call->lock);
    if (at_once)
        wake(data);
    return id;
}

void
call_remove_wake(Call *call, guint id)
{
    if (!call || id == 0)
        return;
    lock_acquire(&call->lock);
    for (guint i = 0; call->wakes && i < call->wakes->len; i++) {
        if (g_array_index(call->wakes, WakeEntry, i).id == id) {
            g_array_remove_index(call->wakes, i);
            break;
        }
    }
    while (call->running_id == id)
        condition_wait(&call->changed, &call->lock, 0);
    lock_release(&call->lock);
}
