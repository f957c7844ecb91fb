/* Inside objects_rename*.c only: one rename, and the steps that a file's and a folder's have in common.
 * objects_rename.c checks and renames one object, objects_rename_folder.c a folder.
 */
#pragma once

#include "src/tree/objects.h"

/* What one rename works on. */
typedef struct {
    Tree *tree;
    Call *call;
    Node *node, *target; /* target NULL: the new name is free */
    Node *parent, *new_parent;
    const char *name, *new_name;
    unsigned flags;
    NodePlace from, to;
} ObjectsRename;

/* The file of a Node that is open, a reference; NULL: it is not. node may be NULL. */
ObjectFile *objects_rename_ref_file(Tree *tree, Node *node);
/* Copies the object at `from` to `to`, of that version (NULL: whatever is there), and where
 * nothing is if the rename replaces nothing. Fails: CHANGED, EXISTS. Blocks: yes. */
gboolean objects_rename_copy_version(ObjectsRename *rename, const char *etag, guint64 size_bytes,
                                     ObjectInfo *out_info, GError **error);
/* Deletes what was copied, as that version where the service can; another one is somebody else's and stays.
 * Blocks: yes. */
gboolean objects_rename_delete_source(ObjectsRename *rename, const char *etag, GError **error);
/* An open file: its object is copied as often as it is published meanwhile, or takes its new key unstored.
 * Blocks: yes. */
gboolean objects_rename_move_open(ObjectsRename *rename, ObjectFile *file, GError **error);
/* The Node takes its new place, and that of the target. */
void objects_rename_move_node_locked(Tree *tree, ObjectsRename *rename) REQUIRES(tree->lock);

/* Needs a folder whose target was checked. On FALSE some objects may have moved: the journal has the rename.
 */
gboolean objects_rename_folder(ObjectsRename *rename, GError **error);
