/* journal_record.h: what is written comes back, and what is damaged in any byte is refused. */
#include "src/object/journal_record.h"

#include "src/base/crc32c.h"
#include "src/base/error.h"

#include <string.h>

static void
add_extent(JournalRecord *record, JournalExtentKind kind, gboolean clean, guint64 offset, guint64 length,
           guint64 source)
{
    JournalExtent extent = {kind, clean, offset, length, source};
    g_array_append_val(record->extents, extent);
}

static JournalRecord *
make_full(void)
{
    JournalRecord *record = journal_record_new();
    record->id = 0x1122334455667788;
    record->sequence = 42;
    record->since_us = -5;
    record->parked = JOURNAL_CONFLICT;
    record->deleting = TRUE;
    record->attempts = 7;
    record->last_error = g_strdup("changed by another client");
    record->storage = g_strdup("archive");
    record->place = g_strdup("s3 http://127.0.0.1/");
    record->container = g_strdup("photos");
    record->key = g_strdup("2026/\xff\x01 cat.jpg");
    record->has_base = record->exclusive = record->content = TRUE;
    record->explicit_attributes = 9;
    record->base = (ObjectInfo){.size_bytes = 500,
                                .mtime_ns = 77,
                                .etag = g_strdup("e-1"),
                                .storage_class = g_strdup("COLD"),
                                .metadata = metadata_new()};
    g_hash_table_insert(record->base.metadata, g_strdup("mtime"), g_strdup("1.5"));
    record->attributes =
        (FileAttributes){.size_bytes = 450, .mtime_ns = 123456789, .mode = 0100640, .uid = 1, .gid = 2};
    record->content_type = g_strdup("image/jpeg");
    record->others = metadata_new();
    g_hash_table_insert(record->others, g_strdup("b"), g_strdup(""));
    g_hash_table_insert(record->others, g_strdup("a"), g_strdup("grün"));
    add_extent(record, JOURNAL_EXTENT_DATA, FALSE, 0, 3, 0);
    add_extent(record, JOURNAL_EXTENT_ZERO, FALSE, 3, 47, 0);
    add_extent(record, JOURNAL_EXTENT_BASE, FALSE, 50, 300, 200);
    add_extent(record, JOURNAL_EXTENT_DATA, TRUE, 350, 100, 350);
    g_autofree char *bytes = g_strnfill(103, 'x');
    record->bytes = g_bytes_new(bytes, 103);
    return record;
}

static JournalRecord *
make_small(void)
{
    JournalRecord *record = journal_record_new();
    record->id = 1;
    record->storage = g_strdup("s");
    record->place = g_strdup("");
    record->container = g_strdup("c");
    record->key = g_strdup("k");
    record->attributes.size_bytes = 1000;
    record->data_name = g_strdup("0001.data");
    add_extent(record, JOURNAL_EXTENT_DATA, FALSE, 0, 100, 0);
    add_extent(record, JOURNAL_EXTENT_ZERO, FALSE, 100, 800, 0);
    add_extent(record, JOURNAL_EXTENT_DATA, FALSE, 900, 100, 0);
    return record;
}

static JournalRecord *
decode(GBytes *file, GError **error)
{
    gsize length = 0;
    const void *data = g_bytes_get_data(file, &length);
    return journal_record_decode(data, length, error);
}

static void
assert_refused(const guint8 *data, gsize length, ErrorCode code)
{
    g_autoptr(GError) error = NULL;
    /* A copy of exactly this length, so that reading past it is seen. */
    g_autofree guint8 *copy = g_memdup2(data, length);
    g_assert_null(journal_record_decode(copy, length, &error));
    g_assert_error(error, STORAGEFS_ERROR, (int)code);
}

static void
test_round_trip(void)
{
    JournalRecord *(*const makers[])(void) = {make_full, make_small};
    for (guint i = 0; i < G_N_ELEMENTS(makers); i++) {
        GError *error = NULL;
        g_autoptr(JournalRecord) record = makers[i]();
        g_autoptr(GBytes) file = journal_record_encode(record);
        g_autoptr(JournalRecord) back = decode(file, &error);
        g_assert_no_error(error);
        g_autoptr(GBytes) again = journal_record_encode(back);
        g_assert_true(g_bytes_equal(file, again));
        g_assert_cmpstr(back->key, ==, record->key);
        g_assert_cmpstr(back->data_name, ==, record->data_name);
        g_assert_cmpstr(back->base.etag, ==, record->base.etag);
        g_assert_cmpint(back->since_us, ==, record->since_us);
        g_assert_cmpint(back->parked, ==, record->parked);
        g_assert_cmpint(back->deleting, ==, record->deleting);
        g_assert_cmpuint(back->extents->len, ==, record->extents->len);
        g_assert_cmpuint(back->attributes.mode, ==, record->attributes.mode);
    }
}

