/* Copies on the server and changes of metadata, whole and by parts; how much metadata there may be. */
#include "tests/unit/storage_fixture.h"

#include <string.h>

static void
test_copy(StorageFixture *fixture, gconstpointer data)
{
    g_autofree char *etag = storage_fixture_put(fixture, "k", "text");
    const CopySource source = {.container = "c", .key = "k", .if_etag = etag},
                     stale = {"c", "k", "no such version"};
    const WriteOptions absent = {.if_absent = TRUE};
    g_auto(ObjectInfo) info = {0};
    g_autoptr(GError) error = NULL;
    g_assert_true(storage_copy_object(fixture->storage, NULL, &source, 4, "c", "copy", NULL, &info, NULL));
    g_assert_nonnull(info.etag);
    storage_fixture_assert_holds(fixture, "copy", "text");
    g_assert_false(storage_copy_object(fixture->storage, NULL, &stale, 4, "c", "copy", NULL, NULL, &error));
    g_assert_error(error, STORAGEFS_ERROR, ERROR_CHANGED);
    g_clear_error(&error);
    g_assert_false(
        storage_copy_object(fixture->storage, NULL, &source, 4, "c", "copy", &absent, NULL, &error));
    g_assert_error(error, STORAGEFS_ERROR, ERROR_EXISTS);
    g_clear_error(&error);
    storage_fixture_fail(fixture, MEMORY_COPY_OBJECT, 1, ERROR_UNAVAILABLE, TRUE);
    storage_copy_object(fixture->storage, NULL, &source, 4, "c", "fresh", &absent, NULL, &error);
    g_assert_no_error(error);
}

#define LARGE_KEYS "etags = counter\nmaximum_copy = 1M\nminimum_part = 1M\nmaximum_part = 1M\n"
#define LARGE_BYTES (5 * (1 << 20) + 17)

static char *
put_large(StorageFixture *fixture, const char *key, Metadata *metadata)
{
    g_autofree char *text = g_malloc(LARGE_BYTES + 1);
    for (gsize i = 0; i < LARGE_BYTES; i++)
        text[i] = (char)('a' + i * 31 % 23);
    text[LARGE_BYTES] = '\0';
    const WriteOptions options = {.content_type = "text/x", .metadata = metadata};
    g_assert_true(storage_fixture_write(fixture, key, text, &options, NULL, NULL));
    return g_steal_pointer(&text);
}

static void
assert_large(StorageFixture *fixture, const char *key, const char *text)
{
    g_autofree char *buffer = g_malloc(LARGE_BYTES + 1);
    gsize length = 0;
    g_assert_true(storage_read_object(fixture->storage, NULL, "c", key, 0, LARGE_BYTES + 1, NULL, buffer,
                                      &length, NULL, NULL));
    g_assert_cmpuint(length, ==, LARGE_BYTES);
    g_assert_cmpint(memcmp(buffer, text, LARGE_BYTES), ==, 0);
}

static void
test_large_copy_by_parts(StorageFixture *fixture, gconstpointer data)
{
    g_autoptr(GHashTable) metadata = metadata_new();
    g_hash_table_insert(metadata, g_strdup("mtime"), g_strdup("1.5"));
    g_autofree char *text = put_large(fixture, "k", metadata);
    const CopySource source = {.container = "c", .key = "k"};
    g_auto(ObjectInfo) info = {0}, found = {0};
    GError *error = NULL;
    storage_fixture_fail(fixture, MEMORY_COPY_PART, 2, ERROR_UNAVAILABLE, FALSE);
    storage_copy_object(fixture->storage, NULL, &source, LARGE_BYTES, "c", "copy", NULL, &info, &error);
    g_assert_no_error(error);
    g_assert_nonnull(info.etag);
    g_assert_cmpuint(info.size_bytes, ==, LARGE_BYTES);
    g_assert_cmpuint(storage_fixture_count(fixture, MEMORY_COPY_PART), ==, 8);
    assert_large(fixture, "copy", text);
    g_assert_true(storage_stat_object(fixture->storage, NULL, "c", "copy", &found, NULL));
    g_assert_cmpstr(found.content_type, ==, "text/x");
    g_assert_cmpstr(g_hash_table_lookup(found.metadata, "mtime"), ==, "1.5");
}

static void
test_large_copy_that_fails_leaves_nothing(StorageFixture *fixture, gconstpointer data)
{
    g_autofree char *text = put_large(fixture, "k", NULL);
    const CopySource source = {.container = "c", .key = "k"};
    const MemoryFault fault = {
        .operation = MEMORY_COPY_PART, .nth = 3, .times = 1, .fails = TRUE, .code = ERROR_DENIED};
    g_auto(ObjectInfo) found = {0};
    g_autoptr(GError) error = NULL;
    memory_fault_add(fixture->store, &fault);
    g_assert_false(
        storage_copy_object(fixture->storage, NULL, &source, LARGE_BYTES, "c", "copy", NULL, NULL, &error));
    g_assert_error(error, STORAGEFS_ERROR, ERROR_DENIED);
    g_assert_cmpuint(storage_fixture_count(fixture, MEMORY_ABORT_UPLOAD), ==, 1);
    g_assert_false(storage_stat_object(fixture->storage, NULL, "c", "copy", &found, NULL));
}

