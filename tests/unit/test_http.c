/* http.h against a server that says exactly what each test wants. */
#include "src/storage/http.h"

#include "tests/unit/raw_server.h"

#include <string.h>
#include <unistd.h>

#define OK_EMPTY "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

typedef struct {
    RawServer *server;
    HttpClient *client;
} Fixture;

static gboolean
is_path(const char *head, const char *path)
{
    const char *start = strchr(head, ' ') + 1;
    gsize length = strcspn(start, " ?");
    return length == strlen(path) && strncmp(start, path, length) == 0;
}

static gboolean
send_endless(int fd, const char *head, const char *unit)
{
    gboolean alive = raw_server_send(fd, head, -1);
    g_autoptr(GString) block = g_string_new(NULL);
    while (block->len < 65536)
        g_string_append(block, unit);
    while (alive)
        alive = raw_server_send(fd, block->str, (gssize)block->len);
    return FALSE;
}

static gboolean
send_echo(int fd, const char *head, GByteArray *body)
{
    g_autofree char *start = g_strdup_printf("HTTP/1.1 201 Created\r\nContent-Length: %zu\r\n\r\n%s",
                                             strlen(head) + body->len, head);
    return raw_server_send(fd, start, -1) && raw_server_send(fd, (const char *)body->data, body->len);
}

