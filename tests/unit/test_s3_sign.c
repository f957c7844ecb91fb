/* Signatures against published vectors: AWS's signature version 4 test suite, the examples of the Amazon S3
 * API Reference for version 4 in headers and URLs, and those of its developer guide for version 2. */
#include "drivers/common/digest.h"
#include "drivers/s3/s3_sign.h"

#include <string.h>

/* 20150830T123600Z, and 20130524T000000Z. */
#define SUITE_TIME_S 1440938160
#define GUIDE_TIME_S 1369353600

typedef struct {
    const char *name, *method, *path;
    const char *parameters[5]; /* name, value, ... */
    const char *headers[4];
    const char *payload;
    const char *signed_names, *signature;
} Vector;

static const S3Signer suite_signer = {"AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", NULL};
static const S3Signer guide_signer = {"AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
                                      NULL};

static char *
encode(const char *const *parameters)
{
    g_autoptr(GArray) array = s3_sign_parameters_new();
    for (guint i = 0; parameters[i]; i += 2)
        s3_sign_parameters_add(array, parameters[i], parameters[i + 1]);
    return s3_sign_encode_parameters(array);
}

static void
check(const Vector *vector, const S3Signer *signer, const char *host, const char *service, gint64 time_s)
{
    g_autofree char *query = encode(vector->parameters);
    g_autofree char *hash = digest_sha256_hex(vector->payload, strlen(vector->payload));
    g_autoptr(GPtrArray) headers = g_ptr_array_new_with_free_func(g_free);
    for (guint i = 0; vector->headers[i]; i++)
        g_ptr_array_add(headers, g_strdup(vector->headers[i]));
    S3SignInput input = {vector->method, host, vector->path, query, hash, "us-east-1", service, time_s};
    guint8 key[S3_SIGN_KEY_BYTES];
    s3_sign_derive_key(signer->secret_access_key, time_s, "us-east-1", service, key);
    s3_sign_v4(&input, signer, key, headers);
    const char *authorization = g_ptr_array_index(headers, headers->len - 1);
    g_autofree char *names = g_strdup_printf("SignedHeaders=%s,", vector->signed_names);
    g_autofree char *signature = g_strconcat("Signature=", vector->signature, NULL);
    g_test_message("%s: %s", vector->name, authorization);
    g_assert_true(g_str_has_prefix(authorization, "Authorization: AWS4-HMAC-SHA256 Credential=AK"));
    g_assert_nonnull(strstr(authorization, names));
    g_assert_true(g_str_has_suffix(authorization, signature));
}

