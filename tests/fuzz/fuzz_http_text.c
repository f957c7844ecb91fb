/* Texts of HTTP: dates, retry times, sizes, ETags, escapes, and metadata as header values. */
#include "drivers/s3/s3_headers.h"
#include "drivers/s3/s3_list.h"
#include "drivers/s3/s3_metadata.h"
#include "src/storage/http.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

void
fuzz_begin(void)
{
}

static void
check_retry_after(const char *text)
{
    g_auto(HttpResponse) response = {.headers = metadata_new()};
    g_hash_table_insert(response.headers, g_strdup("retry-after"), g_strdup(text));
    gint64 wait_us = http_response_get_retry_after_us(&response);
    g_assert_cmpint(wait_us, >=, 0);
    g_assert_cmpint(wait_us, <=, G_GINT64_CONSTANT(3600) * G_USEC_PER_SEC);
}

static void
check_escapes(const char *text)
{
    GString *escaped = g_string_new(NULL);
    http_append_escaped(escaped, text, -1, "/");
    g_assert_cmpuint(escaped->len, <=, 3 * strlen(text));
    g_assert_true(g_str_is_ascii(escaped->str));
    g_autofree char *back = s3_list_decode_key(escaped->str);
    g_assert_cmpstr(back, ==, text);
    g_string_free(escaped, TRUE);
    g_autofree char *decoded = s3_list_decode_key(text);
    if (decoded)
        g_assert_cmpuint(strlen(decoded), <=, strlen(text));
}

static void
check_etag(const char *text)
{
    g_autofree char *etag = s3_headers_dup_etag(text);
    if (!etag)
        return;
    g_assert_cmpstr(etag, !=, "");
    g_autofree char *quoted = s3_headers_quote_etag(etag);
    g_autofree char *back = s3_headers_dup_etag(quoted);
    g_assert_cmpstr(back, ==, etag);
}

static void
check_metadata(const char *text)
{
    g_autofree char *read = s3_metadata_decode(text);
    fuzz_check_utf8(read);
    g_autofree char *sent = s3_metadata_encode(read);
    g_assert_null(strpbrk(sent, "\r\n"));
    g_assert_true(g_str_is_ascii(sent));
    g_autofree char *back = s3_metadata_decode(sent);
    g_assert_cmpstr(back, ==, read);
}

void
fuzz_one(FuzzInput *input)
{
    g_autofree char *text = fuzz_take_text(input, '\0');
    gint64 time_ns = 0;
    guint64 size = 0;
    (void)http_parse_date(text, &time_ns);
    if (s3_headers_parse_size(text, &size))
        g_assert_cmpuint(size, <=, G_MAXINT64);
    check_retry_after(text);
    check_escapes(text);
    check_etag(text);
    check_metadata(text);
}
