#include "drivers/memory/memory_list.h"

#include "drivers/memory/memory_fault.h"
#include "drivers/memory/memory_object.h"

#include <string.h>

/* A token is '>' and the last key given, or '=' and the first key that is not below the last prefix given. */
#define AFTER_KEY '>'
#define FROM_KEY '='

static GTreeNode *
find_start(GTree *objects, const ListQuery *query)
{
    const char *token = query->after_token;
    if (token != NULL)
        return *token == AFTER_KEY ? g_tree_upper_bound(objects, token + 1)
                                   : g_tree_lower_bound(objects, token + 1);
    if (query->start_after != NULL && strcmp(query->start_after, query->prefix) >= 0)
        return g_tree_upper_bound(objects, query->start_after);
    return g_tree_lower_bound(objects, query->prefix);
}

/* The first text in byte order that is greater than everything which begins with `prefix`. */
static char *
get_end_of_prefix(const char *prefix)
{
    char *end = g_strdup(prefix);
    end[strlen(end) - 1]++;
    return end;
}

static void
add_object(ListPage *page, const char *key, const MemoryObject *object, gboolean with_metadata)
{
    GStringChunk *text = page->text;
    ObjectInfo info = {.key = g_string_chunk_insert(text, key),
                       .size_bytes = object->blob->size_bytes,
                       .mtime_ns = object->mtime_ns,
                       .etag = g_string_chunk_insert(text, object->etag)};
    if (object->storage_class != NULL)
        info.storage_class = g_string_chunk_insert(text, object->storage_class);
    if (with_metadata) {
        info.content_type = g_string_chunk_insert(text, object->content_type);
        info.metadata = memory_store_copy_metadata(object->metadata);
    }
    g_array_append_val(page->objects, info);
}

static void
set_next(ListPage *page, char how, const char *key)
{
    g_autofree char *token = g_strdup_printf("%c%s", how, key);
    page->next = g_string_chunk_insert(page->text, token);
}

/* Adds the node, or the prefix that it is rolled up into; returns the node to go on from. */
static GTreeNode *
add_entry(GTree *objects, GTreeNode *node, const ListQuery *query, gboolean with_metadata, gboolean last,
          ListPage *out)
{
    const char *key = g_tree_node_key(node);
    const char *cut = query->delimiter != '\0' ? strchr(key + strlen(query->prefix), query->delimiter) : NULL;
    if (cut == NULL) {
        GTreeNode *next = g_tree_node_next(node);
        add_object(out, key, g_tree_node_value(node), with_metadata);
        if (last && next != NULL && g_str_has_prefix(g_tree_node_key(next), query->prefix))
            set_next(out, AFTER_KEY, key);
        return next;
    }
    g_autofree char *prefix = g_strndup(key, cut + 1 - key);
    g_autofree char *end = get_end_of_prefix(prefix);
    GTreeNode *next = g_tree_lower_bound(objects, end);
    g_ptr_array_add(out->prefixes, g_string_chunk_insert(out->text, prefix));
    if (last && next != NULL && g_str_has_prefix(g_tree_node_key(next), query->prefix))
        set_next(out, FROM_KEY, end);
    return next;
}

static void
fill_page(MemoryInstance *memory, GTree *objects, const ListQuery *query, ListPage *out)
{
    guint limit = memory->capabilities.list_page_limit;
    if (query->limit > 0)
        limit = MIN(limit, query->limit);
    gboolean with_metadata = query->want_metadata && memory->capabilities.metadata_in_listings;
    GTreeNode *node = find_start(objects, query);
    for (guint count = 1; count <= limit && node != NULL; count++) {
        if (!g_str_has_prefix(g_tree_node_key(node), query->prefix))
            break;
        node = add_entry(objects, node, query, with_metadata, count == limit, out);
    }
}

gboolean
memory_list_objects(DriverInstance *instance, Call *call, const char *container, const ListQuery *query,
                    ListPage *out, GError **error)
{
    MemoryInstance *memory = (MemoryInstance *)instance;
    MemoryHit hit;
    if (!memory_fault_enter(memory->store, MEMORY_LIST_OBJECTS, container, call, &hit, error) ||
        !memory_fault_leave(&hit, error))
        return FALSE;
    if (query->start_after != NULL &&
        !memory_object_require(memory->capabilities.list_start_after, "list_start_after", error))
        return FALSE;
    lock_acquire(&memory->store->lock);
    MemoryContainer *found = memory_store_get_container_locked(memory->store, container, error);
    if (found != NULL)
        fill_page(memory, found->objects, query, out);
    lock_release(&memory->store->lock);
    return found != NULL;
}
