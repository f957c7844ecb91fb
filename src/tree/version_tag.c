/* ETags packed, see version_tag.h. */
#include "src/tree/version_tag.h"

#include <string.h>

enum { FORM_NONE, FORM_DIGEST, FORM_TEXT };

static int
hex_value(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

/* "-N", in the one spelling that version_tag_dup() gives back. */
static gboolean
parse_parts(const char *text, guint16 *out)
{
    guint64 parts;
    if (text[0] != '-' || text[1] == '0' ||
        !g_ascii_string_to_unsigned(text + 1, 10, 1, G_MAXUINT16, &parts, NULL))
        return FALSE;
    *out = (guint16)parts;
    return TRUE;
}

static gboolean
pack_digest(VersionTag *tag, const char *etag)
{
    guint8 bytes[sizeof tag->bytes];
    guint16 parts = 0;
    gsize length = strlen(etag), digits = 2 * sizeof bytes;
    if (length < digits || (length > digits && !parse_parts(etag + digits, &parts)))
        return FALSE;
    for (gsize i = 0; i < sizeof bytes; i++) {
        int high = hex_value(etag[2 * i]), low = hex_value(etag[2 * i + 1]);
        if (high < 0 || low < 0)
            return FALSE;
        bytes[i] = (guint8)(high * 16 + low);
    }
    memcpy(tag->bytes, bytes, sizeof bytes);
    tag->parts = parts;
    tag->form = FORM_DIGEST;
    return TRUE;
}

static char *
get_text(const VersionTag *tag)
{
    char *text;
    memcpy(&text, tag->bytes, sizeof text);
    return text;
}

void
version_tag_set(VersionTag *tag, const char *etag)
{
    VersionTag made = {0};
    if (etag != NULL && !pack_digest(&made, etag)) {
        char *text = g_strdup(etag);
        memcpy(made.bytes, &text, sizeof text);
        made.form = FORM_TEXT;
    }
    version_tag_clear(tag);
    *tag = made;
}

void
version_tag_copy(VersionTag *tag, const VersionTag *from)
{
    if (tag == from)
        return;
    if (from->form == FORM_TEXT) {
        version_tag_set(tag, get_text(from));
        return;
    }
    version_tag_clear(tag);
    *tag = *from;
}

void
version_tag_clear(VersionTag *tag)
{
    if (tag->form == FORM_TEXT)
        g_free(get_text(tag));
    memset(tag, 0, sizeof *tag);
}

char *
version_tag_dup(const VersionTag *tag)
{
    if (tag->form == FORM_NONE)
        return NULL;
    if (tag->form == FORM_TEXT)
        return g_strdup(get_text(tag));
    static const char digits[] = "0123456789abcdef";
    const gsize length = 2 * sizeof tag->bytes;
    char *text = g_malloc(length + sizeof "-65535");
    for (gsize i = 0; i < sizeof tag->bytes; i++) {
        text[2 * i] = digits[tag->bytes[i] >> 4];
        text[2 * i + 1] = digits[tag->bytes[i] & 15];
    }
    text[length] = '\0';
    if (tag->parts > 0)
        g_snprintf(text + length, sizeof "-65535", "-%u", tag->parts);
    return text;
}

gboolean
version_tag_is_set(const VersionTag *tag)
{
    return tag->form != FORM_NONE;
}

gboolean
version_tag_equal(const VersionTag *a, const VersionTag *b)
{
    if (a->form != b->form || a->form == FORM_NONE)
        return FALSE;
    if (a->form == FORM_TEXT)
        return strcmp(get_text(a), get_text(b)) == 0;
    return a->parts == b->parts && memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}
