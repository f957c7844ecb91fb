/* One HTTP request from its first byte to its last, with our own waiting: libcurl moves the bytes, this file
 * decides when to stop (the call ended, nothing or too little moved: http_pace.h) and what a failure is
 * called. */
#include "src/storage/http.h"

#include "src/storage/http_client.h"
#include "src/storage/http_transfer.h"

#include <curl/curl.h>
#include <string.h>

/* The longest wait between two looks at the clocks; what ends a call wakes the wait. */
#define MAXIMUM_WAIT_US (600 * (gint64)G_USEC_PER_SEC)

static void
wake_multi(gpointer multi)
{
    curl_multi_wakeup(multi);
}

/* libcurl's counters see what the socket takes, its callbacks only what its buffers take. */
static guint64
get_progress(const HttpTransfer *transfer)
{
    curl_off_t sent = 0, received = 0;
    long request_bytes = 0, connect_errno = 0;
    curl_easy_getinfo(transfer->easy, CURLINFO_SIZE_UPLOAD_T, &sent);
    curl_easy_getinfo(transfer->easy, CURLINFO_SIZE_DOWNLOAD_T, &received);
    curl_easy_getinfo(transfer->easy, CURLINFO_REQUEST_SIZE, &request_bytes);
    curl_easy_getinfo(transfer->easy, CURLINFO_OS_ERRNO, &connect_errno);
    return (guint64)sent + (guint64)received + (guint64)request_bytes + transfer->callbacks;
}

static int
get_wait_ms(const HttpPace *pace, Call *call)
{
    gint64 now_us = g_get_monotonic_time(), end_us = http_pace_get_end_us(pace);
    gint64 wait_us = MIN(call_get_remaining_us(call), MAXIMUM_WAIT_US);
    if (end_us != G_MAXINT64)
        wait_us = MIN(wait_us, end_us - now_us);
    return (int)(MAX(wait_us, 0) / 1000) + 1;
}

/* Runs until libcurl is done with the transfer, giving its verdict, or until we are (FALSE). */
static gboolean
drive(CURLM *multi, HttpTransfer *transfer, gint64 stall_limit_us, Call *call, CURLcode *out_code,
      GError **error)
{
    HttpPace *pace = &transfer->pace;
    http_pace_begin(pace, stall_limit_us, g_get_monotonic_time());
    int running = 1;
    while (TRUE) {
        CURLMcode code = curl_multi_perform(multi, &running);
        if (code == CURLM_OK && running == 0)
            break;
        if (!call_check(call, error) ||
            !http_pace_check(pace, get_progress(transfer), g_get_monotonic_time(), error))
            return FALSE;
        if (code == CURLM_OK)
            code = curl_multi_poll(multi, NULL, 0, get_wait_ms(pace, call), NULL);
        if (code != CURLM_OK) {
            g_set_error(error, STORAGEFS_ERROR, ERROR_NO_RESOURCES, "%s", curl_multi_strerror(code));
            return FALSE;
        }
    }
    int left = 0;
    const CURLMsg *message = curl_multi_info_read(multi, &left);
    *out_code = message ? message->data.result : CURLE_RECV_ERROR;
    return TRUE;
}

static ErrorCode
get_error_code(CURLcode code, const char *message)
{
    switch (code) {
    case CURLE_OPERATION_TIMEDOUT:
        return ERROR_TIMEOUT;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_CERTPROBLEM:
        return ERROR_DENIED;
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_BAD_CONTENT_ENCODING:
        return ERROR_PROTOCOL;
    case CURLE_URL_MALFORMAT:
    case CURLE_BAD_FUNCTION_ARGUMENT:
        return ERROR_BAD_ARGUMENT;
#if LIBCURL_VERSION_NUM >= 0x080600
    case CURLE_TOO_LARGE:
#endif
    case CURLE_OUT_OF_MEMORY:
        /* A header line past libcurl's own limit; real want of memory ends the process in GLib. */
        return ERROR_PROTOCOL;
    case CURLE_RECV_ERROR:
        /* libcurl's one code for a broken connection and for broken chunks; only the first may pass. */
        return strstr(message, "chunk") ? ERROR_PROTOCOL : ERROR_UNAVAILABLE;
    default:
        return ERROR_UNAVAILABLE;
    }
}

/* What to look at, NULL when the text says it. Ends the message. */
static const char *
find_remedy(CURLcode code, const char *message)
{
    switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
        return "is the endpoint right, and the service up?";
    case CURLE_SSL_CONNECT_ERROR:
        return "does the endpoint speak TLS, or should it begin with http:// ?";
    case CURLE_PEER_FAILED_VERIFICATION:
        return strstr(message, "host name") ? "the certificate is another host's: check the endpoint"
                                            : "give the authority that signed it as ca_file";
    default:
        return NULL;
    }
}

