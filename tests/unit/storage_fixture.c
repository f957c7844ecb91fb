/* Storages for tests. */
#include "tests/unit/storage_fixture.h"

#include <glib/gstdio.h>
#include <string.h>

Settings *
storage_fixture_load(const char *text, GError **error)
{
    g_autofree char *directory = g_dir_make_tmp("storagefs-test-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(directory, "storagefs.conf", NULL);
    g_assert_true(g_file_set_contents_full(path, text, -1, G_FILE_SET_CONTENTS_NONE, 0600, NULL));
    Settings *settings = settings_load(path, error);
    g_remove(path);
    g_rmdir(directory);
    return settings;
}

Settings *
storage_fixture_settings(const char *text)
{
    GError *error = NULL;
    Settings *settings = storage_fixture_load(text, &error);
    g_assert_no_error(error);
    return settings;
}

Storage *
storage_fixture_memory(const char *keys)
{
    GError *error = NULL;
    g_autofree char *text = g_strdup_printf("[storage s]\ndriver = memory\n%s\n", keys);
    g_autoptr(Settings) settings = storage_fixture_settings(text);
    Storage *storage = storage_new(g_ptr_array_index(settings->storages, 0), &error);
    g_assert_no_error(error);
    return storage;
}

static gboolean
read_text(gpointer data, guint64 offset, void *buffer, gsize length_bytes, GError **error)
{
    memcpy(buffer, (const char *)data + offset, length_bytes);
    return TRUE;
}

ByteSource
storage_fixture_text(const char *text)
{
    return (ByteSource){.size_bytes = strlen(text), .read = read_text, .data = (gpointer)text};
}

static void
set_up(StorageFixture *fixture, gconstpointer keys)
{
    fixture->storage = storage_fixture_memory(keys ? keys : STORAGE_FIXTURE_KEYS);
    fixture->store = memory_get_store(storage_get_instance(fixture->storage));
    if (storage_get_settings(fixture->storage)->read_only)
        return;
    g_assert_true(storage_create_container(fixture->storage, NULL, "c", NULL));
    memory_fault_reset_counts(fixture->store);
}

static void
tear_down(StorageFixture *fixture, gconstpointer keys)
{
    storage_unref(fixture->storage);
}

void
storage_fixture_add(const char *path, void (*test)(StorageFixture *fixture, gconstpointer keys),
                    const char *keys)
{
    g_test_add(path, StorageFixture, keys, set_up, test, tear_down);
}

void
storage_fixture_fail(StorageFixture *fixture, MemoryOperation operation, guint times, ErrorCode code,
                     gboolean lost_reply)
{
    const MemoryFault fault = {
        .operation = operation, .times = times, .fails = TRUE, .code = code, .lost_reply = lost_reply};
    memory_fault_add(fixture->store, &fault);
}

guint64
storage_fixture_count(StorageFixture *fixture, MemoryOperation operation)
{
    return memory_fault_get_count(fixture->store, operation);
}

gboolean
storage_fixture_write(StorageFixture *fixture, const char *key, const char *text, const WriteOptions *options,
                      ObjectInfo *out, GError **error)
{
    ByteSource source = storage_fixture_text(text);
    return storage_write_object(fixture->storage, NULL, "c", key, &source, options, out, error);
}

char *
storage_fixture_put(StorageFixture *fixture, const char *key, const char *text)
{
    g_auto(ObjectInfo) info = {0};
    GError *error = NULL;
    storage_fixture_write(fixture, key, text, NULL, &info, &error);
    g_assert_no_error(error);
    return g_steal_pointer(&info.etag);
}

void
storage_fixture_assert_holds(StorageFixture *fixture, const char *key, const char *text)
{
    char buffer[256];
    gsize length = 0;
    GError *error = NULL;
    storage_read_object(fixture->storage, NULL, "c", key, 0, sizeof buffer, NULL, buffer, &length, NULL,
                        &error);
    g_assert_no_error(error);
    g_assert_cmpmem(buffer, length, text, strlen(text));
}
