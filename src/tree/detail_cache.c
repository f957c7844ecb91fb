/* Bounded store of ObjectInfos by directory and name, see detail_cache.h. */
#include "src/tree/detail_cache.h"

#include <string.h>

/* What the allocator and the tables add, about: for one Detail, for one value of the metadata. */
#define DETAIL_BYTES 512u
#define VALUE_BYTES 64u

typedef struct {
    GList link; /* in DetailCache.order */
    Node *directory;
    char *name;
    ObjectInfo info;
    VersionTag tag;
    char *target;
    gsize bytes;
} Detail;

static guint
hash_detail(gconstpointer data)
{
    const Detail *detail = data;
    return g_str_hash(detail->name) ^ g_direct_hash(detail->directory);
}

static gboolean
equal_details(gconstpointer a, gconstpointer b)
{
    const Detail *left = a, *right = b;
    return left->directory == right->directory && strcmp(left->name, right->name) == 0;
}

static void
free_detail(gpointer data)
{
    Detail *detail = data;
    object_info_clear(&detail->info);
    version_tag_clear(&detail->tag);
    g_free(detail->target);
    g_free(detail->name);
    g_free(detail);
}

void
detail_cache_init(DetailCache *cache)
{
    *cache = (DetailCache){.by_name = g_hash_table_new_full(hash_detail, equal_details, free_detail, NULL)};
    g_queue_init(&cache->order);
}

void
detail_cache_clear(DetailCache *cache)
{
    g_queue_init(&cache->order);
    g_clear_pointer(&cache->by_name, g_hash_table_unref);
    cache->bytes = 0;
}

static Detail *
find(const DetailCache *cache, const Node *directory, const char *name)
{
    const Detail wanted = {.directory = (Node *)directory, .name = (char *)name};
    return g_hash_table_lookup(cache->by_name, &wanted);
}

static Detail *
find_version(const DetailCache *cache, const Node *directory, const char *name, const VersionTag *tag)
{
    Detail *detail = find(cache, directory, name);
    return detail != NULL && version_tag_equal(&detail->tag, tag) ? detail : NULL;
}

static void
drop(DetailCache *cache, Detail *detail)
{
    g_queue_unlink(&cache->order, &detail->link);
    cache->bytes -= detail->bytes;
    detail->directory->folder->details--;
    g_hash_table_remove(cache->by_name, detail);
}

static void
shrink(DetailCache *cache)
{
    while (cache->order.length > 1 &&
           (cache->order.length > DETAIL_CACHE_SLOTS || cache->bytes > DETAIL_CACHE_MAX_BYTES))
        drop(cache, cache->order.head->data);
}

static gsize
count_text(const char *text)
{
    return text != NULL ? strlen(text) + 1 : 0;
}

static gsize
count_bytes(const Detail *detail)
{
    const ObjectInfo *info = &detail->info;
    gsize bytes = DETAIL_BYTES + count_text(detail->name) + count_text(info->key) + count_text(info->etag) +
                  count_text(info->version) + count_text(info->storage_class) +
                  count_text(info->content_type);
    if (info->metadata == NULL)
        return bytes;
    GHashTableIter iter;
    gpointer key, value;
    g_hash_table_iter_init(&iter, info->metadata);
    while (g_hash_table_iter_next(&iter, &key, &value))
        bytes += VALUE_BYTES + count_text(key) + count_text(value);
    return bytes;
}

static void
add(DetailCache *cache, Detail *detail)
{
    detail->link.data = detail;
    g_hash_table_add(cache->by_name, detail);
    g_queue_push_tail_link(&cache->order, &detail->link);
    cache->bytes += detail->bytes;
    detail->directory->folder->details++;
    shrink(cache);
}

void
detail_cache_put(DetailCache *cache, Node *directory, const char *name, const ObjectInfo *info)
{
    Detail *detail = g_new0(Detail, 1);
    detail->directory = directory;
    detail->name = g_strdup(name);
    object_info_copy(&detail->info, info);
    version_tag_set(&detail->tag, info->etag);
    detail->bytes = count_bytes(detail);
    detail_cache_drop(cache, directory, name);
    add(cache, detail);
}

const ObjectInfo *
detail_cache_get(const DetailCache *cache, const Node *directory, const char *name, const VersionTag *tag)
{
    const Detail *detail = find_version(cache, directory, name, tag);
    return detail != NULL ? &detail->info : NULL;
}

void
detail_cache_set_target(DetailCache *cache, const Node *directory, const char *name, const VersionTag *tag,
                        const char *target)
{
    Detail *detail = find_version(cache, directory, name, tag);
    if (detail == NULL)
        return;
    gsize added = count_text(target), removed = count_text(detail->target);
    char *copy = g_strdup(target);
    g_free(detail->target);
    detail->target = copy;
    detail->bytes += added - removed;
    cache->bytes += added - removed;
    shrink(cache);
}

const char *
detail_cache_get_target(const DetailCache *cache, const Node *directory, const char *name,
                        const VersionTag *tag)
{
    const Detail *detail = find_version(cache, directory, name, tag);
    return detail != NULL ? detail->target : NULL;
}

void
detail_cache_drop(DetailCache *cache, const Node *directory, const char *name)
{
    Detail *detail = find(cache, directory, name);
    if (detail != NULL)
        drop(cache, detail);
}

void
detail_cache_drop_all(DetailCache *cache, const Node *directory)
{
    GList *at = cache->order.head;
    while (at != NULL && directory->folder->details > 0) {
        Detail *detail = at->data;
        at = at->next;
        if (detail->directory == directory)
            drop(cache, detail);
    }
}

void
detail_cache_move(DetailCache *cache, const Node *directory, const char *name, Node *new_directory,
                  const char *new_name)
{
    Detail *detail = find(cache, directory, name);
    if (directory == new_directory && strcmp(name, new_name) == 0)
        return;
    detail_cache_drop(cache, new_directory, new_name);
    if (detail == NULL)
        return;
    g_hash_table_steal(cache->by_name, detail);
    detail->directory->folder->details--;
    new_directory->folder->details++;
    g_free(detail->name);
    detail->directory = new_directory;
    detail->name = g_strdup(new_name);
    g_hash_table_add(cache->by_name, detail);
}
