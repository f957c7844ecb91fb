/* The mutex of lock.h; its condition is in condition.c.
 *
 * A pthread call can only fail here for a mutex that was never made or is not held: programming errors.
 */
#include "src/base/lock.h"

void
lock_init(Lock *lock)
{
    int status = pthread_mutex_init(&lock->mutex, NULL);
    g_assert(status == 0);
}

void
lock_clear(Lock *lock)
{
    int status = pthread_mutex_destroy(&lock->mutex);
    g_assert(status == 0);
}

UNCHECKED void
lock_acquire(Lock *lock)
{
    int status = pthread_mutex_lock(&lock->mutex);
    g_assert(status == 0);
}

UNCHECKED void
lock_release(Lock *lock)
{
    int status = pthread_mutex_unlock(&lock->mutex);
    g_assert(status == 0);
}
