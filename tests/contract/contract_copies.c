#include "tests/contract/contract.h"

static gboolean
copy(const char *from, const char *if_etag, const char *to, const WriteOptions *options, GError **error)
{
    const CopySource source = {.container = contract.container, .key = from, .if_etag = if_etag};
    return contract.driver->copy_object(contract.instance, NULL, &source, contract.container, to, options,
                                        NULL, error);
}

static gboolean
skips(void)
{
    if (contract.can.copy_object)
        return FALSE;
    g_test_skip("no copy_object");
    return TRUE;
}

static void
stat_into(const char *key, ObjectInfo *info)
{
    GError *error = NULL;
    contract.driver->stat_object(contract.instance, NULL, contract.container, key, info, &error);
    g_assert_no_error(error);
}

static void
test_carries(void)
{
    GError *error = NULL;
    if (skips())
        return;
    g_autofree guint8 *bytes = contract_make_bytes(300000, 1);
    g_autoptr(GHashTable) metadata = contract_make_metadata("colour", "red");
    const WriteOptions options = {.content_type = "image/png", .metadata = metadata};
    g_autofree char *etag = contract_put("from", bytes, 300000, &options);
    g_auto(ObjectInfo) info = {NULL};
    copy("from", NULL, "sub/to", NULL, &error);
    g_assert_no_error(error);
    contract_assert_content("sub/to", bytes, 300000);
    contract_assert_content("from", bytes, 300000);
    stat_into("sub/to", &info);
    g_assert_cmpstr(info.content_type, ==, "image/png");
    g_assert_cmpuint(g_hash_table_size(info.metadata), ==, 1);
    contract_assert_metadata(&info, "colour", "red");
}

static void
test_replaces(void)
{
    GError *error = NULL;
    if (skips())
        return;
    g_autoptr(GHashTable) before = contract_make_metadata("colour", "red");
    g_autoptr(GHashTable) after = contract_make_metadata("shape", "round");
    const WriteOptions written = {.content_type = "image/png", .metadata = before};
    const WriteOptions wanted = {.content_type = "text/plain", .metadata = after};
    g_autofree char *etag = contract_put("from", "content", 7, &written);
    g_autofree char *other = contract_put("to", "what was there", 14, NULL);
    g_auto(ObjectInfo) info = {NULL};
    copy("from", NULL, "to", &wanted, &error);
    g_assert_no_error(error);
    contract_assert_content("to", "content", 7);
    stat_into("to", &info);
    g_assert_cmpstr(info.content_type, ==, "text/plain");
    g_assert_cmpuint(g_hash_table_size(info.metadata), ==, 1);
    contract_assert_metadata(&info, "shape", "round");
}

static void
test_source(void)
{
    GError *error = NULL;
    if (skips())
        return;
    g_assert_false(copy("absent", NULL, "to", NULL, &error));
    contract_assert_code(&error, ERROR_NOT_FOUND);
    g_autofree char *old = contract_put("from", "one", 3, NULL);
    g_autofree char *now = contract_put("from", "other", 5, NULL);
    copy("from", now, "to", NULL, &error);
    g_assert_no_error(error);
    contract_assert_content("to", "other", 5);
    if (!contract.can.copy_checks_source)
        return;
    g_assert_false(copy("from", old, "to2", NULL, &error));
    contract_assert_code(&error, ERROR_CHANGED);
    contract_assert_absent("to2");
}

static void
test_empty(void)
{
    GError *error = NULL;
    if (skips())
        return;
    g_autofree char *etag = contract_put("empty", "", 0, NULL);
    copy("empty", NULL, "copied", NULL, &error);
    g_assert_no_error(error);
    contract_assert_content("copied", "", 0);
}

static void
test_between_containers(void)
{
    GError *error = NULL;
    if (skips())
        return;
    g_autofree char *other = g_strdup_printf("%s-other", contract.container);
    g_autofree char *etag = contract_put("from", "content", 7, NULL);
    const CopySource source = {.container = contract.container, .key = "from"};
    g_auto(ObjectInfo) info = {NULL};
    contract.driver->create_container(contract.instance, NULL, other, &error);
    g_assert_no_error(error);
    contract.driver->copy_object(contract.instance, NULL, &source, other, "to", NULL, NULL, &error);
    g_assert_no_error(error);
    contract.driver->stat_object(contract.instance, NULL, other, "to", &info, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(info.size_bytes, ==, 7);
    contract_empty(other);
    contract.driver->delete_container(contract.instance, NULL, other, &error);
    g_assert_no_error(error);
}

void
contract_add_copies(void)
{
    contract_add("/copies/carries", test_carries);
    contract_add("/copies/replaces", test_replaces);
    contract_add("/copies/source", test_source);
    contract_add("/copies/empty", test_empty);
    contract_add("/copies/between-containers", test_between_containers);
}
