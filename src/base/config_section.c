/* One section checked against its key tables: every key of every table gets a value, set or default. */
#include "src/base/config_file.h"
#include "src/base/config_value.h"
#include "src/base/error.h"
#include "src/base/log.h"

#include <stdatomic.h>
#include <string.h>

/* A longer word in front of '=' is rather a line of a secret than a misspelt key. */
#define SHOWN_KEY_MAX_BYTES 32u

typedef struct {
    char *name;
    ConfigType type;
    gboolean is_set;
    char *place;
    ConfigValue value;
} SectionKey;

struct ConfigSection {
    atomic_uint references;
    char *place;
    GHashTable *keys; /* name → SectionKey */
};

static void
free_key(gpointer data)
{
    SectionKey *key = data;
    config_value_clear(&key->value);
    g_free(key->place);
    g_free(key->name);
    g_free(key);
}

ConfigSection *
config_section_ref(ConfigSection *section)
{
    atomic_fetch_add_explicit(&section->references, 1, memory_order_relaxed);
    return section;
}

void
config_section_unref(ConfigSection *section)
{
    if (!section || atomic_fetch_sub_explicit(&section->references, 1, memory_order_acq_rel) != 1)
        return;
    g_hash_table_unref(section->keys);
    g_free(section->place);
    g_free(section);
}

static const ConfigKey *
find_config_key(const ConfigKey *const *tables, const char *name)
{
    for (; *tables; tables++)
        for (const ConfigKey *key = *tables; key->name; key++)
            if (strcmp(key->name, name) == 0)
                return key;
    return NULL;
}

static void
add_key(ConfigSection *section, const ConfigKey *config_key, gboolean is_set, const char *place,
        const ConfigValue *value)
{
    SectionKey *key = g_new0(SectionKey, 1);
    key->name = g_strdup(config_key->name);
    key->type = config_key->type;
    key->is_set = is_set;
    key->place = g_strdup(place);
    key->value = *value;
    g_hash_table_insert(section->keys, key->name, key);
}

static gboolean fail_at(const char *place, GError **error, const char *format, ...) G_GNUC_PRINTF(3, 4);

static gboolean
fail_at(const char *place, GError **error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *message = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    g_set_error(error, STORAGEFS_ERROR, ERROR_BAD_CONFIG, "%s: %s", place, message);
    return FALSE;
}

static gboolean
fail_unknown(const char *place, const char *section, const char *name, const ConfigKey *const *tables,
             GError **error)
{
    if (strlen(name) > SHOWN_KEY_MAX_BYTES)
        return fail_at(place, error, "no key of [%s] stands before '='", section);
    g_autoptr(GPtrArray) names = g_ptr_array_new_null_terminated(1, NULL, TRUE);
    for (; *tables; tables++)
        for (const ConfigKey *key = *tables; key->name; key++)
            g_ptr_array_add(names, (gpointer)key->name);
    const char *nearest = config_nearest(name, (const char *const *)names->pdata);
    if (nearest)
        return fail_at(place, error, "unknown key '%s' in [%s]; did you mean '%s'?", name, section, nearest);
    return fail_at(place, error, "unknown key '%s' in [%s]", name, section);
}

static gboolean
check_secret(ConfigFile *file, const char *place, const ConfigKey *key, const ConfigValue *value,
             GError **error)
{
    g_autofree char *secret = config_value_dup_secret(key->type, value);
    if (!secret)
        return TRUE;
    log_add_secret(secret);
    if (!config_file_is_readable_by_others(file))
        return TRUE;
    const char *path = config_file_get_path(file);
    return fail_at(place, error, "%s %s a secret, and others can read this file: chmod 600 %s", key->name,
                   key->type == CONFIG_SECRET ? "is" : "holds", path);
}

/* What stands in the file. */
static gboolean
check_set_key(ConfigSection *section, ConfigFile *file, const char *section_name, const char *name,
              const ConfigKey *const *tables, GError **error)
{
    g_autofree char *place = config_file_make_place(file, section_name, name);
    g_autofree char *text = NULL;
    ConfigValue value;
    const ConfigKey *key = find_config_key(tables, name);
    if (!key)
        return fail_unknown(place, section_name, name, tables, error);
    if (!config_file_get_text(file, section_name, name, &text, error))
        return FALSE;
    if (!config_value_parse(key, text, config_file_get_directory(file), &value, error)) {
        g_prefix_error(error, "%s: ", place);
        return FALSE;
    }
    if (!check_secret(file, place, key, &value, error)) {
        config_value_clear(&value);
        return FALSE;
    }
    add_key(section, key, TRUE, place, &value);
    return TRUE;
}

