/* User metadata ↔ headers. Pure.
 *
 * Header values are US-ASCII; what is not goes as RFC 2047 words and is read back from them. Names come back
 * in lower case.
 */
#pragma once

#include "drivers/s3/s3_presets.h"
#include "src/storage/driver.h"

#include <glib.h>

#define S3_METADATA_PREFIX "x-amz-meta-"
/* Of names and values as they are sent. Spec: Amazon S3 User Guide, "Working with object metadata". */
#define S3_METADATA_MAXIMUM_BYTES 2048u

/* Text as a header value: itself when that is safe, else RFC 2047 words. Caller frees. */
char *s3_metadata_encode(const char *text);
/* The text behind RFC 2047 words; what has none, or is not well-formed or not UTF-8 inside, as it stands,
 * with bytes that are not UTF-8 replaced. Caller frees. */
char *s3_metadata_decode(const char *value);

/* A name of metadata that a header can have. */
gboolean s3_metadata_is_name(const char *name);

/* Appends "x-amz-meta-NAME: VALUE" for each. metadata may be NULL. Fails: TOO_LARGE over the
 * preset's limits,
 * BAD_NAME for a name that is no header name. */
gboolean s3_metadata_append_headers(Metadata *metadata, const S3Preset *preset, GPtrArray *headers,
                                    GError **error);
/* The metadata among a reply's headers (lower-case name → value), without names that nobody can have sent.
 * Caller frees. */
Metadata *s3_metadata_from_headers(GHashTable *headers);
