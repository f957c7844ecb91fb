/* The open state of one object: one version of it, and what was changed here since.
 *
 * All handles of a name that see the same version share one ObjectFile, so a writer's bytes are seen by every
 * reader of the mount at once. Content is an extent map: ranges that come from a pinned version (this
 * object's or, after copy_file_range, another one's), from the staging file, or are zeros. Reads of pinned
 * versions carry If-Match: bytes of two versions are never mixed.
 *
 *   state        may                                            next
 *   CLEAN        read                                           DIRTY by write, truncate, attributes
 *   DIRTY        read, write; full parts go out meanwhile       PUBLISHING by flush, fsync, close
 *   PUBLISHING   read; writers wait                             CLEAN, or FAILED
 *   FAILED       read, write; flush tries again unless CHANGED  PUBLISHING; last close: recovery directory
 *   DROPPED      (unlinked) read, write; never published        end at the last close
 *
 * A file whose bytes the last close had to save in the recovery directory is DROPPED too, until somebody
 * opens it again: then it is FAILED, as it was.
 */
#pragma once

#include "src/object/attributes.h"
#include "src/object/file_handle.h"
#include "src/object/journal_record.h"
#include "src/object/object_store.h"

#include <glib.h>

typedef struct ObjectFile ObjectFile;

/* Told with no lock held, on the thread that did it. `stored` is what the service has now. */
typedef struct {
    void (*published)(gpointer owner, gpointer subject, ObjectFile *file, const ObjectInfo *stored);
    /* It has left the journal: whoever keeps it because object_file_is_in_use() asks again. Answers with
     * object_file_end_release(). */
    void (*released)(gpointer owner, gpointer subject, ObjectFile *file);
    gpointer owner, subject; /* who is told, and of what of its own */
} ObjectFileEvents;

/* version NULL: the object does not exist yet; it is created by the first publication, with If-None-Match
 * (exclusive: a lost race is EXISTS, else CHANGED). version->metadata must be known when the file may be
 * written. Strings are copied. */
ObjectFile *object_file_new(ObjectStore *store, Storage *storage, const char *container, const char *key,
                            const ObjectInfo *version, const FileAttributes *attributes, gboolean exclusive,
                            const ObjectFileEvents *events);
ObjectFile *object_file_ref(ObjectFile *file);
void object_file_unref(ObjectFile *file);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ObjectFile, object_file_unref)

/* What a HEAD told of the version that the file is CLEAN at, for one that was made without metadata (only
 * read until now): the attributes, and with known->metadata (NULL: not told) all the rest. Nothing happens
 * when it has metadata, is not CLEAN, or known->etag is another version. */
void object_file_learn(ObjectFile *file, const ObjectInfo *known, const FileAttributes *attributes);

/* What the journal found on disk, as it was committed. NULL when its data cannot be read; else it takes
 * record. */
ObjectFile *object_file_restore(ObjectStore *store, Storage *storage, JournalRecord *record,
                                const ObjectFileEvents *events, GError **error);
/* The configuration was read again: from now on `storage`, which has the same name and place, is the file's,
 * with its settings and secrets. What waits is tried with them at once, also what had been refused. A
 * publication that runs is waited for, one of the journal's is given up. Blocks: yes. */
void object_file_rebind(ObjectFile *file, Storage *storage);
/* It is, or was, committed to the journal; such a file stays with its key when a storage changes. */
gboolean object_file_is_journalled(ObjectFile *file);
/* TRUE while handles are open, or the journal has it to store. */
gboolean object_file_is_in_use(ObjectFile *file);
/* The journal has it to store. */
gboolean object_file_is_waiting(ObjectFile *file);
void object_file_end_release(ObjectFile *file);

/* A new handle; flags are FileHandle.flags (what they ask for has been done by the caller). Never blocks. */
FileHandle *object_file_open(ObjectFile *file, int flags);
guint object_file_get_handle_count(ObjectFile *file);
/* The file behind a handle that object_file_open() made; borrowed. */
ObjectFile *object_file_of_handle(FileHandle *handle);
/* Stored bytes were read through it. */
gboolean object_file_was_read(FileHandle *handle);

/* No I/O. */
void object_file_get_attributes(ObjectFile *file, FileAttributes *out);
/* The version reads are pinned to (etag, version id, type, metadata); `out` gets copies. */
void object_file_get_info(ObjectFile *file, ObjectInfo *out);
/* What it will be stored with: content type and all metadata, a copy and a reference. */
void object_file_get_metadata(ObjectFile *file, char **out_content_type, Metadata **out_metadata);
gboolean object_file_is_dirty(ObjectFile *file); /* content or attributes not published */
gboolean object_file_is_dropped(ObjectFile *file);

/* Waits for a running publication, then changes the size: DIRTY. */
gboolean object_file_truncate(ObjectFile *file, Call *call, guint64 size_bytes, GError **error);
/* The same when the file is shorter: never cuts. */
gboolean object_file_grow(ObjectFile *file, Call *call, guint64 size_bytes, GError **error);
/* valid: FILE_SET_MODE, _UID, _GID, _TIMES (mtime_ns). Kept with the file and published with its content;
 * a CLEAN file becomes DIRTY in attributes alone (set_metadata when published). */
void object_file_set_attributes(ObjectFile *file, unsigned valid, const FileAttributes *attributes);
/* Replaces user metadata (without ours, see attributes.h) and, unless NULL, the content type. */
void object_file_set_metadata(ObjectFile *file, const char *content_type, Metadata *others);

