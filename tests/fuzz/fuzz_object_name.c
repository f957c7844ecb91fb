/* Names: the bijection of object_name.h from both sides, and what a local storage takes as a name. */
#include "drivers/local/local_names.h"
#include "src/tree/object_name.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

void
fuzz_begin(void)
{
}

static void
check_file_name(const char *name)
{
    g_assert_cmpuint(strlen(name), <=, OBJECT_NAME_MAX_BYTES);
    g_assert_null(strchr(name, '/'));
    g_assert_cmpstr(name, !=, "");
    g_assert_cmpstr(name, !=, ".");
    g_assert_cmpstr(name, !=, "..");
}

static void
check_key(const char *key)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *name = object_name_from_key(key), *back = NULL;
    if (!name)
        return;
    check_file_name(name);
    g_assert_true(object_name_to_key(name, &back, &error));
    g_assert_cmpstr(back, ==, key);
}

static void
check_name(const char *name)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *key = NULL;
    if (!object_name_to_key(name, &key, &error)) {
        fuzz_check_error(error);
        return;
    }
    g_autofree char *back = object_name_from_key(key);
    g_assert_cmpstr(back, ==, name);
}

static void
check_part(const char *part, gboolean is_folder, gboolean beside_folder)
{
    g_autoptr(GError) error = NULL;
    gboolean beside = FALSE;
    g_autofree char *name = object_name_from_part(part, is_folder, beside_folder), *back = NULL;
    if (!name)
        return;
    check_file_name(name);
    g_assert_true(object_name_to_part(name, &back, &beside, &error));
    g_assert_cmpstr(back, ==, part);
    /* The empty part of an object always has the escaped name. */
    if (*part)
        g_assert_cmpint(beside, ==, beside_folder && !is_folder);
}

static void
check_part_name(const char *name)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *part = NULL;
    gboolean beside = FALSE;
    if (!object_name_to_part(name, &part, &beside, &error)) {
        fuzz_check_error(error);
        return;
    }
    g_autofree char *back = object_name_from_part(part, *part == '\0' && !beside, beside);
    g_assert_cmpstr(back, ==, name);
}

static void
check_local(const char *text)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *folder = NULL, *leaf = NULL;
    if (!local_names_check_container(text, &error))
        fuzz_check_error(error);
    else
        g_assert_true(local_names_is_entry(text));
    g_clear_error(&error);
    if (!local_names_check_key(text, TRUE, &error)) {
        fuzz_check_error(error);
        return;
    }
    g_assert_true(local_names_is_reachable(text));
    local_names_split(text, &folder, &leaf);
    g_assert_null(strchr(leaf, '/'));
}

void
fuzz_one(FuzzInput *input)
{
    g_autofree char *text = fuzz_take_text(input, '\0');
    if (*text)
        check_key(text);
    check_name(text);
    check_part_name(text);
    check_local(text);
    if (strchr(text, '/') == NULL) {
        check_part(text, TRUE, FALSE);
        check_part(text, FALSE, FALSE);
        check_part(text, FALSE, TRUE);
    }
}
