/* Inside http*.c only: when a transfer that still moves is too slow all the same. Pure: tests need no clock.
 *
 * limit_us is how long nothing at all may move. Beside that each phase has a time of its own, because a byte
 * now and then would else keep a thread and a file for ever:
 *
 *     sending the request      limit, and a second for each HTTP_PACE_SLOWEST_BYTES sent
 *     waiting for the reply    no more than the silence
 *     interim replies (1xx)    HTTP_PACE_PATIENCES x limit
 *     headers of the reply     limit
 *     a body's beginning       HTTP_PACE_PATIENCES x limit, while it is an XML declaration and blanks: so
 * services keep the connection while they complete an upload the body                 limit, and a second for
 * each HTTP_PACE_SLOWEST_BYTES received; for HttpRequest.works_long HTTP_PACE_PATIENCES x limit; of a refusal
 * (300 and above) limit
 */
#pragma once

#include <glib.h>

#define HTTP_PACE_SLOWEST_BYTES 1024u /* a second: less than any line that is one, shared by many */
#define HTTP_PACE_PATIENCES 40        /* 20 minutes with the default limit */

/* In their order. A transfer only goes forward, until libcurl starts it again. */
typedef enum {
    HTTP_PACE_BEGIN, /* connecting, or all is sent and nothing has come: the silence counts alone */
    HTTP_PACE_SENDING,
    HTTP_PACE_SENT,
    HTTP_PACE_INTERIM,
    HTTP_PACE_HEADERS,
    HTTP_PACE_BLANKS,
    HTTP_PACE_BODY,
    HTTP_PACE_WORKING, /* a body while the service works */
    HTTP_PACE_REFUSAL
} HttpPhase;

typedef struct {
    gint64 limit_us; /* 0: there is none */
    gint64 moved_at_us;
    guint64 seen; /* what had moved then */
    HttpPhase phase;
    gint64 phase_at_us; /* 0: begins at the next check */
    guint64 phase_bytes;
} HttpPace;

void http_pace_begin(HttpPace *pace, gint64 limit_us, gint64 now_us);
/* `bytes` more have moved in this phase; ignored when a later one has begun. */
void http_pace_note(HttpPace *pace, HttpPhase phase, gsize bytes);
/* The request goes out once more, from its beginning. */
void http_pace_restart(HttpPace *pace);

/* moved: any count that grows whenever something moves. FALSE with TIMEOUT when it is too slow. */
gboolean http_pace_check(HttpPace *pace, guint64 moved, gint64 now_us, GError **error);
/* When http_pace_check() would fail if nothing moved; G_MAXINT64 never. After a check. */
gint64 http_pace_get_end_us(const HttpPace *pace);

/* TRUE for what a body may begin with while the service works: nothing, blanks, an XML declaration. */
gboolean http_pace_is_blank(const void *body, gsize length_bytes);
