#include "tests/contract/contract.h"

#include "src/storage/driver_registry.h"

#include <string.h>

Contract contract;

/* What every [storage] section may hold; the driver's own keys come from its table. */
static const ConfigKey common_keys[] = {
    {.name = "driver", .type = CONFIG_STRING, .required = TRUE, .help = "which driver"},
    {.name = "folders", .type = CONFIG_BOOLEAN, .default_text = "no", .help = "folder layout"},
    {NULL},
};

static ConfigSection *
load_section(const char *config_path, char **out_driver_name)
{
    GError *error = NULL;
    g_autoptr(ConfigFile) file = config_file_load(config_path, &error);
    g_assert_no_error(error);
    const char *section = config_file_get_sections(file)[0];
    *out_driver_name = config_file_peek(file, section, "driver");
    contract.driver = driver_registry_find(*out_driver_name);
    if (contract.driver == NULL)
        g_error("%s: driver '%s' is unknown", config_path, *out_driver_name);
    const ConfigKey *const tables[] = {common_keys, contract.driver->keys, NULL};
    ConfigSection *checked = config_section_check(file, section, tables, &error);
    g_assert_no_error(error);
    return checked;
}

void
contract_open_storage(const char *config_path)
{
    GError *error = NULL;
    g_autofree char *driver_name = NULL;
    g_autoptr(ConfigSection) section = load_section(config_path, &driver_name);
    contract.instance = contract.driver->open(driver_name, section, &error);
    g_assert_no_error(error);
}

void
contract_open(const char *config_path)
{
    GError *error = NULL;
    contract_open_storage(config_path);
    contract.container = g_strdup_printf("contract-%08x", g_random_int());
    contract.driver->create_container(contract.instance, NULL, contract.container, &error);
    g_assert_no_error(error);
    contract.driver->probe(contract.instance, NULL, contract.container, &contract.can, &error);
    g_assert_no_error(error);
}

void
contract_close(void)
{
    GError *error = NULL;
    contract_empty(contract.container);
    contract.driver->delete_container(contract.instance, NULL, contract.container, &error);
    g_assert_no_error(error);
    contract.driver->close(contract.instance);
    g_free(contract.container);
}

static void
delete_page(const char *container, const ListPage *page)
{
    for (guint i = 0; i < page->objects->len; i++) {
        GError *error = NULL;
        const ObjectInfo *info = &g_array_index(page->objects, ObjectInfo, i);
        contract.driver->delete_object(contract.instance, NULL, container, info->key, NULL, &error);
        g_assert_no_error(error);
    }
}

void
contract_empty(const char *container)
{
    const ListQuery query = {.prefix = ""};
    for (gboolean more = TRUE; more;) {
        GError *error = NULL;
        g_auto(ListPage) page;
        list_page_init(&page);
        contract.driver->list_objects(contract.instance, NULL, container, &query, &page, &error);
        g_assert_no_error(error);
        delete_page(container, &page);
        more = page.objects->len > 0;
    }
}

static void
run_in_empty_container(gconstpointer data)
{
    void (*const *test)(void) = data;
    contract_empty(contract.container);
    (*test)();
}

void
contract_add(const char *path, void (*test)(void))
{
    void (**kept)(void) = g_new(typeof(test), 1);
    *kept = test;
    g_autofree char *full = g_strdup_printf("/contract%s", path);
    g_test_add_data_func_full(full, kept, run_in_empty_container, g_free);
}

guint8 *
contract_make_bytes(gsize length, guint seed)
{
    guint8 *bytes = g_malloc(MAX(length, 1));
    guint32 state = seed * 2654435761u + 1;
    for (gsize i = 0; i < length; i++) {
        state = state * 1664525u + 1013904223u;
        bytes[i] = (guint8)(state >> 24);
    }
    return bytes;
}

static gboolean
read_memory(gpointer data, guint64 offset, void *buffer, gsize length_bytes, GError **error)
{
    memcpy(buffer, (const guint8 *)data + offset, length_bytes);
    return TRUE;
}

ByteSource
contract_source(const void *bytes, gsize length)
{
    return (ByteSource){.size_bytes = length, .read = read_memory, .data = (gpointer)bytes};
}

gboolean
contract_try_put(const char *key, const void *bytes, gsize length, const WriteOptions *options,
                 GError **error)
{
    static const WriteOptions none = {NULL};
    const ByteSource source = contract_source(bytes, length);
    return contract.driver->write_object(contract.instance, NULL, contract.container, key, &source,
                                         options != NULL ? options : &none, NULL, error);
}

char *
contract_put(const char *key, const void *bytes, gsize length, const WriteOptions *options)
{
    static const WriteOptions none = {NULL};
    GError *error = NULL;
    g_auto(ObjectInfo) info = {NULL};
    const ByteSource source = contract_source(bytes, length);
    contract.driver->write_object(contract.instance, NULL, contract.container, key, &source,
                                  options != NULL ? options : &none, &info, &error);
    g_assert_no_error(error);
    g_assert_nonnull(info.etag);
    return g_strdup(info.etag);
}

void
contract_assert_content(const char *key, const void *bytes, gsize length)
{
    GError *error = NULL;
    gsize got = 0;
    g_autofree guint8 *buffer = g_malloc(length + 16);
    contract.driver->read_object(contract.instance, NULL, contract.container, key, 0, length + 16, NULL,
                                 buffer, &got, NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpmem(buffer, got, bytes, length);
}

void
contract_assert_absent(const char *key)
{
    GError *error = NULL;
    ObjectInfo info = {NULL};
    contract.driver->stat_object(contract.instance, NULL, contract.container, key, &info, &error);
    contract_assert_code(&error, ERROR_NOT_FOUND);
}

void
contract_assert_code(GError **error, ErrorCode code)
{
    g_assert_nonnull(*error);
    g_assert_true((*error)->domain == STORAGEFS_ERROR);
    if (!error_is(*error, code))
        g_error("expected %s, got %s: %s", error_code_name(code), error_code_name((*error)->code),
                (*error)->message);
    g_clear_error(error);
}

Metadata *
contract_make_metadata(const char *name, const char *value)
{
    Metadata *metadata = metadata_new();
    g_hash_table_insert(metadata, g_strdup(name), g_strdup(value));
    return metadata;
}

void
contract_assert_metadata(const ObjectInfo *info, const char *name, const char *value)
{
    g_assert_nonnull(info->metadata);
    g_assert_cmpstr(g_hash_table_lookup(info->metadata, name), ==, value);
}
