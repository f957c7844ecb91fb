/* Bytes of a server, through libcurl: an HttpResponse within the limits of http.h, or an error; never a hang.
 *
 * The client's connection is one end of a pair of sockets, whose other end has said everything, and closed,
 * before the request goes out. The first byte of an input chooses the request.
 */
#include "src/base/error.h"
#include "src/storage/http.h"
#include "tests/fuzz/fuzz.h"

#include <curl/curl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUFFER_BYTES 100u
#define LIMIT_BYTES 1000u
/* What fits a socket's buffer, so that nobody has to read meanwhile. */
#define MAXIMUM_REPLY_BYTES (64u << 10)

static const FuzzInput *reply;

CURL *__real_curl_easy_init(void);
CURL *__wrap_curl_easy_init(void);

static curl_socket_t
open_socket(void *data, curlsocktype purpose, struct curl_sockaddr *address)
{
    int ends[2];
    gsize length = MIN(fuzz_left(reply), MAXIMUM_REPLY_BYTES);
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0)
        return CURL_SOCKET_BAD;
    g_assert_cmpint(write(ends[1], reply->at, length), ==, (gssize)length);
    shutdown(ends[1], SHUT_WR);
    /* Kept open, so that the request can be sent: closed with the next one. */
    static int earlier = -1;
    if (earlier >= 0)
        close(earlier);
    earlier = ends[1];
    return ends[0];
}

static int
set_socket(void *data, curl_socket_t socket, curlsocktype purpose)
{
    return CURL_SOCKOPT_ALREADY_CONNECTED;
}

CURL *
__wrap_curl_easy_init(void)
{
    CURL *easy = __real_curl_easy_init();
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    curl_easy_setopt(easy, CURLOPT_SOCKOPTFUNCTION, set_socket);
    return easy;
}

void
fuzz_begin(void)
{
}

static void
check_headers(GHashTable *headers)
{
    GHashTableIter iter;
    gpointer name, value;
    g_assert_cmpuint(g_hash_table_size(headers), <=, 256);
    g_hash_table_iter_init(&iter, headers);
    while (g_hash_table_iter_next(&iter, &name, &value)) {
        g_autofree char *lower = g_ascii_strdown(name, -1);
        g_assert_cmpstr(name, ==, lower);
        g_assert_cmpstr(name, !=, "");
        g_assert_null(strpbrk(name, "\r\n:"));
        g_assert_null(strpbrk(value, "\r\n"));
        g_assert_cmpuint(strlen(name) + strlen(value), <=, 16u << 10);
    }
}

static void
check_response(const HttpRequest *request, const HttpResponse *response)
{
    gsize limit = response->status >= 300 ? 64u << 10 : request->maximum_bytes;
    check_headers(response->headers);
    g_assert_cmpint(response->status, >=, 200);
    g_assert_cmpuint(response->buffer_length_bytes, <=, request->buffer_bytes);
    g_assert_cmpuint(response->body->len, <=, limit);
    g_assert_cmpint(response->body->data[response->body->len], ==, 0);
    (void)http_response_get_retry_after_us(response);
}

void
fuzz_one(FuzzInput *input)
{
    static const char *const methods[] = {"GET", "HEAD", "PUT", "DELETE"};
    g_autoptr(GError) error = NULL;
    guint8 choice = fuzz_take_byte(input);
    g_autofree char *buffer = g_malloc(BUFFER_BYTES);
    gboolean buffered = (choice & 4) != 0;
    HttpSettings settings = HTTP_SETTINGS_DEFAULT;
    settings.proxy = "";
    HttpRequest request = {.method = methods[choice & 3],
                           .url = "http://127.0.0.1:1/path",
                           .buffer = buffered ? buffer : NULL,
                           .buffer_bytes = buffered ? BUFFER_BYTES : 0,
                           .maximum_bytes = LIMIT_BYTES};
    g_auto(HttpResponse) response = {0};
    /* A new one each time: a kept connection would carry one input's bytes into the next. */
    g_autoptr(HttpClient) client = http_client_new(&settings, &error);
    g_assert_no_error(error);
    reply = input;
    if (http_perform(client, &request, NULL, &response, &error))
        check_response(&request, &response);
    else
        fuzz_check_line(error);
}
