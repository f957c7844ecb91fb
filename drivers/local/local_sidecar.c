#include "drivers/local/local_sidecar.h"

#include "drivers/local/local_json.h"
#include "drivers/local/local_names.h"
#include "drivers/local/local_stage.h"
#include "src/base/json_shape.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAXIMUM_SIDECAR_BYTES (1u << 20)

gboolean
local_sidecar_applies(const LocalInstance *local, const char *key)
{
    return local->sidecar && !g_str_has_suffix(key, LOCAL_SIDECAR_SUFFIX) && !g_str_has_suffix(key, "/") &&
           *key != '\0';
}

char *
local_sidecar_get_key(const char *key)
{
    return g_strconcat(key, LOCAL_SIDECAR_SUFFIX, NULL);
}

gboolean
local_sidecar_fits(const char *key)
{
    const char *slash = strrchr(key, '/');
    return strlen(slash != NULL ? slash + 1 : key) + strlen(LOCAL_SIDECAR_SUFFIX) <=
           LOCAL_NAMES_MAXIMUM_PART_BYTES;
}

static gboolean
fail_format(const char *container, const char *key, const char *why, GError **error)
{
    g_set_error(error, STORAGEFS_ERROR, ERROR_PROTOCOL, "sidecar '%s/%s%s' %s", container, key,
                LOCAL_SIDECAR_SUFFIX, why);
    return FALSE;
}

/* The whole text of the sidecar, NULL text when there is none. */
static gboolean
load_text(const LocalInstance *local, const char *container, const char *key, char **out_text, GError **error)
{
    g_autofree char *sidecar = local_sidecar_get_key(key);
    int fd = local_path_open(&local->root, container, sidecar, O_RDONLY | O_NONBLOCK, 0);
    /* A name that leaves no room for the suffix has no sidecar. */
    if (fd == -ENOENT || fd == -ENOTDIR || fd == -ENAMETOOLONG) {
        *out_text = NULL;
        return TRUE;
    }
    if (fd < 0)
        return error_set_errno(error, -fd, "sidecar '%s/%s'", container, sidecar);
    struct stat info;
    gboolean usable = fstat(fd, &info) == 0 && S_ISREG(info.st_mode) && info.st_size <= MAXIMUM_SIDECAR_BYTES;
    g_autofree char *text = usable ? g_malloc0((gsize)info.st_size + 1) : NULL;
    ssize_t length = usable ? pread(fd, text, (gsize)info.st_size, 0) : -1;
    close(fd);
    if (length < 0)
        return fail_format(container, key, "is no regular file of at most 1 MiB", error);
    *out_text = g_steal_pointer(&text);
    return TRUE;
}

/* The parsed sidecar; an empty object when there is none. */
static JsonNode *
load(const LocalInstance *local, const char *container, const char *key, GError **error)
{
    g_autofree char *text = NULL;
    if (!load_text(local, container, key, &text, error))
        return NULL;
    const char *given = text != NULL ? text : "{}";
    g_autoptr(JsonNode) node = json_shape_check(given, strlen(given)) ? json_from_string(given, NULL) : NULL;
    if (node == NULL || !JSON_NODE_HOLDS_OBJECT(node)) {
        fail_format(container, key, "is no JSON object", error);
        return NULL;
    }
    return g_steal_pointer(&node);
}

/* An escape may have been half of a character, and metadata is UTF-8. */
static char *
get_text(JsonNode *value)
{
    if (JSON_NODE_HOLDS_VALUE(value) && json_node_get_value_type(value) == G_TYPE_STRING)
        return g_utf8_make_valid(json_node_get_string(value), -1);
    return local_json_dump(value);
}

gboolean
local_sidecar_read(const LocalInstance *local, const char *container, const char *key,
                   Metadata **out_metadata, GError **error)
{
    g_autoptr(JsonNode) node = load(local, container, key, error);
    if (node == NULL)
        return FALSE;
    Metadata *metadata = metadata_new();
    JsonObjectIter iter;
    const char *name;
    JsonNode *value;
    json_object_iter_init(&iter, json_node_get_object(node));
    while (json_object_iter_next(&iter, &name, &value))
        g_hash_table_insert(metadata, g_utf8_make_valid(name, -1), get_text(value));
    *out_metadata = metadata;
    return TRUE;
}

/* Drops the members that `metadata` has no more, keeps those whose text is the same, sets the others. */
static void
merge(JsonObject *object, Metadata *metadata)
{
    g_autoptr(GList) members = json_object_get_members(object);
    for (GList *item = members; item != NULL; item = item->next) {
        const char *wanted = g_hash_table_lookup(metadata, item->data);
        g_autofree char *text = get_text(json_object_get_member(object, item->data));
        if (wanted == NULL)
            json_object_remove_member(object, item->data);
        else if (!g_str_equal(wanted, text))
            json_object_set_string_member(object, item->data, wanted);
    }
    GHashTableIter iter;
    gpointer name, value;
    g_hash_table_iter_init(&iter, metadata);
    while (g_hash_table_iter_next(&iter, &name, &value)) {
        if (!json_object_has_member(object, name))
            json_object_set_string_member(object, name, value);
    }
}

static gboolean
write_all(int fd, const char *text, gsize length)
{
    while (length > 0) {
        ssize_t written = write(fd, text, length);
        if (written < 0 && errno != EINTR)
            return FALSE;
        if (written > 0) {
            text += written;
            length -= (gsize)written;
        }
    }
    return TRUE;
}

gboolean
local_sidecar_write(const LocalInstance *local, const char *container, const char *key, Metadata *metadata,
                    GError **error)
{
    /* One that does not parse is replaced: there is nothing in it to keep. */
    g_autoptr(JsonNode) node = load(local, container, key, NULL);
    if (node == NULL)
        node = json_from_string("{}", NULL);
    merge(json_node_get_object(node), metadata);
    g_autofree char *text = local_json_dump(node);
    g_autofree char *sidecar = local_sidecar_get_key(key);
    g_auto(LocalStage) stage = LOCAL_STAGE_EMPTY;
    if (!local_stage_open(local, container, &stage, error))
        return FALSE;
    if (!write_all(stage.fd, text, strlen(text)))
        return error_set_errno(error, errno, "sidecar '%s/%s'", container, sidecar);
    return local_stage_publish(local, &stage, container, sidecar, FALSE, error);
}

gboolean
local_sidecar_delete(const LocalInstance *local, const char *container, const char *key, GError **error)
{
    g_autofree char *sidecar = local_sidecar_get_key(key);
    g_autofree char *leaf = NULL;
    int parent = local_path_open_parent(&local->root, container, sidecar, FALSE, &leaf);
    int result = parent < 0 ? parent : unlinkat(parent, leaf, 0) == 0 ? 0 : -errno;
    if (parent >= 0)
        close(parent);
    if (result == 0 || result == -ENOENT || result == -ENOTDIR || result == -ENAMETOOLONG)
        return TRUE;
    return error_set_errno(error, -result, "sidecar '%s/%s'", container, sidecar);
}
