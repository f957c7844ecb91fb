#include "tests/contract/contract.h"

static void
stat_into(const char *key, ObjectInfo *info)
{
    GError *error = NULL;
    contract.driver->stat_object(contract.instance, NULL, contract.container, key, info, &error);
    g_assert_no_error(error);
}

static void
test_write(void)
{
    g_autoptr(GHashTable) metadata = contract_make_metadata("filename", "caf\xc3\xa9 \xe2\x98\x83.txt");
    g_hash_table_insert(metadata, g_strdup("mtime"), g_strdup("1700000000.123456789"));
    const WriteOptions options = {.content_type = "image/png", .metadata = metadata};
    g_autofree char *etag = contract_put("with", "x", 1, &options);
    g_auto(ObjectInfo) info = {NULL};
    stat_into("with", &info);
    g_assert_cmpstr(info.content_type, ==, "image/png");
    g_assert_cmpuint(g_hash_table_size(info.metadata), ==, 2);
    contract_assert_metadata(&info, "filename", "caf\xc3\xa9 \xe2\x98\x83.txt");
    contract_assert_metadata(&info, "mtime", "1700000000.123456789");
    contract_assert_content("with", "x", 1);
}

static void
test_overwrite_drops(void)
{
    g_autoptr(GHashTable) metadata = contract_make_metadata("colour", "red");
    const WriteOptions options = {.metadata = metadata};
    g_autofree char *first = contract_put("drop", "x", 1, &options);
    g_autofree char *second = contract_put("drop", "y", 1, NULL);
    g_auto(ObjectInfo) info = {NULL};
    stat_into("drop", &info);
    g_assert_cmpuint(g_hash_table_size(info.metadata), ==, 0);
}

static void
test_set(void)
{
    GError *error = NULL;
    if (!contract.can.set_metadata) {
        g_test_skip("no set_metadata");
        return;
    }
    g_autoptr(GHashTable) before = contract_make_metadata("colour", "red");
    g_autoptr(GHashTable) after = contract_make_metadata("shape", "round");
    const WriteOptions options = {.content_type = "text/plain", .metadata = before};
    g_autofree char *etag = contract_put("set", "content", 7, &options);
    g_auto(ObjectInfo) info = {NULL};
    contract.driver->set_metadata(contract.instance, NULL, contract.container, "set", etag, "text/html",
                                  after, NULL, &error);
    g_assert_no_error(error);
    stat_into("set", &info);
    g_assert_cmpstr(info.content_type, ==, "text/html");
    g_assert_cmpuint(g_hash_table_size(info.metadata), ==, 1);
    contract_assert_metadata(&info, "shape", "round");
    contract_assert_content("set", "content", 7);
    g_assert_false(contract.driver->set_metadata(contract.instance, NULL, contract.container, "absent", NULL,
                                                 "text/html", after, NULL, &error));
    contract_assert_code(&error, ERROR_NOT_FOUND);
}

static void
test_names(void)
{
    GError *error = NULL;
    g_assert_true(contract.driver->check_metadata_name(contract.instance, "plain-name", &error));
    g_assert_false(contract.driver->check_metadata_name(contract.instance, "", &error));
    contract_assert_code(&error, ERROR_BAD_NAME);
}

void
contract_add_metadata(void)
{
    contract_add("/metadata/write", test_write);
    contract_add("/metadata/overwrite-drops", test_overwrite_drops);
    contract_add("/metadata/set", test_set);
    contract_add("/metadata/names", test_names);
}