static const struct {
    const char *path, *reply;
    gboolean keep;
} FIXED[] = {
    {"/empty", OK_EMPTY, TRUE},
    {"/hello", "HTTP/1.1 200 OK\r\nX-A: one\r\nx-a:  two \r\nETag: \"e\"\r\nContent-Length: 5\r\n\r\nhello",
     TRUE},
    {"/chunked",
     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nETag: \"head\"\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n"
     "ETag: \"trailer\"\r\n\r\n",
     TRUE},
    {"/continue", "HTTP/1.1 100 Continue\r\nX-Early: 1\r\n\r\nHTTP/1.1 204 No Content\r\nX-Late: 1\r\n\r\n",
     TRUE},
    {"/short", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello", FALSE},
    {"/short-chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nhello", FALSE},
    {"/bad-chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzzz\r\nhello", FALSE},
    {"/garbage", "\x01\x02\x03 this is no HTTP\r\n\r\n", FALSE},
    {"/nothing", "", FALSE},
    {"/redirect", "HTTP/1.1 307 Temporary\r\nLocation: /hello\r\nContent-Length: 0\r\n\r\n", TRUE},
    {"/zipped", "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\x8b\x08\x7f",
     TRUE},
    {"/busy", "HTTP/1.1 503 Slow Down\r\nRetry-After: 7\r\nContent-Length: 4\r\n\r\nslow", TRUE},
};

static gboolean
answer(RawServer *server, int fd, const char *head, GByteArray *body)
{
    for (guint i = 0; i < G_N_ELEMENTS(FIXED); i++) {
        if (is_path(head, FIXED[i].path))
            return raw_server_send(fd, FIXED[i].reply, -1) && FIXED[i].keep;
    }
    if (is_path(head, "/endless"))
        return send_endless(fd, "HTTP/1.1 200 OK\r\n\r\n", "body");
    if (is_path(head, "/endless-error"))
        return send_endless(fd, "HTTP/1.1 503 Down\r\n\r\n", "body");
    if (is_path(head, "/endless-headers"))
        return send_endless(fd, "HTTP/1.1 200 OK\r\n", "X-More: 1\r\n");
    if (is_path(head, "/endless-header"))
        return send_endless(fd, "HTTP/1.1 200 OK\r\nX-Long: ", "value");
    if (is_path(head, "/endless-continue"))
        return send_endless(fd, "", "HTTP/1.1 100 Continue\r\n\r\n");
    if (is_path(head, "/hang")) {
        char byte;
        return read(fd, &byte, 1) == 1;
    }
    if (is_path(head, "/reset")) {
        raw_server_reset(fd);
        return FALSE;
    }
    if (is_path(head, "/once"))
        return raw_server_count(server, "/once") == 1 && raw_server_send(fd, OK_EMPTY, -1);
    return send_echo(fd, head, body);
}

static void
set_up(Fixture *fixture, gconstpointer data)
{
    HttpSettings settings = HTTP_SETTINGS_DEFAULT;
    settings.proxy = "";
    if (g_strcmp0(data, "stall") == 0)
        settings.stall_timeout_us = 200 * 1000;
    if (g_strcmp0(data, "patient") == 0) {
        settings.stall_timeout_us = 0;
        settings.connect_timeout_us = 3600 * (gint64)G_USEC_PER_SEC;
    }
    fixture->server = raw_server_new(answer);
    fixture->client = http_client_new(&settings, NULL);
    g_assert_nonnull(fixture->client);
}

static void
tear_down(Fixture *fixture, gconstpointer data)
{
    http_client_free(fixture->client);
    raw_server_free(fixture->server);
}

static gboolean
perform(Fixture *fixture, const char *method, const char *path, HttpRequest request, Call *call,
        HttpResponse *out, GError **error)
{
    g_autofree char *url =
        g_strdup_printf("http://127.0.0.1:%u%s", raw_server_get_port(fixture->server), path);
    request.method = method;
    request.url = url;
    return http_perform(fixture->client, &request, call, out, error);
}

static void
assert_body(const HttpResponse *response, const char *text)
{
    g_assert_cmpmem(response->body->data, response->body->len, text, strlen(text));
    g_assert_cmpint(response->body->data[response->body->len], ==, 0);
}

static void
assert_fails(Fixture *fixture, const char *method, const char *path, HttpRequest request, ErrorCode code)
{
    g_auto(HttpResponse) response = {.status = 77};
    g_autoptr(GError) error = NULL;
    g_assert_false(perform(fixture, method, path, request, NULL, &response, &error));
    g_assert_error(error, STORAGEFS_ERROR, (int)code);
    g_assert_true(g_str_has_prefix(error->message, "http://127.0.0.1:"));
    g_assert_null(strstr(error->message, "signature"));
    g_assert_cmpint(response.status, ==, 77);
}

static void
test_headers_and_body(Fixture *fixture, gconstpointer data)
{
    g_auto(HttpResponse) response = {0};
    g_assert_true(perform(fixture, "GET", "/hello", (HttpRequest){0}, NULL, &response, NULL));
    g_assert_cmpint(response.status, ==, 200);
    g_assert_cmpstr(http_response_get_header(&response, "x-a"), ==, "two");
    g_assert_cmpstr(http_response_get_header(&response, "etag"), ==, "\"e\"");
    g_assert_null(http_response_get_header(&response, "absent"));
    assert_body(&response, "hello");
    g_assert_false(response.truncated);
}

static void
test_head_has_no_body(Fixture *fixture, gconstpointer data)
{
    g_auto(HttpResponse) response = {0};
    g_auto(HttpResponse) next = {0};
    /* This server sends a body after HEAD, which no client can tell from the next reply. */
    g_assert_true(perform(fixture, "HEAD", "/empty", (HttpRequest){0}, NULL, &response, NULL));
    g_assert_cmpint(response.status, ==, 200);
    assert_body(&response, "");
    g_assert_true(perform(fixture, "GET", "/hello", (HttpRequest){0}, NULL, &next, NULL));
    assert_body(&next, "hello");
}

static void
test_chunked(Fixture *fixture, gconstpointer data)
{
    g_auto(HttpResponse) response = {0};
    g_assert_true(perform(fixture, "GET", "/chunked", (HttpRequest){0}, NULL, &response, NULL));
    assert_body(&response, "abcdefg");
    g_assert_cmpstr(http_response_get_header(&response, "etag"), ==, "\"head\"");
}

static void
test_interim_replies_are_not_the_reply(Fixture *fixture, gconstpointer data)
{
    g_auto(HttpResponse) response = {0};
    g_assert_true(perform(fixture, "GET", "/continue", (HttpRequest){0}, NULL, &response, NULL));
    g_assert_cmpint(response.status, ==, 204);
    g_assert_null(http_response_get_header(&response, "x-early"));
    g_assert_cmpstr(http_response_get_header(&response, "x-late"), ==, "1");
}

static void
test_nothing_is_followed_or_decoded(Fixture *fixture, gconstpointer data)
{
    g_auto(HttpResponse) redirect = {0};
    g_auto(HttpResponse) zipped = {0};
    g_assert_true(perform(fixture, "GET", "/redirect", (HttpRequest){0}, NULL, &redirect, NULL));
    g_assert_cmpint(redirect.status, ==, 307);
    g_assert_cmpuint(raw_server_count(fixture->server, "/hello"), ==, 0);
    g_assert_true(perform(fixture, "GET", "/zipped", (HttpRequest){0}, NULL, &zipped, NULL));
    assert_body(&zipped, "\x1f\x8b\x08\x7f");
}

static void
test_request_goes_out_as_given(Fixture *fixture, gconstpointer data)
{
    static const char *const headers[] = {"X-One: 1", "X-Empty:", "Authorization: A b/c", NULL};
    g_auto(HttpResponse) response = {0};
    g_assert_true(perform(fixture, "DELETE", "/a//b/../%2F%C3/./c?x=%20&y", (HttpRequest){.headers = headers},
                          NULL, &response, NULL));
    const char *head = (const char *)response.body->data;
    g_assert_true(g_str_has_prefix(head, "DELETE /a//b/../%2F%C3/./c?x=%20&y HTTP/1.1\r\n"));
    g_assert_nonnull(strstr(head, "\r\nX-One: 1\r\n"));
    g_assert_nonnull(strstr(head, "\r\nX-Empty:\r\n"));
    g_assert_nonnull(strstr(head, "\r\nAuthorization: A b/c\r\n"));
    g_assert_null(strstr(head, "Expect"));
    g_assert_null(strstr(head, "Accept"));
    g_assert_null(strstr(head, "Content-"));
}

static gboolean
read_pattern(gpointer data, guint64 offset, void *buffer, gsize length_bytes, GError **error)
{
    for (gsize i = 0; i < length_bytes; i++)
        ((guint8 *)buffer)[i] = (guint8)((offset + i) * 31 >> 3);
    return TRUE;
}

static void
test_body_is_read_by_offset(Fixture *fixture, gconstpointer data)
{
    const ByteSource source = {.size_bytes = 3000 * 1000, .read = read_pattern};
    g_auto(HttpResponse) response = {0};
    g_assert_true(perform(fixture, "PUT", "/echo", (HttpRequest){.body = &source, .maximum_bytes = 4 << 20},
                          NULL, &response, NULL));
    g_assert_nonnull(strstr((const char *)response.body->data, "\r\nContent-Length: 3000000\r\n"));
    g_assert_null(strstr((const char *)response.body->data, "Expect"));
    g_autofree guint8 *expected = g_malloc(source.size_bytes);
    read_pattern(NULL, 0, expected, source.size_bytes, NULL);
    g_assert_cmpuint(response.body->len, >, source.size_bytes);
    g_assert_cmpmem(response.body->data + response.body->len - source.size_bytes, source.size_bytes, expected,
                    source.size_bytes);
    HttpCounters counters;
    http_client_get_counters(fixture->client, &counters);
    g_assert_cmpuint(counters.body_bytes_sent, ==, source.size_bytes);
    g_assert_cmpuint(counters.body_bytes_received, ==, response.body->len);
}

static void
test_post_without_body_says_so(Fixture *fixture, gconstpointer data)
{
    g_auto(HttpResponse) response = {0};
    g_assert_true(perform(fixture, "POST", "/x?uploads", (HttpRequest){0}, NULL, &response, NULL));
    const char *head = (const char *)response.body->data;
    g_assert_true(g_str_has_prefix(head, "POST /x?uploads HTTP/1.1\r\n"));
    g_assert_nonnull(strstr(head, "\r\nContent-Length: 0\r\n"));
    g_assert_null(strstr(head, "Content-Type"));
}

static gboolean
read_failing(gpointer data, guint64 offset, void *buffer, gsize length_bytes, GError **error)
{
    g_set_error(error, STORAGEFS_ERROR, ERROR_NO_SPACE, "staging file: gone");
    return FALSE;
}

static void
test_source_error_is_passed_on(Fixture *fixture, gconstpointer data)
{
    const ByteSource source = {.size_bytes = 10, .read = read_failing};
    assert_fails(fixture, "PUT", "/echo", (HttpRequest){.body = &source}, ERROR_NO_SPACE);
}

static void
test_buffer_takes_what_fits(Fixture *fixture, gconstpointer data)
{
    char buffer[] = "........";
    g_auto(HttpResponse) exact = {0};
    g_auto(HttpResponse) cut = {0};
    g_auto(HttpResponse) refused = {0};
    g_assert_true(perform(fixture, "GET", "/hello", (HttpRequest){.buffer = buffer, .buffer_bytes = 5}, NULL,
                          &exact, NULL));
    g_assert_cmpmem(buffer, 8, "hello...", 8);
    g_assert_cmpuint(exact.buffer_length_bytes, ==, 5);
    g_assert_cmpuint(exact.body->len, ==, 0);
    g_assert_false(exact.truncated);
    g_assert_true(perform(fixture, "GET", "/chunked", (HttpRequest){.buffer = buffer, .buffer_bytes = 4},
                          NULL, &cut, NULL));
    g_assert_cmpmem(buffer, 8, "abcdo...", 8);
    g_assert_true(cut.truncated);
    /* The connection with the rest on it is not used again. */
    g_assert_true(perform(fixture, "GET", "/busy", (HttpRequest){.buffer = buffer, .buffer_bytes = 8}, NULL,
                          &refused, NULL));
    g_assert_cmpuint(raw_server_get_connections(fixture->server), ==, 2);
    g_assert_cmpuint(refused.buffer_length_bytes, ==, 0);
    assert_body(&refused, "slow");
}

static void
test_bad_replies(Fixture *fixture, gconstpointer data)
{
    static const struct {
        const char *path;
        ErrorCode code;
    } cases[] = {
        {"/short?signature", ERROR_UNAVAILABLE},  {"/short-chunk?signature", ERROR_UNAVAILABLE},
        {"/bad-chunk?signature", ERROR_PROTOCOL}, {"/garbage?signature", ERROR_PROTOCOL},
        {"/reset?signature", ERROR_UNAVAILABLE},  {"/nothing?signature", ERROR_UNAVAILABLE},
        {"/endless?signature", ERROR_PROTOCOL},   {"/endless-headers?signature", ERROR_PROTOCOL},
        {"/endless-header", ERROR_PROTOCOL},      {"/endless-continue", ERROR_PROTOCOL},
    };
    char buffer[256];
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_test_message("%s", cases[i].path);
        assert_fails(fixture, "GET", cases[i].path, (HttpRequest){0}, cases[i].code);
        if (!g_str_has_prefix(cases[i].path, "/endless?"))
            assert_fails(fixture, "GET", cases[i].path, (HttpRequest){.buffer = buffer, .buffer_bytes = 256},
                         cases[i].code);
    }
    HttpCounters counters;
    http_client_get_counters(fixture->client, &counters);
    g_assert_cmpuint(counters.failures, ==, counters.requests);
    g_assert_cmpuint(counters.requests, ==, 2 * G_N_ELEMENTS(cases) - 1);
}

