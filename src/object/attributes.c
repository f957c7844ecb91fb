/* The attribute names and formats of the programs that share containers with us.
 *
 * One table names every spelling; its order is the order in which they are looked for. Sources of the
 * formats: s3fs-fuse src/metaheader.cpp, rclone backend/s3, azureblob and googlecloudstorage, gcsfuse
 * internal/gcsx, geesefs and goofys internal/dir.go, azure-storage-fuse component/azstorage, gsutil
 * gslib/utils/posix_util.py.
 */
#include "src/object/attributes.h"

#include "src/object/content_type.h"

#include <string.h>

typedef enum {
    ROLE_MTIME,      /* decimal seconds with any fraction, or RFC 3339 */
    ROLE_MODE,       /* decimal st_mode */
    ROLE_MODE_OCTAL, /* octal permission bits */
    ROLE_UID,
    ROLE_GID,
    ROLE_SYMLINK_MARK,  /* "true": the body is the target */
    ROLE_SYMLINK_VALUE, /* the target itself */
    ROLE_FOLDER_MARK,   /* "true" */
    ROLE_OTHER          /* belongs to another program: carried along, not shown */
} Role;

static const struct {
    const char *name;
    Role role;
} NAMES[] = {
    {"mtime", ROLE_MTIME},
    {"goog-reserved-file-mtime", ROLE_MTIME},
    {"gcsfuse_mtime", ROLE_MTIME},
    {"mode", ROLE_MODE},
    {"permissions", ROLE_MODE},
    {"goog-reserved-posix-mode", ROLE_MODE_OCTAL},
    {"uid", ROLE_UID},
    {"owner", ROLE_UID},
    {"goog-reserved-posix-uid", ROLE_UID},
    {"gid", ROLE_GID},
    {"group", ROLE_GID},
    {"goog-reserved-posix-gid", ROLE_GID},
    {"goog-reserved-file-is-symlink", ROLE_SYMLINK_MARK},
    {"is_symlink", ROLE_SYMLINK_MARK},
    {"--symlink-target", ROLE_SYMLINK_VALUE},
    {"gcsfuse_symlink_target", ROLE_SYMLINK_VALUE},
    {"hdi_isfolder", ROLE_FOLDER_MARK},
    {"ctime", ROLE_OTHER},
    {"atime", ROLE_OTHER},
    {"goog-reserved-file-atime", ROLE_OTHER},
    {"xattr", ROLE_OTHER},
    {"rdev", ROLE_OTHER},
    {"md5chksum", ROLE_OTHER},
};

static const char *const FOLDER_TYPES[] = {"application/x-directory", "httpd/unix-directory",
                                           "application/directory"};

/* Keeps seconds * 10^9 inside gint64. */
#define MAXIMUM_SECONDS (G_MAXINT64 / G_GINT64_CONSTANT(1000000000) - 1)

static gboolean
parse_digits(const char **text, guint64 maximum, guint64 *out)
{
    const char *p = *text;
    guint64 value = 0;
    if (!g_ascii_isdigit(*p))
        return FALSE;
    for (; g_ascii_isdigit(*p); p++) {
        value = value * 10 + (guint64)(*p - '0');
        if (value > maximum)
            return FALSE;
    }
    *text = p;
    *out = value;
    return TRUE;
}

/* Digits past the ninth are below a nanosecond. */
static gboolean
parse_fraction(const char **text, gint64 *out_ns)
{
    const char *p = *text;
    gint64 ns = 0, unit = 100000000;
    if (!g_ascii_isdigit(*p))
        return FALSE;
    for (; g_ascii_isdigit(*p); p++, unit /= 10)
        ns += (*p - '0') * unit;
    *text = p;
    *out_ns = ns;
    return TRUE;
}

static gboolean
parse_decimal_time(const char *text, gint64 *out_ns)
{
    gboolean negative = *text == '-';
    const char *p = negative ? text + 1 : text;
    guint64 seconds = 0;
    gint64 fraction = 0;
    if (!parse_digits(&p, MAXIMUM_SECONDS, &seconds))
        return FALSE;
    if (*p == '.' && (p++, !parse_fraction(&p, &fraction)))
        return FALSE;
    if (*p != '\0')
        return FALSE;
    gint64 ns = (gint64)seconds * 1000000000 + fraction;
    *out_ns = negative ? -ns : ns;
    return TRUE;
}

