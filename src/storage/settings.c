/* From a configuration file to Settings: which sections and keys there are, and what the tables cannot say.
 */
#include "src/storage/settings.h"

#include "src/storage/driver_registry.h"

#include <string.h>

#define GLOBAL_SECTION "storagefs"
#define STORAGE_WORD "storage"
#define SYSTEM_PATH "/etc/storagefs/storagefs.conf"
#define MAXIMUM_NAME_BYTES 255
/* Room for a few of the ranges that are read at a time. */
#define MINIMUM_CACHE_BYTES (8 << 20)

void
settings_free_storage(StorageSettings *storage)
{
    if (!storage)
        return;
    g_free(storage->name);
    g_free(storage->driver_name);
    g_clear_pointer(&storage->section, config_section_unref);
    g_strfreev(storage->containers);
    g_strfreev(storage->create_containers);
    g_free(storage);
}

StorageSettings *
settings_copy_storage(const StorageSettings *storage)
{
    StorageSettings *copy = g_new(StorageSettings, 1);
    *copy = *storage;
    copy->name = g_strdup(storage->name);
    copy->driver_name = g_strdup(storage->driver_name);
    copy->section = config_section_ref(storage->section);
    copy->containers = g_strdupv(storage->containers);
    copy->create_containers = g_strdupv(storage->create_containers);
    return copy;
}

gboolean
settings_equal_storage(const StorageSettings *a, const StorageSettings *b)
{
    return strcmp(a->name, b->name) == 0 && a->freshness_us == b->freshness_us &&
           a->timeout_us == b->timeout_us && config_section_equal(a->section, b->section);
}

void
settings_free(Settings *settings)
{
    if (!settings)
        return;
    g_free(settings->path);
    g_free(settings->default_name);
    g_free(settings->state_dir);
    g_free(settings->cache_dir);
    g_clear_pointer(&settings->storages, g_ptr_array_unref);
    g_free(settings);
}

static gboolean fail_at(ConfigFile *file, const char *section, const char *key, GError **error,
                        const char *format, ...) G_GNUC_PRINTF(5, 6);

static gboolean
fail_at(ConfigFile *file, const char *section, const char *key, GError **error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *message = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    int line = key ? config_file_get_line(file, section, key) : 0;
    if (line <= 0)
        line = config_file_get_line(file, section, NULL);
    g_set_error(error, STORAGEFS_ERROR, ERROR_BAD_CONFIG, "%s:%d: %s", config_file_get_path(file), line,
                message);
    return FALSE;
}

static gboolean
has_control_bytes(const char *text)
{
    for (; *text; text++) {
        if (g_ascii_iscntrl(*text))
            return TRUE;
    }
    return FALSE;
}

static gboolean
check_name(ConfigFile *file, const char *section, const char *name, GError **error)
{
    if (*name == '\0')
        return fail_at(file, section, NULL, error, "a storage needs a name: [storage NAME]");
    if (has_control_bytes(name))
        return fail_at(file, section, NULL, error, "the name of a storage may not hold control characters");
    if (*name == '.')
        return fail_at(file, section, NULL, error, "storage '%s': a name may not begin with a dot", name);
    if (strchr(name, '/'))
        return fail_at(file, section, NULL, error, "storage '%s': a name may not hold a '/'", name);
    if (strlen(name) > MAXIMUM_NAME_BYTES)
        return fail_at(file, section, NULL, error, "storage '%.32s...': a name may have %d bytes", name,
                       MAXIMUM_NAME_BYTES);
    if (strcmp(name, "default") == 0)
        return fail_at(file, section, NULL, error,
                       "no storage may be called 'default', which is the link to the default storage; write "
                       "[storage main], say, and default = main in [storagefs]");
    return TRUE;
}

/* "storage NAME" → NAME with the blanks around it taken off; NULL for any other header. */
static char *
get_storage_name(const char *section)
{
    gsize length = strlen(STORAGE_WORD);
    if (strncmp(section, STORAGE_WORD, length) != 0 || (section[length] && !strchr(" \t", section[length])))
        return NULL;
    return g_strstrip(g_strdup(section + length));
}

static gboolean
fail_unknown_section(ConfigFile *file, const char *section, GError **error)
{
    static const char *const words[] = {GLOBAL_SECTION, STORAGE_WORD, NULL};
    g_autofree char *word = g_strndup(section, strcspn(section, " \t"));
    const char *nearest = config_nearest(word, words);
    if (nearest && (section[strlen(word)] || strcmp(nearest, STORAGE_WORD) == 0))
        return fail_at(file, section, NULL, error, "unknown section [%s]; did you mean [storage NAME]?",
                       section);
    if (nearest)
        return fail_at(file, section, NULL, error, "unknown section [%s]; did you mean [%s]?", section,
                       nearest);
    return fail_at(file, section, NULL, error,
                   "unknown section [%s]: there are [storagefs] and [storage NAME]", section);
}

