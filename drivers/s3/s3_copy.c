/* See s3_copy.h. Spec: "CopyObject" of the Amazon S3 API Reference. */
#include "drivers/s3/s3_copy.h"

#include "drivers/common/xml.h"
#include "drivers/s3/s3_condition.h"
#include "drivers/s3/s3_headers.h"
#include "drivers/s3/s3_object.h"
#include "src/base/error.h"

#include <string.h>

static gboolean
check_source_now(S3 *s3, Call *call, const CopySource *source, GError **error)
{
    g_auto(ObjectInfo) info = {0};
    if (!s3_object_stat(&s3->base, call, source->container, source->key, &info, error))
        return FALSE;
    if (g_strcmp0(info.etag, source->if_etag) == 0)
        return TRUE;
    g_set_error(error, STORAGEFS_ERROR, ERROR_CHANGED, "%s/%s was replaced", source->container, source->key);
    return FALSE;
}

gboolean
s3_copy_check_source(S3 *s3, Call *call, const CopySource *source, S3Condition condition, GError **error)
{
    if (!source->if_etag || s3_learned_get_support(s3->learned, condition) == S3_SUPPORT_ATOMIC)
        return TRUE;
    return check_source_now(s3, call, source, error);
}

/* A copy onto itself has replaced what could be compared. */
static gboolean
check_source_after(S3 *s3, Call *call, const CopySource *source, const S3Request *request, GError **error)
{
    if (strcmp(source->container, request->container) == 0 && strcmp(source->key, request->key) == 0)
        return TRUE;
    return check_source_now(s3, call, source, error);
}

gboolean
s3_copy_perform(S3 *s3, Call *call, const CopySource *source, S3Request *request, const WriteOptions *options,
                HttpResponse *out, GError **error)
{
    g_autoptr(GError) why = NULL;
    if (s3_condition_perform(s3, request, S3_WRITE_COPY, options, call, out, &why))
        return TRUE;
    if (request->failure.status != 412 || !source->if_etag || !check_source_now(s3, call, source, NULL)) {
        g_propagate_error(error, g_steal_pointer(&why));
        return FALSE;
    }
    s3_request_remove_header(request, "x-amz-copy-source-if-match");
    return s3_condition_perform(s3, request, S3_WRITE_COPY, options, call, out, error) &&
           check_source_after(s3, call, source, request, error);
}

static gboolean
read_result(S3 *s3, const S3Request *request, const HttpResponse *response, ObjectInfo *out, GError **error)
{
    g_autoptr(XmlDocument) document =
        xml_parse((const char *)response->body->data, response->body->len, NULL);
    if (!document || strcmp(xml_get_root(document)->name, "CopyObjectResult") != 0)
        return s3_request_fail(s3, request, error, "the reply to a copy is no CopyObjectResult");
    const char *modified = xml_get_text(xml_get_root(document), "LastModified");
    *out = (ObjectInfo){.key = g_strdup(request->key),
                        .etag = s3_headers_dup_etag(xml_get_text(xml_get_root(document), "ETag")),
                        .version = g_strdup(http_response_get_header(response, "x-amz-version-id"))};
    if (modified)
        (void)http_parse_date(modified, &out->mtime_ns);
    return TRUE;
}

static gboolean
perform_copy(S3 *s3, Call *call, const CopySource *source, S3Request *request, const WriteOptions *options,
             ObjectInfo *out_info, GError **error)
{
    g_auto(HttpResponse) response = {0};
    g_auto(ObjectInfo) info = {0};
    request->error_in_success = TRUE;
    s3_request_add_header(request, "x-amz-metadata-directive", options ? "REPLACE" : "COPY");
    s3_headers_add_copy_source(s3, request, source);
    if (!s3_headers_add_new_object(s3, request, options, error) ||
        !s3_copy_perform(s3, call, source, request, options, &response, error) ||
        !read_result(s3, request, &response, &info, error))
        return FALSE;
    if (out_info) {
        *out_info = info;
        info = (ObjectInfo){0};
    }
    return TRUE;
}

gboolean
s3_copy_object(DriverInstance *instance, Call *call, const CopySource *source, const char *container,
               const char *key, const WriteOptions *options, ObjectInfo *out_info, GError **error)
{
    S3 *s3 = (S3 *)instance;
    g_auto(S3Request) request = {0};
    if (!s3_copy_check_source(s3, call, source, S3_CONDITION_COPY_SOURCE, error))
        return FALSE;
    s3_request_init(&request, "PUT", container, key);
    return perform_copy(s3, call, source, &request, options, out_info, error);
}

/* What CopyObject with REPLACE forgets unless it is said again. */
static void
repeat_headers(const HttpResponse *head, S3Request *copy)
{
    static const char *const names[] = {"cache-control",    "content-disposition",
                                        "content-encoding", "content-language",
                                        "expires",          "x-amz-website-redirect-location"};
    for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
        const char *value = http_response_get_header(head, names[i]);
        if (value && *value)
            s3_request_add_header(copy, names[i], value);
    }
}

gboolean
s3_copy_set_metadata(DriverInstance *instance, Call *call, const char *container, const char *key,
                     const char *if_etag, const char *content_type, Metadata *metadata, ObjectInfo *out_info,
                     GError **error)
{
    S3 *s3 = (S3 *)instance;
    g_auto(S3Request) head = {0}, copy = {0};
    g_auto(HttpResponse) now = {0};
    guint64 size_bytes = 0;
    s3_request_init(&head, "HEAD", container, key);
    s3_headers_add_access(s3, &head);
    s3_headers_add_customer_key(s3, &head);
    if (!s3_request_perform(s3, &head, call, &now, error))
        return FALSE;
    g_autofree char *etag = s3_headers_dup_etag(http_response_get_header(&now, "etag"));
    if (!s3_headers_parse_size(http_response_get_header(&now, "content-length"), &size_bytes))
        return s3_request_fail(s3, &head, error, "the reply has no Content-Length");
    if (if_etag && g_strcmp0(if_etag, etag) != 0) {
        g_set_error(error, STORAGEFS_ERROR, ERROR_CHANGED, "%s/%s was replaced", container, key);
        return FALSE;
    }
    if (size_bytes > s3->options->maximum_copy_bytes) {
        g_set_error(error, STORAGEFS_ERROR, ERROR_TOO_LARGE, "%s/%s is larger than one copy can be",
                    container, key);
        return FALSE;
    }
    CopySource source = {container, key, etag};
    WriteOptions options = {.content_type = content_type,
                            .metadata = metadata,
                            .storage_class = http_response_get_header(&now, "x-amz-storage-class")};
    s3_request_init(&copy, "PUT", container, key);
    repeat_headers(&now, &copy);
    if (!perform_copy(s3, call, &source, &copy, &options, out_info, error))
        return FALSE;
    if (out_info)
        out_info->size_bytes = size_bytes;
    return TRUE;
}