static gboolean
parse_rfc3339(const char *text, gint64 *out_ns)
{
    /* GDateTime accepts more of ISO 8601 than RFC 3339 has; a date alone or a local time names no instant. */
    if (strlen(text) < 20 || strlen(text) > 64 || text[10] == '\0' || strchr("Tt ", text[10]) == NULL)
        return FALSE;
    g_autofree char *normal = g_strdup(text);
    normal[10] = 'T';
    const char *dot = strchr(normal, '.');
    gint64 fraction = 0;
    if (dot != NULL) {
        const char *end = dot + 1;
        if (!parse_fraction(&end, &fraction))
            return FALSE;
        memmove(normal + (dot - normal), end, strlen(end) + 1);
    }
    g_autoptr(GDateTime) time = g_date_time_new_from_iso8601(normal, NULL);
    if (time == NULL)
        return FALSE;
    gint64 seconds = g_date_time_to_unix(time);
    if (seconds > MAXIMUM_SECONDS || seconds < -MAXIMUM_SECONDS)
        return FALSE;
    *out_ns = seconds * 1000000000 + fraction;
    return TRUE;
}

static gboolean
parse_mtime(const char *text, gint64 *out_ns)
{
    return parse_decimal_time(text, out_ns) || parse_rfc3339(text, out_ns);
}

static gboolean
parse_mode(const char *text, gboolean octal, mode_t *out)
{
    guint64 value = 0;
    if (octal) {
        gsize length = strlen(text);
        if (length == 0 || length > 5 || strspn(text, "01234567") != length)
            return FALSE;
        *out = (mode_t)g_ascii_strtoull(text, NULL, 8) & 07777;
        return TRUE;
    }
    if (!parse_digits(&text, 0177777, &value) || *text != '\0')
        return FALSE;
    *out = (mode_t)value;
    return TRUE;
}

static gboolean
parse_id(const char *text, guint32 *out)
{
    guint64 value = 0;
    /* The largest value means "nobody, leave it" to chown(2). */
    if (!parse_digits(&text, G_MAXUINT32 - 1, &value) || *text != '\0')
        return FALSE;
    *out = (guint32)value;
    return TRUE;
}

static gboolean
is_true(const char *text)
{
    return g_ascii_strcasecmp(text, "true") == 0;
}

typedef struct {
    gboolean has_mtime, has_mode, has_uid, has_gid, is_symlink, is_folder;
} Found;

static void
decode_one(Role role, const char *text, Found *found, FileAttributes *out)
{
    switch (role) {
    case ROLE_MTIME:
        found->has_mtime = found->has_mtime || parse_mtime(text, &out->mtime_ns);
        break;
    case ROLE_MODE:
    case ROLE_MODE_OCTAL:
        found->has_mode = found->has_mode || parse_mode(text, role == ROLE_MODE_OCTAL, &out->mode);
        break;
    case ROLE_UID:
        found->has_uid = found->has_uid || parse_id(text, &out->uid);
        break;
    case ROLE_GID:
        found->has_gid = found->has_gid || parse_id(text, &out->gid);
        break;
    case ROLE_SYMLINK_MARK:
        found->is_symlink = found->is_symlink || is_true(text);
        break;
    case ROLE_SYMLINK_VALUE:
        found->is_symlink = TRUE;
        break;
    case ROLE_FOLDER_MARK:
        found->is_folder = found->is_folder || is_true(text);
        break;
    case ROLE_OTHER:
        break;
    }
}

static gboolean
is_folder_marker(const ObjectInfo *info)
{
    gsize length = info->key != NULL ? strlen(info->key) : 0;
    if (info->size_bytes != 0)
        return FALSE;
    if (length > 0 && info->key[length - 1] == '/')
        return TRUE;
    for (gsize i = 0; info->content_type != NULL && i < G_N_ELEMENTS(FOLDER_TYPES); i++) {
        /* Parameters such as "; charset=UTF-8" do not matter. */
        gsize type_length = strlen(FOLDER_TYPES[i]);
        if (g_ascii_strncasecmp(info->content_type, FOLDER_TYPES[i], type_length) == 0 &&
            (info->content_type[type_length] == '\0' || info->content_type[type_length] == ';'))
            return TRUE;
    }
    return FALSE;
}

/* Device nodes and sockets are not offered: their objects are shown as the files they are. */
static mode_t
choose_type(const Found *found, const ObjectInfo *info, mode_t mode)
{
    mode_t type = found->has_mode ? mode & S_IFMT : 0;
    if (type == S_IFDIR || type == S_IFLNK || type == S_IFREG)
        return type;
    if (found->is_symlink)
        return S_IFLNK;
    return found->is_folder || is_folder_marker(info) ? S_IFDIR : S_IFREG;
}

