/* Records of folder renames: what is written is read as the same; a damaged one is left out, or has the same
 * five names that it was written with. */
#include "src/tree/rename_journal.h"
#include "tests/fuzz/fuzz.h"

#include <glib/gstdio.h>
#include <string.h>

void
fuzz_begin(void)
{
    g_autofree char *path = fuzz_path("renames");
    g_assert_cmpint(g_mkdir(path, 0700), ==, 0);
}

static void
check_equal(const RenameRecord *a, const RenameRecord *b)
{
    g_assert_cmpstr(a->storage, ==, b->storage);
    g_assert_cmpstr(a->from_container, ==, b->from_container);
    g_assert_cmpstr(a->from_prefix, ==, b->from_prefix);
    g_assert_cmpstr(a->to_container, ==, b->to_container);
    g_assert_cmpstr(a->to_prefix, ==, b->to_prefix);
}

static void
write_record(const RenameRecord *record)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *path = NULL;
    g_assert_true(rename_journal_begin(fuzz_folder(), record, &path, &error));
    g_autoptr(GPtrArray) found = rename_journal_list(fuzz_folder());
    g_assert_cmpuint(found->len, ==, 1);
    check_equal(g_ptr_array_index(found, 0), record);
    rename_journal_end(path);
}

static void
read_record(const FuzzInput *input)
{
    g_autofree char *path = fuzz_path("renames/input.rename");
    fuzz_write("renames/input.rename", input->at, fuzz_left(input));
    g_autoptr(GPtrArray) found = rename_journal_list(fuzz_folder());
    rename_journal_end(path);
    g_assert_cmpuint(found->len, <=, 1);
    if (found->len == 1)
        write_record(g_ptr_array_index(found, 0));
}

void
fuzz_one(FuzzInput *input)
{
    if ((fuzz_take_byte(input) & 1) == 0) {
        read_record(input);
        return;
    }
    RenameRecord record = {.storage = fuzz_take_text(input, '\n'),
                           .from_container = fuzz_take_text(input, '\n'),
                           .from_prefix = fuzz_take_text(input, '\n'),
                           .to_container = fuzz_take_text(input, '\n'),
                           .to_prefix = fuzz_take_text(input, '\n')};
    write_record(&record);
    g_free(record.storage);
    g_free(record.from_container);
    g_free(record.from_prefix);
    g_free(record.to_container);
    g_free(record.to_prefix);
}
