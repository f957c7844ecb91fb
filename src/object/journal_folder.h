/* The journal's directory: records and data files, and what makes them outlast a crash.
 *
 *   ID.record           what an object that is not stored yet consists of, see journal_record.h
 *   ID-N.data           its bytes, when they are many; sparse, at the object's own offsets
 *   lock                held by the daemon that uses the directory
 *   unreadable/         records that could not be understood, or were left when their object was made anew;
 *                       data files that may belong to them
 *
 * A record is written beside its place, forced to disk, and renamed onto it; it names a data file that is on
 * disk already. So at any moment the directory holds each object as it was last committed, whole. Names are
 * forced to disk by one fsync for all who wait for one at the time. Thread-safe.
 */
#pragma once

#include "src/object/journal_record.h"

#include <glib.h>

typedef struct JournalFolder JournalFolder;

/* Makes it (0700) and locks it. Another daemon that still ends is waited for, wait_us at most. Fails:
 * NOT_PERMITTED (another daemon uses it), DENIED, IO. Blocks: yes. */
JournalFolder *journal_folder_open(const char *path, gint64 wait_us, GError **error);
void journal_folder_close(JournalFolder *folder);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(JournalFolder, journal_folder_close)
const char *journal_folder_get_path(const JournalFolder *folder);
int journal_folder_get_fd(const JournalFolder *folder);

/* Before anything is written: all records in the order they were made, GPtrArray of JournalRecord. What is
 * unreadable is moved aside and logged; of two records of one object the older one is removed, and so are
 * data files that no record names. Nothing is removed unless all names were listed. Fails: IO and what else
 * the disk reports. */
GPtrArray *journal_folder_load(JournalFolder *folder, GError **error);
/* Names in unreadable/ now; caller unrefs. */
GPtrArray *journal_folder_list_unreadable(JournalFolder *folder);
/* For records that are made now. */
guint64 journal_folder_take_id(JournalFolder *folder);
guint64 journal_folder_take_sequence(JournalFolder *folder);

/* Durable when it returns, in place of the earlier record of its id. Fails: NO_SPACE, IO. *out_written is
 * TRUE also when it has taken that place and only its name could not be forced to disk: then a crash may
 * leave either. Blocks: yes. */
gboolean journal_folder_write(JournalFolder *folder, const JournalRecord *record, gboolean *out_written,
                              GError **error);
/* Record, then data; durable when it returns. Nothing happens when there is none. */
gboolean journal_folder_remove(JournalFolder *folder, const JournalRecord *record, GError **error);
/* Into unreadable/, with its data: another record of its object is to be written, which does not replace it.
 */
gboolean journal_folder_set_aside(JournalFolder *folder, const JournalRecord *record, GError **error);
/* Of a data file that no record names any more. */
void journal_folder_remove_data(JournalFolder *folder, const char *data_name);
