/* Roles: AssumeRole and AssumeRoleWithWebIdentity. Spec: AWS STS API Reference, version 2011-06-15. */
#include "drivers/common/digest.h"
#include "drivers/common/small_file.h"
#include "drivers/common/xml.h"
#include "drivers/s3/s3_credential_source.h"
#include "drivers/s3/s3_endpoint.h"
#include "drivers/s3/s3_sign.h"
#include "src/base/error.h"

#include <string.h>

#define MAX_TOKEN_BYTES (64u << 10)

static GArray *
make_form(const char *action, const S3Role *role)
{
    GArray *form = s3_sign_parameters_new();
    s3_sign_parameters_add(form, "Action", action);
    s3_sign_parameters_add(form, "Version", "2011-06-15");
    s3_sign_parameters_add(form, "RoleArn", role->role_arn);
    s3_sign_parameters_add(form, "RoleSessionName", role->session_name ? role->session_name : "storagefs");
    if (role->duration_s > 0) {
        g_autofree char *duration = g_strdup_printf("%" G_GINT64_FORMAT, role->duration_s);
        s3_sign_parameters_add(form, "DurationSeconds", duration);
    }
    return form;
}

static S3Credentials *
parse_reply(const HttpResponse *response, const char *action, GError **error)
{
    g_autofree char *result_name = g_strconcat(action, "Result", NULL);
    g_autoptr(XmlDocument) document =
        xml_parse((const char *)response->body->data, response->body->len, error);
    if (!document)
        return NULL;
    const XmlNode *result = xml_find(xml_get_root(document), result_name);
    const XmlNode *node = result ? xml_find(result, "Credentials") : NULL;
    const char *id = xml_get_text(node, "AccessKeyId"), *secret = xml_get_text(node, "SecretAccessKey");
    const char *expiration = xml_get_text(node, "Expiration");
    gint64 expires_ns = 0;
    if (!id || !secret || (expiration && !http_parse_date(expiration, &expires_ns))) {
        g_set_error(error, STORAGEFS_ERROR, ERROR_PROTOCOL, "the reply has no credentials");
        return NULL;
    }
    return s3_credentials_new(id, secret, xml_get_text(node, "SessionToken"),
                              expires_ns / G_GINT64_CONSTANT(1000000000));
}

/* base NULL: not signed. */
static gboolean
perform(const S3CredentialSource *source, Call *call, const char *action, GArray *form, S3Credentials *base,
        S3Credentials **out, GError **error)
{
    g_autofree char *region = s3_credential_source_get_region(source);
    g_autofree char *endpoint = s3_credential_source_get_endpoint("sts", region, "AWS_ENDPOINT_URL_STS");
    if (!s3_endpoint_check(endpoint, error))
        return FALSE;
    g_autofree char *url = g_strconcat(endpoint, "/", NULL);
    g_autofree char *body = s3_sign_encode_parameters(form);
    g_autoptr(GPtrArray) headers = g_ptr_array_new_with_free_func(g_free);
    g_ptr_array_add(headers, g_strdup("Content-Type: application/x-www-form-urlencoded"));
    if (base) {
        g_autofree char *host = s3_endpoint_dup_host(endpoint);
        g_autofree char *hash = digest_sha256_hex(body, strlen(body));
        gint64 now_s = g_get_real_time() / G_USEC_PER_SEC;
        guint8 key[S3_SIGN_KEY_BYTES];
        s3_sign_derive_key(base->secret_access_key, now_s, region, "sts", key);
        S3SignInput input = {"POST", host, "/", "", hash, region, "sts", now_s};
        S3Signer signer = {base->access_key_id, base->secret_access_key, base->session_token};
        s3_sign_v4(&input, &signer, key, headers);
    }
    g_ptr_array_add(headers, NULL);

    g_auto(HttpResponse) response = {0};
    if (!s3_credential_source_fetch(source->http, call, "POST", url, (const char *const *)headers->pdata,
                                    body, &response, error))
        return FALSE;
    S3Credentials *found = parse_reply(&response, action, error);
    if (!found) {
        g_prefix_error(error, "%s at %s: ", action, endpoint);
        return FALSE;
    }
    *out = found;
    return TRUE;
}

gboolean
s3_credential_sts_assume(const S3CredentialSource *source, Call *call, const S3Role *role,
                         S3Credentials *base, S3Credentials **out, GError **error)
{
    g_autoptr(GArray) form = make_form("AssumeRole", role);
    if (role->external_id)
        s3_sign_parameters_add(form, "ExternalId", role->external_id);
    return perform(source, call, "AssumeRole", form, base, out, error);
}

gboolean
s3_credential_sts_web_identity(const S3CredentialSource *source, Call *call, const S3Role *role,
                               S3Credentials **out, GError **error)
{
    g_autofree char *token = NULL;
    if (!small_file_read(role->token_file, MAX_TOKEN_BYTES, &token, error)) {
        g_prefix_error(error, "web identity token: ");
        return FALSE;
    }
    g_autoptr(GArray) form = make_form("AssumeRoleWithWebIdentity", role);
    s3_sign_parameters_add(form, "WebIdentityToken", g_strstrip(token));
    return perform(source, call, "AssumeRoleWithWebIdentity", form, NULL, out, error);
}
