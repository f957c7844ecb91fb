/* User metadata and content type of an object: "user." attributes of its file, or its sidecar.
 *
 * user.mime_type is the content type, any other user.NAME is metadata NAME; in sidecar mode the names lie in
 * the sidecar and only the content type is an attribute.
 */
#pragma once

#include "drivers/local/local_instance.h"

#define LOCAL_METADATA_PREFIX "user."
#define LOCAL_METADATA_TYPE "user.mime_type"

/* What is stored with the file behind fd (any kind of descriptor). out_content_type: NULL when there is none.
 * Values that are no UTF-8 text are left out. Caller frees both. */
gboolean local_metadata_read(const LocalInstance *local, int fd, const char *container, const char *key,
                             char **out_content_type, Metadata **out_metadata, GError **error);
/* Sets the file's attributes to exactly these; the sidecar is not touched. content_type and metadata may be
 * NULL. Fails: UNSUPPORTED (metadata on a file system without attributes), NO_SPACE. */
gboolean local_metadata_write_attributes(const LocalInstance *local, int fd, const char *key,
                                         const char *content_type, Metadata *metadata, GError **error);
/* Before the content is put in place: writes the sidecar, or drops the one of an earlier version. Nothing
 * without sidecars. */
gboolean local_metadata_write_sidecar(const LocalInstance *local, const char *container, const char *key,
                                      Metadata *metadata, GError **error);
/* All attribute names of the file, each ended by NUL: what listxattr gives. NULL with errno. */
GBytes *local_metadata_list_attributes(int fd);
/* One attribute's value; NULL with errno. */
GBytes *local_metadata_get_attribute(int fd, const char *name);
