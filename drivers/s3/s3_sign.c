/* Canonical requests, strings to sign, signatures. See s3_sign.h. */
#include "drivers/s3/s3_sign.h"

#include "drivers/common/digest.h"
#include "src/storage/http.h"

#include <string.h>
#include <time.h>

#define ALGORITHM "AWS4-HMAC-SHA256"

static void
clear_parameter(gpointer data)
{
    S3Parameter *parameter = data;
    g_free(parameter->name);
    g_free(parameter->value);
}

GArray *
s3_sign_parameters_new(void)
{
    GArray *parameters = g_array_new(FALSE, FALSE, sizeof(S3Parameter));
    g_array_set_clear_func(parameters, clear_parameter);
    return parameters;
}

void
s3_sign_parameters_add(GArray *parameters, const char *name, const char *value)
{
    S3Parameter parameter = {g_strdup(name), g_strdup(value)};
    g_array_append_val(parameters, parameter);
}

static char *
escape(const char *text)
{
    GString *out = g_string_new(NULL);
    http_append_escaped(out, text ? text : "", -1, "");
    return g_string_free(out, FALSE);
}

/* By encoded name, then by encoded value: sorting whole "name=value" texts would put "a-b" before "a". */
static int
compare_parameters(gconstpointer a, gconstpointer b)
{
    const S3Parameter *left = a, *right = b;
    int order = strcmp(left->name, right->name);
    return order ? order : strcmp(left->value, right->value);
}

char *
s3_sign_encode_parameters(const GArray *parameters)
{
    g_autoptr(GArray) encoded = s3_sign_parameters_new();
    for (guint i = 0; i < parameters->len; i++) {
        const S3Parameter *plain = &g_array_index(parameters, S3Parameter, i);
        S3Parameter pair = {escape(plain->name), escape(plain->value)};
        g_array_append_val(encoded, pair);
    }
    g_array_sort(encoded, compare_parameters);
    GString *out = g_string_new(NULL);
    for (guint i = 0; i < encoded->len; i++) {
        const S3Parameter *pair = &g_array_index(encoded, S3Parameter, i);
        g_string_append_printf(out, "%s%s=%s", i ? "&" : "", pair->name, pair->value);
    }
    return g_string_free(out, FALSE);
}

static struct tm
split_time(gint64 time_s)
{
    time_t moment = (time_t)time_s;
    struct tm parts;
    gmtime_r(&moment, &parts);
    return parts;
}

static char *
format_stamp(gint64 time_s)
{
    char text[64];
    struct tm parts = split_time(time_s);
    strftime(text, sizeof text, "%Y%m%dT%H%M%SZ", &parts);
    return g_strdup(text);
}

static char *
format_day(gint64 time_s)
{
    char text[64];
    struct tm parts = split_time(time_s);
    strftime(text, sizeof text, "%Y%m%d", &parts);
    return g_strdup(text);
}

/* RFC 9110 date; in English whatever the locale. */
static char *
format_http_date(gint64 time_s)
{
    static const char days[] = "SunMonTueWedThuFriSat", months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    char text[64];
    struct tm parts = split_time(time_s);
    strftime(text, sizeof text, "%Y %H:%M:%S GMT", &parts);
    return g_strdup_printf("%.3s, %02d %.3s %s", days + (gsize)parts.tm_wday * 3, parts.tm_mday,
                           months + (gsize)parts.tm_mon * 3, text);
}

static void
hmac_text(const guint8 *key, gsize key_length, const char *text, guint8 out[S3_SIGN_KEY_BYTES])
{
    digest_hmac_sha256(key, key_length, text, strlen(text), out);
}

void
s3_sign_derive_key(const char *secret_access_key, gint64 time_s, const char *region, const char *service,
                   guint8 out[S3_SIGN_KEY_BYTES])
{
    g_autofree char *first = g_strconcat("AWS4", secret_access_key, NULL);
    g_autofree char *day = format_day(time_s);
    guint8 day_key[S3_SIGN_KEY_BYTES], region_key[S3_SIGN_KEY_BYTES], service_key[S3_SIGN_KEY_BYTES];
    hmac_text((const guint8 *)first, strlen(first), day, day_key);
    hmac_text(day_key, sizeof day_key, region, region_key);
    hmac_text(region_key, sizeof region_key, service, service_key);
    hmac_text(service_key, sizeof service_key, "aws4_request", out);
}

/* Trimmed, runs of blanks folded into one. */
static char *
canonical_value(const char *value)
{
    GString *out = g_string_new(NULL);
    for (const char *c = value; *c; c++) {
        if (*c != ' ' && *c != '\t')
            g_string_append_c(out, *c);
        else if (out->len > 0 && out->str[out->len - 1] != ' ')
            g_string_append_c(out, ' ');
    }
    if (out->len > 0 && out->str[out->len - 1] == ' ')
        g_string_truncate(out, out->len - 1);
    return g_string_free(out, FALSE);
}

