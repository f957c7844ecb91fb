/* What all sources of credentials share, and the sources themselves: one file each (s3_credential_*.c).
 *
 * Each source gives TRUE with *out set (found), TRUE with *out NULL (nothing is set up for it: the next one
 * is asked), or FALSE (set up, and failed): DENIED, UNAVAILABLE, TIMEOUT, CANCELLED, PROTOCOL, BAD_CONFIG.
 * Blocks: yes.
 */
#pragma once

#include "drivers/s3/s3_credentials.h"
#include "drivers/s3/s3_options.h"
#include "drivers/s3/s3_profiles.h"
#include "src/base/call.h"
#include "src/storage/http.h"

#include <json-glib/json-glib.h>

typedef struct {
    const S3Options *options;
    HttpClient *http;   /* as the storage's own: proxy, CA file */
    HttpClient *direct; /* for addresses of the machine itself: no proxy, short time-outs */
} S3CredentialSource;

/* The region whose STS and SSO answer: the storage's where that is AWS, else the environment's. Caller frees.
 */
char *s3_credential_source_get_region(const S3CredentialSource *source);
/* "https://SERVICE.REGION.amazonaws.com" unless the variable `override` says otherwise. Caller frees. */
char *s3_credential_source_get_endpoint(const char *service, const char *region, const char *override);
/* GET (or `method`) of a small reply. headers: NULL-terminated or NULL. body may be NULL. Any 2xx; else
 * DENIED, UNAVAILABLE or PROTOCOL with what the service said. */
gboolean s3_credential_source_fetch(HttpClient *http, Call *call, const char *method, const char *url,
                                    const char *const *headers, const char *body, HttpResponse *out,
                                    GError **error);
/* {AccessKeyId, SecretAccessKey, Token or SessionToken, Expiration}. `origin` names the source in errors. */
S3Credentials *s3_credential_source_from_json(const char *text, gsize length, const char *origin,
                                              GError **error);

/* STS AssumeRole, signed by `base`. The texts may be NULL but role_arn. */
typedef struct {
    const char *role_arn, *session_name, *external_id, *token_file;
    gint64 duration_s; /* 0: the service's default */
} S3Role;
gboolean s3_credential_sts_assume(const S3CredentialSource *source, Call *call, const S3Role *role,
                                  S3Credentials *base, S3Credentials **out, GError **error);
/* STS AssumeRoleWithWebIdentity: role->token_file is the proof. */
gboolean s3_credential_sts_web_identity(const S3CredentialSource *source, Call *call, const S3Role *role,
                                        S3Credentials **out, GError **error);
gboolean s3_credential_sso_fetch(const S3CredentialSource *source, Call *call, S3Profile *profile,
                                 S3Credentials **out, GError **error);
gboolean s3_credential_process_fetch(const char *command, Call *call, S3Credentials **out, GError **error);
gboolean s3_credential_remote_container(const S3CredentialSource *source, Call *call, S3Credentials **out,
                                        GError **error);
gboolean s3_credential_remote_instance(const S3CredentialSource *source, Call *call, S3Credentials **out,
                                       GError **error);
/* The whole chain. Nothing found is DENIED, and says where was looked. */
gboolean s3_credential_chain_fetch(const S3CredentialSource *source, Call *call, S3Credentials **out,
                                   GError **error);
