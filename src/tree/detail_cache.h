/* Whole ObjectInfos (metadata, type, class, symlink target) of the names that were asked for last: bounded,
 * because they are large and few are asked for twice; the oldest go first.
 *
 * By directory and name, so that they outlive the names' Nodes: what was fetched ahead has none yet, and the
 * kernel forgets others soon. A directory's go with its Node, and follow it when it is renamed. They count
 * for the version they were told of only. Not locked: the tree's lock protects it.
 */
#pragma once

#include "src/storage/driver.h"
#include "src/tree/node.h"

#include <glib.h>

#define DETAIL_CACHE_SLOTS 2048u
/* The newest one is kept however large it is. */
#define DETAIL_CACHE_MAX_BYTES (4u << 20)

typedef struct {
    GHashTable *by_name; /* Detail → itself */
    GQueue order;        /* of Detail, oldest first */
    gsize bytes;         /* about what they take */
} DetailCache;

void detail_cache_init(DetailCache *cache);
void detail_cache_clear(DetailCache *cache);
/* In place of what there was for the name. info is copied. */
void detail_cache_put(DetailCache *cache, Node *directory, const char *name, const ObjectInfo *info);
/* Of this version, or NULL; borrowed. */
const ObjectInfo *detail_cache_get(const DetailCache *cache, const Node *directory, const char *name,
                                   const VersionTag *tag);
/* A symlink's target, kept as long as the rest. */
void detail_cache_set_target(DetailCache *cache, const Node *directory, const char *name,
                             const VersionTag *tag, const char *target);
const char *detail_cache_get_target(const DetailCache *cache, const Node *directory, const char *name,
                                    const VersionTag *tag);
void detail_cache_drop(DetailCache *cache, const Node *directory, const char *name);
/* Of every name in it. */
void detail_cache_drop_all(DetailCache *cache, const Node *directory);
/* The name becomes another one's, which loses its own. */
void detail_cache_move(DetailCache *cache, const Node *directory, const char *name, Node *new_directory,
                       const char *new_name);
