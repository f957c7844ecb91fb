/* Copies on the server, and the change of metadata that is one. Contracts: the same names in Driver. */
#pragma once

#include "drivers/s3/s3_request.h"

/* Where the service may ignore the condition (COPY_SOURCE or COPY_PART_SOURCE) on a source, looks first.
 * Fails: CHANGED, NOT_FOUND. */
gboolean s3_copy_check_source(S3 *s3, Call *call, const CopySource *source, S3Condition condition,
                              GError **error);
/* Sends a copy that carries the source's condition, and the target's where options (NULL: none) have one.
 * Swift compares the source's with another ETag than it shows where the source was uploaded in parts: refused
 * although the source is unchanged, the copy is sent without that condition, and counts only if the source is
 * unchanged afterwards too (a copy onto itself has no afterwards). Fails: CHANGED, and as the request.
 */
gboolean s3_copy_perform(S3 *s3, Call *call, const CopySource *source, S3Request *request,
                         const WriteOptions *options, HttpResponse *out, GError **error);
gboolean s3_copy_object(DriverInstance *instance, Call *call, const CopySource *source, const char *container,
                        const char *key, const WriteOptions *options, ObjectInfo *out_info, GError **error);
gboolean s3_copy_set_metadata(DriverInstance *instance, Call *call, const char *container, const char *key,
                              const char *if_etag, const char *content_type, Metadata *metadata,
                              ObjectInfo *out_info, GError **error);
