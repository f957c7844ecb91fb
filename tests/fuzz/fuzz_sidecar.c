/* Metadata files that other programs keep: NAME.metadata.json beside an object of a local storage, and
 * NAME.info in the recovery directory. Read as text, or refused; what is written over one is read as the
 * same. */
#include "drivers/local/local.h"
#include "src/object/object_store.h"
#include "src/object/recovery.h"
#include "src/storage/settings.h"
#include "tests/fuzz/fuzz.h"

#include <glib/gstdio.h>
#include <string.h>

static DriverInstance *local;

void
fuzz_begin(void)
{
    static const char text[] = "[storage s]\ndriver = local\npath = .\nsidecar = sqlalchemy-file\n";
    static const char *const folders[] = {"container", "saved/s/c"};
    g_autoptr(GError) error = NULL;
    g_autofree char *path = fuzz_path("storagefs.conf");
    for (gsize i = 0; i < G_N_ELEMENTS(folders); i++) {
        g_autofree char *folder = fuzz_path(folders[i]);
        g_assert_cmpint(g_mkdir_with_parents(folder, 0700), ==, 0);
    }
    fuzz_write("storagefs.conf", text, strlen(text));
    fuzz_write("container/key", "bytes", 5);
    fuzz_write("saved/s/c/key", "bytes", 5);
    g_autoptr(Settings) settings = settings_load(path, &error);
    g_assert_no_error(error);
    const StorageSettings *storage = g_ptr_array_index(settings->storages, 0);
    local = local_driver.open(storage->driver_name, storage->section, &error);
    g_assert_no_error(error);
}

static void
check_equal(Metadata *a, Metadata *b)
{
    GHashTableIter iter;
    gpointer name, value;
    g_assert_cmpuint(g_hash_table_size(a), ==, g_hash_table_size(b));
    g_hash_table_iter_init(&iter, a);
    while (g_hash_table_iter_next(&iter, &name, &value))
        g_assert_cmpstr(g_hash_table_lookup(b, name), ==, value);
}

static void
check_metadata(Metadata *metadata)
{
    GHashTableIter iter;
    gpointer name, value;
    g_hash_table_iter_init(&iter, metadata);
    while (g_hash_table_iter_next(&iter, &name, &value)) {
        fuzz_check_utf8(name);
        fuzz_check_utf8(value);
    }
}

static void
read_sidecar(void)
{
    g_autoptr(GError) error = NULL;
    g_auto(ObjectInfo) info = {0}, again = {0};
    if (!local_driver.stat_object(local, NULL, "container", "key", &info, &error)) {
        fuzz_check_error(error);
        return;
    }
    check_metadata(info.metadata);
    /* Names that the driver itself would not take are kept only as long as nobody writes. */
    if (!local_driver.set_metadata(local, NULL, "container", "key", NULL, NULL, info.metadata, NULL,
                                   &error)) {
        fuzz_check_error(error);
        return;
    }
    g_assert_true(local_driver.stat_object(local, NULL, "container", "key", &again, &error));
    check_equal(info.metadata, again.metadata);
}

static void
list_saved(const FuzzInput *input)
{
    g_autofree char *folder = fuzz_path("saved");
    g_autoptr(GPtrArray) found = g_ptr_array_new();
    fuzz_write("saved/s/c/key.info", input->at, fuzz_left(input));
    recovery_list(folder, found);
    for (guint i = 0; i < found->len; i++) {
        UploadStatus *status = g_ptr_array_index(found, i);
        g_assert_true(recovery_is_id(status->id));
        g_assert_cmpuint(status->size_bytes, ==, 5);
        fuzz_check_utf8(status->key);
        g_free(status->id);
        g_free(status->storage);
        g_free(status->container);
        g_free(status->key);
        g_free(status->last_error);
        g_free(status->recovery_path);
        g_free(status);
    }
}

void
fuzz_one(FuzzInput *input)
{
    fuzz_write("container/key.metadata.json", input->at, fuzz_left(input));
    read_sidecar();
    list_saved(input);
}
