/* One configuration file: read, scanned line by line, kept as text.
 *
 * The syntax is GKeyFile's, the scan our own: it knows the line of every header and key, and refuses what
 * GKeyFile would merge, mangle or drop (equal sections, equal keys, translations). Messages never repeat a
 * line that is not understood: it may be a part of a secret.
 */
#include "src/base/config_file.h"

#include "src/base/config_value.h"
#include "src/base/error.h"
#include "src/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX_BYTES (1u << 20)
#define KEY_MAX_BYTES 64u
#define BLANKS " \t"
/* An array that was never given room has no terminator either. */
#define new_name_array() g_ptr_array_new_null_terminated(1, NULL, TRUE)

typedef struct {
    int line;
    char *name, *text; /* text as it stands in the file, without blanks around */
} Entry;

typedef struct {
    char *name;
    int line;
    GPtrArray *keys;     /* in file order, NULL-terminated; borrows from entries */
    GHashTable *entries; /* key → Entry */
} Section;

struct ConfigFile {
    char *path, *directory;
    gboolean is_readable_by_others;
    GPtrArray *names;     /* of sections, in file order, NULL-terminated; borrows from sections */
    GHashTable *sections; /* name → Section */
};

static void
free_entry(gpointer data)
{
    Entry *entry = data;
    g_free(entry->name);
    g_free(entry->text);
    g_free(entry);
}

static void
free_section(gpointer data)
{
    Section *section = data;
    g_ptr_array_unref(section->keys);
    g_hash_table_unref(section->entries);
    g_free(section->name);
    g_free(section);
}

void
config_file_free(ConfigFile *file)
{
    if (!file)
        return;
    g_ptr_array_unref(file->names);
    g_hash_table_unref(file->sections);
    g_free(file->directory);
    g_free(file->path);
    g_free(file);
}

static ConfigFile *
new_file(const char *path)
{
    ConfigFile *file = g_new0(ConfigFile, 1);
    g_autofree char *directory = g_path_get_dirname(path);
    file->path = g_strdup(path);
    file->directory = g_canonicalize_filename(directory, NULL);
    file->sections = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, free_section);
    file->names = new_name_array();
    return file;
}

static gboolean fail_at(ConfigFile *file, int line, GError **error, const char *format, ...)
    G_GNUC_PRINTF(4, 5);

static gboolean
fail_at(ConfigFile *file, int line, GError **error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *message = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    g_autofree char *shown = log_escape(message);
    g_set_error(error, STORAGEFS_ERROR, ERROR_BAD_CONFIG, "%s:%d: %s", file->path, line, shown);
    return FALSE;
}

/* Blanks at the ends make names that look alike; brackets and control characters GKeyFile refuses. */
static gboolean
check_section_name(ConfigFile *file, const char *name, int line, GError **error)
{
    if (name[strspn(name, BLANKS)] == '\0')
        return fail_at(file, line, error, "a section header without a name: write [NAME]");
    for (const char *c = name; *c; c++)
        if (g_ascii_iscntrl(*c) || *c == '[' || *c == ']')
            return fail_at(file, line, error,
                           "section [%s]: a name may not hold brackets or control characters", name);
    g_autofree char *bare = g_strstrip(g_strdup(name));
    if (g_ascii_isspace(*name))
        return fail_at(file, line, error, "section [%s] begins with a blank: write [%s]", name, bare);
    if (strcmp(name, bare) != 0)
        return fail_at(file, line, error,
                       "section [%s] ends with a blank: write [%s], or [%s NAME] if its name is missing",
                       name, bare, bare);
    Section *earlier = g_hash_table_lookup(file->sections, name);
    if (earlier)
        return fail_at(file, line, error, "section [%s] is already in line %d: rename or join them", name,
                       earlier->line);
    return TRUE;
}