static void
test_metadata_comes_back(void)
{
    g_autoptr(JournalRecord) record = make_full();
    g_autoptr(GBytes) file = journal_record_encode(record);
    g_autoptr(JournalRecord) back = decode(file, NULL);
    g_assert_cmpstr(g_hash_table_lookup(back->others, "a"), ==, "grün");
    g_assert_cmpstr(g_hash_table_lookup(back->others, "b"), ==, "");
    g_assert_cmpstr(g_hash_table_lookup(back->base.metadata, "mtime"), ==, "1.5");
    g_assert_cmpuint(g_bytes_get_size(back->bytes), ==, 103);
    g_assert_cmpuint(journal_record_get_local_bytes(back), ==, 103);
}

static void
test_every_flipped_bit_is_seen(void)
{
    g_autoptr(JournalRecord) record = make_full();
    g_autoptr(GBytes) file = journal_record_encode(record);
    gsize length = 0;
    g_autofree guint8 *data = g_bytes_unref_to_data(g_bytes_ref(file), &length);
    for (gsize at = 0; at < length; at++) {
        for (guint bit = 0; bit < 8; bit++) {
            data[at] ^= (guint8)(1u << bit);
            assert_refused(data, length, ERROR_PROTOCOL);
            data[at] ^= (guint8)(1u << bit);
        }
    }
}

static void
test_every_truncation_is_seen(void)
{
    g_autoptr(JournalRecord) record = make_full();
    g_autoptr(GBytes) file = journal_record_encode(record);
    gsize length = 0;
    const guint8 *data = g_bytes_get_data(file, &length);
    for (gsize cut = 0; cut < length; cut++)
        assert_refused(data, cut, ERROR_PROTOCOL);
    g_autofree guint8 *longer = g_malloc0(length + 1);
    memcpy(longer, data, length);
    assert_refused(longer, length + 1, ERROR_PROTOCOL);
}

static void
seal(guint8 *data, gsize length)
{
    guint32 body = GUINT32_TO_LE((guint32)(length - 16));
    memcpy(data + 8, &body, 4);
    guint32 crc = GUINT32_TO_LE(crc32c_append(crc32c_append(0, data, 12), data + 16, length - 16));
    memcpy(data + 12, &crc, 4);
}

static void
test_another_version_says_so(void)
{
    g_autoptr(JournalRecord) record = make_small();
    g_autoptr(GBytes) file = journal_record_encode(record);
    gsize length = 0;
    g_autofree guint8 *data = g_bytes_unref_to_data(g_steal_pointer(&file), &length);
    data[7] = 2;
    seal(data, length);
    assert_refused(data, length, ERROR_UNSUPPORTED);
}

/* With a right checksum: what a bug or an enemy writes. Whatever comes out must be safe to use. */
static void
test_sealed_damage_is_bounded(void)
{
    g_autoptr(JournalRecord) record = make_full();
    g_autoptr(GBytes) file = journal_record_encode(record);
    gsize length = 0;
    g_autofree guint8 *data = g_bytes_unref_to_data(g_steal_pointer(&file), &length);
    guint refused = 0;
    for (gsize at = 16; at < length; at++) {
        guint8 before = data[at];
        data[at] = 0xff;
        seal(data, length);
        g_autofree guint8 *copy = g_memdup2(data, length);
        g_autoptr(JournalRecord) back = journal_record_decode(copy, length, NULL);
        refused += back == NULL;
        if (back != NULL) {
            const JournalExtent *last = &g_array_index(back->extents, JournalExtent, back->extents->len - 1);
            g_assert_cmpuint(last->offset + last->length_bytes, ==, back->attributes.size_bytes);
        }
        data[at] = before;
    }
    g_assert_cmpuint(refused, >, length / 3);
    for (gsize cut = 16; cut < length; cut++) {
        g_autofree guint8 *copy = g_memdup2(data, cut);
        seal(copy, cut);
        assert_refused(copy, cut, ERROR_PROTOCOL);
    }
}

static void
test_ranges_in_the_data_file_are_found(void)
{
    g_autoptr(JournalRecord) record = make_small();
    g_assert_true(journal_record_has_data(record, 0, 1));
    g_assert_true(journal_record_has_data(record, 99, 500));
    g_assert_true(journal_record_has_data(record, 99, G_MAXUINT64));
    g_assert_false(journal_record_has_data(record, 100, 800));
    g_assert_true(journal_record_has_data(record, 100, 801));
    g_assert_false(journal_record_has_data(record, 1000, G_MAXUINT64));
    g_assert_false(journal_record_has_data(record, 0, 0));
    g_clear_pointer(&record->data_name, g_free);
    g_assert_false(journal_record_has_data(record, 0, 1));
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/journal_record/round-trip", test_round_trip);
    g_test_add_func("/journal_record/metadata", test_metadata_comes_back);
    g_test_add_func("/journal_record/flipped", test_every_flipped_bit_is_seen);
    g_test_add_func("/journal_record/truncated", test_every_truncation_is_seen);
    g_test_add_func("/journal_record/version", test_another_version_says_so);
    g_test_add_func("/journal_record/sealed", test_sealed_damage_is_bounded);
    g_test_add_func("/journal_record/ranges", test_ranges_in_the_data_file_are_found);
    return g_test_run();
}
