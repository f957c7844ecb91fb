/* See workload_http.h. */
#include "workload_http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define SCHEME "http://"
#define HEAD_BYTES 16384

struct HttpConnection {
    int fd;
    char host[64];
    char head[HEAD_BYTES]; /* of the reply, and the begin of its body */
    size_t head_bytes, body_at;
};

static void
fail(const char *what, const char *place)
{
    fprintf(stderr, "workload: %s %s: %s\n", what, place, errno ? strerror(errno) : "not as expected");
    exit(1);
}

bool
workload_http_is_place(const char *place)
{
    return strncmp(place, SCHEME, strlen(SCHEME)) == 0;
}

static const char *
path_of(const char *place)
{
    const char *path = strchr(place + strlen(SCHEME), '/');
    if (!path)
        fail("no path in", place);
    return path;
}

HttpConnection *
workload_http_connect(const char *place)
{
    HttpConnection *connection = calloc(1, sizeof *connection);
    const char *host = place + strlen(SCHEME), *path = path_of(place);
    struct sockaddr_in address = {.sin_family = AF_INET};
    char name[64];
    int on = 1;
    if (!connection || (size_t)(path - host) >= sizeof connection->host)
        fail("cannot connect to", place);
    memcpy(connection->host, host, (size_t)(path - host));
    snprintf(name, sizeof name, "%s", connection->host);
    char *port = strchr(name, ':');
    if (!port)
        fail("no port in", place);
    *port = '\0';
    address.sin_port = htons((unsigned short)strtoul(port + 1, NULL, 10));
    connection->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (inet_pton(AF_INET, name, &address.sin_addr) != 1 || connection->fd < 0 ||
        connect(connection->fd, (struct sockaddr *)&address, sizeof address) ||
        setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on))
        fail("cannot connect to", place);
    return connection;
}

void
workload_http_close(HttpConnection *connection)
{
    close(connection->fd);
    free(connection);
}

static void
send_all(HttpConnection *connection, const char *data, size_t size, const char *place)
{
    while (size > 0) {
        ssize_t sent = send(connection->fd, data, size, MSG_NOSIGNAL);
        if (sent <= 0)
            fail("cannot send to", place);
        data += sent;
        size -= (size_t)sent;
    }
}

/* Reads up to the body; returns the body's length. */
static long
receive_head(HttpConnection *connection, const char *place)
{
    char *end = NULL, *length = NULL;
    connection->head_bytes = 0;
    while (!end) {
        size_t room = HEAD_BYTES - 1 - connection->head_bytes;
        ssize_t got = recv(connection->fd, connection->head + connection->head_bytes, room, 0);
        if (got <= 0)
            fail("no answer from", place);
        connection->head_bytes += (size_t)got;
        connection->head[connection->head_bytes] = '\0';
        end = strstr(connection->head, "\r\n\r\n");
    }
    connection->body_at = (size_t)(end + 4 - connection->head);
    length = strcasestr(connection->head, "\r\nContent-Length:");
    errno = 0;
    if (strncmp(connection->head, "HTTP/1.1 2", 10) != 0 || !length || length > end)
        fail("bad answer from", place);
    return strtol(length + strlen("\r\nContent-Length:"), NULL, 10);
}

static void
receive_body(HttpConnection *connection, long left, char *buffer, size_t size, const char *place)
{
    left -= (long)(connection->head_bytes - connection->body_at);
    while (left > 0) {
        ssize_t got = recv(connection->fd, buffer, (size_t)left < size ? (size_t)left : size, 0);
        if (got <= 0)
            fail("cut off by", place);
        left -= got;
    }
}

/* headers: whole lines. */
static void
send_request(HttpConnection *connection, const char *method, const char *place, const char *headers)
{
    char request[4096 + 256];
    int bytes = snprintf(request, sizeof request, "%s %s HTTP/1.1\r\nHost: %s\r\n%s\r\n", method,
                         path_of(place), connection->host, headers);
    if (bytes < 0 || (size_t)bytes >= sizeof request)
        fail("too long:", place);
    send_all(connection, request, (size_t)bytes, place);
}

long
workload_http_size(HttpConnection *connection, const char *place)
{
    send_request(connection, "HEAD", place, "");
    return receive_head(connection, place);
}

long
workload_http_get(HttpConnection *connection, const char *place, long offset, long length, char *buffer,
                  size_t size)
{
    char range[64] = "";
    if (length > 0)
        snprintf(range, sizeof range, "Range: bytes=%ld-%ld\r\n", offset, offset + length - 1);
    send_request(connection, "GET", place, range);
    long total = receive_head(connection, place);
    receive_body(connection, total, buffer, size, place);
    return total;
}

void
workload_http_put(HttpConnection *connection, const char *place, const char *buffer, size_t size, long total)
{
    char length[64];
    snprintf(length, sizeof length, "Content-Length: %ld\r\n", total);
    send_request(connection, "PUT", place, length);
    for (long left = total; left > 0; left -= (long)size)
        send_all(connection, buffer, (size_t)left < size ? (size_t)left : size, place);
    receive_body(connection, receive_head(connection, place), connection->head, HEAD_BYTES, place);
}
