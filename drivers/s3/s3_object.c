/* See s3_object.h. */
#include "drivers/s3/s3_object.h"

#include "drivers/s3/s3_condition.h"
#include "drivers/s3/s3_headers.h"
#include "drivers/s3/s3_verify.h"
#include "src/base/error.h"

#include <stdio.h>
#include <string.h>

static gboolean
read_whole_size(const HttpResponse *response, guint64 *out)
{
    /* GCS unpacks what is stored compressed and tells the real length beside. */
    const char *stored = http_response_get_header(response, "x-goog-stored-content-length");
    const char *length = http_response_get_header(response, "content-length");
    return s3_headers_parse_size(stored ? stored : length, out);
}

gboolean
s3_object_stat(DriverInstance *instance, Call *call, const char *container, const char *key, ObjectInfo *out,
               GError **error)
{
    S3 *s3 = (S3 *)instance;
    g_auto(S3Request) request = {0};
    g_auto(HttpResponse) response = {0};
    guint64 size_bytes = 0;
    s3_request_init(&request, "HEAD", container, key);
    s3_headers_add_access(s3, &request);
    s3_headers_add_customer_key(s3, &request);
    if (!s3_request_perform(s3, &request, call, &response, error))
        return FALSE;
    if (!read_whole_size(&response, &size_bytes))
        return s3_request_fail(s3, &request, error, "the reply has no Content-Length");
    s3_headers_read_info(&response, key, out);
    out->size_bytes = size_bytes;
    return TRUE;
}

/* "bytes FIRST-LAST/TOTAL", no byte more or less. */
static gboolean
parse_content_range(const char *text, guint64 *first, guint64 *last, guint64 *total)
{
    if (!text || g_ascii_strncasecmp(text, "bytes ", 6) != 0)
        return FALSE;
    g_auto(GStrv) parts = g_strsplit_set(text + 6, "-/", 4);
    return g_strv_length(parts) == 3 && s3_headers_parse_size(parts[0], first) &&
           s3_headers_parse_size(parts[1], last) && s3_headers_parse_size(parts[2], total);
}

typedef struct {
    guint64 offset;
    gsize length_bytes;
    const char *if_etag;
} Wanted;

/* What a 2xx to a range request must be: exactly the range, cut only by the end of the object. 200 is the
 * whole object, and is never taken for a range; only when the object is empty there is no difference. */
static gboolean
check_range(S3 *s3, const S3Request *request, const Wanted *wanted, const HttpResponse *response,
            guint64 *out_total, GError **error)
{
    guint64 first = 0, last = 0, length = 0;
    const char *range = http_response_get_header(response, "content-range");
    if (response->status == 200 &&
        s3_headers_parse_size(http_response_get_header(response, "content-length"), &length) && length == 0 &&
        response->buffer_length_bytes == 0) {
        *out_total = 0;
        return TRUE;
    }
    if (response->status != 206)
        return s3_request_fail(s3, request, error, "asked for a range, the reply is %d and not 206",
                               response->status);
    if (!parse_content_range(range, &first, &last, out_total))
        return s3_request_fail(s3, request, error, "206 with Content-Range \"%.60s\"", range ? range : "");
    guint64 end = MIN(wanted->offset + wanted->length_bytes, *out_total);
    if (first != wanted->offset || last + 1 != end || response->truncated ||
        response->buffer_length_bytes != end - wanted->offset)
        return s3_request_fail(s3, request, error,
                               "asked for bytes %" G_GUINT64_FORMAT "-%" G_GUINT64_FORMAT
                               ", got %" G_GSIZE_FORMAT " as \"%.60s\"",
                               wanted->offset, wanted->offset + wanted->length_bytes - 1,
                               response->buffer_length_bytes, range);
    return TRUE;
}

static gboolean
take_reply(S3 *s3, const S3Request *request, const Wanted *wanted, const HttpResponse *response,
           gsize *out_length_bytes, ObjectInfo *out_info, GError **error)
{
    guint64 total = 0;
    g_autofree char *etag = s3_headers_dup_etag(http_response_get_header(response, "etag"));
    if (wanted->if_etag && etag && strcmp(etag, wanted->if_etag) != 0) {
        g_autofree char *subject = s3_request_describe(s3, request);
        g_set_error(error, STORAGEFS_ERROR, ERROR_CHANGED, "%s: the object was replaced", subject);
        return FALSE;
    }
    if (!check_range(s3, request, wanted, response, &total, error))
        return FALSE;
    if (wanted->offset == 0 && total > 0 && response->buffer_length_bytes == total &&
        !s3_verify_whole(s3, request, response, request->buffer, response->buffer_length_bytes, error))
        return FALSE;
    *out_length_bytes = response->buffer_length_bytes;
    if (out_info) {
        s3_headers_read_info(response, request->key, out_info);
        out_info->size_bytes = total;
    }
    return TRUE;
}

