/* See s3_multipart.h. Spec: "CreateMultipartUpload" and its kin in the Amazon S3 API Reference. */
#include "drivers/s3/s3_multipart.h"

#include "drivers/common/memory_source.h"
#include "drivers/common/xml.h"
#include "drivers/s3/s3_condition.h"
#include "drivers/s3/s3_copy.h"
#include "drivers/s3/s3_headers.h"
#include "src/base/error.h"

#include <string.h>

#define MAX_UPLOAD_ID_BYTES 4096u

static const XmlNode *
get_result(const XmlDocument *document, const char *name)
{
    const XmlNode *root = document ? xml_get_root(document) : NULL;
    return root && strcmp(root->name, name) == 0 ? root : NULL;
}

static XmlDocument *
parse(const HttpResponse *response)
{
    return xml_parse((const char *)response->body->data, response->body->len, NULL);
}

gboolean
s3_multipart_begin(DriverInstance *instance, Call *call, const char *container, const char *key,
                   const WriteOptions *options, char **out_upload_id, GError **error)
{
    static const WriteOptions defaults;
    S3 *s3 = (S3 *)instance;
    g_auto(S3Request) request = {0};
    g_auto(HttpResponse) response = {0};
    s3_request_init(&request, "POST", container, key);
    s3_request_add_parameter(&request, "uploads", "");
    if (s3->options->checksum == S3_CHECKSUM_CRC32C)
        s3_request_add_header(&request, "x-amz-checksum-algorithm", "CRC32C");
    if (!s3_headers_add_new_object(s3, &request, options ? options : &defaults, error) ||
        !s3_request_perform(s3, &request, call, &response, error))
        return FALSE;
    g_autoptr(XmlDocument) document = parse(&response);
    const char *id = xml_get_text(get_result(document, "InitiateMultipartUploadResult"), "UploadId");
    if (!id || !*id || strlen(id) > MAX_UPLOAD_ID_BYTES)
        return s3_request_fail(s3, &request, error, "the reply names no upload");
    *out_upload_id = g_strdup(id);
    return TRUE;
}

static void
init_part(S3 *s3, S3Request *request, const char *container, const char *key, const char *upload_id,
          guint number)
{
    g_autofree char *text = g_strdup_printf("%u", number);
    s3_request_init(request, "PUT", container, key);
    s3_request_add_parameter(request, "partNumber", text);
    s3_request_add_parameter(request, "uploadId", upload_id);
    s3_headers_add_access(s3, request);
    s3_headers_add_customer_key(s3, request);
}

gboolean
s3_multipart_put_part(DriverInstance *instance, Call *call, const char *container, const char *key,
                      const char *upload_id, guint number, const ByteSource *source, UploadPart *out,
                      GError **error)
{
    S3 *s3 = (S3 *)instance;
    g_auto(S3Request) request = {0};
    g_auto(HttpResponse) response = {0};
    init_part(s3, &request, container, key, upload_id, number);
    request.body = source;
    request.checksum = TRUE;
    if (!s3_request_perform(s3, &request, call, &response, error))
        return FALSE;
    char *etag = s3_headers_dup_etag(http_response_get_header(&response, "etag"));
    if (!etag)
        return s3_request_fail(s3, &request, error, "the reply to a part has no ETag");
    /* Repeated at Complete only where the service has taken notice of it: OpenStack's schema does not know
     * it. */
    const char *checksum = http_response_get_header(&response, "x-amz-checksum-crc32c");
    *out = (UploadPart){number, etag, source->size_bytes, g_strdup(checksum)};
    return TRUE;
}

