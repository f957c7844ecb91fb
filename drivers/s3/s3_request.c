/* See s3_request.h. */
#include "drivers/s3/s3_request.h"

#include "drivers/s3/s3_endpoint.h"
#include "drivers/s3/s3_names.h"
#include "src/base/error.h"

#include <string.h>

/* SHA-256 of nothing. */
#define EMPTY_HASH "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

/* One attempt: where it goes and who signs it. */
typedef struct {
    char *region, *host;
    S3Address address;
    S3Credentials *credentials; /* NULL: anonymous */
} Attempt;

static void
attempt_clear(Attempt *attempt)
{
    g_free(attempt->region);
    g_free(attempt->host);
    s3_endpoint_address_clear(&attempt->address);
    g_clear_pointer(&attempt->credentials, s3_credentials_unref);
    *attempt = (Attempt){0};
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Attempt, attempt_clear)

void
s3_request_init(S3Request *request, const char *method, const char *container, const char *key)
{
    *request = (S3Request){.method = method,
                           .container = container,
                           .key = key,
                           .parameters = s3_sign_parameters_new(),
                           .headers = g_ptr_array_new_with_free_func(g_free),
                           .changed_code = ERROR_CHANGED,
                           .missing_code = ERROR_NOT_FOUND,
                           .conflict_code = ERROR_UNAVAILABLE};
}

void
s3_request_clear(S3Request *request)
{
    g_clear_pointer(&request->parameters, g_array_unref);
    g_clear_pointer(&request->headers, g_ptr_array_unref);
    s3_error_failure_clear(&request->failure);
    digest_set_clear(&request->digests);
}

void
s3_request_add_parameter(S3Request *request, const char *name, const char *value)
{
    s3_sign_parameters_add(request->parameters, name, value);
}

void
s3_request_add_header(S3Request *request, const char *name, const char *value)
{
    g_ptr_array_add(request->headers, g_strconcat(name, ": ", value, NULL));
}

void
s3_request_remove_header(S3Request *request, const char *name)
{
    gsize length = strlen(name);
    for (guint i = request->headers->len; i > 0; i--) {
        const char *header = g_ptr_array_index(request->headers, i - 1);
        if (g_ascii_strncasecmp(header, name, length) == 0 && header[length] == ':')
            g_ptr_array_remove_index(request->headers, i - 1);
    }
}

static gboolean
attempt_begin(S3 *s3, const S3Request *request, Call *call, Attempt *out, GError **error)
{
    if (s3->options->signature != S3_SIGNATURE_NONE &&
        !s3_credential_store_fetch(s3->credentials, call, &out->credentials, error))
        return FALSE;
    s3_learned_get_place(s3->learned, request->container, &out->region, &out->host);
    if (request->region) {
        g_free(out->region);
        out->region = g_strdup(request->region);
    }
    s3_endpoint_build(s3->options, out->region, out->host, request->container, request->key, &out->address);
    return TRUE;
}

/* What version 4 has to sign beside the host: newer services (RGW 20) refuse a type that is not signed.
 * Nothing that a proxy may rewrite. */
static gboolean
is_signed_header(const char *header)
{
    return g_ascii_strncasecmp(header, "x-amz-", 6) == 0 ||
           g_ascii_strncasecmp(header, "Content-Type:", 13) == 0;
}

static void
add_checksum_headers(const S3Request *request, GPtrArray *headers)
{
    if (request->digests.crc32c_base64)
        g_ptr_array_add(headers,
                        g_strconcat("x-amz-checksum-crc32c: ", request->digests.crc32c_base64, NULL));
    if (request->digests.md5_base64)
        g_ptr_array_add(headers, g_strconcat("Content-MD5: ", request->digests.md5_base64, NULL));
}

/* Version 4 signs host and x-amz-*, nothing that a proxy may rewrite; version 2 looks for its own among all.
 */
