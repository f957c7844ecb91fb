/* The S3 driver against a real service, as far as the contract suite does not go: what only this protocol
 * has.
 *
 * Skipped without STORAGEFS_S3_ENDPOINT. Others: STORAGEFS_S3_DRIVER (ceph), STORAGEFS_S3_KEY,
 * STORAGEFS_S3_SECRET, STORAGEFS_S3_OPTIONS (further lines of configuration). Works in a container of its own
 * and removes it.
 */
#include "src/storage/driver_registry.h"

#include <glib/gstdio.h>
#include <string.h>

typedef struct {
    const Driver *driver;
    DriverInstance *instance;
    char *container;
    Capabilities capabilities;
} Live;

static const char *
get_setting(const char *name, const char *otherwise)
{
    const char *value = g_getenv(name);
    return value ? value : otherwise;
}

static DriverInstance *
open_with_secret(const Driver **out_driver, const char *secret)
{
    static const ConfigKey common[] = {{"driver", CONFIG_STRING, .required = TRUE}, {.name = NULL}};
    const char *name = get_setting("STORAGEFS_S3_DRIVER", "ceph");
    g_autoptr(GError) error = NULL;
    g_autofree char *path = NULL;
    int fd = g_file_open_tmp("storagefs-s3-XXXXXX", &path, NULL);
    g_assert_cmpint(fd, >=, 0);
    g_close(fd, NULL);
    g_autofree char *text =
        g_strdup_printf("[s]\ndriver = %s\nendpoint = %s\naccess_key_id = %s\n"
                        "secret_access_key = %s\n%s\n",
                        name, g_getenv("STORAGEFS_S3_ENDPOINT"), get_setting("STORAGEFS_S3_KEY", "TESTKEY"),
                        secret, get_setting("STORAGEFS_S3_OPTIONS", ""));
    g_assert_true(g_file_set_contents_full(path, text, -1, G_FILE_SET_CONTENTS_NONE, 0600, NULL));
    g_autoptr(ConfigFile) file = config_file_load(path, &error);
    g_assert_no_error(error);
    (void)g_unlink(path);
    *out_driver = driver_registry_find(name);
    g_assert_nonnull(*out_driver);
    const ConfigKey *tables[] = {common, (*out_driver)->keys, NULL};
    g_autoptr(ConfigSection) section = config_section_check(file, "s", tables, &error);
    g_assert_no_error(error);
    DriverInstance *instance = (*out_driver)->open(name, section, &error);
    g_assert_no_error(error);
    return instance;
}

static gboolean
read_text(gpointer data, guint64 offset, void *buffer, gsize length_bytes, GError **error)
{
    memcpy(buffer, (const char *)data + offset, length_bytes);
    return TRUE;
}

static ByteSource
text_source(const char *text)
{
    return (ByteSource){strlen(text), read_text, (gpointer)text};
}

static void
set_up(Live *live, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *random = g_uuid_string_random();
    live->instance = open_with_secret(&live->driver, get_setting("STORAGEFS_S3_SECRET", "TESTSECRET"));
    live->container = g_strdup_printf("live-%.20s", random);
    live->driver->create_container(live->instance, NULL, live->container, &error);
    g_assert_no_error(error);
    live->driver->probe(live->instance, NULL, live->container, &live->capabilities, &error);
    g_assert_no_error(error);
}

static void
tear_down(Live *live, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    const Driver *driver = live->driver;
    ListQuery query = {.prefix = ""};
    gboolean more = TRUE;
    while (more) {
        g_auto(ListPage) page = {0};
        list_page_init(&page);
        driver->list_objects(live->instance, NULL, live->container, &query, &page, &error);
        g_assert_no_error(error);
        for (guint i = 0; i < page.objects->len; i++)
            driver->delete_object(live->instance, NULL, live->container,
                                  g_array_index(page.objects, ObjectInfo, i).key, NULL, &error);
        g_assert_no_error(error);
        more = page.next != NULL;
    }
    driver->delete_container(live->instance, NULL, live->container, &error);
    g_assert_no_error(error);
    driver->close(live->instance);
    g_free(live->container);
}

