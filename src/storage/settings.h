/* What a configuration file says, checked: the [storagefs] section and one [storage NAME] each.
 *
 * Owns the key tables of [storagefs] and of what every storage has; the drivers own theirs. Refuses, with
 * file and line, before anything is mounted: duplicate, empty, dotted-first ("." and ".." with them),
 * slash-bearing names, names over 255 bytes or with control characters, the name "default" (it would collide
 * with the link: say what to write instead), unknown drivers and keys, a `default =` that names no storage.
 */
#pragma once

#include "src/base/config.h"
#include "src/base/log.h"
#include "src/storage/driver.h"

#include <glib.h>

typedef struct {
    char *name;
    char *driver_name; /* as written: a preset's name */
    const Driver *driver;
    ConfigSection *section; /* all values, the driver's with them */
    gboolean folders;       /* folder layout */
    gboolean read_only;
    gboolean exact_attributes;
    char **containers;               /* shown ones; NULL: all */
    char **create_containers;        /* may be empty */
    gboolean journal;                /* durability = journal */
    gint64 freshness_us, timeout_us; /* the storage's own or [storagefs]'s */
    gint64 part_bytes;               /* wanted part size for multi-part uploads; grows with the object */
    guint maximum_requests;          /* parallel requests of this storage, 1..512 */
} StorageSettings;

typedef struct {
    char *path;                  /* of the file, absolute */
    char *default_name;          /* `default =`; NULL when not written */
    char *state_dir, *cache_dir; /* as written, NULL when not */
    gint64 memory_limit_bytes;
    gint64 cache_size_bytes;   /* 0: no disk cache */
    gint64 journal_size_bytes; /* 0: no limit */
    gint64 freshness_us, timeout_us;
    gboolean passthrough;
    LogLevel log_level;
    GPtrArray *storages; /* StorageSettings *, in file order; may be empty */
} Settings;

void settings_free_storage(StorageSettings *storage);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(StorageSettings, settings_free_storage)
StorageSettings *settings_copy_storage(const StorageSettings *storage);
/* TRUE when a Storage made from one would do for the other. */
gboolean settings_equal_storage(const StorageSettings *a, const StorageSettings *b);

/* `path` NULL: $XDG_CONFIG_HOME/storagefs/storagefs.conf (~/.config), else /etc/storagefs/storagefs.conf.
 * Fails: NOT_FOUND (says which places were looked at), DENIED, BAD_CONFIG. */
Settings *settings_load(const char *path, GError **error);
void settings_free(Settings *settings);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Settings, settings_free)

/* `-o ro`: every storage as if it had read_only = yes, so that nothing is ever written to a service. */
void settings_make_read_only(Settings *settings);
/* A storage of it has durability = journal. */
gboolean settings_wants_journal(const Settings *settings);

/* The tables, for documentation and conf/storagefs.conf.example's test: each ended by name NULL. */
const ConfigKey *settings_get_global_keys(void);
const ConfigKey *settings_get_storage_keys(void);
