/* Whole ObjectInfos (metadata, type, class, symlink target) of the Nodes that needed one last: a ring of
 * fixed size, because they are large and few are asked for twice. Not locked: the tree's lock protects it.
 */
#pragma once

#include "src/storage/driver.h"
#include "src/tree/node.h"

#include <glib.h>

#define DETAIL_CACHE_SLOTS 2048u

typedef struct {
    GHashTable *by_node;                  /* Node → Detail */
    const Node *ring[DETAIL_CACHE_SLOTS]; /* in order of arrival */
    guint next;
} DetailCache;

void detail_cache_init(DetailCache *cache);
void detail_cache_clear(DetailCache *cache);
/* info is copied. */
void detail_cache_put(DetailCache *cache, const Node *node, const ObjectInfo *info);
/* Of the Node's present version, or NULL; borrowed. */
const ObjectInfo *detail_cache_get(DetailCache *cache, const Node *node);
void detail_cache_set_target(DetailCache *cache, const Node *node, const char *target);
const char *detail_cache_get_target(DetailCache *cache, const Node *node);
void detail_cache_drop(DetailCache *cache, const Node *node);
