#include "tests/contract/contract.h"

#include <string.h>

/* Their byte order is not the order of their directories: '-' and '.' come before '/', '0' behind it. */
static const char *const KEYS[] = {
    "a",        "a-1",      "a.1",      "a0",      "b-/x",     "b.txt",      "b/1",        "b/2",
    "b/c/1",    "b/c/2",    "b/c/d/e",  "b0",      "deep/a/b", "deep/a/c/d", "deep/b",     "deep-er/x",
    "photos/1", "photos/2", "photos/3", "photos0", "z",        "z z",        "\xc3\xa9/1", "\xc3\xa9\x31",
};

/* "a" is a file where "a/..." would be none: the keys above avoid both at once, which a disk cannot hold. */
static void
put_keys(void)
{
    for (guint i = 0; i < G_N_ELEMENTS(KEYS); i++)
        g_free(contract_put(KEYS[i], KEYS[i], strlen(KEYS[i]), NULL));
}

static gint
compare(gconstpointer a, gconstpointer b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void
add_once(GPtrArray *names, char *name)
{
    for (guint i = 0; i < names->len; i++) {
        if (g_str_equal(g_ptr_array_index(names, i), name)) {
            g_free(name);
            return;
        }
    }
    g_ptr_array_add(names, name);
}

/* What a listing must give, by going through all keys. */
static void
expect(const ListQuery *query, GPtrArray *objects, GPtrArray *prefixes)
{
    for (guint i = 0; i < G_N_ELEMENTS(KEYS); i++) {
        const char *key = KEYS[i];
        if (!g_str_has_prefix(key, query->prefix) ||
            (query->start_after != NULL && strcmp(key, query->start_after) <= 0))
            continue;
        const char *cut = query->delimiter != '\0' ? strchr(key + strlen(query->prefix), '/') : NULL;
        if (cut == NULL)
            g_ptr_array_add(objects, g_strdup(key));
        else
            add_once(prefixes, g_strndup(key, (gsize)(cut + 1 - key)));
    }
    g_ptr_array_sort(objects, compare);
    g_ptr_array_sort(prefixes, compare);
}

static void
take_page(const ListPage *page, GPtrArray *objects, GPtrArray *prefixes)
{
    for (guint i = 0; i < page->objects->len; i++) {
        const ObjectInfo *info = &g_array_index(page->objects, ObjectInfo, i);
        /* A folder that was emptied stays as its marker where the layout has folders. */
        g_assert_cmpuint(info->size_bytes, ==, g_str_has_suffix(info->key, "/") ? 0 : strlen(info->key));
        g_assert_nonnull(info->etag);
        g_ptr_array_add(objects, g_strdup(info->key));
    }
    for (guint i = 0; i < page->prefixes->len; i++)
        g_ptr_array_add(prefixes, g_strdup(g_ptr_array_index(page->prefixes, i)));
}

/* All pages of a listing, as they come. */
static void
list_all(ListQuery query, GPtrArray *objects, GPtrArray *prefixes)
{
    g_autofree char *token = NULL;
    do {
        GError *error = NULL;
        g_auto(ListPage) page;
        list_page_init(&page);
        query.after_token = token;
        if (token != NULL)
            query.start_after = NULL;
        contract.driver->list_objects(contract.instance, NULL, contract.container, &query, &page, &error);
        g_assert_no_error(error);
        guint count = page.objects->len + page.prefixes->len;
        if (query.limit > 0)
            g_assert_cmpuint(count, <=, query.limit);
        take_page(&page, objects, prefixes);
        /* A listing that does not advance would never end. */
        g_assert_cmpuint(objects->len + prefixes->len, <=, G_N_ELEMENTS(KEYS) * 2);
        char *next = g_strdup(page.next);
        g_free(token);
        token = next;
    } while (token != NULL);
}

static void
assert_equal(GPtrArray *got, GPtrArray *expected)
{
    for (guint i = 0; i < MIN(got->len, expected->len); i++)
        g_assert_cmpstr(g_ptr_array_index(got, i), ==, g_ptr_array_index(expected, i));
    g_assert_cmpuint(got->len, ==, expected->len);
}

static void
check_query(const ListQuery *query)
{
    static const guint limits[] = {0, 1, 2, 7, 1000};
    g_autoptr(GPtrArray) objects = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GPtrArray) prefixes = g_ptr_array_new_with_free_func(g_free);
    expect(query, objects, prefixes);
    for (guint i = 0; i < G_N_ELEMENTS(limits); i++) {
        g_autoptr(GPtrArray) got_objects = g_ptr_array_new_with_free_func(g_free);
        g_autoptr(GPtrArray) got_prefixes = g_ptr_array_new_with_free_func(g_free);
        ListQuery limited = *query;
        limited.limit = limits[i];
        list_all(limited, got_objects, got_prefixes);
        assert_equal(got_objects, objects);
        assert_equal(got_prefixes, prefixes);
    }
}

