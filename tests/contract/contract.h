/* What the contract tests share: one opened driver, one container of their own, short ways to write and read.
 *
 * The suite is one program for all drivers; the configuration comes from the command line (see
 * contract_suite.c). What a driver cannot do by its capabilities is skipped, everything else must be as
 * src/storage/driver.h says.
 */
#pragma once

#include "src/storage/driver.h"

typedef struct {
    const Driver *driver;
    DriverInstance *instance;
    Capabilities can;
    char *container;  /* made by contract_open, emptied before each test */
    gboolean is_mock; /* moto: no keys with control characters, and conditions are not atomic */
} Contract;
extern Contract contract;

/* Opens the storage that `config_path` describes in its one [storage NAME] section. Ends the program on
 * errors. */
void contract_open_storage(const char *config_path);
/* The same, makes a container in it and probes it. */
void contract_open(const char *config_path);
void contract_close(void);
/* A test that begins with an empty container. */
void contract_add(const char *path, void (*test)(void));
/* Deletes all objects of a container. */
void contract_empty(const char *container);

/* Bytes that differ at every place; seed makes several of them. Caller frees. */
guint8 *contract_make_bytes(gsize length, guint seed);
/* A source over memory that the caller keeps. */
ByteSource contract_source(const void *bytes, gsize length);
/* Stores an object, must succeed. Returns its etag (caller frees). */
char *contract_put(const char *key, const void *bytes, gsize length, const WriteOptions *options);
/* One write under conditions; nothing is asserted. */
gboolean contract_try_put(const char *key, const void *bytes, gsize length, const WriteOptions *options,
                          GError **error);
/* Reads the whole object in one go and compares. */
void contract_assert_content(const char *key, const void *bytes, gsize length);
void contract_assert_absent(const char *key);
/* `error` is set with this code; clears it. */
void contract_assert_code(GError **error, ErrorCode code);
/* One name and value. Caller unrefs. */
Metadata *contract_make_metadata(const char *name, const char *value);
void contract_assert_metadata(const ObjectInfo *info, const char *name, const char *value);

void contract_add_containers(void);
void contract_add_objects(void);
void contract_add_metadata(void);
void contract_add_list(void);
void contract_add_conditions(void);
void contract_add_copies(void);
void contract_add_multipart(void);
void contract_add_calls(void);
