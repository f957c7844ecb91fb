/* The table of codes, and the reading of error replies. See s3_error.h. */
#include "drivers/s3/s3_error.h"

#include "drivers/common/xml.h"
#include "src/base/log.h"

#include <string.h>

#define MAXIMUM_TEXT_BYTES 300u

static const struct {
    const char *code;
    ErrorCode meaning;
} codes[] = {
    {"NoSuchBucket", ERROR_NOT_FOUND},
    {"NoSuchKey", ERROR_NOT_FOUND},
    {"NoSuchUpload", ERROR_NOT_FOUND},
    {"NoSuchVersion", ERROR_NOT_FOUND},
    {"BucketAlreadyOwnedByYou", ERROR_EXISTS},
    {"BucketAlreadyExists", ERROR_EXISTS},
    {"FileAlreadyExists", ERROR_EXISTS},
    {"BucketNotEmpty", ERROR_NOT_EMPTY},
    {"InvalidBucketName", ERROR_BAD_NAME},
    {"KeyTooLongError", ERROR_NAME_TOO_LONG},
    {"InvalidURI", ERROR_BAD_NAME},
    {"InvalidObjectName", ERROR_BAD_NAME},
    {"XMinioInvalidObjectName", ERROR_BAD_NAME},
    {"AccessDenied", ERROR_DENIED},
    {"AllAccessDisabled", ERROR_DENIED},
    {"InvalidAccessKeyId", ERROR_DENIED},
    {"SignatureDoesNotMatch", ERROR_DENIED},
    {"InvalidObjectState", ERROR_DENIED},
    {"ExpiredToken", ERROR_DENIED},
    {"InvalidToken", ERROR_DENIED},
    {"RequestTimeTooSkewed", ERROR_DENIED},
    {"SlowDown", ERROR_THROTTLED},
    {"SlowDownRead", ERROR_THROTTLED},
    {"SlowDownWrite", ERROR_THROTTLED},
    {"Throttling", ERROR_THROTTLED},
    {"ThrottlingException", ERROR_THROTTLED},
    {"TooManyRequests", ERROR_THROTTLED},
    {"RequestLimitExceeded", ERROR_THROTTLED},
    {"ServiceUnavailable", ERROR_UNAVAILABLE},
    {"InternalError", ERROR_UNAVAILABLE},
    {"RequestTimeout", ERROR_UNAVAILABLE},
    {"OperationAborted", ERROR_UNAVAILABLE},
    {"ConditionalRequestConflict", ERROR_UNAVAILABLE},
    {"BadDigest", ERROR_UNAVAILABLE},
    {"XAmzContentSHA256Mismatch", ERROR_UNAVAILABLE},
    {"IncompleteBody", ERROR_UNAVAILABLE},
    {"PreconditionFailed", ERROR_CHANGED},
    {"ConcurrentModification", ERROR_CHANGED},
    {"EntityTooLarge", ERROR_TOO_LARGE},
    {"MetadataTooLarge", ERROR_TOO_LARGE},
    {"QuotaExceeded", ERROR_NO_SPACE},
    {"XMinioStorageFull", ERROR_NO_SPACE},
    {"XMinioAdminBucketQuotaExceeded", ERROR_NO_SPACE},
    {"InsufficientStorage", ERROR_NO_SPACE},
    {"NotImplemented", ERROR_UNSUPPORTED},
    {"MethodNotAllowed", ERROR_UNSUPPORTED},
    {"PermanentRedirect", ERROR_PROTOCOL},
    {"TemporaryRedirect", ERROR_PROTOCOL},
    {"AuthorizationHeaderMalformed", ERROR_PROTOCOL},
};

void
s3_error_failure_clear(S3Failure *failure)
{
    g_free(failure->code);
    g_free(failure->message);
    g_free(failure->region);
    g_free(failure->host);
    g_free(failure->request_id);
    *failure = (S3Failure){0};
}

gboolean
s3_error_has_code(const S3Failure *failure, const char *code)
{
    return g_strcmp0(failure->code, code) == 0;
}

static ErrorCode
classify_status(int status)
{
    switch (status) {
    case 404:
        return ERROR_NOT_FOUND;
    case 401:
    case 403:
        return ERROR_DENIED;
    case 304:
    case 412:
        return ERROR_CHANGED;
    case 413:
        return ERROR_TOO_LARGE;
    case 507:
        return ERROR_NO_SPACE;
    case 405:
    case 501:
        return ERROR_UNSUPPORTED;
    case 408:
        return ERROR_UNAVAILABLE;
    case 429:
        return ERROR_THROTTLED;
    default:
        return status >= 500 && status <= 599 ? ERROR_UNAVAILABLE : ERROR_PROTOCOL;
    }
}

ErrorCode
s3_error_classify(const S3Failure *failure)
{
    for (gsize i = 0; failure->code && i < G_N_ELEMENTS(codes); i++) {
        if (strcmp(codes[i].code, failure->code) == 0)
            return codes[i].meaning;
    }
    return classify_status(failure->status);
}

/* From outside and on its way into messages: short, one line, text. Masked before it is cut: a half of a
 * secret would not be found any more. */
