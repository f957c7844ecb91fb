/* See s3_credential_source.h. */
#include "drivers/s3/s3_credential_source.h"

#include "drivers/common/json_text.h"
#include "drivers/common/memory_source.h"
#include "drivers/s3/s3_error.h"
#include "src/base/error.h"

#include <string.h>

#define MAX_REPLY_BYTES (64u << 10)

char *
s3_credential_source_get_region(const S3CredentialSource *source)
{
    const char *region = g_getenv("AWS_REGION");
    if (strcmp(source->options->preset->name, "s3") == 0)
        region = source->options->region;
    if (!region || !*region)
        region = g_getenv("AWS_DEFAULT_REGION");
    return g_strdup(region && *region ? region : "us-east-1");
}

char *
s3_credential_source_get_endpoint(const char *service, const char *region, const char *override)
{
    const char *chosen = g_getenv(override);
    if (chosen && *chosen) {
        char *endpoint = g_strdup(chosen);
        while (g_str_has_suffix(endpoint, "/"))
            endpoint[strlen(endpoint) - 1] = 0;
        return endpoint;
    }
    return g_strdup_printf("https://%s.%s.amazonaws.com%s", service, region,
                           g_str_has_prefix(region, "cn-") ? ".cn" : "");
}

gboolean
s3_credential_source_fetch(HttpClient *http, Call *call, const char *method, const char *url,
                           const char *const *headers, const char *body, HttpResponse *out, GError **error)
{
    static const char *const none[] = {NULL};
    ByteSource source = memory_source_make(body ? body : "", body ? strlen(body) : 0);
    HttpRequest request = {.method = method,
                           .url = url,
                           .headers = headers ? headers : none,
                           .body = body ? &source : NULL,
                           .maximum_bytes = MAX_REPLY_BYTES};
    g_auto(HttpResponse) response = {0};
    if (!http_perform(http, &request, call, &response, error))
        return FALSE;
    if (response.status >= 200 && response.status <= 299) {
        *out = response;
        response = (HttpResponse){0};
        return TRUE;
    }
    g_auto(S3Failure) failure = {0};
    s3_error_read(&response, &failure);
    failure.not_xml = FALSE;
    ErrorCode code = s3_error_classify(&failure);
    /* 400 is how these services refuse an expired or wrong token. */
    if (response.status >= 400 && response.status <= 499 && code != ERROR_THROTTLED)
        code = ERROR_DENIED;
    g_autofree char *subject = g_strdup_printf("credentials from %.200s", url);
    return s3_error_set(error, code, &failure, subject);
}

S3Credentials *
s3_credential_source_from_json(const char *text, gsize length, const char *origin, GError **error)
{
    g_autoptr(JsonObject) object = json_text_parse(text, length, error);
    if (!object) {
        g_prefix_error(error, "credentials from %s: ", origin);
        return NULL;
    }
    const char *id = json_text_get_string(object, "AccessKeyId");
    const char *secret = json_text_get_string(object, "SecretAccessKey");
    const char *token = json_text_get_string(object, "Token");
    const char *expiration = json_text_get_string(object, "Expiration");
    gint64 expires_ns = 0;
    if (!token)
        token = json_text_get_string(object, "SessionToken");
    if (!id || !secret || (expiration && !http_parse_date(expiration, &expires_ns))) {
        g_set_error(error, STORAGEFS_ERROR, ERROR_PROTOCOL,
                    "credentials from %s: keys are missing or the expiration is no date", origin);
        return NULL;
    }
    return s3_credentials_new(id, secret, token, expires_ns / G_GINT64_CONSTANT(1000000000));
}
