/* The configured storages in their order, which one is the default, and what each name stood for before.
 *
 * The first storage is the default unless `default =` says otherwise; a choice made at run time is kept in
 * the state directory until the configuration's own `default =` is edited, which then wins. The state
 * directory also remembers each name's place (driver, endpoint, account or path): a name that points
 * elsewhere is refused unless accepted, and what each place taught (storage_keep_state_in()). Thread-safe.
 */
#pragma once

#include "src/storage/settings.h"
#include "src/storage/storage.h"

#include <glib.h>

typedef struct StorageSet StorageSet;

/* state_dir: made private (0700) when absent; refused when others own or can write it.
 * accept_moved: names (NULL-terminated, may be NULL) that may point to another place from now on.
 * Fails: BAD_CONFIG (a moved name: old place, new place, the option), IO, DENIED. */
StorageSet *storage_set_new(const Settings *settings, const char *state_dir, const char *const *accept_moved,
                            GError **error);
void storage_set_free(StorageSet *set);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(StorageSet, storage_set_free)

/* storage_connect() on all. */
void storage_set_connect(StorageSet *set);

/* New references; caller unrefs. NULL when absent. */
Storage *storage_set_find(StorageSet *set, const char *name);
Storage *storage_set_get_default(StorageSet *set);
/* GPtrArray of Storage * with references, in configured order. Caller unrefs. */
GPtrArray *storage_set_list(StorageSet *set);
/* Caller frees; NULL while there is no storage. */
char *storage_set_get_default_name(StorageSet *set);

/* Durable before it returns. Fails: NOT_FOUND (unknown name: nothing changes), IO. */
gboolean storage_set_set_default(StorageSet *set, const char *name, GError **error);

/* Takes over a re-read configuration: unchanged storages stay the same Storage, others appear, change,
 * disappear (their handles keep their references). All or nothing; the generation tells those above.
 * Fails: BAD_CONFIG (moved names as above). */
gboolean storage_set_reload(StorageSet *set, const Settings *settings, GError **error);

/* Grows with every change of default or members: cheap to poll, for caches above. */
guint64 storage_set_get_generation(StorageSet *set);

/* The state directory for a configuration and a mount point when `state_dir` is not written:
 * $XDG_STATE_HOME/storagefs/ID (~/.local/state; /var/lib/storagefs/ID for root without XDG_STATE_HOME), ID
 * being a hash of both absolute paths. Caller frees. */
char *storage_set_default_state_dir(const char *config_path, const char *mount_point);
