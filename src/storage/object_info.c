/* Lifetime of an ObjectInfo that owns its strings. */
#include "src/storage/driver.h"

void
object_info_clear(ObjectInfo *info)
{
    g_free(info->key);
    g_free(info->etag);
    g_free(info->version);
    g_free(info->storage_class);
    g_free(info->content_type);
    if (info->metadata)
        g_hash_table_unref(info->metadata);
    *info = (ObjectInfo){0};
}

void
object_info_copy(ObjectInfo *to, const ObjectInfo *from)
{
    *to = *from;
    to->key = g_strdup(from->key);
    to->etag = g_strdup(from->etag);
    to->version = g_strdup(from->version);
    to->storage_class = g_strdup(from->storage_class);
    to->content_type = g_strdup(from->content_type);
    to->metadata = from->metadata ? g_hash_table_ref(from->metadata) : NULL;
}