static void
put(Live *live, const char *key, const char *text, const WriteOptions *options, char **out_etag,
    GError **error)
{
    g_auto(ObjectInfo) info = {0};
    ByteSource source = text_source(text);
    if (live->driver->write_object(live->instance, NULL, live->container, key, &source, options, &info,
                                   error) &&
        out_etag)
        *out_etag = g_strdup(info.etag);
}

static char *
get(Live *live, const char *key, const char *if_etag, GError **error)
{
    char buffer[256];
    gsize length = 0;
    if (!live->driver->read_object(live->instance, NULL, live->container, key, 0, sizeof buffer, if_etag,
                                   buffer, &length, NULL, error))
        return NULL;
    return g_strndup(buffer, length);
}

/* Every key can be written, is listed once under its own name, and is read back. */
static void
test_keys(Live *live, gconstpointer data)
{
    g_autofree char *longest = g_strnfill(1024, 'k');
    const char *keys[] = {"a b",
                          "a+b",
                          "a%b",
                          "a%2Fb",
                          "a//b",
                          "/lead",
                          "trail/",
                          "q/../y",
                          "./x",
                          "..",
                          "n",
                          "n/x",
                          "\xc3\xa9",
                          "e\xcc\x81",
                          "tab\there",
                          "new\nline",
                          "\x01\x1f",
                          "a&b<c>",
                          "a\"b'c",
                          "?q=1#f",
                          "*",
                          "~._-",
                          "a:b@c,d;e=f$g!h(i)",
                          "\xf0\x9f\x98\x80",
                          longest};
    for (gsize i = 0; i < G_N_ELEMENTS(keys); i++) {
        g_autoptr(GError) error = NULL;
        put(live, keys[i], keys[i], NULL, NULL, &error);
        g_assert_no_error(error);
    }
    g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_autofree char *token = NULL;
    do {
        g_autoptr(GError) error = NULL;
        g_auto(ListPage) page = {0};
        list_page_init(&page);
        ListQuery query = {.prefix = "", .after_token = token, .limit = 4};
        live->driver->list_objects(live->instance, NULL, live->container, &query, &page, &error);
        g_assert_no_error(error);
        for (guint i = 0; i < page.objects->len; i++)
            g_assert_true(g_hash_table_add(seen, g_strdup(g_array_index(page.objects, ObjectInfo, i).key)));
        g_free(token);
        token = g_strdup(page.next);
    } while (token);
    g_assert_cmpuint(g_hash_table_size(seen), ==, G_N_ELEMENTS(keys));
    for (gsize i = 0; i < G_N_ELEMENTS(keys); i++) {
        g_autoptr(GError) error = NULL;
        g_auto(ObjectInfo) info = {0};
        g_assert_true(g_hash_table_contains(seen, keys[i]));
        live->driver->stat_object(live->instance, NULL, live->container, keys[i], &info, &error);
        g_assert_no_error(error);
        g_assert_cmpuint(info.size_bytes, ==, strlen(keys[i]));
    }
}

