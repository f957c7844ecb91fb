/* A small server for tests: one thread accepts, one thread per connection. */
#include "tests/unit/raw_server.h"

#include "src/base/lock.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct RawServer {
    RawServerAnswer answer;
    int listener;
    guint port;
    pthread_t acceptor;
    Lock lock;
    Condition changed;
    GArray *threads;  /* of pthread_t */
    GArray *open;     /* of int: connections to be shut down at the end */
    GPtrArray *heads; /* char *: every request seen */
    guint connections;
};

typedef struct {
    RawServer *server;
    int fd;
} Connection;

/* Reads up to and with the blank line; what follows it is given back in `rest`. NULL at the end. */
static char *
read_head(int fd, GByteArray *rest)
{
    while (TRUE) {
        const char *end = rest->len ? memmem(rest->data, rest->len, "\r\n\r\n", 4) : NULL;
        if (end) {
            gsize length = (gsize)(end + 4 - (const char *)rest->data);
            char *head = g_strndup((const char *)rest->data, length);
            g_byte_array_remove_range(rest, 0, (guint)length);
            return head;
        }
        guint8 buffer[65536];
        ssize_t got = recv(fd, buffer, sizeof buffer, 0);
        if (got <= 0)
            return NULL;
        g_byte_array_append(rest, buffer, (guint)got);
    }
}

static gboolean
read_body(int fd, GByteArray *rest, guint64 length)
{
    while (rest->len < length) {
        guint8 buffer[65536];
        ssize_t got = recv(fd, buffer, sizeof buffer, 0);
        if (got <= 0)
            return FALSE;
        g_byte_array_append(rest, buffer, (guint)got);
    }
    return TRUE;
}

static gboolean
serve_one(RawServer *server, int fd, GByteArray *rest)
{
    g_autofree char *head = read_head(fd, rest);
    if (!head)
        return FALSE;
    lock_acquire(&server->lock);
    g_ptr_array_add(server->heads, g_strdup(head));
    condition_wake_all(&server->changed);
    lock_release(&server->lock);
    const char *length = strstr(head, "Content-Length: ");
    if (length && !read_body(fd, rest, strtoull(length + 16, NULL, 10)))
        return FALSE;
    gboolean keep = server->answer(server, fd, head, rest);
    g_byte_array_set_size(rest, 0);
    return keep;
}

static void *
serve_connection(void *data)
{
    Connection *connection = data;
    g_autoptr(GByteArray) rest = g_byte_array_new();
    while (serve_one(connection->server, connection->fd, rest))
        ;
    shutdown(connection->fd, SHUT_RDWR);
    g_free(connection);
    return NULL;
}

static void *
accept_all(void *data)
{
    RawServer *server = data;
    while (TRUE) {
        int fd = accept(server->listener, NULL, NULL);
        if (fd < 0)
            return NULL;
        Connection *connection = g_new0(Connection, 1);
        *connection = (Connection){.server = server, .fd = fd};
        pthread_t thread;
        lock_acquire(&server->lock);
        server->connections++;
        g_array_append_val(server->open, fd);
        g_assert_cmpint(pthread_create(&thread, NULL, serve_connection, connection), ==, 0);
        g_array_append_val(server->threads, thread);
        lock_release(&server->lock);
    }
}

RawServer *
raw_server_new(RawServerAnswer answer)
{
    RawServer *server = g_new0(RawServer, 1);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    server->answer = answer;
    server->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    g_assert_cmpint(bind(server->listener, (struct sockaddr *)&address, length), ==, 0);
    g_assert_cmpint(listen(server->listener, 128), ==, 0);
    getsockname(server->listener, (struct sockaddr *)&address, &length);
    server->port = ntohs(address.sin_port);
    server->threads = g_array_new(FALSE, FALSE, sizeof(pthread_t));
    server->open = g_array_new(FALSE, FALSE, sizeof(int));
    server->heads = g_ptr_array_new_with_free_func(g_free);
    lock_init(&server->lock);
    condition_init(&server->changed);
    g_assert_cmpint(pthread_create(&server->acceptor, NULL, accept_all, server), ==, 0);
    return server;
}

void
raw_server_free(RawServer *server)
{
    shutdown(server->listener, SHUT_RDWR);
    pthread_join(server->acceptor, NULL);
    for (guint i = 0; i < server->open->len; i++)
        shutdown(g_array_index(server->open, int, i), SHUT_RDWR);
    for (guint i = 0; i < server->threads->len; i++)
        pthread_join(g_array_index(server->threads, pthread_t, i), NULL);
    for (guint i = 0; i < server->open->len; i++)
        close(g_array_index(server->open, int, i));
    close(server->listener);
    g_array_unref(server->threads);
    g_array_unref(server->open);
    g_ptr_array_unref(server->heads);
    condition_clear(&server->changed);
    lock_clear(&server->lock);
    g_free(server);
}

guint
raw_server_get_port(RawServer *server)
{
    return server->port;
}

guint
raw_server_get_connections(RawServer *server)
{
    lock_acquire(&server->lock);
    guint connections = server->connections;
    lock_release(&server->lock);
    return connections;
}

static guint
count_locked(RawServer *server, const char *text)
{
    guint count = 0;
    for (guint i = 0; i < server->heads->len; i++)
        count += strstr(g_ptr_array_index(server->heads, i), text) ? 1 : 0;
    return count;
}

guint
raw_server_count(RawServer *server, const char *text)
{
    lock_acquire(&server->lock);
    guint count = count_locked(server, text);
    lock_release(&server->lock);
    return count;
}

void
raw_server_await(RawServer *server, const char *text, guint wanted)
{
    lock_acquire(&server->lock);
    while (count_locked(server, text) < wanted)
        condition_wait(&server->changed, &server->lock, 0);
    lock_release(&server->lock);
}

gboolean
raw_server_send(int fd, const char *bytes, gssize length)
{
    gsize left = length < 0 ? strlen(bytes) : (gsize)length;
    while (left > 0) {
        ssize_t sent = send(fd, bytes, left, MSG_NOSIGNAL);
        if (sent <= 0)
            return FALSE;
        bytes += sent;
        left -= (gsize)sent;
    }
    return TRUE;
}

void
raw_server_reset(int fd)
{
    /* Connecting a TCP socket to nothing resets it at once; its descriptor stays ours to close. */
    struct sockaddr none = {.sa_family = AF_UNSPEC};
    connect(fd, &none, sizeof none);
}
