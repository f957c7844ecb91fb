/* Endpoint texts are checked once, when the configuration is read, and then taken apart by position. */
#include "drivers/s3/s3_endpoint.h"

#include "src/base/error.h"
#include "src/storage/http.h"

#include <gio/gio.h>
#include <string.h>

void
s3_endpoint_address_clear(S3Address *address)
{
    g_free(address->origin);
    g_free(address->host);
    g_free(address->path);
    *address = (S3Address){0};
}

gboolean
s3_endpoint_is_tls(const char *endpoint)
{
    return g_ascii_strncasecmp(endpoint, "https:", 6) == 0;
}

gboolean
s3_endpoint_check(const char *endpoint, GError **error)
{
    g_autoptr(GError) why = NULL;
    g_autoptr(GUri) uri = g_uri_parse(endpoint, G_URI_FLAGS_ENCODED, &why);
    const char *wrong = NULL;
    /* GLib's message may repeat a part of a password. */
    if (!uri)
        wrong = strchr(endpoint, '@') ? "a user or password has no place in it" : why->message;
    else if (strcmp(g_uri_get_scheme(uri), "http") != 0 && strcmp(g_uri_get_scheme(uri), "https") != 0)
        wrong = "it must begin with http:// or https://";
    else if (!g_uri_get_host(uri) || !*g_uri_get_host(uri))
        wrong = "it has no host";
    else if (g_uri_get_query(uri) || g_uri_get_fragment(uri) || g_uri_get_userinfo(uri))
        wrong = "only scheme, host, port and path are expected";
    if (!wrong)
        return TRUE;
    g_set_error(error, STORAGEFS_ERROR, ERROR_BAD_ARGUMENT, "not an endpoint: %s", wrong);
    return FALSE;
}

char *
s3_endpoint_expand(const char *pattern, const char *name, const char *value)
{
    g_autofree char *mark = g_strdup_printf("{%s}", name);
    g_auto(GStrv) pieces = g_strsplit(pattern, mark, -1);
    return g_strjoinv(value, pieces);
}

/* The port is dropped where it is the scheme's own, as it is in a Host header. */
char *
s3_endpoint_dup_host(const char *endpoint)
{
    gboolean tls = s3_endpoint_is_tls(endpoint);
    const char *start = endpoint + (tls ? strlen("https://") : strlen("http://"));
    g_autofree char *host = g_strndup(start, strcspn(start, "/"));
    const char *port = tls ? ":443" : ":80";
    if (g_str_has_suffix(host, port))
        host[strlen(host) - strlen(port)] = 0;
    return g_ascii_strdown(host, -1);
}

static char *
dup_base_path(const char *endpoint)
{
    const char *path = strchr(strstr(endpoint, "://") + 3, '/');
    char *base = g_strdup(path ? path : "");
    while (g_str_has_suffix(base, "/"))
        base[strlen(base) - 1] = 0;
    return base;
}

static gboolean
is_label(const char *text, gsize length)
{
    for (gsize i = 0; i < length; i++)
        if (!g_ascii_isalnum(text[i]) && text[i] != '-')
            return FALSE;
    return length > 0 && length <= 63;
}

/* pattern: a host in which "{region}" stands for one label or a part of one. */
static gboolean
fits_pattern(const char *pattern, const char *host)
{
    const char *mark = strstr(pattern, "{region}");
    if (!mark)
        return strcmp(pattern, host) == 0;
    const char *end = mark + strlen("{region}");
    gsize before = (gsize)(mark - pattern), after = strlen(end), length = strlen(host);
    return length > before + after && strncmp(host, pattern, before) == 0 && g_str_has_suffix(host, end) &&
           is_label(host + before, length - before - after);
}

/* Amazon's partitions. Others rent names below them, too: load balancers, machines. */
static const char *const aws_suffixes[] = {".amazonaws.com", ".amazonaws.com.cn", ".amazonaws.eu"};

/* "us-east-1", "us-gov-west-1". */
static gboolean
is_aws_region(const char *text)
{
    gsize length = strlen(text);
    const char *dash = strchr(text, '-');
    return is_label(text, length) && dash && strchr(dash + 1, '-') && g_ascii_isdigit(text[length - 1]);
}

/* What stands before the suffix: "s3", "s3-REGION", "s3.REGION", each but the second also as s3-fips and with
 * "dualstack". */
