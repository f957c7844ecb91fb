/* Configuration files and sections: what is accepted, and each refusal with its line and remedy. */
#include "src/base/config.h"
#include "src/base/config_file.h"
#include "src/base/config_value.h"
#include "src/base/error.h"
#include "src/base/log.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

static char *directory, *path;

static const char *const durabilities[] = {"storage", "journal", NULL};
static const ConfigKey common_keys[] = {
    {"driver", CONFIG_CHOICE, .choices = (const char *const[]){"local", "s3", NULL}, .required = TRUE},
    {"durability", CONFIG_CHOICE, "storage", .choices = durabilities, .help = "when close returns"},
    {"containers", CONFIG_LIST},
    {NULL},
};
static const ConfigKey driver_keys[] = {
    {"endpoint", CONFIG_URL},
    {"path", CONFIG_PATH},
    {"part_size", CONFIG_SIZE, "8M", 1 << 20, G_GINT64_CONSTANT(5) << 30, .help = "bytes of a part"},
    {"timeout", CONFIG_DURATION, "60s"},
    {"folders", CONFIG_BOOLEAN, "no"},
    {"mode", CONFIG_OCTAL, "0600"},
    {"secret_access_key", CONFIG_SECRET},
    {NULL},
};
static const ConfigKey *const tables[] = {common_keys, driver_keys, NULL};

static void
write_file(const char *text, gssize length, int mode)
{
    g_unlink(path);
    g_assert_true(g_file_set_contents_full(path, text, length, G_FILE_SET_CONTENTS_NONE, 0600, NULL));
    g_assert_cmpint(g_chmod(path, mode), ==, 0);
}

static ConfigFile *
load(const char *text, GError **error)
{
    write_file(text, -1, 0600);
    return config_file_load(path, error);
}

/* Loads `text` and checks its section [storage a]. */
static ConfigSection *
check(const char *text, GError **error)
{
    g_autoptr(ConfigFile) file = load(text, error);
    return file ? config_section_check(file, "storage a", tables, error) : NULL;
}

static void
test_values_and_defaults(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(ConfigSection) section = check("\xef\xbb\xbf# comment\r\n"
                                             "[other]\r\n"
                                             "anything = 1\r\n"
                                             "\r\n"
                                             "  [storage a]  \r\n"
                                             "  driver=s3\r\n"
                                             "endpoint = http://host/#x;y \t\r\n"
                                             "path = data\r\n"
                                             "   # another\r\n"
                                             "containers = b; a\r\n"
                                             "folders = yes\r\n"
                                             "secret_access_key = a=b\\\\c\\s\r\n"
                                             "timeout = 1.5",
                                             &error);
    g_assert_no_error(error);
    g_autofree char *expected = g_build_filename(directory, "data", NULL);
    g_assert_cmpstr(config_section_get_string(section, "endpoint"), ==, "http://host/#x;y");
    g_assert_cmpstr(config_section_get_string(section, "path"), ==, expected);
    g_assert_cmpstr(config_section_get_string(section, "secret_access_key"), ==, "a=b\\c ");
    g_assert_cmpstr(config_section_get_string(section, "durability"), ==, "storage");
    g_assert_cmpint(config_section_get_integer(section, "timeout"), ==, 1500000);
    g_assert_cmpint(config_section_get_integer(section, "part_size"), ==, 8 << 20);
    g_assert_cmpint(config_section_get_integer(section, "mode"), ==, 0600);
    g_assert_true(config_section_get_boolean(section, "folders"));
    g_assert_cmpstr(config_section_get_list(section, "containers")[0], ==, "b");
    g_assert_cmpstr(config_section_get_list(section, "containers")[1], ==, "a");
    g_assert_null(config_section_get_list(section, "containers")[2]);
    g_assert_true(config_section_is_set(section, "timeout"));
    g_assert_false(config_section_is_set(section, "part_size"));
    g_autofree char *masked = log_mask_secrets("x a=b\\c y a%3Db%5Cc%20");
    g_assert_cmpstr(masked, ==, "x ***y ***");
}

