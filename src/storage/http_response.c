/* What came back: reading and freeing an HttpResponse. */
#include "src/storage/http.h"

#include <string.h>

#define MAXIMUM_RETRY_AFTER_S 3600

void
http_response_clear(HttpResponse *response)
{
    g_clear_pointer(&response->headers, g_hash_table_unref);
    g_clear_pointer(&response->body, g_byte_array_unref);
    *response = (HttpResponse){0};
}

const char *
http_response_get_header(const HttpResponse *response, const char *lower_case_name)
{
    return response->headers ? g_hash_table_lookup(response->headers, lower_case_name) : NULL;
}

gint64
http_response_get_retry_after_us(const HttpResponse *response)
{
    const char *text = http_response_get_header(response, "retry-after");
    if (!text)
        return 0;
    guint64 seconds = 0;
    if (g_ascii_string_to_unsigned(text, 10, 0, G_MAXUINT64, &seconds, NULL))
        return (gint64)MIN(seconds, MAXIMUM_RETRY_AFTER_S) * G_USEC_PER_SEC;
    /* More digits than fit a number is as far away as a number can be. */
    if (*text && strspn(text, "0123456789") == strlen(text))
        return MAXIMUM_RETRY_AFTER_S * (gint64)G_USEC_PER_SEC;
    gint64 when_ns = 0;
    if (!http_parse_date(text, &when_ns))
        return 0;
    return CLAMP(when_ns / 1000 - g_get_real_time(), 0, MAXIMUM_RETRY_AFTER_S * (gint64)G_USEC_PER_SEC);
}
