/* One configured storage: the only caller of drivers.
 *
 * Adds to a driver what every storage needs: retries inside the call's deadline (retry.c), read_only,
 * the lanes its work runs on, what its endpoint can do, health, counters. Reference counted, thread-safe.
 *
 * A storage that cannot be reached does not block anything else: operations fail with its error, and heal by
 * themselves. The probe runs once in the background after storage_connect(); operations that depend on what
 * it finds (conditional writes) wait for it inside their deadline.
 */
#pragma once

#include "src/base/call.h"
#include "src/base/worker_pool.h"
#include "src/storage/driver.h"
#include "src/storage/settings.h"

#include <glib.h>

typedef struct Storage Storage;

/* Opens the driver's instance. No network. settings are copied. Fails: BAD_CONFIG. */
Storage *storage_new(const StorageSettings *settings, GError **error);
Storage *storage_ref(Storage *storage);
void storage_unref(Storage *storage);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Storage, storage_unref)

const char *storage_get_name(Storage *storage);
const StorageSettings *storage_get_settings(Storage *storage); /* borrowed, immutable */
const char *storage_get_place(Storage *storage);               /* Driver.describe_place; borrowed */
gboolean storage_is_file_system(Storage *storage);             /* used through storage_file_*() */
guint64 storage_get_id(Storage *storage); /* unique in this process, stable hash of the name: for st_ino */

/* Takes over what was learned about this place by trying, and what a process that is gone left unfinished
 * there; keeps in this directory what will be. Before storage_connect(). */
void storage_keep_state_in(Storage *storage, const char *state_dir);
/* Starts probing and making `create_containers`, in the background. Once. */
void storage_connect(Storage *storage);
/* Blocks until the probe has answered or failed. Fails with the probe's error. For `check`. */
gboolean storage_wait_connected(Storage *storage, Call *call, GError **error);
/* Tries conditional writes in a container that the configuration names, on objects of our own.
 * storage_connect() does it only where the preset does not know whether whole objects are written under
 * conditions. For `check`. */
void storage_try_conditions(Storage *storage, Call *call);
/* A new Call with this storage's timeout. */
Call *storage_new_call(Storage *storage);

typedef enum {
    STORAGE_LANE_CALLS,    /* requests of the kernel */
    STORAGE_LANE_TRANSFERS /* ranges, parts, HEADs that a call waits for; never waits for a lane itself */
} StorageLane;
/* Borrowed: whoever pushes holds a reference until the push has returned; a task may drop the last one. */
WorkerPool *storage_get_lane(Storage *storage, StorageLane lane);

/* What is in force now. */
void storage_get_capabilities(Storage *storage, Capabilities *out);
/* The same, but waits for the probe first (inside call's deadline). When the endpoint does not answer, the
 * preset's values are given: the write itself will report. */
void storage_await_capabilities(Storage *storage, Call *call, Capabilities *out);

typedef enum { STORAGE_CONNECTING, STORAGE_UP, STORAGE_DOWN } StorageState;
typedef struct {
    StorageState state;
    char *last_error; /* masked text of the last failure, NULL none */
    gint64 last_error_age_us;
    guint64 requests, retries, failures, body_bytes_sent, body_bytes_received;
} StorageHealth;
/* A file system that was missing is looked for again, in the background. */
void storage_get_health(Storage *storage, StorageHealth *out);
void storage_health_clear(StorageHealth *health);
/* How long an answer is worth waiting for, to those who can do without: much less when the last request had
 * none, and 0 when a look had none a moment ago. Then the service is asked in the background meanwhile. */
#define STORAGE_SHORT_PATIENCE_US (2 * (gint64)G_USEC_PER_SEC)
gint64 storage_get_patience_us(Storage *storage);
/* A look had no answer. */
void storage_note_silent(Storage *storage);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(StorageHealth, storage_health_clear)

/* The operations of driver.h with retries. Contracts as there; beside them READ_ONLY, and UNSUPPORTED where
 * the table is NULL. Transient failures are repeated with jittered back-off (Retry-After obeyed) until the
 * call's deadline; a write that may have happened is looked up before it is repeated, and counts as done when
 * what is stored has our size and metadata. */