static const Driver *
choose_driver(ConfigFile *file, const char *section, char **out_name, GError **error)
{
    const char *const *names = driver_registry_get_names();
    g_autofree char *all = g_strjoinv(", ", (char **)names);
    g_autofree char *name = config_file_peek(file, section, "driver");
    const Driver *driver = name ? driver_registry_find(name) : NULL;
    const char *nearest = name ? config_nearest(name, names) : NULL;
    if (driver)
        *out_name = g_steal_pointer(&name);
    else if (!name || !*name)
        fail_at(file, section, NULL, error, "[%s] needs driver = one of %s", section, all);
    else if (nearest)
        fail_at(file, section, "driver", error, "unknown driver '%s'; did you mean '%s'?", name, nearest);
    else
        fail_at(file, section, "driver", error, "unknown driver '%s'; there are %s", name, all);
    return driver;
}

static gboolean
check_durability(const StorageSettings *storage, GError **error)
{
    if (!storage->journal || storage->driver->files == NULL)
        return TRUE;
    return config_section_fail(storage->section, "durability", error,
                               "durability = journal: files of this storage are written in place and need no "
                               "journal; write durability = storage");
}

/* What is made but not shown would only puzzle. */
static gboolean
check_containers(const StorageSettings *storage, GError **error)
{
    for (char **name = storage->create_containers; storage->containers && *name; name++) {
        if (!g_strv_contains((const char *const *)storage->containers, *name))
            return config_section_fail(storage->section, "create_containers", error,
                                       "create_containers names '%s', which containers = does not show",
                                       *name);
    }
    return TRUE;
}

static gint64
get_own_or(ConfigSection *section, const char *key, gint64 general)
{
    return config_section_is_set(section, key) ? config_section_get_integer(section, key) : general;
}

static StorageSettings *
read_storage(ConfigFile *file, const char *header, const Settings *settings, GError **error)
{
    g_autoptr(StorageSettings) storage = g_new0(StorageSettings, 1);
    storage->name = get_storage_name(header);
    if (!check_name(file, header, storage->name, error))
        return NULL;
    storage->driver = choose_driver(file, header, &storage->driver_name, error);
    if (!storage->driver)
        return NULL;
    const ConfigKey *const tables[] = {settings_get_storage_keys(), storage->driver->keys, NULL};
    ConfigSection *section = storage->section = config_section_check(file, header, tables, error);
    if (!section)
        return NULL;
    storage->journal = strcmp(config_section_get_string(section, "durability"), "journal") == 0;
    storage->folders = config_section_get_boolean(section, "folders");
    storage->read_only = config_section_get_boolean(section, "read_only");
    storage->exact_attributes = strcmp(config_section_get_string(section, "attributes"), "exact") == 0;
    if (config_section_is_set(section, "containers"))
        storage->containers = g_strdupv((char **)config_section_get_list(section, "containers"));
    storage->create_containers = g_strdupv((char **)config_section_get_list(section, "create_containers"));
    storage->freshness_us = get_own_or(section, "freshness", settings->freshness_us);
    storage->timeout_us = get_own_or(section, "timeout", settings->timeout_us);
    storage->part_bytes = config_section_get_integer(section, "part_size");
    storage->maximum_requests = (guint)config_section_get_integer(section, "max_requests");
    return check_durability(storage, error) && check_containers(storage, error) ? g_steal_pointer(&storage)
                                                                                : NULL;
}

static const StorageSettings *
find_storage(const Settings *settings, const char *name)
{
    for (guint i = 0; i < settings->storages->len; i++) {
        const StorageSettings *storage = g_ptr_array_index(settings->storages, i);
        if (strcmp(storage->name, name) == 0)
            return storage;
    }
    return NULL;
}

static gboolean
read_storages(ConfigFile *file, Settings *settings, GError **error)
{
    for (const char *const *header = config_file_get_sections(file); *header; header++) {
        g_autofree char *name = get_storage_name(*header);
        if (strcmp(*header, GLOBAL_SECTION) == 0)
            continue;
        if (!name)
            return fail_unknown_section(file, *header, error);
        /* The file layer finds equal headers; these differ in blanks only. */
        if (find_storage(settings, name))
            return fail_at(file, *header, NULL, error, "storage '%s' is there already", name);
        StorageSettings *storage = read_storage(file, *header, settings, error);
        if (!storage)
            return FALSE;
        g_ptr_array_add(settings->storages, storage);
    }
    return TRUE;
}