static void
test_status_counts_whatever_page_comes_with_it(Fixture *fixture, gconstpointer data)
{
    g_auto(HttpResponse) response = {0};
    g_assert_true(perform(fixture, "GET", "/endless-error", (HttpRequest){0}, NULL, &response, NULL));
    g_assert_cmpint(response.status, ==, 503);
    g_assert_cmpuint(response.body->len, ==, 64 << 10);
}

static void
test_endless_body_into_buffer(Fixture *fixture, gconstpointer data)
{
    char buffer[1000];
    g_auto(HttpResponse) response = {0};
    g_assert_true(perform(fixture, "GET", "/endless", (HttpRequest){.buffer = buffer, .buffer_bytes = 1000},
                          NULL, &response, NULL));
    g_assert_cmpuint(response.buffer_length_bytes, ==, 1000);
    g_assert_true(response.truncated);
}

static void
test_connection_is_kept(Fixture *fixture, gconstpointer data)
{
    for (guint i = 0; i < 20; i++) {
        g_auto(HttpResponse) response = {0};
        g_assert_true(
            perform(fixture, i % 2 ? "GET" : "PUT", "/empty", (HttpRequest){0}, NULL, &response, NULL));
    }
    HttpCounters counters;
    http_client_get_counters(fixture->client, &counters);
    g_assert_cmpuint(raw_server_get_connections(fixture->server), ==, 1);
    g_assert_cmpuint(counters.connections_opened, ==, 1);
    g_assert_cmpuint(counters.requests, ==, 20);
}