/* What does not. */
static gboolean
add_default(ConfigSection *section, ConfigFile *file, const char *section_name, const ConfigKey *key,
            GError **error)
{
    ConfigValue value = {0};
    if (key->required)
        return fail_at(section->place, error, "[%s] lacks %s%s%s%s", section_name, key->name,
                       key->help ? " (" : "", key->help ? key->help : "", key->help ? ")" : "");
    if (key->default_text) {
        gboolean ok =
            config_value_parse(key, key->default_text, config_file_get_directory(file), &value, NULL);
        g_assert(ok); /* a default that its own table refuses */
    }
    add_key(section, key, FALSE, section->place, &value);
    return TRUE;
}

ConfigSection *
config_section_check(ConfigFile *file, const char *section, const ConfigKey *const *tables, GError **error)
{
    static const char *const none[] = {NULL};
    g_autoptr(ConfigSection) checked = g_new0(ConfigSection, 1);
    atomic_init(&checked->references, 1);
    checked->place = config_file_make_place(file, section, NULL);
    checked->keys = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, free_key);
    const char *const *names = config_file_get_keys(file, section);
    for (names = names ? names : none; *names; names++)
        if (!check_set_key(checked, file, section, *names, tables, error))
            return NULL;
    for (const ConfigKey *const *table = tables; *table; table++)
        for (const ConfigKey *key = *table; key->name; key++)
            if (!g_hash_table_contains(checked->keys, key->name) &&
                !add_default(checked, file, section, key, error))
                return NULL;
    return g_steal_pointer(&checked);
}

static const SectionKey *
find_key(ConfigSection *section, const char *name)
{
    const SectionKey *key = g_hash_table_lookup(section->keys, name);
    g_assert(key);
    return key;
}

static gboolean
is_one_of(const SectionKey *key, guint types)
{
    return (types >> key->type & 1) != 0;
}

gboolean
config_section_is_set(ConfigSection *section, const char *key)
{
    return find_key(section, key)->is_set;
}

const char *
config_section_get_string(ConfigSection *section, const char *key)
{
    const SectionKey *found = find_key(section, key);
    g_assert(is_one_of(found, 1u << CONFIG_STRING | 1u << CONFIG_SECRET | 1u << CONFIG_URL |
                                  1u << CONFIG_CHOICE | 1u << CONFIG_PATH));
    return found->value.text;
}

gboolean
config_section_get_boolean(ConfigSection *section, const char *key)
{
    const SectionKey *found = find_key(section, key);
    g_assert(is_one_of(found, 1u << CONFIG_BOOLEAN));
    return found->value.integer != 0;
}

gint64
config_section_get_integer(ConfigSection *section, const char *key)
{
    const SectionKey *found = find_key(section, key);
    g_assert(is_one_of(found, 1u << CONFIG_INTEGER | 1u << CONFIG_SIZE | 1u << CONFIG_DURATION |
                                  1u << CONFIG_OCTAL));
    return found->value.integer;
}

const char *const *
config_section_get_list(ConfigSection *section, const char *key)
{
    static const char *const none[] = {NULL};
    const SectionKey *found = find_key(section, key);
    g_assert(is_one_of(found, 1u << CONFIG_LIST));
    return found->value.list ? (const char *const *)found->value.list : none;
}

const char *
config_section_get_place(ConfigSection *section, const char *key)
{
    return key ? find_key(section, key)->place : section->place;
}

gboolean
config_section_equal(ConfigSection *a, ConfigSection *b)
{
    if (g_hash_table_size(a->keys) != g_hash_table_size(b->keys))
        return FALSE;
    GHashTableIter iter;
    gpointer value;
    g_hash_table_iter_init(&iter, a->keys);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const SectionKey *key = value, *other = g_hash_table_lookup(b->keys, key->name);
        if (!other || other->type != key->type || !config_value_equal(&key->value, &other->value))
            return FALSE;
    }
    return TRUE;
}

gboolean
config_section_fail(ConfigSection *section, const char *key, GError **error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *message = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    g_autofree char *line = log_escape(message);
    return fail_at(config_section_get_place(section, key), error, "%s", line);
}
