/* Text as HTTP has it: percent-encoding and dates. */
#include "src/storage/http.h"

#include <curl/curl.h>
#include <string.h>

void
http_append_escaped(GString *out, const char *text, gssize length, const char *keep)
{
    static const char digits[] = "0123456789ABCDEF";
    gsize length_bytes = length < 0 ? strlen(text) : (gsize)length;
    for (gsize i = 0; i < length_bytes; i++) {
        guchar byte = (guchar)text[i];
        if (g_ascii_isalnum(byte) || (byte && (strchr("-._~", byte) || (keep && strchr(keep, byte))))) {
            g_string_append_c(out, (char)byte);
        } else {
            g_string_append_c(out, '%');
            g_string_append_c(out, digits[byte >> 4]);
            g_string_append_c(out, digits[byte & 15]);
        }
    }
}

/* Exactly `count` digits. */
static gboolean
scan_digits(const char **text, guint count, int *out)
{
    int value = 0;
    for (guint i = 0; i < count; i++) {
        if (!g_ascii_isdigit((*text)[i]))
            return FALSE;
        value = value * 10 + g_ascii_digit_value((*text)[i]);
    }
    *text += count;
    *out = value;
    return TRUE;
}

static gboolean
scan_character(const char **text, const char *accepted)
{
    if (!**text || !strchr(accepted, **text))
        return FALSE;
    (*text)++;
    return TRUE;
}

/* ".123" in nanoseconds; digits past the ninth are dropped. */
static gint64
scan_fraction(const char **text)
{
    gint64 nanoseconds = 0;
    if (!scan_character(text, ".,"))
        return 0;
    for (gint64 unit = 100 * 1000 * 1000; g_ascii_isdigit(**text); (*text)++, unit /= 10)
        nanoseconds += g_ascii_digit_value(**text) * unit;
    return nanoseconds;
}

/* "Z", "+hh:mm", "-hhmm", or nothing (taken as UTC), then the end. */
static gboolean
scan_zone(const char *text, int *out_offset_s)
{
    int hours = 0, minutes = 0;
    *out_offset_s = 0;
    if (!*text || g_ascii_strcasecmp(text, "Z") == 0)
        return TRUE;
    int sign = *text == '-' ? -1 : 1;
    if (!scan_character(&text, "+-") || !scan_digits(&text, 2, &hours))
        return FALSE;
    scan_character(&text, ":");
    if (*text && !scan_digits(&text, 2, &minutes))
        return FALSE;
    *out_offset_s = sign * (hours * 3600 + minutes * 60);
    return *text == '\0' && hours < 24 && minutes < 60;
}

static gboolean
parse_iso8601(const char *text, gint64 *out_ns)
{
    int year, month, day, hour, minute, second, offset_s;
    if (!scan_digits(&text, 4, &year) || !scan_character(&text, "-") || !scan_digits(&text, 2, &month) ||
        !scan_character(&text, "-") || !scan_digits(&text, 2, &day) || !scan_character(&text, "Tt ") ||
        !scan_digits(&text, 2, &hour) || !scan_character(&text, ":") || !scan_digits(&text, 2, &minute) ||
        !scan_character(&text, ":") || !scan_digits(&text, 2, &second))
        return FALSE;
    gint64 nanoseconds = scan_fraction(&text);
    if (!scan_zone(text, &offset_s))
        return FALSE;
    /* A leap second is the second before it, as in POSIX time. */
    g_autoptr(GDateTime) date =
        g_date_time_new_utc(year, month, day, hour, minute, second == 60 ? 59 : second);
    gint64 seconds = date ? g_date_time_to_unix(date) - offset_s : 0;
    if (!date || ABS(seconds) >= G_MAXINT64 / (1000 * 1000 * 1000))
        return FALSE;
    *out_ns = seconds * 1000 * 1000 * 1000 + nanoseconds;
    return TRUE;
}

gboolean
http_parse_date(const char *text, gint64 *out_ns)
{
    if (g_ascii_isdigit(*text))
        return parse_iso8601(text, out_ns);
    /* The three forms of RFC 9110 begin with the name of a day; libcurl knows them all. */
    time_t seconds = g_ascii_isalpha(*text) && strlen(text) < 64 ? curl_getdate(text, NULL) : -1;
    if (seconds == -1 || ABS(seconds) >= G_MAXINT64 / (1000 * 1000 * 1000))
        return FALSE;
    *out_ns = (gint64)seconds * 1000 * 1000 * 1000;
    return TRUE;
}
