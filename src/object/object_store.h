/* What all open objects of the daemon share: the byte budget, the block cache, staging and recovery
 * directories, the list of uploads. One per mount.
 */
#pragma once

#include "src/base/call.h"
#include "src/object/disk_cache.h"
#include "src/storage/storage.h"

#include <glib.h>

typedef struct ObjectStore ObjectStore;

typedef struct {
    gint64 memory_limit_bytes; /* hard bound of read-ahead, block cache and part buffers */
    const char *staging_dir;   /* private; staged bytes of open files lie here without a name */
    const char *recovery_dir;  /* private; what could not be published */
    const char *objects_dir;   /* private; the disk cache's */
    gint64 cache_size_bytes;   /* 0: there is no disk cache */
} ObjectStoreSettings;

/* Makes the directories (0700); refuses those others own. Fails: IO, DENIED. */
ObjectStore *object_store_new(const ObjectStoreSettings *settings, GError **error);
/* Every file must be closed. */
void object_store_free(ObjectStore *store);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ObjectStore, object_store_free)

/* Blocks until no publication is running or waiting, or the call ends. */
gboolean object_store_drain(ObjectStore *store, Call *call, GError **error);

typedef enum { UPLOAD_WRITING, UPLOAD_PUBLISHING, UPLOAD_PARKED } UploadState;
typedef struct {
    char *storage, *container, *key;
    UploadState state; /* PARKED: lies in the recovery directory */
    guint64 size_bytes, sent_bytes;
    gint64 age_us;
    guint attempts;
    char *last_error;    /* NULL none */
    char *recovery_path; /* PARKED */
} UploadStatus;
/* Open files with unpublished bytes, running publications, and what the recovery directory holds.
 * GPtrArray of UploadStatus *, freed with it. */
GPtrArray *object_store_list_uploads(ObjectStore *store);

typedef struct {
    guint64 memory_limit_bytes, memory_used_bytes, memory_peak_bytes;
    guint64 block_hits, block_misses, read_ahead_bytes, read_ahead_wasted_bytes;
    guint64 staged_bytes, publications, publication_failures;
    guint open_files;
} ObjectStoreStatistics;
void object_store_get_statistics(ObjectStore *store, ObjectStoreStatistics *out);
/* Not on, without a reason: cache_size is 0. */
void object_store_get_disk_cache(ObjectStore *store, DiskCacheStatistics *out);
