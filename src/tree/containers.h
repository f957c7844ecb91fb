/* MNT/s: the containers of one storage, of whatever driver. */
#pragma once

#include "src/tree/tree_core.h"

extern const TreeOperations containers_operations;

/* Asks the service whether the container exists, when what is known is too old. On success *out_node is a
 * reference, or NULL when there is none. */
gboolean containers_look(Tree *tree, Call *call, Node *storage_node, const char *name, Node **out_node,
                         GError **error);
/* What services without an end have: made up, large. */
void containers_stat_filesystem(struct statvfs *out);
