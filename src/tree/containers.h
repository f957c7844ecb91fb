/* MNT/s: the containers of one storage, of whatever driver. */
#pragma once

#include "src/tree/tree_core.h"

extern const TreeOperations containers_operations;

/* Asks the service whether the container exists, when what is known is too old. On success *out_node is a
 * reference, or NULL when there is none. */
gboolean containers_look(Tree *tree, Call *call, Node *storage_node, const char *name, Node **out_node,
                         GError **error);
/* A request about this Node (the container, or one below it) was answered as if its container were gone. It
 * is not believed in any more before it has been asked for by itself, by the kernel neither. */
void containers_doubt_locked(Tree *tree, Node *node) REQUIRES(tree->lock);
/* The same when `failure` is NOT_FOUND, of something that can only be the container. */
void containers_doubt_failure(Tree *tree, Node *node, const GError *failure) EXCLUDES(tree->lock);
/* What services without an end have: made up, large. */
void containers_stat_filesystem(struct statvfs *out);
