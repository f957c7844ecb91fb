/* Listings: whatever the service says, the entries are in order, inside the prefix and after the start, and
 * following `next` comes to an end.
 *
 * The first byte of an input chooses the question, the second the service; replies follow.
 */
#include "drivers/s3/s3_list.h"
#include "tests/fuzz/fuzz_service.h"

#include <string.h>

#define KEYS "endpoint = http://127.0.0.1:1\naccess_key_id = AK\nsecret_access_key = SECRET\n"

void
fuzz_begin(void)
{
    fuzz_service_begin();
}

static void
check_key(const ListQuery *query, const char *key, const char *before)
{
    gsize length = strlen(key);
    g_assert_cmpuint(length, >, 0);
    g_assert_cmpuint(length, <=, DRIVER_MAX_KEY_BYTES);
    g_assert_true(g_str_has_prefix(key, query->prefix));
    g_assert_true(!before || strcmp(key, before) > 0);
    g_assert_true(query->after_token || !query->start_after || strcmp(key, query->start_after) > 0);
}

static void
check_metadata(Metadata *metadata)
{
    GHashTableIter iter;
    gpointer name, value;
    gsize total = 0;
    g_hash_table_iter_init(&iter, metadata);
    while (g_hash_table_iter_next(&iter, &name, &value)) {
        g_assert_cmpstr(name, !=, "");
        fuzz_check_utf8(name);
        fuzz_check_utf8(value);
        total += strlen(name) + strlen(value);
    }
    g_assert_cmpuint(total, <=, DRIVER_MAX_METADATA_BYTES);
}

static void
check_page(const ListQuery *query, const ListPage *page)
{
    const char *before = NULL;
    for (guint i = 0; i < page->objects->len; i++) {
        const ObjectInfo *info = &g_array_index(page->objects, ObjectInfo, i);
        check_key(query, info->key, before);
        g_assert_cmpuint(info->size_bytes, <=, G_MAXINT64);
        if (info->metadata)
            check_metadata(info->metadata);
        before = info->key;
    }
    before = NULL;
    for (guint i = 0; i < page->prefixes->len; i++) {
        const char *prefix = g_ptr_array_index(page->prefixes, i);
        check_key(query, prefix, before);
        g_assert_true(query->delimiter && prefix[strlen(prefix) - 1] == query->delimiter);
        before = prefix;
    }
}

static void
list_all(S3 *s3, ListQuery *query)
{
    g_autofree char *token = NULL;
    g_autofree char *last = NULL;
    for (;;) {
        g_autoptr(GError) error = NULL;
        g_auto(ListPage) page;
        list_page_init(&page);
        query->after_token = token;
        if (!s3_list_objects(&s3->base, NULL, "container", query, &page, &error)) {
            fuzz_check_line(error);
            return;
        }
        check_page(query, &page);
        if (page.objects->len > 0) {
            const char *first = g_array_index(page.objects, ObjectInfo, 0).key;
            g_assert_true(!last || strcmp(first, last) > 0);
            g_free(last);
            last = g_strdup(g_array_index(page.objects, ObjectInfo, page.objects->len - 1).key);
        }
        g_free(token);
        token = g_strdup(page.next);
        if (!token)
            return;
    }
}

void
fuzz_one(FuzzInput *input)
{
    static const struct {
        const char *name, *keys;
    } services[] = {{"s3", KEYS},
                    {"s3", KEYS "list_version = 1\n"},
                    {"minio", KEYS},
                    {"ceph", KEYS "encoding_type = no\n"}};
    guint8 question = fuzz_take_byte(input), service = fuzz_take_byte(input) % G_N_ELEMENTS(services);
    ListQuery query = {.prefix = (question & 1) != 0 ? "a/" : "",
                       .delimiter = (question & 2) != 0 ? '/' : 0,
                       .start_after = (question & 4) != 0 ? "a/b" : NULL,
                       .limit = (question & 8) != 0 ? 2 : 0,
                       .want_metadata = (question & 16) != 0};
    S3 *s3 = fuzz_service_open(services[service].name, services[service].keys, input);
    list_all(s3, &query);
    fuzz_service_close(s3);
}
