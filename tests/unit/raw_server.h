/* A small server for tests that decide every byte of the reply themselves. */
#pragma once

#include <glib.h>

typedef struct RawServer RawServer;

/* Answers one request. head: the request up to its blank line; body: what came after it. FALSE closes the
 * connection. */
typedef gboolean (*RawServerAnswer)(RawServer *server, int fd, const char *head, GByteArray *body);

RawServer *raw_server_new(RawServerAnswer answer);
void raw_server_free(RawServer *server);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(RawServer, raw_server_free)

guint raw_server_get_port(RawServer *server);
guint raw_server_get_connections(RawServer *server);
/* How many requests had `text` in their head. */
guint raw_server_count(RawServer *server, const char *text);
/* Waits until raw_server_count(text) is at least `wanted`. */
void raw_server_await(RawServer *server, const char *text, guint wanted);

/* FALSE when the other side is gone. */
gboolean raw_server_send(int fd, const char *bytes, gssize length);
/* Closes with a reset instead of a FIN. */
void raw_server_reset(int fd);
