/* Storages for tests, made from configuration text as the daemon makes them. */
#pragma once

#include "src/storage/storage.h"

/* Settings from `text`, which is written to a private file first. Fails as settings_load(). */
Settings *storage_fixture_load(const char *text, GError **error);
/* The same, which must succeed. */
Settings *storage_fixture_settings(const char *text);

/* The storage of "[storage s]\ndriver = memory\n" and `keys`; not connected. */
Storage *storage_fixture_memory(const char *keys);

/* Reads from a NUL-terminated text. */
ByteSource storage_fixture_text(const char *text);
