/* NAME.metadata.json beside an object: user metadata as sqlalchemy-file's local storage keeps it.
 *
 * One line as Python's json.dumps writes it. Members that are no strings (a width) read as their JSON text
 * and are written back as they were as long as the text stays the same.
 */
#pragma once

#include "drivers/local/local_instance.h"

#define LOCAL_SIDECAR_SUFFIX ".metadata.json"

/* TRUE when keys of this name have a sidecar: the option is on, and the key is no sidecar itself. */
gboolean local_sidecar_applies(const LocalInstance *local, const char *key);
char *local_sidecar_get_key(const char *key); /* caller frees */
/* FALSE for a name so long that the suffix does not fit: it never has a sidecar. */
gboolean local_sidecar_fits(const char *key);

/* What the sidecar says, empty when there is none. Caller unrefs. Fails: PROTOCOL (no JSON object, over 1
 * MiB). */
gboolean local_sidecar_read(const LocalInstance *local, const char *container, const char *key,
                            Metadata **out_metadata, GError **error);
/* Writes it anew; all or nothing. */
gboolean local_sidecar_write(const LocalInstance *local, const char *container, const char *key,
                             Metadata *metadata, GError **error);
/* Absent is success. */
gboolean local_sidecar_delete(const LocalInstance *local, const char *container, const char *key,
                              GError **error);