static void
test_prefixes(void)
{
    static const char *const prefixes[] = {"",     "a",     "a-",     "b",    "b/",     "b/c",     "b/c/",
                                           "deep", "deep/", "deep/a", "none", "none/x", "photos/", "z",
                                           "\xc3", "b//",   "/",      "../",  "b/.",    "b/1/"};
    put_keys();
    for (guint i = 0; i < G_N_ELEMENTS(prefixes); i++) {
        ListQuery query = {.prefix = prefixes[i]};
        /* Half a character is no text: some services refuse it. */
        if (!g_utf8_validate(prefixes[i], -1, NULL) && contract.driver->files == NULL)
            continue;
        check_query(&query);
        query.delimiter = '/';
        check_query(&query);
    }
}

static void
test_start_after(void)
{
    static const char *const starts[] = {"",        "a",        "a0", "b/", "b/c/1",
                                         "b/c/zzz", "photos/2", "z",  "zz", "zzzz"};
    if (!contract.can.list_start_after) {
        g_test_skip("no start_after");
        return;
    }
    put_keys();
    for (guint i = 0; i < G_N_ELEMENTS(starts); i++) {
        const ListQuery all = {.prefix = "", .start_after = starts[i]};
        const ListQuery below = {.prefix = "b/", .start_after = starts[i]};
        const ListQuery folders = {.prefix = "photos", .delimiter = '/', .start_after = "a"};
        check_query(&all);
        check_query(&below);
        check_query(&folders);
    }
}

static void
test_empty(void)
{
    GError *error = NULL;
    const ListQuery query = {.prefix = "", .delimiter = '/'};
    g_auto(ListPage) page;
    list_page_init(&page);
    contract.driver->list_objects(contract.instance, NULL, contract.container, &query, &page, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(page.objects->len + page.prefixes->len, ==, 0);
    g_assert_null(page.next);
}

static void
test_after_delete(void)
{
    GError *error = NULL;
    put_keys();
    for (guint i = 0; i < G_N_ELEMENTS(KEYS); i++) {
        if (g_str_has_prefix(KEYS[i], "b/"))
            contract.driver->delete_object(contract.instance, NULL, contract.container, KEYS[i], NULL,
                                           &error);
        g_assert_no_error(error);
    }
    const ListQuery query = {.prefix = "b/"};
    g_autoptr(GPtrArray) objects = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GPtrArray) prefixes = g_ptr_array_new_with_free_func(g_free);
    list_all(query, objects, prefixes);
    for (guint i = 0; i < objects->len; i++)
        g_assert_true(g_str_has_suffix(g_ptr_array_index(objects, i), "/"));
}

static void
test_metadata(void)
{
    GError *error = NULL;
    if (!contract.can.metadata_in_listings) {
        g_test_skip("no metadata in listings");
        return;
    }
    g_autoptr(GHashTable) metadata = contract_make_metadata("colour", "red");
    const WriteOptions options = {.metadata = metadata};
    g_autofree char *etag = contract_put("m", "x", 1, &options);
    const ListQuery query = {.prefix = "", .want_metadata = TRUE};
    g_auto(ListPage) page;
    list_page_init(&page);
    contract.driver->list_objects(contract.instance, NULL, contract.container, &query, &page, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(page.objects->len, >=, 1);
    const ObjectInfo *info = &g_array_index(page.objects, ObjectInfo, 0);
    g_assert_cmpstr(info->etag, ==, etag);
    contract_assert_metadata(info, "colour", "red");
}

void
contract_add_list(void)
{
    contract_add("/list/prefixes", test_prefixes);
    contract_add("/list/start-after", test_start_after);
    contract_add("/list/empty", test_empty);
    contract_add("/list/after-delete", test_after_delete);
    contract_add("/list/metadata", test_metadata);
}
