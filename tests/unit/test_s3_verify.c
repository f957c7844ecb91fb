/* Objects that were read as a whole and do not fit what the service tells of them. */
#include "drivers/common/digest.h"
#include "drivers/s3/s3.h"
#include "src/base/crc32c.h"
#include "src/base/error.h"
#include "tests/unit/s3_fixture.h"

#include <string.h>

#define GOOD "the right bytes"
#define BAD "the wrong bytes"
#define WORSE "the worst bytes"
#define RANGE "Content-Range: bytes 0-14/15\r\n"
/* MD5 and CRC-32C of GOOD, checked by test_sums(). */
#define MD5 "ETag: \"bd518aa2478b3e7cb702938de090a453\"\r\n"
#define CRC "x-amz-checksum-crc32c: rMeNuQ==\r\n"

/* What one object's read gives, in turn: a code below 0 is success. */
typedef struct {
    const char *headers, *body;
    int code;
} Step;

static void
assert_reads(const char *preset, const char *keys, const Step *steps, guint count)
{
    S3Reply replies[8] = {{0}};
    for (guint i = 0; i < count; i++)
        replies[i] = (S3Reply){
            .status = "206 Partial", .headers = steps[i].headers, .body = steps[i].body, .times = 1};
    g_autoptr(RawServer) server = s3_fixture_serve(replies);
    DriverInstance *instance = s3_fixture_open_at(server, preset, keys);
    for (guint i = 0; i < count; i++) {
        g_autoptr(GError) error = NULL;
        char buffer[64];
        gsize length = 77;
        g_test_message("step %u", i);
        gboolean good = s3_driver.read_object(instance, NULL, "bucket", "key", 0, sizeof buffer, NULL, buffer,
                                              &length, NULL, &error);
        if (steps[i].code >= 0) {
            g_assert_false(good);
            g_assert_error(error, STORAGEFS_ERROR, steps[i].code);
            g_assert_cmpuint(length, ==, 77);
        } else {
            g_assert_no_error(error);
            g_assert_cmpmem(buffer, length, steps[i].body, strlen(steps[i].body));
        }
    }
    s3_driver.close(instance);
}
#define ASSERT_READS(preset, ...)                                                                            \
    assert_reads(preset, "", (const Step[]){__VA_ARGS__},                                                    \
                 (guint)(sizeof((const Step[]){__VA_ARGS__}) / sizeof(Step)))

static void
test_sums(void)
{
    g_autofree char *md5 = digest_md5_hex(GOOD, strlen(GOOD));
    g_autofree char *crc = digest_crc32c_base64(crc32c_append(0, GOOD, strlen(GOOD)));
    g_assert_nonnull(strstr(MD5, md5));
    g_assert_nonnull(strstr(CRC, crc));
}

static void
test_checksum(void)
{
    ASSERT_READS("s3_other", {RANGE CRC, GOOD, -1}, {RANGE CRC, BAD, ERROR_UNAVAILABLE},
                 {RANGE CRC, WORSE, ERROR_UNAVAILABLE}, {RANGE CRC, GOOD, -1},
                 {RANGE CRC, BAD, ERROR_PROTOCOL});
    /* Of parts; of nothing. */
    ASSERT_READS("s3_other", {RANGE "x-amz-checksum-crc32c: AAAAAA==-2\r\n", BAD, -1},
                 {RANGE "x-amz-checksum-crc32c:\r\n", BAD, -1});
}

static void
test_md5(void)
{
    ASSERT_READS("s3_other", {RANGE MD5, GOOD, -1}, {RANGE MD5, BAD, ERROR_UNAVAILABLE},
                 {RANGE MD5, WORSE, ERROR_UNAVAILABLE}, {RANGE MD5, GOOD, -1});
    /* Where ETags are MD5s, one that is none counts for its object alone. */
    ASSERT_READS("s3_other", {RANGE MD5, GOOD, -1}, {RANGE MD5, BAD, ERROR_UNAVAILABLE}, {RANGE MD5, BAD, -1},
                 {RANGE MD5, BAD, -1}, {RANGE MD5, WORSE, ERROR_UNAVAILABLE});
}

static void
test_a_service_whose_etags_are_none(void)
{
    ASSERT_READS("s3_other", {RANGE MD5, BAD, ERROR_UNAVAILABLE}, {RANGE MD5, BAD, -1},
                 {RANGE MD5, WORSE, -1});
}

static void
test_what_is_not_compared(void)
{
    static const char *const headers[] = {
        (RANGE "ETag: \"00000000000000000000000000000000-2\"\r\n"),
        (RANGE "ETag: \"0000000000000000000000000000000g\"\r\n"),
        (RANGE "ETag: \"\"\r\n"),
        (RANGE MD5 "x-amz-server-side-encryption: aws:kms\r\n"),
        (RANGE MD5 "x-amz-server-side-encryption: aws:kms:dsse\r\n"),
        (RANGE MD5 "x-amz-server-side-encryption-customer-algorithm: AES256\r\n"),
        ("Content-Range: bytes 0-63/64000\r\n" MD5),
    };
    for (gsize i = 0; i < G_N_ELEMENTS(headers); i++) {
        char much[65] = BAD;
        if (i == G_N_ELEMENTS(headers) - 1)
            memset(much, 'x', 64);
        ASSERT_READS("s3_other", {headers[i], much, -1});
    }
    ASSERT_READS("s3_other", {RANGE MD5 "x-amz-server-side-encryption: AES256\r\n", BAD, ERROR_UNAVAILABLE});
}

/* Asked for where we send it ourselves, and only where the whole object may come. */
static void
test_who_is_asked(void)
{
    static const S3Reply replies[] = {{NULL, NULL, "206 Partial", RANGE, GOOD, 0}, {0}};
    static const struct {
        const char *preset;
        guint64 offset;
        guint asked;
    } cases[] = {{"s3", 0, 1}, {"s3", 4, 0}, {"ceph", 0, 0}};
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(RawServer) server = s3_fixture_serve(replies);
        DriverInstance *instance = s3_fixture_open_at(server, cases[i].preset, "");
        char buffer[64];
        gsize length = 0;
        (void)s3_driver.read_object(instance, NULL, "bucket", "key", cases[i].offset, sizeof buffer, NULL,
                                    buffer, &length, NULL, NULL);
        g_assert_cmpuint(raw_server_count(server, "x-amz-checksum-mode: ENABLED"), ==, cases[i].asked);
        s3_driver.close(instance);
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    s3_fixture_isolate();
    g_test_add_func("/s3/verify/sums", test_sums);
    g_test_add_func("/s3/verify/checksum", test_checksum);
    g_test_add_func("/s3/verify/md5", test_md5);
    g_test_add_func("/s3/verify/a-service-whose-etags-are-none", test_a_service_whose_etags_are_none);
    g_test_add_func("/s3/verify/what-is-not-compared", test_what_is_not_compared);
    g_test_add_func("/s3/verify/who-is-asked", test_who_is_asked);
    return g_test_run();
}
