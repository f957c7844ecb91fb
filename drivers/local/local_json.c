#include "drivers/local/local_json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Sidecars are flat; deeper nesting than this is cut to null rather than followed. */
#define MAXIMUM_DEPTH 64

static void append_node(GString *out, JsonNode *node, guint depth);

static void
append_unit(GString *out, guint unit)
{
    g_string_append_printf(out, "\\u%04x", unit);
}

static void
append_character(GString *out, gunichar character)
{
    static const char escaped[] = "\"\\\b\f\n\r\t", letters[] = "\"\\bfnrt";
    const char *found = character < 0x80 && character != 0 ? strchr(escaped, (int)character) : NULL;
    if (found != NULL) {
        g_string_append_c(out, '\\');
        g_string_append_c(out, letters[found - escaped]);
    } else if (character >= 0x10000) {
        append_unit(out, 0xd800 + ((character - 0x10000) >> 10));
        append_unit(out, 0xdc00 + ((character - 0x10000) & 0x3ff));
    } else if (character < 0x20 || character >= 0x7f) {
        append_unit(out, character);
    } else {
        g_string_append_c(out, (char)character);
    }
}

/* json-glib reads an escaped half of a character as bytes that are not UTF-8. */
static void
append_string(GString *out, const char *text)
{
    g_autofree char *valid = g_utf8_make_valid(text, -1);
    g_string_append_c(out, '"');
    for (const char *at = valid; *at != '\0'; at = g_utf8_next_char(at))
        append_character(out, g_utf8_get_char(at));
    g_string_append_c(out, '"');
}

/* The fewest digits that read back as the same number, with ".0" on whole ones, as repr() does. */
static void
append_double(GString *out, double value)
{
    char text[G_ASCII_DTOSTR_BUF_SIZE];
    /* JSON has no word for it, but numbers that are read as it. */
    if (isinf(value)) {
        g_string_append(out, value > 0 ? "1e999" : "-1e999");
        return;
    }
    for (int digits = 15; digits <= 17; digits++) {
        g_autofree char *format = g_strdup_printf("%%.%dg", digits);
        g_ascii_formatd(text, sizeof text, format, value);
        if (g_ascii_strtod(text, NULL) == value)
            break;
    }
    g_string_append(out, text);
    if (strpbrk(text, ".e") == NULL)
        g_string_append(out, ".0");
}

static void
append_value(GString *out, JsonNode *node)
{
    GType type = json_node_get_value_type(node);
    if (type == G_TYPE_STRING)
        append_string(out, json_node_get_string(node));
    else if (type == G_TYPE_BOOLEAN)
        g_string_append(out, json_node_get_boolean(node) ? "true" : "false");
    else if (type == G_TYPE_DOUBLE)
        append_double(out, json_node_get_double(node));
    else
        g_string_append_printf(out, "%" G_GINT64_FORMAT, json_node_get_int(node));
}

static void
append_object(GString *out, JsonObject *object, guint depth)
{
    g_autoptr(GList) names = json_object_get_members(object);
    g_string_append_c(out, '{');
    for (GList *item = names; item != NULL; item = item->next) {
        append_string(out, item->data);
        g_string_append(out, ": ");
        append_node(out, json_object_get_member(object, item->data), depth + 1);
        if (item->next != NULL)
            g_string_append(out, ", ");
    }
    g_string_append_c(out, '}');
}

static void
append_array(GString *out, JsonArray *array, guint depth)
{
    guint length = json_array_get_length(array);
    g_string_append_c(out, '[');
    for (guint i = 0; i < length; i++) {
        append_node(out, json_array_get_element(array, i), depth + 1);
        if (i + 1 < length)
            g_string_append(out, ", ");
    }
    g_string_append_c(out, ']');
}

static void
append_node(GString *out, JsonNode *node, guint depth)
{
    if (JSON_NODE_HOLDS_NULL(node) || depth > MAXIMUM_DEPTH)
        g_string_append(out, "null");
    else if (JSON_NODE_HOLDS_OBJECT(node))
        append_object(out, json_node_get_object(node), depth);
    else if (JSON_NODE_HOLDS_ARRAY(node))
        append_array(out, json_node_get_array(node), depth);
    else
        append_value(out, node);
}

char *
local_json_dump(JsonNode *node)
{
    GString *out = g_string_new(NULL);
    append_node(out, node, 0);
    return g_string_free(out, FALSE);
}
