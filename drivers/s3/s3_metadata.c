/* RFC 2047, section 2, words in both encodings; only base64 is written. See s3_metadata.h. */
#include "drivers/s3/s3_metadata.h"

#include "src/base/error.h"

#include <string.h>

/* An encoded word is at most 75 characters: "=?UTF-8?B?" + 60 of base64 + "?=". */
#define WORD_BYTES 45u

static gboolean
is_plain(const char *text)
{
    gsize length = strlen(text);
    if (length > 0 && (text[0] == ' ' || text[length - 1] == ' ' || strstr(text, "=?") || strstr(text, "  ")))
        return FALSE;
    for (gsize i = 0; i < length; i++) {
        if (text[i] < 0x20 || text[i] > 0x7E)
            return FALSE;
    }
    return TRUE;
}

/* How many bytes of `text` fit one word without cutting a character. */
static gsize
word_length(const char *text)
{
    gsize length = strlen(text);
    if (length <= WORD_BYTES)
        return length;
    length = WORD_BYTES;
    while (length > 1 && ((guchar)text[length] & 0xC0) == 0x80)
        length--;
    return length;
}

char *
s3_metadata_encode(const char *text)
{
    if (is_plain(text))
        return g_strdup(text);
    GString *out = g_string_new(NULL);
    while (*text) {
        gsize length = word_length(text);
        g_autofree char *base64 = g_base64_encode((const guchar *)text, length);
        g_string_append_printf(out, "%s=?UTF-8?B?%s?=", out->len ? " " : "", base64);
        text += length;
    }
    return g_string_free(out, FALSE);
}

static char *
decode_quoted(const char *text, gsize length)
{
    GString *out = g_string_new(NULL);
    for (gsize i = 0; i < length; i++) {
        if (text[i] == '=' && i + 2 < length && g_ascii_isxdigit(text[i + 1]) &&
            g_ascii_isxdigit(text[i + 2])) {
            int byte = g_ascii_xdigit_value(text[i + 1]) * 16 + g_ascii_xdigit_value(text[i + 2]);
            g_string_append_c(out, (char)byte);
            i += 2;
        } else {
            g_string_append_c(out, (char)(text[i] == '_' ? ' ' : text[i]));
        }
    }
    return g_string_free(out, FALSE);
}

/* One "=?UTF-8?X?...?=" at `*cursor`: its text, and the cursor after it; NULL when there is none. last_end:
 * the last "?=" of the whole text, so that beginnings without an end are not searched again and again. */
static char *
take_word(const char **cursor, const char *last_end)
{
    static const char mark[] = "=?utf-8?";
    if (g_ascii_strncasecmp(*cursor, mark, strlen(mark)) != 0)
        return NULL;
    const char *kind = *cursor + strlen(mark);
    if (!kind[0] || kind[1] != '?' || !last_end || kind + 2 > last_end)
        return NULL;
    const char *end = strstr(kind + 2, "?=");
    g_autofree char *inside = g_strndup(kind + 2, (gsize)(end - kind - 2));
    *cursor = end + 2;
    if (g_ascii_toupper(kind[0]) == 'Q')
        return decode_quoted(inside, strlen(inside));
    gsize length = 0;
    g_autofree guchar *bytes = g_base64_decode(inside, &length);
    return g_strndup((const char *)bytes, length);
}

static gboolean
decode_words(const char *value, GString *out)
{
    const char *last_end = g_strrstr(value, "?=");
    gboolean after_word = FALSE;
    while (*value) {
        const char *next = value;
        /* Blanks between two words belong to neither. */
        if (after_word)
            next += strspn(next, " \t");
        g_autofree char *word = take_word(&next, last_end);
        if (word) {
            g_string_append(out, word);
            value = next;
        } else {
            g_string_append_c(out, *value++);
        }
        after_word = word != NULL;
    }
    return g_utf8_validate(out->str, (gssize)out->len, NULL);
}

char *
s3_metadata_decode(const char *value)
{
    g_autoptr(GString) out = g_string_new(NULL);
    if (strstr(value, "=?") && decode_words(value, out))
        return g_string_free(g_steal_pointer(&out), FALSE);
    return g_utf8_make_valid(value, -1);
}

gboolean
s3_metadata_is_name(const char *name)
{
    for (const char *c = name; *c; c++) {
        if (!g_ascii_isalnum(*c) && !strchr("!#$%&'*+-.^_`|~", *c))
            return FALSE;
    }
    return *name != 0;
}

static gboolean
fail_too_large(const char *what, gsize size, const char *unit, gsize limit, GError **error)
{
    g_set_error(error, STORAGEFS_ERROR, ERROR_TOO_LARGE,
                "%s of %" G_GSIZE_FORMAT " %s, the service takes %" G_GSIZE_FORMAT, what, size, unit, limit);
    return FALSE;
}

static gboolean
check_item(const S3Preset *preset, const char *name, const char *encoded, GError **error)
{
    gsize name_bytes = strlen(name), value_bytes = strlen(encoded);
    if (preset->maximum_metadata_name_bytes && name_bytes > preset->maximum_metadata_name_bytes)
        return fail_too_large("a metadata name", name_bytes, "bytes", preset->maximum_metadata_name_bytes,
                              error);
    if (preset->maximum_metadata_value_bytes && value_bytes > preset->maximum_metadata_value_bytes)
        return fail_too_large("a metadata value", value_bytes, "bytes", preset->maximum_metadata_value_bytes,
                              error);
    return TRUE;
}

gboolean
s3_metadata_append_headers(Metadata *metadata, const S3Preset *preset, GPtrArray *headers, GError **error)
{
    GHashTableIter iterator;
    gpointer name, value;
    gsize total = 0;
    guint items = metadata ? g_hash_table_size(metadata) : 0;
    if (!metadata)
        return TRUE;
    if (preset->maximum_metadata_items && items > preset->maximum_metadata_items)
        return fail_too_large("metadata", items, "items", preset->maximum_metadata_items, error);
    g_hash_table_iter_init(&iterator, metadata);
    while (g_hash_table_iter_next(&iterator, &name, &value)) {
        if (!s3_metadata_is_name(name)) {
            g_set_error(error, STORAGEFS_ERROR, ERROR_BAD_NAME, "metadata name \"%.80s\" cannot be sent",
                        (char *)name);
            return FALSE;
        }
        g_autofree char *encoded = s3_metadata_encode(value);
        total += strlen(name) + strlen(encoded);
        if (!check_item(preset, name, encoded, error))
            return FALSE;
        g_ptr_array_add(headers, g_strconcat(S3_METADATA_PREFIX, name, ": ", encoded, NULL));
    }
    return total <= S3_METADATA_MAXIMUM_BYTES ||
           fail_too_large("metadata", total, "bytes", S3_METADATA_MAXIMUM_BYTES, error);
}

Metadata *
s3_metadata_from_headers(GHashTable *headers)
{
    Metadata *metadata = metadata_new();
    GHashTableIter iterator;
    gpointer name, value;
    g_hash_table_iter_init(&iterator, headers);
    while (g_hash_table_iter_next(&iterator, &name, &value)) {
        if (g_str_has_prefix(name, S3_METADATA_PREFIX) &&
            s3_metadata_is_name((char *)name + strlen(S3_METADATA_PREFIX)))
            g_hash_table_replace(metadata, g_strdup((char *)name + strlen(S3_METADATA_PREFIX)),
                                 s3_metadata_decode(value));
    }
    return metadata;
}
