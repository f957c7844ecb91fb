/* A balanced tree of ranges by offset. The key of a node is the offset inside its own Extent: moving a
 * range's beginning in place is allowed as long as no other range lies between the old beginning and the new
 * one. */
#include "src/object/extent_map.h"

struct ExtentMap {
    GTree *tree;
    guint64 size_bytes, local_bytes;
};

static gint
compare_offsets(gconstpointer a, gconstpointer b, gpointer data)
{
    guint64 x = *(const guint64 *)a, y = *(const guint64 *)b;
    return x < y ? -1 : x > y;
}

static void
extent_free(gpointer data)
{
    Extent *extent = data;
    object_version_unref(extent->version);
    g_free(extent);
}

ExtentMap *
extent_map_new(void)
{
    ExtentMap *map = g_new0(ExtentMap, 1);
    map->tree = g_tree_new_full(compare_offsets, NULL, NULL, extent_free);
    return map;
}

void
extent_map_free(ExtentMap *map)
{
    if (map == NULL)
        return;
    g_tree_unref(map->tree);
    g_free(map);
}

guint64
extent_map_get_size(const ExtentMap *map)
{
    return map->size_bytes;
}

guint
extent_map_get_count(const ExtentMap *map)
{
    return (guint)g_tree_nnodes(map->tree);
}

guint64
extent_map_get_local_bytes(const ExtentMap *map)
{
    return map->local_bytes;
}

static guint64
end_of(const Extent *extent)
{
    return extent->offset + extent->length_bytes;
}

static GTreeNode *
find_node(const ExtentMap *map, guint64 offset)
{
    GTreeNode *after = g_tree_upper_bound(map->tree, &offset);
    return after != NULL ? g_tree_node_previous(after) : g_tree_node_last(map->tree);
}

static Extent *
extent_of(GTreeNode *node)
{
    return node != NULL ? g_tree_node_value(node) : NULL;
}

static void
insert(ExtentMap *map, const Extent *extent)
{
    Extent *copy = g_memdup2(extent, sizeof *extent);
    if (copy->version != NULL)
        object_version_ref(copy->version);
    if (copy->kind == EXTENT_LOCAL)
        map->local_bytes += copy->length_bytes;
    g_tree_insert(map->tree, &copy->offset, copy);
}

static void
remove_extent(ExtentMap *map, Extent *extent)
{
    if (extent->kind == EXTENT_LOCAL)
        map->local_bytes -= extent->length_bytes;
    g_tree_remove(map->tree, &extent->offset);
}

static void
cut_end(ExtentMap *map, Extent *extent, guint64 end)
{
    if (extent->kind == EXTENT_LOCAL)
        map->local_bytes -= end_of(extent) - end;
    extent->length_bytes = end - extent->offset;
}

static void
cut_beginning(ExtentMap *map, Extent *extent, guint64 beginning)
{
    guint64 cut = beginning - extent->offset;
    if (extent->kind == EXTENT_LOCAL)
        map->local_bytes -= cut;
    extent->offset = beginning;
    extent->length_bytes -= cut;
    extent->source_offset += cut;
}

/* Makes offset .. end empty; a range across a border keeps what lies outside. */
static void
carve(ExtentMap *map, guint64 offset, guint64 end)
{
    Extent *extent = extent_of(find_node(map, offset));
    if (extent != NULL && extent->offset < offset && end_of(extent) > offset) {
        if (end_of(extent) > end) {
            Extent tail = *extent;
            tail.source_offset += end - tail.offset;
            tail.length_bytes = end_of(extent) - end;
            tail.offset = end;
            cut_end(map, extent, offset);
            insert(map, &tail);
            return;
        }
        cut_end(map, extent, offset);
    }
    while ((extent = extent_of(g_tree_lower_bound(map->tree, &offset))) != NULL && extent->offset < end) {
        if (end_of(extent) > end) {
            cut_beginning(map, extent, end);
            return;
        }
        remove_extent(map, extent);
    }
}

static gboolean
continues(const Extent *left, const Extent *right)
{
    return left->kind == right->kind && left->version == right->version && end_of(left) == right->offset &&
           (left->version == NULL || left->source_offset + left->length_bytes == right->source_offset);
}

