/* The inside of an ObjectFile, for the files of this folder that implement it:
 *
 *   object_file.c          life, attributes, changes        object_file_copy.c     copy_range, loan.c
 *   object_file_publish.c  the publication's states         file_content.c         bytes by extents
 *   object_file_place.c    rename, drop                     object_file_journal.c  what is in the journal
 *   publication.c          what is sent to the storage      stream_upload.c        parts that go out while
 *   object_file_doubt.c    whether it has arrived           writing
 *   object_file_space.c    what of the journal's size it uses
 *   object_file_remove.c   unlink of what waits, is open    object_file_base.c     completing the base
 *   object_file_rebind.c   the storage's new settings
 */
#pragma once

#include "src/base/lock.h"
#include "src/object/extent_map.h"
#include "src/object/journal.h"
#include "src/object/object_file.h"
#include "src/object/object_store_private.h"
#include "src/object/part_layout.h"
#include "src/object/staging_file.h"

#include <glib.h>

typedef struct StreamUpload StreamUpload;

struct ObjectFile {
    gint references;
    ObjectStore *store;
    Storage *storage; /* read by object_file_get_storage(), as it changes under the token `changing` */
    GPtrArray *former_storages; /* NULL: none; they live as long as the file, for whoever still uses one */
    ObjectFileEvents events;
    gboolean exclusive;
    GList link; /* in the store's list */

    /* Guarded by lock. Extents, size and staging change only under the token `changing` (one writer) or
     * `publishing` (clean ranges are put into the staging file); `changed` is woken when either ends. */
    Lock lock;
    Condition changed;
    gboolean changing, publishing, dropped;
    gboolean parked; /* nobody has it open, and the recovery directory has what could not be published */

    char *container, *key;
    ObjectVersion *base; /* NULL: does not exist yet */
    ObjectInfo info;     /* of base */
    gboolean bare;       /* base was taken over without its metadata, which `others` lacks */
    int cached_fd; /* of the disk cache, with all bytes of base; -1: none was asked for, or there is none */
    guint64 generation; /* grows when bytes get another place or ETag: reads of the old one begin again */

    ExtentMap *extents;
    StagingFile *staging; /* made by the first change; stays until the file is clean and closed */
    gboolean content_dirty;
    guint64 changes, saved_changes; /* content changes made; those the recovery directory has */

    FileAttributes attributes;
    unsigned explicit_attributes; /* FILE_SET_* somebody asked for since the last publication */
    gboolean attributes_dirty;
    char *content_type;
    Metadata *others;

    Attempt *attempt;  /* what the running publication stores; changed under the token `publishing` */
    GPtrArray *doubts; /* of Attempt, latest first; NULL: none; changed under either token */
    GError *failure;   /* of the last publication; NULL: it succeeded */
    gboolean lost;     /* another writer won: never published again */
    guint attempts;
    gint64 dirty_since_us;
    Call *publication_call; /* of the running publication: a drop cancels it; borrowed */

    guint handles;

    /* The journal (object_file_journal.c). */
    gboolean journalled;      /* close and fsync commit to it; never changes */
    JournalEntry *entry;      /* NULL: nothing is committed that is not stored */
    JournalRecord *committed; /* as it is on disk; under the token `changing` */
    gboolean linked;          /* the staging file is the data file of `committed` */
    gboolean uploading;       /* the publication that runs is the journal's */
    guint data_files;         /* names given so far */
    guint64 attribute_changes, committed_changes, committed_attribute_changes;
    gboolean completed;     /* the base's metadata came after `committed`, which has none of it */
    guint64 committed_base; /* id of the version that `committed` refers to; 0 none */
    guint64 journal_bytes;  /* of the journal's size */
    guint releasing;        /* left the journal: the owner is being told */

    /* Streaming (stream_upload.c). */
    gboolean layout_known, streams;
    PartLayout layout;
    guint64 run_start, frontier; /* forward writing: from, to */
    guint next_part;             /* the first part that did not go out in this run */
    guint64 next_part_end;       /* what the frontier must reach */
    StreamUpload *upload;
    guint tasks; /* of uploads, given up ones too: they read the staging file */
};

/* Waits until no change and no publication runs, then keeps both away. They have their own time: the call's
 * deadline does not end the wait. Fails: CANCELLED. */
gboolean object_file_begin_change(ObjectFile *file, Call *call, GError **error);
/* Both with the lock held: marks content as changed now; ends the change. */
void object_file_touch_locked(ObjectFile *file) REQUIRES(file->lock);
void object_file_end_change_locked(ObjectFile *file) REQUIRES(file->lock);
/* A change of this range failed: the staging file may have some of its bytes. Clean bytes come from their
 * version again; what was written before counts as changed. Under the token, with the lock held. */
void object_file_note_torn_locked(ObjectFile *file, guint64 offset, guint64 length_bytes)
    REQUIRES(file->lock);
/* TRUE when what failed with CHANGED met a version that this mount has replaced, perhaps without knowing it:
 * it begins again with what is there now. The caller has no token. Blocks: until no change and no publication
 * runs, and for a look when it is in doubt. */
gboolean object_file_was_republished(ObjectFile *file, Call *call, guint64 generation);
/* A reference, unless the last one is gone already. */
gboolean object_file_ref_if_alive(ObjectFile *file);
/* The staging file, made if there is none; under a token. */
StagingFile *object_file_prepare_staging(ObjectFile *file);
/* Writes to the staging file, which is made when there is none. Fails: as staging_file_write(). */
gboolean object_file_stage(ObjectFile *file, guint64 offset, const void *data, gsize length_bytes,
                           GError **error);
/* After a failure of the staging file to take so many bytes: TRUE when it is NO_SPACE and the disk cache has
 * given way, then *failure is gone and it is to be tried again; else *failure is moved to *error. attempts
 * begins at 0. Blocks: for local disk. */
