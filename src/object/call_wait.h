/* Waiting on a condition in a way that the Call's cancellation ends.
 *
 * The order matters, because call_add_wake() may run the wake function at once:
 *
 *     call_wait_begin(&wait, call, &lock, &condition);     lock not held
 *     lock_acquire(&lock);
 *     while (!what_is_waited_for && call_wait_next(&wait, error)) continue;
 *     lock_release(&lock);
 *     call_wait_end(&wait);
 */
#pragma once

#include "src/base/call.h"
#include "src/base/lock.h"

#include <glib.h>

typedef struct {
    Call *call;
    Lock *lock;
    Condition *condition;
    guint wake_id;
} CallWait;

/* call may be NULL. */
void call_wait_begin(CallWait *wait, Call *call, Lock *lock, Condition *condition);
/* Sleeps once with the lock held. FALSE when the call has ended. Fails: CANCELLED, TIMEOUT. */
gboolean call_wait_next(CallWait *wait, GError **error) LOCK_ANNOTATION(no_thread_safety_analysis);
void call_wait_end(CallWait *wait);
