/* Presets, keys, addresses and names: what a configuration comes to before anything is sent. */
#include "drivers/s3/s3.h"
#include "drivers/s3/s3_endpoint.h"
#include "drivers/s3/s3_metadata.h"
#include "drivers/s3/s3_names.h"
#include "drivers/s3/s3_request.h"
#include "tests/unit/s3_fixture.h"

#include <string.h>

static S3 *
open_good(const char *name, const char *keys)
{
    g_autoptr(GError) error = NULL;
    DriverInstance *instance = s3_fixture_open(name, keys, &error);
    g_assert_no_error(error);
    return (S3 *)instance;
}

static char *
url_of(S3 *s3, const char *container, const char *key)
{
    g_auto(S3Address) address = {0};
    s3_endpoint_build(s3->options, s3->options->region, NULL, container, key, &address);
    g_assert_true(g_str_has_suffix(address.origin, address.host));
    return g_strconcat(address.origin, address.path, NULL);
}

static void
test_presets(void)
{
    for (guint i = 0; s3_presets_names[i]; i++) {
        const S3Preset *preset = s3_presets_find(s3_presets_names[i]);
        g_assert_nonnull(preset);
        g_assert_cmpstr(preset->name, ==, s3_presets_names[i]);
        g_assert_true(preset->list_version == 1 || preset->list_version == 2);
        S3 *s3 = open_good(preset->name, preset->endpoint ? "region = r-1\naccount = acc"
                                                          : "region = r-1\nendpoint = h.example");
        g_autofree char *url = url_of(s3, "bucket", "key");
        g_test_message("%s: %s", preset->name, url);
        g_assert_true(g_str_has_prefix(url, "https://"));
        g_assert_null(strchr(url, '{'));
        s3_driver.close(&s3->base);
    }
    g_assert_null(s3_presets_find("nobody"));
}

static void
test_addresses(void)
{
    static const struct {
        const char *driver, *keys, *container, *key, *url;
    } cases[] = {
        {"s3", "", "photos", "a b/c", "https://photos.s3.us-east-1.amazonaws.com/a%20b/c"},
        {"s3", "region = cn-north-1", "photos", "k", "https://photos.s3.cn-north-1.amazonaws.com.cn/k"},
        {"s3", "", "with.dots", "k", "https://s3.us-east-1.amazonaws.com/with.dots/k"},
        {"s3", "", "photos", NULL, "https://photos.s3.us-east-1.amazonaws.com/"},
        {"s3", "", NULL, NULL, "https://s3.us-east-1.amazonaws.com/"},
        {"s3", "addressing = path", "photos", "k", "https://s3.us-east-1.amazonaws.com/photos/k"},
        {"s3", "endpoint = http://127.0.0.1:9000/", "photos", "k", "http://127.0.0.1:9000/photos/k"},
        {"s3", "endpoint = http://127.0.0.1:9000", "photos", NULL, "http://127.0.0.1:9000/photos"},
        {"ceph", "endpoint = http://h:80/base/", "b", "../x//y", "http://h/base/b/../x//y"},
        {"ceph", "endpoint = HTTPS://H.example:443", "b", "k", "https://h.example/b/k"},
        {"ceph", "endpoint = http://[::1]:7480", "b", "k", "http://[::1]:7480/b/k"},
        {"ceph", "endpoint = http://h.example\naddressing = virtual", "b.c", "k", "http://b.c.h.example/k"},
        {"ceph", "endpoint = http://h.example\naddressing = virtual", "B_c", "k", "http://h.example/B_c/k"},
        {"r2", "account = abc", "b", "k", "https://b.abc.r2.cloudflarestorage.com/k"},
        {"minio", "endpoint = h.example", "b", "\x01%+\xc3\xa9", "https://h.example/b/%01%25%2B%C3%A9"},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        S3 *s3 = open_good(cases[i].driver, cases[i].keys);
        g_autofree char *url = url_of(s3, cases[i].container, cases[i].key);
        g_assert_cmpstr(url, ==, cases[i].url);
        s3_driver.close(&s3->base);
    }
}

