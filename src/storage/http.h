/* PUBLIC to drivers: HTTP requests. Hides libcurl.
 *
 * One HttpClient per storage: its connections stay warm and are reused. Thread-safe; each request blocks its
 * thread. Redirects are never followed (credentials would go with them): the driver sees the 3xx. No retry.
 * Paths go out byte for byte as given (no "..", "//" folding); only newer libcurl makes %xx upper case.
 */
#pragma once

#include "src/base/call.h"
#include "src/storage/driver.h"

#include <glib.h>

typedef struct HttpClient HttpClient;

typedef struct {
    const char *ca_file;       /* PEM; NULL: the system's */
    gboolean verify_peer;      /* default TRUE: see HTTP_SETTINGS_DEFAULT */
    const char *proxy;         /* URL, "" none, NULL: the environment's (http_proxy, no_proxy ...) */
    guint maximum_connections; /* idle ones kept */
    gint64 connect_timeout_us;
    /* No byte in either direction for so long, or for the call's patience if that is shorter: TIMEOUT. What
     * crawls ends too: sending and bodies must move a KiB a second on average over what goes past this time,
     * headers and the body of a refusal have this time as a whole, blanks before the body and interim replies
     * 40 times it (http_pace.h). 0: never. */
    gint64 stall_timeout_us;
    const char *user_agent;
} HttpSettings;
#define HTTP_SETTINGS_DEFAULT                                                                                \
    ((HttpSettings){.verify_peer = TRUE,                                                                     \
                    .maximum_connections = 64,                                                               \
                    .connect_timeout_us = 10 * G_USEC_PER_SEC,                                               \
                    .stall_timeout_us = 30 * G_USEC_PER_SEC,                                                 \
                    .user_agent = "storagefs"})

/* Copies the settings. Fails: BAD_CONFIG (CA file unreadable, proxy malformed). */
HttpClient *http_client_new(const HttpSettings *settings, GError **error);
void http_client_free(HttpClient *client);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(HttpClient, http_client_free)

/* Where the reply's body goes. `length` bytes of `buffer`, or, with buffer NULL, memory that grows up to
 * maximum_bytes (PROTOCOL when exceeded). */
typedef struct {
    const char *method;
    const char *url;            /* absolute, already percent-encoded, %XX in upper case */
    const char *const *headers; /* "Name: value", NULL-terminated; sent as given */
    const ByteSource *body;     /* NULL: none (PUT and POST then say Content-Length: 0) */
    void *buffer;               /* caller's buffer for a 200 or 206 body, or NULL */
    gsize buffer_bytes;
    gsize maximum_bytes; /* limit of a body kept in memory; 0: 1 MiB. Of an error body the first 64 KiB */
    gboolean works_long; /* the service works while it replies, and its body shows now and then how far it is:
                            40 times the stall timeout for all of it */
} HttpRequest;

typedef struct {
    int status;
    GHashTable *headers;       /* lower-case name → value (last one wins), at most 256 of 16 KiB each */
    GByteArray *body;          /* what did not go to the caller's buffer; NUL-terminated past the end */
    gsize buffer_length_bytes; /* stored in HttpRequest.buffer */
    gboolean truncated; /* with buffer: the body was longer than buffer_bytes; the rest was not taken */
} HttpResponse;

void http_response_clear(HttpResponse *response);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(HttpResponse, http_response_clear)

/* TRUE for any complete HTTP reply, whatever its status. With `buffer`, a 200 or 206 body goes there and
 * reading stops when it is full and more comes (the connection is then dropped).
 * Fails: UNAVAILABLE (DNS, refused, reset, TLS), TIMEOUT, CANCELLED, PROTOCOL (malformed, body shorter than
 * its Content-Length is UNAVAILABLE), DENIED (certificate not trusted), or what body->read failed with. */
gboolean http_perform(HttpClient *client, const HttpRequest *request, Call *call, HttpResponse *out,
                      GError **error);

const char *http_response_get_header(const HttpResponse *response, const char *lower_case_name); /* or NULL */

/* Requests performed, bytes sent and received as bodies, open connections: for metrics. */
typedef struct {
    guint64 requests, body_bytes_sent, body_bytes_received, failures, connections_opened;
} HttpCounters;
void http_client_get_counters(HttpClient *client, HttpCounters *out);

/* Percent-encodes every byte outside A-Za-z0-9-._~ and those in `keep` (upper-case %XX), appended to `out`.
 */
void http_append_escaped(GString *out, const char *text, gssize length, const char *keep);
/* Retry-After of a reply (seconds or HTTP date) in microseconds, 0 none; capped at one hour. */
gint64 http_response_get_retry_after_us(const HttpResponse *response);
/* RFC 9110 date or ISO 8601 → nanoseconds since the epoch; FALSE if it is neither. */
gboolean http_parse_date(const char *text, gint64 *out_ns);