static gboolean
check_default(const Settings *settings, ConfigSection *section, GError **error)
{
    const char *name = settings->default_name;
    if (!name || find_storage(settings, name))
        return TRUE;
    /* With room for one: GLib gives an empty one no array. */
    g_autoptr(GPtrArray) names = g_ptr_array_new_null_terminated(1, NULL, TRUE);
    for (guint i = 0; i < settings->storages->len; i++)
        g_ptr_array_add(names, ((StorageSettings *)g_ptr_array_index(settings->storages, i))->name);
    const char *nearest = config_nearest(name, (const char *const *)names->pdata);
    if (nearest)
        return config_section_fail(section, "default", error,
                                   "default = %s: there is no such storage; did you mean "
                                   "'%s'?",
                                   name, nearest);
    return config_section_fail(section, "default", error, "default = %s: there is no [storage %s]", name,
                               name);
}

static gboolean
read_global(Settings *settings, ConfigSection *section, GError **error)
{
    settings->default_name = g_strdup(config_section_get_string(section, "default"));
    settings->state_dir = g_strdup(config_section_get_string(section, "state_dir"));
    settings->cache_dir = g_strdup(config_section_get_string(section, "cache_dir"));
    settings->memory_limit_bytes = config_section_get_integer(section, "memory_limit");
    settings->journal_size_bytes = config_section_get_integer(section, "journal_size");
    settings->freshness_us = config_section_get_integer(section, "freshness");
    settings->timeout_us = config_section_get_integer(section, "timeout");
    settings->passthrough = config_section_get_boolean(section, "passthrough");
    log_level_parse(config_section_get_string(section, "log_level"), &settings->log_level);
    settings->cache_size_bytes = config_section_get_integer(section, "cache_size");
    if (settings->cache_size_bytes == 0 || settings->cache_size_bytes >= MINIMUM_CACHE_BYTES)
        return TRUE;
    return config_section_fail(section, "cache_size", error,
                               "cache_size = %" G_GINT64_FORMAT " bytes: 0 is none, else 8M or more",
                               settings->cache_size_bytes);
}

/* The user's file when there is one, else the system's. */
static ConfigFile *
load_usual_file(GError **error)
{
    g_autofree char *own = g_build_filename(g_get_user_config_dir(), "storagefs", "storagefs.conf", NULL);
    g_autoptr(GError) missing = NULL;
    ConfigFile *file = config_file_load(own, &missing);
    if (!file && error_is(missing, ERROR_NOT_FOUND)) {
        g_clear_error(&missing);
        file = config_file_load(SYSTEM_PATH, &missing);
    }
    if (!file && error_is(missing, ERROR_NOT_FOUND))
        g_set_error(error, STORAGEFS_ERROR, ERROR_NOT_FOUND,
                    "there is no configuration: neither %s nor %s; write one or give -c FILE", own,
                    SYSTEM_PATH);
    else if (!file)
        g_propagate_error(error, g_steal_pointer(&missing));
    return file;
}

Settings *
settings_load(const char *path, GError **error)
{
    g_autoptr(ConfigFile) file = path ? config_file_load(path, error) : load_usual_file(error);
    if (!file)
        return NULL;
    const ConfigKey *const tables[] = {settings_get_global_keys(), NULL};
    g_autoptr(ConfigSection) section = config_section_check(file, GLOBAL_SECTION, tables, error);
    if (!section)
        return NULL;
    g_autoptr(Settings) settings = g_new0(Settings, 1);
    settings->path = g_canonicalize_filename(config_file_get_path(file), NULL);
    settings->storages = g_ptr_array_new_with_free_func((GDestroyNotify)settings_free_storage);
    if (!read_global(settings, section, error) || !read_storages(file, settings, error) ||
        !check_default(settings, section, error))
        return NULL;
    return g_steal_pointer(&settings);
}

void
settings_make_read_only(Settings *settings)
{
    for (guint i = 0; i < settings->storages->len; i++) {
        StorageSettings *storage = g_ptr_array_index(settings->storages, i);
        storage->read_only = TRUE;
    }
}

gboolean
settings_wants_journal(const Settings *settings)
{
    for (guint i = 0; i < settings->storages->len; i++)
        if (((const StorageSettings *)settings->storages->pdata[i])->journal)
            return TRUE;
    return FALSE;
}