static gboolean
is_aws_service(const char *text)
{
    g_auto(GStrv) labels = g_strsplit(text, ".", -1);
    guint last = g_strv_length(labels) - 1;
    if (last == 0)
        return strcmp(text, "s3") == 0 || (g_str_has_prefix(text, "s3-") && is_aws_region(text + 3));
    return (strcmp(labels[0], "s3") == 0 || strcmp(labels[0], "s3-fips") == 0) &&
           (last == 1 || (last == 2 && strcmp(labels[1], "dualstack") == 0)) && is_aws_region(labels[last]);
}

static gboolean
is_aws(const char *suffix, const char *host)
{
    if (!g_str_has_suffix(host, suffix))
        return FALSE;
    g_autofree char *text = g_strndup(host, strlen(host) - strlen(suffix));
    return is_aws_service(text);
}

static gboolean
fits_preset(const S3Preset *preset, const char *own, const char *host)
{
    if (!preset->endpoint || !strstr(preset->endpoint, "{region}"))
        return FALSE;
    g_autofree char *pattern = s3_endpoint_dup_host(preset->endpoint);
    return fits_pattern(pattern, own) && fits_pattern(pattern, host);
}

gboolean
s3_endpoint_may_follow(const S3Options *options, const char *host)
{
    g_autofree char *pattern = s3_endpoint_dup_host(options->endpoint);
    g_autofree char *example = s3_endpoint_expand(options->endpoint, "region", options->region);
    g_autofree char *own = s3_endpoint_dup_host(example);
    g_autofree char *to = g_ascii_strdown(host, -1);
    if (strcmp(own, to) == 0 || fits_pattern(pattern, to))
        return TRUE;
    for (gsize i = 0; i < G_N_ELEMENTS(aws_suffixes); i++)
        if (is_aws(aws_suffixes[i], own) && is_aws(aws_suffixes[i], to))
            return TRUE;
    for (guint i = 0; s3_presets_names[i]; i++)
        if (fits_preset(s3_presets_find(s3_presets_names[i]), own, to))
            return TRUE;
    return FALSE;
}

gboolean
s3_endpoint_is_at_service(const char *endpoint, const char *service)
{
    g_autofree char *own = s3_endpoint_dup_host(service);
    g_autofree char *host = s3_endpoint_dup_host(endpoint);
    const char *mark = strrchr(own, '}');
    const char *suffix = mark ? mark + 1 : strchr(own, '.');
    return g_str_has_suffix(host, suffix);
}

/* A name that can stand in front of a host: what is not a label of DNS, or has dots under TLS (the
 * certificate's wildcard covers one label only), goes into the path. */
static gboolean
fits_host(const char *container, gboolean tls)
{
    for (const char *c = container; *c; c++) {
        gboolean good = g_ascii_islower(*c) || g_ascii_isdigit(*c) || *c == '-' || (*c == '.' && !tls);
        if (!good)
            return FALSE;
    }
    return TRUE;
}

void
s3_endpoint_build(const S3Options *options, const char *region, const char *host, const char *container,
                  const char *key, S3Address *out)
{
    g_autofree char *endpoint = s3_endpoint_expand(options->endpoint, "region", region);
    gboolean tls = s3_endpoint_is_tls(endpoint);
    g_autofree char *endpoint_host = host ? g_strdup(host) : s3_endpoint_dup_host(endpoint);
    gboolean in_host = container && options->addressing == S3_ADDRESSING_VIRTUAL && fits_host(container, tls);

    g_autofree char *base = dup_base_path(endpoint);
    GString *path = g_string_new(base);
    if (container && !in_host) {
        g_string_append_c(path, '/');
        http_append_escaped(path, container, -1, "");
    }
    if (key || in_host || path->len == 0)
        g_string_append_c(path, '/');
    if (key)
        http_append_escaped(path, key, -1, "/");

    out->host = in_host ? g_strconcat(container, ".", endpoint_host, NULL) : g_strdup(endpoint_host);
    out->origin = g_strconcat(tls ? "https://" : "http://", out->host, NULL);
    out->path = g_string_free(path, FALSE);
}

char *
s3_endpoint_resource(const char *container, const char *key)
{
    GString *resource = g_string_new("/");
    if (container) {
        http_append_escaped(resource, container, -1, "");
        g_string_append_c(resource, '/');
    }
    if (key)
        http_append_escaped(resource, key, -1, "/");
    return g_string_free(resource, FALSE);
}