/* text: a line that begins with '['. */
static gboolean
scan_header(ConfigFile *file, const char *text, int line, Section **current, GError **error)
{
    const char *end = strrchr(text, ']');
    if (!end)
        return fail_at(file, line, error, "a section header without ']'");
    if (end[1] != '\0')
        return fail_at(file, line, error,
                       "text after the ']' of a section header; a comment needs a line of its own");
    g_autofree char *name = g_strndup(text + 1, (gsize)(end - text - 1));
    if (!check_section_name(file, name, line, error))
        return FALSE;
    Section *section = g_new0(Section, 1);
    section->line = line;
    section->keys = new_name_array();
    section->entries = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, free_entry);
    section->name = g_steal_pointer(&name);
    g_hash_table_insert(file->sections, section->name, section);
    g_ptr_array_add(file->names, section->name);
    *current = section;
    return TRUE;
}

static gboolean
is_key_name(const char *name)
{
    gsize length = 0;
    for (; name[length]; length++)
        if (!g_ascii_isalnum(name[length]) && !strchr("_-.", name[length]))
            return FALSE;
    return length > 0 && length <= KEY_MAX_BYTES;
}

static gboolean
scan_key(ConfigFile *file, const char *text, int line, Section *section, GError **error)
{
    const char *equals = strchr(text, '=');
    if (!equals)
        return fail_at(file, line, error, "neither [section], nor key = value, nor a # comment");
    if (!section)
        return fail_at(file, line, error, "a key before the first [section]: put it below a section header");
    g_autofree char *name = g_strchomp(g_strndup(text, (gsize)(equals - text)));
    if (!is_key_name(name))
        return fail_at(file, line, error, "before '=' stands no key: letters, digits, '_', '-' and '.' only");
    Entry *earlier = g_hash_table_lookup(section->entries, name);
    if (earlier)
        return fail_at(file, line, error, "%s is already set in line %d: remove one of them", name,
                       earlier->line);
    Entry *entry = g_new0(Entry, 1);
    entry->line = line;
    entry->text = g_strdup(equals + 1 + strspn(equals + 1, BLANKS));
    entry->name = g_steal_pointer(&name);
    g_hash_table_insert(section->entries, entry->name, entry);
    g_ptr_array_add(section->keys, entry->name);
    return TRUE;
}

static gboolean
scan(ConfigFile *file, char *text, GError **error)
{
    Section *section = NULL;
    int line = 0;
    for (char *rest = text, *next; rest; rest = next) {
        next = strchr(rest, '\n');
        if (next)
            *next++ = '\0';
        line++;
        const char *bare = g_strstrip(rest);
        gboolean ok = *bare == '\0' || *bare == '#' ? TRUE
                      : *bare == '['                ? scan_header(file, bare, line, &section, error)
                                                    : scan_key(file, bare, line, section, error);
        if (!ok)
            return FALSE;
    }
    return TRUE;
}

/* Text that is UTF-8 without NUL. */
static gboolean
check_encoding(ConfigFile *file, GString *text, GError **error)
{
    const char *end;
    if (g_utf8_validate(text->str, (gssize)text->len, &end))
        return TRUE;
    int line = 1;
    for (const char *c = text->str; c < end; c++)
        line += *c == '\n';
    return fail_at(file, line, error, "not UTF-8 text");
}

/* Up to one byte more than is allowed. */
static gboolean
read_all(int fd, GString *text, const char *path, GError **error)
{
    char buffer[16384];
    while (text->len <= FILE_MAX_BYTES) {
        ssize_t count = read(fd, buffer, sizeof(buffer));
        if (count == 0)
            return TRUE;
        if (count > 0)
            g_string_append_len(text, buffer, count);
        else if (errno != EINTR)
            return error_set_errno(error, errno, "cannot read %s", path);
    }
    g_set_error(error, STORAGEFS_ERROR, ERROR_BAD_CONFIG, "%s: larger than 1 MiB, not a configuration file",
                path);
    return FALSE;
}

