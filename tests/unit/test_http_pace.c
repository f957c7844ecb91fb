/* http_pace.h, with clocks that the test turns. */
#include "src/storage/http_pace.h"

#include "src/base/error.h"

#include <string.h>

#define S ((gint64)G_USEC_PER_SEC)
#define LIMIT (3 * S)

/* Bytes come one at a time, each after `step_us`, `bytes` in all; gives when the pace had enough, 0 never. */
static gint64
crawl(HttpPace *pace, HttpPhase phase, gsize at_once, gint64 step_us, guint steps, gint64 *now_us)
{
    gint64 begun_us = *now_us;
    for (guint i = 0; i < steps; i++) {
        g_autoptr(GError) error = NULL;
        http_pace_note(pace, phase, at_once);
        gint64 end_us = http_pace_get_end_us(pace);
        if (!http_pace_check(pace, pace->seen + 1, *now_us, &error)) {
            g_assert_error(error, STORAGEFS_ERROR, ERROR_TIMEOUT);
            g_assert_cmpint(end_us, <=, *now_us);
            return *now_us - begun_us;
        }
        *now_us += step_us;
    }
    return 0;
}

static void
test_phases(void)
{
    static const struct {
        HttpPhase phase;
        gsize at_once; /* each second */
        gint64 lasts_s;
    } cases[] = {
        {HTTP_PACE_SENDING, 1, 3},    {HTTP_PACE_SENDING, 512, 6},  {HTTP_PACE_SENDING, 1024, 0},
        {HTTP_PACE_SENT, 1, 0},       {HTTP_PACE_INTERIM, 1, 120},  {HTTP_PACE_HEADERS, 4, 3},
        {HTTP_PACE_HEADERS, 9999, 3}, {HTTP_PACE_BLANKS, 1, 120},   {HTTP_PACE_BODY, 4, 3},
        {HTTP_PACE_BODY, 2048, 0},    {HTTP_PACE_WORKING, 4, 120},  {HTTP_PACE_WORKING, 9999, 120},
        {HTTP_PACE_REFUSAL, 4, 3},    {HTTP_PACE_REFUSAL, 9999, 3},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        HttpPace pace;
        gint64 now_us = 1000 * S;
        http_pace_begin(&pace, LIMIT, now_us);
        gint64 lasted_us = crawl(&pace, cases[i].phase, cases[i].at_once, S, 1000, &now_us);
        g_test_message("phase %d, %zu bytes/s: %" G_GINT64_FORMAT, (int)cases[i].phase, cases[i].at_once,
                       lasted_us);
        g_assert_cmpint(lasted_us, >=, cases[i].lasts_s * S);
        g_assert_cmpint(lasted_us, <=, (cases[i].lasts_s + 1) * S * (cases[i].lasts_s > 0));
    }
}

static void
test_each_phase_begins_anew(void)
{
    HttpPace pace;
    gint64 now_us = 1000 * S;
    http_pace_begin(&pace, LIMIT, now_us);
    for (int phase = HTTP_PACE_SENDING; phase <= HTTP_PACE_BODY; phase++)
        g_assert_cmpint(crawl(&pace, (HttpPhase)phase, 1, S, 2, &now_us), ==, 0);
    /* What belongs to an earlier phase changes nothing. */
    g_assert_cmpint(crawl(&pace, HTTP_PACE_BLANKS, 1, S, 9, &now_us), >, 0);
    http_pace_restart(&pace);
    g_assert_cmpint(crawl(&pace, HTTP_PACE_SENDING, 1, S, 2, &now_us), ==, 0);
}

static void
test_silence(void)
{
    HttpPace pace, endless;
    g_autoptr(GError) error = NULL;
    http_pace_begin(&pace, LIMIT, 1000 * S);
    http_pace_begin(&endless, 0, 1000 * S);
    g_assert_true(http_pace_check(&pace, 0, 1002 * S, NULL));
    g_assert_cmpint(http_pace_get_end_us(&pace), ==, 1003 * S);
    g_assert_false(http_pace_check(&pace, 0, 1003 * S, &error));
    g_assert_error(error, STORAGEFS_ERROR, ERROR_TIMEOUT);
    g_assert_nonnull(strstr(error->message, "nothing"));
    http_pace_note(&endless, HTTP_PACE_HEADERS, 1);
    g_assert_true(http_pace_check(&endless, 0, 999999 * S, NULL));
    g_assert_cmpint(http_pace_get_end_us(&endless), ==, G_MAXINT64);
}

static void
test_blanks(void)
{
    static const char *const blank[] = {
        "",           " ", "\r\n", "<", "<?xm", "<?xml", " <?xml version=\"1.0\"", "<?xml version=\"1.0\"?>",
        "<?xml?>  \n"};
    static const char *const others[] = {"x", " x", "<a", "<?xmk", "<?xml?>x", "<?xml?> <Done/>", "<Done"};
    for (gsize i = 0; i < G_N_ELEMENTS(blank); i++)
        g_assert_true(http_pace_is_blank(blank[i], strlen(blank[i])));
    for (gsize i = 0; i < G_N_ELEMENTS(others); i++)
        g_assert_false(http_pace_is_blank(others[i], strlen(others[i])));
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/http-pace/phases", test_phases);
    g_test_add_func("/http-pace/each-phase-begins-anew", test_each_phase_begins_anew);
    g_test_add_func("/http-pace/silence", test_silence);
    g_test_add_func("/http-pace/blanks", test_blanks);
    return g_test_run();
}
