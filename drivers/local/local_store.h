/* New content of an object: staged, described, put in place. What write and copy have in common. */
#pragma once

#include "drivers/local/local_stage.h"

/* Stores the staged file (its bytes are complete) as `key` under the options' conditions: if_absent in one
 * step, if_etag by looking first. out_info may be NULL. Fails: EXISTS, CHANGED, NOT_FOLDER, IS_FOLDER,
 * UNSUPPORTED. */
gboolean local_store_publish(LocalInstance *local, LocalStage *stage, const char *container, const char *key,
                             const WriteOptions *options, ObjectInfo *out_info, GError **error);
/* The folder marker "dir/" is the directory itself. */
gboolean local_store_make_marker(LocalInstance *local, const char *container, const char *key,
                                 const WriteOptions *options, ObjectInfo *out_info, GError **error);
