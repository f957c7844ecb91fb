/* What the configuration of an S3 storage comes to: keys, environment and preset together.
 *
 * Order of precedence: the key in the configuration, AWS's environment variables and shared configuration
 * file (driver s3: region and endpoint), the preset.
 */
#pragma once

#include "drivers/s3/s3_presets.h"
#include "src/base/config.h"
#include "src/storage/http.h"

#include <glib.h>

typedef enum { S3_ENCRYPTION_NONE, S3_ENCRYPTION_S3, S3_ENCRYPTION_KMS, S3_ENCRYPTION_CUSTOMER } S3Encryption;

/* Immutable once made. NULL texts: not set. */
typedef struct {
    const S3Preset *preset;
    char *endpoint;            /* URL; "{region}" still in it where the service has one per region */
    char *region;              /* to sign with */
    char *location_constraint; /* of CreateBucket, NULL none */
    S3Addressing addressing;
    S3Signature signature;
    guint list_version;
    gboolean encoding_type, metadata_in_listings, copy_part, equal_parts, sign_payload, server_checks_names;
    S3Conditions conditions;
    S3Checksum checksum;
    guint maximum_parts;
    guint64 minimum_part_bytes, maximum_put_bytes, maximum_copy_bytes;

    char *access_key_id, *secret_access_key, *session_token, *profile;
    char *role_arn, *role_session_name, *role_external_id, *web_identity_token_file;
    gint64 role_duration_s;

    char *storage_class, *acl, *kms_key_id, *project_id;
    gboolean requester_pays, bucket_key;
    S3Encryption encryption;
    char *customer_key_base64, *customer_key_md5_base64;
    guint url_lifetime_s;

    char *ca_file, *proxy;
    HttpSettings http; /* its texts are those above */
} S3Options;

/* driver_name is a preset's. Fails: BAD_CONFIG with file and line. */
S3Options *s3_options_read(const char *driver_name, ConfigSection *section, GError **error);
void s3_options_free(S3Options *options);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(S3Options, s3_options_free)
