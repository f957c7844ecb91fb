/* What is kept of objects: for one version, within two bounds, and never of a name that is another one's now.
 */
#include "src/tree/detail_cache.h"

#define TAG "0123456789abcdef0123456789abcdef"
#define OTHER_TAG "another version"

typedef struct {
    Node *root, *directory, *other;
    DetailCache cache;
    VersionTag tag;
} Fixture;

static void
set_up(Fixture *fixture, gconstpointer unused)
{
    fixture->root = node_new(NULL, "", NODE_ROOT);
    fixture->directory = node_new(fixture->root, "directory", NODE_FOLDER);
    fixture->other = node_new(fixture->root, "other", NODE_FOLDER);
    detail_cache_init(&fixture->cache);
    version_tag_set(&fixture->tag, TAG);
}

static void
tear_down(Fixture *fixture, gconstpointer unused)
{
    detail_cache_drop_all(&fixture->cache, fixture->directory);
    detail_cache_drop_all(&fixture->cache, fixture->other);
    g_assert_cmpuint(fixture->cache.bytes, ==, 0);
    g_assert_cmpuint(fixture->cache.order.length, ==, 0);
    g_assert_cmpuint(g_hash_table_size(fixture->cache.by_name), ==, 0);
    detail_cache_clear(&fixture->cache);
    version_tag_clear(&fixture->tag);
    node_free(fixture->directory);
    node_free(fixture->other);
    node_free(fixture->root);
}

/* With a value of so many bytes; 0: without any. */
static void
put(Fixture *fixture, Node *directory, const char *name, const char *etag, gsize value_bytes)
{
    g_autoptr(GHashTable) metadata = metadata_new();
    if (value_bytes > 0)
        g_hash_table_insert(metadata, g_strdup("value"), g_strnfill(value_bytes, 'x'));
    const ObjectInfo info = {.key = (char *)name, .etag = (char *)etag, .metadata = metadata};
    detail_cache_put(&fixture->cache, directory, name, &info);
}

static void
put_number(Fixture *fixture, guint number, gsize value_bytes)
{
    g_autofree char *name = g_strdup_printf("%u", number);
    put(fixture, fixture->directory, name, TAG, value_bytes);
}

/* The key it was put with, which is the name that it had then. */
static const char *
get(Fixture *fixture, const Node *directory, const char *name)
{
    const ObjectInfo *info = detail_cache_get(&fixture->cache, directory, name, &fixture->tag);
    return info != NULL ? info->key : NULL;
}

static gboolean
has_number(Fixture *fixture, guint number)
{
    g_autofree char *name = g_strdup_printf("%u", number);
    return get(fixture, fixture->directory, name) != NULL;
}

static void
test_version(Fixture *fixture, gconstpointer unused)
{
    const VersionTag none = {0};
    put(fixture, fixture->directory, "a", TAG, 0);
    g_assert_nonnull(get(fixture, fixture->directory, "a"));
    g_assert_null(get(fixture, fixture->other, "a"));
    g_assert_null(detail_cache_get(&fixture->cache, fixture->directory, "a", &none));
    put(fixture, fixture->directory, "a", OTHER_TAG, 10);
    g_assert_null(get(fixture, fixture->directory, "a"));
    version_tag_set(&fixture->tag, OTHER_TAG);
    g_assert_nonnull(get(fixture, fixture->directory, "a"));
    g_assert_cmpuint(fixture->cache.order.length, ==, 1);
    put(fixture, fixture->directory, "a", NULL, 10);
    g_assert_null(detail_cache_get(&fixture->cache, fixture->directory, "a", &none));
    g_assert_null(get(fixture, fixture->directory, "a"));
}

static void
test_number(Fixture *fixture, gconstpointer unused)
{
    for (guint i = 0; i < DETAIL_CACHE_SLOTS + 100; i++)
        put_number(fixture, i, 0);
    g_assert_cmpuint(fixture->cache.order.length, ==, DETAIL_CACHE_SLOTS);
    g_assert_cmpuint(fixture->directory->folder->details, ==, DETAIL_CACHE_SLOTS);
    g_assert_false(has_number(fixture, 99));
    g_assert_true(has_number(fixture, 100));
    g_assert_true(has_number(fixture, DETAIL_CACHE_SLOTS + 99));
    /* Again: it is the newest one then. */
    put_number(fixture, 100, 0);
    put_number(fixture, 0, 0);
    g_assert_true(has_number(fixture, 100));
    g_assert_false(has_number(fixture, 101));
}