/* Prefixes roll up, page by page. */
static void
test_folders(Live *live, gconstpointer data)
{
    static const char *const keys[] = {"a-", "a/1", "a/2", "b", "c/1", "c/2/3", "d + e/x", "d"};
    g_autoptr(GString) found = g_string_new(NULL);
    g_autofree char *token = NULL;
    for (gsize i = 0; i < G_N_ELEMENTS(keys); i++)
        put(live, keys[i], "x", NULL, NULL, NULL);
    do {
        g_autoptr(GError) error = NULL;
        g_auto(ListPage) page = {0};
        list_page_init(&page);
        ListQuery query = {.prefix = "", .delimiter = '/', .after_token = token, .limit = 1};
        live->driver->list_objects(live->instance, NULL, live->container, &query, &page, &error);
        g_assert_no_error(error);
        for (guint i = 0; i < page.objects->len; i++)
            g_string_append_printf(found, "%s|", g_array_index(page.objects, ObjectInfo, i).key);
        for (guint i = 0; i < page.prefixes->len; i++)
            g_string_append_printf(found, "%s|", (char *)g_ptr_array_index(page.prefixes, i));
        g_free(token);
        token = g_strdup(page.next);
    } while (token);
    g_assert_cmpstr(found->str, ==, "a-|a/|b|c/|d|d + e/|");

    g_autoptr(GError) error = NULL;
    g_auto(ListPage) page = {0};
    list_page_init(&page);
    ListQuery query = {.prefix = "c/", .start_after = "c/1"};
    live->driver->list_objects(live->instance, NULL, live->container, &query, &page, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(page.objects->len, ==, 1);
    g_assert_cmpstr(g_array_index(page.objects, ObjectInfo, 0).key, ==, "c/2/3");
}

static void
test_reads(Live *live, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *etag = NULL, *empty_etag = NULL;
    char buffer[64];
    gsize length = 99;
    put(live, "r", "0123456789", NULL, &etag, &error);
    put(live, "empty", "", NULL, &empty_etag, &error);
    g_assert_no_error(error);
    const Driver *driver = live->driver;
    g_assert_true(driver->read_object(live->instance, NULL, live->container, "r", 3, 4, etag, buffer, &length,
                                      NULL, &error));
    g_assert_cmpmem(buffer, length, "3456", 4);
    g_assert_true(driver->read_object(live->instance, NULL, live->container, "r", 8, 40, etag, buffer,
                                      &length, NULL, &error));
    g_assert_cmpmem(buffer, length, "89", 2);
    g_assert_true(driver->read_object(live->instance, NULL, live->container, "r", 10, 4, etag, buffer,
                                      &length, NULL, &error));
    g_assert_cmpuint(length, ==, 0);
    g_assert_true(driver->read_object(live->instance, NULL, live->container, "empty", 0, 4, empty_etag,
                                      buffer, &length, NULL, &error));
    g_assert_cmpuint(length, ==, 0);
    g_assert_no_error(error);
    g_assert_null(get(live, "r", "ffffffffffffffffffffffffffffffff", &error));
    g_assert_error(error, STORAGEFS_ERROR, ERROR_CHANGED);
    g_clear_error(&error);
    g_assert_null(get(live, "missing", NULL, &error));
    g_assert_error(error, STORAGEFS_ERROR, ERROR_NOT_FOUND);
}

static void
test_metadata(Live *live, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GHashTable) metadata = metadata_new();
    g_hash_table_insert(metadata, g_strdup("filename"), g_strdup("\xc3\xa9t\xc3\xa9 \xe2\x82\xac.txt"));
    g_hash_table_insert(metadata, g_strdup("plain"), g_strdup("value, with: signs"));
    g_hash_table_insert(metadata, g_strdup("empty"), g_strdup(""));
    g_hash_table_insert(metadata, g_strdup("lines"), g_strdup("a\nb\r\nX-Evil: 1"));
    g_hash_table_insert(metadata, g_strdup("word"), g_strdup("=?UTF-8?B?w6k=?="));
    g_hash_table_insert(metadata, g_strdup("long"), g_strnfill(250, 'x'));
    WriteOptions options = {.content_type = "image/png", .metadata = metadata};
    put(live, "m", "x", &options, NULL, &error);
    g_assert_no_error(error);
    for (int round = 0; round < 3; round++) {
        g_auto(ObjectInfo) info = {0};
        const char *key = round == 1 ? "m2" : "m";
        CopySource source = {live->container, "m", NULL};
        if (round == 1)
            live->driver->copy_object(live->instance, NULL, &source, live->container, "m2", NULL, NULL,
                                      &error);
        if (round == 2) {
            g_hash_table_insert(metadata, g_strdup("plain"), g_strdup("new"));
            live->driver->set_metadata(live->instance, NULL, live->container, "m", NULL, "text/plain",
                                       metadata, NULL, &error);
        }
        g_assert_no_error(error);
        live->driver->stat_object(live->instance, NULL, live->container, key, &info, &error);
        g_assert_no_error(error);
        g_assert_cmpstr(info.content_type, ==, round == 2 ? "text/plain" : "image/png");
        GHashTableIter iterator;
        gpointer name, value;
        g_hash_table_iter_init(&iterator, metadata);
        while (g_hash_table_iter_next(&iterator, &name, &value)) {
            /* Not every service keeps an empty value. */
            if (*(char *)value)
                g_assert_cmpstr(g_hash_table_lookup(info.metadata, name), ==, value);
        }
    }
}

