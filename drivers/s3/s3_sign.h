/* AWS signatures: version 4 in headers and in URLs, version 2 for services that know nothing newer.
 *
 * Pure functions over texts; s3_request.c and s3_credentials_sts.c put the results into requests.
 * Spec: "Authenticating Requests (AWS Signature Version 4)" of the Amazon S3 API Reference.
 */
#pragma once

#include <glib.h>

#define S3_SIGN_KEY_BYTES 32u
#define S3_SIGN_UNSIGNED_PAYLOAD "UNSIGNED-PAYLOAD"
#define S3_SIGN_MAX_URL_LIFETIME_S 604800u

/* Query parameters, not encoded. */
typedef struct {
    char *name, *value; /* value NULL: sent without '=' where the signature allows it, signed as "" */
} S3Parameter;

GArray *s3_sign_parameters_new(void); /* of S3Parameter; frees the texts */
void s3_sign_parameters_add(GArray *parameters, const char *name, const char *value);
/* Sorted and encoded as the signature wants it, and as it must go out. Caller frees. */
char *s3_sign_encode_parameters(const GArray *parameters);

/* Who signs: borrowed texts. */
typedef struct {
    const char *access_key_id, *secret_access_key, *session_token; /* token NULL for permanent keys */
} S3Signer;

typedef struct {
    const char *method;
    const char *host;         /* as the Host header says it: with a port that is not the scheme's own */
    const char *path;         /* encoded, as sent; begins with '/' */
    const char *query;        /* from s3_sign_encode_parameters(); "" none */
    const char *payload_hash; /* SHA-256 in hexadecimal, or S3_SIGN_UNSIGNED_PAYLOAD */
    const char *region, *service;
    gint64 time_s; /* since the epoch */
} S3SignInput;

/* The key that signs one day's requests to one region and service. */
void s3_sign_derive_key(const char *secret_access_key, gint64 time_s, const char *region, const char *service,
                        guint8 out[S3_SIGN_KEY_BYTES]);

/* Signs `headers` (GPtrArray of "Name: value", all of them) and host; appends x-amz-date,
 * x-amz-security-token, for service "s3" x-amz-content-sha256, and Authorization. key: from
 * s3_sign_derive_key(). */
void s3_sign_v4(const S3SignInput *input, const S3Signer *signer, const guint8 key[S3_SIGN_KEY_BYTES],
                GPtrArray *headers);
/* The query of a URL that works for lifetime_s seconds (1..S3_SIGN_MAX_URL_LIFETIME_S). `parameters` get the
 * signing ones added. input->query and payload_hash are not looked at. Caller frees. */
char *s3_sign_v4_query(const S3SignInput *input, const S3Signer *signer, const guint8 key[S3_SIGN_KEY_BYTES],
                       guint lifetime_s, GArray *parameters);

/* resource: "/container/key" encoded. Appends x-amz-date unless `headers` have a Date, and Authorization. */
void s3_sign_v2(const S3SignInput *input, const S3Signer *signer, const char *resource,
                const GArray *parameters, GPtrArray *headers);
char *s3_sign_v2_query(const S3SignInput *input, const S3Signer *signer, const char *resource,
                       guint lifetime_s, GArray *parameters);