static char *
dup_tame(const char *text)
{
    if (!text || !*text)
        return NULL;
    g_autofree char *masked = log_mask_secrets(text);
    g_autofree char *start = g_strndup(masked, MAXIMUM_TEXT_BYTES);
    char *valid = g_utf8_make_valid(start, -1);
    for (char *c = valid; *c; c++) {
        if (g_ascii_iscntrl(*c))
            *c = ' ';
    }
    return valid;
}

/* "host" of a Location or Endpoint; NULL when it does not look like a host. */
static char *
dup_host(const char *text)
{
    const char *start = text ? strstr(text, "://") : NULL;
    start = start ? start + 3 : text;
    gsize length = start ? strcspn(start, "/?#") : 0;
    if (length == 0 || length > 255)
        return NULL;
    for (gsize i = 0; i < length; i++) {
        if (!g_ascii_isalnum(start[i]) && !strchr(".-:", start[i]))
            return NULL;
    }
    return g_ascii_strdown(start, (gssize)length);
}

static gboolean
is_region(const char *text)
{
    gsize length = text ? strlen(text) : 0;
    for (gsize i = 0; i < length; i++) {
        if (!g_ascii_isalnum(text[i]) && !strchr("-_.", text[i]))
            return FALSE;
    }
    return length > 0 && length <= 64;
}

static void
read_body(const HttpResponse *response, S3Failure *out)
{
    if (!response->body || response->body->len == 0)
        return;
    g_autoptr(XmlDocument) document =
        xml_parse((const char *)response->body->data, response->body->len, NULL);
    if (!document) {
        out->not_xml = TRUE;
        return;
    }
    const XmlNode *root = xml_get_root(document);
    if (strcmp(root->name, "Error") != 0)
        root = xml_find(root, "Error"); /* STS wraps it in <ErrorResponse> */
    if (!root)
        return;
    out->code = dup_tame(xml_get_text(root, "Code"));
    out->message = dup_tame(xml_get_text(root, "Message"));
    out->request_id = dup_tame(xml_get_text(root, "RequestId"));
    out->host = dup_host(xml_get_text(root, "Endpoint"));
    if (is_region(xml_get_text(root, "Region")))
        out->region = g_strdup(xml_get_text(root, "Region"));
}

void
s3_error_read(const HttpResponse *response, S3Failure *out)
{
    *out = (S3Failure){.status = response->status};
    read_body(response, out);
    const char *region = http_response_get_header(response, "x-amz-bucket-region");
    const char *id = http_response_get_header(response, "x-amz-request-id");
    const char *date = http_response_get_header(response, "date");
    const char *location = http_response_get_header(response, "location");
    gint64 date_ns = 0;
    if (is_region(region)) {
        g_free(out->region);
        out->region = g_strdup(region);
    }
    if (id) {
        g_free(out->request_id);
        out->request_id = dup_tame(id);
    }
    if (!out->host && location && response->status >= 300 && response->status <= 399)
        out->host = dup_host(location);
    if (date && http_parse_date(date, &date_ns))
        out->server_time_s = date_ns / G_GINT64_CONSTANT(1000000000);
    out->retry_after_us = http_response_get_retry_after_us(response);
}

gboolean
s3_error_is_inside(const HttpResponse *response)
{
    if (!response->body || response->body->len == 0)
        return FALSE;
    g_autoptr(XmlDocument) document =
        xml_parse((const char *)response->body->data, response->body->len, NULL);
    return document && strcmp(xml_get_root(document)->name, "Error") == 0;
}

/* What to look at in the configuration. */
static const char *
find_remedy(const S3Failure *failure)
{
    if (s3_error_has_code(failure, "SignatureDoesNotMatch"))
        return "check access_key_id and secret_access_key";
    if (s3_error_has_code(failure, "InvalidAccessKeyId"))
        return "check access_key_id and endpoint";
    if (s3_error_has_code(failure, "RequestTimeTooSkewed"))
        return "check this machine's clock";
    if (failure->status >= 300 && failure->status <= 399)
        return "check endpoint and region";
    if (failure->status == 404 && !failure->code)
        return "is the name right, and the endpoint?";
    return NULL;
}

gboolean
s3_error_set(GError **error, ErrorCode code, const S3Failure *failure, const char *subject)
{
    g_autoptr(GString) text = g_string_new(subject);
    g_string_append_printf(text, ": %d", failure->status);
    if (failure->code)
        g_string_append_printf(text, " %s", failure->code);
    if (failure->message)
        g_string_append_printf(text, ": %s", failure->message);
    if (find_remedy(failure))
        g_string_append_printf(text, ": %s", find_remedy(failure));
    if (failure->not_xml)
        g_string_append(text, ", and the reply is not XML (is this the right endpoint?)");
    if (failure->request_id)
        g_string_append_printf(text, " (request %s)", failure->request_id);
    GError *made = g_error_new_literal(STORAGEFS_ERROR, (gint)code, text->str);
    if (failure->retry_after_us > 0)
        error_set_retry_after_us(made, failure->retry_after_us);
    g_propagate_error(error, made);
    return FALSE;
}
