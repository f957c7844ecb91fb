/* What services accept as names of containers, objects and metadata. Pure. Fails: BAD_NAME; keys
 * also NAME_TOO_LONG. */
#pragma once

#include "drivers/s3/s3_options.h"

gboolean s3_names_check_container(const S3Options *options, const char *name, GError **error);
gboolean s3_names_check_key(const S3Options *options, const char *key, GError **error);
gboolean s3_names_check_metadata(const S3Options *options, const char *name, GError **error);
