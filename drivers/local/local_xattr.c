#include "drivers/local/local_xattr.h"

#include "drivers/local/local_instance.h"
#include "drivers/local/local_metadata.h"
#include "drivers/local/local_names.h"
#include "drivers/local/local_sidecar.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

/* The entry itself, of whatever kind. */
static int
open_entry(LocalInstance *local, const char *container, const char *key, GError **error)
{
    int fd =
        local_names_is_reachable(key) ? local_path_open(&local->root, container, key, O_PATH, 0) : -ENOENT;
    if (fd < 0)
        error_set_errno(error, -fd, "'%s/%s'", container, key);
    return fd;
}

static gboolean
check_name(const char *name, GError **error)
{
    if (g_str_has_prefix(name, LOCAL_METADATA_PREFIX) && strlen(name) > strlen(LOCAL_METADATA_PREFIX))
        return TRUE;
    g_set_error(error, STORAGEFS_ERROR, ERROR_UNSUPPORTED,
                "attribute '%s': only names that begin with 'user.' can be used", name);
    return FALSE;
}

/* The attribute lives in the sidecar: directories and content types have none. */
static gboolean
is_in_sidecar(LocalInstance *local, int fd, const char *key, const char *name)
{
    struct stat info;
    return local_sidecar_applies(local, key) && !g_str_equal(name, LOCAL_METADATA_TYPE) &&
           fstat(fd, &info) == 0 && S_ISREG(info.st_mode);
}

static gboolean
fail_attribute(int errnum, const char *container, const char *key, const char *name, GError **error)
{
    return error_set_errno(error, errnum, "attribute '%s' of '%s/%s'", name, container, key);
}

static gboolean
get_from_sidecar(LocalInstance *local, const char *container, const char *key, const char *name,
                 GBytes **out_value, GError **error)
{
    g_autoptr(GHashTable) metadata = NULL;
    if (!local_sidecar_read(local, container, key, &metadata, error))
        return FALSE;
    const char *value = g_hash_table_lookup(metadata, name + strlen(LOCAL_METADATA_PREFIX));
    if (value == NULL)
        return fail_attribute(ENODATA, container, key, name, error);
    *out_value = g_bytes_new(value, strlen(value));
    return TRUE;
}

gboolean
local_xattr_get(DriverInstance *instance, const char *container, const char *key, const char *name,
                GBytes **out_value, GError **error)
{
    LocalInstance *local = (LocalInstance *)instance;
    int fd = check_name(name, error) ? open_entry(local, container, key, error) : -1;
    if (fd < 0)
        return FALSE;
    gboolean in_sidecar = is_in_sidecar(local, fd, key, name);
    GBytes *value = in_sidecar ? NULL : local_metadata_get_attribute(fd, name);
    int failed = errno;
    close(fd);
    if (in_sidecar)
        return get_from_sidecar(local, container, key, name, out_value, error);
    if (value == NULL)
        return fail_attribute(failed, container, key, name, error);
    *out_value = value;
    return TRUE;
}

static void
append_name(GByteArray *names, const char *name)
{
    g_byte_array_append(names, (const guint8 *)name, (guint)strlen(name) + 1);
}

static void
append_own_names(int fd, gboolean only_type, GByteArray *names)
{
    g_autoptr(GBytes) listed = local_metadata_list_attributes(fd);
    gsize length = 0;
    const char *at = listed != NULL ? g_bytes_get_data(listed, &length) : NULL;
    if (at == NULL)
        return;
    for (const char *end = at + length; at < end; at += strlen(at) + 1) {
        if (g_str_has_prefix(at, LOCAL_METADATA_PREFIX) &&
            (!only_type || g_str_equal(at, LOCAL_METADATA_TYPE)))
            append_name(names, at);
    }
}

static gboolean
append_sidecar_names(LocalInstance *local, const char *container, const char *key, GByteArray *names,
                     GError **error)
{
    g_autoptr(GHashTable) metadata = NULL;
    if (!local_sidecar_read(local, container, key, &metadata, error))
        return FALSE;
    GHashTableIter iter;
    gpointer name;
    g_hash_table_iter_init(&iter, metadata);
    while (g_hash_table_iter_next(&iter, &name, NULL)) {
        g_autofree char *full = g_strconcat(LOCAL_METADATA_PREFIX, name, NULL);
        append_name(names, full);
    }
    return TRUE;
}

