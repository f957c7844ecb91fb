/* The journal of `durability = journal`: objects that are on this machine's disk and on their way to their
 * storages.
 *
 * Each ObjectFile with committed bytes has one JournalEntry, and the journal keeps the file alive. Threads of
 * each storage's own store the entries, in the background, as often as it takes:
 *
 *   state     means                                                     next
 *   IDLE      is being written again: waits for its next commit         WAITING by that, retry, or last close
 *   WAITING   to be stored when its time has come                       QUEUED
 *   QUEUED    waits for a thread of its storage                         RUNNING, WAITING
 *   RUNNING   is being stored                                           ended; WAITING (transient failures,
 *                                                                       after 1 s, 2 s, ... 5 min); PARKED
 *   PARKED    cannot be stored as things are: waits for the user        WAITING by retry, or a new commit
 *
 * An entry ends when the service has confirmed the object, or when the object is removed or dropped here.
 * What lies on disk is journal_folder.h's; what is committed and when, object_file_journal.c's.
 */
#pragma once

#include "src/base/lock.h"
#include "src/object/journal_folder.h"
#include "src/object/object_store.h"

#include <glib.h>

typedef struct ObjectFile ObjectFile;
typedef struct Journal Journal;
typedef struct JournalEntry JournalEntry;

/* wait_us as journal_folder_open(). limit_bytes: of what it holds, 0 none. Fails: IO, DENIED, NOT_PERMITTED.
 */
Journal *journal_open(const char *path, gint64 limit_bytes, gint64 wait_us, GError **error);
/* After journal_stop(), and the files are freed. */
void journal_free(Journal *journal);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Journal, journal_free)
JournalFolder *journal_get_folder(Journal *journal);

/* From now on entries are stored. */
void journal_start(Journal *journal);
/* What waits is tried at once. */
void journal_hurry(Journal *journal);
/* Tries everything that waits at once, and once. Returns when nothing is under way any more, or the call
 * ends. */
void journal_drain(Journal *journal, Call *call);
/* Gives up what runs, waits for its end, and lets go of all files. What is on disk stays there. */
void journal_stop(Journal *journal);

/* What was found on disk; each is taken once, NULL when none is left. The caller's. */
JournalRecord *journal_take_loaded(Journal *journal);
/* Cannot be stored: its storage is not there, or another one. Kept, listed, exported and dropped. Takes
 * record. */
void journal_add_stray(Journal *journal, JournalRecord *record, const char *why);

/* Those of this storage are taken by journal_take_loaded() again. */
void journal_recall_strays(Journal *journal, Storage *storage);

/* Before the record is written: other strays of its object leave the list, and go to unreadable/. Else the
 * next mount would find two records, and take the older one for replaced. Fails: IO. Blocks: yes. */
gboolean journal_yield_strays(Journal *journal, const JournalRecord *record, GError **error);

/* Takes bytes of the journal's size. Waits for others to be stored while they can be. Fails: NO_SPACE (full,
 * and nothing left in time), CANCELLED. Blocks: yes. */
gboolean journal_take_space(Journal *journal, Call *call, guint64 bytes, GError **error);
/* The same without waiting, over the limit when need be. */
void journal_use_space(Journal *journal, guint64 bytes);
void journal_give_space(Journal *journal, guint64 bytes);

/* What a restart found: it waits, after so many failed attempts. */
void journal_entry_resume(JournalEntry *entry, guint attempts, const char *last_error);
guint journal_entry_get_attempts(JournalEntry *entry);
/* A new entry, IDLE, with a reference of file. */
JournalEntry *journal_add(Journal *journal, ObjectFile *file, guint64 id, gint64 since_us);
void journal_entry_park(JournalEntry *entry, JournalParking parking, const char *last_error);
/* It was committed (again): it waits, unless a conflict parked it. */
void journal_entry_commit(JournalEntry *entry);
/* Its last close could not commit what was written again: that is tried after a while. */
void journal_entry_defer(JournalEntry *entry);
/* Its storage has other settings: it is tried with them at once, unless a conflict parked it. */
void journal_entry_rebind(JournalEntry *entry, Storage *storage);
/* It is stored, or never will be. Gives back the journal's reference of the file, and may free the entry; no
 * lock held. */
void journal_entry_end(JournalEntry *entry);
guint64 journal_entry_get_id(const JournalEntry *entry);
JournalParking journal_entry_get_parking(JournalEntry *entry);
/* Adds state, age, attempts, last_error, id. */
void journal_entry_fill_status(JournalEntry *entry, UploadStatus *status);

/* For object_store.h. */
void journal_list_strays(Journal *journal, GPtrArray *out);
void journal_get_counts(Journal *journal, ObjectStoreStatistics *out);
/* The file of an entry: a reference, or NULL. */
ObjectFile *journal_find(Journal *journal, guint64 id);
/* What waits, rests or is parked is tried at once. */
void journal_retry(JournalEntry *entry);
gboolean journal_drop_stray(Journal *journal, const char *id, GError **error);
/* Copies what of it is here to the file `fd`; the rest is left as holes. */
gboolean journal_export_stray(Journal *journal, const char *id, int fd, GError **error);
