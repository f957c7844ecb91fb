/* A reader of AWS's INI dialect: lines that begin with blanks belong to the value above and are skipped. */
#include "drivers/s3/s3_profiles.h"

#include "drivers/common/small_file.h"

#include <string.h>

#define MAX_FILE_BYTES (1u << 20)

static char *
locate(const char *variable, const char *base_name)
{
    const char *path = g_getenv(variable);
    const char *home = g_getenv("HOME");
    if (path && path[0] == '~' && path[1] == '/')
        return g_build_filename(home ? home : g_get_home_dir(), path + 2, NULL);
    if (path && *path)
        return g_strdup(path);
    return g_build_filename(home ? home : g_get_home_dir(), ".aws", base_name, NULL);
}

/* "[profile  NAME]" → "profile NAME"; NULL for a line that is no header. */
static char *
parse_header(const char *line)
{
    const char *end = strchr(line, ']');
    if (line[0] != '[' || !end)
        return NULL;
    g_autofree char *inside = g_strndup(line + 1, (gsize)(end - line - 1));
    g_auto(GStrv) words = g_strsplit_set(g_strstrip(inside), " \t", -1);
    GString *out = g_string_new(NULL);
    for (guint i = 0; words[i]; i++) {
        if (*words[i])
            g_string_append_printf(out, "%s%s", out->len ? " " : "", words[i]);
    }
    return g_string_free(out, FALSE);
}

static void
take_line(S3Profile *into, char *line)
{
    char *equals = strchr(line, '=');
    if (!equals || g_ascii_isspace(line[0]) || line[0] == '#' || line[0] == ';')
        return;
    *equals = 0;
    char *value = equals + 1;
    char *comment = strstr(value, " #");
    if (comment)
        *comment = 0;
    g_hash_table_replace(into, g_ascii_strdown(g_strstrip(line), -1), g_strdup(g_strstrip(value)));
}

/* Adds the lines of one section to `into`; FALSE when the file does not have it. */
static gboolean
read_section(const char *path, const char *section, S3Profile *into)
{
    g_autofree char *text = NULL;
    gboolean inside = FALSE, found = FALSE;
    if (!small_file_read(path, MAX_FILE_BYTES, &text, NULL))
        return FALSE;
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    for (guint i = 0; lines[i]; i++) {
        g_autofree char *header = parse_header(lines[i]);
        if (header) {
            inside = strcmp(header, section) == 0;
            found |= inside;
        } else if (inside) {
            take_line(into, lines[i]);
        }
    }
    return found;
}

static S3Profile *
new_profile(void)
{
    return g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
}

const char *
s3_profiles_resolve_name(const char *name)
{
    const char *chosen = name ? name : g_getenv("AWS_PROFILE");
    return chosen && *chosen ? chosen : "default";
}

S3Profile *
s3_profiles_load(const char *name)
{
    name = s3_profiles_resolve_name(name);
    g_autoptr(GHashTable) profile = new_profile();
    g_autofree char *config = locate("AWS_CONFIG_FILE", "config");
    g_autofree char *credentials = locate("AWS_SHARED_CREDENTIALS_FILE", "credentials");
    g_autofree char *section = g_strconcat("profile ", name, NULL);
    gboolean found = read_section(config, section, profile);
    if (strcmp(name, "default") == 0)
        found |= read_section(config, name, profile);
    found |= read_section(credentials, name, profile);
    return found ? g_steal_pointer(&profile) : NULL;
}

S3Profile *
s3_profiles_load_sso_session(const char *name)
{
    g_autoptr(GHashTable) session = new_profile();
    g_autofree char *config = locate("AWS_CONFIG_FILE", "config");
    g_autofree char *section = g_strconcat("sso-session ", name, NULL);
    return read_section(config, section, session) ? g_steal_pointer(&session) : NULL;
}

char *
s3_profiles_get(const char *name, const char *key)
{
    g_autoptr(GHashTable) profile = s3_profiles_load(name);
    return profile ? g_strdup(g_hash_table_lookup(profile, key)) : NULL;
}
