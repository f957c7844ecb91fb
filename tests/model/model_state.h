/* What there should be: names, contents, attributes. Knows nothing of the tree.
 *
 * A ModelFile is a file, a folder or a symlink; open handles keep one whose name is gone.
 */
#pragma once

#include <glib.h>
#include <sys/stat.h>

#define MODEL_NO_TIME G_MININT64

typedef struct {
    gint references;
    mode_t mode;       /* type and permission bits */
    GByteArray *bytes; /* of a file; of a symlink its target */
    gint64 mtime_ns;   /* MODEL_NO_TIME: the moment of some change */
    GHashTable *xattrs;
} ModelFile;

ModelFile *model_file_new(mode_t mode);
ModelFile *model_file_ref(ModelFile *file);
void model_file_unref(ModelFile *file);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ModelFile, model_file_unref)

/* All change the time. */
void model_file_write(ModelFile *file, guint64 offset, const void *data, gsize length);
void model_file_cut(ModelFile *file, guint64 size);
/* The bytes there are of the range; both files may be one. */
gsize model_file_copy(ModelFile *from, guint64 from_offset, ModelFile *to, guint64 to_offset, gsize length);

typedef struct {
    GHashTable *files; /* path → ModelFile; "" is not in it, it is always a folder */
} ModelState;

void model_state_init(ModelState *state);
void model_state_clear(ModelState *state);
/* Borrowed, NULL: absent. */
ModelFile *model_state_get(ModelState *state, const char *path);
/* Takes file. */
void model_state_set(ModelState *state, const char *path, ModelFile *file);
void model_state_remove(ModelState *state, const char *path);
/* With all below it, in place of what is there. */
void model_state_rename(ModelState *state, const char *path, const char *new_path);
/* TRUE for "" too. */
gboolean model_state_is_folder(ModelState *state, const char *path);
gboolean model_state_is_file(ModelState *state, const char *path);
gboolean model_state_is_empty(ModelState *state, const char *folder);
gboolean model_path_is_below(const char *path, const char *folder);
/* "" for what has no '/'. Caller frees. */
char *model_path_parent(const char *path);
/* Sorted "NAME TYPE" lines of what lies in a folder; caller frees. */
char *model_state_list(ModelState *state, const char *folder);
/* What the store should have: key → GBytes; folders have the key "PATH/" when markers are wanted. */
GHashTable *model_state_dump(ModelState *state, const char *prefix, gboolean folders);
/* Bytes that depend on seed and position. */
guint8 *model_pattern(guint32 seed, gsize length);
