#include "drivers/local/local_metadata.h"

#include "drivers/local/local_sidecar.h"

#include <errno.h>
#include <string.h>
#include <sys/xattr.h>

/* The kernel's own bounds: a value, and the list of names, have at most 64 KiB. */
#define MAXIMUM_ATTRIBUTE_BYTES (64u << 10)

GBytes *
local_metadata_list_attributes(int fd)
{
    char path[LOCAL_PATH_PROC_BYTES], buffer[MAXIMUM_ATTRIBUTE_BYTES];
    local_path_format_proc(fd, path);
    ssize_t length = listxattr(path, buffer, sizeof buffer);
    return length >= 0 ? g_bytes_new(buffer, (gsize)length) : NULL;
}

GBytes *
local_metadata_get_attribute(int fd, const char *name)
{
    char path[LOCAL_PATH_PROC_BYTES], buffer[MAXIMUM_ATTRIBUTE_BYTES];
    local_path_format_proc(fd, path);
    ssize_t length = getxattr(path, name, buffer, sizeof buffer);
    return length >= 0 ? g_bytes_new(buffer, (gsize)length) : NULL;
}

/* The value as text; NULL when it is none. */
static char *
get_text(int fd, const char *name)
{
    g_autoptr(GBytes) value = local_metadata_get_attribute(fd, name);
    gsize length = 0;
    const char *bytes = value != NULL ? g_bytes_get_data(value, &length) : NULL;
    if (value == NULL || !g_utf8_validate_len(length > 0 ? bytes : "", length, NULL))
        return NULL;
    return g_strndup(length > 0 ? bytes : "", length);
}

static void
read_attributes(int fd, Metadata *metadata)
{
    g_autoptr(GBytes) names = local_metadata_list_attributes(fd);
    gsize length = 0;
    const char *at = names != NULL ? g_bytes_get_data(names, &length) : NULL;
    for (const char *end = at + length; at < end; at += strlen(at) + 1) {
        char *value = NULL;
        if (g_str_has_prefix(at, LOCAL_METADATA_PREFIX) && !g_str_equal(at, LOCAL_METADATA_TYPE))
            value = get_text(fd, at);
        if (value != NULL)
            g_hash_table_insert(metadata, g_strdup(at + strlen(LOCAL_METADATA_PREFIX)), value);
    }
}

gboolean
local_metadata_read(const LocalInstance *local, int fd, const char *container, const char *key,
                    char **out_content_type, Metadata **out_metadata, GError **error)
{
    g_autoptr(GHashTable) metadata = NULL;
    if (local_sidecar_applies(local, key)) {
        if (!local_sidecar_read(local, container, key, &metadata, error))
            return FALSE;
    } else {
        metadata = metadata_new();
        read_attributes(fd, metadata);
    }
    *out_content_type = get_text(fd, LOCAL_METADATA_TYPE);
    *out_metadata = g_steal_pointer(&metadata);
    return TRUE;
}

static gboolean
is_kept(const char *name, const char *content_type, Metadata *metadata)
{
    if (g_str_equal(name, LOCAL_METADATA_TYPE))
        return content_type != NULL;
    return !g_str_has_prefix(name, LOCAL_METADATA_PREFIX) ||
           (metadata != NULL && g_hash_table_contains(metadata, name + strlen(LOCAL_METADATA_PREFIX)));
}

static void
remove_others(int fd, const char *path, const char *content_type, Metadata *metadata)
{
    g_autoptr(GBytes) names = local_metadata_list_attributes(fd);
    gsize length = 0;
    const char *at = names != NULL ? g_bytes_get_data(names, &length) : NULL;
    if (at == NULL)
        return;
    for (const char *end = at + length; at < end; at += strlen(at) + 1) {
        if (!is_kept(at, content_type, metadata))
            removexattr(path, at);
    }
}

gboolean
local_metadata_write_attributes(const LocalInstance *local, int fd, const char *key, const char *content_type,
                                Metadata *metadata, GError **error)
{
    char path[LOCAL_PATH_PROC_BYTES];
    GHashTableIter iter;
    gpointer name, value;
    Metadata *stored = local_sidecar_applies(local, key) ? NULL : metadata;
    local_path_format_proc(fd, path);
    remove_others(fd, path, content_type, stored);
    /* A type is worth having where it can be kept; metadata must not be lost in silence. */
    if (content_type != NULL &&
        setxattr(path, LOCAL_METADATA_TYPE, content_type, strlen(content_type), 0) != 0 &&
        errno != EOPNOTSUPP)
        return error_set_errno(error, errno, "content type of '%s'", key);
    if (stored == NULL)
        return TRUE;
    g_hash_table_iter_init(&iter, stored);
    while (g_hash_table_iter_next(&iter, &name, &value)) {
        g_autofree char *full = g_strconcat(LOCAL_METADATA_PREFIX, name, NULL);
        if (setxattr(path, full, value, strlen(value), 0) != 0)
            return error_set_errno(error, errno, "metadata '%s' of '%s'", (char *)name, key);
    }
    return TRUE;
}

gboolean
local_metadata_write_sidecar(const LocalInstance *local, const char *container, const char *key,
                             Metadata *metadata, GError **error)
{
    if (!local_sidecar_applies(local, key))
        return TRUE;
    if (metadata == NULL || g_hash_table_size(metadata) == 0)
        return local_sidecar_delete(local, container, key, error);
    return local_sidecar_write(local, container, key, metadata, error);
}
