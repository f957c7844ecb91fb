/* Journal records: a damaged file is refused; what is read, written and read again is the same.
 *
 * The first byte of an input says whether the header (length and checksum) is made right before reading:
 * otherwise nothing would ever get past it.
 */
#include "src/base/crc32c.h"
#include "src/object/journal_record.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

#define HEADER_BYTES 16u

void
fuzz_begin(void)
{
}

static GBytes *
make_file(FuzzInput *input)
{
    gboolean right = (fuzz_take_byte(input) & 1) != 0;
    gsize left = fuzz_left(input);
    g_autoptr(GByteArray) file = g_byte_array_new();
    if (!right) {
        g_byte_array_append(file, input->at, (guint)left);
        return g_byte_array_free_to_bytes(g_steal_pointer(&file));
    }
    guint8 header[HEADER_BYTES] = "SFSJRNL\1";
    guint32 length = GUINT32_TO_LE((guint32)left);
    memcpy(header + 8, &length, sizeof length);
    guint32 crc = GUINT32_TO_LE(crc32c_append(crc32c_append(0, header, 12), input->at, left));
    memcpy(header + 12, &crc, sizeof crc);
    g_byte_array_append(file, header, sizeof header);
    g_byte_array_append(file, input->at, (guint)left);
    return g_byte_array_free_to_bytes(g_steal_pointer(&file));
}

static void
check_record(const JournalRecord *record)
{
    guint64 size = record->attributes.size_bytes, at = 0;
    g_assert_cmpstr(record->storage, !=, "");
    g_assert_cmpstr(record->container, !=, "");
    g_assert_cmpstr(record->key, !=, "");
    g_assert_cmpuint(record->id, >, 0);
    for (guint i = 0; i < record->extents->len; i++) {
        const JournalExtent *extent = &g_array_index(record->extents, JournalExtent, i);
        g_assert_cmpuint(extent->offset, ==, at);
        at += extent->length_bytes;
    }
    g_assert_cmpuint(at, ==, size);
    if (record->data_name) {
        g_assert_null(strchr(record->data_name, '/'));
        g_assert_true(g_str_has_suffix(record->data_name, ".data"));
        g_assert_cmpuint(strlen(record->data_name), <=, 255);
    }
    g_assert_cmpuint(journal_record_get_local_bytes(record), <=, size);
    g_assert_false(journal_record_has_data(record, size, G_MAXUINT64));
    (void)journal_record_has_data(record, size / 2, G_MAXUINT64);
    g_assert_true(journal_record_has_data(record, 0, G_MAXUINT64) ==
                  (record->data_name && journal_record_get_local_bytes(record) > 0));
}

void
fuzz_one(FuzzInput *input)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) file = make_file(input);
    g_autoptr(JournalRecord) record =
        journal_record_decode(g_bytes_get_data(file, NULL), g_bytes_get_size(file), &error);
    if (!record) {
        fuzz_check_line(error);
        return;
    }
    check_record(record);
    g_autoptr(GBytes) written = journal_record_encode(record);
    g_autoptr(JournalRecord) again =
        journal_record_decode(g_bytes_get_data(written, NULL), g_bytes_get_size(written), &error);
    g_assert_no_error(error);
    g_autoptr(GBytes) rewritten = journal_record_encode(again);
    g_assert_true(g_bytes_equal(written, rewritten));
    /* Only the order of metadata may differ from what was read. */
    g_assert_cmpuint(g_bytes_get_size(written), ==, g_bytes_get_size(file));
}