static void
test_conditions(Live *live, gconstpointer data)
{
    const Capabilities *can = &live->capabilities;
    g_autofree char *first = NULL, *second = NULL;
    g_autoptr(GError) error = NULL;
    g_test_message("absent %d etag %d, commit %d %d, delete %d, copy source %d, copy part %d",
                   can->write_if_absent, can->write_if_etag, can->commit_if_absent, can->commit_if_etag,
                   can->delete_if_etag, can->copy_checks_source, can->copy_part);
    put(live, "c", "1", NULL, &first, &error);
    g_assert_no_error(error);
    if (can->write_if_absent == CONDITION_ATOMIC) {
        WriteOptions absent = {.if_absent = TRUE};
        put(live, "c", "2", &absent, NULL, &error);
        g_assert_error(error, STORAGEFS_ERROR, ERROR_EXISTS);
        g_clear_error(&error);
        put(live, "new", "2", &absent, NULL, &error);
        g_assert_no_error(error);
    }
    WriteOptions exact = {.if_etag = first};
    put(live, "c", "22", &exact, &second, &error);
    g_assert_no_error(error);
    if (can->write_if_etag == CONDITION_ATOMIC) {
        put(live, "c", "3", &exact, NULL, &error);
        g_assert_error(error, STORAGEFS_ERROR, ERROR_CHANGED);
        g_clear_error(&error);
        live->driver->delete_object(live->instance, NULL, live->container, "c", NULL, &error);
        g_assert_no_error(error);
        exact.if_etag = second;
        put(live, "c", "3", &exact, NULL, &error);
        g_assert_error(error, STORAGEFS_ERROR, ERROR_CHANGED);
        g_clear_error(&error);
        put(live, "c", "22", NULL, NULL, &error);
    }
    CopySource source = {live->container, "c", first};
    live->driver->copy_object(live->instance, NULL, &source, live->container, "c2", NULL, NULL, &error);
    g_assert_error(error, STORAGEFS_ERROR, ERROR_CHANGED);
    g_clear_error(&error);
    source.if_etag = second;
    WriteOptions absent = {.if_absent = TRUE};
    live->driver->copy_object(live->instance, NULL, &source, live->container, "c2", &absent, NULL, &error);
    g_assert_no_error(error);
    live->driver->copy_object(live->instance, NULL, &source, live->container, "c2", &absent, NULL, &error);
    g_assert_error(error, STORAGEFS_ERROR, ERROR_EXISTS);
    g_clear_error(&error);
    if (can->delete_if_etag == CONDITION_ATOMIC) {
        live->driver->delete_object(live->instance, NULL, live->container, "c", first, &error);
        g_assert_error(error, STORAGEFS_ERROR, ERROR_CHANGED);
        g_clear_error(&error);
    }
    live->driver->delete_object(live->instance, NULL, live->container, "c", NULL, &error);
    live->driver->delete_object(live->instance, NULL, live->container, "c", NULL, &error);
    g_assert_no_error(error);
}

