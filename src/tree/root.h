/* MNT itself: the storages in their order, the symlink `default`, and the short-lived symlinks by which
 * `ln -sfn NAME MNT/default` replaces it (made under another name, then renamed onto it; or, by those that
 * unlink first, made in the gap that the unlinked name leaves for a moment).
 */
#pragma once

#include "src/tree/tree_core.h"

extern const TreeOperations root_operations;

#define ROOT_DEFAULT_NAME "default"

/* Gives the root Node its attributes. */
void root_init(Tree *tree);
/* The Node of a storage. */
Node *root_get_storage_locked(Tree *tree, Storage *storage) REQUIRES(tree->lock);
/* The set changed: what went is detached, all is announced; what waits in the journal goes on with the new
 * Storage of its name and place. Blocks: for uploads that are given up. */
void root_storages_changed(Tree *tree);