/* A kept connection that dies under a request: reads are repeated, what may have changed something is not. */
static void
test_only_reads_are_repeated(Fixture *fixture, gconstpointer data)
{
    g_auto(HttpResponse) first = {0};
    g_auto(HttpResponse) second = {0};
    g_assert_true(perform(fixture, "GET", "/empty", (HttpRequest){0}, NULL, &first, NULL));
    assert_fails(fixture, "POST", "/nothing", (HttpRequest){0}, ERROR_UNAVAILABLE);
    g_assert_cmpuint(raw_server_count(fixture->server, "POST /nothing"), ==, 1);
    g_assert_true(perform(fixture, "GET", "/empty", (HttpRequest){0}, NULL, &second, NULL));
    assert_fails(fixture, "GET", "/nothing", (HttpRequest){0}, ERROR_UNAVAILABLE);
    g_assert_cmpuint(raw_server_count(fixture->server, "GET /nothing"), ==, 2);
}

static void
test_bad_requests_are_not_sent(Fixture *fixture, gconstpointer data)
{
    static const char *const split[] = {"X-A: 1\r\nX-B: 2", NULL};
    static const char *const no_colon[] = {"X-A", NULL};
    static const char *const blank[] = {"X A: 1", NULL};
    assert_fails(fixture, "GET", "/a b", (HttpRequest){0}, ERROR_BAD_ARGUMENT);
    assert_fails(fixture, "GET", "/a\r\nX: 1", (HttpRequest){0}, ERROR_BAD_ARGUMENT);
    assert_fails(fixture, "GET", "/\xc3\xa9", (HttpRequest){0}, ERROR_BAD_ARGUMENT);
    assert_fails(fixture, "GET", "/", (HttpRequest){.headers = split}, ERROR_BAD_ARGUMENT);
    assert_fails(fixture, "GET", "/", (HttpRequest){.headers = no_colon}, ERROR_BAD_ARGUMENT);
    assert_fails(fixture, "GET", "/", (HttpRequest){.headers = blank}, ERROR_BAD_ARGUMENT);
    g_assert_cmpuint(raw_server_get_connections(fixture->server), ==, 0);
}

