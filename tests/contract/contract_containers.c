#include "tests/contract/contract.h"

static char *
make_name(const char *suffix)
{
    return g_strdup_printf("%s-%s", contract.container, suffix);
}

static void
test_life(void)
{
    GError *error = NULL;
    g_autofree char *name = make_name("life");
    ContainerInfo info = {NULL};
    g_assert_false(contract.driver->stat_container(contract.instance, NULL, name, &info, &error));
    contract_assert_code(&error, ERROR_NOT_FOUND);
    g_assert_false(contract.driver->delete_container(contract.instance, NULL, name, &error));
    contract_assert_code(&error, ERROR_NOT_FOUND);
    g_assert_true(contract.driver->create_container(contract.instance, NULL, name, &error));
    g_assert_true(contract.driver->stat_container(contract.instance, NULL, name, &info, &error));
    g_assert_no_error(error);
    g_assert_cmpstr(info.name, ==, name);
    g_free(info.name);
    g_assert_false(contract.driver->create_container(contract.instance, NULL, name, &error));
    contract_assert_code(&error, ERROR_EXISTS);
    g_assert_true(contract.driver->delete_container(contract.instance, NULL, name, &error));
    g_assert_false(contract.driver->stat_container(contract.instance, NULL, name, &info, &error));
    contract_assert_code(&error, ERROR_NOT_FOUND);
}

static void
test_not_empty(void)
{
    GError *error = NULL;
    g_autofree char *etag = contract_put("held", "x", 1, NULL);
    g_assert_false(contract.driver->delete_container(contract.instance, NULL, contract.container, &error));
    contract_assert_code(&error, ERROR_NOT_EMPTY);
    contract_assert_content("held", "x", 1);
}

static void
test_order(void)
{
    static const char *const suffixes[] = {"b", "a", "a-1", "a.1", "a1"};
    GError *error = NULL;
    guint found = 0;
    for (guint i = 0; i < G_N_ELEMENTS(suffixes); i++) {
        g_autofree char *name = make_name(suffixes[i]);
        g_assert_true(contract.driver->create_container(contract.instance, NULL, name, &error));
    }
    g_autoptr(GArray) containers = NULL;
    g_assert_true(contract.driver->list_containers(contract.instance, NULL, &containers, &error));
    for (guint i = 0; i < containers->len; i++) {
        const char *name = g_array_index(containers, ContainerInfo, i).name;
        found += g_str_has_prefix(name, contract.container);
        if (i > 0)
            g_assert_cmpstr(g_array_index(containers, ContainerInfo, i - 1).name, <, name);
    }
    g_assert_cmpuint(found, ==, G_N_ELEMENTS(suffixes) + 1);
    for (guint i = 0; i < G_N_ELEMENTS(suffixes); i++) {
        g_autofree char *name = make_name(suffixes[i]);
        g_assert_true(contract.driver->delete_container(contract.instance, NULL, name, &error));
    }
}

static void
test_bad_names(void)
{
    static const char *const names[] = {"", ".", "..", "a/b", "/", "../up"};
    for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
        GError *error = NULL;
        g_assert_false(contract.driver->check_container_name(contract.instance, names[i], &error));
        contract_assert_code(&error, ERROR_BAD_NAME);
        g_assert_false(contract.driver->create_container(contract.instance, NULL, names[i], &error));
        contract_assert_code(&error, ERROR_BAD_NAME);
    }
}

static void
test_absent(void)
{
    GError *error = NULL;
    g_autofree char *name = make_name("absent");
    const ByteSource source = contract_source("x", 1);
    const WriteOptions options = {NULL};
    const ListQuery query = {.prefix = ""};
    ObjectInfo info = {NULL};
    g_auto(ListPage) page;
    char buffer[1];
    gsize length = 77;
    list_page_init(&page);
    g_assert_false(contract.driver->list_objects(contract.instance, NULL, name, &query, &page, &error));
    contract_assert_code(&error, ERROR_NOT_FOUND);
    g_assert_false(contract.driver->stat_object(contract.instance, NULL, name, "k", &info, &error));
    contract_assert_code(&error, ERROR_NOT_FOUND);
    g_assert_false(
        contract.driver->write_object(contract.instance, NULL, name, "k", &source, &options, NULL, &error));
    contract_assert_code(&error, ERROR_NOT_FOUND);
    g_assert_false(contract.driver->read_object(contract.instance, NULL, name, "k", 0, 1, NULL, buffer,
                                                &length, NULL, &error));
    contract_assert_code(&error, ERROR_NOT_FOUND);
    g_assert_cmpuint(length, ==, 77);
}

void
contract_add_containers(void)
{
    contract_add("/containers/life", test_life);
    contract_add("/containers/not-empty", test_not_empty);
    contract_add("/containers/order", test_order);
    contract_add("/containers/bad-names", test_bad_names);
    contract_add("/containers/absent", test_absent);
}
