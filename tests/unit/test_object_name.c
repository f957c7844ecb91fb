/* Names of keys: a bijection on random bytes in both layouts, and the spellings people will meet. */
#include "src/tree/object_name.h"

#include <string.h>

#define ROUNDS 20000

/* Few letters, so that escapes and their lookalikes come often. */
static char *
make_random(gboolean with_slash)
{
    static const char letters[] = "%2225FFE0.a/";
    guint length = (guint)g_test_rand_int_range(0, 9);
    GString *text = g_string_new(NULL);
    for (guint i = 0; i < length; i++) {
        int kind = g_test_rand_int_range(0, 8);
        char letter = kind > 0 ? letters[g_test_rand_int_range(0, sizeof letters - 1)]
                               : (char)g_test_rand_int_range(1, 256);
        if (letter != '/' || with_slash)
            g_string_append_c(text, letter);
    }
    return g_string_free(text, FALSE);
}

static void
assert_file_name(const char *name)
{
    g_assert_nonnull(name);
    g_assert_null(strchr(name, '/'));
    g_assert_cmpstr(name, !=, ".");
    g_assert_cmpstr(name, !=, "..");
    g_assert_cmpstr(name, !=, "");
}

static void
test_flat_keys(void)
{
    for (guint i = 0; i < ROUNDS; i++) {
        g_autofree char *key = make_random(TRUE), *back = NULL;
        if (key[0] == '\0')
            continue;
        g_autofree char *name = object_name_from_key(key);
        assert_file_name(name);
        g_assert_true(object_name_to_key(name, &back, NULL));
        g_assert_cmpstr(back, ==, key);
    }
}

/* A name either is the one name of its key, or no name at all. */
static void
test_flat_names(void)
{
    guint canonical = 0;
    for (guint i = 0; i < ROUNDS; i++) {
        g_autofree char *name = make_random(FALSE), *key = NULL;
        g_autoptr(GError) error = NULL;
        if (name[0] == '\0' || !object_name_to_key(name, &key, &error)) {
            g_assert_true(name[0] == '\0' || g_error_matches(error, STORAGEFS_ERROR, ERROR_BAD_NAME));
            continue;
        }
        g_autofree char *again = object_name_from_key(key);
        g_assert_cmpstr(again, ==, name);
        canonical++;
    }
    g_assert_cmpuint(canonical, >, ROUNDS / 10);
}

static void
test_parts(void)
{
    for (guint i = 0; i < ROUNDS; i++) {
        g_autofree char *part = make_random(FALSE), *back = NULL;
        gboolean is_folder = g_test_rand_bit(), beside = !is_folder && (part[0] == '\0' || g_test_rand_bit());
        gboolean is_beside = FALSE;
        g_autofree char *name = object_name_from_part(part, is_folder, beside);
        assert_file_name(name);
        g_assert_true(object_name_to_part(name, &back, &is_beside, NULL));
        g_assert_cmpstr(back, ==, part);
        g_assert_cmpint(is_beside, ==, beside);
    }
}

/* Two different things of one level never have the same name. */
static void
test_parts_differ(void)
{
    g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    for (guint i = 0; i < ROUNDS; i++) {
        g_autofree char *part = make_random(FALSE);
        gboolean beside = part[0] != '\0' && g_test_rand_bit();
        char *name = object_name_from_part(part, part[0] == '\0', beside);
        char *what = g_strdup_printf("%s %d", part, beside);
        const char *other = g_hash_table_lookup(seen, name);
        if (other != NULL)
            g_assert_cmpstr(other, ==, what);
        g_hash_table_insert(seen, name, what);
    }
}

static void
test_part_names(void)
{
    guint canonical = 0;
    for (guint i = 0; i < ROUNDS; i++) {
        g_autofree char *name = make_random(FALSE), *part = NULL;
        gboolean beside = FALSE;
        if (name[0] == '\0' || !object_name_to_part(name, &part, &beside, NULL))
            continue;
        g_autofree char *again = object_name_from_part(part, part[0] == '\0' && !beside, beside);
        g_assert_cmpstr(again, ==, name);
        canonical++;
    }
    g_assert_cmpuint(canonical, >, ROUNDS / 10);
}

static void
test_flat_spellings(void)
{
    static const char *const pairs[][2] = {{"2026/dog.jpg", "2026%2Fdog.jpg"},
                                           {".", "%2E"},
                                           {"..", "%2E%2E"},
                                           {"...", "..."},
                                           {".a", ".a"},
                                           {"100%", "100%"},
                                           {"a%20b", "a%20b"},
                                           {"%2F", "%252F"},
                                           {"%25", "%2525"},
                                           {"%2f", "%2f"},
                                           {"%2E", "%252E"},
                                           {"x%2E", "x%2E"},
                                           {"a//b/", "a%2F%2Fb%2F"},
                                           {"/", "%2F"}};
    for (guint i = 0; i < G_N_ELEMENTS(pairs); i++) {
        g_autofree char *name = object_name_from_key(pairs[i][0]);
        g_assert_cmpstr(name, ==, pairs[i][1]);
    }
}

static void
test_part_spellings(void)
{
    g_autofree char *plain = object_name_from_part("a%2Fb", FALSE, FALSE);
    g_autofree char *empty = object_name_from_part("", TRUE, FALSE);
    g_autofree char *content = object_name_from_part("", FALSE, FALSE);
    g_autofree char *beside = object_name_from_part("a", FALSE, TRUE);
    g_autofree char *lookalike = object_name_from_part("a%00", FALSE, FALSE);
    g_autofree char *dot = object_name_from_part(".", TRUE, FALSE);
    g_assert_cmpstr(plain, ==, "a%2Fb");
    g_assert_cmpstr(empty, ==, "%2F");
    g_assert_cmpstr(content, ==, "%00");
    g_assert_cmpstr(beside, ==, "a%00");
    g_assert_cmpstr(lookalike, ==, "a%2500");
    g_assert_cmpstr(dot, ==, "%2E");
}

static void
test_length(void)
{
    g_autofree char *fits = g_strnfill(OBJECT_NAME_MAX_BYTES, 'a');
    g_autofree char *too_long = g_strnfill(OBJECT_NAME_MAX_BYTES + 1, 'a');
    g_autofree char *slashes = g_strnfill(400, '/');
    g_autofree char *name = object_name_from_key(fits);
    g_autofree char *key = NULL;
    g_assert_cmpstr(name, ==, fits);
    g_assert_null(object_name_from_key(too_long));
    g_assert_null(object_name_from_key(slashes));
    g_assert_false(object_name_to_key(too_long, &key, NULL));
    g_assert_null(object_name_from_part(fits, FALSE, TRUE));
}

int
main(int argc, char *argv[])
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/object_name/flat/keys", test_flat_keys);
    g_test_add_func("/object_name/flat/names", test_flat_names);
    g_test_add_func("/object_name/flat/spellings", test_flat_spellings);
    g_test_add_func("/object_name/parts/keys", test_parts);
    g_test_add_func("/object_name/parts/differ", test_parts_differ);
    g_test_add_func("/object_name/parts/names", test_part_names);
    g_test_add_func("/object_name/parts/spellings", test_part_spellings);
    g_test_add_func("/object_name/length", test_length);
    return g_test_run();
}