static void
test_suite(void)
{
    static const Vector vectors[] = {
        {"get-vanilla",
         "GET",
         "/",
         {NULL},
         {NULL},
         "",
         "host;x-amz-date",
         "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
        {"get-vanilla-query-order-key-case",
         "GET",
         "/",
         {"Param2", "value2", "Param1", "value1"},
         {NULL},
         "",
         "host;x-amz-date",
         "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"},
        {"get-utf8",
         "GET",
         "/%E1%88%B4",
         {NULL},
         {NULL},
         "",
         "host;x-amz-date",
         "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"},
        {"get-vanilla-utf8-query",
         "GET",
         "/",
         {"\xe1\x88\xb4", "bar"},
         {NULL},
         "",
         "host;x-amz-date",
         "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04"},
        {"post-vanilla",
         "POST",
         "/",
         {NULL},
         {NULL},
         "",
         "host;x-amz-date",
         "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"},
        {"get-header-value-trim",
         "GET",
         "/",
         {NULL},
         {"My-Header1: value1", "My-Header2: \"a   b   c\""},
         "",
         "host;my-header1;my-header2;x-amz-date",
         "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"},
        {"post-x-www-form-urlencoded",
         "POST",
         "/",
         {NULL},
         {"Content-Type: application/x-www-form-urlencoded"},
         "Param1=value1",
         "content-type;host;x-amz-date",
         "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(vectors); i++)
        check(&vectors[i], &suite_signer, "example.amazonaws.com", "service", SUITE_TIME_S);
}

static void
test_guide(void)
{
    static const Vector vectors[] = {
        {"GET object",
         "GET",
         "/test.txt",
         {NULL},
         {"Range: bytes=0-9"},
         "",
         "host;range;x-amz-content-sha256;x-amz-date",
         "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"},
        {"PUT object",
         "PUT",
         "/test%24file.text",
         {NULL},
         {"Date: Fri, 24 May 2013 00:00:00 GMT", "x-amz-storage-class: REDUCED_REDUNDANCY"},
         "Welcome to Amazon S3.",
         "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
         "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"},
        {"GET lifecycle",
         "GET",
         "/",
         {"lifecycle", ""},
         {NULL},
         "",
         "host;x-amz-content-sha256;x-amz-date",
         "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"},
        {"list",
         "GET",
         "/",
         {"prefix", "J", "max-keys", "2"},
         {NULL},
         "",
         "host;x-amz-content-sha256;x-amz-date",
         "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(vectors); i++)
        check(&vectors[i], &guide_signer, "examplebucket.s3.amazonaws.com", "s3", GUIDE_TIME_S);
}

static void
test_url(void)
{
    g_autoptr(GArray) parameters = s3_sign_parameters_new();
    S3SignInput input = {
        "GET", "examplebucket.s3.amazonaws.com", "/test.txt", "", NULL, "us-east-1", "s3", GUIDE_TIME_S};
    guint8 key[S3_SIGN_KEY_BYTES];
    s3_sign_derive_key(guide_signer.secret_access_key, GUIDE_TIME_S, "us-east-1", "s3", key);
    g_autofree char *query = s3_sign_v4_query(&input, &guide_signer, key, 86400, parameters);
    g_assert_cmpstr(query, ==,
                    "X-Amz-Algorithm=AWS4-HMAC-SHA256&"
                    "X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&"
                    "X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&"
                    "X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404");
}

/* The token of temporary keys is signed in a header, and in a URL. */
static void
test_token(void)
{
    S3Signer signer = {"AKIDEXAMPLE", "secret", "to/ken"};
    g_autoptr(GPtrArray) headers = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GArray) parameters = s3_sign_parameters_new();
    S3SignInput input = {"GET", "h:9000", "/", "", S3_SIGN_UNSIGNED_PAYLOAD, "r", "s3", 0};
    guint8 key[S3_SIGN_KEY_BYTES] = {0};
    s3_sign_v4(&input, &signer, key, headers);
    g_assert_cmpstr(g_ptr_array_index(headers, 1), ==, "x-amz-security-token: to/ken");
    g_assert_nonnull(
        strstr(g_ptr_array_index(headers, 3), "host;x-amz-content-sha256;x-amz-date;x-amz-security-token"));
    g_autofree char *query = s3_sign_v4_query(&input, &signer, key, 9999999, parameters);
    g_assert_nonnull(strstr(query, "&X-Amz-Security-Token=to%2Fken&"));
    g_assert_nonnull(strstr(query, "X-Amz-Expires=604800&"));
}

static void
check_v2(const char *method, const char *resource, const char *const *parameters, const char *const *lines,
         const char *signature)
{
    g_autoptr(GPtrArray) headers = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GArray) array = s3_sign_parameters_new();
    for (guint i = 0; parameters[i]; i += 2)
        s3_sign_parameters_add(array, parameters[i], parameters[i + 1]);
    for (guint i = 0; lines[i]; i++)
        g_ptr_array_add(headers, g_strdup(lines[i]));
    S3SignInput input = {.method = method, .time_s = GUIDE_TIME_S};
    s3_sign_v2(&input, &guide_signer, resource, array, headers);
    g_autofree char *expected = g_strconcat("Authorization: AWS AKIAIOSFODNN7EXAMPLE:", signature, NULL);
    g_assert_cmpstr(g_ptr_array_index(headers, headers->len - 1), ==, expected);
}

static void
test_version_2(void)
{
    static const char *const none[] = {NULL};
    static const char *const get[] = {"Date: Tue, 27 Mar 2007 19:36:42 +0000", NULL};
    static const char *const put[] = {"Content-Type: image/jpeg", "Date: Tue, 27 Mar 2007 21:15:45 +0000",
                                      NULL};
    static const char *const list[] = {"Date: Tue, 27 Mar 2007 19:42:41 +0000", NULL};
    static const char *const list_query[] = {"prefix", "photos", "max-keys", "50", "marker", "puppy", NULL};
    static const char *const acl[] = {"Date: Tue, 27 Mar 2007 19:44:46 +0000", NULL};
    static const char *const acl_query[] = {"acl", NULL, NULL};
    check_v2("GET", "/johnsmith/photos/puppy.jpg", none, get, "bWq2s1WEIj+Ydj0vQ697zp+IXMU=");
    check_v2("PUT", "/johnsmith/photos/puppy.jpg", none, put, "MyyxeRY7whkBe+bq8fHCL/2kKUg=");
    check_v2("GET", "/johnsmith/", list_query, list, "htDYFYduRNen8P9ZfE/s9SuKy0U=");
    check_v2("GET", "/johnsmith/", acl_query, acl, "c2WLPFtWHVgbEmeEG93a4cG37dM=");
}

/* Without a Date of the caller's, x-amz-date is added and signed. */
static void
test_version_2_date(void)
{
    g_autoptr(GPtrArray) headers = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GArray) none = s3_sign_parameters_new();
    S3SignInput input = {.method = "GET", .time_s = GUIDE_TIME_S};
    s3_sign_v2(&input, &guide_signer, "/", none, headers);
    g_assert_cmpstr(g_ptr_array_index(headers, 0), ==, "x-amz-date: Fri, 24 May 2013 00:00:00 GMT");
}

static void
test_parameters(void)
{
    static const char *const parameters[] = {"a-b", "1", "a",        "2 +/", "A", "~",
                                             "a",   "1", "\xc3\xa9", "",     NULL};
    g_autofree char *query = encode(parameters);
    g_assert_cmpstr(query, ==, "%C3%A9=&A=~&a=1&a=2%20%2B%2F&a-b=1");
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/s3/sign/suite", test_suite);
    g_test_add_func("/s3/sign/guide", test_guide);
    g_test_add_func("/s3/sign/url", test_url);
    g_test_add_func("/s3/sign/token", test_token);
    g_test_add_func("/s3/sign/version-2", test_version_2);
    g_test_add_func("/s3/sign/version-2-date", test_version_2_date);
    g_test_add_func("/s3/sign/parameters", test_parameters);
    return g_test_run();
}