gboolean
s3_object_read(DriverInstance *instance, Call *call, const char *container, const char *key, guint64 offset,
               gsize length_bytes, const char *if_etag, void *buffer, gsize *out_length_bytes,
               ObjectInfo *out_info, GError **error)
{
    S3 *s3 = (S3 *)instance;
    g_auto(S3Request) request = {0};
    g_auto(HttpResponse) response = {0};
    Wanted wanted = {offset, length_bytes, if_etag};
    if (length_bytes == 0 || length_bytes > DRIVER_MAX_READ_BYTES || offset > G_MAXINT64 - length_bytes) {
        g_set_error(error, STORAGEFS_ERROR, ERROR_BAD_ARGUMENT, "a range that cannot be read");
        return FALSE;
    }
    s3_request_init(&request, "GET", container, key);
    request.buffer = buffer;
    request.buffer_bytes = length_bytes;
    s3_headers_add_access(s3, &request);
    s3_headers_add_customer_key(s3, &request);
    if (offset == 0)
        s3_verify_ask(s3, &request);
    g_autofree char *range =
        g_strdup_printf("bytes=%" G_GUINT64_FORMAT "-%" G_GUINT64_FORMAT, offset, offset + length_bytes - 1);
    s3_request_add_header(&request, "Range", range);
    if (if_etag) {
        g_autofree char *quoted = s3_headers_quote_etag(if_etag);
        s3_request_add_header(&request, "If-Match", quoted);
    }
    g_autoptr(GError) why = NULL;
    if (s3_request_perform(s3, &request, call, &response, &why))
        return take_reply(s3, &request, &wanted, &response, out_length_bytes, out_info, error);
    if (request.failure.status == 416) {
        *out_length_bytes = 0;
        if (out_info)
            *out_info = (ObjectInfo){.key = g_strdup(key), .etag = g_strdup(if_etag)};
        return TRUE;
    }
    g_propagate_error(error, g_steal_pointer(&why));
    return FALSE;
}

gboolean
s3_object_write(DriverInstance *instance, Call *call, const char *container, const char *key,
                const ByteSource *source, const WriteOptions *options, ObjectInfo *out_info, GError **error)
{
    static const WriteOptions defaults;
    S3 *s3 = (S3 *)instance;
    g_auto(S3Request) request = {0};
    g_auto(HttpResponse) response = {0};
    if (source->size_bytes > s3->options->maximum_put_bytes) {
        g_set_error(error, STORAGEFS_ERROR, ERROR_TOO_LARGE, "%s: more than one request can carry", key);
        return FALSE;
    }
    s3_request_init(&request, "PUT", container, key);
    request.body = source;
    request.checksum = TRUE;
    if (!s3_headers_add_new_object(s3, &request, options ? options : &defaults, error) ||
        !s3_condition_perform(s3, &request, S3_WRITE_PUT, options, call, &response, error))
        return FALSE;
    if (out_info) {
        s3_headers_read_info(&response, key, out_info);
        g_clear_pointer(&out_info->metadata, g_hash_table_unref);
        g_clear_pointer(&out_info->content_type, g_free);
        out_info->size_bytes = source->size_bytes;
    }
    return TRUE;
}

gboolean
s3_object_delete(DriverInstance *instance, Call *call, const char *container, const char *key,
                 const char *if_etag, GError **error)
{
    S3 *s3 = (S3 *)instance;
    g_auto(S3Request) request = {0};
    g_auto(HttpResponse) response = {0};
    g_autoptr(GError) why = NULL;
    WriteOptions options = {.if_etag = if_etag};
    s3_request_init(&request, "DELETE", container, key);
    s3_headers_add_access(s3, &request);
    gboolean done = s3_condition_perform(s3, &request, S3_WRITE_DELETE, &options, call, &response, &why);
    /* Gone already; but a container that is missing is an error. */
    if (done || s3_error_has_code(&request.failure, "NoSuchKey"))
        return TRUE;
    g_propagate_error(error, g_steal_pointer(&why));
    return FALSE;
}

gboolean
s3_object_sign_url(DriverInstance *instance, const char *container, const char *key, guint lifetime_s,
                   char **out_url, GError **error)
{
    S3 *s3 = (S3 *)instance;
    return s3_request_sign_url(s3, container, key, lifetime_s ? lifetime_s : s3->options->url_lifetime_s,
                               out_url, error);
}