static void
test_comments_behind_values(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(ConfigSection) section = check("[storage a]\n"
                                             "driver = s3     # also: others\n"
                                             "endpoint = http://host/#x\t# where\n"
                                             "path = data # 1\n"
                                             "containers = b # 1\n"
                                             "folders = yes # really\n"
                                             "secret_access_key = a # b\n"
                                             "timeout = 2 ##\n"
                                             "part_size = 16M #\n",
                                             &error);
    g_assert_no_error(error);
    g_assert_cmpstr(config_section_get_string(section, "driver"), ==, "s3");
    g_assert_cmpstr(config_section_get_string(section, "endpoint"), ==, "http://host/#x");
    g_assert_true(g_str_has_suffix(config_section_get_string(section, "path"), "/data # 1"));
    g_assert_cmpstr(config_section_get_list(section, "containers")[0], ==, "b # 1");
    g_assert_cmpstr(config_section_get_string(section, "secret_access_key"), ==, "a # b");
    g_assert_true(config_section_get_boolean(section, "folders"));
    g_assert_cmpint(config_section_get_integer(section, "timeout"), ==, 2 * G_USEC_PER_SEC);
    g_assert_cmpint(config_section_get_integer(section, "part_size"), ==, 16 << 20);
}

static void
test_places(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(ConfigFile) file = load("\n[storage a]\ndriver = s3\n\nendpoint = x\n[b]\n", &error);
    g_autoptr(ConfigSection) section = config_section_check(file, "storage a", tables, &error);
    g_assert_no_error(error);
    g_assert_cmpstr(config_file_get_path(file), ==, path);
    g_assert_cmpstr(config_file_get_sections(file)[0], ==, "storage a");
    g_assert_cmpstr(config_file_get_sections(file)[1], ==, "b");
    g_assert_null(config_file_get_sections(file)[2]);
    g_assert_cmpint(config_file_get_line(file, "storage a", NULL), ==, 2);
    g_assert_cmpint(config_file_get_line(file, "storage a", "endpoint"), ==, 5);
    g_assert_cmpint(config_file_get_line(file, "storage a", "path"), ==, 0);
    g_assert_cmpint(config_file_get_line(file, "c", "path"), ==, 0);
    g_autofree char *driver = config_file_peek(file, "storage a", "driver");
    g_assert_cmpstr(driver, ==, "s3");
    g_assert_null(config_file_peek(file, "storage a", "path"));
    g_assert_null(config_file_peek(file, "c", "path"));

    g_autofree char *key_place = g_strconcat(path, ":5", NULL);
    g_autofree char *section_place = g_strconcat(path, ":2", NULL);
    g_autofree char *message = g_strconcat(path, ":5: 7 is \\x0a not", NULL);
    g_assert_cmpstr(config_section_get_place(section, "endpoint"), ==, key_place);
    g_assert_cmpstr(config_section_get_place(section, "path"), ==, section_place);
    g_assert_cmpstr(config_section_get_place(section, NULL), ==, section_place);
    g_assert_false(config_section_fail(section, "endpoint", &error, "%d is \n not", 7));
    g_assert_true(error_is(error, ERROR_BAD_CONFIG));
    g_assert_cmpstr(error->message, ==, message);
}

static void
test_absent_section_is_all_defaults(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(ConfigFile) file = load("", &error);
    const ConfigKey *const optional[] = {driver_keys, NULL};
    g_autoptr(ConfigSection) section = config_section_check(file, "storagefs", optional, &error);
    g_assert_no_error(error);
    g_assert_null(config_file_get_sections(file)[0]);
    g_assert_null(config_section_get_string(section, "endpoint"));
    g_assert_cmpint(config_section_get_integer(section, "timeout"), ==, 60 * G_USEC_PER_SEC);
    g_assert_cmpstr(config_section_get_place(section, "timeout"), ==, path);
    g_assert_null(config_section_check(file, "storage a", tables, &error));
    g_assert_nonnull(strstr(error->message, "lacks driver"));
}

