/* Headers that many requests have in common, and what replies tell about an object. */
#pragma once

#include "drivers/s3/s3_request.h"

/* For every request about an object or its container: who pays. */
void s3_headers_add_access(const S3 *s3, S3Request *request);
/* For GET, HEAD, PUT and parts: the customer's key, where one is configured. */
void s3_headers_add_customer_key(const S3 *s3, S3Request *request);
/* For requests that make an object: type, metadata, class, ACL, encryption. options may be NULL. Fails:
 * TOO_LARGE, BAD_NAME. */
gboolean s3_headers_add_new_object(const S3 *s3, S3Request *request, const WriteOptions *options,
                                   GError **error);
/* For copies: the source, its condition, its customer key. */
void s3_headers_add_copy_source(const S3 *s3, S3Request *request, const CopySource *source);

/* ETag as we keep it: without quotes and without W/. NULL for NULL or "". Caller frees. */
char *s3_headers_dup_etag(const char *text);
/* ETag as a condition wants it. Caller frees. */
char *s3_headers_quote_etag(const char *etag);
/* A whole text of decimal digits. */
gboolean s3_headers_parse_size(const char *text, guint64 *out);
/* What the headers tell: etag, mtime, type, class, version, metadata; size is not set. */
void s3_headers_read_info(const HttpResponse *response, const char *key, ObjectInfo *out);
