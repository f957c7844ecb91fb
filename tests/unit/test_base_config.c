/* Configuration values: the parsers, their messages, and the nearest word. */
#include "src/base/config.h"
#include "src/base/config_value.h"
#include "src/base/error.h"

#include <string.h>

static void
assert_refused(gboolean result, GError *error, const char *text)
{
    g_assert_false(result);
    g_assert_true(error_is(error, ERROR_BAD_CONFIG));
    if (strlen(text) < 40 && g_str_is_ascii(text))
        g_assert_nonnull(strstr(error->message, text));
}

static void
test_sizes(void)
{
    static const struct {
        const char *text;
        gint64 bytes; /* negative: refused */
    } cases[] = {
        {"0", 0},
        {"512", 512},
        {"512B", 512},
        {"64K", 65536},
        {"64k", 65536},
        {"64KiB", 65536},
        {"512M", 512 << 20},
        {"2G", G_GINT64_CONSTANT(2) << 30},
        {"1T", G_GINT64_CONSTANT(1) << 40},
        {"7P", G_GINT64_CONSTANT(7) << 50},
        {"9223372036854775807", G_MAXINT64},
        {"9223372036854775808", -1},
        {"8192P", -1},
        {"99999999999999999999999", -1},
        {"", -1},
        {"K", -1},
        {"-1", -1},
        {"+1", -1},
        {" 1", -1},
        {"1 K", -1},
        {"1KB", -1},
        {"1.5G", -1},
        {"0x10", -1},
        {"1Kx", -1},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = NULL;
        gint64 bytes = -7;
        gboolean ok = config_parse_size(cases[i].text, &bytes, &error);
        if (cases[i].bytes < 0)
            assert_refused(ok, error, cases[i].text);
        else
            g_assert_true(ok);
        g_assert_cmpint(bytes, ==, cases[i].bytes < 0 ? -7 : cases[i].bytes);
    }
}

static void
test_durations(void)
{
    static const struct {
        const char *text;
        gint64 us;
    } cases[] = {
        {"0", 0},
        {"1", 1000000},
        {"0.5", 500000},
        {"500ms", 500000},
        {"10s", 10000000},
        {"2m", 120000000},
        {"2min", 120000000},
        {"1h", G_GINT64_CONSTANT(3600000000)},
        {"1d", G_GINT64_CONSTANT(86400000000)},
        {"250us", 250},
        {"1.5m", 90000000},
        {"0.000001", 1},
        {"0.0000019", 1},
        {"1.25ms", 1250},
        {"0.9999999999999999999999999", 999999},
        {"9223372036854s", G_GINT64_CONSTANT(9223372036854000000)},
        {"9223372036855s", -1},
        {"9223372036854.9", -1},
        {"9999999999999999d", -1},
        {"", -1},
        {"s", -1},
        {".5", -1},
        {"1.", -1},
        {"1.s", -1},
        {"-1", -1},
        {"1 s", -1},
        {"1,5", -1},
        {"1e3", -1},
        {"1y", -1},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = NULL;
        gint64 us = -7;
        gboolean ok = config_parse_duration(cases[i].text, &us, &error);
        if (cases[i].us < 0)
            assert_refused(ok, error, cases[i].text);
        else
            g_assert_true(ok);
        g_assert_cmpint(us, ==, cases[i].us < 0 ? -7 : cases[i].us);
    }
}

static void
test_booleans(void)
{
    static const char *const yes[] = {"yes", "true", "1", "on", "YES", "True", NULL};
    static const char *const no[] = {"no", "false", "0", "off", "No", "OFF", NULL};
    static const char *const neither[] = {"", "y", "2", "yes ", "maybe", NULL};
    gboolean value;
    for (gsize i = 0; yes[i]; i++)
        g_assert_true(config_parse_boolean(yes[i], &value, NULL) && value);
    for (gsize i = 0; no[i]; i++)
        g_assert_true(config_parse_boolean(no[i], &value, NULL) && !value);
    for (gsize i = 0; neither[i]; i++) {
        g_autoptr(GError) error = NULL;
        gboolean ok = config_parse_boolean(neither[i], &value, &error);
        assert_refused(ok, error, neither[i]);
    }
}

static void
test_nearest(void)
{
    static const char *const words[] = {"endpoint", "region",     "access_key_id", "secret_access_key",
                                        "size",     "cache_size", "path",          NULL};
    static const struct {
        const char *word, *nearest;
    } cases[] = {
        {"endpont", "endpoint"},
        {"enpdoint", "endpoint"},
        {"Endpoint", "endpoint"},
        {"endpoint_url", "endpoint"},
        {"cache-size", "cache_size"},
        {"access_key", "access_key_id"},
        {"secret_acces_key", "secret_access_key"},
        {"sise", "size"},
        {"szie", "size"},
        {"pth", "path"},
        {"x", NULL},
        {"", NULL},
        {"completely", NULL},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++)
        g_assert_cmpstr(config_nearest(cases[i].word, words), ==, cases[i].nearest);
    g_autofree char *huge = g_strnfill(100000, 'e');
    g_assert_null(config_nearest(huge, words));
    g_assert_null(config_nearest("elephant", (const char *const[]){huge, NULL}));
    g_assert_null(config_nearest("size", (const char *const[]){NULL}));
}

static const char *const modes[] = {"storage", "journal", NULL};

