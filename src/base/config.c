/* The parsers of single values and the search for the nearest word (config.h): pure functions. */
#include "src/base/config.h"

#include "src/base/error.h"
#include "src/base/log.h"

#include <string.h>

#define NEAREST_MAX_BYTES 64u
#define PREFIX_MIN_BYTES 3u
#define SHOWN_MAX_BYTES 80
#define FRACTION_MAX_DIGITS 6

/* "'TEXT' is not WHAT", with the text made harmless for a terminal. Always FALSE. */
static gboolean
refuse(const char *text, const char *what, GError **error)
{
    g_autofree char *start = g_strndup(text, SHOWN_MAX_BYTES);
    g_autofree char *shown = log_escape(start);
    g_set_error(error, STORAGEFS_ERROR, ERROR_BAD_CONFIG, "'%s%s' is not %s", shown,
                strlen(text) > SHOWN_MAX_BYTES ? "..." : "", what);
    return FALSE;
}

/* Digits at *text, which is moved past them. FALSE: there is none, or too many for 63 bits. */
static gboolean
take_number(const char **text, gint64 *out_number)
{
    gint64 number = 0;
    const char *end = *text;
    for (; g_ascii_isdigit(*end); end++)
        if (__builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, *end - '0', &number))
            return FALSE;
    if (end == *text)
        return FALSE;
    *text = end;
    *out_number = number;
    return TRUE;
}

typedef struct {
    const char *suffix;
    gint64 factor;
} Unit;

static const Unit size_units[] = {
    {"", 1},
    {"B", 1},
    {"K", G_GINT64_CONSTANT(1) << 10},
    {"M", G_GINT64_CONSTANT(1) << 20},
    {"G", G_GINT64_CONSTANT(1) << 30},
    {"T", G_GINT64_CONSTANT(1) << 40},
    {"P", G_GINT64_CONSTANT(1) << 50},
    {"KiB", G_GINT64_CONSTANT(1) << 10},
    {"MiB", G_GINT64_CONSTANT(1) << 20},
    {"GiB", G_GINT64_CONSTANT(1) << 30},
    {"TiB", G_GINT64_CONSTANT(1) << 40},
    {NULL, 0},
};

static const Unit duration_units[] = {
    {"", G_USEC_PER_SEC},
    {"us", 1},
    {"ms", 1000},
    {"s", G_USEC_PER_SEC},
    {"m", 60 * (gint64)G_USEC_PER_SEC},
    {"min", 60 * (gint64)G_USEC_PER_SEC},
    {"h", 3600 * (gint64)G_USEC_PER_SEC},
    {"d", 86400 * (gint64)G_USEC_PER_SEC},
    {NULL, 0},
};

/* The factor of exactly this suffix; 0 when there is no such unit. */
static gint64
find_factor(const Unit *units, const char *suffix)
{
    for (; units->suffix; units++)
        if (g_ascii_strcasecmp(units->suffix, suffix) == 0)
            return units->factor;
    return 0;
}

gboolean
config_parse_size(const char *text, gint64 *out_bytes, GError **error)
{
    static const char what[] = "a size: write bytes, or 64K, 512M, 2G, 1T";
    const char *rest = text;
    gint64 number, bytes;
    if (!take_number(&rest, &number))
        return refuse(text, what, error);
    gint64 factor = find_factor(size_units, rest);
    if (factor == 0 || __builtin_mul_overflow(number, factor, &bytes))
        return refuse(text, what, error);
    *out_bytes = bytes;
    return TRUE;
}

/* ".5" at *text, in millionths; digits behind the sixth are dropped. No point: 0 and TRUE. */
static gboolean
take_millionths(const char **text, gint64 *out_millionths)
{
    *out_millionths = 0;
    if (**text != '.')
        return TRUE;
    const char *digits = *text + 1;
    int count = 0;
    for (; g_ascii_isdigit(digits[count]); count++)
        if (count < FRACTION_MAX_DIGITS)
            *out_millionths = *out_millionths * 10 + (digits[count] - '0');
    for (int missing = count; missing < FRACTION_MAX_DIGITS; missing++)
        *out_millionths *= 10;
    *text = digits + count;
    return count > 0;
}

gboolean
config_parse_duration(const char *text, gint64 *out_us, GError **error)
{
    static const char what[] = "a duration: write seconds such as 1 or 0.5, or 500ms, 10s, 2m, 1h";
    const char *rest = text;
    gint64 whole, millionths, us;
    if (!take_number(&rest, &whole) || !take_millionths(&rest, &millionths))
        return refuse(text, what, error);
    gint64 factor = find_factor(duration_units, rest);
    if (factor == 0 || __builtin_mul_overflow(whole, factor, &us) ||
        __builtin_add_overflow(us, millionths * factor / 1000000, &us))
        return refuse(text, what, error);
    *out_us = us;
    return TRUE;
}

gboolean
config_parse_boolean(const char *text, gboolean *out_value, GError **error)
{
    static const char *const words[] = {"no", "yes", "false", "true", "0", "1", "off", "on"};
    for (gsize i = 0; i < G_N_ELEMENTS(words); i++) {
        if (g_ascii_strcasecmp(text, words[i]) == 0) {
            *out_value = i % 2 == 1;
            return TRUE;
        }
    }
    return refuse(text, "yes or no", error);
}

/* Case does not count, nor '-' for '_'. */
static char
fold(char byte)
{
    return byte == '-' ? '_' : g_ascii_tolower(byte);
}

/* Changes, insertions, deletions and swaps of neighbours that make `a` from `b` (optimal string alignment).
 */
static guint
count_edits(const char *a, gsize a_length, const char *b, gsize b_length)
{
    guint rows[3][NEAREST_MAX_BYTES + 1];
    guint *before = rows[0], *last = rows[1], *row = rows[2];
    for (gsize j = 0; j <= b_length; j++)
        last[j] = (guint)j;
    for (gsize i = 1; i <= a_length; i++) {
        row[0] = (guint)i;
        for (gsize j = 1; j <= b_length; j++) {
            gboolean is_same = fold(a[i - 1]) == fold(b[j - 1]);
            row[j] = MIN(last[j - 1] + !is_same, MIN(last[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && fold(a[i - 1]) == fold(b[j - 2]) && fold(a[i - 2]) == fold(b[j - 1]))
                row[j] = MIN(row[j], before[j - 2] + 1);
        }
        guint *oldest = before;
        before = last;
        last = row;
        row = oldest;
    }
    return last[b_length];
}

/* How far apart two words are; a word that begins with the other one is close, however long the rest is. */
static guint
measure_distance(const char *a, const char *b)
{
    gsize a_length = strlen(a), b_length = strlen(b), common = MIN(a_length, b_length);
    if (MAX(a_length, b_length) > NEAREST_MAX_BYTES)
        return G_MAXUINT;
    gsize same = 0;
    while (same < common && fold(a[same]) == fold(b[same]))
        same++;
    if (same == common && common >= PREFIX_MIN_BYTES)
        return a_length != b_length;
    return count_edits(a, a_length, b, b_length);
}

const char *
config_nearest(const char *word, const char *const *words)
{
    const char *nearest = NULL;
    gsize limit = MAX(strlen(word) / 3, 1);
    guint least = limit < NEAREST_MAX_BYTES ? (guint)limit + 1 : 0;
    for (; *words; words++) {
        guint distance = measure_distance(word, *words);
        if (distance < least) {
            least = distance;
            nearest = *words;
        }
    }
    return nearest;
}
