/* The least that a client of the benchmark's own server can do: one connection, HTTP/1.1, no signature,
 * nothing looked at but the status and the length. What it reaches is the measure for a file system on top
 * that asks for as much at a time.
 *
 * A place is "http://ADDRESS:PORT/BUCKET/KEY". All calls end the process with a message when anything fails.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

typedef struct HttpConnection HttpConnection;

bool workload_http_is_place(const char *place);
/* A connection to the server of this place; whoever calls it is the only one to use it. */
HttpConnection *workload_http_connect(const char *place);
void workload_http_close(HttpConnection *connection);
/* HEAD: the object's bytes. */
long workload_http_size(HttpConnection *connection, const char *place);
/* GET of the whole (length 0) or of a range. The body goes through `buffer`, from its begin again when it is
 * full. Returns the bytes of the body. */
long workload_http_get(HttpConnection *connection, const char *place, long offset, long length, char *buffer,
                       size_t size);
/* PUT of `total` bytes: the buffer over and over. */
void workload_http_put(HttpConnection *connection, const char *place, const char *buffer, size_t size,
                       long total);
