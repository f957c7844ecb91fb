/* Multi-part uploads. Contracts: the same names in Driver. */
#pragma once

#include "src/storage/driver.h"

gboolean s3_multipart_begin(DriverInstance *instance, Call *call, const char *container, const char *key,
                            const WriteOptions *options, char **out_upload_id, GError **error);
gboolean s3_multipart_put_part(DriverInstance *instance, Call *call, const char *container, const char *key,
                               const char *upload_id, guint number, const ByteSource *source, UploadPart *out,
                               GError **error);
gboolean s3_multipart_copy_part(DriverInstance *instance, Call *call, const char *container, const char *key,
                                const char *upload_id, guint number, const CopySource *source, guint64 offset,
                                guint64 length_bytes, UploadPart *out, GError **error);
gboolean s3_multipart_commit(DriverInstance *instance, Call *call, const char *container, const char *key,
                             const char *upload_id, const UploadPart *parts, guint part_count,
                             const WriteOptions *options, ObjectInfo *out_info, GError **error);
gboolean s3_multipart_abort(DriverInstance *instance, Call *call, const char *container, const char *key,
                            const char *upload_id, GError **error);
