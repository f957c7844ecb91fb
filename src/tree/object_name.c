/* Percent-escapes of the two layouts.
 *
 * Flat: "%2F" anywhere, "%25" anywhere, "%2E" and "%2E%2E" as whole names. Folder layout: "%25" anywhere;
 * "%2F" (the empty part), "%2E" and "%2E%2E" as whole names; the suffix "%00" (a byte no key has) says "the
 * object itself, although a folder has this name". A '%' of the key is escaped only where it would read as
 * one of these, so decoding, then encoding again, tells canonical spellings from others.
 */
#include "src/tree/object_name.h"

#include <string.h>

#define BESIDE_SUFFIX "%00"

static gboolean
is_escape_at(const char *text, const char *const *escapes)
{
    for (gsize i = 0; escapes[i] != NULL; i++)
        if (strncmp(text, escapes[i], strlen(escapes[i])) == 0)
            return TRUE;
    return FALSE;
}

static gboolean
is_one_of(const char *text, const char *const *words)
{
    for (gsize i = 0; words[i] != NULL; i++)
        if (strcmp(text, words[i]) == 0)
            return TRUE;
    return FALSE;
}

static void
append_percent_safe(GString *out, const char *text, const char *const *escapes, gboolean all)
{
    for (const char *at = text; *at != '\0'; at++) {
        if (*at == '/')
            g_string_append(out, "%2F");
        else if (*at == '%' && (all || is_escape_at(at, escapes)))
            g_string_append(out, "%25");
        else
            g_string_append_c(out, *at);
    }
}

static char *
take_if_short(GString *name)
{
    if (name->len <= OBJECT_NAME_MAX_BYTES)
        return g_string_free(name, FALSE);
    g_string_free(name, TRUE);
    return NULL;
}

static char *
unescape_percent(const char *name, gboolean with_slash)
{
    GString *text = g_string_new(NULL);
    for (const char *at = name; *at != '\0'; at++) {
        if (strncmp(at, "%25", 3) == 0) {
            g_string_append_c(text, '%');
            at += 2;
        } else if (with_slash && strncmp(at, "%2F", 3) == 0) {
            g_string_append_c(text, '/');
            at += 2;
        } else {
            g_string_append_c(text, *at);
        }
    }
    return g_string_free(text, FALSE);
}

static gboolean
fail_name(const char *name, GError **error)
{
    g_autofree char *shown = g_strescape(name, NULL);
    g_set_error(error, STORAGEFS_ERROR, ERROR_BAD_NAME,
                "\"%s\": no key has this name; '%%' before 25, 2F, 2E or 00 is written as %%25", shown);
    return FALSE;
}

char *
object_name_from_key(const char *key)
{
    static const char *const anywhere[] = {"%2F", "%25", NULL};
    static const char *const whole[] = {"%2E", "%2E%2E", NULL};
    GString *name = g_string_new(NULL);
    if (strcmp(key, ".") == 0)
        g_string_append(name, "%2E");
    else if (strcmp(key, "..") == 0)
        g_string_append(name, "%2E%2E");
    else
        append_percent_safe(name, key, anywhere, is_one_of(key, whole));
    return take_if_short(name);
}

gboolean
object_name_to_key(const char *name, char **out_key, GError **error)
{
    g_autofree char *key = NULL;
    if (strcmp(name, "%2E") == 0)
        key = g_strdup(".");
    else if (strcmp(name, "%2E%2E") == 0)
        key = g_strdup("..");
    else
        key = unescape_percent(name, TRUE);
    g_autofree char *canonical = object_name_from_key(key);
    if (key[0] == '\0' || g_strcmp0(canonical, name) != 0)
        return fail_name(name, error);
    *out_key = g_steal_pointer(&key);
    return TRUE;
}

static void
append_part(GString *name, const char *part)
{
    static const char *const anywhere[] = {"%25", NULL};
    static const char *const whole[] = {"%2F", "%2E", "%2E%2E", NULL};
    if (strcmp(part, ".") == 0) {
        g_string_append(name, "%2E");
    } else if (strcmp(part, "..") == 0) {
        g_string_append(name, "%2E%2E");
    } else if (!is_one_of(part, whole) && g_str_has_suffix(part, BESIDE_SUFFIX)) {
        g_autofree char *stem = g_strndup(part, strlen(part) - strlen(BESIDE_SUFFIX));
        append_percent_safe(name, stem, anywhere, FALSE);
        g_string_append(name, "%2500");
    } else {
        append_percent_safe(name, part, anywhere, is_one_of(part, whole));
    }
}

char *
object_name_from_part(const char *part, gboolean is_folder, gboolean beside_folder)
{
    GString *name = g_string_new(NULL);
    if (part[0] != '\0')
        append_part(name, part);
    else if (is_folder)
        g_string_append(name, "%2F");
    if (!is_folder && (beside_folder || part[0] == '\0'))
        g_string_append(name, BESIDE_SUFFIX);
    return take_if_short(name);
}

gboolean
object_name_to_part(const char *name, char **out_part, gboolean *out_beside_folder, GError **error)
{
    gboolean beside = g_str_has_suffix(name, BESIDE_SUFFIX);
    g_autofree char *stem = g_strndup(name, strlen(name) - (beside ? strlen(BESIDE_SUFFIX) : 0));
    g_autofree char *part = NULL;
    if (strcmp(stem, "%2E") == 0)
        part = g_strdup(".");
    else if (strcmp(stem, "%2E%2E") == 0)
        part = g_strdup("..");
    else if (strcmp(stem, "%2F") == 0)
        part = g_strdup("");
    else
        part = unescape_percent(stem, FALSE);
    g_autofree char *canonical = object_name_from_part(part, part[0] == '\0' && !beside, beside);
    if (g_strcmp0(canonical, name) != 0)
        return fail_name(name, error);
    *out_part = g_steal_pointer(&part);
    *out_beside_folder = beside;
    return TRUE;
}