static void
test_metadata_of_a_large_object(StorageFixture *fixture, gconstpointer data)
{
    g_autofree char *text = put_large(fixture, "k", NULL);
    g_autoptr(GHashTable) metadata = metadata_new();
    g_auto(ObjectInfo) known = {0}, found = {0};
    GError *error = NULL;
    g_hash_table_insert(metadata, g_strdup("a"), g_strdup("1"));
    g_assert_true(storage_stat_object(fixture->storage, NULL, "c", "k", &known, NULL));
    storage_fixture_fail(fixture, MEMORY_SET_METADATA, 1, ERROR_TOO_LARGE, FALSE);
    storage_set_metadata(fixture->storage, NULL, "c", "k", &known, "text/y", metadata, NULL, &error);
    g_assert_no_error(error);
    g_assert_true(storage_stat_object(fixture->storage, NULL, "c", "k", &found, NULL));
    g_assert_cmpstr(found.content_type, ==, "text/y");
    g_assert_cmpstr(g_hash_table_lookup(found.metadata, "a"), ==, "1");
    assert_large(fixture, "k", text);
}

static void
test_set_metadata_lost_reply(StorageFixture *fixture, gconstpointer data)
{
    g_autofree char *etag = storage_fixture_put(fixture, "k", "text");
    g_autoptr(GHashTable) metadata = metadata_new();
    const ObjectInfo known = {.etag = etag, .size_bytes = 4};
    GError *error = NULL;
    g_hash_table_insert(metadata, g_strdup("a"), g_strdup("1"));
    storage_fixture_fail(fixture, MEMORY_SET_METADATA, 1, ERROR_UNAVAILABLE, TRUE);
    storage_set_metadata(fixture->storage, NULL, "c", "k", &known, "text/y", metadata, NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(storage_fixture_count(fixture, MEMORY_SET_METADATA), ==, 1);
}

/* A service may send what HTTP lets through; nobody keeps megabytes for one object. */
static void
test_too_much_metadata(StorageFixture *fixture, gconstpointer data)
{
    g_autofree char *etag = storage_fixture_put(fixture, "k", "text");
    g_auto(ObjectInfo) info = {0}, read_info = {0};
    g_autoptr(GError) error = NULL;
    char buffer[8];
    gsize length = 0;
    lock_acquire(&fixture->store->lock);
    g_autoptr(MemoryObject) object = memory_store_get_object_locked(fixture->store, "c", "k", NULL);
    object->metadata = object->metadata ? object->metadata : metadata_new();
    g_hash_table_insert(object->metadata, g_strdup("x"), g_strnfill(DRIVER_MAX_METADATA_BYTES - 1, 'y'));
    lock_release(&fixture->store->lock);
    g_assert_true(storage_stat_object(fixture->storage, NULL, "c", "k", &info, &error));
    g_assert_cmpuint(g_hash_table_size(info.metadata), ==, 1);
    object_info_clear(&info);
    lock_acquire(&fixture->store->lock);
    g_hash_table_insert(object->metadata, g_strdup("z"), g_strdup(""));
    lock_release(&fixture->store->lock);
    g_assert_false(storage_stat_object(fixture->storage, NULL, "c", "k", &info, &error));
    g_assert_error(error, STORAGEFS_ERROR, ERROR_PROTOCOL);
    g_assert_null(info.metadata);
    g_assert_true(
        storage_read_object(fixture->storage, NULL, "c", "k", 0, 4, etag, buffer, &length, &read_info, NULL));
    g_assert_cmpuint(length, ==, 4);
    g_assert_null(read_info.metadata);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    storage_fixture_add("/storage-copy/copy", test_copy, NULL);
    storage_fixture_add("/storage-copy/copy-best-effort", test_copy,
                        STORAGE_FIXTURE_KEYS "copy_checks_source = no\nconditional_write = no\n");
    storage_fixture_add("/storage-copy/large-copy-by-parts", test_large_copy_by_parts, LARGE_KEYS);
    storage_fixture_add("/storage-copy/large-copy-that-fails-leaves-nothing",
                        test_large_copy_that_fails_leaves_nothing, LARGE_KEYS);
    storage_fixture_add("/storage-copy/metadata-of-a-large-object", test_metadata_of_a_large_object,
                        LARGE_KEYS);
    storage_fixture_add("/storage-copy/too-much-metadata", test_too_much_metadata, NULL);
    storage_fixture_add("/storage-copy/set-metadata-lost-reply", test_set_metadata_lost_reply, NULL);
    return g_test_run();
}