/* A value by its key, as the text that the table of cases below has: "" for what is refused. */
static char *
show_value(const ConfigKey *key, const char *text, GError **error)
{
    ConfigValue value;
    if (!config_value_parse(key, text, "/etc/storagefs", &value, error))
        return g_strdup("");
    char *shown = value.text   ? g_strdup(value.text)
                  : value.list ? g_strjoinv("|", value.list)
                               : g_strdup_printf("%" G_GINT64_FORMAT, value.integer);
    config_value_clear(&value);
    return shown;
}

static void
test_values_by_type(void)
{
    static const ConfigKey port = {"port", CONFIG_INTEGER, NULL, 1, 65535, .help = "TCP port"};
    static const ConfigKey any = {"any", CONFIG_INTEGER};
    static const ConfigKey size = {"size", CONFIG_SIZE, NULL, 1 << 20, 1 << 30};
    static const ConfigKey wait = {"wait", CONFIG_DURATION, NULL, 1000, 60000000};
    static const ConfigKey mode = {"mode", CONFIG_OCTAL};
    static const ConfigKey choice = {"durability", CONFIG_CHOICE, .choices = modes};
    static const ConfigKey path = {"path", CONFIG_PATH};
    static const ConfigKey list = {"containers", CONFIG_LIST};
    static const ConfigKey string = {"endpoint", CONFIG_STRING};
    static const ConfigKey needed = {"endpoint", CONFIG_STRING, .required = TRUE};
    static const struct {
        const ConfigKey *key;
        const char *text, *value; /* NULL: refused, and `says` is in the message */
        const char *says;
    } cases[] = {
        {&port, "80", "80"},
        {&port, "0", NULL, "port: '0' is out of range: write 1 to 65535 (TCP port)"},
        {&port, "65536", NULL, "1 to 65535"},
        {&port, "80a", NULL, "not a whole number"},
        {&port, "", NULL, "remove the line"},
        {&port, "80 # web", "80"},
        {&any, "-9223372036854775808", "-9223372036854775808"},
        {&any, "9223372036854775808", NULL, "not a whole number"},
        {&any, "a\nb", NULL, "a\\x0ab"},
        {&size, "2M", "2097152"},
        {&size, "1K", NULL, "write 1M to 1G"},
        {&size, "2 M", NULL, "512M"},
        {&wait, "1ms", "1000"},
        {&wait, "1us", NULL, "write 1000us to 60s"},
        {&mode, "0644", "420"},
        {&mode, "7777", "4095"},
        {&mode, "10000", NULL, "octal digits"},
        {&mode, "0648", NULL, "octal digits"},
        {&choice, "journal", "journal"},
        {&choice, "jurnal", NULL, "one of storage, journal; did you mean 'journal'?"},
        {&choice, "cloud", NULL, "one of storage, journal"},
        {&path, "/srv//data/", "/srv/data"},
        {&path, "data", "/etc/storagefs/data"},
        {&path, "../data", "/etc/data"},
        {&path, "~other/x", NULL, "only ~/"},
        {&path, "", NULL, "has no value"},
        {&list, " a ; b,c;;", "a|b|c"},
        {&list, "", ""},
        {&string, "http://h/#frag", "http://h/#frag"},
        {&string, "", ""},
        {&needed, "", NULL, "endpoint: needs a value"},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = NULL;
        g_autofree char *shown = show_value(cases[i].key, cases[i].text, &error);
        g_assert_cmpstr(shown, ==, cases[i].value ? cases[i].value : "");
        g_assert_cmpint(error == NULL, ==, cases[i].value != NULL);
        if (error && !strstr(error->message, cases[i].says))
            g_error("'%s' does not say '%s'", error->message, cases[i].says);
    }
    g_autofree char *home = show_value(&path, "~/storage", NULL);
    g_autofree char *bare_home = show_value(&path, "~", NULL);
    g_autofree char *expected = g_build_filename(g_get_home_dir(), "storage", NULL);
    g_assert_cmpstr(home, ==, expected);
    g_assert_true(g_str_has_prefix(home, bare_home));
}

static void
test_random_bytes_never_crash(void)
{
    static const char likely[] = "0123456789.KMGTPiBusmhd+- \t~/;,xyesno\\";
    ConfigKey key = {"key", CONFIG_STRING, .choices = modes};
    for (int round = 0; round < 40000; round++) {
        char text[40] = "";
        int length = g_test_rand_int_range(0, (int)sizeof(text));
        for (int i = 0; i < length; i++)
            text[i] = round % 3 ? likely[g_test_rand_int_range(0, (int)strlen(likely))]
                                : (char)g_test_rand_int_range(1, 256);
        g_autoptr(GError) error = NULL;
        key.type = (ConfigType)(round % (CONFIG_OCTAL + 1));
        g_autofree char *shown = show_value(&key, text, &error);
        g_assert_nonnull(shown);
        if (error) {
            g_assert_true(error_is(error, ERROR_BAD_CONFIG));
            g_assert_true(g_utf8_validate(error->message, -1, NULL));
            g_assert_null(strchr(error->message, '\n'));
        }
        config_nearest(text, modes);
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/config/sizes", test_sizes);
    g_test_add_func("/config/durations", test_durations);
    g_test_add_func("/config/booleans", test_booleans);
    g_test_add_func("/config/nearest", test_nearest);
    g_test_add_func("/config/values", test_values_by_type);
    g_test_add_func("/config/random", test_random_bytes_never_crash);
    return g_test_run();
}
