/* See learned_file.h. */
#include "src/storage/learned_file.h"

#include "src/base/error.h"

#include <string.h>
#include <sys/stat.h>

#define GROUP "learned"
#define MAXIMUM_FILE_BYTES (64 << 10)

char *
learned_file_load(const char *path, const char *place, gint64 now_s)
{
    g_autoptr(GKeyFile) file = g_key_file_new();
    struct stat info;
    if (stat(path, &info) != 0 || info.st_size > MAXIMUM_FILE_BYTES ||
        !g_key_file_load_from_file(file, path, G_KEY_FILE_NONE, NULL))
        return NULL;
    g_autofree char *known_place = g_key_file_get_string(file, GROUP, "place", NULL);
    gint64 at_s = g_key_file_get_int64(file, GROUP, "at", NULL);
    if (g_strcmp0(known_place, place) != 0 || at_s > now_s || at_s < now_s - LEARNED_FILE_MAXIMUM_AGE_S)
        return NULL;
    g_autoptr(GError) wrong = NULL;
    g_autofree char *text = g_key_file_get_string(file, GROUP, "text", &wrong);
    return wrong ? NULL : g_steal_pointer(&text);
}

gboolean
learned_file_save(const char *path, const char *place, gint64 now_s, const char *text, GError **error)
{
    g_autoptr(GKeyFile) file = g_key_file_new();
    g_autoptr(GError) failure = NULL;
    gsize length = 0;
    g_key_file_set_string(file, GROUP, "place", place);
    g_key_file_set_int64(file, GROUP, "at", now_s);
    g_key_file_set_string(file, GROUP, "text", text);
    g_autofree char *bytes = g_key_file_to_data(file, &length, NULL);
    if (g_file_set_contents_full(path, bytes, (gssize)length, G_FILE_SET_CONTENTS_CONSISTENT, 0600, &failure))
        return TRUE;
    g_set_error(error, STORAGEFS_ERROR, ERROR_IO, "%s", failure->message);
    return FALSE;
}
