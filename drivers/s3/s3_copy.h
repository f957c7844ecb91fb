/* Copies on the server, and the change of metadata that is one. Contracts: the same names in Driver. */
#pragma once

#include "src/storage/driver.h"

gboolean s3_copy_object(DriverInstance *instance, Call *call, const CopySource *source, const char *container,
                        const char *key, const WriteOptions *options, ObjectInfo *out_info, GError **error);
gboolean s3_copy_set_metadata(DriverInstance *instance, Call *call, const char *container, const char *key,
                              const char *if_etag, const char *content_type, Metadata *metadata,
                              ObjectInfo *out_info, GError **error);
