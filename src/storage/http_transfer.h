/* Inside http*.c only: one request on one connection, as libcurl's callbacks see it.
 *
 * Owns the limits of what a server may send: number and length of headers, length of bodies. The body goes
 * from libcurl's receive buffer straight into the caller's.
 */
#pragma once

#include "src/storage/http.h"
#include "src/storage/http_pace.h"

#include <glib.h>

typedef struct {
    const HttpRequest *request;
    HttpResponse response;
    GError *error;  /* what a callback failed with: says more than libcurl's code */
    void *easy;     /* borrowed */
    void *headers;  /* struct curl_slist * that the easy handle points to */
    guint64 offset; /* of the next body byte to send */
    HttpPace pace;
    guint64 callbacks;     /* grows whenever libcurl hands over or asks for bytes */
    guint header_count;    /* of all header blocks: an endless row of 1xx replies ends here too */
    guint attempts;        /* libcurl repeats by itself when a kept connection turns out dead */
    gboolean headers_done; /* trailers after the body are not headers */
    gboolean cut;          /* we stopped reading on purpose: the reply counts as complete */
} HttpTransfer;

/* Refuses with BAD_ARGUMENT what would break the request apart. Else sets the options on `easy`. */
gboolean http_transfer_begin(HttpTransfer *transfer, const HttpRequest *request, void *easy, GError **error);
/* Takes the options back that point into the transfer, and frees what is left in it. */
void http_transfer_end(HttpTransfer *transfer);
