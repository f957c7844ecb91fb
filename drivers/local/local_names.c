#include "drivers/local/local_names.h"

#include "src/base/error.h"

#include <string.h>

gboolean
local_names_is_entry(const char *name)
{
    return *name != '\0' && !g_str_equal(name, ".") && !g_str_equal(name, "..") &&
           strchr(name, '/') == NULL && strlen(name) <= LOCAL_NAMES_MAXIMUM_PART_BYTES;
}

gboolean
local_names_is_hidden(const char *name)
{
    return g_str_equal(name, ".lock") || g_str_equal(name, ".hash");
}

gboolean
local_names_check_container(const char *name, GError **error)
{
    if (local_names_is_entry(name) && strchr(name, '\\') == NULL)
        return TRUE;
    gboolean too_long = strlen(name) > LOCAL_NAMES_MAXIMUM_PART_BYTES;
    g_set_error(
        error, STORAGEFS_ERROR, too_long ? ERROR_NAME_TOO_LONG : ERROR_BAD_NAME,
        "container '%s': a local container is a directory name of 1 to 255 bytes without '/' and '\\'", name);
    return FALSE;
}

/* Why a directory cannot hold this key; NULL when it can. One trailing '/' has been taken off. */
static const char *
find_fault(const char *const *parts, gboolean *out_too_long)
{
    for (guint i = 0; parts[i] != NULL; i++) {
        const char *part = parts[i];
        if (*part == '\0')
            return "has an empty part between slashes";
        if (g_str_equal(part, ".") || g_str_equal(part, ".."))
            return "has a part '.' or '..'";
        *out_too_long = strlen(part) > LOCAL_NAMES_MAXIMUM_PART_BYTES;
        if (*out_too_long)
            return "has a part over 255 bytes";
        if (parts[i + 1] != NULL && local_names_is_hidden(part))
            return "lies below '.lock' or '.hash', which are not shown";
    }
    return NULL;
}

static const char *
find_key_fault(const char *key, gboolean folders, gboolean *out_too_long)
{
    gsize length = strlen(key);
    *out_too_long = length > LOCAL_NAMES_MAXIMUM_KEY_BYTES;
    if (*out_too_long)
        return "is too long for a path";
    gboolean marker = length > 0 && key[length - 1] == '/';
    if (marker && !folders)
        return "ends in '/', which needs folders = yes";
    g_autofree char *bare = g_strndup(key, marker ? length - 1 : length);
    g_auto(GStrv) parts = g_strsplit(bare, "/", -1);
    if (parts[0] == NULL)
        return "is empty";
    const char *fault = find_fault((const char *const *)parts, out_too_long);
    if (fault == NULL && marker && local_names_is_hidden(parts[g_strv_length(parts) - 1]))
        return "is a folder '.lock' or '.hash', which are not shown";
    return fault;
}

gboolean
local_names_check_key(const char *key, gboolean folders, GError **error)
{
    gboolean too_long = FALSE;
    const char *fault = find_key_fault(key, folders, &too_long);
    if (fault == NULL)
        return TRUE;
    g_set_error(error, STORAGEFS_ERROR, too_long ? ERROR_NAME_TOO_LONG : ERROR_BAD_NAME,
                "key '%s' %s: a local storage cannot hold it", key, fault);
    return FALSE;
}

gboolean
local_names_is_reachable(const char *key)
{
    gboolean ignored = FALSE;
    return *key == '\0' || find_key_fault(key, TRUE, &ignored) == NULL;
}

void
local_names_split(const char *key, char **out_folder, char **out_leaf)
{
    gsize length = strlen(key);
    if (length > 0 && key[length - 1] == '/')
        length--;
    g_autofree char *bare = g_strndup(key, length);
    char *slash = strrchr(bare, '/');
    *out_leaf = g_strdup(slash != NULL ? slash + 1 : bare);
    *out_folder = slash != NULL ? g_strndup(bare, slash - bare) : g_strdup("");
}
