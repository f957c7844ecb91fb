/* See s3_credentials.h. */
#include "drivers/s3/s3_credentials.h"

#include "src/base/log.h"

S3Credentials *
s3_credentials_new(const char *access_key_id, const char *secret_access_key, const char *session_token,
                   gint64 expires_s)
{
    S3Credentials *credentials = g_new0(S3Credentials, 1);
    credentials->access_key_id = g_strdup(access_key_id);
    credentials->secret_access_key = g_strdup(secret_access_key);
    credentials->session_token = session_token && *session_token ? g_strdup(session_token) : NULL;
    credentials->expires_s = expires_s;
    credentials->references = 1;
    log_add_secret(secret_access_key);
    if (credentials->session_token)
        log_add_secret(credentials->session_token);
    return credentials;
}

S3Credentials *
s3_credentials_ref(S3Credentials *credentials)
{
    g_atomic_int_inc(&credentials->references);
    return credentials;
}

void
s3_credentials_unref(S3Credentials *credentials)
{
    if (!g_atomic_int_dec_and_test(&credentials->references))
        return;
    g_free(credentials->access_key_id);
    g_free(credentials->secret_access_key);
    g_free(credentials->session_token);
    g_free(credentials);
}

gint64
s3_credentials_get_remaining_s(const S3Credentials *credentials)
{
    if (credentials->expires_s == 0)
        return G_MAXINT64;
    return credentials->expires_s - g_get_real_time() / G_USEC_PER_SEC;
}