gboolean object_file_make_way(ObjectFile *file, guint64 length_bytes, guint *attempts, GError **failure,
                              GError **error);
/* Fails: TOO_LARGE. */
gboolean object_file_check_size(ObjectFile *file, guint64 offset, guint64 length_bytes, GError **error);

Storage *object_file_get_storage(const ObjectFile *file); /* borrowed */

/* "storage/container/key" for messages. */
char *object_file_describe(ObjectFile *file);

/* object_file_base.c: what goes with a base of which only the version was known when the file was changed is
 * fetched. Does nothing for other files. Under a token. Fails: CHANGED (another object is there now, or
 * none), and what the look fails with. Blocks: yes. */
gboolean object_file_complete_base(ObjectFile *file, Call *call, GError **error);
/* The base for a record: without metadata (NULL) it is to be completed by whoever restores it, too. */
void object_file_fill_base_locked(const ObjectFile *file, ObjectInfo *out);
/* What came by the base after the state that is committed becomes part of its record. */
void object_file_complete_record_locked(ObjectFile *file, JournalRecord *record);
/* Attributes that the storage has, where nobody has set others here. */
void object_file_take_attributes_locked(ObjectFile *file, const FileAttributes *attributes);

/* object_file_doubt.c: whether a publication failed and may have been carried out all the same. */
gboolean object_file_is_doubtful(ObjectFile *file);
/* object_file_settle_doubt() under a token. *out_found: what is stored, when that was found to be ours; the
 * owner is to be told (object_file_tell_published), with no lock and no token held. */
gboolean object_file_settle_held_doubt(ObjectFile *file, Call *call, ObjectInfo *out_found, GError **error);
/* What may arrive under the name that it gets is not somebody else's: these (NULL: none) are its doubts from
 * now on. Under a token. */
void object_file_inherit_doubts(ObjectFile *file, const GPtrArray *attempts);
/* Tells the owner, unless `stored` is empty. */
void object_file_tell_published(ObjectFile *file, const ObjectInfo *stored);
/* record->earlier: what the storage may have beside the record's own state, which the file had after
 * so many changes. */
void object_file_list_attempts_locked(const ObjectFile *file, guint64 changes, JournalRecord *record);

/* object_file_remove.c: nobody knows how a removal of the file ended, because the process died, or got no
 * answer. *out_removed: nothing is stored any more, and the file is dropped. Does nothing for other files.
 * The caller has no token. Fails: IO (it is open; later), and what a look fails with. */
gboolean object_file_finish_removal(ObjectFile *file, Call *call, gboolean *out_removed, GError **error);
/* Drops it, and tells the owner that it has left the journal. */
void object_file_discard(ObjectFile *file);

gboolean object_file_needs_publication_locked(const ObjectFile *file);
/* What the journal's threads do. LATER: it is being written again, and not committed; or it was, just now,
 * because nobody had it open any more. */
typedef enum { OBJECT_FILE_UPLOADED, OBJECT_FILE_LATER, OBJECT_FILE_FAILED } ObjectFileUpload;
ObjectFileUpload object_file_upload(ObjectFile *file, Call *call, GError **error);

/* object_file_journal.c. All of it does nothing for a file that has nothing to do with the journal. */
gboolean object_file_uses_journal(ObjectFile *file);
gboolean object_file_is_committed_locked(const ObjectFile *file);
guint64 object_file_get_base_id_locked(const ObjectFile *file); /* 0: none */
/* object_file_space.c. Before bytes of the journal's size are written, without a token. Fails: NO_SPACE.
 * Blocks: yes. */
gboolean object_file_take_space(ObjectFile *file, Call *call, guint64 bytes, GError **error);
/* What is used is what is there. */
void object_file_settle_space_locked(ObjectFile *file) REQUIRES(file->lock);
/* Before the staging file is changed in this range, under the token: what is committed stays as it is. */
gboolean object_file_protect(ObjectFile *file, guint64 offset, guint64 length_bytes, GError **error);
/* Around the end of a publication: nobody commits or changes meanwhile. end: what is stored leaves the
 * journal, and its owner is told; with stored_some, what is not is committed on top of what now is. */
void object_file_begin_record(ObjectFile *file);
void object_file_end_record(ObjectFile *file, gboolean stored_some);
/* The record names the attempt that begins, unless it is of the record's own state. Blocks: for local disk.
 */
void object_file_note_attempt(ObjectFile *file);
/* The record goes for good. */
void object_file_drop_record(ObjectFile *file);
/* Under the token: the record gets the file's name and base, and is of no removal any more. */
gboolean object_file_rename_record(ObjectFile *file, GError **error);
/* The same under the name that it has; it says whether the stored version is being deleted. */
gboolean object_file_note_deletion(ObjectFile *file, gboolean deleting, GError **error);
/* What became of the last attempt; WAITING: it will be tried again. */
void object_file_note_parked(ObjectFile *file, JournalEntry *entry, JournalParking parking,
                             const char *last_error);
/* The journal stops: the record stays on disk. */
void object_file_leave_journal(ObjectFile *file);

/* Nobody has it open and it is stored: what is here is not needed. */
void object_file_forget_local(ObjectFile *file);

/* The handle's last use: publishes or saves what is left, then forgets local copies of a clean object. */
void object_file_publish_at_close(ObjectFile *file, Call *call);

void object_file_add_handle(ObjectFile *file);
/* TRUE: it was the last one. */
gboolean object_file_drop_handle(ObjectFile *file);

/* For the store's lists. NULL when nothing is unpublished. */
UploadStatus *object_file_new_status(ObjectFile *file);
void object_file_count(ObjectFile *file, guint *inout_open, guint64 *inout_staged_bytes);
