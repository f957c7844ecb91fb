/* Values by type: one parser per ConfigType, in a table. */
#include "src/base/config_value.h"

#include "src/base/error.h"
#include "src/base/log.h"

#include <string.h>

#define MODE_MAX 07777

typedef gboolean (*ParseValue)(const ConfigKey *key, const char *text, const char *directory,
                               ConfigValue *out, GError **error);

static gboolean fail(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);

static gboolean
fail(GError **error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *message = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    g_autofree char *line = log_escape(message);
    g_set_error_literal(error, STORAGEFS_ERROR, ERROR_BAD_CONFIG, line);
    return FALSE;
}

/* As it would be written in the file. */
static char *
format_number(ConfigType type, gint64 number)
{
    static const char units[] = "KMGTP";
    if (type == CONFIG_OCTAL)
        return g_strdup_printf("%04o", (guint)number);
    if (type == CONFIG_DURATION) {
        if (number % G_USEC_PER_SEC == 0)
            return g_strdup_printf("%" G_GINT64_FORMAT "s", number / (gint64)G_USEC_PER_SEC);
        return g_strdup_printf("%" G_GINT64_FORMAT "us", number);
    }
    gsize unit = 0;
    while (type == CONFIG_SIZE && number > 0 && number % 1024 == 0 && unit < strlen(units)) {
        number /= 1024;
        unit++;
    }
    return g_strdup_printf("%" G_GINT64_FORMAT "%.*s", number, unit > 0, unit > 0 ? units + unit - 1 : "");
}

static gboolean
check_bounds(const ConfigKey *key, const char *text, gint64 number, GError **error)
{
    gboolean is_unbounded = key->minimum == 0 && key->maximum == 0;
    if (is_unbounded || (number >= key->minimum && number <= key->maximum))
        return TRUE;
    g_autofree char *minimum = format_number(key->type, key->minimum);
    g_autofree char *maximum = format_number(key->type, key->maximum);
    return fail(error, "'%s' is out of range: write %s to %s", text, minimum, maximum);
}

static gboolean
parse_string(const ConfigKey *key, const char *text, const char *directory, ConfigValue *out, GError **error)
{
    out->text = g_strdup(text);
    return TRUE;
}

static gboolean
parse_boolean(const ConfigKey *key, const char *text, const char *directory, ConfigValue *out, GError **error)
{
    gboolean value;
    if (!config_parse_boolean(text, &value, error))
        return FALSE;
    out->integer = value;
    return TRUE;
}

static gboolean
parse_integer(const ConfigKey *key, const char *text, const char *directory, ConfigValue *out, GError **error)
{
    gint64 number;
    if (!g_ascii_string_to_signed(text, 10, G_MININT64, G_MAXINT64, &number, NULL))
        return fail(error, "'%.80s' is not a whole number", text);
    if (!check_bounds(key, text, number, error))
        return FALSE;
    out->integer = number;
    return TRUE;
}

static gboolean
parse_size(const ConfigKey *key, const char *text, const char *directory, ConfigValue *out, GError **error)
{
    gint64 bytes;
    if (!config_parse_size(text, &bytes, error) || !check_bounds(key, text, bytes, error))
        return FALSE;
    out->integer = bytes;
    return TRUE;
}

static gboolean
parse_duration(const ConfigKey *key, const char *text, const char *directory, ConfigValue *out,
               GError **error)
{
    gint64 us;
    if (!config_parse_duration(text, &us, error) || !check_bounds(key, text, us, error))
        return FALSE;
    out->integer = us;
    return TRUE;
}

static gboolean
parse_octal(const ConfigKey *key, const char *text, const char *directory, ConfigValue *out, GError **error)
{
    guint64 mode;
    if (!g_ascii_string_to_unsigned(text, 8, 0, MODE_MAX, &mode, NULL))
        return fail(error, "'%.80s' is not a mode: write octal digits such as 0644", text);
    if (!check_bounds(key, text, (gint64)mode, error))
        return FALSE;
    out->integer = (gint64)mode;
    return TRUE;
}

static gboolean
parse_list(const ConfigKey *key, const char *text, const char *directory, ConfigValue *out, GError **error)
{
    g_autoptr(GStrvBuilder) names = g_strv_builder_new();
    g_auto(GStrv) parts = g_strsplit_set(text, ";,", -1);
    for (char **part = parts; *part; part++)
        if (*g_strstrip(*part) != '\0')
            g_strv_builder_add(names, *part);
    out->list = g_strv_builder_end(names);
    return TRUE;
}

static gboolean
parse_choice(const ConfigKey *key, const char *text, const char *directory, ConfigValue *out, GError **error)
{
    if (!g_strv_contains(key->choices, text)) {
        g_autofree char *all = g_strjoinv(", ", (char **)key->choices);
        const char *nearest = config_nearest(text, key->choices);
        return fail(error, "'%.80s' is not one of %s%s%s%s", text, all, nearest ? "; did you mean '" : "",
                    nearest ? nearest : "", nearest ? "'?" : "");
    }
    out->text = g_strdup(text);
    return TRUE;
}

