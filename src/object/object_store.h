/* What all open objects of the daemon share: the byte budget, the block cache, staging and recovery
 * directories, the list of uploads. One per mount.
 */
#pragma once

#include "src/base/call.h"
#include "src/object/disk_cache.h"
#include "src/object/journal_record.h"
#include "src/storage/storage.h"

#include <glib.h>

typedef struct ObjectStore ObjectStore;

typedef struct {
    gint64 memory_limit_bytes; /* hard bound of read-ahead, block cache and part buffers */
    const char *staging_dir;   /* private; staged bytes of open files lie here without a name */
    const char *recovery_dir;  /* private; what could not be published */
    const char *objects_dir;   /* private; the disk cache's */
    gint64 cache_size_bytes;   /* 0: there is no disk cache */
    /* Of `durability = journal`; NULL: no storage may have it. Then: bytes, 0 no limit; how long another
     * daemon that ends with this journal is waited for. */
    const char *journal_dir;
    gint64 journal_size_bytes, journal_wait_us;
} ObjectStoreSettings;

/* Makes the directories (0700); refuses those others own. Fails: IO, DENIED, NOT_PERMITTED (another daemon
 * has the journal). */
ObjectStore *object_store_new(const ObjectStoreSettings *settings, GError **error);
/* Every file must be closed. */
void object_store_free(ObjectStore *store);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ObjectStore, object_store_free)

/* Blocks until no publication is running or waiting, or the call ends. */
gboolean object_store_drain(ObjectStore *store, Call *call, GError **error);

gboolean object_store_has_journal(ObjectStore *store);
/* The records that the journal had at the beginning, one by one; the caller's, NULL when there is none any
 * more: for object_file_restore(), or to be kept as strays, whose storage is not there (takes record). */
JournalRecord *object_store_take_record(ObjectStore *store);
void object_store_add_stray(ObjectStore *store, JournalRecord *record, const char *why);
/* The configuration was read again: files of the journal's whose storage had this one's name and place go on
 * with this one (object_file_rebind()). Blocks: yes. */
void object_store_rebind(ObjectStore *store, Storage *storage);
/* Strays of this storage, which was not there, or could not be had, are records again. */
void object_store_recall_strays(ObjectStore *store, Storage *storage);
/* Uploads from the journal begin. */
void object_store_start_journal(ObjectStore *store);
/* What waits is tried at once, whatever it has waited for. */
void object_store_hurry_uploads(ObjectStore *store);
/* object_store_end_journal() will try nothing any more. */
void object_store_leave_uploads(ObjectStore *store);
/* They end, and the journal lets go of its files; what waits is tried once more before, within the call,
 * unless it is left. */
void object_store_end_journal(ObjectStore *store, Call *call);

typedef enum { UPLOAD_WRITING, UPLOAD_PUBLISHING, UPLOAD_PARKED, UPLOAD_WAITING } UploadState;
typedef struct {
    char *id; /* of what can be retried, exported, dropped; NULL: that cannot */
    char *storage, *container, *key;
    UploadState state; /* WAITING: in the journal; PARKED: there, or in the recovery directory */
    guint64 size_bytes, sent_bytes;
    gint64 age_us;
    guint attempts;
    char *last_error;    /* NULL none */
    char *recovery_path; /* PARKED: of the file that has the bytes, if it is a plain one */
} UploadStatus;
/* Open files with unpublished bytes, running publications, and what the recovery directory holds.
 * GPtrArray of UploadStatus *, freed with it. */
GPtrArray *object_store_list_uploads(ObjectStore *store);
/* id: UploadStatus.id. All fail with NOT_FOUND when there is none. retry: in the journal only. */
gboolean object_store_retry_upload(ObjectStore *store, const char *id, GError **error);
/* The bytes are gone, durably. Its name shows what the storage has. Blocks: yes. */
gboolean object_store_drop_upload(ObjectStore *store, const char *id, GError **error);
/* Writes its whole content to the new file `path`, durably. Fails: EXISTS, NO_SPACE, and what reading the
 * storage reports. Blocks: yes. */
gboolean object_store_export_upload(ObjectStore *store, Call *call, const char *id, const char *path,
                                    GError **error);

typedef struct {
    guint64 memory_limit_bytes, memory_used_bytes, memory_peak_bytes;
    guint64 block_hits, block_misses, read_ahead_bytes, read_ahead_wasted_bytes;
    guint64 staged_bytes, publications, publication_failures;
    guint open_files;
    guint64 journal_bytes, journal_limit_bytes; /* limit 0: none */
    guint journal_waiting, journal_parked;
} ObjectStoreStatistics;
void object_store_get_statistics(ObjectStore *store, ObjectStoreStatistics *out);
/* Not on, without a reason: cache_size is 0. */
void object_store_get_disk_cache(ObjectStore *store, DiskCacheStatistics *out);
