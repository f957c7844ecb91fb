/* The condition of lock.h, on the monotonic clock: setting the time of day neither ends nor prolongs a wait.
 */
#include "src/base/lock.h"

#include <errno.h>
#include <time.h>

void
condition_init(Condition *condition)
{
    pthread_condattr_t attributes;
    int status = pthread_condattr_init(&attributes);
    g_assert(status == 0);
    status = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    g_assert(status == 0);
    status = pthread_cond_init(&condition->cond, &attributes);
    g_assert(status == 0);
    pthread_condattr_destroy(&attributes);
}

void
condition_clear(Condition *condition)
{
    int status = pthread_cond_destroy(&condition->cond);
    g_assert(status == 0);
}

void
condition_wake_one(Condition *condition)
{
    pthread_cond_signal(&condition->cond);
}

void
condition_wake_all(Condition *condition)
{
    pthread_cond_broadcast(&condition->cond);
}

gboolean
condition_wait(Condition *condition, Lock *lock, gint64 deadline_us)
{
    int status;
    if (deadline_us <= 0) {
        status = pthread_cond_wait(&condition->cond, &lock->mutex);
    } else {
        struct timespec until = {.tv_sec = deadline_us / G_USEC_PER_SEC,
                                 .tv_nsec = deadline_us % G_USEC_PER_SEC * 1000};
        status = pthread_cond_timedwait(&condition->cond, &lock->mutex, &until);
    }
    g_assert(status == 0 || status == ETIMEDOUT);
    return status == 0;
}
