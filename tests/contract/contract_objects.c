#include "tests/contract/contract.h"

#include <string.h>

static void
test_sizes(void)
{
    static const gsize sizes[] = {0, 1, 2, 4095, 4096, 65537, (3 << 20) + 1};
    for (guint i = 0; i < G_N_ELEMENTS(sizes); i++) {
        GError *error = NULL;
        g_auto(ObjectInfo) info = {NULL};
        g_autofree guint8 *bytes = contract_make_bytes(sizes[i], i);
        g_autofree char *etag = contract_put("sized", bytes, sizes[i], NULL);
        contract_assert_content("sized", bytes, sizes[i]);
        contract.driver->stat_object(contract.instance, NULL, contract.container, "sized", &info, &error);
        g_assert_no_error(error);
        g_assert_cmpuint(info.size_bytes, ==, sizes[i]);
        g_assert_cmpstr(info.etag, ==, etag);
        g_assert_cmpstr(info.key, ==, "sized");
        g_assert_cmpint(info.mtime_ns, >, 0);
        g_assert_null(strchr(info.etag, '"'));
        g_assert_nonnull(info.metadata);
        g_assert_cmpuint(g_hash_table_size(info.metadata), ==, 0);
    }
}

static void
assert_range(const char *key, const guint8 *bytes, gsize size, guint64 offset, gsize length)
{
    GError *error = NULL;
    gsize got = G_MAXSIZE;
    gsize expected = offset < size ? MIN(length, size - offset) : 0;
    g_autofree guint8 *buffer = g_malloc(length);
    contract.driver->read_object(contract.instance, NULL, contract.container, key, offset, length, NULL,
                                 buffer, &got, NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(got, ==, expected);
    if (expected > 0)
        g_assert_cmpmem(buffer, got, bytes + offset, expected);
}

static void
test_ranges(void)
{
    const gsize size = 10000;
    g_autofree guint8 *bytes = contract_make_bytes(size, 3);
    g_autofree char *etag = contract_put("ranged", bytes, size, NULL);
    g_autofree char *empty = contract_put("empty", "", 0, NULL);
    assert_range("ranged", bytes, size, 0, 1);
    assert_range("ranged", bytes, size, 0, size);
    assert_range("ranged", bytes, size, size - 1, 1);
    assert_range("ranged", bytes, size, size - 1, 100);
    assert_range("ranged", bytes, size, 4321, 1234);
    assert_range("ranged", bytes, size, 0, size + 5000);
    assert_range("ranged", bytes, size, size, 1);
    assert_range("ranged", bytes, size, size + 1, 10);
    assert_range("ranged", bytes, size, G_GUINT64_CONSTANT(1) << 40, 10);
    assert_range("empty", (const guint8 *)"", 0, 0, 1);
    assert_range("empty", (const guint8 *)"", 0, 5, 10);
}

static void
test_versions(void)
{
    GError *error = NULL;
    char buffer[8];
    gsize length = 77;
    g_autofree char *old = contract_put("versioned", "first", 5, NULL);
    g_assert_true(contract.driver->read_object(contract.instance, NULL, contract.container, "versioned", 0, 8,
                                               old, buffer, &length, NULL, &error));
    g_assert_cmpmem(buffer, length, "first", 5);
    g_autofree char *new = contract_put("versioned", "two", 3, NULL);
    g_assert_cmpstr(old, !=, new);
    length = 77;
    g_assert_false(contract.driver->read_object(contract.instance, NULL, contract.container, "versioned", 0,
                                                8, old, buffer, &length, NULL, &error));
    contract_assert_code(&error, ERROR_CHANGED);
    g_assert_cmpuint(length, ==, 77);
    contract_assert_content("versioned", "two", 3);
}

static void
test_read_tells(void)
{
    GError *error = NULL;
    char buffer[2];
    gsize length = 0;
    g_auto(ObjectInfo) info = {NULL};
    g_autofree char *etag = contract_put("told", "hello", 5, NULL);
    contract.driver->read_object(contract.instance, NULL, contract.container, "told", 1, 2, NULL, buffer,
                                 &length, &info, &error);
    g_assert_no_error(error);
    g_assert_cmpmem(buffer, length, "el", 2);
    g_assert_cmpuint(info.size_bytes, ==, 5);
    g_assert_cmpstr(info.etag, ==, etag);
}

static void
test_delete(void)
{
    GError *error = NULL;
    g_autofree char *etag = contract_put("gone", "x", 1, NULL);
    for (guint i = 0; i < 2; i++) {
        contract.driver->delete_object(contract.instance, NULL, contract.container, "gone", NULL, &error);
        g_assert_no_error(error);
        contract_assert_absent("gone");
    }
    contract.driver->delete_object(contract.instance, NULL, contract.container, "never/was", NULL, &error);
    g_assert_no_error(error);
}

/* A key that the driver accepts is kept byte for byte; one that it refuses leaves nothing behind. */
static void
check_odd_key(const char *key)
{
    GError *error = NULL;
    if (!contract.driver->check_key(contract.instance, key, &error)) {
        gboolean too_long = error_is(error, ERROR_NAME_TOO_LONG);
        ErrorCode code = too_long ? ERROR_NAME_TOO_LONG : ERROR_BAD_NAME;
        g_assert_true(!too_long || strlen(key) > 255);
        contract_assert_code(&error, code);
        g_assert_false(contract_try_put(key, "x", 1, NULL, &error));
        contract_assert_code(&error, code);
        return;
    }
    gboolean marker = g_str_has_suffix(key, "/");
    g_autofree char *etag = contract_put(key, "odd", marker ? 0 : 3, NULL);
    contract_assert_content(key, "odd", marker ? 0 : 3);
    const ListQuery query = {.prefix = ""};
    g_auto(ListPage) page;
    list_page_init(&page);
    contract.driver->list_objects(contract.instance, NULL, contract.container, &query, &page, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(page.objects->len, ==, 1);
    g_assert_cmpstr(g_array_index(page.objects, ObjectInfo, 0).key, ==, key);
    contract.driver->delete_object(contract.instance, NULL, contract.container, key, NULL, &error);
    g_assert_no_error(error);
    contract_assert_absent(key);
    /* The folder layout keeps the directories that the key needed. */
    contract_empty(contract.container);
}

static void
test_odd_keys(void)
{
    static const char *const keys[] = {
        "",
        "a b",
        "a+b",
        "a%2Fb",
        "100%",
        "a&b=c?d#e",
        "\xc3\xa9t\xc3\xa9",
        "\xf0\x9f\x98\x80",
        "quote'\"",
        "<tag>",
        "back\\slash",
        "semi;colon",
        "a:b@c,d$e!f*(g)",
        "~tilde",
        ".hidden",
        "a/b/c",
        "dir/",
        "a//b",
        "/lead",
        "a/./b",
        "a/../b",
        "..",
        ".",
        "...",
        "x/..y",
        "trailing.",
        " space ",
        "new\nline",
        "tab\ttab",
        "-dash",
        "[bracket]",
        "{brace}",
        "pipe|",
        "caret^",
        "back`tick",
    };
    for (guint i = 0; i < G_N_ELEMENTS(keys); i++)
        if (!contract.is_mock || strpbrk(keys[i], "\n\t") == NULL)
            check_odd_key(keys[i]);
    g_autofree char *part = g_strnfill(255, 'n');
    check_odd_key(part);
    g_autofree char *longer = g_strnfill(256, 'n');
    check_odd_key(longer);
    g_autofree char *longest = g_strnfill(contract.can.maximum_key_bytes + 1, 'n');
    check_odd_key(longest);
}

static gboolean
fail_in_the_middle(gpointer data, guint64 offset, void *buffer, gsize length_bytes, GError **error)
{
    memset(buffer, 'x', length_bytes);
    g_set_error_literal(error, STORAGEFS_ERROR, ERROR_IO, "the staging file cannot be read");
    return FALSE;
}

static void
test_source_fails(void)
{
    GError *error = NULL;
    const ByteSource source = {.size_bytes = 5 << 20, .read = fail_in_the_middle};
    const WriteOptions options = {NULL};
    g_autofree char *etag = contract_put("kept", "old", 3, NULL);
    g_assert_false(contract.driver->write_object(contract.instance, NULL, contract.container, "kept", &source,
                                                 &options, NULL, &error));
    contract_assert_code(&error, ERROR_IO);
    contract_assert_content("kept", "old", 3);
    g_assert_false(contract.driver->write_object(contract.instance, NULL, contract.container, "new", &source,
                                                 &options, NULL, &error));
    contract_assert_code(&error, ERROR_IO);
    contract_assert_absent("new");
}

void
contract_add_objects(void)
{
    contract_add("/objects/sizes", test_sizes);
    contract_add("/objects/ranges", test_ranges);
    contract_add("/objects/versions", test_versions);
    contract_add("/objects/read-tells", test_read_tells);
    contract_add("/objects/delete", test_delete);
    contract_add("/objects/odd-keys", test_odd_keys);
    contract_add("/objects/source-fails", test_source_fails);
}
