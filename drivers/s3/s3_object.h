/* One object: HEAD, GET, PUT, DELETE. Contracts: the same names in Driver. */
#pragma once

#include "src/storage/driver.h"

gboolean s3_object_stat(DriverInstance *instance, Call *call, const char *container, const char *key,
                        ObjectInfo *out, GError **error);
gboolean s3_object_read(DriverInstance *instance, Call *call, const char *container, const char *key,
                        guint64 offset, gsize length_bytes, const char *if_etag, void *buffer,
                        gsize *out_length_bytes, ObjectInfo *out_info, GError **error);
gboolean s3_object_write(DriverInstance *instance, Call *call, const char *container, const char *key,
                         const ByteSource *source, const WriteOptions *options, ObjectInfo *out_info,
                         GError **error);
gboolean s3_object_delete(DriverInstance *instance, Call *call, const char *container, const char *key,
                          const char *if_etag, GError **error);
gboolean s3_object_sign_url(DriverInstance *instance, const char *container, const char *key,
                            guint lifetime_s, char **out_url, GError **error);
