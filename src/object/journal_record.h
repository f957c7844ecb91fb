/* One record of the journal: all that is needed to store an object that only this machine has yet. Pure; the
 * files are journal_folder.h's.
 *
 * A record file, all numbers little-endian:
 *
 *   8 bytes   "SFSJRNL" and the version of the format, 1
 *   4 bytes   length of the body in bytes
 *   4 bytes   CRC-32C of the 12 bytes before and the body
 *   body
 *
 * The body is, in this order (u8, u32, u64, i64; `text`: u32 length and the bytes; `text?`: u8 present, text;
 * `map?`: u8 present, u32 count, then name and value as text):
 *
 *   u64 id, u64 sequence, i64 since_us                 see JournalRecord
 *   u8 parked (3 more: deleting), u32 attempts, text? last_error
 *   text storage, place, container, key
 *   u8 has_base, u8 exclusive, u8 content, u32 explicit_attributes
 *   with has_base: u64 size, i64 mtime_ns, text? etag, version, storage_class, content_type, map? metadata
 *   u64 size, i64 mtime_ns, u32 mode, uid, gid
 *   text? content_type, map? others
 *   text? data_name
 *   u32 count of extents, each: u8 kind, u8 clean, u64 offset, u64 length, u64 source_offset
 *   u32 length of `bytes`, bytes
 *   u32 count of earlier attempts, each: u64 size, u8 is_new, u8 has_time, text? if_etag, text? content_type,
 *       map metadata (a map? that is present)
 *
 * Extents are in order, without gaps, and cover the object's size. What a reader does not understand to the
 * last byte, it refuses: nothing is guessed.
 */
#pragma once

#include "src/object/attempt.h"

#include <glib.h>

typedef enum { JOURNAL_WAITING, JOURNAL_CONFLICT, JOURNAL_REFUSED } JournalParking;
typedef enum {
    JOURNAL_EXTENT_DATA, /* here: in the data file at the same offset, or next in `bytes` */
    JOURNAL_EXTENT_ZERO,
    JOURNAL_EXTENT_BASE /* in the stored version, at source_offset */
} JournalExtentKind;

typedef struct {
    JournalExtentKind kind;
    gboolean clean; /* not BASE: the stored version has the same bytes at source_offset */
    guint64 offset, length_bytes, source_offset;
} JournalExtent;

typedef struct {
    guint64 id;       /* names its files */
    guint64 sequence; /* of all records of a journal: the higher one is newer */
    gint64 since_us;  /* real time of the oldest change that is not stored */
    JournalParking parked;
    gboolean deleting; /* the stored version is being deleted, and then this record */
    guint attempts;
    char *last_error;                        /* NULL none */
    char *storage, *place, *container, *key; /* place: what the storage's name stood for */
    gboolean has_base;                       /* else the object must be absent when it is stored */
    gboolean exclusive;
    gboolean content; /* FALSE: only attributes were changed */
    unsigned explicit_attributes;
    ObjectInfo base; /* has_base: the version that is replaced; key is NULL */
    FileAttributes attributes;
    char *content_type;
    Metadata *others; /* NULL: none */
    char *data_name;  /* of the data file; NULL: what is here is in `bytes` */
    GArray *extents;  /* of JournalExtent */
    GBytes *bytes;    /* NULL: none */
    /* Of Attempt, latest first: what else the storage may have by now, because an older state was on its way
     * to it. At most JOURNAL_MAXIMUM_ATTEMPTS. The record's own state is not among them. */
    GPtrArray *earlier;
} JournalRecord;

#define JOURNAL_MAXIMUM_ATTEMPTS 32u

JournalRecord *journal_record_new(void);
void journal_record_free(JournalRecord *record);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(JournalRecord, journal_record_free)

/* What storing the record's own state stores. New reference. */
Attempt *journal_record_get_attempt(const JournalRecord *record);
/* The file's content. */
GBytes *journal_record_encode(const JournalRecord *record);
/* Fails: PROTOCOL (damaged, says where), UNSUPPORTED (another version of the format). */
JournalRecord *journal_record_decode(const void *data, gsize length_bytes, GError **error);

/* Bytes that only the record and its data file have. */
guint64 journal_record_get_local_bytes(const JournalRecord *record);
/* TRUE when a byte of offset .. offset+length is in the data file. */
gboolean journal_record_has_data(const JournalRecord *record, guint64 offset, guint64 length_bytes);
/* The same key of the same container of the same place, under the same name. */
gboolean journal_record_is_same_object(const JournalRecord *a, const JournalRecord *b);