static void
test_refusals(void)
{
    static const struct {
        const char *text, *says; /* behind "FILE:" */
    } cases[] = {
        {"driver = s3\n", "1: a key before the first [section]"},
        {"[a]\nhello\n", "2: neither [section], nor key = value"},
        {"[a]\n; old comment\n", "2: neither [section], nor key = value"},
        {"[a\n", "1: a section header without ']'"},
        {"[a] # x\n", "1: text after the ']'"},
        {"\n[]\n", "2: a section header without a name"},
        {"[  ]\n", "1: a section header without a name"},
        {"[storage ]\n", "1: section [storage ] ends with a blank: write [storage], or [storage NAME]"},
        {"[ a]\n", "1: section [ a] begins with a blank: write [a]"},
        {"[storage a[b]\n", "1: section [storage a[b]: a name may not hold brackets"},
        {"[storage a]]\n", "1: section [storage a]]: a name may not hold brackets"},
        {"[storage \x1b[2Ja]\n", "1: section [storage \\x1b[2Ja]: a name may not hold"},
        {"[a]\n[b]\nx=1\n[a]\n", "4: section [a] is already in line 1"},
        {"[a]\nx=1\n\nx=1\n", "4: x is already set in line 2"},
        {"[a]\n=1\n", "2: before '=' stands no key"},
        {"[a]\nx[de]=1\n", "2: before '=' stands no key"},
        {"[a]\nx y=1\n", "2: before '=' stands no key"},
        {"[a]\nx=\xff\n", "2: not UTF-8 text"},
        {"[storage a]\ndriver = s3\nendpont = x\n",
         "3: unknown key 'endpont' in [storage a]; did you mean 'endpoint'?"},
        {"[storage a]\ndriver = s3\nfoo = x\n", "3: unknown key 'foo' in [storage a]"},
        {"[storage a]\nendpoint = x\n", "1: [storage a] lacks driver"},
        {"[storage a]\ndriver =\n", "2: driver: needs a value"},
        {"[storage a]\ndriver = s4\n", "2: driver: 's4' is not one of local, s3; did you mean 's3'?"},
        {"[storage a]\ndriver = s3\npart_size = 5X\n",
         "3: part_size: '5X' is not a size: write bytes, or 64K, 512M, 2G, 1T (bytes of a part)"},
        {"[storage a]\ndriver = s3\npart_size = 5K\n", "3: part_size: '5K' is out of range: write 1M to 5G"},
        {"[storage a]\ndriver = s3\nfolders = yes#really\n", "3: folders: 'yes#really'"},
        {"[storage a]\ndriver = s3\nendpoint = a\\b\n", "3: endpoint: a '\\' in a value is written \\\\"},
        {"[storage a]\ndriver = s3\nendpoint = a\\\n", "3: endpoint: a '\\' in a value is written \\\\"},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = NULL;
        g_assert_null(check(cases[i].text, &error));
        g_assert_true(error_is(error, ERROR_BAD_CONFIG));
        g_assert_null(strchr(error->message, '\n'));
        g_assert_true(g_str_has_prefix(error->message, path));
        if (!strstr(error->message, cases[i].says))
            g_error("'%s' does not say '%s'", error->message, cases[i].says);
    }
}

/* What stands on a line that makes no sense may be a part of a private key. */
static void
test_refusals_do_not_repeat_secrets(void)
{
    static const char *const texts[] = {
        "[storage a]\ndriver = s3\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEA\n",
        "[storage a]\ndriver = s3\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEA==\n",
        "[storage a]\ndriver = s3\nsecret_access_key = MIIEvQ\\q\n",
        "[storage a]\ndriver = s3\nsecret_access_key: MIIEvQ\n",
        "MIIEvQ = 1\n",
    };
    for (gsize i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autoptr(GError) error = NULL;
        g_assert_null(check(texts[i], &error));
        g_assert_null(strstr(error->message, "MIIEvQ"));
    }
}

static void
assert_load_fails(ErrorCode code, const char *says)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(ConfigFile) file = config_file_load(path, &error);
    g_assert_null(file);
    g_assert_true(error_is(error, code));
    g_assert_nonnull(strstr(error->message, says));
    g_assert_nonnull(strstr(error->message, path));
}

static void
test_files_that_are_none(void)
{
    g_autofree char *large = g_strnfill((1 << 20) + 1, '#');
    write_file(large, 1 << 20, 0600);
    g_autoptr(ConfigFile) largest = config_file_load(path, NULL);
    g_assert_nonnull(largest);
    write_file(large, (1 << 20) + 1, 0600);
    assert_load_fails(ERROR_BAD_CONFIG, "larger than 1 MiB");
    write_file("[a]\nx=\0\n", 8, 0600);
    assert_load_fails(ERROR_BAD_CONFIG, ":2: not UTF-8");
    g_assert_cmpint(g_unlink(path), ==, 0);
    assert_load_fails(ERROR_NOT_FOUND, "No such file");
    g_assert_cmpint(g_mkdir(path, 0700), ==, 0);
    assert_load_fails(ERROR_BAD_CONFIG, "a directory");
    g_assert_cmpint(g_rmdir(path), ==, 0);
    if (geteuid() == 0)
        return;
    write_file("", 0, 0);
    assert_load_fails(ERROR_DENIED, "Permission denied");
}

