/* The configured storages: see storage_set.h. Changes are made one at a time under `changing`, which may be
 * held while the state file is written; what readers look at is swapped under `lock`, which never waits. */
#include "src/storage/storage_set.h"

#include "src/base/lock.h"
#include "src/storage/state_file.h"

#include <string.h>
#include <unistd.h>

struct StorageSet {
    Lock changing;
    StateFile *state;      /* guarded by changing */
    char *written_default; /* `default =`, NULL when not written; guarded by changing */

    Lock lock;           /* guards what follows */
    GPtrArray *storages; /* of Storage *, with references; replaced as a whole */
    char *default_name;  /* NULL while there is no storage */
    guint64 generation;
};

static Storage *
find_in(GPtrArray *storages, const char *name)
{
    for (guint i = 0; i < storages->len; i++) {
        Storage *storage = g_ptr_array_index(storages, i);
        if (strcmp(storage_get_name(storage), name) == 0)
            return storage;
    }
    return NULL;
}

/* Under `changing`. Storages for `settings`, those of `old` (may be NULL) that are still the same taken over.
 */
static GPtrArray *
open_storages(StorageSet *set, const Settings *settings, GPtrArray *old, GError **error)
{
    g_autofree char *state_dir = g_path_get_dirname(set->state->path);
    g_autoptr(GPtrArray) storages = g_ptr_array_new_with_free_func((GDestroyNotify)storage_unref);
    for (guint i = 0; i < settings->storages->len; i++) {
        const StorageSettings *wanted = g_ptr_array_index(settings->storages, i);
        Storage *known = old ? find_in(old, wanted->name) : NULL;
        gboolean same = known && settings_equal_storage(storage_get_settings(known), wanted);
        Storage *storage = same ? storage_ref(known) : storage_new(wanted, error);
        if (!storage)
            return NULL;
        g_ptr_array_add(storages, storage);
        if (!same)
            storage_keep_state_in(storage, state_dir);
    }
    return g_steal_pointer(&storages);
}

/* Puts the places of `storages` into `state`; a name that moved is an error unless accepted. */
static gboolean
note_places(StateFile *state, GPtrArray *storages, const char *const *accepted, GError **error)
{
    for (guint i = 0; i < storages->len; i++) {
        Storage *storage = g_ptr_array_index(storages, i);
        const char *name = storage_get_name(storage), *place = storage_get_place(storage);
        const char *before = g_hash_table_lookup(state->places, name);
        if (before && strcmp(before, place) != 0 && !(accepted && g_strv_contains(accepted, name))) {
            g_set_error(
                error, STORAGEFS_ERROR, ERROR_BAD_CONFIG,
                "storage '%s' was %s and would now be %s: paths that were stored under this name would mean "
                "other data. Give the new place another name, or accept it with storagefs mount "
                "--accept-moved %s",
                name, before, place, name);
            return FALSE;
        }
        g_hash_table_replace(state->places, g_strdup(name), g_strdup(place));
    }
    return TRUE;
}

static gboolean
is_same_state(const StateFile *a, const StateFile *b)
{
    GHashTableIter iter;
    gpointer name, place;
    if (g_hash_table_size(a->places) != g_hash_table_size(b->places) ||
        g_strcmp0(a->chosen, b->chosen) != 0 || g_strcmp0(a->chosen_against, b->chosen_against) != 0)
        return FALSE;
    g_hash_table_iter_init(&iter, a->places);
    while (g_hash_table_iter_next(&iter, &name, &place)) {
        if (g_strcmp0(place, g_hash_table_lookup(b->places, name)) != 0)
            return FALSE;
    }
    return TRUE;
}

/* What was chosen at run time holds until the configuration's own word is edited. */
static void
note_default(StateFile *state, const char *written)
{
    if (!state->chosen || g_strcmp0(state->chosen_against, written ? written : "") == 0)
        return;
    g_clear_pointer(&state->chosen, g_free);
    g_clear_pointer(&state->chosen_against, g_free);
}

static const char *
decide_default(const StateFile *state, const char *written, GPtrArray *storages)
{
    if (state->chosen && find_in(storages, state->chosen))
        return state->chosen;
    if (written)
        return written;
    return storages->len ? storage_get_name(g_ptr_array_index(storages, 0)) : NULL;
}

/* Under `changing`. Takes `storages`. */
static void
publish(StorageSet *set, GPtrArray *storages)
{
    char *name = g_strdup(decide_default(set->state, set->written_default, storages));
    lock_acquire(&set->lock);
    GPtrArray *old_storages = set->storages;
    char *old_name = set->default_name;
    set->storages = storages;
    set->default_name = name;
    set->generation++;
    lock_release(&set->lock);
    g_free(old_name);
    if (old_storages)
        g_ptr_array_unref(old_storages);
}

/* Under `changing`. The storages for `settings`, with their places on disk; NULL leaves everything as it was.
 */