static void
test_other_protocols_are_refused(Fixture *fixture, gconstpointer data)
{
    static const char *const urls[] = {"file:///etc/passwd", "ftp://127.0.0.1/",
                                       "http://user:secret@127.0.0.1:1/"};
    for (guint i = 0; i < G_N_ELEMENTS(urls); i++) {
        g_auto(HttpResponse) response = {0};
        g_autoptr(GError) error = NULL;
        HttpRequest request = {.method = "GET", .url = urls[i]};
        g_assert_false(http_perform(fixture->client, &request, NULL, &response, &error));
        g_assert_null(strstr(error->message, "secret"));
    }
}

static void
test_nobody_listens(Fixture *fixture, gconstpointer data)
{
    /* The port of a server that is gone. */
    RawServer *gone = raw_server_new(answer);
    g_autofree char *url = g_strdup_printf("http://127.0.0.1:%u/?secret", raw_server_get_port(gone));
    raw_server_free(gone);
    g_auto(HttpResponse) response = {0};
    g_autoptr(GError) error = NULL;
    HttpRequest request = {.method = "GET", .url = url};
    g_assert_false(http_perform(fixture->client, &request, NULL, &response, &error));
    g_assert_error(error, STORAGEFS_ERROR, ERROR_UNAVAILABLE);
    g_assert_null(strstr(error->message, "secret"));
}

static void *
cancel_when_it_hangs(void *data)
{
    gpointer *both = data;
    raw_server_await(both[0], "/hang", 1);
    call_cancel(both[1]);
    return NULL;
}

static void
test_cancel_ends_the_wait(Fixture *fixture, gconstpointer data)
{
    g_autoptr(Call) call = call_new(0);
    g_auto(HttpResponse) response = {0};
    g_autoptr(GError) error = NULL;
    pthread_t thread;
    gpointer both[] = {fixture->server, call};
    /* While it connects, libcurl looks up by itself; on a kept connection only the cancellation can wake it.
     */
    g_auto(HttpResponse) first = {0};
    g_assert_true(perform(fixture, "GET", "/empty", (HttpRequest){0}, NULL, &first, NULL));
    g_assert_cmpint(pthread_create(&thread, NULL, cancel_when_it_hangs, both), ==, 0);
    g_assert_false(perform(fixture, "GET", "/hang", (HttpRequest){0}, call, &response, &error));
    g_assert_error(error, STORAGEFS_ERROR, ERROR_CANCELLED);
    pthread_join(thread, NULL);
}

static void
test_deadline_ends_the_wait(Fixture *fixture, gconstpointer data)
{
    g_autoptr(Call) call = call_new(200 * 1000);
    g_auto(HttpResponse) response = {0};
    g_autoptr(GError) error = NULL;
    g_assert_false(perform(fixture, "GET", "/hang", (HttpRequest){0}, call, &response, &error));
    g_assert_error(error, STORAGEFS_ERROR, ERROR_TIMEOUT);
}

static void
test_stall_ends_the_wait(Fixture *fixture, gconstpointer data)
{
    assert_fails(fixture, "GET", "/hang", (HttpRequest){0}, ERROR_TIMEOUT);
}