static GPtrArray *
sign(S3 *s3, const S3Request *request, const Attempt *attempt, const char *query)
{
    GPtrArray *headers = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GPtrArray) others = g_ptr_array_new_with_free_func(g_free);
    gboolean all = s3->options->signature != S3_SIGNATURE_V4;
    add_checksum_headers(request, headers);
    for (guint i = 0; i < request->headers->len; i++) {
        const char *header = g_ptr_array_index(request->headers, i);
        g_ptr_array_add(all || is_signed_header(header) ? headers : others, g_strdup(header));
    }
    if (attempt->credentials) {
        const S3Credentials *credentials = attempt->credentials;
        S3Signer signer = {credentials->access_key_id, credentials->secret_access_key,
                           credentials->session_token};
        const char *hash = request->digests.sha256_hex;
        if (!hash)
            hash = request->body ? S3_SIGN_UNSIGNED_PAYLOAD : EMPTY_HASH;
        S3SignInput input = {request->method,
                             attempt->address.host,
                             attempt->address.path,
                             query,
                             hash,
                             attempt->region,
                             "s3",
                             s3_learned_get_time_s(s3->learned)};
        if (all) {
            g_autofree char *resource = s3_endpoint_resource(request->container, request->key);
            /* A container's own path has a slash behind it only where its name is in the host. */
            if (request->container && !request->key && !g_str_has_suffix(attempt->address.path, "/"))
                resource[strlen(resource) - 1] = 0;
            s3_sign_v2(&input, &signer, resource, request->parameters, headers);
        } else {
            guint8 key[S3_SIGN_KEY_BYTES];
            s3_learned_derive_key(s3->learned, &signer, input.time_s, attempt->region, key);
            s3_sign_v4(&input, &signer, key, headers);
        }
    }
    while (others->len > 0)
        g_ptr_array_add(headers, g_ptr_array_steal_index(others, 0));
    g_ptr_array_add(headers, NULL);
    return headers;
}

static gboolean
attempt_send(S3 *s3, const S3Request *request, const Attempt *attempt, Call *call, HttpResponse *out,
             GError **error)
{
    g_autofree char *query = s3_sign_encode_parameters(request->parameters);
    g_autofree char *url =
        g_strconcat(attempt->address.origin, attempt->address.path, *query ? "?" : "", query, NULL);
    g_autoptr(GPtrArray) headers = sign(s3, request, attempt, query);
    HttpRequest wire = {.method = request->method,
                        .url = url,
                        .headers = (const char *const *)headers->pdata,
                        .body = request->body,
                        .buffer = request->buffer,
                        .buffer_bytes = request->buffer_bytes,
                        .maximum_bytes = request->maximum_bytes,
                        .works_long = request->works_long};
    if (http_perform(s3->http, &wire, call, out, error))
        return TRUE;
    g_prefix_error(error, "%s %s%s: ", request->method, attempt->address.origin, attempt->address.path);
    return FALSE;
}

static gboolean
is_success(const S3Request *request, const HttpResponse *response)
{
    if (response->status < 200 || response->status > 299)
        return FALSE;
    return !request->error_in_success || !s3_error_is_inside(response);
}

/* What a refusal may teach, and whether that repetition has been used up. */
typedef struct {
    gboolean place, clock, credentials;
} Repeats;

static char *
find_redirect_host(S3 *s3, const S3Request *request)
{
    const char *host = request->failure.host;
    if (!host || !request->container)
        return NULL;
    g_autofree char *prefix = g_strconcat(request->container, ".", NULL);
    if (g_str_has_prefix(host, prefix) && s3_endpoint_may_follow(s3->options, host + strlen(prefix)))
        return g_strdup(host + strlen(prefix));
    return s3_endpoint_may_follow(s3->options, host) ? g_strdup(host) : NULL;
}

/* Where the endpoint has a {region}, the region of a reply becomes a part of the host. */
static gboolean
may_use_region(S3 *s3, const char *region)
{
    g_autofree char *endpoint = s3_endpoint_expand(s3->options->endpoint, "region", region);
    g_autofree char *host = s3_endpoint_dup_host(endpoint);
    return s3_endpoint_may_follow(s3->options, host);
}

static gboolean
learn_place(S3 *s3, const S3Request *request, const Attempt *attempt, Repeats *used)
{
    const S3Failure *failure = &request->failure;
    gboolean other_region = failure->region && strcmp(failure->region, attempt->region) != 0 &&
                            may_use_region(s3, failure->region);
    gboolean redirected = failure->status >= 300 && failure->status <= 399 && failure->status != 304;
    if (used->place || request->region || !request->container || (!other_region && !redirected))
        return FALSE;
    gboolean per_region = strstr(s3->options->endpoint, "{region}") != NULL;
    g_autofree char *host = other_region && per_region ? NULL : find_redirect_host(s3, request);
    if (!other_region && !host)
        return FALSE;
    s3_learned_set_place(s3->learned, request->container, other_region ? failure->region : attempt->region,
                         host);
    used->place = TRUE;
    return TRUE;
}

