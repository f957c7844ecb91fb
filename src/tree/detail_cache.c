/* Ring of ObjectInfos by Node, see detail_cache.h. */
#include "src/tree/detail_cache.h"

typedef struct {
    ObjectInfo info;
    VersionTag tag;
    char *target;
    guint slot;
} Detail;

static void
free_detail(gpointer data)
{
    Detail *detail = data;
    object_info_clear(&detail->info);
    version_tag_clear(&detail->tag);
    g_free(detail->target);
    g_free(detail);
}

void
detail_cache_init(DetailCache *cache)
{
    *cache = (DetailCache){.by_node = g_hash_table_new_full(NULL, NULL, NULL, free_detail)};
}

void
detail_cache_clear(DetailCache *cache)
{
    g_clear_pointer(&cache->by_node, g_hash_table_unref);
}

static guint
take_slot(DetailCache *cache, const Node *node)
{
    guint slot = cache->next;
    cache->next = (slot + 1) % DETAIL_CACHE_SLOTS;
    if (cache->ring[slot] != NULL)
        g_hash_table_remove(cache->by_node, cache->ring[slot]);
    cache->ring[slot] = node;
    return slot;
}

void
detail_cache_put(DetailCache *cache, const Node *node, const ObjectInfo *info)
{
    Detail *detail = g_new0(Detail, 1);
    object_info_copy(&detail->info, info);
    version_tag_set(&detail->tag, info->etag);
    detail_cache_drop(cache, node);
    detail->slot = take_slot(cache, node);
    g_hash_table_insert(cache->by_node, (gpointer)node, detail);
}

static Detail *
find(DetailCache *cache, const Node *node)
{
    Detail *detail = g_hash_table_lookup(cache->by_node, node);
    return detail != NULL && version_tag_equal(&detail->tag, &node->facts.tag) ? detail : NULL;
}

const ObjectInfo *
detail_cache_get(DetailCache *cache, const Node *node)
{
    Detail *detail = find(cache, node);
    return detail != NULL ? &detail->info : NULL;
}

void
detail_cache_set_target(DetailCache *cache, const Node *node, const char *target)
{
    Detail *detail = find(cache, node);
    if (detail == NULL)
        return;
    g_free(detail->target);
    detail->target = g_strdup(target);
}

const char *
detail_cache_get_target(DetailCache *cache, const Node *node)
{
    Detail *detail = find(cache, node);
    return detail != NULL ? detail->target : NULL;
}

void
detail_cache_drop(DetailCache *cache, const Node *node)
{
    Detail *detail = g_hash_table_lookup(cache->by_node, node);
    if (detail == NULL)
        return;
    cache->ring[detail->slot] = NULL;
    g_hash_table_remove(cache->by_node, node);
}
