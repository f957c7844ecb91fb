/* Keys as numbers of mixed radix, see key_sample.h. */
#include "src/tree/key_sample.h"

#include <string.h>

/* Places looked at, from the first one that differs within the page. */
#define PLACES 12u
/* Places before it, into which a number may carry, until they hold so many pages. */
#define CARRY_PAGES 65536.0
/* What a double still tells apart. */
#define SMALLEST 1e-14
/* A guess is as exact as this part of a page. */
#define PRECISION 0.02

typedef struct {
    guint8 bytes[256]; /* ascending */
    guint count;
} Alphabet;

struct KeySample {
    gint refs;
    char delimiter;
    gsize prefix_length, differs; /* place of the first byte that differs within the page */
    char *first, *last;
    gboolean lower_hex, upper_hex;
    gboolean seen[PLACES][256]; /* from `differs` on */
};

typedef struct {
    KeySample *sample;
    gboolean lower_beyond, upper_beyond, digits; /* letters beyond hexadecimal, digits at all */
} Gathering;

static gsize
get_common(const char *a, const char *b)
{
    gsize length = 0;
    while (a[length] != '\0' && a[length] == b[length])
        length++;
    return length;
}

static void
gather(Gathering *gathering, const char *key, gsize length)
{
    KeySample *sample = gathering->sample;
    for (gsize place = sample->differs; place < length && place < sample->differs + PLACES; place++) {
        char c = key[place];
        sample->seen[place - sample->differs][(guint8)c] = TRUE;
        gathering->digits |= g_ascii_isdigit(c);
        gathering->lower_beyond |= g_ascii_islower(c) && !g_ascii_isxdigit(c);
        gathering->upper_beyond |= g_ascii_isupper(c) && !g_ascii_isxdigit(c);
    }
}

static const char *
get_prefix(const ListPage *page, guint index)
{
    return g_ptr_array_index(page->prefixes, index);
}

static const char *
get_key(const ListPage *page, guint index)
{
    return g_array_index(page->objects, ObjectInfo, index).key;
}

static const char *
get_bound(const ListPage *page, gboolean greatest)
{
    guint objects = page->objects->len, prefixes = page->prefixes->len;
    const char *key = objects > 0 ? get_key(page, greatest ? objects - 1 : 0) : NULL;
    const char *prefix = prefixes > 0 ? get_prefix(page, greatest ? prefixes - 1 : 0) : NULL;
    if (key == NULL || prefix == NULL)
        return key != NULL ? key : prefix;
    return (strcmp(key, prefix) > 0) == greatest ? key : prefix;
}

KeySample *
key_sample_new(const ListPage *page, const char *prefix, char delimiter)
{
    if (page->objects->len + page->prefixes->len < 2)
        return NULL;
    KeySample *sample = g_new0(KeySample, 1);
    Gathering gathering = {.sample = sample};
    sample->refs = 1;
    sample->delimiter = delimiter;
    sample->prefix_length = strlen(prefix);
    sample->first = g_strdup(get_bound(page, FALSE));
    sample->last = g_strdup(get_bound(page, TRUE));
    sample->differs = MAX(get_common(sample->first, sample->last), sample->prefix_length);
    for (guint i = 0; i < page->objects->len; i++)
        gather(&gathering, get_key(page, i), strlen(get_key(page, i)));
    /* Without the delimiter at the end. */
    for (guint i = 0; i < page->prefixes->len; i++)
        gather(&gathering, get_prefix(page, i), strlen(get_prefix(page, i)) - 1);
    sample->lower_hex = gathering.digits && !gathering.lower_beyond;
    sample->upper_hex = gathering.digits && !gathering.upper_beyond;
    return sample;
}

KeySample *
key_sample_ref(KeySample *sample)
{
    g_atomic_int_inc(&sample->refs);
    return sample;
}

void
key_sample_unref(KeySample *sample)
{
    if (!g_atomic_int_dec_and_test(&sample->refs))
        return;
    g_free(sample->first);
    g_free(sample->last);
    g_free(sample);
}

static void
add_range(gboolean *set, guint8 from, guint8 to)
{
    for (guint c = from; c <= to; c++)
        set[c] = TRUE;
}

