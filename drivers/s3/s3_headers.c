/* See s3_headers.h. */
#include "drivers/s3/s3_headers.h"

#include "drivers/s3/s3_endpoint.h"
#include "drivers/s3/s3_metadata.h"
#include "src/base/error.h"

#include <string.h>

#define CUSTOMER "server-side-encryption-customer-"

void
s3_headers_add_access(const S3 *s3, S3Request *request)
{
    if (s3->options->requester_pays)
        s3_request_add_header(request, "x-amz-request-payer", "requester");
}

static void
add_customer_headers(const S3 *s3, S3Request *request, const char *prefix)
{
    const char *values[] = {"AES256", s3->options->customer_key_base64, s3->options->customer_key_md5_base64};
    static const char *const names[] = {"algorithm", "key", "key-MD5"};
    for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *name = g_strconcat(prefix, CUSTOMER, names[i], NULL);
        s3_request_add_header(request, name, values[i]);
    }
}

void
s3_headers_add_customer_key(const S3 *s3, S3Request *request)
{
    if (s3->options->encryption == S3_ENCRYPTION_CUSTOMER)
        add_customer_headers(s3, request, "x-amz-");
}

static void
add_encryption(const S3 *s3, S3Request *request)
{
    const S3Options *options = s3->options;
    if (options->encryption == S3_ENCRYPTION_S3)
        s3_request_add_header(request, "x-amz-server-side-encryption", "AES256");
    if (options->encryption == S3_ENCRYPTION_KMS) {
        s3_request_add_header(request, "x-amz-server-side-encryption", "aws:kms");
        if (options->kms_key_id)
            s3_request_add_header(request, "x-amz-server-side-encryption-aws-kms-key-id",
                                  options->kms_key_id);
        if (options->bucket_key)
            s3_request_add_header(request, "x-amz-server-side-encryption-bucket-key-enabled", "true");
    }
    s3_headers_add_customer_key(s3, request);
}

gboolean
s3_headers_add_new_object(const S3 *s3, S3Request *request, const WriteOptions *options, GError **error)
{
    const char *type = options ? options->content_type : NULL;
    const char *storage_class =
        options && options->storage_class ? options->storage_class : s3->options->storage_class;
    if (options) {
        s3_request_add_header(request, "Content-Type", type ? type : "application/octet-stream");
        if (!s3_metadata_append_headers(options->metadata, s3->options->preset, request->headers, error))
            return FALSE;
    }
    if (storage_class)
        s3_request_add_header(request, "x-amz-storage-class", storage_class);
    if (s3->options->acl)
        s3_request_add_header(request, "x-amz-acl", s3->options->acl);
    add_encryption(s3, request);
    s3_headers_add_access(s3, request);
    return TRUE;
}

void
s3_headers_add_copy_source(const S3 *s3, S3Request *request, const CopySource *source)
{
    g_autofree char *place = s3_endpoint_resource(source->container, source->key);
    request->works_long = TRUE;
    s3_request_add_header(request, "x-amz-copy-source", place);
    if (source->if_etag) {
        g_autofree char *quoted = s3_headers_quote_etag(source->if_etag);
        s3_request_add_header(request, "x-amz-copy-source-if-match", quoted);
    }
    if (s3->options->encryption == S3_ENCRYPTION_CUSTOMER)
        add_customer_headers(s3, request, "x-amz-copy-source-");
}

char *
s3_headers_dup_etag(const char *text)
{
    if (!text)
        return NULL;
    if (g_str_has_prefix(text, "W/"))
        text += 2;
    gsize length = strlen(text);
    if (length >= 2 && text[0] == '"' && text[length - 1] == '"')
        return length > 2 ? g_strndup(text + 1, length - 2) : NULL;
    return length > 0 ? g_strdup(text) : NULL;
}

char *
s3_headers_quote_etag(const char *etag)
{
    return g_strconcat("\"", etag, "\"", NULL);
}

gboolean
s3_headers_parse_size(const char *text, guint64 *out)
{
    return text && g_ascii_isdigit(*text) && g_ascii_string_to_unsigned(text, 10, 0, G_MAXINT64, out, NULL);
}

void
s3_headers_read_info(const HttpResponse *response, const char *key, ObjectInfo *out)
{
    const char *modified = http_response_get_header(response, "last-modified");
    const char *version = http_response_get_header(response, "x-amz-version-id");
    gboolean versioned = version && *version && strcmp(version, "null") != 0;
    *out = (ObjectInfo){.key = g_strdup(key),
                        .etag = s3_headers_dup_etag(http_response_get_header(response, "etag")),
                        .version = versioned ? g_strdup(version) : NULL,
                        .storage_class = g_strdup(http_response_get_header(response, "x-amz-storage-class")),
                        .content_type = g_strdup(http_response_get_header(response, "content-type")),
                        .metadata = s3_metadata_from_headers(response->headers)};
    if (modified)
        (void)http_parse_date(modified, &out->mtime_ns);
}
