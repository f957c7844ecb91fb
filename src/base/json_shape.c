#include "src/base/json_shape.h"

#include <string.h>

/* Blanks, punctuation, numbers, and the letters of true, false, null and exponents. */
static gboolean
is_outside(char byte)
{
    return g_ascii_isdigit(byte) || (byte != '\0' && strchr(" \t\r\n{}[],:+-.Etruefalsn", byte) != NULL);
}

gboolean
json_shape_check(const char *text, gsize length_bytes)
{
    guint depth = 0;
    gboolean in_string = FALSE;
    for (gsize i = 0; i < length_bytes; i++) {
        if (text[i] == '"')
            in_string = !in_string;
        else if (in_string)
            i += text[i] == '\\' ? 1 : 0;
        else if (!is_outside(text[i]))
            return FALSE;
        else if (text[i] == '{' || text[i] == '[')
            depth++;
        else if ((text[i] == '}' || text[i] == ']') && depth > 0)
            depth--;
        if (depth > JSON_SHAPE_MAX_DEPTH)
            return FALSE;
    }
    return TRUE;
}
