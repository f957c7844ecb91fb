/* Open objects on a memory storage: the store, its directories, and short ways to open, read and compare. */
#pragma once

#include "src/object/object_file.h"
#include "src/object/object_store.h"
#include "tests/unit/storage_fixture.h"

typedef struct {
    StorageFixture base; /* storage "s" with container "c" */
    ObjectStore *store;
    char *folder; /* staging and recovery below it */
    char *recovery, *journal;
    gint64 journal_size_bytes; /* of the next store */
    gboolean keeps_uploads;    /* a test that makes aborting fail too */
} ObjectFixture;

/* Small parts, so that tests need no gigabytes: 64 KiB wanted, 16 KiB at least. */
#define OBJECT_FIXTURE_KEYS "etags = counter\nminimum_part = 16K\npart_size = 64K\ntimeout = 1\n"

/* keys: of the storage, NULL for OBJECT_FIXTURE_KEYS. */
void object_fixture_add(const char *path, void (*test)(ObjectFixture *fixture, gconstpointer keys),
                        const char *keys);

/* OBJECT_FIXTURE_KEYS with a journal. */
#define OBJECT_FIXTURE_JOURNAL_KEYS OBJECT_FIXTURE_KEYS "durability = journal\n"
/* The store anew, from what is on disk in `journal` (NULL: where it was); uploads do not begin. Every file
 * must be closed. */
void object_fixture_restart(ObjectFixture *fixture, const char *journal);

/* A file that does not exist yet, or (FALSE: the object must exist) as the storage has it now. */
ObjectFile *object_fixture_create(ObjectFixture *fixture, const char *key);
ObjectFile *object_fixture_look_up(ObjectFixture *fixture, const char *key);
/* The same with a handle for reading and writing; close with object_fixture_close(). */
FileHandle *object_fixture_open(ObjectFixture *fixture, const char *key, gboolean create);
/* flush and close, as close(2) does. */
gboolean object_fixture_flush(FileHandle *handle, GError **error);
void object_fixture_close(FileHandle *handle);

/* Each must succeed. */
void object_fixture_flush_and_close(FileHandle *handle);
void object_fixture_write_forward(FileHandle *handle, const guint8 *data, gsize length_bytes, gsize piece);
void object_fixture_write(FileHandle *handle, guint64 offset, const void *data, gsize length_bytes);
GBytes *object_fixture_read(FileHandle *handle, guint64 offset, gsize length_bytes);
gboolean object_fixture_try_read(FileHandle *handle, guint64 offset, gsize length_bytes, GBytes **out,
                                 GError **error);
/* Bytes that depend on seed and position, so that misplaced ones are seen. */
guint8 *object_fixture_pattern(guint32 seed, gsize length_bytes);
/* Puts an object past the store, as another client would. */
void object_fixture_put(ObjectFixture *fixture, const char *key, const void *data, gsize length_bytes);
void object_fixture_assert_stored(ObjectFixture *fixture, const char *key, const void *data,
                                  gsize length_bytes);
/* Unfinished uploads in the service. */
guint object_fixture_count_uploads(ObjectFixture *fixture);
/* MEMORY_ANY: all but probes. */
guint64 object_fixture_calls(ObjectFixture *fixture, MemoryOperation operation);