static gboolean
learn_clock(S3 *s3, const S3Request *request, Repeats *used)
{
    const S3Failure *failure = &request->failure;
    gboolean about_time =
        s3_error_has_code(failure, "RequestTimeTooSkewed") ||
        (failure->status == 403 && (!failure->code || s3_error_has_code(failure, "AccessDenied") ||
                                    s3_error_has_code(failure, "SignatureDoesNotMatch")));
    if (used->clock || !about_time || !s3_learned_set_server_time(s3->learned, failure->server_time_s))
        return FALSE;
    used->clock = TRUE;
    return TRUE;
}

static gboolean
learn_expiry(S3 *s3, const S3Request *request, const Attempt *attempt, Repeats *used)
{
    const S3Failure *failure = &request->failure;
    /* A HEAD has no body to tell why. */
    gboolean silent = failure->status == 400 && !failure->code && strcmp(request->method, "HEAD") == 0;
    gboolean expired = s3_error_has_code(failure, "ExpiredToken") ||
                       s3_error_has_code(failure, "InvalidToken") ||
                       s3_error_has_code(failure, "TokenRefreshRequired") || silent;
    const S3Credentials *credentials = attempt->credentials;
    gboolean temporary = credentials && (credentials->session_token || credentials->expires_s != 0);
    if (used->credentials || !expired || !temporary)
        return FALSE;
    s3_credential_store_reject(s3->credentials, attempt->credentials);
    used->credentials = TRUE;
    return TRUE;
}

static ErrorCode
classify(const S3Request *request)
{
    ErrorCode code = s3_error_classify(&request->failure);
    if (code == ERROR_CHANGED)
        return request->changed_code;
    if (s3_error_has_code(&request->failure, "NoSuchKey"))
        return request->missing_code;
    if (s3_error_has_code(&request->failure, "ConditionalRequestConflict"))
        return request->conflict_code;
    /* To HEAD this is all that a service says of a key that can be none. */
    if (request->failure.status == 400 && request->key && !g_utf8_validate(request->key, -1, NULL))
        return ERROR_BAD_NAME;
    return code;
}

/* TRUE: answered, well or with a refusal that nothing more can be done about (*out_refused). */
static gboolean
attempt_once(S3 *s3, S3Request *request, Call *call, Repeats *used, HttpResponse *out, gboolean *out_again,
             GError **error)
{
    g_auto(Attempt) attempt = {0};
    g_auto(HttpResponse) response = {0};
    if (!attempt_begin(s3, request, call, &attempt, error) ||
        !attempt_send(s3, request, &attempt, call, &response, error))
        return FALSE;
    if (is_success(request, &response)) {
        *out = response;
        response = (HttpResponse){0};
        return TRUE;
    }
    s3_error_failure_clear(&request->failure);
    s3_error_read(&response, &request->failure);
    *out_again = learn_place(s3, request, &attempt, used) || learn_clock(s3, request, used) ||
                 learn_expiry(s3, request, &attempt, used);
    if (*out_again)
        return FALSE;
    g_autofree char *subject =
        g_strconcat(request->method, " ", attempt.address.origin, attempt.address.path, NULL);
    return s3_error_set(error, classify(request), &request->failure, subject);
}

static gboolean
digest_body(S3 *s3, S3Request *request, GError **error)
{
    unsigned wants = 0;
    if (!request->body || request->digests.sha256_hex)
        return TRUE;
    if (s3->options->sign_payload && s3->options->signature == S3_SIGNATURE_V4)
        wants |= DIGEST_WANT_SHA256;
    if (request->checksum && s3->options->checksum == S3_CHECKSUM_CRC32C)
        wants |= DIGEST_WANT_CRC32C;
    if (request->checksum && s3->options->checksum == S3_CHECKSUM_MD5)
        wants |= DIGEST_WANT_MD5;
    digest_set_clear(&request->digests);
    return digest_source(request->body, wants, &request->digests, error);
}

/* A request for the object "" would be one for its container: DELETE and PUT would then do quite another
 * thing. The service's rules for keys matter where one is made. */
