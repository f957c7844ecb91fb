/* See http_pace.h. */
#include "src/storage/http_pace.h"

#include "src/base/error.h"

#include <string.h>

void
http_pace_begin(HttpPace *pace, gint64 limit_us, gint64 now_us)
{
    *pace = (HttpPace){.limit_us = limit_us, .moved_at_us = now_us};
}

void
http_pace_note(HttpPace *pace, HttpPhase phase, gsize bytes)
{
    if (phase < pace->phase)
        return;
    if (phase > pace->phase) {
        pace->phase = phase;
        pace->phase_at_us = 0;
        pace->phase_bytes = 0;
    }
    pace->phase_bytes += bytes;
}

void
http_pace_restart(HttpPace *pace)
{
    pace->phase = HTTP_PACE_BEGIN;
    pace->phase_at_us = 0;
}

/* How long this phase may last; G_MAXINT64: no matter. */
static gint64
get_allowance_us(const HttpPace *pace)
{
    gint64 credit_us = (gint64)(pace->phase_bytes / HTTP_PACE_SLOWEST_BYTES) * G_USEC_PER_SEC;
    switch (pace->phase) {
    case HTTP_PACE_SENDING:
    case HTTP_PACE_BODY:
        return pace->limit_us + credit_us;
    case HTTP_PACE_HEADERS:
    case HTTP_PACE_REFUSAL:
        return pace->limit_us;
    case HTTP_PACE_INTERIM:
    case HTTP_PACE_BLANKS:
    case HTTP_PACE_WORKING:
        return pace->limit_us * HTTP_PACE_PATIENCES;
    default:
        return G_MAXINT64;
    }
}

static gint64
get_phase_end_us(const HttpPace *pace)
{
    gint64 allowance_us = get_allowance_us(pace);
    return allowance_us < G_MAXINT64 - pace->phase_at_us ? pace->phase_at_us + allowance_us : G_MAXINT64;
}

gboolean
http_pace_check(HttpPace *pace, guint64 moved, gint64 now_us, GError **error)
{
    if (moved != pace->seen) {
        pace->seen = moved;
        pace->moved_at_us = now_us;
    }
    if (pace->phase_at_us == 0)
        pace->phase_at_us = now_us;
    if (now_us < http_pace_get_end_us(pace))
        return TRUE;
    if (now_us < pace->moved_at_us + pace->limit_us)
        g_set_error(error, STORAGEFS_ERROR, ERROR_TIMEOUT,
                    "%s crawls: %" G_GUINT64_FORMAT " bytes in %" G_GINT64_FORMAT " s",
                    pace->phase == HTTP_PACE_SENDING ? "the request" : "the reply", pace->phase_bytes,
                    (now_us - pace->phase_at_us) / G_USEC_PER_SEC);
    else
        g_set_error(error, STORAGEFS_ERROR, ERROR_TIMEOUT,
                    "nothing was sent or received for %" G_GINT64_FORMAT " s",
                    pace->limit_us / G_USEC_PER_SEC);
    return FALSE;
}

gint64
http_pace_get_end_us(const HttpPace *pace)
{
    if (pace->limit_us == 0)
        return G_MAXINT64;
    return MIN(pace->moved_at_us + pace->limit_us, get_phase_end_us(pace));
}

static gsize
skip_blanks(const char *text, gsize at, gsize length_bytes)
{
    while (at < length_bytes && g_ascii_isspace(text[at]))
        at++;
    return at;
}

gboolean
http_pace_is_blank(const void *body, gsize length_bytes)
{
    static const char declaration[] = "<?xml";
    const char *text = body;
    gsize at = skip_blanks(text, 0, length_bytes);
    gsize seen = MIN(length_bytes - at, strlen(declaration));
    if (seen == 0 || memcmp(text + at, declaration, seen) != 0)
        return seen == 0;
    const char *end = memchr(text + at, '>', length_bytes - at);
    return !end || skip_blanks(text, (gsize)(end + 1 - text), length_bytes) == length_bytes;
}