static gboolean
read_open_file(ConfigFile *file, int fd, GString *text, GError **error)
{
    struct stat attributes;
    if (fstat(fd, &attributes) != 0)
        return error_set_errno(error, errno, "cannot read %s", file->path);
    if (S_ISDIR(attributes.st_mode)) {
        g_set_error(error, STORAGEFS_ERROR, ERROR_BAD_CONFIG, "%s: a directory, not a configuration file",
                    file->path);
        return FALSE;
    }
    file->is_readable_by_others = (attributes.st_mode & (S_IRGRP | S_IROTH)) != 0;
    return read_all(fd, text, file->path, error);
}

ConfigFile *
config_file_load(const char *path, GError **error)
{
    static const char byte_order_mark[] = "\xef\xbb\xbf";
    g_autoptr(ConfigFile) file = new_file(path);
    g_autoptr(GString) text = g_string_new(NULL);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        error_set_errno(error, errno, "cannot open %s", path);
        return NULL;
    }
    gboolean ok = read_open_file(file, fd, text, error);
    close(fd);
    if (!ok || !check_encoding(file, text, error))
        return NULL;
    gsize skip = g_str_has_prefix(text->str, byte_order_mark) ? strlen(byte_order_mark) : 0;
    return scan(file, text->str + skip, error) ? g_steal_pointer(&file) : NULL;
}

const char *
config_file_get_path(ConfigFile *file)
{
    return file->path;
}

const char *
config_file_get_directory(ConfigFile *file)
{
    return file->directory;
}

gboolean
config_file_is_readable_by_others(ConfigFile *file)
{
    return file->is_readable_by_others;
}

const char *const *
config_file_get_sections(ConfigFile *file)
{
    return (const char *const *)file->names->pdata;
}

const char *const *
config_file_get_keys(ConfigFile *file, const char *section)
{
    Section *found = g_hash_table_lookup(file->sections, section);
    return found ? (const char *const *)found->keys->pdata : NULL;
}

static Entry *
find_entry(ConfigFile *file, const char *section, const char *key)
{
    Section *found = g_hash_table_lookup(file->sections, section);
    return found ? g_hash_table_lookup(found->entries, key) : NULL;
}

int
config_file_get_line(ConfigFile *file, const char *section, const char *key)
{
    if (key) {
        Entry *entry = find_entry(file, section, key);
        return entry ? entry->line : 0;
    }
    Section *found = g_hash_table_lookup(file->sections, section);
    return found ? found->line : 0;
}

char *
config_file_peek(ConfigFile *file, const char *section, const char *key)
{
    Entry *entry = find_entry(file, section, key);
    return entry ? config_value_without_comment(CONFIG_STRING, entry->text) : NULL;
}

char *
config_file_make_place(ConfigFile *file, const char *section, const char *key)
{
    int line = key ? config_file_get_line(file, section, key) : 0;
    if (line == 0)
        line = config_file_get_line(file, section, NULL);
    return line ? g_strdup_printf("%s:%d", file->path, line) : g_strdup(file->path);
}

/* Resolves GKeyFile's escapes. NULL: a '\' begins none of them. */
static char *
unescape(const char *text)
{
    static const char names[] = "sntr\\", meanings[] = " \n\t\r\\";
    g_autoptr(GString) plain = g_string_new(NULL);
    for (; *text; text++) {
        if (*text != '\\') {
            g_string_append_c(plain, *text);
            continue;
        }
        const char *name = text[1] ? strchr(names, text[1]) : NULL;
        if (!name)
            return NULL;
        g_string_append_c(plain, meanings[name - names]);
        text++;
    }
    return g_string_free(g_steal_pointer(&plain), FALSE);
}

gboolean
config_file_get_text(ConfigFile *file, const char *section, const char *key, char **out_text, GError **error)
{
    Entry *entry = find_entry(file, section, key);
    g_autofree char *text = unescape(entry->text);
    if (!text)
        return fail_at(file, entry->line, error, "%s: a '\\' in a value is written \\\\", key);
    *out_text = g_steal_pointer(&text);
    return TRUE;
}
