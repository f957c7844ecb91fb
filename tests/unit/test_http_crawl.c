/* http.h against servers that crawl, and against those that only take their time. */
#include "src/storage/http.h"

#include "tests/unit/raw_server.h"

#include <string.h>

static gboolean
is_path(const char *head, const char *path)
{
    const char *start = strchr(head, ' ') + 1;
    gsize length = strcspn(start, " ");
    return length == strlen(path) && strncmp(start, path, length) == 0;
}

/* Bytes that come one by one, or in pieces, for four seconds: each of them moves something. */
static const struct {
    const char *path, *head, *unit;
    guint units_at_once;
} DRIPS[] = {
    {"/drip-head", "HTTP/1.1 200 OK\r\n", "A: b\r\n", 1},
    {"/drip-body", "HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n", "x", 1},
    {"/drip-refusal", "HTTP/1.1 403 Forbidden\r\nContent-Length: 99999\r\n\r\n", "x", 1},
    {"/drip-much-refusal", "HTTP/1.1 503 Down\r\nContent-Length: 65536\r\n\r\n", "x", 500},
};

static gboolean
send_drip(int fd, guint which)
{
    gboolean alive = raw_server_send(fd, DRIPS[which].head, -1);
    for (guint i = 0; alive && i < 100; i++) {
        for (guint j = 0; alive && j < DRIPS[which].units_at_once; j++)
            alive = raw_server_send(fd, DRIPS[which].unit, -1);
        g_usleep(40 * 1000);
    }
    return FALSE;
}

/* A service that works for a second, and says now and then that it is there. */
static gboolean
send_late(int fd, const char *start, const char *sign, const char *end)
{
    gboolean alive = raw_server_send(fd, start, -1);
    for (guint i = 0; alive && i < 20; i++) {
        alive = raw_server_send(fd, sign, -1);
        g_usleep(50 * 1000);
    }
    return alive && raw_server_send(fd, end, -1) && FALSE;
}

/* 80 KiB a second. */
static gboolean
send_slowly(int fd)
{
    g_autofree char *piece = g_strnfill(4096, 'x');
    gboolean alive = raw_server_send(fd, "HTTP/1.1 200 OK\r\nContent-Length: 65536\r\n\r\n", -1);
    for (guint i = 0; alive && i < 16; i++) {
        alive = raw_server_send(fd, piece, 4096);
        g_usleep(50 * 1000);
    }
    return alive;
}

static gboolean
answer(RawServer *server, int fd, const char *head, GByteArray *body)
{
    for (guint i = 0; i < G_N_ELEMENTS(DRIPS); i++) {
        if (is_path(head, DRIPS[i].path))
            return send_drip(fd, i);
    }
    if (is_path(head, "/late"))
        return send_late(fd, "HTTP/1.1 200 OK\r\n\r\n<?xml version=\"1.0\"?>", " ", "<done/>");
    if (is_path(head, "/late-status"))
        return send_late(fd, "", "HTTP/1.1 102 Processing\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n<done/>");
    return send_slowly(fd);
}

/* With 200 ms of patience. */
static gboolean
perform(RawServer *server, const char *method, const char *path, HttpRequest request, HttpResponse *out,
        GError **error)
{
    HttpSettings settings = HTTP_SETTINGS_DEFAULT;
    settings.proxy = "";
    settings.stall_timeout_us = 200 * 1000;
    g_autoptr(HttpClient) client = http_client_new(&settings, NULL);
    g_autofree char *url = g_strdup_printf("http://127.0.0.1:%u%s", raw_server_get_port(server), path);
    request.method = method;
    request.url = url;
    return http_perform(client, &request, NULL, out, error);
}

static void
assert_times_out(RawServer *server, const char *method, const char *path, HttpRequest request)
{
    g_auto(HttpResponse) response = {0};
    g_autoptr(GError) error = NULL;
    g_assert_false(perform(server, method, path, request, &response, &error));
    g_assert_error(error, STORAGEFS_ERROR, ERROR_TIMEOUT);
}

static void
test_a_crawl_ends(void)
{
    static char buffer[65536];
    g_autoptr(RawServer) server = raw_server_new(answer);
    for (guint i = 0; i < G_N_ELEMENTS(DRIPS); i++) {
        gint64 begun_us = g_get_monotonic_time();
        assert_times_out(server, "PUT", DRIPS[i].path, (HttpRequest){0});
        assert_times_out(server, "GET", DRIPS[i].path,
                         (HttpRequest){.buffer = buffer, .buffer_bytes = sizeof buffer});
        g_assert_cmpint(g_get_monotonic_time() - begun_us, <, 3 * G_USEC_PER_SEC);
    }
}

static void
test_slow_is_no_crawl(void)
{
    static char buffer[65536];
    g_autoptr(RawServer) server = raw_server_new(answer);
    g_auto(HttpResponse) late = {0}, late_status = {0}, slow = {0};
    g_assert_true(perform(server, "POST", "/late", (HttpRequest){0}, &late, NULL));
    g_assert_true(g_str_has_suffix((const char *)late.body->data, " <done/>"));
    g_assert_true(perform(server, "POST", "/late-status", (HttpRequest){0}, &late_status, NULL));
    g_assert_cmpstr((const char *)late_status.body->data, ==, "<done/>");
    g_assert_true(perform(server, "GET", "/slow",
                          (HttpRequest){.buffer = buffer, .buffer_bytes = sizeof buffer}, &slow, NULL));
    g_assert_cmpuint(slow.buffer_length_bytes, ==, sizeof buffer);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/http-crawl/a-crawl-ends", test_a_crawl_ends);
    g_test_add_func("/http-crawl/slow-is-no-crawl", test_slow_is_no_crawl);
    return g_test_run();
}