gboolean storage_check_container_name(Storage *storage, const char *name, GError **error);
gboolean storage_check_key(Storage *storage, const char *key, GError **error);
gboolean storage_check_metadata_name(Storage *storage, const char *name, GError **error);
gboolean storage_check_metadata(Storage *storage, Metadata *metadata, GError **error);
/* Honours `containers =`: those names alone, without asking the service, which may not have all of them;
 * storage_lists_unseen() says that it is so. */
gboolean storage_lists_unseen(Storage *storage);
gboolean storage_list_containers(Storage *storage, Call *call, GArray **out_containers, GError **error);
gboolean storage_stat_container(Storage *storage, Call *call, const char *container, ContainerInfo *out,
                                GError **error);
gboolean storage_create_container(Storage *storage, Call *call, const char *container, GError **error);
gboolean storage_delete_container(Storage *storage, Call *call, const char *container, GError **error);
gboolean storage_list_objects(Storage *storage, Call *call, const char *container, const ListQuery *query,
                              ListPage *out, GError **error);
/* More than DRIVER_MAX_METADATA_BYTES of metadata is PROTOCOL here, and not known (NULL) after a read. */
gboolean storage_stat_object(Storage *storage, Call *call, const char *container, const char *key,
                             ObjectInfo *out, GError **error);
gboolean storage_read_object(Storage *storage, Call *call, const char *container, const char *key,
                             guint64 offset, gsize length_bytes, const char *if_etag, void *buffer,
                             gsize *out_length_bytes, ObjectInfo *out_info, GError **error);
/* Where the service has no condition that options ask for, looks first (HEAD), then writes: best effort. */
gboolean storage_write_object(Storage *storage, Call *call, const char *container, const char *key,
                              const ByteSource *source, const WriteOptions *options, ObjectInfo *out_info,
                              GError **error);
/* Whether what was found (by a look after it) is what a write or commit with these options would have stored,
 * one of which nobody knows whether it was carried out. FALSE when there is nothing that could tell. No I/O.
 */
gboolean storage_holds_write(const ObjectInfo *found, guint64 size_bytes, const WriteOptions *options);
gboolean storage_delete_object(Storage *storage, Call *call, const char *container, const char *key,
                               const char *if_etag, GError **error);
/* Any size: above maximum_copy_bytes by parts in parallel (source size must then be given, else 0). */
gboolean storage_copy_object(Storage *storage, Call *call, const CopySource *source,
                             guint64 source_size_bytes, const char *container, const char *key,
                             const WriteOptions *options, ObjectInfo *out_info, GError **error);
gboolean storage_set_metadata(Storage *storage, Call *call, const char *container, const char *key,
                              const ObjectInfo *known, const char *content_type, Metadata *metadata,
                              ObjectInfo *out_info, GError **error);
gboolean storage_begin_upload(Storage *storage, Call *call, const char *container, const char *key,
                              const WriteOptions *options, char **out_upload_id, GError **error);
gboolean storage_put_part(Storage *storage, Call *call, const char *container, const char *key,
                          const char *upload_id, guint number, const ByteSource *source, UploadPart *out,
                          GError **error);
gboolean storage_copy_part(Storage *storage, Call *call, const char *container, const char *key,
                           const char *upload_id, guint number, const CopySource *source, guint64 offset,
                           guint64 length_bytes, UploadPart *out, GError **error);
/* Conditions as at storage_write_object. *out_info always has etag and size (asked for where Complete does
 * not say). NOT_FOUND after a repeat is looked up before it counts. */
gboolean storage_commit_upload(Storage *storage, Call *call, const char *container, const char *key,
                               const char *upload_id, const UploadPart *parts, guint part_count,
                               const WriteOptions *options, guint64 size_bytes, ObjectInfo *out_info,
                               GError **error);
gboolean storage_abort_upload(Storage *storage, Call *call, const char *container, const char *key,
                              const char *upload_id, GError **error);
/* Gives an upload up for good, whatever became of the call that made it: aborts it now, or, when the storage
 * does not answer, in the background when it does; what cannot be aborted is logged. Blocks: yes. */
void storage_discard_upload(Storage *storage, const char *container, const char *key, const char *upload_id);
gboolean storage_sign_url(Storage *storage, const char *container, const char *key, char **out_url,
                          GError **error);
/* The FileOperations of a file system's driver with read_only applied, NULL for object services. */
const FileOperations *storage_get_files(Storage *storage);
DriverInstance *storage_get_instance(Storage *storage); /* only for calling storage_get_files() */
