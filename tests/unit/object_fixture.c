/* Open objects on a memory storage. */
#include "tests/unit/object_fixture.h"

#include "tests/unit/folder_fixture.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>

static void
open_store(ObjectFixture *fixture, const char *journal)
{
    GError *error = NULL;
    g_autofree char *staging = g_build_filename(fixture->folder, "staging", NULL);
    ObjectStoreSettings settings = {.memory_limit_bytes = 16 << 20,
                                    .staging_dir = staging,
                                    .recovery_dir = fixture->recovery,
                                    .journal_dir = journal,
                                    .journal_size_bytes = fixture->journal_size_bytes};
    fixture->store = object_store_new(&settings, &error);
    g_assert_no_error(error);
}

static void
close_store(ObjectFixture *fixture)
{
    ObjectStoreStatistics statistics;
    object_store_leave_uploads(fixture->store);
    object_store_end_journal(fixture->store, NULL);
    object_store_get_statistics(fixture->store, &statistics);
    g_assert_cmpuint(statistics.memory_peak_bytes, <=, statistics.memory_limit_bytes);
    object_store_free(fixture->store);
}

void
object_fixture_restart(ObjectFixture *fixture, const char *journal)
{
    close_store(fixture);
    open_store(fixture, journal != NULL ? journal : fixture->journal);
}

static void
set_up(ObjectFixture *fixture, gconstpointer keys)
{
    fixture->base.storage = storage_fixture_memory(keys != NULL ? keys : OBJECT_FIXTURE_KEYS);
    fixture->base.store = memory_get_store(storage_get_instance(fixture->base.storage));
    g_assert_true(storage_create_container(fixture->base.storage, NULL, "c", NULL));
    fixture->folder = g_dir_make_tmp("storagefs-object-XXXXXX", NULL);
    fixture->recovery = g_build_filename(fixture->folder, "recovery", NULL);
    fixture->journal = g_build_filename(fixture->folder, "journal", NULL);
    open_store(fixture, fixture->journal);
    memory_fault_reset_counts(fixture->base.store);
}

static void
tear_down(ObjectFixture *fixture, gconstpointer keys)
{
    close_store(fixture);
    if (!fixture->keeps_uploads)
        g_assert_cmpuint(object_fixture_count_uploads(fixture), ==, 0);
    storage_unref(fixture->base.storage);
    folder_fixture_remove(fixture->folder);
    g_free(fixture->folder);
    g_free(fixture->recovery);
    g_free(fixture->journal);
}

void
object_fixture_add(const char *path, void (*test)(ObjectFixture *fixture, gconstpointer keys),
                   const char *keys)
{
    g_test_add(path, ObjectFixture, keys, set_up, test, tear_down);
}

static const AttributeDefaults DEFAULTS = {0644, 0755, 1000, 1000};

ObjectFile *
object_fixture_create(ObjectFixture *fixture, const char *key)
{
    FileAttributes attributes = {.mode = S_IFREG | 0644, .mtime_ns = 1};
    return object_file_new(fixture->store, fixture->base.storage, "c", key, NULL, &attributes, FALSE, NULL);
}

ObjectFile *
object_fixture_look_up(ObjectFixture *fixture, const char *key)
{
    g_auto(ObjectInfo) info = {0};
    GError *error = NULL;
    FileAttributes attributes;
    storage_stat_object(fixture->base.storage, NULL, "c", key, &info, &error);
    g_assert_no_error(error);
    attributes_decode(&info, &DEFAULTS, &attributes);
    return object_file_new(fixture->store, fixture->base.storage, "c", key, &info, &attributes, FALSE, NULL);
}

FileHandle *
object_fixture_open(ObjectFixture *fixture, const char *key, gboolean create)
{
    g_autoptr(ObjectFile) file =
        create ? object_fixture_create(fixture, key) : object_fixture_look_up(fixture, key);
    return object_file_open(file, O_RDWR);
}

gboolean
object_fixture_flush(FileHandle *handle, GError **error)
{
    return handle->operations->flush(handle, NULL, TRUE, error);
}

void
object_fixture_close(FileHandle *handle)
{
    handle->operations->close(handle, NULL);
}