static gboolean
judge(HttpTransfer *transfer, CURLcode code, const char *message, GError **error)
{
    if (transfer->error) {
        g_propagate_error(error, g_steal_pointer(&transfer->error));
        return FALSE;
    }
    if (code == CURLE_OK || transfer->cut)
        return TRUE;
    const char *text = *message ? message : curl_easy_strerror(code);
    const char *remedy = find_remedy(code, text);
    g_set_error(error, STORAGEFS_ERROR, get_error_code(code, text), "%s%s%s", text, remedy ? "; " : "",
                remedy ? remedy : "");
    return FALSE;
}

static void
hand_over(HttpTransfer *transfer, HttpResponse *out)
{
    long status = 0;
    curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
    transfer->response.status = (int)status;
    GByteArray *body = transfer->response.body;
    g_byte_array_append(body, (const guint8 *)"", 1);
    g_byte_array_set_size(body, body->len - 1);
    *out = transfer->response;
    transfer->response = (HttpResponse){0};
}

static HttpCounters
count(const HttpTransfer *transfer, gboolean failed)
{
    curl_off_t sent = 0, received = 0;
    long opened = 0;
    curl_easy_getinfo(transfer->easy, CURLINFO_SIZE_UPLOAD_T, &sent);
    curl_easy_getinfo(transfer->easy, CURLINFO_SIZE_DOWNLOAD_T, &received);
    curl_easy_getinfo(transfer->easy, CURLINFO_NUM_CONNECTS, &opened);
    return (HttpCounters){.requests = 1,
                          .body_bytes_sent = (guint64)sent,
                          .body_bytes_received = (guint64)received,
                          .failures = failed ? 1 : 0,
                          .connections_opened = (guint64)opened};
}

static gboolean
run(HttpConnection *connection, HttpTransfer *transfer, gint64 stall_limit_us, Call *call, GError **error)
{
    CURLcode code = CURLE_OK;
    connection->message[0] = '\0';
    CURLMcode added = curl_multi_add_handle(connection->multi, connection->easy);
    if (added != CURLM_OK) {
        g_set_error(error, STORAGEFS_ERROR, ERROR_NO_RESOURCES, "%s", curl_multi_strerror(added));
        return FALSE;
    }
    guint wake = call_add_wake(call, wake_multi, connection->multi);
    gboolean done = drive(connection->multi, transfer, stall_limit_us, call, &code, error);
    call_remove_wake(call, wake);
    gboolean good = done && judge(transfer, code, connection->message, error);
    curl_multi_remove_handle(connection->multi, connection->easy);
    return good;
}

/* "https://host:port", without what may be secret: user, password, query. */
static char *
get_origin(const char *url)
{
    const char *host = strstr(url, "://");
    if (!host)
        return g_strndup(url, strcspn(url, "/?#@"));
    host += 3;
    gsize length_bytes = strcspn(host, "/?#");
    const char *user = memchr(host, '@', length_bytes);
    gsize skipped = user ? (gsize)(user + 1 - host) : 0;
    return g_strdup_printf("%.*s%.*s", (int)(host - url), url, (int)(length_bytes - skipped), host + skipped);
}

static gint64
get_stall_limit_us(HttpClient *client, Call *call)
{
    gint64 own_us = http_client_get_stall_timeout_us(client), patience_us = call_get_patience_us(call);
    return own_us == 0 || patience_us == 0 ? MAX(own_us, patience_us) : MIN(own_us, patience_us);
}

gboolean
http_perform(HttpClient *client, const HttpRequest *request, Call *call, HttpResponse *out, GError **error)
{
    g_autofree char *origin = get_origin(request->url);
    if (!call_check(call, error)) {
        g_prefix_error(error, "%s: ", origin);
        return FALSE;
    }
    HttpConnection *connection = http_client_take(client, origin, error);
    if (!connection)
        return FALSE;

    HttpTransfer transfer;
    HttpCounters done = {0};
    gboolean good = http_transfer_begin(&transfer, request, connection->easy, error);
    if (good) {
        good = run(connection, &transfer, get_stall_limit_us(client, call), call, error);
        done = count(&transfer, !good);
        if (good)
            hand_over(&transfer, out);
    }
    http_transfer_end(&transfer);
    http_client_give(client, connection, &done);
    if (!good)
        g_prefix_error(error, "%s: ", origin);
    return good;
}