static gboolean
check_key(S3 *s3, const S3Request *request, GError **error)
{
    gboolean makes = strcmp(request->method, "PUT") == 0 || strcmp(request->method, "POST") == 0;
    if (!request->key || (*request->key && !makes))
        return TRUE;
    return s3_names_check_key(s3->options, request->key, error);
}

gboolean
s3_request_perform(S3 *s3, S3Request *request, Call *call, HttpResponse *out, GError **error)
{
    Repeats used = {0};
    s3_error_failure_clear(&request->failure);
    if (!check_key(s3, request, error) || !digest_body(s3, request, error))
        return FALSE;
    for (;;) {
        gboolean again = FALSE;
        if (attempt_once(s3, request, call, &used, out, &again, error))
            return TRUE;
        if (!again)
            return FALSE;
    }
}

gboolean
s3_request_run(S3 *s3, S3Request *request, Call *call, GError **error)
{
    g_auto(HttpResponse) response = {0};
    return s3_request_perform(s3, request, call, &response, error);
}

char *
s3_request_describe(S3 *s3, const S3Request *request)
{
    g_auto(Attempt) attempt = {0};
    s3_learned_get_place(s3->learned, request->container, &attempt.region, &attempt.host);
    s3_endpoint_build(s3->options, attempt.region, attempt.host, request->container, request->key,
                      &attempt.address);
    return g_strconcat(request->method, " ", attempt.address.origin, attempt.address.path, NULL);
}

gboolean
s3_request_fail(S3 *s3, const S3Request *request, GError **error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *why = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    g_autofree char *subject = s3_request_describe(s3, request);
    g_set_error(error, STORAGEFS_ERROR, ERROR_PROTOCOL, "%s: %s", subject, why);
    return FALSE;
}

gboolean
s3_request_sign_url(S3 *s3, const char *container, const char *key, guint lifetime_s, char **out_url,
                    GError **error)
{
    g_autoptr(S3Credentials) credentials = s3_credential_store_get(s3->credentials);
    const S3Options *options = s3->options;
    if (options->encryption == S3_ENCRYPTION_CUSTOMER) {
        g_set_error(error, STORAGEFS_ERROR, ERROR_UNSUPPORTED,
                    "a URL cannot carry the customer's key that the object is encrypted with");
        return FALSE;
    }
    if (!credentials && options->access_key_id && !options->role_arn)
        credentials =
            s3_credentials_new(options->access_key_id, options->secret_access_key, options->session_token, 0);
    g_autoptr(GArray) parameters = s3_sign_parameters_new();
    g_auto(Attempt) attempt = {0};
    g_autofree char *query = NULL;
    s3_learned_get_place(s3->learned, container, &attempt.region, &attempt.host);
    s3_endpoint_build(s3->options, attempt.region, attempt.host, container, key, &attempt.address);
    if (s3->options->signature == S3_SIGNATURE_NONE) {
        *out_url = g_strconcat(attempt.address.origin, attempt.address.path, NULL);
        return TRUE;
    }
    if (!credentials) {
        g_set_error(error, STORAGEFS_ERROR, ERROR_DENIED, "no valid credentials to sign a URL with");
        return FALSE;
    }
    S3Signer signer = {credentials->access_key_id, credentials->secret_access_key,
                       credentials->session_token};
    S3SignInput input = {"GET",
                         attempt.address.host,
                         attempt.address.path,
                         "",
                         S3_SIGN_UNSIGNED_PAYLOAD,
                         attempt.region,
                         "s3",
                         s3_learned_get_time_s(s3->learned)};
    if (s3->options->signature == S3_SIGNATURE_V2) {
        g_autofree char *resource = s3_endpoint_resource(container, key);
        query = s3_sign_v2_query(&input, &signer, resource, lifetime_s, parameters);
    } else {
        guint8 signing_key[S3_SIGN_KEY_BYTES];
        s3_learned_derive_key(s3->learned, &signer, input.time_s, attempt.region, signing_key);
        if (options->requester_pays)
            s3_sign_parameters_add(parameters, "x-amz-request-payer", "requester");
        query = s3_sign_v4_query(&input, &signer, signing_key, lifetime_s, parameters);
    }
    *out_url = g_strconcat(attempt.address.origin, attempt.address.path, "?", query, NULL);
    return TRUE;
}