static GPtrArray *
prepare(StorageSet *set, const Settings *settings, GPtrArray *old, const char *const *accepted,
        GError **error)
{
    g_autoptr(GPtrArray) storages = open_storages(set, settings, old, error);
    if (!storages)
        return NULL;
    g_autoptr(StateFile) state = state_file_copy(set->state);
    if (!note_places(state, storages, accepted, error))
        return NULL;
    note_default(state, settings->default_name);
    if (!is_same_state(state, set->state) && !state_file_save(state, error))
        return NULL;
    state_file_free(set->state);
    set->state = g_steal_pointer(&state);
    g_free(set->written_default);
    set->written_default = g_strdup(settings->default_name);
    return g_steal_pointer(&storages);
}

StorageSet *
storage_set_new(const Settings *settings, const char *state_dir, const char *const *accept_moved,
                GError **error)
{
    StateFile *state = state_file_load(state_dir, error);
    if (!state)
        return NULL;
    g_autoptr(StorageSet) set = g_new0(StorageSet, 1);
    lock_init(&set->changing);
    lock_init(&set->lock);
    set->state = state;
    GPtrArray *storages = prepare(set, settings, NULL, accept_moved, error);
    if (!storages)
        return NULL;
    publish(set, storages);
    return g_steal_pointer(&set);
}

void
storage_set_free(StorageSet *set)
{
    if (!set)
        return;
    if (set->storages)
        g_ptr_array_unref(set->storages);
    state_file_free(set->state);
    lock_clear(&set->lock);
    lock_clear(&set->changing);
    g_free(set->written_default);
    g_free(set->default_name);
    g_free(set);
}

GPtrArray *
storage_set_list(StorageSet *set)
{
    GPtrArray *list = g_ptr_array_new_with_free_func((GDestroyNotify)storage_unref);
    lock_acquire(&set->lock);
    for (guint i = 0; i < set->storages->len; i++)
        g_ptr_array_add(list, storage_ref(g_ptr_array_index(set->storages, i)));
    lock_release(&set->lock);
    return list;
}

void
storage_set_connect(StorageSet *set)
{
    g_autoptr(GPtrArray) storages = storage_set_list(set);
    for (guint i = 0; i < storages->len; i++)
        storage_connect(g_ptr_array_index(storages, i));
}

Storage *
storage_set_find(StorageSet *set, const char *name)
{
    lock_acquire(&set->lock);
    Storage *storage = find_in(set->storages, name);
    if (storage)
        storage_ref(storage);
    lock_release(&set->lock);
    return storage;
}

Storage *
storage_set_get_default(StorageSet *set)
{
    lock_acquire(&set->lock);
    Storage *storage = set->default_name ? find_in(set->storages, set->default_name) : NULL;
    if (storage)
        storage_ref(storage);
    lock_release(&set->lock);
    return storage;
}

char *
storage_set_get_default_name(StorageSet *set)
{
    lock_acquire(&set->lock);
    char *name = g_strdup(set->default_name);
    lock_release(&set->lock);
    return name;
}

guint64
storage_set_get_generation(StorageSet *set)
{
    lock_acquire(&set->lock);
    guint64 generation = set->generation;
    lock_release(&set->lock);
    return generation;
}

/* Under `changing`. */
static gboolean
choose(StorageSet *set, const char *name, GError **error)
{
    g_autoptr(GPtrArray) storages = storage_set_list(set);
    if (!find_in(storages, name)) {
        g_set_error(error, STORAGEFS_ERROR, ERROR_NOT_FOUND, "there is no storage '%s'", name);
        return FALSE;
    }
    g_autoptr(StateFile) state = state_file_copy(set->state);
    g_free(state->chosen);
    g_free(state->chosen_against);
    state->chosen = g_strdup(name);
    state->chosen_against = g_strdup(set->written_default ? set->written_default : "");
    if (!is_same_state(state, set->state) && !state_file_save(state, error))
        return FALSE;
    state_file_free(set->state);
    set->state = g_steal_pointer(&state);
    publish(set, g_steal_pointer(&storages));
    return TRUE;
}

gboolean
storage_set_set_default(StorageSet *set, const char *name, GError **error)
{
    lock_acquire(&set->changing);
    gboolean good = choose(set, name, error);
    lock_release(&set->changing);
    return good;
}

gboolean
storage_set_reload(StorageSet *set, const Settings *settings, GError **error)
{
    lock_acquire(&set->changing);
    /* Storages that go are destroyed when this list is, after the lock. */
    g_autoptr(GPtrArray) old = storage_set_list(set);
    GPtrArray *storages = prepare(set, settings, old, NULL, error);
    if (storages)
        publish(set, storages);
    lock_release(&set->changing);
    if (storages)
        storage_set_connect(set);
    return storages != NULL;
}

char *
storage_set_default_state_dir(const char *config_path, const char *mount_point)
{
    g_autofree char *both = g_strconcat(config_path, "\n", mount_point, NULL);
    g_autofree char *id = g_compute_checksum_for_string(G_CHECKSUM_SHA256, both, -1);
    const char *own = g_getenv("XDG_STATE_HOME");
    id[16] = '\0';
    if (own && g_path_is_absolute(own))
        return g_build_filename(own, "storagefs", id, NULL);
    if (geteuid() == 0)
        return g_build_filename("/var/lib/storagefs", id, NULL);
    return g_build_filename(g_get_home_dir(), ".local", "state", "storagefs", id, NULL);
}
