/* The beginning of an upload that somebody waits for. Who stops waiting leaves nothing on the server: the
 * request goes on, and when it was carried out, its upload is aborted. Cancelled, it could have been carried
 * out all the same, with an id that nobody knows.
 */
#pragma once

#include "src/object/object_store.h"

/* *out_upload_id is new. Blocks: yes. Fails: CANCELLED and what storage_begin_upload() reports. */
gboolean upload_begin(ObjectStore *store, Storage *storage, Call *call, const char *container,
                      const char *key, const WriteOptions *options, char **out_upload_id, GError **error);