static void
test_overrides(void)
{
    S3 *s3 = open_good(
        "s3", "signature = v2\nlist_version = 1\nencoding_type = no\ncopy_part = no\npart_limit = 77\n"
              "conditional_writes = no\nchecksum = md5\nequal_parts = yes\nminimum_part_size = 8M\n"
              "region = eu-west-1\nurl_lifetime = 2m\nsign_payload = yes\n");
    const S3Options *options = s3->options;
    Capabilities can;
    s3_driver.get_capabilities(&s3->base, &can);
    g_assert_cmpint(options->signature, ==, S3_SIGNATURE_V2);
    g_assert_cmpuint(options->list_version, ==, 1);
    g_assert_false(options->encoding_type);
    g_assert_true(options->sign_payload);
    g_assert_cmpint(options->checksum, ==, S3_CHECKSUM_MD5);
    g_assert_cmpuint(options->url_lifetime_s, ==, 120);
    g_assert_cmpstr(options->location_constraint, ==, "eu-west-1");
    g_assert_false(can.copy_part);
    g_assert_true(can.equal_parts);
    g_assert_cmpuint(can.maximum_parts, ==, 77);
    g_assert_cmpuint(can.minimum_part_bytes, ==, 8 << 20);
    g_assert_cmpint(can.write_if_absent, ==, CONDITION_NONE);
    s3_driver.close(&s3->base);

    s3 = open_good("s3", "");
    s3_driver.get_capabilities(&s3->base, &can);
    g_assert_cmpint(can.write_if_absent, ==, CONDITION_ATOMIC);
    g_assert_cmpint(can.delete_if_etag, ==, CONDITION_ATOMIC);
    g_assert_null(s3->options->location_constraint);
    g_assert_false(s3->options->sign_payload);
    s3_driver.close(&s3->base);
}

/* AWS's variables speak of AWS alone. */
static void
test_environment(void)
{
    g_setenv("AWS_REGION", "eu-north-1", TRUE);
    S3 *aws = open_good("s3", ""), *wasabi = open_good("wasabi", "");
    g_assert_cmpstr(aws->options->region, ==, "eu-north-1");
    g_assert_cmpstr(wasabi->options->region, ==, "us-east-1");
    s3_driver.close(&aws->base);
    s3_driver.close(&wasabi->base);
    g_setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1", TRUE);
    aws = open_good("s3", "region = x");
    g_assert_cmpstr(aws->options->region, ==, "x");
    g_assert_cmpstr(aws->options->endpoint, ==, "http://127.0.0.1:1");
    s3_driver.close(&aws->base);
    g_unsetenv("AWS_REGION");
    g_unsetenv("AWS_ENDPOINT_URL_S3");
}

static void
test_refused(void)
{
    static const struct {
        const char *driver, *keys, *text;
    } cases[] = {
        {"ceph", "", "endpoint"},
        {"hetzner", "", "region"},
        {"r2", "", "account"},
        {"ceph", "endpoint = ftp://h", "http"},
        {"ceph", "endpoint = http://user@h", "expected"},
        {"ceph", "endpoint = http://u:pass/w0rd@h", "no place"},
        {"ceph", "endpoint = http://", "host"},
        {"s3", "access_key_id = A", "go together"},
        {"s3", "access_key_id = A\nsecret_access_key = B\nprofile = p", "not both"},
        {"s3", "addressing = both", "addressing"},
        {"s3", "encryption = customer", "customer_key"},
        {"s3", "encryption = customer\ncustomer_key = dG9vc2hvcnQ=", "32 bytes"},
        {"ceph", "endpoint = http://h\nencryption = customer\ncustomer_key = x", "https"},
        {"s3", "ca_file = /nonexistent.pem", "nonexistent.pem"},
        {"s3", "acces_key_id = x", "access_key_id"},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = NULL;
        g_assert_null(s3_fixture_open(cases[i].driver, cases[i].keys, &error));
        g_test_message("%s", error->message);
        g_assert_error(error, STORAGEFS_ERROR, ERROR_BAD_CONFIG);
        g_assert_nonnull(strstr(error->message, cases[i].text));
        g_assert_nonnull(strstr(error->message, "storagefs.conf:"));
    }
}

static void
test_place(void)
{
    S3 *s3 = open_good("ceph", "endpoint = http://h:1\naccess_key_id = KEY\nsecret_access_key = verysecret");
    g_autofree char *place = s3_driver.describe_place(&s3->base);
    g_assert_cmpstr(place, ==, "s3 http://h:1 as KEY");
    g_autofree char *url = NULL;
    g_assert_true(s3_driver.sign_url(&s3->base, "b", "k", 60, &url, NULL));
    g_assert_true(
        g_str_has_prefix(url, "http://h:1/b/k?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=KEY%2F"));
    s3_driver.close(&s3->base);
}