/* Other metadata were stored with the version `etag`, the file's own, by who did not have it open: `stored`
 * is what that has made of it, `attributes` are what it has there. What was set through the file since then
 * stays. FALSE, and nothing happens: the file is at another version by now. *out_overtaken: a publication was
 * or is under way that may end with the metadata from before; they are to be set again, through the file. */
gboolean object_file_take_metadata(ObjectFile *file, const char *etag, const ObjectInfo *stored,
                                   const FileAttributes *attributes, gboolean *out_overtaken);

/* Publishes content and attributes when DIRTY or FAILED; TRUE at once when CLEAN. Concurrent callers wait for
 * one publication that holds what each of them wrote before. On failure the bytes are saved in the recovery
 * directory where a retry cannot help (CHANGED, EXISTS, DENIED at last close ...).
 * Files that were copied from it and not published yet fetch those bytes first (loan.h).
 * TRUE too when it was dropped because a removal turned out to be done (object_file_remove()).
 * One PUT when small; parts (those that went out while writing are reused), clean ranges copied on the
 * server, a copy of a whole object by one CopyObject. Condition: the version it was opened as, or absence. */
gboolean object_file_publish(ObjectFile *file, Call *call, GError **error);

/* What close and fsync promise: published, or (durability = journal) durable in the journal. Fails as
 * object_file_publish(), in the journal: NO_SPACE, IO. */
gboolean object_file_sync(ObjectFile *file, Call *call, GError **error);

/* The object moved on the server (rename): from now on container/key/version name it. An unpublished object
 * (moved NULL) is simply published under its new name later. Waits for a running publication. Call it between
 * the copy and the removal of the old name: reads that met neither look again.
 * copied_etag: of the version that was copied. Fails: CHANGED, nothing moved, when the file is published as
 * another version by now, perhaps by a publication that counted as failed: that one is to be copied. And what
 * the look at such a one reports. */
gboolean object_file_move(ObjectFile *file, Call *call, const char *container, const char *key,
                          const char *copied_etag, const ObjectInfo *moved, GError **error);
/* For the file that takes its place: the version that the storage has (out->etag NULL: none, or not known)
 * and of Attempt, what it may have instead, or get yet. No I/O. */
GPtrArray *object_file_list_prospects(ObjectFile *file, ObjectInfo *out);
/* An object that was never stored gets another name, in place of the stored version `replaced` (NULL: of
 * nothing) and of `prospects` (NULL: none), which the record names from then on. Waits for a running
 * publication. Fails: CHANGED (it is stored by now, perhaps by an attempt that counted as failed), IO, and
 * what the storage reports. */
gboolean object_file_take_place(ObjectFile *file, Call *call, const char *container, const char *key,
                                const ObjectInfo *replaced, const GPtrArray *prospects, GError **error);
/* Unlinks what waits in the journal: deletes the version that the storage has, if any, and drops the file.
 * A failure that leaves a doubt (error_leaves_doubt()) may have deleted it all the same: whoever stores the
 * file next looks, and drops it then. After any other nothing has changed. Blocks: yes. */
typedef struct {
    gboolean (*run)(gpointer data, const char *etag, GError **error);
    gpointer data;
} ObjectFileDeletion;
gboolean object_file_remove(ObjectFile *file, Call *call, const ObjectFileDeletion *deletion, GError **error);
/* The name was unlinked or replaced: nothing is published any more, handles keep working. A publication that
 * runs is ended and waited for, so remove the object after this. What the journal had is gone, durably. */
void object_file_drop(ObjectFile *file);
/* The first half of it: what the journal has stays, until object_file_drop(). */
void object_file_end_publishing(ObjectFile *file);
/* After that: what is to be deleted in its name, for whoever finds it when this process is gone. A record
 * with `deleting` and without content, whose id and sequence are the caller's to give: `base` is the version
 * that the storage has, and each of `earlier` is one that it may have instead. NULL: nothing is stored, or
 * may be. No I/O. */
JournalRecord *object_file_make_removal(ObjectFile *file);
/* What was found under its name is what it says is to be deleted; may_be: or nobody knows, because what was
 * found has no metadata that could tell. */
gboolean object_file_is_removed(const JournalRecord *removal, const ObjectInfo *found);
gboolean object_file_may_be_removed(const JournalRecord *removal, const ObjectInfo *found);
/* Looks whether a publication that failed, or was ended, was carried out all the same: then the file is based
 * on what is stored (object_file_get_info() tells), so that what is clean can be had and lent again. No look
 * when there is no doubt. The caller has no token of any file. Blocks: yes. */
gboolean object_file_settle_doubt(ObjectFile *file, Call *call, GError **error);
/* Fetches what is not local into the staging file, so that the object may be deleted or replaced under open
 * handles. Fails: CHANGED, NO_SPACE ... */
gboolean object_file_detach(ObjectFile *file, Call *call, GError **error);

/* Records that bytes of `to` come from `from` (server-side copy at publication), see loan.h. Copied at once
 * is what the storage does not have: unpublished bytes, and those of a file that is DROPPED or was replaced.
 * Fails: OTHER_STORAGE, TOO_LARGE, and what reading and staging report. */
gboolean object_file_copy_range(ObjectFile *from, Call *call, guint64 from_offset, ObjectFile *to,
                                guint64 to_offset, guint64 length_bytes, guint64 *out_copied_bytes,
                                GError **error);
