/* The local driver's operations on whole objects; contracts in driver.h. */
#pragma once

#include "drivers/local/local_instance.h"

/* "INODE-SIZE-MTIME-CTIME", in hexadecimal, times in nanoseconds: another one after every change of the file.
 * Caller frees. */
char *local_object_make_etag(const struct stat *info);

gboolean local_object_stat(DriverInstance *instance, Call *call, const char *container, const char *key,
                           ObjectInfo *out, GError **error);
gboolean local_object_read(DriverInstance *instance, Call *call, const char *container, const char *key,
                           guint64 offset, gsize length_bytes, const char *if_etag, void *buffer,
                           gsize *out_length_bytes, ObjectInfo *out_info, GError **error);
gboolean local_object_write(DriverInstance *instance, Call *call, const char *container, const char *key,
                            const ByteSource *source, const WriteOptions *options, ObjectInfo *out_info,
                            GError **error);
gboolean local_object_delete(DriverInstance *instance, Call *call, const char *container, const char *key,
                             const char *if_etag, GError **error);
gboolean local_object_copy(DriverInstance *instance, Call *call, const CopySource *source,
                           const char *container, const char *key, const WriteOptions *options,
                           ObjectInfo *out_info, GError **error);
gboolean local_object_set_metadata(DriverInstance *instance, Call *call, const char *container,
                                   const char *key, const char *if_etag, const char *content_type,
                                   Metadata *metadata, ObjectInfo *out_info, GError **error);