void
object_fixture_flush_and_close(FileHandle *handle)
{
    GError *error = NULL;
    object_fixture_flush(handle, &error);
    g_assert_no_error(error);
    object_fixture_close(handle);
}

void
object_fixture_write(FileHandle *handle, guint64 offset, const void *data, gsize length_bytes)
{
    GError *error = NULL;
    handle->operations->write(handle, NULL, offset, data, length_bytes, &error);
    g_assert_no_error(error);
}

gboolean
object_fixture_try_read(FileHandle *handle, guint64 offset, gsize length_bytes, GBytes **out, GError **error)
{
    g_auto(ReadVector) vector;
    read_vector_init(&vector);
    /* As the front does: at once when it can be. */
    if (!handle->operations->read_ready(handle, offset, length_bytes, &vector) &&
        !handle->operations->read(handle, NULL, offset, length_bytes, &vector, error))
        return FALSE;
    GByteArray *bytes = g_byte_array_new();
    for (guint i = 0; i < vector.count; i++)
        g_byte_array_append(bytes, vector.pieces[i].iov_base, (guint)vector.pieces[i].iov_len);
    g_assert_cmpuint(bytes->len, ==, vector.length_bytes);
    *out = g_byte_array_free_to_bytes(bytes);
    return TRUE;
}

GBytes *
object_fixture_read(FileHandle *handle, guint64 offset, gsize length_bytes)
{
    GError *error = NULL;
    GBytes *bytes = NULL;
    object_fixture_try_read(handle, offset, length_bytes, &bytes, &error);
    g_assert_no_error(error);
    return bytes;
}

guint8 *
object_fixture_pattern(guint32 seed, gsize length_bytes)
{
    guint8 *data = g_malloc(length_bytes + 1);
    guint32 state = seed * 2654435761u + 1;
    for (gsize i = 0; i < length_bytes; i++) {
        state = state * 1664525u + 1013904223u;
        data[i] = (guint8)(state >> 24);
    }
    return data;
}

void
object_fixture_write_forward(FileHandle *handle, const guint8 *data, gsize length_bytes, gsize piece)
{
    for (gsize done = 0; done < length_bytes; done += piece)
        object_fixture_write(handle, done, data + done, MIN(piece, length_bytes - done));
}

typedef struct {
    const guint8 *data;
} Bytes;

static gboolean
read_bytes(gpointer data, guint64 offset, void *buffer, gsize length_bytes, GError **error)
{
    memcpy(buffer, ((Bytes *)data)->data + offset, length_bytes);
    return TRUE;
}

void
object_fixture_put(ObjectFixture *fixture, const char *key, const void *data, gsize length_bytes)
{
    Bytes bytes = {data};
    ByteSource source = {length_bytes, read_bytes, &bytes};
    GError *error = NULL;
    storage_write_object(fixture->base.storage, NULL, "c", key, &source, NULL, NULL, &error);
    g_assert_no_error(error);
}

void
object_fixture_assert_stored(ObjectFixture *fixture, const char *key, const void *data, gsize length_bytes)
{
    g_autofree guint8 *buffer = g_malloc(length_bytes + 1);
    gsize got = 0;
    GError *error = NULL;
    storage_read_object(fixture->base.storage, NULL, "c", key, 0, length_bytes + 1, NULL, buffer, &got, NULL,
                        &error);
    g_assert_no_error(error);
    g_assert_cmpuint(got, ==, length_bytes);
    g_assert_true(memcmp(buffer, data, length_bytes) == 0);
}

guint
object_fixture_count_uploads(ObjectFixture *fixture)
{
    MemoryStore *store = fixture->base.store;
    lock_acquire(&store->lock);
    MemoryContainer *container = memory_store_get_container_locked(store, "c", NULL);
    guint count = g_hash_table_size(container->uploads);
    lock_release(&store->lock);
    return count;
}

guint64
object_fixture_calls(ObjectFixture *fixture, MemoryOperation operation)
{
    guint64 count = memory_fault_get_count(fixture->base.store, operation);
    /* The storage probes when it likes. */
    return operation == MEMORY_ANY ? count - memory_fault_get_count(fixture->base.store, MEMORY_PROBE)
                                   : count;
}