static void
check_names(const char *driver, const char *keys, const char *good, const char *bad)
{
    S3 *s3 = open_good(driver, keys);
    g_auto(GStrv) goods = g_strsplit(good, " ", -1), bads = g_strsplit(bad, " ", -1);
    for (guint i = 0; goods[i]; i++) {
        g_autoptr(GError) error = NULL;
        s3_driver.check_container_name(&s3->base, goods[i], &error);
        g_assert_no_error(error);
    }
    for (guint i = 0; bads[i]; i++) {
        g_autoptr(GError) error = NULL;
        g_test_message("%s: %s", driver, bads[i]);
        g_assert_false(s3_driver.check_container_name(&s3->base, bads[i], &error));
        g_assert_error(error, STORAGEFS_ERROR, ERROR_BAD_NAME);
    }
    s3_driver.close(&s3->base);
}

static void
test_container_names(void)
{
    const char *at = "endpoint = http://h";
    g_autofree char *longest = g_strnfill(63, 'a'), *longer = g_strnfill(64, 'a');
    check_names("s3", "", "abc a-b.c 123",
                "ab Abc a_b -ab ab- a..b 1.2.3.4 xn--abc abc-s3alias abc--x-s3  a/b ..");
    check_names("s3", "", longest, longer);
    check_names("minio", at, "abc a.b", "a.-b a-.b");
    check_names("ceph", at, "xn--abc", "ab Abc");
    check_names("ceph", "endpoint = http://h\nname_check = server", "ab Abc a_b", ". .. a/b");
    check_names("gcs", "", "a_b", "goog-a my-google-b");
    check_names("b2", "region = r", "Abcdef abc-def", "abc.def b2-abcd abcde");
    check_names("aliyun_oss", "region = r", "a-b-c", "a.b.c");
}

static void
test_keys(void)
{
    S3 *ceph = open_good("ceph", "endpoint = http://h"), *minio = open_good("minio", "endpoint = http://h");
    g_autofree char *longest = g_strnfill(1024, 'k'), *longer = g_strnfill(1025, 'k');
    g_assert_true(s3_driver.check_key(&ceph->base, "a//../b/", NULL));
    g_assert_true(s3_driver.check_key(&ceph->base, longest, NULL));
    g_assert_false(s3_driver.check_key(&ceph->base, longer, NULL));
    g_assert_false(s3_driver.check_key(&ceph->base, "", NULL));
    g_assert_false(s3_driver.check_key(&ceph->base, "\xff", NULL));
    g_assert_true(s3_driver.check_key(&minio->base, "a/.b/", NULL));
    g_assert_false(s3_driver.check_key(&minio->base, "a//b", NULL));
    g_assert_false(s3_driver.check_key(&minio->base, "/a", NULL));
    g_assert_false(s3_driver.check_key(&minio->base, "a/../b", NULL));
    g_assert_true(s3_driver.check_metadata_name(&minio->base, "content_type", NULL));
    g_assert_false(s3_driver.check_metadata_name(&ceph->base, "content_type", NULL));
    g_assert_false(s3_driver.check_metadata_name(&minio->base, "Upper", NULL));
    g_assert_false(s3_driver.check_metadata_name(&minio->base, "a b", NULL));
    g_assert_false(s3_driver.check_metadata_name(&minio->base, "a:b", NULL));
    s3_driver.close(&ceph->base);
    s3_driver.close(&minio->base);
}

static void
test_metadata_words(void)
{
    static const char *const texts[] = {"",     "plain",         "\xc3\xa9", " lead", "trail ",
                                        "a  b", "=?UTF-8?Q?x?=", "a\r\nb",   "\x7f",  "tab\t",
                                        "=?",   "a =?x?= b"};
    for (gsize i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autofree char *sent = s3_metadata_encode(texts[i]);
        g_autofree char *back = s3_metadata_decode(sent);
        g_assert_true(g_str_is_ascii(sent));
        g_assert_null(strpbrk(sent, "\r\n\t"));
        g_assert_cmpstr(back, ==, texts[i]);
    }
    g_autoptr(GString) text = g_string_new(NULL);
    for (int i = 0; i < 100; i++)
        g_string_append(text, "x\xe2\x82\xac");
    g_autofree char *sent = s3_metadata_encode(text->str);
    g_autofree char *back = s3_metadata_decode(sent);
    g_assert_cmpstr(back, ==, text->str);
    g_auto(GStrv) words = g_strsplit(sent, " ", -1);
    for (guint i = 0; words[i]; i++)
        g_assert_cmpuint(strlen(words[i]), <=, 75);
}