static gboolean
parse_path(const ConfigKey *key, const char *text, const char *directory, ConfigValue *out, GError **error)
{
    if (text[0] == '~' && text[1] != '/' && text[1] != '\0')
        return fail(error, "'%.80s': only ~/ is expanded, write the path of the other home directory", text);
    g_autofree char *expanded =
        text[0] == '~' ? g_build_filename(g_get_home_dir(), text + 1, NULL) : g_strdup(text);
    out->text = g_canonicalize_filename(expanded, directory);
    return TRUE;
}

/* may_have_comment: " #" and what follows is no part of a value of this type, so it is a comment. */
static const struct {
    ParseValue parse;
    gboolean may_be_empty, may_have_comment;
} types[] = {
    [CONFIG_STRING] = {parse_string, TRUE, TRUE},      [CONFIG_SECRET] = {parse_string, TRUE, FALSE},
    [CONFIG_URL] = {parse_string, TRUE, TRUE},         [CONFIG_BOOLEAN] = {parse_boolean, FALSE, TRUE},
    [CONFIG_INTEGER] = {parse_integer, FALSE, TRUE},   [CONFIG_SIZE] = {parse_size, FALSE, TRUE},
    [CONFIG_DURATION] = {parse_duration, FALSE, TRUE}, [CONFIG_LIST] = {parse_list, TRUE, FALSE},
    [CONFIG_CHOICE] = {parse_choice, FALSE, TRUE},     [CONFIG_PATH] = {parse_path, FALSE, FALSE},
    [CONFIG_OCTAL] = {parse_octal, FALSE, TRUE},
};

char *
config_value_without_comment(ConfigType type, const char *text)
{
    char *bare = g_strdup(text);
    for (char *c = bare; types[type].may_have_comment && *c != '\0'; c++) {
        if (*c != '#' || (c > bare && c[-1] != ' ' && c[-1] != '\t'))
            continue;
        *c = '\0';
        g_strchomp(bare);
        break;
    }
    return bare;
}

/* The key before the reason; behind it what the key means, and the commonest mistake where it was made. */
static void
explain(const ConfigKey *key, const char *text, GError *reason, GError **error)
{
    gboolean has_comment = strstr(text, " #") || strstr(text, "\t#");
    g_set_error(error, reason->domain, reason->code, "%s: %s%s%s%s%s", key->name, reason->message,
                key->help ? " (" : "", key->help ? key->help : "", key->help ? ")" : "",
                has_comment ? "; a comment needs a line of its own" : "");
}

gboolean
config_value_parse(const ConfigKey *key, const char *written, const char *directory, ConfigValue *out,
                   GError **error)
{
    g_autofree char *text = config_value_without_comment(key->type, written);
    g_autoptr(GError) reason = NULL;
    ConfigValue value = {0};
    gboolean is_empty = *text == '\0';
    if (is_empty && (key->required || !types[key->type].may_be_empty))
        fail(&reason, key->required ? "needs a value" : "has no value: remove the line to have the default");
    else if (types[key->type].parse(key, text, directory, &value, &reason))
        *out = value;
    if (reason)
        explain(key, text, reason, error);
    return !reason;
}

/* RFC 3986 section 3.2.1, and what curl takes beyond: a URL without a scheme. */
static char *
dup_userinfo(const char *url)
{
    const char *scheme = strstr(url, "://");
    const char *start = scheme ? scheme + 3 : url;
    const char *end = g_strrstr_len(start, (gssize)strcspn(start, "/?#"), "@");
    return end ? g_strndup(start, (gsize)(end - start)) : NULL;
}

char *
config_value_dup_secret(ConfigType type, const ConfigValue *value)
{
    if (type == CONFIG_SECRET)
        return value->text && *value->text != '\0' ? g_strdup(value->text) : NULL;
    g_autofree char *userinfo = type == CONFIG_URL && value->text ? dup_userinfo(value->text) : NULL;
    if (!userinfo)
        return NULL;
    const char *colon = strchr(userinfo, ':');
    const char *password = colon ? colon + 1 : userinfo;
    char *plain = g_uri_unescape_string(password, NULL);
    return plain ? plain : g_strdup(password);
}

void
config_value_clear(ConfigValue *value)
{
    g_free(value->text);
    g_strfreev(value->list);
    *value = (ConfigValue){0};
}

gboolean
config_value_equal(const ConfigValue *a, const ConfigValue *b)
{
    static const char *const none[] = {NULL};
    return a->integer == b->integer && g_strcmp0(a->text, b->text) == 0 &&
           g_strv_equal(a->list ? (const char *const *)a->list : none,
                        b->list ? (const char *const *)b->list : none);
}
