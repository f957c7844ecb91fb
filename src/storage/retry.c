/* The decision to repeat: see retry.h. */
#include "src/storage/retry.h"

#include "src/base/error.h"

gboolean
retry_decide(const RetryMoment *moment, const GError *failure, gint64 *out_delay_us)
{
    if (!error_is_transient(failure))
        return FALSE;
    gint64 ceiling_us =
        error_is(failure, ERROR_THROTTLED) ? RETRY_FIRST_THROTTLED_DELAY_US : RETRY_FIRST_DELAY_US;
    for (guint i = 1; i < moment->failures && ceiling_us < RETRY_MAXIMUM_DELAY_US; i++)
        ceiling_us *= 2;
    ceiling_us = MIN(ceiling_us, RETRY_MAXIMUM_DELAY_US);
    gint64 delay_us = ceiling_us / 2 + (gint64)((double)ceiling_us / 2 * moment->random);
    delay_us = MAX(delay_us, error_get_retry_after_us(failure));
    if (delay_us >= moment->deadline_us - moment->now_us)
        return FALSE;
    *out_delay_us = delay_us;
    return TRUE;
}

gboolean
retry_may_have_happened(const GError *failure)
{
    return error_is(failure, ERROR_UNAVAILABLE) || error_is(failure, ERROR_TIMEOUT);
}
