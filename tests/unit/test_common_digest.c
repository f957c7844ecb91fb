#include "drivers/common/digest.h"
#include "drivers/common/json_text.h"
#include "drivers/common/memory_source.h"
#include "src/base/crc32c.h"
#include "src/base/error.h"

#include <string.h>

static void
test_known_values(void)
{
    g_autofree char *sha256 = digest_sha256_hex("abc", 3);
    g_autofree char *sha1 = digest_sha1_hex("abc", 3);
    g_autofree char *md5 = digest_md5_base64("", 0);
    g_assert_cmpstr(sha256, ==, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    g_assert_cmpstr(sha1, ==, "a9993e364706816aba3e25717850c26c9cd0d89d");
    g_assert_cmpstr(md5, ==, "1B2M2Y8AsgTpgAmY7PhCfg==");
}

static void
test_crc32c_text(void)
{
    g_autofree char *text = digest_crc32c_base64(0xE3069283);
    g_assert_cmpstr(text, ==, "4waSgw==");
}

/* More than one chunk, and not a multiple of it. */
static void
test_source(void)
{
    gsize length = (256 << 10) * 2 + 77;
    g_autofree char *bytes = g_strnfill(length, 'z');
    ByteSource source = memory_source_make(bytes, length);
    g_auto(DigestSet) set = {0}, none = {0};
    g_autofree char *sha256 = digest_sha256_hex(bytes, length);
    g_autofree char *md5 = digest_md5_base64(bytes, length);
    g_autofree char *crc = digest_crc32c_base64(crc32c_append(0, bytes, length));
    g_assert_true(
        digest_source(&source, DIGEST_WANT_SHA256 | DIGEST_WANT_MD5 | DIGEST_WANT_CRC32C, &set, NULL));
    g_assert_cmpstr(set.sha256_hex, ==, sha256);
    g_assert_cmpstr(set.md5_base64, ==, md5);
    g_assert_cmpstr(set.crc32c_base64, ==, crc);
    g_assert_true(digest_source(&source, 0, &none, NULL));
    g_assert_null(none.sha256_hex);
}

static gboolean
fail_to_read(gpointer data, guint64 offset, void *buffer, gsize length_bytes, GError **error)
{
    g_set_error(error, STORAGEFS_ERROR, ERROR_IO, "the disk is gone");
    return FALSE;
}

static void
test_source_fails(void)
{
    ByteSource source = {1, fail_to_read, NULL};
    g_auto(DigestSet) set = {0};
    g_autoptr(GError) error = NULL;
    g_assert_false(digest_source(&source, DIGEST_WANT_MD5, &set, &error));
    g_assert_error(error, STORAGEFS_ERROR, ERROR_IO);
}

static void
test_json(void)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *deep = g_strnfill(60000, '[');
    static const char text[] = "{\"s\": \"x\\\"[\", \"n\": 5, \"o\": {\"i\": \"y\"}}";
    g_autoptr(JsonObject) object = json_text_parse(text, strlen(text), &error);
    g_assert_no_error(error);
    g_assert_cmpstr(json_text_get_string(object, "s"), ==, "x\"[");
    g_assert_null(json_text_get_string(object, "n"));
    g_assert_cmpint(json_text_get_integer(object, "n", -1), ==, 5);
    g_assert_cmpint(json_text_get_integer(object, "s", -1), ==, -1);
    g_assert_cmpstr(json_text_get_string(json_text_get_object(object, "o"), "i"), ==, "y");
    g_assert_null(json_text_get_object(object, "absent"));
    g_assert_null(json_text_parse(deep, strlen(deep), &error));
    g_assert_error(error, STORAGEFS_ERROR, ERROR_PROTOCOL);
    g_assert_null(json_text_parse("[]", 2, NULL));
    g_assert_null(json_text_parse("", 0, NULL));
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/common/digest/known-values", test_known_values);
    g_test_add_func("/common/digest/crc32c", test_crc32c_text);
    g_test_add_func("/common/digest/source", test_source);
    g_test_add_func("/common/digest/source-fails", test_source_fails);
    g_test_add_func("/common/json", test_json);
    return g_test_run();
}
