/* FileOperations' extended attributes: the file's own, or in sidecar mode those of NAME.metadata.json. */
#pragma once

#include "src/storage/driver.h"

gboolean local_xattr_get(DriverInstance *instance, const char *container, const char *key, const char *name,
                         GBytes **out_value, GError **error);
gboolean local_xattr_list(DriverInstance *instance, const char *container, const char *key,
                          GBytes **out_names, GError **error);
gboolean local_xattr_set(DriverInstance *instance, const char *container, const char *key, const char *name,
                         const void *value, gsize length_bytes, int flags, GError **error);
gboolean local_xattr_remove(DriverInstance *instance, const char *container, const char *key,
                            const char *name, GError **error);
