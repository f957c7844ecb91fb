/* Whether the bytes of an object that was read as a whole are those that the service keeps.
 *
 * Told by x-amz-checksum-crc32c (asked for where we send that checksum ourselves), else by an ETag that looks
 * like an MD5: of objects up to S3_VERIFY_MD5_BYTES, and not where the reply says that it is none (encrypted
 * with a KMS or a customer's key). An ETag promises nothing, so bytes that differ from it are read again, and
 * taken when they come the same twice; where no ETag was an MD5 so far, none is compared any more.
 *
 * Parts of objects cannot be verified.
 */
#pragma once

#include "drivers/s3/s3_request.h"

#include <glib.h>

#define S3_VERIFY_MD5_BYTES (1u << 20)

/* Before the request for an object's beginning is sent. */
void s3_verify_ask(const S3 *s3, S3Request *request);

/* bytes: what the reply to `request` gave, all of the object.
 * Fails: UNAVAILABLE (not the right ones, read again), PROTOCOL (the same wrong ones again) */
gboolean s3_verify_whole(S3 *s3, const S3Request *request, const HttpResponse *response, const void *bytes,
                         gsize length_bytes, GError **error);
