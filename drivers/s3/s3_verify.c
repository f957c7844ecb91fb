/* See s3_verify.h. */
#include "drivers/s3/s3_verify.h"

#include "drivers/common/digest.h"
#include "drivers/s3/s3_headers.h"
#include "src/base/crc32c.h"
#include "src/base/error.h"

#include <string.h>

#define MD5_HEX_DIGITS 32u

void
s3_verify_ask(const S3 *s3, S3Request *request)
{
    if (s3->options->checksum == S3_CHECKSUM_CRC32C)
        s3_request_add_header(request, "x-amz-checksum-mode", "ENABLED");
}

/* Whether bytes with this sum came for this version before. */
static gboolean
came_before(S3 *s3, const HttpResponse *response, const char *sum)
{
    const char *etag = http_response_get_header(response, "etag");
    g_autofree char *bytes = g_strconcat(etag ? etag : "", " ", sum, NULL);
    return s3_learned_note_differing(s3->learned, bytes);
}

static gboolean
refuse(S3 *s3, const S3Request *request, ErrorCode code, const char *what, GError **error)
{
    g_autofree char *subject = s3_request_describe(s3, request);
    g_set_error(error, STORAGEFS_ERROR, (gint)code, "%s: the bytes do not fit their %s", subject, what);
    return FALSE;
}

static gboolean
verify_crc32c(S3 *s3, const S3Request *request, const HttpResponse *response, const char *wanted,
              const void *bytes, gsize length_bytes, GError **error)
{
    g_autofree char *found = digest_crc32c_base64(crc32c_append(0, bytes, length_bytes));
    if (strcmp(found, wanted) == 0)
        return TRUE;
    ErrorCode code = came_before(s3, response, found) ? ERROR_PROTOCOL : ERROR_UNAVAILABLE;
    return refuse(s3, request, code, "checksum", error);
}

static gboolean
is_md5(const char *etag)
{
    return etag && strlen(etag) == MD5_HEX_DIGITS && strspn(etag, "0123456789abcdefABCDEF") == MD5_HEX_DIGITS;
}

/* https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html, ETag */
static gboolean
is_encrypted(const HttpResponse *response)
{
    const char *encryption = http_response_get_header(response, "x-amz-server-side-encryption");
    return (encryption && strcmp(encryption, "AES256") != 0) ||
           http_response_get_header(response, "x-amz-server-side-encryption-customer-algorithm") ||
           http_response_get_header(response, "x-amz-server-side-encryption-customer-key-md5");
}

static gboolean
verify_md5(S3 *s3, const S3Request *request, const HttpResponse *response, const char *etag,
           const void *bytes, gsize length_bytes, GError **error)
{
    g_autofree char *found = digest_md5_hex(bytes, length_bytes);
    if (!found)
        return TRUE;
    if (g_ascii_strcasecmp(found, etag) == 0) {
        s3_learned_set_md5(s3->learned, TRUE);
        return TRUE;
    }
    if (!came_before(s3, response, found))
        return refuse(s3, request, ERROR_UNAVAILABLE, "ETag", error);
    s3_learned_set_md5(s3->learned, FALSE);
    return TRUE;
}

gboolean
s3_verify_whole(S3 *s3, const S3Request *request, const HttpResponse *response, const void *bytes,
                gsize length_bytes, GError **error)
{
    const char *crc32c = http_response_get_header(response, "x-amz-checksum-crc32c");
    /* With "-N" it is one of the parts' checksums. */
    if (crc32c && *crc32c && !strchr(crc32c, '-'))
        return verify_crc32c(s3, request, response, crc32c, bytes, length_bytes, error);
    if (length_bytes > S3_VERIFY_MD5_BYTES || is_encrypted(response) || !s3_learned_may_be_md5(s3->learned))
        return TRUE;
    g_autofree char *etag = s3_headers_dup_etag(http_response_get_header(response, "etag"));
    return !is_md5(etag) || verify_md5(s3, request, response, etag, bytes, length_bytes, error);
}
