/* Digests of memory and of byte sources, in the text forms that services want.
 *
 * MD, SHA and HMAC are OpenSSL's, CRC-32C is src/base/crc32c.c's.
 */
#pragma once

#include "src/storage/driver.h"

#include <glib.h>

#define DIGEST_SHA256_BYTES 32u

void digest_sha256(const void *data, gsize length, guint8 out[DIGEST_SHA256_BYTES]);
void digest_hmac_sha256(const void *key, gsize key_length, const void *data, gsize length,
                        guint8 out[DIGEST_SHA256_BYTES]);
/* Lower-case hexadecimal. Caller frees. */
char *digest_sha256_hex(const void *data, gsize length);
char *digest_sha1_hex(const void *data, gsize length);
char *digest_hex(const guint8 *bytes, gsize length);
/* NULL where OpenSSL offers no MD5 (FIPS). */
char *digest_md5_hex(const void *data, gsize length);
/* Base64. Caller frees. */
char *digest_md5_base64(const void *data, gsize length);
char *digest_hmac_sha1_base64(const char *key, const char *text);
/* Base64 of the big-endian value. Caller frees. */
char *digest_crc32c_base64(guint32 crc);

/* What to compute over a source in one pass over its bytes. */
typedef enum { DIGEST_WANT_SHA256 = 1, DIGEST_WANT_MD5 = 2, DIGEST_WANT_CRC32C = 4 } DigestWant;

/* The texts that were asked for; the others are NULL. */
typedef struct {
    char *sha256_hex, *md5_base64, *crc32c_base64;
} DigestSet;
void digest_set_clear(DigestSet *set);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(DigestSet, digest_set_clear)

/* Reads the whole source once. wants: bits of DigestWant, 0 reads nothing. Fails: what source->read fails
 * with. */
gboolean digest_source(const ByteSource *source, unsigned wants, DigestSet *out, GError **error);
