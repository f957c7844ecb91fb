/* Which keys and containers a local storage takes, how keys are split, and how sidecars are written. */
#include "drivers/local/local_json.h"
#include "drivers/local/local_names.h"
#include "src/base/error.h"

static void
test_keys(void)
{
    static const struct {
        const char *key;
        gboolean flat, folders, reachable;
    } rows[] = {
        {"a", TRUE, TRUE, TRUE},          {"a/b/c", TRUE, TRUE, TRUE},        {"a/", FALSE, TRUE, TRUE},
        {"a/b/", FALSE, TRUE, TRUE},      {"", FALSE, FALSE, TRUE},           {"/", FALSE, FALSE, FALSE},
        {"/a", FALSE, FALSE, FALSE},      {"a//b", FALSE, FALSE, FALSE},      {"a//", FALSE, FALSE, FALSE},
        {".", FALSE, FALSE, FALSE},       {"a/..", FALSE, FALSE, FALSE},      {"../a", FALSE, FALSE, FALSE},
        {"a/./b", FALSE, FALSE, FALSE},   {"...", TRUE, TRUE, TRUE},          {".lock", TRUE, TRUE, TRUE},
        {".lock/a", FALSE, FALSE, FALSE}, {"a/.hash/b", FALSE, FALSE, FALSE}, {"a/.hash", TRUE, TRUE, TRUE},
        {".hash/", FALSE, FALSE, FALSE},  {".locked/a", TRUE, TRUE, TRUE},
    };
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) error = NULL;
        g_assert_cmpint(local_names_check_key(rows[i].key, FALSE, NULL), ==, rows[i].flat);
        g_assert_cmpint(local_names_check_key(rows[i].key, TRUE, &error), ==, rows[i].folders);
        g_assert_cmpint(error_is(error, ERROR_BAD_NAME), ==, !rows[i].folders);
        g_assert_cmpint(local_names_is_reachable(rows[i].key), ==, rows[i].reachable);
    }
}

static void
test_lengths(void)
{
    g_autofree char *fits = g_strnfill(255, 'x');
    g_autofree char *longer = g_strnfill(256, 'x');
    g_autoptr(GString) many = g_string_new("x");
    while (many->len < LOCAL_NAMES_MAXIMUM_KEY_BYTES - 1)
        g_string_append(many, "/x");
    g_assert_true(local_names_check_key(fits, FALSE, NULL));
    g_autoptr(GError) error = NULL;
    g_assert_false(local_names_check_key(longer, FALSE, &error));
    g_assert_error(error, STORAGEFS_ERROR, ERROR_NAME_TOO_LONG);
    g_clear_error(&error);
    g_assert_true(local_names_check_key(many->str, FALSE, NULL));
    g_string_append(many, "/x");
    g_assert_false(local_names_check_key(many->str, FALSE, &error));
    g_assert_error(error, STORAGEFS_ERROR, ERROR_NAME_TOO_LONG);
    g_clear_error(&error);
    g_assert_true(local_names_check_container(fits, NULL));
    g_assert_false(local_names_check_container(longer, &error));
    g_assert_error(error, STORAGEFS_ERROR, ERROR_NAME_TOO_LONG);
}

static void
test_containers(void)
{
    static const char *const refused[] = {"", ".", "..", "a/b", "a\\b", "/"};
    for (guint i = 0; i < G_N_ELEMENTS(refused); i++)
        g_assert_false(local_names_check_container(refused[i], NULL));
    g_assert_true(local_names_check_container(".hidden", NULL));
    g_assert_true(local_names_is_entry("a\\b"));
    g_assert_false(local_names_is_entry(".."));
}

static void
test_split(void)
{
    static const char *const rows[][3] = {
        {"a", "", "a"}, {"a/b", "a", "b"}, {"a/b/c", "a/b", "c"}, {"a/", "", "a"}, {"a/b/", "a", "b"}};
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *folder = NULL, *leaf = NULL;
        local_names_split(rows[i][0], &folder, &leaf);
        g_assert_cmpstr(folder, ==, rows[i][1]);
        g_assert_cmpstr(leaf, ==, rows[i][2]);
    }
}

/* The right column is what Python's json.dumps makes of the left one. */
static void
test_json(void)
{
    static const char *const rows[][2] = {
        {"{}", "{}"},
        {"{\"a\":1,\"b\":[1,2.5,true,null]}", "{\"a\": 1, \"b\": [1, 2.5, true, null]}"},
        {"{\"a\":{\"b\":[]}}", "{\"a\": {\"b\": []}}"},
        {"[1.0,0.1,1e300,-0.5,100000.0]", "[1.0, 0.1, 1e+300, -0.5, 100000.0]"},
        {"[\"\\u00e9\\ud83d\\ude00\\u007f\\u001f\"]", "[\"\\u00e9\\ud83d\\ude00\\u007f\\u001f\"]"},
        {"[\"\\b\\f\\n\\r\\t\\\"\\\\/\"]", "[\"\\b\\f\\n\\r\\t\\\"\\\\/\"]"},
    };
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(JsonNode) node = json_from_string(rows[i][0], NULL);
        g_autofree char *text = local_json_dump(node);
        g_assert_cmpstr(text, ==, rows[i][1]);
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/local/names/keys", test_keys);
    g_test_add_func("/local/names/lengths", test_lengths);
    g_test_add_func("/local/names/containers", test_containers);
    g_test_add_func("/local/names/split", test_split);
    g_test_add_func("/local/json", test_json);
    return g_test_run();
}