/* A call without a deadline of its own waits no longer for one request than what it was made for. */
static void
test_patience_ends_the_wait(Fixture *fixture, gconstpointer data)
{
    g_autoptr(Call) parent = call_new(200 * 1000);
    g_autoptr(Call) call = call_new_without_deadline(parent);
    g_auto(HttpResponse) response = {0};
    g_autoptr(GError) error = NULL;
    g_assert_false(perform(fixture, "GET", "/hang", (HttpRequest){0}, call, &response, &error));
    g_assert_error(error, STORAGEFS_ERROR, ERROR_TIMEOUT);
}

static void *
perform_many(void *data)
{
    for (guint i = 0; i < 50; i++) {
        g_auto(HttpResponse) response = {0};
        g_assert_true(perform(data, "GET", "/hello", (HttpRequest){0}, NULL, &response, NULL));
        assert_body(&response, "hello");
    }
    return NULL;
}

static void
test_threads_share_a_client(Fixture *fixture, gconstpointer data)
{
    pthread_t threads[8];
    for (guint i = 0; i < G_N_ELEMENTS(threads); i++)
        g_assert_cmpint(pthread_create(&threads[i], NULL, perform_many, fixture), ==, 0);
    for (guint i = 0; i < G_N_ELEMENTS(threads); i++)
        pthread_join(threads[i], NULL);
    HttpCounters counters;
    http_client_get_counters(fixture->client, &counters);
    g_assert_cmpuint(counters.requests, ==, 400);
    g_assert_cmpuint(raw_server_get_connections(fixture->server), <=, G_N_ELEMENTS(threads));
}

static void
test_bad_settings(void)
{
    HttpSettings no_file = HTTP_SETTINGS_DEFAULT, bad_proxy = HTTP_SETTINGS_DEFAULT;
    g_autoptr(GError) file_error = NULL;
    g_autoptr(GError) proxy_error = NULL;
    no_file.ca_file = "/nonexistent/ca.pem";
    g_assert_null(http_client_new(&no_file, &file_error));
    g_assert_error(file_error, STORAGEFS_ERROR, ERROR_BAD_CONFIG);
    bad_proxy.proxy = "gopher://user:secret@host";
    g_assert_null(http_client_new(&bad_proxy, &proxy_error));
    g_assert_error(proxy_error, STORAGEFS_ERROR, ERROR_BAD_CONFIG);
    g_assert_null(strstr(proxy_error->message, "secret"));
}

int
main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*test)(Fixture *fixture, gconstpointer data);
    } tests[] = {
        {"headers-and-body", test_headers_and_body},
        {"head-has-no-body", test_head_has_no_body},
        {"chunked", test_chunked},
        {"interim-replies-are-not-the-reply", test_interim_replies_are_not_the_reply},
        {"nothing-is-followed-or-decoded", test_nothing_is_followed_or_decoded},
        {"request-goes-out-as-given", test_request_goes_out_as_given},
        {"body-is-read-by-offset", test_body_is_read_by_offset},
        {"post-without-body-says-so", test_post_without_body_says_so},
        {"source-error-is-passed-on", test_source_error_is_passed_on},
        {"buffer-takes-what-fits", test_buffer_takes_what_fits},
        {"bad-replies", test_bad_replies},
        {"status-counts-whatever-page-comes-with-it", test_status_counts_whatever_page_comes_with_it},
        {"endless-body-into-buffer", test_endless_body_into_buffer},
        {"connection-is-kept", test_connection_is_kept},
        {"only-reads-are-repeated", test_only_reads_are_repeated},
        {"bad-requests-are-not-sent", test_bad_requests_are_not_sent},
        {"other-protocols-are-refused", test_other_protocols_are_refused},
        {"nobody-listens", test_nobody_listens},
        {"deadline-ends-the-wait", test_deadline_ends_the_wait},
        {"threads-share-a-client", test_threads_share_a_client},
    };
    g_test_init(&argc, &argv, NULL);
    for (guint i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_autofree char *path = g_strdup_printf("/http/%s", tests[i].name);
        g_test_add(path, Fixture, NULL, set_up, tests[i].test, tear_down);
    }
    g_test_add("/http/cancel-ends-the-wait", Fixture, "patient", set_up, test_cancel_ends_the_wait,
               tear_down);
    g_test_add("/http/stall-ends-the-wait", Fixture, "stall", set_up, test_stall_ends_the_wait, tear_down);
    g_test_add("/http/patience-ends-the-wait", Fixture, NULL, set_up, test_patience_ends_the_wait, tear_down);
    g_test_add_func("/http/bad-settings", test_bad_settings);
    return g_test_run();
}