static void
test_metadata_of_others(void)
{
    static const char *const cases[][2] = {
        {"=?UTF-8?Q?caf=C3=A9_x?=", "caf\xc3\xa9 x"},
        {"=?utf-8?b?w6k=?= =?utf-8?q?=C3=A9?=", "\xc3\xa9\xc3\xa9"},
        {"a =?UTF-8?B?w6k=?= b", "a \xc3\xa9 b"},
        {"=?ISO-8859-1?Q?=E9?=", "=?ISO-8859-1?Q?=E9?="},
        {"=?UTF-8?B?w6k=", "=?UTF-8?B?w6k="},
        {"=?UTF-8?B?/w==?=", "=?UTF-8?B?/w==?="},
        {"raw \xc3\xa9", "raw \xc3\xa9"},
        {"bad \xff", "bad \xef\xbf\xbd"},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *text = s3_metadata_decode(cases[i][0]);
        g_assert_cmpstr(text, ==, cases[i][1]);
    }
}

static void
test_redirects(void)
{
    static const struct {
        const char *driver, *keys, *to;
        gboolean may;
    } cases[] = {
        {"s3", "", "s3-us-west-2.amazonaws.com", TRUE},
        {"s3", "", "s3.eu-west-1.amazonaws.com", TRUE},
        {"s3", "", "S3.EU-West-1.amazonaws.com", TRUE},
        {"s3", "endpoint = s3.amazonaws.com", "s3.eu-west-1.amazonaws.com", TRUE},
        {"s3", "endpoint = s3.dualstack.us-east-1.amazonaws.com", "s3.dualstack.us-gov-west-1.amazonaws.com",
         TRUE},
        {"s3", "region = cn-north-1", "s3.cn-northwest-1.amazonaws.com.cn", TRUE},
        {"s3", "region = cn-north-1", "s3.evil.com.cn", FALSE},
        {"s3", "region = cn-north-1", "s3.us-east-1.amazonaws.com", FALSE},
        {"s3", "", "s3.evilamazonaws.com", FALSE},
        {"s3", "", "ec2-1-2-3-4.compute-1.amazonaws.com", FALSE},
        {"s3", "", "evil-1234567890.us-east-1.elb.amazonaws.com", FALSE},
        {"s3", "", "s3.us-east-1.amazonaws.com.evil.example", FALSE},
        {"s3", "", "s3.us-east-1.amazonaws.com:8443", FALSE},
        {"s3", "", "s3.evil.example/.amazonaws.com", FALSE},
        {"s3", "", "other.s3.us-east-1.amazonaws.com", FALSE},
        {"s3_other", "endpoint = s3.mine.co.uk", "s3.mine.co.uk", TRUE},
        {"s3_other", "endpoint = s3.mine.co.uk", "s3.theirs.co.uk", FALSE},
        {"s3_other", "endpoint = s3.mine.co.uk", "s3.eu.mine.co.uk", FALSE},
        {"s3_other", "endpoint = s3-{region}.mine.co.uk", "s3-other-1.mine.co.uk", TRUE},
        {"s3_other", "endpoint = s3-{region}.mine.co.uk", "s3-a.b.mine.co.uk", FALSE},
        {"s3_other", "endpoint = s3-{region}.mine.co.uk:444", "s3-b.mine.co.uk", FALSE},
        {"s3_other", "endpoint = s3.eu-west-1.wasabisys.com", "s3.us-east-2.wasabisys.com", TRUE},
        {"s3_other", "endpoint = s3.eu-west-1.wasabisys.com", "www.wasabisys.com", FALSE},
        {"s3_other", "endpoint = http://127.0.0.1:9000", "127.0.0.1:9000", TRUE},
        {"s3_other", "endpoint = http://127.0.0.1:9000", "127.0.0.1:9001", FALSE},
        {"s3_other", "endpoint = http://127.0.0.1:9000", "1.0.0.1", FALSE},
        {"s3_other", "endpoint = http://localhost", "evil.localhost", FALSE},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        S3 *s3 = open_good(cases[i].driver, cases[i].keys);
        g_test_message("%s (%s) to %s", cases[i].driver, cases[i].keys, cases[i].to);
        g_assert_cmpint(s3_endpoint_may_follow(s3->options, cases[i].to), ==, cases[i].may);
        s3_driver.close(&s3->base);
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    s3_fixture_isolate();
    g_test_add_func("/s3/options/presets", test_presets);
    g_test_add_func("/s3/options/addresses", test_addresses);
    g_test_add_func("/s3/options/overrides", test_overrides);
    g_test_add_func("/s3/options/environment", test_environment);
    g_test_add_func("/s3/options/refused", test_refused);
    g_test_add_func("/s3/options/place", test_place);
    g_test_add_func("/s3/options/container-names", test_container_names);
    g_test_add_func("/s3/options/keys", test_keys);
    g_test_add_func("/s3/options/metadata-words", test_metadata_words);
    g_test_add_func("/s3/options/metadata-of-others", test_metadata_of_others);
    g_test_add_func("/s3/options/redirects", test_redirects);
    return g_test_run();
}