void
attributes_decode(const ObjectInfo *info, const AttributeDefaults *defaults, FileAttributes *out)
{
    Found found = {0};
    *out = (FileAttributes){.size_bytes = info->size_bytes, .uid = defaults->uid, .gid = defaults->gid};
    for (gsize i = 0; info->metadata != NULL && i < G_N_ELEMENTS(NAMES); i++) {
        const char *text = g_hash_table_lookup(info->metadata, NAMES[i].name);
        if (text != NULL)
            decode_one(NAMES[i].role, text, &found, out);
    }
    mode_t type = choose_type(&found, info, out->mode);
    if (!found.has_mtime)
        out->mtime_ns = info->mtime_ns;
    if (found.has_mode)
        out->mode = type | (out->mode & 07777);
    else if (type == S_IFLNK)
        out->mode = S_IFLNK | 0777;
    else
        out->mode = type | (type == S_IFDIR ? defaults->folder_mode : defaults->file_mode);
    const char *target = type == S_IFLNK ? attributes_get_symlink_target(info) : NULL;
    if (target != NULL)
        out->size_bytes = strlen(target);
}

static const char *
find_role(const char *name, Role *out)
{
    for (gsize i = 0; i < G_N_ELEMENTS(NAMES); i++) {
        if (strcmp(NAMES[i].name, name) == 0) {
            *out = NAMES[i].role;
            return NAMES[i].name;
        }
    }
    return NULL;
}

void
attributes_forget_content(Metadata *metadata)
{
    g_hash_table_remove(metadata, "md5chksum");
}

gboolean
attributes_is_reserved(const char *metadata_name)
{
    Role role;
    return find_role(metadata_name, &role) != NULL;
}

/* Spellings that would contradict what is written beside them. */
static gboolean
is_superseded(Role role, mode_t mode)
{
    switch (role) {
    case ROLE_SYMLINK_MARK:
    case ROLE_SYMLINK_VALUE:
        return !S_ISLNK(mode);
    case ROLE_FOLDER_MARK:
        return !S_ISDIR(mode);
    case ROLE_OTHER:
        return FALSE;
    default:
        return TRUE;
    }
}

static char *
format_mtime(gint64 mtime_ns)
{
    guint64 magnitude = mtime_ns < 0 ? 0 - (guint64)mtime_ns : (guint64)mtime_ns;
    const char *sign = mtime_ns < 0 ? "-" : "";
    guint64 seconds = magnitude / 1000000000, rest = magnitude % 1000000000;
    if (rest == 0)
        return g_strdup_printf("%s%" G_GUINT64_FORMAT, sign, seconds);
    /* s3fs reads the digits as a count of nanoseconds, rclone as a fraction: nine digits are both. */
    return g_strdup_printf("%s%" G_GUINT64_FORMAT ".%09" G_GUINT64_FORMAT, sign, seconds, rest);
}

Metadata *
attributes_encode(const FileAttributes *attributes, Metadata *others)
{
    Metadata *metadata = metadata_new();
    GHashTableIter iter;
    gpointer name = NULL, value = NULL;
    if (others != NULL) {
        g_hash_table_iter_init(&iter, others);
        while (g_hash_table_iter_next(&iter, &name, &value)) {
            Role role;
            if (find_role(name, &role) == NULL || !is_superseded(role, attributes->mode))
                g_hash_table_insert(metadata, g_strdup(name), g_strdup(value));
        }
    }
    if (attributes->mtime_ns != ATTRIBUTES_NO_TIME)
        g_hash_table_insert(metadata, g_strdup("mtime"), format_mtime(attributes->mtime_ns));
    g_hash_table_insert(metadata, g_strdup("mode"), g_strdup_printf("%u", (guint)attributes->mode));
    g_hash_table_insert(metadata, g_strdup("uid"), g_strdup_printf("%u", (guint)attributes->uid));
    g_hash_table_insert(metadata, g_strdup("gid"), g_strdup_printf("%u", (guint)attributes->gid));
    return metadata;
}

const char *
attributes_get_symlink_target(const ObjectInfo *info)
{
    for (gsize i = 0; info->metadata != NULL && i < G_N_ELEMENTS(NAMES); i++) {
        const char *text = g_hash_table_lookup(info->metadata, NAMES[i].name);
        if (NAMES[i].role == ROLE_SYMLINK_VALUE && text != NULL && *text != '\0')
            return text;
    }
    return NULL;
}

const char *
attributes_guess_content_type(const char *key)
{
    return content_type_guess(key);
}
