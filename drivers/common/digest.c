/* Thin wrappers over OpenSSL's EVP, and CRC-32C. See digest.h. */
#include "drivers/common/digest.h"

#include "src/base/crc32c.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

#define CHUNK_BYTES (256u << 10)

/* OpenSSL fails here only when it cannot allocate, where glib would end the program as well. */
static void
must(int done)
{
    if (done != 1)
        g_error("OpenSSL failed in a digest");
}

void
digest_sha256(const void *data, gsize length, guint8 out[DIGEST_SHA256_BYTES])
{
    must(EVP_Digest(data, length, out, NULL, EVP_sha256(), NULL));
}

void
digest_hmac_sha256(const void *key, gsize key_length, const void *data, gsize length,
                   guint8 out[DIGEST_SHA256_BYTES])
{
    must(HMAC(EVP_sha256(), key, (int)key_length, data, length, out, NULL) != NULL);
}

char *
digest_hex(const guint8 *bytes, gsize length)
{
    static const char digits[] = "0123456789abcdef";
    char *text = g_malloc(length * 2 + 1);
    for (gsize i = 0; i < length; i++) {
        text[i * 2] = digits[bytes[i] >> 4];
        text[i * 2 + 1] = digits[bytes[i] & 15];
    }
    text[length * 2] = 0;
    return text;
}

static char *
hex_of(const EVP_MD *kind, const void *data, gsize length)
{
    guint8 digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    must(EVP_Digest(data, length, digest, &size, kind, NULL));
    return digest_hex(digest, size);
}

char *
digest_sha256_hex(const void *data, gsize length)
{
    return hex_of(EVP_sha256(), data, length);
}

char *
digest_sha1_hex(const void *data, gsize length)
{
    return hex_of(EVP_sha1(), data, length);
}

char *
digest_md5_hex(const void *data, gsize length)
{
    guint8 digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    if (EVP_Digest(data, length, digest, &size, EVP_md5(), NULL) != 1)
        return NULL;
    return digest_hex(digest, size);
}

char *
digest_md5_base64(const void *data, gsize length)
{
    guint8 digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    must(EVP_Digest(data, length, digest, &size, EVP_md5(), NULL));
    return g_base64_encode(digest, size);
}

char *
digest_hmac_sha1_base64(const char *key, const char *text)
{
    guint8 digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    must(HMAC(EVP_sha1(), key, (int)strlen(key), (const guint8 *)text, strlen(text), digest, &size) != NULL);
    return g_base64_encode(digest, size);
}

char *
digest_crc32c_base64(guint32 crc)
{
    guint32 wire = GUINT32_TO_BE(crc);
    return g_base64_encode((const guint8 *)&wire, sizeof wire);
}

void
digest_set_clear(DigestSet *set)
{
    g_free(set->sha256_hex);
    g_free(set->md5_base64);
    g_free(set->crc32c_base64);
    *set = (DigestSet){0};
}

typedef struct {
    EVP_MD_CTX *sha256, *md5;
    gboolean wants_crc32c;
    guint32 crc32c;
} Running;

static void
running_clear(Running *running)
{
    EVP_MD_CTX_free(running->sha256);
    EVP_MD_CTX_free(running->md5);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Running, running_clear)

static EVP_MD_CTX *
start(const EVP_MD *kind)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    must(context && EVP_DigestInit_ex(context, kind, NULL));
    return context;
}

static void
running_update(Running *running, const guint8 *bytes, gsize length)
{
    if (running->sha256)
        must(EVP_DigestUpdate(running->sha256, bytes, length));
    if (running->md5)
        must(EVP_DigestUpdate(running->md5, bytes, length));
    if (running->wants_crc32c)
        running->crc32c = crc32c_append(running->crc32c, bytes, length);
}

static void
running_finish(Running *running, DigestSet *out)
{
    guint8 digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    *out = (DigestSet){0};
    if (running->sha256) {
        must(EVP_DigestFinal_ex(running->sha256, digest, &size));
        out->sha256_hex = digest_hex(digest, size);
    }
    if (running->md5) {
        must(EVP_DigestFinal_ex(running->md5, digest, &size));
        out->md5_base64 = g_base64_encode(digest, size);
    }
    if (running->wants_crc32c)
        out->crc32c_base64 = digest_crc32c_base64(running->crc32c);
}

gboolean
digest_source(const ByteSource *source, unsigned wants, DigestSet *out, GError **error)
{
    g_auto(Running) running = {.wants_crc32c = (wants & DIGEST_WANT_CRC32C) != 0};
    if (wants & DIGEST_WANT_SHA256)
        running.sha256 = start(EVP_sha256());
    if (wants & DIGEST_WANT_MD5)
        running.md5 = start(EVP_md5());
    g_autofree guint8 *chunk = wants && source->size_bytes > 0 ? g_malloc(CHUNK_BYTES) : NULL;
    for (guint64 offset = 0; chunk && offset < source->size_bytes;) {
        gsize length = (gsize)MIN((guint64)CHUNK_BYTES, source->size_bytes - offset);
        if (!source->read(source->data, offset, chunk, length, error))
            return FALSE;
        running_update(&running, chunk, length);
        offset += length;
    }
    running_finish(&running, out);
    return TRUE;
}
