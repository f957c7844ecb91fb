/* Configuration text → checked values, from declarative key tables.
 *
 * GKeyFile syntax. This layer knows files, sections, lines and types; which keys exist is said by tables that
 * the owner of each key keeps (src/storage/settings.c for [storagefs] and the common keys of [storage NAME],
 * each driver for its own). Every error names file and line, and for an unknown section or key the nearest
 * right spelling. GKeyFile merges equal groups and lets the last of two equal keys win, so the scan is our
 * own and refuses both, each with the two lines. A value loses the blanks around it (\s keeps one). Beyond
 * GKeyFile, a blank and '#' start a comment behind a value whose type cannot hold them: all but SECRET, PATH
 * and LIST.
 */
#pragma once

#include <glib.h>

typedef enum {
    CONFIG_STRING,
    CONFIG_SECRET,   /* a string that is never shown (log_add_secret), and makes a shared file an error */
    CONFIG_URL,      /* a string; with a user or password in it, a secret */
    CONFIG_BOOLEAN,  /* yes/no, true/false, 1/0, on/off */
    CONFIG_INTEGER,  /* minimum..maximum */
    CONFIG_SIZE,     /* bytes: 512, 64K, 512M, 2G, 1T (powers of 1024) */
    CONFIG_DURATION, /* microseconds inside, text in seconds: 1, 0.5, 500ms, 10s, 2m, 1h */
    CONFIG_LIST,     /* names separated by ';' (or ','), blanks trimmed, empty ones dropped */
    CONFIG_CHOICE,   /* one of choices */
    CONFIG_PATH,     /* "~/" expanded, relative to the configuration file's directory, made absolute */
    CONFIG_OCTAL     /* file mode bits */
} ConfigType;

typedef struct {
    const char *name;
    ConfigType type;
    const char *default_text;   /* as it would stand in the file; NULL: no value unless set */
    gint64 minimum, maximum;    /* INTEGER, SIZE, DURATION (in its inner unit); both 0: not bounded */
    const char *const *choices; /* CHOICE: NULL-terminated */
    gboolean required;
    const char *help; /* one line for documentation and error messages: meaning and unit */
} ConfigKey;

/* One parsed file, nothing checked but syntax, duplicates and encoding. */
typedef struct ConfigFile ConfigFile;
/* One section with its values checked against tables; immutable, reference counted. */
typedef struct ConfigSection ConfigSection;

/* Fails: NOT_FOUND, DENIED, BAD_CONFIG (syntax, duplicate section or key, not UTF-8, over 1 MiB). */
ConfigFile *config_file_load(const char *path, GError **error);
void config_file_free(ConfigFile *file);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ConfigFile, config_file_free)
const char *config_file_get_path(ConfigFile *file);
/* Section headers in file order, as written between the brackets; NULL-terminated, borrowed. */
const char *const *config_file_get_sections(ConfigFile *file);
int config_file_get_line(ConfigFile *file, const char *section, const char *key /* NULL: the header */);
/* Text of one STRING key, for choosing a table (driver =) before checking; NULL when absent. Caller frees. */
char *config_file_peek(ConfigFile *file, const char *section, const char *key);

/* Checks `section` against the concatenation of `tables` (NULL-terminated array of tables, each ended by a
 * key with name NULL). A secret in a file that group or others can read is refused. An absent section gives
 * all defaults. Fails: BAD_CONFIG with "FILE:LINE: ..." and the remedy. The tables may be
 * gone afterwards. */
ConfigSection *config_section_check(ConfigFile *file, const char *section, const ConfigKey *const *tables,
                                    GError **error);
ConfigSection *config_section_ref(ConfigSection *section);
void config_section_unref(ConfigSection *section);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ConfigSection, config_section_unref)

/* Asking for a key no table has, or with the wrong type, is a programming error (g_assert). */
gboolean config_section_is_set(ConfigSection *section, const char *key); /* FALSE: the default is in force */
const char *config_section_get_string(ConfigSection *section,
                                      const char *key); /* STRING SECRET URL CHOICE PATH */
gboolean config_section_get_boolean(ConfigSection *section, const char *key);
gint64 config_section_get_integer(ConfigSection *section, const char *key); /* INTEGER SIZE DURATION OCTAL */
const char *const *config_section_get_list(ConfigSection *section, const char *key); /* never NULL */
/* "FILE:LINE" of the key, or of the section when the key is not set (or NULL), "FILE" when the section is
 * absent: for errors found later. Borrowed. */
const char *config_section_get_place(ConfigSection *section, const char *key);
/* TRUE when both have the same keys with the same values: what reload compares. */
gboolean config_section_equal(ConfigSection *a, ConfigSection *b);

/* A BAD_CONFIG error "FILE:LINE: message" for a check that tables cannot express; key as for the place.
 * Always FALSE. */
gboolean config_section_fail(ConfigSection *section, const char *key, GError **error, const char *format, ...)
    G_GNUC_PRINTF(4, 5);

/* The nearest of `words` (NULL-terminated) to `word`, NULL when none is near. Borrowed. */
const char *config_nearest(const char *word, const char *const *words);
/* The value parsers, for command lines and control files. FALSE with BAD_CONFIG. */
gboolean config_parse_size(const char *text, gint64 *out_bytes, GError **error);
gboolean config_parse_duration(const char *text, gint64 *out_us, GError **error);
gboolean config_parse_boolean(const char *text, gboolean *out_value, GError **error);
