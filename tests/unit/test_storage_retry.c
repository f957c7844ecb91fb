/* The decision to repeat, with a clock that the test holds. */
#include "src/storage/retry.h"

#include "src/base/error.h"

static gboolean
decide(guint failures, gint64 now_us, gint64 deadline_us, double random, ErrorCode code,
       gint64 retry_after_us, gint64 *out_delay_us)
{
    RetryMoment moment = {failures, now_us, deadline_us, random};
    g_autoptr(GError) failure = g_error_new(STORAGEFS_ERROR, (int)code, "test");
    if (retry_after_us)
        error_set_retry_after_us(failure, retry_after_us);
    return retry_decide(&moment, failure, out_delay_us);
}

static void
test_only_transient_failures(void)
{
    for (int code = 0; code < ERROR_CODE_COUNT; code++) {
        gint64 delay_us = -1;
        gboolean transient = code == ERROR_TIMEOUT || code == ERROR_THROTTLED || code == ERROR_UNAVAILABLE;
        g_assert_true(decide(1, 0, G_MAXINT64, 0, (ErrorCode)code, 0, &delay_us) == transient);
        g_assert_true((delay_us >= 0) == transient);
    }
}

static void
test_delay_doubles_up_to_a_limit(void)
{
    gint64 before_us = 0;
    for (guint failures = 1; failures < 200; failures++) {
        gint64 low_us = 0, high_us = 0;
        g_assert_true(decide(failures, 0, G_MAXINT64, 0, ERROR_UNAVAILABLE, 0, &low_us));
        g_assert_true(decide(failures, 0, G_MAXINT64, 1, ERROR_UNAVAILABLE, 0, &high_us));
        g_assert_cmpint(low_us * 2, ==, high_us);
        g_assert_cmpint(high_us, ==,
                        failures == 1 ? RETRY_FIRST_DELAY_US : MIN(before_us * 2, RETRY_MAXIMUM_DELAY_US));
        before_us = high_us;
    }
    g_assert_cmpint(before_us, ==, RETRY_MAXIMUM_DELAY_US);
}

static void
test_throttled_waits_longer(void)
{
    gint64 delay_us = 0;
    g_assert_true(decide(1, 0, G_MAXINT64, 1, ERROR_THROTTLED, 0, &delay_us));
    g_assert_cmpint(delay_us, ==, RETRY_FIRST_THROTTLED_DELAY_US);
}

static void
test_retry_after_is_obeyed(void)
{
    gint64 delay_us = 0;
    g_assert_true(decide(1, 0, G_MAXINT64, 0.5, ERROR_THROTTLED, 7 * G_USEC_PER_SEC, &delay_us));
    g_assert_cmpint(delay_us, ==, 7 * G_USEC_PER_SEC);
    /* It never shortens the back-off. */
    g_assert_true(decide(20, 0, G_MAXINT64, 1, ERROR_UNAVAILABLE, 1, &delay_us));
    g_assert_cmpint(delay_us, ==, RETRY_MAXIMUM_DELAY_US);
}

static void
test_nothing_begins_after_the_deadline(void)
{
    gint64 delay_us = 0, deadline_us = 1000 * 1000;
    g_assert_true(
        decide(1, deadline_us - RETRY_FIRST_DELAY_US - 1, deadline_us, 1, ERROR_UNAVAILABLE, 0, &delay_us));
    g_assert_false(
        decide(1, deadline_us - RETRY_FIRST_DELAY_US, deadline_us, 1, ERROR_UNAVAILABLE, 0, &delay_us));
    g_assert_false(decide(1, deadline_us + 1, deadline_us, 0, ERROR_TIMEOUT, 0, &delay_us));
    g_assert_false(decide(1, 0, deadline_us, 0, ERROR_THROTTLED, 3600 * (gint64)G_USEC_PER_SEC, &delay_us));
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/storage-retry/only-transient-failures", test_only_transient_failures);
    g_test_add_func("/storage-retry/delay-doubles-up-to-a-limit", test_delay_doubles_up_to_a_limit);
    g_test_add_func("/storage-retry/throttled-waits-longer", test_throttled_waits_longer);
    g_test_add_func("/storage-retry/retry-after-is-obeyed", test_retry_after_is_obeyed);
    g_test_add_func("/storage-retry/nothing-begins-after-the-deadline",
                    test_nothing_begins_after_the_deadline);
    return g_test_run();
}
