/* A journal's directory with files that a crash, a bad disk or somebody else left: loading gives each object
 * once, drops no readable record but one that a newer one of the same object replaces, and loses no
 * unreadable one.
 *
 * An input is a row of files: a byte, of which the lowest two bits are the number of the file and the next
 * two its kind, two bytes of length, content. A record's header (length and checksum) is made right, unless
 * its kind is RAW. */
#include "src/base/crc32c.h"
#include "src/object/journal_folder.h"
#include "tests/fuzz/fuzz.h"

#include <glib/gstdio.h>
#include <string.h>

#define HEADER_BYTES 16u
#define MAXIMUM_FILES 8u

typedef enum { RECORD, RAW, DATA, FRESH } FileKind;

void
fuzz_begin(void)
{
}

static void
clear_folder(const char *path)
{
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    const char *name;
    while (dir != NULL && (name = g_dir_read_name(dir)) != NULL) {
        g_autofree char *below = g_build_filename(path, name, NULL);
        if (g_file_test(below, G_FILE_TEST_IS_DIR))
            clear_folder(below);
        g_remove(below);
    }
}

static GByteArray *
make_content(FuzzInput *input, FileKind kind)
{
    GByteArray *file = g_byte_array_new();
    gsize wanted = fuzz_take_byte(input);
    wanted |= (gsize)fuzz_take_byte(input) << 8;
    gsize length_bytes = MIN(wanted, fuzz_left(input));
    if (kind == RECORD) {
        guint8 header[HEADER_BYTES] = "SFSJRNL\1";
        guint32 length = GUINT32_TO_LE((guint32)length_bytes);
        memcpy(header + 8, &length, sizeof length);
        guint32 crc = GUINT32_TO_LE(crc32c_append(crc32c_append(0, header, 12), input->at, length_bytes));
        memcpy(header + 12, &crc, sizeof crc);
        g_byte_array_append(file, header, sizeof header);
    }
    g_byte_array_append(file, input->at, (guint)length_bytes);
    input->at += length_bytes;
    return file;
}

/* Names of records → their bytes. */
static GHashTable *
make_files(FuzzInput *input)
{
    GHashTable *records =
        g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_byte_array_unref);
    for (guint i = 0; i < MAXIMUM_FILES && fuzz_left(input) > 0; i++) {
        guint8 what = fuzz_take_byte(input);
        FileKind kind = (FileKind)(what >> 2 & 3);
        guint number = (what & 3u) + 1;
        g_autofree char *name = kind == DATA
                                    ? g_strdup_printf("%u-2.data", number)
                                    : g_strdup_printf("%016x.record%s", number, kind == FRESH ? ".new" : "");
        g_autofree char *path = g_strconcat("journal/", name, NULL);
        GByteArray *content = make_content(input, kind);
        fuzz_write(path, content->data, content->len);
        if (kind == RECORD || kind == RAW)
            g_hash_table_replace(records, g_steal_pointer(&name), content);
        else
            g_byte_array_unref(content);
    }
    return records;
}

static gboolean
is_of_object(const JournalRecord *a, const JournalRecord *b)
{
    return strcmp(a->storage, b->storage) == 0 && strcmp(a->place, b->place) == 0 &&
           strcmp(a->container, b->container) == 0 && strcmp(a->key, b->key) == 0;
}

/* It is still a record, or kept aside, or was replaced by a newer one of its object. */
static void
check_kept(const char *name, const GByteArray *content, const GPtrArray *records)
{
    g_autofree char *kept = g_build_filename(fuzz_folder(), "journal", name, NULL);
    g_autofree char *aside = g_build_filename(fuzz_folder(), "journal", "unreadable", name, NULL);
    if (g_file_test(kept, G_FILE_TEST_EXISTS) || g_file_test(aside, G_FILE_TEST_EXISTS))
        return;
    g_autoptr(JournalRecord) record = journal_record_decode(content->data, content->len, NULL);
    g_assert_nonnull(record);
    for (guint i = 0; i < records->len; i++) {
        const JournalRecord *other = records->pdata[i];
        if (is_of_object(record, other) && other->sequence >= record->sequence)
            return;
    }
    g_assert_not_reached();
}

static void
check_records(JournalFolder *folder, const GPtrArray *records)
{
    guint64 next_id = journal_folder_take_id(folder), next_sequence = journal_folder_take_sequence(folder);
    for (guint i = 0; i < records->len; i++) {
        const JournalRecord *record = records->pdata[i];
        g_assert_cmpuint(record->id, <, next_id);
        /* Sequences are from 1 on; the last number there is has no next. */
        g_assert_true(record->sequence < next_sequence || record->sequence == G_MAXUINT64);
        for (guint j = 0; j < i; j++) {
            const JournalRecord *other = records->pdata[j];
            g_assert_false(is_of_object(record, other));
            g_assert_cmpuint(other->sequence, <=, record->sequence);
        }
        if (record->data_name != NULL) {
            g_autofree char *path = g_build_filename(fuzz_folder(), "journal", record->data_name, NULL);
            g_assert_true(g_file_test(path, G_FILE_TEST_IS_REGULAR));
        }
    }
}

static GPtrArray *
load(JournalFolder **out_folder)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *path = fuzz_path("journal");
    *out_folder = journal_folder_open(path, 0, &error);
    g_assert_no_error(error);
    GPtrArray *records = journal_folder_load(*out_folder, &error);
    g_assert_no_error(error);
    return records;
}

void
fuzz_one(FuzzInput *input)
{
    g_autofree char *path = fuzz_path("journal");
    g_mkdir(path, 0700);
    clear_folder(path);
    g_autoptr(GHashTable) files = make_files(input);
    g_autoptr(JournalFolder) folder = NULL, again = NULL;
    g_autoptr(GPtrArray) records = load(&folder);
    GHashTableIter iter;
    gpointer name, content;
    g_hash_table_iter_init(&iter, files);
    while (g_hash_table_iter_next(&iter, &name, &content))
        check_kept(name, content, records);
    check_records(folder, records);
    g_autoptr(GPtrArray) aside = journal_folder_list_unreadable(folder);
    g_clear_pointer(&folder, journal_folder_close);
    /* What was loaded once is loaded the same again. */
    g_autoptr(GPtrArray) records_again = load(&again);
    g_autoptr(GPtrArray) aside_again = journal_folder_list_unreadable(again);
    g_assert_cmpuint(records_again->len, ==, records->len);
    g_assert_cmpuint(aside_again->len, ==, aside->len);
}