/* Puts a range where the map is empty, as part of its neighbours where they continue each other. */
static void
place(ExtentMap *map, const Extent *extent)
{
    GTreeNode *node = find_node(map, extent->offset);
    Extent *left = extent_of(node);
    Extent *right = extent_of(node != NULL ? g_tree_node_next(node) : g_tree_node_first(map->tree));
    guint64 right_bytes = right != NULL && continues(extent, right) ? right->length_bytes : 0;
    if (right_bytes > 0)
        remove_extent(map, right);
    guint64 length_bytes = extent->length_bytes + right_bytes;
    if (left != NULL && continues(left, extent)) {
        left->length_bytes += length_bytes;
        map->local_bytes += left->kind == EXTENT_LOCAL ? length_bytes : 0;
        return;
    }
    Extent whole = *extent;
    whole.length_bytes = length_bytes;
    insert(map, &whole);
}

void
extent_map_set(ExtentMap *map, const Extent *extent)
{
    if (extent->length_bytes == 0)
        return;
    if (extent->offset > map->size_bytes)
        extent_map_resize(map, extent->offset);
    if (extent->offset < map->size_bytes)
        carve(map, extent->offset, end_of(extent));
    place(map, extent);
    map->size_bytes = MAX(map->size_bytes, end_of(extent));
}

void
extent_map_resize(ExtentMap *map, guint64 size_bytes)
{
    if (size_bytes < map->size_bytes)
        carve(map, size_bytes, map->size_bytes);
    else if (size_bytes > map->size_bytes)
        place(map, &(Extent){map->size_bytes, size_bytes - map->size_bytes, EXTENT_ZERO, NULL, 0});
    map->size_bytes = size_bytes;
}

gboolean
extent_map_find(const ExtentMap *map, guint64 offset, Extent *out)
{
    if (offset >= map->size_bytes)
        return FALSE;
    *out = *extent_of(find_node(map, offset));
    return TRUE;
}

gboolean
extent_map_slice(const ExtentMap *map, guint64 offset, guint64 length_bytes, Extent *out)
{
    if (length_bytes == 0 || !extent_map_find(map, offset, out))
        return FALSE;
    guint64 cut = offset - out->offset;
    out->offset = offset;
    out->source_offset += cut;
    out->length_bytes = MIN(out->length_bytes - cut, length_bytes);
    return TRUE;
}

/* Bytes that are in a version change their place between it and the staging file. */
static void
change_kind(ExtentMap *map, guint64 offset, guint64 length_bytes, ExtentKind before, ExtentKind after)
{
    guint64 end = offset + length_bytes;
    Extent part;
    while (offset < end && extent_map_slice(map, offset, end - offset, &part)) {
        offset = end_of(&part);
        if (part.kind != before || part.version == NULL)
            continue;
        /* The range that lent the version goes. */
        object_version_ref(part.version);
        part.kind = after;
        extent_map_set(map, &part);
        object_version_unref(part.version);
    }
}

void
extent_map_mark_local(ExtentMap *map, guint64 offset, guint64 length_bytes)
{
    change_kind(map, offset, length_bytes, EXTENT_VERSION, EXTENT_LOCAL);
}

void
extent_map_unmark_local(ExtentMap *map, guint64 offset, guint64 length_bytes)
{
    change_kind(map, offset, length_bytes, EXTENT_LOCAL, EXTENT_VERSION);
}

void
extent_map_replace_version(ExtentMap *map, ObjectVersion *before, ObjectVersion *after)
{
    guint64 size_bytes = object_version_get_size(after);
    for (GTreeNode *node = g_tree_node_first(map->tree); node != NULL; node = g_tree_node_next(node)) {
        Extent *extent = extent_of(node);
        if (extent->version != before || extent->offset + extent->length_bytes > size_bytes)
            continue;
        object_version_unref(extent->version);
        extent->version = object_version_ref(after);
        extent->source_offset = extent->offset;
    }
}

void
extent_map_forget(ExtentMap *map, const ObjectVersion *version)
{
    for (GTreeNode *node = g_tree_node_first(map->tree); node != NULL; node = g_tree_node_next(node)) {
        Extent *extent = extent_of(node);
        if (extent->version == version && extent->kind != EXTENT_VERSION)
            g_clear_pointer(&extent->version, object_version_unref);
    }
}

void
extent_map_rebase(ExtentMap *map, ObjectVersion *version)
{
    g_autoptr(ExtentMap) fresh = extent_map_new();
    for (GTreeNode *node = g_tree_node_first(map->tree); node != NULL; node = g_tree_node_next(node)) {
        Extent extent = *extent_of(node);
        extent.version = version;
        extent.source_offset = extent.offset;
        place(fresh, &extent);
    }
    GTree *old = map->tree;
    map->tree = fresh->tree;
    fresh->tree = old;
}
