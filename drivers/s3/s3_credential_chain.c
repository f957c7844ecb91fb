/* The order in which credentials are looked for; the first source that is set up wins. The files are read
 * anew at each turn. Spec: "Standardized credential providers" of the AWS SDKs and Tools Reference Guide. */
#include "drivers/s3/s3_credential_source.h"
#include "src/base/error.h"

#include <string.h>

#define MAX_PROFILE_DEPTH 5u

static gboolean from_profile(const S3CredentialSource *source, Call *call, const char *name, guint depth,
                             S3Credentials **out, GError **error);

static gboolean
is_set(const char *text)
{
    return text && *text;
}

static S3Credentials *
from_environment(void)
{
    const char *id = g_getenv("AWS_ACCESS_KEY_ID"), *secret = g_getenv("AWS_SECRET_ACCESS_KEY");
    if (!is_set(id) || !is_set(secret))
        return NULL;
    return s3_credentials_new(id, secret, g_getenv("AWS_SESSION_TOKEN"), 0);
}

static S3Credentials *
from_profile_keys(S3Profile *profile)
{
    const char *id = g_hash_table_lookup(profile, "aws_access_key_id");
    const char *secret = g_hash_table_lookup(profile, "aws_secret_access_key");
    if (!is_set(id) || !is_set(secret))
        return NULL;
    return s3_credentials_new(id, secret, g_hash_table_lookup(profile, "aws_session_token"), 0);
}

static gboolean
from_named_source(const S3CredentialSource *source, Call *call, const char *name, S3Credentials **out,
                  GError **error)
{
    if (strcmp(name, "Ec2InstanceMetadata") == 0)
        return s3_credential_remote_instance(source, call, out, error);
    if (strcmp(name, "EcsContainer") == 0)
        return s3_credential_remote_container(source, call, out, error);
    if (strcmp(name, "Environment") == 0)
        *out = from_environment();
    return TRUE;
}

/* Who assumes the role of a profile. */
static gboolean
find_base(const S3CredentialSource *source, Call *call, const char *name, S3Profile *profile, guint depth,
          S3Credentials **out, GError **error)
{
    const char *source_profile = g_hash_table_lookup(profile, "source_profile");
    const char *named = g_hash_table_lookup(profile, "credential_source");
    if (is_set(source_profile) && strcmp(source_profile, name) == 0) {
        *out = from_profile_keys(profile);
        return TRUE;
    }
    if (is_set(source_profile))
        return from_profile(source, call, source_profile, depth + 1, out, error);
    return is_set(named) ? from_named_source(source, call, named, out, error) : TRUE;
}

static gboolean
from_profile_role(const S3CredentialSource *source, Call *call, const char *name, S3Profile *profile,
                  guint depth, S3Credentials **out, GError **error)
{
    const char *duration = g_hash_table_lookup(profile, "duration_seconds");
    S3Role role = {.role_arn = g_hash_table_lookup(profile, "role_arn"),
                   .session_name = g_hash_table_lookup(profile, "role_session_name"),
                   .external_id = g_hash_table_lookup(profile, "external_id"),
                   .token_file = g_hash_table_lookup(profile, "web_identity_token_file"),
                   .duration_s = duration ? g_ascii_strtoll(duration, NULL, 10) : 0};
    if (is_set(role.token_file))
        return s3_credential_sts_web_identity(source, call, &role, out, error);
    g_autoptr(S3Credentials) base = NULL;
    if (!find_base(source, call, name, profile, depth, &base, error))
        return FALSE;
    if (base)
        return s3_credential_sts_assume(source, call, &role, base, out, error);
    g_set_error(error, STORAGEFS_ERROR, ERROR_BAD_CONFIG,
                "profile %s: role_arn without usable source_profile or credential_source", name);
    return FALSE;
}

