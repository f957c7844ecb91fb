/* Inside http*.c only: the connections of one HttpClient.
 *
 * A connection is an easy handle with a multi handle of its own, so that its owner can poll it, be woken, and
 * keep it warm afterwards. Idle ones are taken back newest first among those that last spoke to the same
 * origin, because the newest is the least likely to have been closed by the other side.
 */
#pragma once

#include "src/storage/http.h"

#include <glib.h>

typedef struct {
    void *easy, *multi; /* CURL and CURLM: only .c files see libcurl */
    char *origin;       /* "https://host:port" it last spoke to */
    char message[256];  /* libcurl's text for the last failure */
} HttpConnection;

/* Never blocks. NULL with NO_RESOURCES. */
HttpConnection *http_client_take(HttpClient *client, const char *origin, GError **error);
/* Counts what the request did, and keeps the connection for the next one. */
void http_client_give(HttpClient *client, HttpConnection *connection, const HttpCounters *done);
gint64 http_client_get_stall_timeout_us(HttpClient *client);
