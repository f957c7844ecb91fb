/* Credentials that the machine hands out: to containers (ECS, EKS) and to instances (IMDSv2). */
#include "drivers/common/small_file.h"
#include "drivers/s3/s3_credential_source.h"
#include "drivers/s3/s3_endpoint.h"
#include "src/base/error.h"

#include <gio/gio.h>
#include <string.h>

#define MAX_TOKEN_BYTES (64u << 10)
#define CONTAINER_ENDPOINT "http://169.254.170.2"
#define INSTANCE_ENDPOINT "http://169.254.169.254"
#define ROLE_PATH "/latest/meta-data/iam/security-credentials/"
#define PATIENCE_US (10 * G_USEC_PER_SEC)

static gboolean
has_line_break(const char *text)
{
    return strpbrk(text, "\r\n") != NULL;
}

/* The token may only travel encrypted, or not leave the machine. */
static gboolean
is_allowed_host(const char *uri_text)
{
    static const char *const hosts[] = {"169.254.170.2", "169.254.170.23", "fd00:ec2::23", "localhost", NULL};
    g_autoptr(GUri) uri = g_uri_parse(uri_text, G_URI_FLAGS_ENCODED, NULL);
    if (!uri || !g_uri_get_host(uri))
        return FALSE;
    if (strcmp(g_uri_get_scheme(uri), "https") == 0 || g_strv_contains(hosts, g_uri_get_host(uri)))
        return TRUE;
    g_autoptr(GInetAddress) address = g_inet_address_new_from_string(g_uri_get_host(uri));
    return strcmp(g_uri_get_scheme(uri), "http") == 0 && address && g_inet_address_get_is_loopback(address);
}

static gboolean
find_container_uri(char **out, GError **error)
{
    const char *relative = g_getenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    const char *full = g_getenv("AWS_CONTAINER_CREDENTIALS_FULL_URI");
    if (relative && *relative) {
        *out = g_strconcat(CONTAINER_ENDPOINT, relative, NULL);
        return TRUE;
    }
    if (!full || !*full)
        return TRUE;
    if (!is_allowed_host(full)) {
        g_set_error(
            error, STORAGEFS_ERROR, ERROR_BAD_CONFIG,
            "AWS_CONTAINER_CREDENTIALS_FULL_URI: only https and addresses of this machine are allowed");
        return FALSE;
    }
    *out = g_strdup(full);
    return TRUE;
}

static gboolean
read_container_token(char **out, GError **error)
{
    const char *file = g_getenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
    g_autofree char *token = NULL;
    if (file && *file) {
        if (!small_file_read(file, MAX_TOKEN_BYTES, &token, error))
            return FALSE;
        g_strchomp(token);
    } else {
        token = g_strdup(g_getenv("AWS_CONTAINER_AUTHORIZATION_TOKEN"));
    }
    if (token && has_line_break(token)) {
        g_set_error(error, STORAGEFS_ERROR, ERROR_BAD_CONFIG,
                    "container authorization token: more than one line");
        return FALSE;
    }
    *out = g_steal_pointer(&token);
    return TRUE;
}

gboolean
s3_credential_remote_container(const S3CredentialSource *source, Call *call, S3Credentials **out,
                               GError **error)
{
    g_autofree char *uri = NULL;
    g_autofree char *token = NULL;
    if (!find_container_uri(&uri, error))
        return FALSE;
    if (!uri)
        return TRUE;
    if (!read_container_token(&token, error))
        return FALSE;
    g_autofree char *header = g_strconcat("Authorization: ", token ? token : "", NULL);
    const char *headers[] = {token ? header : NULL, NULL};
    HttpClient *http = g_str_has_prefix(uri, "https:") ? source->http : source->direct;
    g_autoptr(Call) patience = call_new_child(call, PATIENCE_US);
    g_auto(HttpResponse) response = {0};
    if (!s3_credential_source_fetch(http, patience, "GET", uri, headers, NULL, &response, error))
        return FALSE;
    S3Credentials *found = s3_credential_source_from_json((const char *)response.body->data,
                                                          response.body->len, "the container's agent", error);
    if (found)
        *out = found;
    return found != NULL;
}

/* A short one-line text from the instance's service; NULL when it is not one. Caller frees. */
static char *
dup_line(const HttpResponse *response)
{
    g_autofree char *text = g_strndup((const char *)response->body->data, response->body->len);
    text[strcspn(text, "\r\n")] = 0;
    return *text && strlen(text) < 4096 && g_str_is_ascii(text) ? g_steal_pointer(&text) : NULL;
}

static gboolean
fetch_role(const S3CredentialSource *source, Call *call, const char *endpoint, const char *token,
           S3Credentials **out, GError **error)
{
    g_autofree char *header = g_strconcat("X-aws-ec2-metadata-token: ", token, NULL);
    const char *headers[] = {header, NULL};
    g_autofree char *list_url = g_strconcat(endpoint, ROLE_PATH, NULL);
    g_auto(HttpResponse) list = {0};
    if (!s3_credential_source_fetch(source->direct, call, "GET", list_url, headers, NULL, &list, error))
        return FALSE;
    g_autofree char *role = dup_line(&list);
    if (!role)
        return TRUE;
    g_autoptr(GString) url = g_string_new(list_url);
    http_append_escaped(url, role, -1, "");
    g_auto(HttpResponse) reply = {0};
    if (!s3_credential_source_fetch(source->direct, call, "GET", url->str, headers, NULL, &reply, error))
        return FALSE;
    S3Credentials *found = s3_credential_source_from_json((const char *)reply.body->data, reply.body->len,
                                                          "the instance's role", error);
    if (found)
        *out = found;
    return found != NULL;
}

gboolean
s3_credential_remote_instance(const S3CredentialSource *source, Call *call, S3Credentials **out,
                              GError **error)
{
    static const char *const headers[] = {"X-aws-ec2-metadata-token-ttl-seconds: 21600", NULL};
    const char *disabled = g_getenv("AWS_EC2_METADATA_DISABLED");
    const char *chosen = g_getenv("AWS_EC2_METADATA_SERVICE_ENDPOINT");
    if (disabled && g_ascii_strcasecmp(disabled, "true") == 0)
        return TRUE;
    g_autofree char *endpoint = g_strdup(chosen && *chosen ? chosen : INSTANCE_ENDPOINT);
    while (g_str_has_suffix(endpoint, "/"))
        endpoint[strlen(endpoint) - 1] = 0;
    g_autofree char *url = g_strconcat(endpoint, "/latest/api/token", NULL);
    g_autoptr(Call) patience = call_new_child(call, PATIENCE_US);
    g_auto(HttpResponse) response = {0};
    g_autoptr(GError) why = NULL;
    if (!s3_credential_source_fetch(source->direct, patience, "PUT", url, headers, NULL, &response, &why)) {
        /* Nobody answers there: this is no such instance. */
        if (error_is(why, ERROR_CANCELLED)) {
            g_propagate_error(error, g_steal_pointer(&why));
            return FALSE;
        }
        return TRUE;
    }
    g_autofree char *token = dup_line(&response);
    return token ? fetch_role(source, patience, endpoint, token, out, error) : TRUE;
}