gboolean
local_xattr_list(DriverInstance *instance, const char *container, const char *key, GBytes **out_names,
                 GError **error)
{
    LocalInstance *local = (LocalInstance *)instance;
    int fd = open_entry(local, container, key, error);
    if (fd < 0)
        return FALSE;
    g_autoptr(GByteArray) names = g_byte_array_new();
    gboolean in_sidecar = is_in_sidecar(local, fd, key, LOCAL_METADATA_PREFIX);
    append_own_names(fd, in_sidecar, names);
    close(fd);
    if (in_sidecar && !append_sidecar_names(local, container, key, names, error))
        return FALSE;
    *out_names = g_byte_array_free_to_bytes(g_steal_pointer(&names));
    return TRUE;
}

/* One name of the sidecar becomes `value`, or goes with NULL. Two changes at once: the later one stays. */
static gboolean
change_sidecar(LocalInstance *local, const char *container, const char *key, const char *name,
               const char *value, int flags, GError **error)
{
    g_autoptr(GHashTable) metadata = NULL;
    const char *bare = name + strlen(LOCAL_METADATA_PREFIX);
    if (!local_sidecar_read(local, container, key, &metadata, error))
        return FALSE;
    gboolean there = g_hash_table_contains(metadata, bare);
    if (there && (flags & XATTR_CREATE) != 0)
        return fail_attribute(EEXIST, container, key, name, error);
    if (!there && (value == NULL || (flags & XATTR_REPLACE) != 0))
        return fail_attribute(ENODATA, container, key, name, error);
    if (value != NULL)
        g_hash_table_insert(metadata, g_strdup(bare), g_strdup(value));
    else
        g_hash_table_remove(metadata, bare);
    return local_sidecar_write(local, container, key, metadata, error);
}

static gboolean
set_in_sidecar(LocalInstance *local, const char *container, const char *key, const char *name,
               const void *value, gsize length, int flags, GError **error)
{
    if (length > 0 && !g_utf8_validate_len(value, length, NULL)) {
        g_set_error(error, STORAGEFS_ERROR, ERROR_BAD_ARGUMENT,
                    "attribute '%s' of '%s/%s': a sidecar takes UTF-8 text only", name, container, key);
        return FALSE;
    }
    g_autofree char *text = g_strndup(length > 0 ? value : "", length);
    return change_sidecar(local, container, key, name, text, flags, error);
}

gboolean
local_xattr_set(DriverInstance *instance, const char *container, const char *key, const char *name,
                const void *value, gsize length_bytes, int flags, GError **error)
{
    LocalInstance *local = (LocalInstance *)instance;
    char path[LOCAL_PATH_PROC_BYTES];
    int fd = check_name(name, error) ? open_entry(local, container, key, error) : -1;
    if (fd < 0)
        return FALSE;
    gboolean in_sidecar = is_in_sidecar(local, fd, key, name);
    local_path_format_proc(fd, path);
    int failed = in_sidecar || setxattr(path, name, value, length_bytes, flags) == 0 ? 0 : errno;
    close(fd);
    if (in_sidecar)
        return set_in_sidecar(local, container, key, name, value, length_bytes, flags, error);
    return failed == 0 || fail_attribute(failed, container, key, name, error);
}

gboolean
local_xattr_remove(DriverInstance *instance, const char *container, const char *key, const char *name,
                   GError **error)
{
    LocalInstance *local = (LocalInstance *)instance;
    char path[LOCAL_PATH_PROC_BYTES];
    int fd = check_name(name, error) ? open_entry(local, container, key, error) : -1;
    if (fd < 0)
        return FALSE;
    gboolean in_sidecar = is_in_sidecar(local, fd, key, name);
    local_path_format_proc(fd, path);
    int failed = in_sidecar || removexattr(path, name) == 0 ? 0 : errno;
    close(fd);
    if (in_sidecar)
        return change_sidecar(local, container, key, name, NULL, 0, error);
    return failed == 0 || fail_attribute(failed, container, key, name, error);
}
