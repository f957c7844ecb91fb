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
