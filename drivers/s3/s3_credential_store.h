/* The credentials in force: fetched when first needed, renewed before they expire, one renewal at a time.
 *
 * Thread-safe. While one thread renews, the others go on with the old ones as long as these are valid, and
 * wait otherwise.
 */
#pragma once

#include "drivers/s3/s3_credential_source.h"

typedef struct S3CredentialStore S3CredentialStore;

/* source is copied; what it points at must outlive the store. */
S3CredentialStore *s3_credential_store_new(const S3CredentialSource *source);
void s3_credential_store_free(S3CredentialStore *store);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(S3CredentialStore, s3_credential_store_free)

/* The next fetch may renew, although the last renewal was less than 30 s ago. */
void s3_credential_store_end_pause(S3CredentialStore *store);
/* Blocks: when they have to be fetched. Fails: as the chain. */
gboolean s3_credential_store_fetch(S3CredentialStore *store, Call *call, S3Credentials **out, GError **error);
/* What is there already, without asking anybody; NULL nothing yet, or nothing valid. Caller unrefs. */
S3Credentials *s3_credential_store_get(S3CredentialStore *store);
/* The service called these expired: they are not given out again. */
void s3_credential_store_reject(S3CredentialStore *store, const S3Credentials *credentials);
