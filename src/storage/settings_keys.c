/* The keys of [storagefs] and those that every [storage NAME] has. */
#include "src/storage/settings.h"

#define MIB (G_GINT64_CONSTANT(1) << 20)
#define TIB (G_GINT64_CONSTANT(1) << 40)
#define HOUR_US (3600 * (gint64)G_USEC_PER_SEC)

static const char *const LOG_LEVELS[] = {"error", "warning", "info", "debug", NULL};
static const char *const ATTRIBUTES[] = {"exact", "listing", NULL};
static const char *const DURABILITIES[] = {"storage", "journal", NULL};

static const ConfigKey GLOBAL_KEYS[] = {
    {.name = "default",
     .type = CONFIG_STRING,
     .help = "name of the default storage; not written: the first one of this file"},
    {.name = "memory_limit",
     .type = CONFIG_SIZE,
     .default_text = "512M",
     .minimum = 16 * MIB,
     .maximum = TIB,
     .help = "bytes for read-ahead and part buffers of the whole daemon, a hard bound"},
    {.name = "freshness",
     .type = CONFIG_DURATION,
     .default_text = "1s",
     .maximum = 24 * HOUR_US,
     .help = "how long what is known of an object may be used before an open looks at the storage again"},
    {.name = "timeout",
     .type = CONFIG_DURATION,
     .default_text = "60s",
     .minimum = G_USEC_PER_SEC,
     .maximum = HOUR_US,
     .help = "how long one operation may take, all its retries together"},
    {.name = "state_dir",
     .type = CONFIG_PATH,
     .help = "private directory for what must survive: chosen default, places, recovered files; not written: "
             "storagefs/ID in $XDG_STATE_HOME, ~/.local/state, or /var/lib for root"},
    {.name = "cache_dir",
     .type = CONFIG_PATH,
     .help = "private directory for staged files and the disk cache; not written: the state directory"},
    {.name = "cache_size",
     .type = CONFIG_SIZE,
     .default_text = "0",
     .maximum = 1024 * TIB,
     .help = "bytes of the disk cache, which keeps what was read across restarts, 8M or more; 0: none"},
    {.name = "passthrough",
     .type = CONFIG_BOOLEAN,
     .default_text = "yes",
     .help = "yes: where it can (Linux 6.9, root), the kernel itself reads and writes files of local "
             "storages, and reads what the disk cache has of read-only ones; no: the daemon always does"},
    {.name = "journal_size",
     .type = CONFIG_SIZE,
     .default_text = "16G",
     .maximum = 1024 * TIB,
     .help =
         "bytes of durability = journal that may wait on the local disk; when it is full, writers wait for "
         "uploads, and fail (no space) when nothing leaves it in time; 0: as much as the disk has"},
    {.name = "log_level",
     .type = CONFIG_CHOICE,
     .default_text = "info",
     .choices = LOG_LEVELS,
     .help = "how much is logged: error, warning, info or debug"},
    {NULL},
};

static const ConfigKey STORAGE_KEYS[] = {
    {.name = "driver",
     .type = CONFIG_STRING,
     .required = TRUE,
     .help = "what kind of storage this is: a driver or one of its presets"},
    {.name = "containers",
     .type = CONFIG_LIST,
     .help = "only these containers are shown, also where the account may not list; not written: all"},
    {.name = "create_containers",
     .type = CONFIG_LIST,
     .help = "containers that are made when they are absent; an existing one is no error"},
    {.name = "folders",
     .type = CONFIG_BOOLEAN,
     .default_text = "no",
     .help = "yes: '/' in keys becomes directories; no: one file per key"},
    {.name = "read_only",
     .type = CONFIG_BOOLEAN,
     .default_text = "no",
     .help = "yes: nothing is ever changed"},
    {.name = "attributes",
     .type = CONFIG_CHOICE,
     .default_text = "exact",
     .choices = ATTRIBUTES,
     .help =
         "exact: times, modes, owners as stored with the object; listing: what a listing says, no look at "
         "each object"},
    {.name = "durability",
     .type = CONFIG_CHOICE,
     .default_text = "storage",
     .choices = DURABILITIES,
     .help =
         "storage: close and fsync return when the object is complete in the storage; journal: when it is on "
         "the local disk, and it is stored in the background, across crashes, until that succeeds"},
    {.name = "freshness",
     .type = CONFIG_DURATION,
     .maximum = 24 * HOUR_US,
     .help = "as in [storagefs], for this storage; not written: the value there"},
    {.name = "timeout",
     .type = CONFIG_DURATION,
     .minimum = G_USEC_PER_SEC,
     .maximum = HOUR_US,
     .help = "as in [storagefs], for this storage; not written: the value there"},
    {.name = "part_size",
     .type = CONFIG_SIZE,
     .default_text = "16M",
     .minimum = 64 << 10,
     .maximum = 5 * 1024 * MIB,
     .help = "bytes of one part of a multi-part upload; grows with the object where the service limits the "
             "number of parts"},
    {.name = "max_requests",
     .type = CONFIG_INTEGER,
     .default_text = "64",
     .minimum = 1,
     .maximum = 512,
     .help = "requests that may run at the same time"},
    {NULL},
};

const ConfigKey *
settings_get_global_keys(void)
{
    return GLOBAL_KEYS;
}

const ConfigKey *
settings_get_storage_keys(void)
{
    return STORAGE_KEYS;
}