static int
compare_texts(gconstpointer a, gconstpointer b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* "name:value" lines with lower-case names, sorted by name. '\x01' stands for the first colon while sorting,
 * so that a name sorts before a longer one that begins with it. */
static GPtrArray *
canonical_headers(const GPtrArray *headers, const char *host)
{
    GPtrArray *lines = g_ptr_array_new_with_free_func(g_free);
    if (host)
        g_ptr_array_add(lines, g_strconcat("host\x01", host, NULL));
    for (guint i = 0; i < headers->len; i++) {
        const char *header = g_ptr_array_index(headers, i);
        const char *colon = strchr(header, ':');
        if (!colon)
            continue;
        g_autofree char *name = g_ascii_strdown(header, colon - header);
        g_autofree char *value = canonical_value(colon + 1);
        g_ptr_array_add(lines, g_strconcat(name, "\x01", value, NULL));
    }
    g_ptr_array_sort(lines, compare_texts);
    for (guint i = 0; i < lines->len; i++)
        *strchr(g_ptr_array_index(lines, i), '\x01') = ':';
    return lines;
}

static char *
join_header_names(const GPtrArray *lines)
{
    GString *names = g_string_new(NULL);
    for (guint i = 0; i < lines->len; i++) {
        const char *line = g_ptr_array_index(lines, i);
        g_string_append_printf(names, "%s%.*s", i ? ";" : "", (int)(strchr(line, ':') - line), line);
    }
    return g_string_free(names, FALSE);
}

static char *
make_scope(const S3SignInput *input)
{
    g_autofree char *day = format_day(input->time_s);
    return g_strdup_printf("%s/%s/%s/aws4_request", day, input->region, input->service);
}

static char *
make_signature(const S3SignInput *input, const guint8 key[S3_SIGN_KEY_BYTES], const GPtrArray *lines,
               const char *names, const char *query, const char *payload_hash)
{
    g_autoptr(GString) canonical = g_string_new(NULL);
    g_string_printf(canonical, "%s\n%s\n%s\n", input->method, input->path, query);
    for (guint i = 0; i < lines->len; i++)
        g_string_append_printf(canonical, "%s\n", (const char *)g_ptr_array_index(lines, i));
    g_string_append_printf(canonical, "\n%s\n%s", names, payload_hash);

    g_autofree char *hash = digest_sha256_hex(canonical->str, canonical->len);
    g_autofree char *stamp = format_stamp(input->time_s);
    g_autofree char *scope = make_scope(input);
    g_autofree char *to_sign = g_strdup_printf(ALGORITHM "\n%s\n%s\n%s", stamp, scope, hash);
    guint8 signature[S3_SIGN_KEY_BYTES];
    hmac_text(key, S3_SIGN_KEY_BYTES, to_sign, signature);
    return digest_hex(signature, sizeof signature);
}

void
s3_sign_v4(const S3SignInput *input, const S3Signer *signer, const guint8 key[S3_SIGN_KEY_BYTES],
           GPtrArray *headers)
{
    g_autofree char *stamp = format_stamp(input->time_s);
    g_ptr_array_add(headers, g_strconcat("x-amz-date: ", stamp, NULL));
    if (signer->session_token)
        g_ptr_array_add(headers, g_strconcat("x-amz-security-token: ", signer->session_token, NULL));
    if (strcmp(input->service, "s3") == 0)
        g_ptr_array_add(headers, g_strconcat("x-amz-content-sha256: ", input->payload_hash, NULL));

    g_autoptr(GPtrArray) lines = canonical_headers(headers, input->host);
    g_autofree char *names = join_header_names(lines);
    g_autofree char *scope = make_scope(input);
    g_autofree char *signature = make_signature(input, key, lines, names, input->query, input->payload_hash);
    g_ptr_array_add(headers, g_strdup_printf("Authorization: " ALGORITHM
                                             " Credential=%s/%s, SignedHeaders=%s, Signature=%s",
                                             signer->access_key_id, scope, names, signature));
}

char *
s3_sign_v4_query(const S3SignInput *input, const S3Signer *signer, const guint8 key[S3_SIGN_KEY_BYTES],
                 guint lifetime_s, GArray *parameters)
{
    g_autofree char *stamp = format_stamp(input->time_s);
    g_autofree char *scope = make_scope(input);
    g_autofree char *credential = g_strconcat(signer->access_key_id, "/", scope, NULL);
    g_autofree char *lifetime = g_strdup_printf("%u", CLAMP(lifetime_s, 1, S3_SIGN_MAX_URL_LIFETIME_S));
    s3_sign_parameters_add(parameters, "X-Amz-Algorithm", ALGORITHM);
    s3_sign_parameters_add(parameters, "X-Amz-Credential", credential);
    s3_sign_parameters_add(parameters, "X-Amz-Date", stamp);
    s3_sign_parameters_add(parameters, "X-Amz-Expires", lifetime);
    s3_sign_parameters_add(parameters, "X-Amz-SignedHeaders", "host");
    if (signer->session_token)
        s3_sign_parameters_add(parameters, "X-Amz-Security-Token", signer->session_token);

    g_autoptr(GPtrArray) none = g_ptr_array_new();
    g_autoptr(GPtrArray) lines = canonical_headers(none, input->host);
    g_autofree char *query = s3_sign_encode_parameters(parameters);
    g_autofree char *signature = make_signature(input, key, lines, "host", query, S3_SIGN_UNSIGNED_PAYLOAD);
    return g_strconcat(query, "&X-Amz-Signature=", signature, NULL);
}

/* The parameters that name something else than the object itself: part of what version 2 signs. */
static gboolean
is_sub_resource(const char *name)
{
    static const char *const names[] = {
        "acl",        "cors",      "delete",         "lifecycle", "location", "logging", "notification",
        "partNumber", "policy",    "requestPayment", "restore",   "tagging",  "torrent", "uploadId",
        "uploads",    "versionId", "versioning",     "versions",  "website",  NULL};
    return g_strv_contains(names, name) || g_str_has_prefix(name, "response-");
}

static int
compare_parameter_names(gconstpointer a, gconstpointer b)
{
    return strcmp((*(const S3Parameter *const *)a)->name, (*(const S3Parameter *const *)b)->name);
}

static void
append_sub_resources(GString *out, const GArray *parameters)
{
    g_autoptr(GPtrArray) signed_ones = g_ptr_array_new();
    for (guint i = 0; i < parameters->len; i++) {
        S3Parameter *parameter = &g_array_index(parameters, S3Parameter, i);
        if (is_sub_resource(parameter->name))
            g_ptr_array_add(signed_ones, parameter);
    }
    g_ptr_array_sort(signed_ones, compare_parameter_names);
    for (guint i = 0; i < signed_ones->len; i++) {
        const S3Parameter *parameter = g_ptr_array_index(signed_ones, i);
        g_string_append_printf(out, "%c%s", i ? '&' : '?', parameter->name);
        if (parameter->value && *parameter->value)
            g_string_append_printf(out, "=%s", parameter->value);
    }
}

/* The value of one header among canonical lines, "" if there is none. */
static const char *
find_line(const GPtrArray *lines, const char *prefix)
{
    for (guint i = 0; i < lines->len; i++) {
        if (g_str_has_prefix(g_ptr_array_index(lines, i), prefix))
            return (const char *)g_ptr_array_index(lines, i) + strlen(prefix);
    }
    return "";
}

static char *
sign_v2_text(const S3SignInput *input, const S3Signer *signer, const char *date, const char *resource,
             const GArray *parameters, const GPtrArray *headers)
{
    g_autoptr(GPtrArray) lines = canonical_headers(headers, NULL);
    g_autoptr(GString) text = g_string_new(NULL);
    g_string_printf(text, "%s\n%s\n%s\n%s\n", input->method, find_line(lines, "content-md5:"),
                    find_line(lines, "content-type:"), date);
    for (guint i = 0; i < lines->len; i++) {
        const char *line = g_ptr_array_index(lines, i);
        if (g_str_has_prefix(line, "x-amz-"))
            g_string_append_printf(text, "%s\n", line);
    }
    g_string_append(text, resource);
    append_sub_resources(text, parameters);
    return digest_hmac_sha1_base64(signer->secret_access_key, text->str);
}

void
s3_sign_v2(const S3SignInput *input, const S3Signer *signer, const char *resource, const GArray *parameters,
           GPtrArray *headers)
{
    if (signer->session_token)
        g_ptr_array_add(headers, g_strconcat("x-amz-security-token: ", signer->session_token, NULL));
    g_autoptr(GPtrArray) lines = canonical_headers(headers, NULL);
    const char *date = find_line(lines, "date:");
    if (!*date) {
        g_autofree char *now = format_http_date(input->time_s);
        g_ptr_array_add(headers, g_strconcat("x-amz-date: ", now, NULL));
    }
    g_autofree char *signature = sign_v2_text(input, signer, date, resource, parameters, headers);
    g_ptr_array_add(headers, g_strdup_printf("Authorization: AWS %s:%s", signer->access_key_id, signature));
}

char *
s3_sign_v2_query(const S3SignInput *input, const S3Signer *signer, const char *resource, guint lifetime_s,
                 GArray *parameters)
{
    g_autofree char *expires = g_strdup_printf("%" G_GINT64_FORMAT, input->time_s + lifetime_s);
    g_autoptr(GPtrArray) headers = g_ptr_array_new_with_free_func(g_free);
    if (signer->session_token)
        g_ptr_array_add(headers, g_strconcat("x-amz-security-token: ", signer->session_token, NULL));
    g_autofree char *signature = sign_v2_text(input, signer, expires, resource, parameters, headers);
    s3_sign_parameters_add(parameters, "AWSAccessKeyId", signer->access_key_id);
    s3_sign_parameters_add(parameters, "Expires", expires);
    if (signer->session_token)
        s3_sign_parameters_add(parameters, "x-amz-security-token", signer->session_token);
    s3_sign_parameters_add(parameters, "Signature", signature);
    return s3_sign_encode_parameters(parameters);
}