static void
test_bytes(Fixture *fixture, gconstpointer unused)
{
    const gsize value_bytes = 64 << 10;
    for (guint i = 0; i < 200; i++) {
        put_number(fixture, i, value_bytes);
        g_assert_cmpuint(fixture->cache.bytes, <=, DETAIL_CACHE_MAX_BYTES);
        g_assert_true(has_number(fixture, i));
    }
    g_assert_cmpuint(fixture->cache.order.length, >=, DETAIL_CACHE_MAX_BYTES / value_bytes - 2);
    g_assert_cmpuint(fixture->cache.order.length, <, DETAIL_CACHE_MAX_BYTES / value_bytes);
    put_number(fixture, 0, 2 * DETAIL_CACHE_MAX_BYTES);
    g_assert_cmpuint(fixture->cache.order.length, ==, 1);
    g_assert_true(has_number(fixture, 0));
    put_number(fixture, 1, 10);
    g_assert_false(has_number(fixture, 0));
    g_assert_cmpuint(fixture->cache.bytes, <, 2048);
}

static void
test_many_values(Fixture *fixture, gconstpointer unused)
{
    g_autoptr(GHashTable) metadata = metadata_new();
    for (guint i = 0; i < 100; i++)
        g_hash_table_insert(metadata, g_strdup_printf("%u", i), g_strdup(""));
    const ObjectInfo info = {.key = (char *)"a", .etag = (char *)TAG, .metadata = metadata};
    detail_cache_put(&fixture->cache, fixture->directory, "a", &info);
    g_assert_cmpuint(fixture->cache.bytes, >=, 100 * 50);
}

static void
test_target(Fixture *fixture, gconstpointer unused)
{
    DetailCache *cache = &fixture->cache;
    g_autofree char *target = g_strnfill(1000, 't');
    detail_cache_set_target(cache, fixture->directory, "a", &fixture->tag, target);
    g_assert_cmpuint(cache->bytes, ==, 0);
    put(fixture, fixture->directory, "a", TAG, 0);
    gsize before = cache->bytes;
    detail_cache_set_target(cache, fixture->directory, "a", &fixture->tag, target);
    detail_cache_set_target(cache, fixture->directory, "a", &fixture->tag, target);
    g_assert_cmpuint(cache->bytes, ==, before + 1001);
    g_assert_cmpstr(detail_cache_get_target(cache, fixture->directory, "a", &fixture->tag), ==, target);
    version_tag_set(&fixture->tag, OTHER_TAG);
    g_assert_null(detail_cache_get_target(cache, fixture->directory, "a", &fixture->tag));
    version_tag_set(&fixture->tag, TAG);
    put(fixture, fixture->directory, "a", TAG, 0);
    g_assert_null(detail_cache_get_target(cache, fixture->directory, "a", &fixture->tag));
    g_assert_cmpuint(cache->bytes, ==, before);
}

static void
test_drop(Fixture *fixture, gconstpointer unused)
{
    put(fixture, fixture->directory, "a", TAG, 10);
    put(fixture, fixture->directory, "b", TAG, 10);
    put(fixture, fixture->other, "a", TAG, 10);
    detail_cache_drop(&fixture->cache, fixture->directory, "a");
    detail_cache_drop(&fixture->cache, fixture->directory, "none");
    g_assert_null(get(fixture, fixture->directory, "a"));
    g_assert_nonnull(get(fixture, fixture->directory, "b"));
    detail_cache_drop_all(&fixture->cache, fixture->directory);
    g_assert_null(get(fixture, fixture->directory, "b"));
    g_assert_nonnull(get(fixture, fixture->other, "a"));
    g_assert_cmpuint(fixture->directory->folder->details, ==, 0);
    g_assert_cmpuint(fixture->other->folder->details, ==, 1);
}

static void
test_move(Fixture *fixture, gconstpointer unused)
{
    DetailCache *cache = &fixture->cache;
    put(fixture, fixture->directory, "a", TAG, 10);
    put(fixture, fixture->other, "b", TAG, 20);
    detail_cache_move(cache, fixture->directory, "a", fixture->other, "b");
    g_assert_null(get(fixture, fixture->directory, "a"));
    g_assert_cmpstr(get(fixture, fixture->other, "b"), ==, "a");
    g_assert_cmpuint(fixture->directory->folder->details, ==, 0);
    g_assert_cmpuint(fixture->other->folder->details, ==, 1);
    detail_cache_move(cache, fixture->other, "b", fixture->other, "b");
    g_assert_cmpstr(get(fixture, fixture->other, "b"), ==, "a");
    /* Nothing is known of what is there now. */
    detail_cache_move(cache, fixture->directory, "a", fixture->other, "b");
    g_assert_null(get(fixture, fixture->other, "b"));
}

#define ADD(path, test) g_test_add("/detail-cache/" path, Fixture, NULL, set_up, test, tear_down)

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("version", test_version);
    ADD("number", test_number);
    ADD("bytes", test_bytes);
    ADD("many-values", test_many_values);
    ADD("target", test_target);
    ADD("drop", test_drop);
    ADD("move", test_move);
    return g_test_run();
}
