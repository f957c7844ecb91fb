/* Storages for tests, made from configuration text as the daemon makes them. */
#pragma once

#include "drivers/memory/memory.h"
#include "drivers/memory/memory_fault.h"
#include "src/storage/storage.h"

/* Settings from `text`, which is written to a private file first. Fails as settings_load(). */
Settings *storage_fixture_load(const char *text, GError **error);
/* The same, which must succeed. */
Settings *storage_fixture_settings(const char *text);

/* The storage of "[storage s]\ndriver = memory\n" and `keys`; not connected. */
Storage *storage_fixture_memory(const char *keys);

/* Reads from a NUL-terminated text. */
ByteSource storage_fixture_text(const char *text);

/* A memory storage "s" with a container "c", and the service behind it. */
typedef struct {
    Storage *storage;
    MemoryStore *store;
} StorageFixture;

/* Every write gives another ETag. */
#define STORAGE_FIXTURE_KEYS "etags = counter\n"

/* Registers a test; keys: of the storage, NULL for STORAGE_FIXTURE_KEYS. */
void storage_fixture_add(const char *path, void (*test)(StorageFixture *fixture, gconstpointer keys),
                         const char *keys);
/* The next `times` (0: all) calls fail; with lost_reply only after they took effect. */
void storage_fixture_fail(StorageFixture *fixture, MemoryOperation operation, guint times, ErrorCode code,
                          gboolean lost_reply);
guint64 storage_fixture_count(StorageFixture *fixture, MemoryOperation operation);
gboolean storage_fixture_write(StorageFixture *fixture, const char *key, const char *text,
                               const WriteOptions *options, ObjectInfo *out, GError **error);
/* Writes, which must succeed, and gives the ETag. */
char *storage_fixture_put(StorageFixture *fixture, const char *key, const char *text);
void storage_fixture_assert_holds(StorageFixture *fixture, const char *key, const char *text);