static void
test_secret_in_a_shared_file(void)
{
    static const char with[] = "[storage a]\ndriver = s3\nsecret_access_key = hush\n";
    static const char without[] = "[storage a]\ndriver = s3\nsecret_access_key =\n";
    static const int modes[] = {0640, 0604, 0644, 0600, 0400, 0622};
    for (gsize i = 0; i < G_N_ELEMENTS(modes); i++) {
        g_autoptr(GError) error = NULL;
        write_file(with, -1, modes[i]);
        g_autoptr(ConfigFile) file = config_file_load(path, &error);
        g_autoptr(ConfigSection) section = config_section_check(file, "storage a", tables, &error);
        g_assert_cmpint(section == NULL, ==, (modes[i] & 0044) != 0);
        if (!error)
            continue;
        g_autofree char *remedy = g_strconcat("chmod 600 ", path, NULL);
        g_assert_true(error_is(error, ERROR_BAD_CONFIG));
        g_assert_nonnull(strstr(error->message, remedy));
        g_assert_null(strstr(error->message, "hush"));
    }
    write_file(without, -1, 0644);
    g_autoptr(ConfigFile) file = config_file_load(path, NULL);
    g_autoptr(ConfigSection) section = config_section_check(file, "storage a", tables, NULL);
    g_assert_nonnull(section);
}

/* A user or a password in it makes a URL a secret. */
static void
test_url_in_a_shared_file(void)
{
    static const struct {
        const char *url;
        const char *secret; /* NULL: it holds none */
    } cases[] = {
        {"http://u:pass%20w0rd@h:1/", "pass w0rd"},
        {"https://u:p@ssw0rd@h", "p@ssw0rd"},
        {"u:passw0rd2@h:1", "passw0rd2"},
        {"http://onlytoken@h", "onlytoken"},
        {"http://:passw0rd3@h?x", "passw0rd3"},
        {"http://h:1/path@x", NULL},
        {"http://h?a@b", NULL},
        {"h:3128", NULL},
        {"", NULL},
        {"http://", NULL},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = NULL;
        const char *url = cases[i].url;
        g_autofree char *text = g_strconcat("[storage a]\ndriver = s3\nendpoint = ", url, "\n", NULL);
        write_file(text, -1, 0644);
        g_autoptr(ConfigFile) shared = config_file_load(path, NULL);
        g_autoptr(ConfigSection) refused = config_section_check(shared, "storage a", tables, &error);
        g_assert_cmpint(refused == NULL, ==, cases[i].secret != NULL);
        g_autoptr(ConfigSection) good = check(text, NULL);
        g_assert_cmpstr(config_section_get_string(good, "endpoint"), ==, url);
        if (cases[i].secret == NULL)
            continue;
        g_assert_nonnull(strstr(error->message, "endpoint holds a secret"));
        g_assert_null(strstr(error->message, cases[i].secret));
        g_autofree char *masked = log_mask_secrets(url);
        g_assert_nonnull(strstr(masked, "***@h"));
    }
}

static void
test_equal(void)
{
    static const struct {
        const char *text;
        gboolean is_equal;
    } cases[] = {
        {"[storage a]\ndriver=s3\ncontainers=a;b\ntimeout=60000ms\n", TRUE},
        {"# moved\n[storage a]\ncontainers= a ,b\n\ndriver = s3\ndurability=storage\n", TRUE},
        {"[storage a]\ndriver=s3\ncontainers=b;a\n", FALSE},
        {"[storage a]\ndriver=s3\n", FALSE},
        {"[storage a]\ndriver=local\ncontainers=a;b\n", FALSE},
        {"[storage a]\ndriver=s3\ncontainers=a;b\ntimeout=61\n", FALSE},
        {"[storage a]\ndriver=s3\ncontainers=a;b\nsecret_access_key=x\n", FALSE},
    };
    g_autoptr(ConfigSection) first = check("[storage a]\ndriver = s3\ncontainers = a;b\n", NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(ConfigSection) other = check(cases[i].text, NULL);
        g_autoptr(ConfigSection) again = config_section_ref(other);
        g_assert_true(again == other);
        g_assert_cmpint(config_section_equal(first, other), ==, cases[i].is_equal);
        g_assert_cmpint(config_section_equal(other, first), ==, cases[i].is_equal);
    }
    const ConfigKey *const fewer[] = {common_keys, NULL};
    g_autoptr(ConfigFile) file = load("[storage a]\ndriver = s3\ncontainers = a;b\n", NULL);
    g_autoptr(ConfigSection) smaller = config_section_check(file, "storage a", fewer, NULL);
    g_assert_false(config_section_equal(first, smaller));
    g_assert_false(config_section_equal(smaller, first));
}