static void
test_multipart(Live *live, gconstpointer data)
{
    enum { FIRST_BYTES = 5 << 20 };
    const Driver *driver = live->driver;
    g_autoptr(GError) error = NULL;
    g_autofree char *big = g_strnfill(FIRST_BYTES, 'a');
    g_autofree char *id = NULL;
    WriteOptions options = {.content_type = "text/plain"};
    g_auto(ObjectInfo) info = {0}, seen = {0};
    UploadPart parts[3] = {{0}};
    guint count = 0;
    ByteSource first = text_source(big), last = text_source("tail");
    driver->write_object(live->instance, NULL, live->container, "src", &first, NULL, NULL, &error);
    driver->begin_upload(live->instance, NULL, live->container, "big key", &options, &id, &error);
    g_assert_no_error(error);
    driver->put_part(live->instance, NULL, live->container, "big key", id, 1, &first, &parts[count++],
                     &error);
    g_assert_no_error(error);
    if (live->capabilities.copy_part) {
        CopySource source = {live->container, "src", NULL};
        driver->copy_part(live->instance, NULL, live->container, "big key", id, 2, &source, 0, FIRST_BYTES,
                          &parts[count++], &error);
        g_assert_no_error(error);
    }
    driver->put_part(live->instance, NULL, live->container, "big key", id, 3, &last, &parts[count++], &error);
    driver->commit_upload(live->instance, NULL, live->container, "big key", id, parts, count, &options, &info,
                          &error);
    g_assert_no_error(error);
    driver->stat_object(live->instance, NULL, live->container, "big key", &seen, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(seen.size_bytes, ==, (count - 1) * (guint64)FIRST_BYTES + 4);
    g_assert_cmpuint(info.size_bytes, ==, seen.size_bytes);
    g_assert_cmpstr(seen.content_type, ==, "text/plain");
    if (info.etag)
        g_assert_cmpstr(info.etag, ==, seen.etag);
    for (guint i = 0; i < count; i++)
        upload_part_clear(&parts[i]);
    driver->abort_upload(live->instance, NULL, live->container, "big key", "nosuchupload", &error);
    g_assert_no_error(error);
}

static void
test_refusals(Live *live, gconstpointer data)
{
    const Driver *driver = NULL;
    g_autoptr(GError) error = NULL;
    g_auto(ObjectInfo) info = {0};
    ContainerInfo container = {0};
    driver = live->driver;
    driver->stat_container(live->instance, NULL, "storagefs-no-such-container", &container, &error);
    g_assert_error(error, STORAGEFS_ERROR, ERROR_NOT_FOUND);
    g_clear_error(&error);
    driver->create_container(live->instance, NULL, live->container, &error);
    g_assert_error(error, STORAGEFS_ERROR, ERROR_EXISTS);
    g_clear_error(&error);
    put(live, "x", "x", NULL, NULL, NULL);
    driver->delete_container(live->instance, NULL, live->container, &error);
    g_assert_error(error, STORAGEFS_ERROR, ERROR_NOT_EMPTY);
    g_clear_error(&error);
    if (g_getenv("STORAGEFS_S3_UNCHECKED"))
        return;
    DriverInstance *wrong = open_with_secret(&driver, "WRONGSECRET");
    driver->stat_object(wrong, NULL, live->container, "x", &info, &error);
    g_assert_error(error, STORAGEFS_ERROR, ERROR_DENIED);
    g_clear_error(&error);
    driver->stat_container(wrong, NULL, live->container, &container, &error);
    g_assert_error(error, STORAGEFS_ERROR, ERROR_DENIED);
    g_test_message("%s", error->message);
    driver->close(wrong);
}

/* The URL works for a client without credentials, also for a key that has to be encoded. */
static void
test_url(Live *live, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *url = NULL, *output = NULL;
    int status = 0;
    put(live, "u r+l/%\xc3\xa9", "by url", NULL, NULL, &error);
    live->driver->sign_url(live->instance, live->container, "u r+l/%\xc3\xa9", 60, &url, &error);
    g_assert_no_error(error);
    char *arguments[] = {(char *)"curl", (char *)"-s", (char *)"--fail", url, NULL};
    g_spawn_sync(NULL, arguments, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &output, NULL, &status, &error);
    g_assert_no_error(error);
    g_assert_cmpint(status, ==, 0);
    g_assert_cmpstr(output, ==, "by url");
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    if (!g_getenv("STORAGEFS_S3_ENDPOINT")) {
        g_print("STORAGEFS_S3_ENDPOINT is not set\n");
        return 77;
    }
    g_test_add("/s3/live/keys", Live, NULL, set_up, test_keys, tear_down);
    g_test_add("/s3/live/folders", Live, NULL, set_up, test_folders, tear_down);
    g_test_add("/s3/live/reads", Live, NULL, set_up, test_reads, tear_down);
    g_test_add("/s3/live/metadata", Live, NULL, set_up, test_metadata, tear_down);
    g_test_add("/s3/live/conditions", Live, NULL, set_up, test_conditions, tear_down);
    g_test_add("/s3/live/multipart", Live, NULL, set_up, test_multipart, tear_down);
    g_test_add("/s3/live/refusals", Live, NULL, set_up, test_refusals, tear_down);
    g_test_add("/s3/live/url", Live, NULL, set_up, test_url, tear_down);
    return g_test_run();
}
