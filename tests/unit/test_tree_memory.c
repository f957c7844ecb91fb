/* What a known name costs, in bytes of the heap. */
#include "src/tree/listing.h"
#include "tests/unit/tree_fixture.h"

#include <string.h>
#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 33)
#include <malloc.h>
#endif

#define NAMES 50000u
#define LISTED_MAX_BYTES 120u
/* Its Node, which stays as long as the kernel knows the name. */
#define WALKED_MAX_BYTES 170u

/* 0 where it cannot be told: sanitizers have a heap of their own. */
static gsize
get_heap_bytes(void)
{
#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 33)
    return mallinfo2().uordblks;
#else
    return 0;
#endif
}

static gboolean
has_heap(void)
{
    if (get_heap_bytes() > 0)
        return TRUE;
    g_test_skip("the heap cannot be measured here");
    return FALSE;
}

static void
fill_page(ListPage *page, guint first, guint count)
{
    for (guint i = 0; i < count; i++) {
        g_autofree char *key = g_strdup_printf("photos/2026-11-%02u/frame-%08u.jpeg", i % 30, first + i);
        g_autofree char *etag = g_strdup_printf("%032x-%u", first + i, i % 2 > 0 ? i : 17);
        ObjectInfo info = {.key = g_string_chunk_insert(page->text, key),
                           .etag = g_string_chunk_insert(page->text, etag),
                           .size_bytes = i,
                           .mtime_ns = 1};
        g_array_append_val(page->objects, info);
    }
}

static int
compare_keys(gconstpointer a, gconstpointer b)
{
    return strcmp(((const ObjectInfo *)a)->key, ((const ObjectInfo *)b)->key);
}

static void
append_pages(Listing *listing)
{
    const AttributeDefaults defaults = {.file_mode = 0644, .folder_mode = 0755};
    g_auto(ListPage) all;
    list_page_init(&all);
    fill_page(&all, 0, NAMES);
    g_array_sort(all.objects, compare_keys);
    for (guint first = 0; first < NAMES; first += 1000) {
        g_auto(ListPage) page;
        list_page_init(&page);
        g_array_append_vals(page.objects, &g_array_index(all.objects, ObjectInfo, first), 1000);
        listing_append_page(listing, &page, first + 1000 == NAMES, "photos/", &defaults, NULL, 1);
        listing_release_page(listing);
    }
}

static void
test_listed_name(void)
{
    if (!has_heap())
        return;
    gsize before = get_heap_bytes();
    Listing *listing = listing_new(NULL, LISTING_FLAT, 1);
    append_pages(listing);
    g_assert_cmpuint(listing->entries.count, ==, NAMES);
    gsize bytes = (get_heap_bytes() - before) / NAMES;
    g_test_message("%zu bytes for a listed name", bytes);
    g_assert_cmpuint(bytes, >=, sizeof(ListEntry));
    g_assert_cmpuint(bytes, <=, LISTED_MAX_BYTES);
    listing_unref(listing);
    g_assert_cmpuint(get_heap_bytes(), <, before + NAMES);
}

/* A directory with few names is no block of thousands of bytes. */
static void
test_small_listing(void)
{
    if (!has_heap())
        return;
    const AttributeDefaults defaults = {.file_mode = 0644, .folder_mode = 0755};
    g_autoptr(GPtrArray) listings = g_ptr_array_new_with_free_func((GDestroyNotify)listing_unref);
    g_auto(ListPage) page;
    list_page_init(&page);
    fill_page(&page, 0, 3);
    gsize before = get_heap_bytes();
    for (guint i = 0; i < 1000; i++) {
        Listing *listing = listing_new(NULL, LISTING_FLAT, 1);
        listing_append_page(listing, &page, TRUE, "photos/", &defaults, NULL, 1);
        g_ptr_array_add(listings, listing);
    }
    g_assert_cmpuint((get_heap_bytes() - before) / 1000, <=, 1500);
}

static void
test_walked_name(TreeFixture *fixture, gconstpointer keys)
{
    if (!has_heap())
        return;
    GError *error = NULL;
    DirectoryHandle *handle = NULL;
    DirectoryItem item;
    gboolean end = FALSE;
    g_autoptr(GPtrArray) nodes = g_ptr_array_sized_new(20000);
    for (guint i = 0; i < 20000; i++) {
        g_autofree char *key = g_strdup_printf("frame-%08u", i);
        tree_fixture_store(fixture, key, "content", NULL);
    }
    g_autofree char *names = tree_fixture_list(fixture, fixture->container);
    g_assert_true(tree_open_directory(fixture->tree, NULL, fixture->container, &handle, &error));
    gsize before = get_heap_bytes();
    for (guint64 offset = 0; !end; offset = item.next_offset) {
        TreeEntry entry;
        g_assert_true(tree_directory_next(fixture->tree, NULL, handle, offset, &item, &end, &error));
        if (!end && tree_directory_take(fixture->tree, handle, &item, &entry))
            g_ptr_array_add(nodes, entry.node);
    }
    g_assert_cmpuint(nodes->len, ==, 20000);
    gsize bytes = (get_heap_bytes() - before) / nodes->len;
    g_test_message("%zu bytes for a walked name", bytes);
    g_assert_cmpuint(bytes, <=, WALKED_MAX_BYTES);
    for (guint i = 0; i < nodes->len; i++)
        tree_forget(fixture->tree, g_ptr_array_index(nodes, i), 1);
    tree_close_directory(fixture->tree, handle);
}

static void
assert_tag(const char *etag)
{
    VersionTag tag = {0}, copy = {0};
    version_tag_set(&tag, etag);
    version_tag_copy(&copy, &tag);
    g_assert_true(version_tag_equal(&copy, &tag));
    g_autofree char *text = version_tag_dup(&copy);
    g_assert_cmpstr(text, ==, etag);
    version_tag_clear(&copy);
    version_tag_clear(&tag);
}

static void
test_tags(void)
{
    assert_tag("0123456789abcdef0123456789abcdef");
    assert_tag("0123456789abcdef0123456789abcdef-1");
    assert_tag("0123456789abcdef0123456789abcdef-65535");
    static const char *const others[] = {"",
                                         "1",
                                         "0123456789ABCDEF0123456789abcdef",
                                         "0123456789abcdef0123456789abcdef-",
                                         "0123456789abcdef0123456789abcdef-0",
                                         "0123456789abcdef0123456789abcdef-01",
                                         "0123456789abcdef0123456789abcdef-65536",
                                         "0123456789abcdef0123456789abcdef-1x",
                                         "0123456789abcdef0123456789abcdef1",
                                         "0123456789abcdef0123456789abcde-1"};
    for (guint i = 0; i < G_N_ELEMENTS(others); i++)
        assert_tag(others[i]);
    VersionTag plain = {0}, parts = {0};
    version_tag_set(&plain, "0123456789abcdef0123456789abcdef");
    version_tag_set(&parts, "0123456789abcdef0123456789abcdef-2");
    g_assert_false(version_tag_equal(&plain, &parts));
}

int
main(int argc, char *argv[])
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/tree/memory/listed-name", test_listed_name);
    g_test_add_func("/tree/memory/small-listing", test_small_listing);
    tree_fixture_add("/tree/memory/walked-name", test_walked_name,
                     TREE_FIXTURE_FRESH "page_limit = 1000\nmetadata_in_listings = yes\n");
    g_test_add_func("/tree/memory/tags", test_tags);
    return g_test_run();
}
