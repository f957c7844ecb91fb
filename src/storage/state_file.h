/* What the state directory remembers of the storages: the default that was chosen at run time, and the place
 * each name stood for. Not thread-safe: its owner serialises.
 */
#pragma once

#include <glib.h>

typedef struct {
    char *path;           /* of the file */
    char *chosen;         /* name chosen at run time, NULL none */
    char *chosen_against; /* `default =` as it stood then, "" when not written */
    GHashTable *places;   /* name → place, of every name there ever was */
} StateFile;

/* Makes `directory` when absent (0700) and refuses one that others own or can write. A file that is not there
 * gives an empty state. Fails: DENIED, IO (also: the file is damaged). */
StateFile *state_file_load(const char *directory, GError **error);
void state_file_free(StateFile *state);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(StateFile, state_file_free)
StateFile *state_file_copy(const StateFile *state);

/* Replaces the file as a whole; on disk before it returns. Fails: IO, NO_SPACE, DENIED. */
gboolean state_file_save(const StateFile *state, GError **error);
