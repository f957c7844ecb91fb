/* One rule for each S3Names. Spec: "General purpose bucket naming rules" and the services' own pages. */
#include "drivers/s3/s3_names.h"

#include "src/base/error.h"

#include <gio/gio.h>
#include <string.h>

#define MAX_KEY_BYTES 1024u

typedef struct {
    guint minimum, maximum;
    const char *marks; /* beside letters and digits */
    gboolean upper_case, any_end;
} Alphabet;

static const Alphabet alphabets[] = {
    [S3_NAMES_PLAIN] = {3, 63, ".-"}, [S3_NAMES_AWS] = {3, 63, ".-"},     [S3_NAMES_MINIO] = {3, 63, ".-"},
    [S3_NAMES_GCS] = {3, 222, "._-"}, [S3_NAMES_B2] = {6, 63, "-", TRUE}, [S3_NAMES_HYPHEN] = {3, 63, "-"}};

static gboolean
refuse_as(ErrorCode code, GError **error, const char *what, const char *name, const char *why)
{
    g_autofree char *shown = g_strescape(name, NULL);
    g_set_error(error, STORAGEFS_ERROR, (int)code, "%s name \"%.80s\": %s", what, shown, why);
    return FALSE;
}

static gboolean
refuse(GError **error, const char *what, const char *name, const char *why)
{
    return refuse_as(ERROR_BAD_NAME, error, what, name, why);
}

static const char *
find_wrong_length_or_letter(const Alphabet *alphabet, const char *name)
{
    gsize length = strlen(name);
    if (length < alphabet->minimum || length > alphabet->maximum)
        return "it is too short or too long for this service";
    for (gsize i = 0; i < length; i++) {
        gboolean letter = g_ascii_islower(name[i]) || g_ascii_isdigit(name[i]) ||
                          (alphabet->upper_case && g_ascii_isupper(name[i]));
        if (!letter && !strchr(alphabet->marks, name[i]))
            return "this service does not allow one of its characters";
        if (!letter && (i == 0 || i == length - 1))
            return "it must begin and end with a letter or a digit";
    }
    return NULL;
}

static gboolean
begins_or_ends(const char *name, const char *const *prefixes, const char *const *suffixes)
{
    for (guint i = 0; prefixes[i]; i++) {
        if (g_str_has_prefix(name, prefixes[i]))
            return TRUE;
    }
    for (guint i = 0; suffixes[i]; i++) {
        if (g_str_has_suffix(name, suffixes[i]))
            return TRUE;
    }
    return FALSE;
}

static const char *
find_wrong_gcs_name(const char *name)
{
    if (g_str_has_prefix(name, "goog") || strstr(name, "google"))
        return "the service keeps this word for itself";
    g_auto(GStrv) parts = g_strsplit(name, ".", -1);
    for (guint i = 0; parts[i]; i++) {
        if (strlen(parts[i]) > 63)
            return "a part between dots is longer than 63";
    }
    return NULL;
}

static const char *
find_wrong_words(S3Names rule, const char *name)
{
    static const char *const none[] = {NULL};
    static const char *const prefixes[] = {"xn--", "sthree-", "amzn-s3-demo-", NULL};
    static const char *const suffixes[] = {"-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3", NULL};
    static const char *const b2_prefixes[] = {"b2-", NULL};
    if (strstr(name, "..") || g_hostname_is_ip_address(name))
        return "it must not have two dots in a row or look like an address";
    if (rule == S3_NAMES_AWS && begins_or_ends(name, prefixes, suffixes))
        return "the service keeps this prefix or suffix for itself";
    if (rule == S3_NAMES_B2 && begins_or_ends(name, b2_prefixes, none))
        return "the service keeps the prefix b2- for itself";
    if (rule == S3_NAMES_MINIO && (strstr(name, ".-") || strstr(name, "-.")))
        return "it must not have a dot beside a dash";
    return rule == S3_NAMES_GCS ? find_wrong_gcs_name(name) : NULL;
}

gboolean
s3_names_check_container(const S3Options *options, const char *name, GError **error)
{
    gsize length = strlen(name);
    const char *wrong = NULL;
    if (length < 1 || length > 255 || strchr(name, '/') || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        wrong = "it must have 1 to 255 bytes and no '/'";
    else if (!options->server_checks_names && options->preset->names != S3_NAMES_SERVER)
        wrong = find_wrong_length_or_letter(&alphabets[options->preset->names], name);
    if (!wrong && !options->server_checks_names && options->preset->names != S3_NAMES_SERVER)
        wrong = find_wrong_words(options->preset->names, name);
    return wrong ? refuse(error, "container", name, wrong) : TRUE;
}

/* MinIO keeps objects as files. */
static gboolean
has_file_name_parts(const char *key)
{
    g_auto(GStrv) parts = g_strsplit(key, "/", -1);
    for (guint i = 0; parts[i]; i++) {
        gboolean last = !parts[i + 1];
        if ((!*parts[i] && !last) || strcmp(parts[i], ".") == 0 || strcmp(parts[i], "..") == 0)
            return FALSE;
    }
    return TRUE;
}

gboolean
s3_names_check_key(const S3Options *options, const char *key, GError **error)
{
    gsize length = strlen(key);
    if (length < 1 || length > MAX_KEY_BYTES)
        return refuse_as(length < 1 ? ERROR_BAD_NAME : ERROR_NAME_TOO_LONG, error, "object", key,
                         "it must have 1 to 1024 bytes");
    if (!g_utf8_validate(key, (gssize)length, NULL))
        return refuse(error, "object", key, "this service takes UTF-8 only");
    if (options->preset->strict_keys && !has_file_name_parts(key))
        return refuse(error, "object", key, "this service takes no empty, \".\" or \"..\" parts");
    return TRUE;
}

gboolean
s3_names_check_metadata(const S3Options *options, const char *name, GError **error)
{
    gsize length = strlen(name);
    if (length < 1 || length > 1024)
        return refuse(error, "attribute", name, "it must have 1 to 1024 bytes");
    for (gsize i = 0; i < length; i++) {
        gboolean good =
            g_ascii_islower(name[i]) || g_ascii_isdigit(name[i]) || strchr("-_.!#$&'*+^`|~", name[i]);
        if (!good)
            return refuse(error, "attribute", name, "only a-z 0-9 - _ . and a few signs travel in a header");
    }
    if (options->preset->dashes_underscores && strchr(name, '_'))
        return refuse(error, "attribute", name, "this service turns '_' into '-'");
    return TRUE;
}