/* GKeyFile itself stumbles over two bad escapes in one value, so it is asked only about what we accept. */
static void
compare_value(ConfigFile *file, GKeyFile *key_file, const char *section, const char *key)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *raw = g_key_file_get_value(key_file, section, key, NULL);
    g_autofree char *ours = NULL;
    g_assert_nonnull(raw);
    g_autofree char *expected = config_value_without_comment(CONFIG_STRING, g_strchomp(raw));
    g_autofree char *peeked = config_file_peek(file, section, key);
    g_assert_cmpstr(expected, ==, peeked);
    if (!config_file_get_text(file, section, key, &ours, NULL)) {
        g_assert_nonnull(strchr(raw, '\\'));
        return;
    }
    g_key_file_set_value(key_file, section, key, raw);
    g_autofree char *theirs = g_key_file_get_string(key_file, section, key, &error);
    g_assert_no_error(error);
    g_assert_cmpstr(ours, ==, theirs);
}

static void
compare_with_key_file(ConfigFile *file, const char *text)
{
    g_autoptr(GKeyFile) key_file = g_key_file_new();
    g_autoptr(GError) error = NULL;
    if (*text != '\0')
        g_key_file_load_from_data(key_file, text, strlen(text), G_KEY_FILE_NONE, &error);
    g_assert_no_error(error);
    for (const char *const *section = config_file_get_sections(file); *section; section++)
        for (const char *const *key = config_file_get_keys(file, *section); *key; key++)
            compare_value(file, key_file, *section, *key);
}

/* Random files: never a crash, and what is accepted means what it means to GKeyFile. */
static void
test_random_files(void)
{
    static const char *const pieces[] = {
        "[",        "]",  "=",     "#",           "\\", "\\s",     "\\n", "\\t\\r", "\\\\", "\\;",
        " ",        "\t", "\r\n",  "\n",          "\n", "\n[a]\n", "a",   "b",      "key",  "[storage a]\n",
        "\xc3\xa9", ";",  "x = y", "\n[b]\nx = 1"};
    int accepted = 0;
    for (int round = 0; round < 3000; round++) {
        g_autoptr(GString) text = g_string_new(round % 2 ? "[z]\n" : NULL);
        int length = g_test_rand_int_range(0, round % 3 ? 6 : 25);
        for (int i = 0; i < length; i++)
            if (g_test_rand_int_range(0, 100) == 0)
                g_string_append_c(text, (char)g_test_rand_int_range(1, 256));
            else
                g_string_append(text, pieces[g_test_rand_int_range(0, (int)G_N_ELEMENTS(pieces))]);
        g_autoptr(GError) error = NULL;
        g_autoptr(ConfigFile) file = load(text->str, &error);
        g_assert_cmpint(file == NULL, ==, error_is(error, ERROR_BAD_CONFIG));
        if (!file)
            continue;
        accepted++;
        compare_with_key_file(file, text->str);
        g_autoptr(ConfigSection) section = config_section_check(file, "z", tables, &error);
        g_assert_cmpint(section == NULL, ==, error_is(error, ERROR_BAD_CONFIG));
    }
    g_assert_cmpint(accepted, >, 100);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    directory = g_dir_make_tmp("storagefs-config-XXXXXX", NULL);
    path = g_build_filename(directory, "storagefs.conf", NULL);
    g_test_add_func("/config-file/values", test_values_and_defaults);
    g_test_add_func("/config-file/comments-behind-values", test_comments_behind_values);
    g_test_add_func("/config-file/places", test_places);
    g_test_add_func("/config-file/absent-section", test_absent_section_is_all_defaults);
    g_test_add_func("/config-file/refusals", test_refusals);
    g_test_add_func("/config-file/no-secrets", test_refusals_do_not_repeat_secrets);
    g_test_add_func("/config-file/not-a-file", test_files_that_are_none);
    g_test_add_func("/config-file/shared", test_secret_in_a_shared_file);
    g_test_add_func("/config-file/shared-url", test_url_in_a_shared_file);
    g_test_add_func("/config-file/equal", test_equal);
    g_test_add_func("/config-file/random", test_random_files);
    int status = g_test_run();
    g_unlink(path);
    g_rmdir(directory);
    g_free(path);
    g_free(directory);
    return status;
}