gboolean
s3_multipart_copy_part(DriverInstance *instance, Call *call, const char *container, const char *key,
                       const char *upload_id, guint number, const CopySource *source, guint64 offset,
                       guint64 length_bytes, UploadPart *out, GError **error)
{
    S3 *s3 = (S3 *)instance;
    g_auto(S3Request) request = {0};
    g_auto(HttpResponse) response = {0};
    if (length_bytes == 0 || offset > G_MAXINT64 || length_bytes > G_MAXINT64 - offset) {
        g_set_error(error, STORAGEFS_ERROR, ERROR_BAD_ARGUMENT, "a range that cannot be copied");
        return FALSE;
    }
    if (!s3_copy_check_source(s3, call, source, S3_CONDITION_COPY_PART_SOURCE, error))
        return FALSE;
    g_autofree char *range =
        g_strdup_printf("bytes=%" G_GUINT64_FORMAT "-%" G_GUINT64_FORMAT, offset, offset + length_bytes - 1);
    init_part(s3, &request, container, key, upload_id, number);
    request.error_in_success = TRUE;
    s3_headers_add_copy_source(s3, &request, source);
    s3_request_add_header(&request, "x-amz-copy-source-range", range);
    if (!s3_copy_perform(s3, call, source, &request, NULL, &response, error))
        return FALSE;
    g_autoptr(XmlDocument) document = parse(&response);
    const XmlNode *result = get_result(document, "CopyPartResult");
    char *etag = s3_headers_dup_etag(xml_get_text(result, "ETag"));
    if (!etag)
        return s3_request_fail(s3, &request, error, "the reply to a copied part has no ETag");
    *out = (UploadPart){number, etag, length_bytes, g_strdup(xml_get_text(result, "ChecksumCRC32C"))};
    return TRUE;
}

static GString *
make_part_list(const UploadPart *parts, guint part_count)
{
    GString *body =
        g_string_new("<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
    for (guint i = 0; i < part_count; i++) {
        g_string_append_printf(body, "<Part><PartNumber>%u</PartNumber><ETag>\"", parts[i].number);
        xml_append_escaped(body, parts[i].etag);
        g_string_append(body, "\"</ETag>");
        if (parts[i].checksum) {
            g_string_append(body, "<ChecksumCRC32C>");
            xml_append_escaped(body, parts[i].checksum);
            g_string_append(body, "</ChecksumCRC32C>");
        }
        g_string_append(body, "</Part>");
    }
    g_string_append(body, "</CompleteMultipartUpload>");
    return body;
}

/* An empty ETag (RGW) stays NULL: whoever needs it has to ask. */
static void
fill_info(const HttpResponse *response, const XmlNode *result, const char *key, const UploadPart *parts,
          guint part_count, ObjectInfo *out)
{
    const char *version = http_response_get_header(response, "x-amz-version-id");
    *out = (ObjectInfo){.key = g_strdup(key),
                        .etag = s3_headers_dup_etag(xml_get_text(result, "ETag")),
                        .version = g_strdup(version)};
    for (guint i = 0; i < part_count; i++)
        out->size_bytes += parts[i].size_bytes;
}

gboolean
s3_multipart_commit(DriverInstance *instance, Call *call, const char *container, const char *key,
                    const char *upload_id, const UploadPart *parts, guint part_count,
                    const WriteOptions *options, ObjectInfo *out_info, GError **error)
{
    S3 *s3 = (S3 *)instance;
    g_auto(S3Request) request = {0};
    g_auto(HttpResponse) response = {0};
    g_autoptr(GString) body = make_part_list(parts, part_count);
    ByteSource source = memory_source_make(body->str, body->len);
    s3_request_init(&request, "POST", container, key);
    s3_request_add_parameter(&request, "uploadId", upload_id);
    s3_request_add_header(&request, "Content-Type", "application/xml");
    request.body = &source;
    request.error_in_success = TRUE;
    s3_headers_add_access(s3, &request);
    s3_headers_add_customer_key(s3, &request);
    if (!s3_condition_perform(s3, &request, S3_WRITE_COMMIT, options, call, &response, error))
        return FALSE;
    g_autoptr(XmlDocument) document = parse(&response);
    const XmlNode *result = document ? xml_get_root(document) : NULL;
    /* "...Result" by the book; some call it "...Response". */
    if (!result || !g_str_has_prefix(result->name, "CompleteMultipartUpload"))
        return s3_request_fail(s3, &request, error, "the reply is no CompleteMultipartUploadResult");
    if (out_info)
        fill_info(&response, result, key, parts, part_count, out_info);
    return TRUE;
}

gboolean
s3_multipart_abort(DriverInstance *instance, Call *call, const char *container, const char *key,
                   const char *upload_id, GError **error)
{
    S3 *s3 = (S3 *)instance;
    g_auto(S3Request) request = {0};
    g_autoptr(GError) why = NULL;
    s3_request_init(&request, "DELETE", container, key);
    s3_request_add_parameter(&request, "uploadId", upload_id);
    s3_headers_add_access(s3, &request);
    if (s3_request_run(s3, &request, call, &why) || error_is(why, ERROR_NOT_FOUND))
        return TRUE;
    g_propagate_error(error, g_steal_pointer(&why));
    return FALSE;
}
