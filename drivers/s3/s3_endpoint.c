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
    if (!uri)
        wrong = why->message;
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

static const char *
domain_of(const char *host, gsize *out_length)
{
    gsize length = strcspn(host, ":");
    const char *start = host + length;
    for (int dots = 0; start > host; start--) {
        if (start[-1] == '.' && ++dots == 2)
            break;
    }
    *out_length = (gsize)(host + length - start);
    return start;
}

gboolean
s3_endpoint_same_domain(const char *host_a, const char *host_b)
{
    gsize length_a, length_b;
    const char *a = domain_of(host_a, &length_a), *b = domain_of(host_b, &length_b);
    g_autofree char *name_a = g_strndup(host_a, strcspn(host_a, ":"));
    if (g_hostname_is_ip_address(name_a) || !memchr(a, '.', length_a))
        return g_ascii_strcasecmp(host_a, host_b) == 0;
    return length_a == length_b && g_ascii_strncasecmp(a, b, length_a) == 0;
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
