/* One set of credentials: immutable, reference counted, its secrets masked in logs. */
#pragma once

#include <glib.h>

typedef struct S3Credentials {
    char *access_key_id, *secret_access_key;
    char *session_token; /* NULL for permanent keys */
    gint64 expires_s;    /* since the epoch, 0 never */
    gint references;
} S3Credentials;

/* session_token may be NULL or "" (none). */
S3Credentials *s3_credentials_new(const char *access_key_id, const char *secret_access_key,
                                  const char *session_token, gint64 expires_s);
S3Credentials *s3_credentials_ref(S3Credentials *credentials);
void s3_credentials_unref(S3Credentials *credentials);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(S3Credentials, s3_credentials_unref)

/* Seconds until they expire, G_MAXINT64 when they never do. */
gint64 s3_credentials_get_remaining_s(const S3Credentials *credentials);
