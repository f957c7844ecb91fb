#include "src/object/call_wait.h"

static void
wake(gpointer data)
{
    CallWait *wait = data;
    lock_acquire(wait->lock);
    condition_wake_all(wait->condition);
    lock_release(wait->lock);
}

void
call_wait_begin(CallWait *wait, Call *call, Lock *lock, Condition *condition)
{
    *wait = (CallWait){call, lock, condition, 0};
    wait->wake_id = call_add_wake(call, wake, wait);
}

gboolean
call_wait_next(CallWait *wait, GError **error)
{
    if (!call_check(wait->call, error))
        return FALSE;
    condition_wait(wait->condition, wait->lock, call_get_deadline_us(wait->call));
    return TRUE;
}

void
call_wait_end(CallWait *wait)
{
    call_remove_wake(wait->call, wait->wake_id);
}
