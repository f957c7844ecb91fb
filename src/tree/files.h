/* Containers and folders of file system storages, used in place: every question is asked of the file system,
 * open files are its descriptors, attributes and links are its own. The kernel may keep answers for
 * `freshness`.
 */
#pragma once

#include "src/tree/tree_core.h"

extern const TreeOperations files_operations;

/* files_entry.c */
TreeReady files_lookup_ready(Tree *tree, Node *parent, const char *name, TreeEntry *out,
                             gint64 *out_absent_valid_us);
gboolean files_lookup(Tree *tree, Call *call, Node *parent, const char *name, TreeEntry *out,
                      gint64 *out_absent_valid_us, GError **error);
gboolean files_stat_ready(Tree *tree, Node *node, FileHandle *handle, struct stat *out, gint64 *out_valid_us);
gboolean files_stat(Tree *tree, Call *call, Node *node, FileHandle *handle, struct stat *out,
                    gint64 *out_valid_us, GError **error);
gboolean files_set_attributes(Tree *tree, Call *call, Node *node, FileHandle *handle, unsigned valid,
                              const struct stat *attributes, const struct timespec times[2], GError **error);
/* A descriptor of an open file whose Node has one of these flags, which say that its name is gone: for what
 * the kernel asks without a handle, fstat(2), fchmod(2). The caller closes it; -1: there is none. */
int files_dup_nameless(Tree *tree, Node *node, guint flags);
/* Before what is done by name for a Node that may be open: fails with CHANGED when its name has come to be
 * another file's. */
gboolean files_check_name(Tree *tree, Node *node, GError **error);
gboolean files_take(Tree *tree, Node *node, Listing *listing, const char *name, TreeEntry *out);

/* files_list.c */
gboolean files_open_listing(Tree *tree, Call *call, Node *node, Listing **out, GError **error);

/* files_change.c */
gboolean files_open(Tree *tree, Call *call, Node *node, int flags, FileHandle **out_handle,
                    gboolean *out_keep_cache, GError **error);
gboolean files_create(Tree *tree, Call *call, Node *parent, const char *name, int flags,
                      const FileAttributes *made, TreeEntry *out, FileHandle **out_handle, GError **error);
void files_release(Tree *tree, Call *call, Node *node, FileHandle *handle);
gboolean files_make_directory(Tree *tree, Call *call, Node *parent, const char *name, mode_t mode, uid_t uid,
                              gid_t gid, TreeEntry *out, GError **error);
gboolean files_remove_directory(Tree *tree, Call *call, Node *parent, const char *name, GError **error);
gboolean files_make_symlink(Tree *tree, Call *call, Node *parent, const char *name, const char *target,
                            uid_t uid, gid_t gid, TreeEntry *out, GError **error);
gboolean files_read_symlink(Tree *tree, Call *call, Node *node, char **out_target, GError **error);
gboolean files_unlink(Tree *tree, Call *call, Node *parent, const char *name, GError **error);
gboolean files_rename(Tree *tree, Call *call, Node *parent, const char *name, Node *new_parent,
                      const char *new_name, unsigned flags, GError **error);

/* Where a name lies, and how to reach it. */
typedef struct {
    NodePlace place;
    const FileOperations *files;
    DriverInstance *instance;
    gboolean flat;
} FilesPlace;
gboolean files_place_init(Tree *tree, FilesPlace *place, Node *parent, const char *name, GError **error);
/* The Node's own place: a container has the key "". Fails: NOT_FOUND (removed here), CHANGED (replaced: the
 * kernel looks its path up again). */
gboolean files_place_of(Tree *tree, FilesPlace *place, Node *node, GError **error);
void files_place_clear(FilesPlace *place);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(FilesPlace, files_place_clear)
/* The name's Node by what lstat says: found, made, or replaced. */
Node *files_apply_locked(Tree *tree, Node *parent, const char *name, const struct stat *attributes)
    REQUIRES(tree->lock);
void files_fill_entry_locked(Tree *tree, Node *node, const struct stat *attributes, TreeEntry *out)
    REQUIRES(tree->lock);
