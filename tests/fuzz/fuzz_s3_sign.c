/* Signatures: any key, header and parameter gives texts that can be sent: ASCII where we encode, no line
 * breaks of ours, no longer than what went in allows, and the same for the same input. */
#include "drivers/s3/s3_endpoint.h"
#include "drivers/s3/s3_sign.h"
#include "src/storage/http.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

typedef struct {
    char *container, *key, *host, *region;
    char *id, *secret, *token;
    gint64 time_s;
    GArray *parameters;
    GPtrArray *headers;
    gsize total_bytes;
} Sample;

void
fuzz_begin(void)
{
}

static char *
take(FuzzInput *input, Sample *sample)
{
    char *text = fuzz_take_text(input, '\n');
    sample->total_bytes += strlen(text);
    return text;
}

static void
sample_read(FuzzInput *input, Sample *out)
{
    *out = (Sample){.parameters = s3_sign_parameters_new(),
                    .headers = g_ptr_array_new_with_free_func(g_free),
                    .time_s = (gint64)(fuzz_take_number(input) % G_GUINT64_CONSTANT(253402300800))};
    out->container = take(input, out);
    out->key = take(input, out);
    out->host = take(input, out);
    out->region = take(input, out);
    out->id = take(input, out);
    out->secret = take(input, out);
    out->token = take(input, out);
    while (fuzz_left(input) > 0) {
        g_autofree char *line = take(input, out);
        char *equals = strchr(line, '=');
        if (strchr(line, ':')) {
            g_ptr_array_add(out->headers, g_steal_pointer(&line));
        } else if (equals) {
            *equals = 0;
            s3_sign_parameters_add(out->parameters, line, equals + 1);
        } else {
            s3_sign_parameters_add(out->parameters, line, NULL);
        }
    }
}

static void
sample_clear(Sample *sample)
{
    g_free(sample->container);
    g_free(sample->key);
    g_free(sample->host);
    g_free(sample->region);
    g_free(sample->id);
    g_free(sample->secret);
    g_free(sample->token);
    g_array_unref(sample->parameters);
    g_ptr_array_unref(sample->headers);
}

static GPtrArray *
sign(const Sample *sample, const char *path, const char *query, gboolean fourth)
{
    guint8 key[S3_SIGN_KEY_BYTES];
    S3Signer signer = {sample->id, sample->secret, *sample->token ? sample->token : NULL};
    S3SignInput input = {"GET",          sample->host, path,          query, S3_SIGN_UNSIGNED_PAYLOAD,
                         sample->region, "s3",         sample->time_s};
    GPtrArray *headers = g_ptr_array_new_with_free_func(g_free);
    for (guint i = 0; i < sample->headers->len; i++)
        g_ptr_array_add(headers, g_strdup(g_ptr_array_index(sample->headers, i)));
    s3_sign_derive_key(sample->secret, sample->time_s, sample->region, "s3", key);
    if (fourth)
        s3_sign_v4(&input, &signer, key, headers);
    else
        s3_sign_v2(&input, &signer, path, sample->parameters, headers);
    return headers;
}

static void
check_headers(const Sample *sample, const char *path, const char *query, gboolean fourth)
{
    g_autoptr(GPtrArray) first = sign(sample, path, query, fourth);
    g_autoptr(GPtrArray) second = sign(sample, path, query, fourth);
    gsize total = 0;
    g_assert_cmpuint(first->len, ==, second->len);
    for (guint i = 0; i < first->len; i++) {
        const char *line = g_ptr_array_index(first, i);
        g_assert_cmpstr(line, ==, g_ptr_array_index(second, i));
        g_assert_nonnull(strchr(line, ':'));
        g_assert_null(strchr(line, '\n'));
        total += strlen(line);
    }
    g_assert_cmpuint(total, <=, 1000 + 4 * sample->total_bytes);
}

static void
check_url(const Sample *sample, const char *path, gboolean fourth)
{
    guint8 key[S3_SIGN_KEY_BYTES] = {1};
    S3Signer signer = {sample->id, sample->secret, *sample->token ? sample->token : NULL};
    S3SignInput input = {"GET",          sample->host, path,          "", S3_SIGN_UNSIGNED_PAYLOAD,
                         sample->region, "s3",         sample->time_s};
    g_autoptr(GArray) parameters = s3_sign_parameters_new();
    g_autofree char *query = fourth ? s3_sign_v4_query(&input, &signer, key, 60, parameters)
                                    : s3_sign_v2_query(&input, &signer, path, 60, parameters);
    g_assert_true(g_str_is_ascii(query));
    g_assert_null(strpbrk(query, " \r\n"));
    g_assert_cmpuint(strlen(query), <=, 1000 + 4 * sample->total_bytes);
}

void
fuzz_one(FuzzInput *input)
{
    Sample sample;
    sample_read(input, &sample);
    g_autofree char *path = s3_endpoint_resource(sample.container, sample.key);
    g_autofree char *query = s3_sign_encode_parameters(sample.parameters);
    g_assert_true(g_str_is_ascii(path));
    g_assert_cmpint(path[0], ==, '/');
    g_assert_null(strpbrk(path, "?# \r\n"));
    g_assert_null(strpbrk(query, "?# \r\n"));
    for (int fourth = 0; fourth <= 1; fourth++) {
        check_headers(&sample, path, query, fourth);
        check_url(&sample, path, fourth);
    }
    sample_clear(&sample);
}
