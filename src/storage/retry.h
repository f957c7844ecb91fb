/* Whether a failed request is repeated, and when: a pure decision, so that tests need no clock.
 *
 * The back-off doubles from failure to failure up to a limit; half of each delay is random, so that clients
 * which failed together do not come back together. What the service asks for (Retry-After) is obeyed.
 */
#pragma once

#include <glib.h>

#define RETRY_FIRST_DELAY_US (20 * 1000)
#define RETRY_FIRST_THROTTLED_DELAY_US (200 * 1000)
#define RETRY_MAXIMUM_DELAY_US (5 * G_USEC_PER_SEC)

typedef struct {
    guint failures;             /* so far, with this one: 1.. */
    gint64 now_us, deadline_us; /* of one clock */
    double random;              /* 0..1 */
} RetryMoment;

/* FALSE: give up, because the failure is not of the kind that passes or the next try would begin after the
 * deadline. */
gboolean retry_decide(const RetryMoment *moment, const GError *failure, gint64 *out_delay_us);

/* TRUE when a request that failed so may nevertheless have been carried out. */
gboolean retry_may_have_happened(const GError *failure);