/* What is seen stands for its class: one digit means that there are others. */
static void
close_classes(const KeySample *sample, gboolean *set, gboolean lower, gboolean upper, gboolean digit)
{
    if (digit)
        add_range(set, '0', '9');
    if (lower)
        add_range(set, 'a', sample->lower_hex ? 'f' : 'z');
    if (upper)
        add_range(set, 'A', sample->upper_hex ? 'F' : 'Z');
}

static void
get_alphabet(const KeySample *sample, gsize place, Alphabet *out)
{
    gboolean set[256] = {FALSE}, lower = FALSE, upper = FALSE, digit = FALSE;
    out->count = 0;
    if (place < sample->differs)
        set[(guint8)sample->last[place]] = TRUE;
    else if (place < sample->differs + PLACES)
        memcpy(set, sample->seen[place - sample->differs], sizeof set);
    for (guint c = 1; c < 128; c++) {
        lower |= set[c] && g_ascii_islower((char)c);
        upper |= set[c] && g_ascii_isupper((char)c);
        digit |= set[c] && g_ascii_isdigit((char)c);
    }
    close_classes(sample, set, lower, upper, digit);
    for (guint c = 1; c < 256; c++)
        if (set[c])
            out->bytes[out->count++] = (guint8)c;
}

static guint
get_rank(const Alphabet *alphabet, guint8 byte)
{
    guint rank = 0;
    while (rank + 1 < alphabet->count && alphabet->bytes[rank] < byte)
        rank++;
    return rank;
}

/* The key's bytes from `place` on, as a number from 0 to 1. */
static double
get_value(const KeySample *sample, const char *key, gsize place)
{
    double value = 0, unit = 1;
    Alphabet alphabet;
    for (gsize length = strlen(key); place < length && unit > SMALLEST; place++) {
        get_alphabet(sample, place, &alphabet);
        if (alphabet.count == 0)
            break;
        unit /= alphabet.count;
        value += unit * get_rank(&alphabet, (guint8)key[place]);
    }
    return value;
}

static double
get_page(const KeySample *sample, gsize place)
{
    return get_value(sample, sample->last, place) - get_value(sample, sample->first, place);
}

double
key_sample_distance(const KeySample *sample, const char *from, const char *to)
{
    gsize place = MIN(get_common(from, to), sample->differs);
    double page = get_page(sample, place);
    double distance = get_value(sample, to, place) - get_value(sample, from, place);
    if (page <= 0)
        return G_MAXDOUBLE;
    return MAX(distance, 0) / page;
}

static gsize
get_carry_place(const KeySample *sample, const char *from)
{
    gsize place = sample->differs, length = strlen(from);
    Alphabet alphabet;
    double pages = 1;
    while (place > sample->prefix_length && pages < CARRY_PAGES) {
        get_alphabet(sample, --place, &alphabet);
        pages *= alphabet.count;
    }
    return MIN(place, length);
}

char *
key_sample_ahead(const KeySample *sample, const char *from, double pages)
{
    gsize place = get_carry_place(sample, from);
    double page = get_page(sample, place), value = get_value(sample, from, place) + pages * page, unit = 1;
    if (page <= 0 || value >= 1 || strncmp(from, sample->last, sample->prefix_length) != 0)
        return NULL;
    g_autoptr(GString) key = g_string_new_len(from, (gssize)place);
    Alphabet alphabet;
    for (; unit > page * PRECISION; place++) {
        get_alphabet(sample, place, &alphabet);
        if (alphabet.count == 0)
            break;
        unit /= alphabet.count;
        guint rank = MIN((guint)(value / unit), alphabet.count - 1);
        value -= rank * unit;
        g_string_append_c(key, (char)alphabet.bytes[rank]);
    }
    const char *end = NULL;
    if (!g_utf8_validate(key->str, (gssize)key->len, &end))
        g_string_truncate(key, (gsize)(end - key->str));
    if (key->len < sample->prefix_length)
        return NULL;
    const char *cut =
        sample->delimiter != 0 ? strchr(key->str + sample->prefix_length, sample->delimiter) : NULL;
    if (cut != NULL)
        g_string_truncate(key, (gsize)(cut - key->str));
    if (key->len <= sample->prefix_length || strcmp(key->str, from) <= 0)
        return NULL;
    return g_string_free(g_steal_pointer(&key), FALSE);
}
