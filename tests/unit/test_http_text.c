/* Percent-encoding, dates and Retry-After. */
#include "src/storage/http.h"

static void
test_escape(void)
{
    g_autoptr(GString) all = g_string_new("x=");
    g_autoptr(GString) kept = g_string_new(NULL);
    http_append_escaped(all, "aZ09-._~/ %\xc3\xa9\n", -1, NULL);
    g_assert_cmpstr(all->str, ==, "x=aZ09-._~%2F%20%25%C3%A9%0A");
    http_append_escaped(kept, "a/b\0c!", 6, "/");
    g_assert_cmpstr(kept->str, ==, "a/b%00c%21");
}

static void
test_dates(void)
{
    static const struct {
        const char *text;
        gint64 ns;
    } good[] = {
        {"Sun, 06 Nov 1994 08:49:37 GMT", 784111777000000000},
        {"Sunday, 06-Nov-94 08:49:37 GMT", 784111777000000000},
        {"Sun Nov  6 08:49:37 1994", 784111777000000000},
        {"1994-11-06T08:49:37Z", 784111777000000000},
        {"1994-11-06T08:49:37.000Z", 784111777000000000},
        {"1994-11-06T08:49:37.123456789Z", 784111777123456789},
        {"1994-11-06T08:49:37.1234567891Z", 784111777123456789},
        {"1994-11-06T08:49:37", 784111777000000000},
        {"1994-11-06 09:49:37+01:00", 784111777000000000},
        {"1994-11-06T07:19:37-0130", 784111777000000000},
        {"1970-01-01T00:00:00Z", 0},
        {"1969-12-31T23:59:59.5Z", -500000000},
        {"2016-12-31T23:59:60Z", 1483228799000000000},
    };
    static const char *const bad[] = {"",
                                      "now",
                                      "1994",
                                      "19941106T084937Z",
                                      "1994-13-06T08:49:37Z",
                                      "1994-11-06T08:49:37X",
                                      "1994-11-06T08:49:37+25:00",
                                      "1994-11-06T08:49",
                                      "9999-12-31T23:59:59Z",
                                      "-1"};
    for (guint i = 0; i < G_N_ELEMENTS(good); i++) {
        gint64 ns = 1;
        g_test_message("%s", good[i].text);
        g_assert_true(http_parse_date(good[i].text, &ns));
        g_assert_cmpint(ns, ==, good[i].ns);
    }
    for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
        gint64 ns = 1;
        g_test_message("%s", bad[i]);
        g_assert_false(http_parse_date(bad[i], &ns));
        g_assert_cmpint(ns, ==, 1);
    }
}

static gint64
get_retry_after(const char *value)
{
    g_auto(HttpResponse) response = {.headers = g_hash_table_new(g_str_hash, g_str_equal)};
    if (value)
        g_hash_table_insert(response.headers, (char *)"retry-after", (char *)value);
    return http_response_get_retry_after_us(&response);
}

static void
test_retry_after(void)
{
    g_assert_cmpint(get_retry_after(NULL), ==, 0);
    g_assert_cmpint(get_retry_after("0"), ==, 0);
    g_assert_cmpint(get_retry_after("7"), ==, 7 * G_USEC_PER_SEC);
    g_assert_cmpint(get_retry_after("99999"), ==, (gint64)3600 * G_USEC_PER_SEC);
    g_assert_cmpint(get_retry_after("999999999999999999999999"), ==, (gint64)3600 * G_USEC_PER_SEC);
    g_assert_cmpint(get_retry_after("soon"), ==, 0);
    g_assert_cmpint(get_retry_after(""), ==, 0);
    g_assert_cmpint(get_retry_after("-5"), ==, 0);
    g_assert_cmpint(get_retry_after("Sun, 06 Nov 1994 08:49:37 GMT"), ==, 0);
    g_assert_cmpint(get_retry_after("Sun, 06 Nov 2150 08:49:37 GMT"), ==, (gint64)3600 * G_USEC_PER_SEC);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/http-text/escape", test_escape);
    g_test_add_func("/http-text/dates", test_dates);
    g_test_add_func("/http-text/retry-after", test_retry_after);
    return g_test_run();
}
