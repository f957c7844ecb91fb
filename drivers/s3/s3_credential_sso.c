/* IAM Identity Center: the token that `aws sso login` left in its cache, renewed where it can be, turned into
 * the credentials of one role. */
#include "drivers/common/digest.h"
#include "drivers/common/json_text.h"
#include "drivers/common/small_file.h"
#include "drivers/s3/s3_credential_source.h"
#include "src/base/error.h"
#include "src/base/log.h"

#include <string.h>

#define MAX_CACHE_BYTES (256u << 10)
#define RENEW_AHEAD_S 60
#define MAX_LIFETIME_S (365 * 24 * 3600)

typedef struct {
    char *cache_path, *region, *account_id, *role_name, *session_name;
} SsoPlace;

static void
sso_place_clear(SsoPlace *place)
{
    g_free(place->cache_path);
    g_free(place->region);
    g_free(place->account_id);
    g_free(place->role_name);
    g_free(place->session_name);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(SsoPlace, sso_place_clear)

static char *
cache_path(const char *text)
{
    const char *home = g_getenv("HOME");
    g_autofree char *hash = digest_sha1_hex(text, strlen(text));
    g_autofree char *name = g_strconcat(hash, ".json", NULL);
    return g_build_filename(home ? home : g_get_home_dir(), ".aws", "sso", "cache", name, NULL);
}

/* FALSE: this profile has nothing to do with SSO, or only a part of what it takes. */
static gboolean
find_place(S3Profile *profile, SsoPlace *out)
{
    const char *session_name = g_hash_table_lookup(profile, "sso_session");
    const char *start_url = g_hash_table_lookup(profile, "sso_start_url");
    g_autoptr(GHashTable) session = session_name ? s3_profiles_load_sso_session(session_name) : NULL;
    const char *region = g_hash_table_lookup(session ? session : profile, "sso_region");
    const char *account = g_hash_table_lookup(profile, "sso_account_id");
    const char *role = g_hash_table_lookup(profile, "sso_role_name");
    if ((!session && !start_url) || !region || !account || !role)
        return FALSE;
    *out = (SsoPlace){cache_path(session ? session_name : start_url), g_strdup(region), g_strdup(account),
                      g_strdup(role), g_strdup(session ? session_name : start_url)};
    return TRUE;
}

static gboolean
refuse(const SsoPlace *place, const char *why, GError **error)
{
    g_set_error(error, STORAGEFS_ERROR, ERROR_DENIED, "SSO session %s: %s; run: aws sso login",
                place->session_name, why);
    return FALSE;
}

/* What the service answered goes back into the cache, because a refresh token is good once. */
static void
store_renewed(const SsoPlace *place, JsonObject *token, JsonObject *answer)
{
    gint64 lifetime_s = CLAMP(json_text_get_integer(answer, "expiresIn", 0), 0, MAX_LIFETIME_S);
    gint64 expires_s = g_get_real_time() / G_USEC_PER_SEC + lifetime_s;
    g_autoptr(GDateTime) expires = g_date_time_new_from_unix_utc(expires_s);
    g_autofree char *expires_at = expires ? g_date_time_format(expires, "%Y-%m-%dT%H:%M:%SZ") : NULL;
    JsonObject *renewed = json_object_new();
    g_autoptr(GList) names = json_object_get_members(token);
    for (GList *name = names; name; name = name->next)
        json_object_set_member(renewed, name->data,
                               json_node_copy(json_object_get_member(token, name->data)));
    json_object_set_string_member(renewed, "accessToken", json_text_get_string(answer, "accessToken"));
    json_object_set_string_member(renewed, "expiresAt", expires_at ? expires_at : "");
    if (json_text_get_string(answer, "refreshToken"))
        json_object_set_string_member(renewed, "refreshToken", json_text_get_string(answer, "refreshToken"));
    g_autofree char *text = json_text_print(renewed);
    json_object_unref(renewed);
    (void)g_file_set_contents_full(place->cache_path, text, -1, G_FILE_SET_CONTENTS_CONSISTENT, 0600, NULL);
}

static gboolean
renew(const S3CredentialSource *source, Call *call, const SsoPlace *place, JsonObject *token,
      char **out_access_token, GError **error)
{
    static const char *const headers[] = {"Content-Type: application/json", NULL};
    static const char *const members[] = {"clientId", "clientSecret", "refreshToken"};
    g_autoptr(JsonObject) question = json_object_new();
    json_object_set_string_member(question, "grantType", "refresh_token");
    for (gsize i = 0; i < G_N_ELEMENTS(members); i++) {
        const char *value = json_text_get_string(token, members[i]);
        if (!value)
            return refuse(place, "the session has expired", error);
        json_object_set_string_member(question, members[i], value);
    }
    g_autofree char *body = json_text_print(question);
    g_autofree char *endpoint =
        s3_credential_source_get_endpoint("oidc", place->region, "AWS_ENDPOINT_URL_SSO_OIDC");
    g_autofree char *url = g_strconcat(endpoint, "/token", NULL);
    g_auto(HttpResponse) response = {0};
    if (!s3_credential_source_fetch(source->http, call, "POST", url, headers, body, &response, error))
        return FALSE;
    g_autoptr(JsonObject) answer =
        json_text_parse((const char *)response.body->data, response.body->len, error);
    if (!answer)
        return FALSE;
    if (!json_text_get_string(answer, "accessToken"))
        return refuse(place, "the service renewed nothing", error);
    *out_access_token = g_strdup(json_text_get_string(answer, "accessToken"));
    store_renewed(place, token, answer);
    return TRUE;
}

static gboolean
get_access_token(const S3CredentialSource *source, Call *call, const SsoPlace *place, char **out,
                 GError **error)
{
    g_autofree char *text = NULL;
    gint64 expires_ns = 0;
    if (!small_file_read(place->cache_path, MAX_CACHE_BYTES, &text, NULL))
        return refuse(place, "nobody is logged in", error);
    g_autoptr(JsonObject) token = json_text_parse(text, strlen(text), NULL);
    const char *access_token = json_text_get_string(token, "accessToken");
    const char *expires_at = json_text_get_string(token, "expiresAt");
    if (!access_token || !expires_at)
        return refuse(place, "its cache file is damaged", error);
    gint64 wanted_s = g_get_real_time() / G_USEC_PER_SEC + RENEW_AHEAD_S;
    if (!http_parse_date(expires_at, &expires_ns) || expires_ns / G_GINT64_CONSTANT(1000000000) < wanted_s)
        return renew(source, call, place, token, out, error);
    *out = g_strdup(access_token);
    return TRUE;
}

static S3Credentials *
parse_role(const HttpResponse *response, GError **error)
{
    g_autoptr(JsonObject) answer =
        json_text_parse((const char *)response->body->data, response->body->len, error);
    if (!answer)
        return NULL;
    JsonObject *role = json_text_get_object(answer, "roleCredentials");
    const char *id = json_text_get_string(role, "accessKeyId");
    const char *secret = json_text_get_string(role, "secretAccessKey");
    if (id && secret)
        return s3_credentials_new(id, secret, json_text_get_string(role, "sessionToken"),
                                  json_text_get_integer(role, "expiration", 0) / 1000);
    g_set_error(error, STORAGEFS_ERROR, ERROR_PROTOCOL, "SSO: the reply has no credentials");
    return NULL;
}

gboolean
s3_credential_sso_fetch(const S3CredentialSource *source, Call *call, S3Profile *profile, S3Credentials **out,
                        GError **error)
{
    g_auto(SsoPlace) place = {0};
    g_autofree char *token = NULL;
    if (!find_place(profile, &place))
        return TRUE;
    if (!get_access_token(source, call, &place, &token, error))
        return FALSE;
    log_add_secret(token);
    g_autofree char *endpoint =
        s3_credential_source_get_endpoint("portal.sso", place.region, "AWS_ENDPOINT_URL_SSO");
    g_autoptr(GString) url = g_string_new(endpoint);
    g_string_append(url, "/federation/credentials?role_name=");
    http_append_escaped(url, place.role_name, -1, "");
    g_string_append(url, "&account_id=");
    http_append_escaped(url, place.account_id, -1, "");
    g_autofree char *header = g_strconcat("x-amz-sso_bearer_token: ", token, NULL);
    const char *headers[] = {header, NULL};
    g_auto(HttpResponse) response = {0};
    if (!s3_credential_source_fetch(source->http, call, "GET", url->str, headers, NULL, &response, error))
        return FALSE;
    S3Credentials *found = parse_role(&response, error);
    if (found)
        *out = found;
    return found != NULL;
}