static gboolean
from_profile(const S3CredentialSource *source, Call *call, const char *name, guint depth, S3Credentials **out,
             GError **error)
{
    g_autoptr(GHashTable) profile = s3_profiles_load(name);
    if (!profile)
        return TRUE;
    if (depth >= MAX_PROFILE_DEPTH) {
        g_set_error(error, STORAGEFS_ERROR, ERROR_BAD_CONFIG, "profile %s: source_profile goes in a circle",
                    name);
        return FALSE;
    }
    if (is_set(g_hash_table_lookup(profile, "role_arn")))
        return from_profile_role(source, call, name, profile, depth, out, error);
    *out = from_profile_keys(profile);
    if (*out)
        return TRUE;
    if (!s3_credential_sso_fetch(source, call, profile, out, error))
        return FALSE;
    const char *command = g_hash_table_lookup(profile, "credential_process");
    if (!*out && is_set(command))
        return s3_credential_process_fetch(command, call, out, error);
    return TRUE;
}

static gboolean
from_web_identity(const S3CredentialSource *source, Call *call, S3Credentials **out, GError **error)
{
    const S3Options *options = source->options;
    S3Role role = {.role_arn = options->role_arn,
                   .session_name = options->role_session_name,
                   .token_file = options->web_identity_token_file,
                   .duration_s = options->role_duration_s};
    if (!role.token_file)
        role = (S3Role){.role_arn = g_getenv("AWS_ROLE_ARN"),
                        .session_name = g_getenv("AWS_ROLE_SESSION_NAME"),
                        .token_file = g_getenv("AWS_WEB_IDENTITY_TOKEN_FILE")};
    if (!is_set(role.token_file) || !is_set(role.role_arn))
        return TRUE;
    return s3_credential_sts_web_identity(source, call, &role, out, error);
}

typedef gboolean (*Step)(const S3CredentialSource *source, Call *call, S3Credentials **out, GError **error);

static gboolean
from_settings(const S3CredentialSource *source, Call *call, S3Credentials **out, GError **error)
{
    const S3Options *options = source->options;
    if (options->access_key_id)
        *out =
            s3_credentials_new(options->access_key_id, options->secret_access_key, options->session_token, 0);
    else if (options->profile)
        return from_profile(source, call, options->profile, 0, out, error);
    else if (!options->web_identity_token_file)
        *out = from_environment();
    return TRUE;
}

static gboolean
from_files(const S3CredentialSource *source, Call *call, S3Credentials **out, GError **error)
{
    return from_profile(source, call, s3_profiles_resolve_name(NULL), 0, out, error);
}

static gboolean
find_first(const S3CredentialSource *source, Call *call, S3Credentials **out, GError **error)
{
    static const Step steps[] = {from_settings, from_web_identity, from_files, s3_credential_remote_container,
                                 s3_credential_remote_instance};
    gboolean only_settings = source->options->access_key_id || source->options->profile;
    for (gsize i = 0; i < (only_settings ? 1 : G_N_ELEMENTS(steps)); i++) {
        if (!steps[i](source, call, out, error))
            return FALSE;
        if (*out)
            return TRUE;
    }
    if (source->options->profile)
        g_set_error(error, STORAGEFS_ERROR, ERROR_DENIED, "no credentials in profile %s",
                    source->options->profile);
    else
        g_set_error(error, STORAGEFS_ERROR, ERROR_DENIED,
                    "no credentials: set access_key_id and secret_access_key, or profile; looked also at the "
                    "environment, web identity, shared files, container and instance roles");
    return FALSE;
}

gboolean
s3_credential_chain_fetch(const S3CredentialSource *source, Call *call, S3Credentials **out, GError **error)
{
    const S3Options *options = source->options;
    g_autoptr(S3Credentials) found = NULL;
    if (!find_first(source, call, &found, error))
        return FALSE;
    if (!options->role_arn || options->web_identity_token_file) {
        *out = g_steal_pointer(&found);
        return TRUE;
    }
    S3Role role = {.role_arn = options->role_arn,
                   .session_name = options->role_session_name,
                   .external_id = options->role_external_id,
                   .duration_s = options->role_duration_s};
    return s3_credential_sts_assume(source, call, &role, found, out, error);
}
