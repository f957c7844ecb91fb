/* Writes with a condition, on services that honour it, refuse it, ignore it, or want it spelt in their own
 * way. */
#pragma once

#include "drivers/s3/s3_request.h"

typedef enum { S3_WRITE_PUT, S3_WRITE_COMMIT, S3_WRITE_COPY, S3_WRITE_DELETE } S3WriteKind;

/* s3_request_perform() of a write to request->container, request->key with options' if_etag or if_absent
 * (options may be NULL). A refused condition is EXISTS or CHANGED. Where the service cannot check (501), it
 * is left out, and that is remembered: capabilities tell it. */
gboolean s3_condition_perform(S3 *s3, S3Request *request, S3WriteKind kind, const WriteOptions *options,
                              Call *call, HttpResponse *out, GError **error);
