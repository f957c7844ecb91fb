/* Extended attributes of objects: user.mime_type is the content type, user.KEY the user metadata KEY, and
 * storagefs.* (read-only, and outside "user." so that copying tools leave it alone) what the service says.
 */
#include "src/tree/objects.h"

#include <string.h>
#include <sys/xattr.h>

#define USER_PREFIX "user."
#define MIME_TYPE "user.mime_type"

static gboolean
fail_missing(const char *name, GError **error)
{
    g_set_error(error, STORAGEFS_ERROR, ERROR_NO_ATTRIBUTE, "there is no attribute %s", name);
    return FALSE;
}

static gboolean
fail_unsupported(const char *name, GError **error)
{
    g_set_error(error, STORAGEFS_ERROR, ERROR_UNSUPPORTED, "attribute %s: only user.* can be kept", name);
    return FALSE;
}

/* What an open file is to be stored with goes before what it is stored with. */
static void
take_pending_locked(Node *node, ObjectInfo *info)
{
    if (node->kind != NODE_FILE || node->file == NULL || !object_file_is_dirty(node->file))
        return;
    g_free(info->content_type);
    g_clear_pointer(&info->metadata, g_hash_table_unref);
    object_file_get_metadata(node->file, &info->content_type, &info->metadata);
}

static gboolean
fetch_details(Tree *tree, Call *call, Node *node, ObjectInfo *out, GError **error)
{
    if (node->kind == NODE_CONTAINER)
        return TRUE;
    lock_acquire(&tree->lock);
    gboolean dirty = tree_core_is_dirty(node);
    gboolean known = dirty || node->flags & NODE_DETACHED;
    known = known && (objects_get_details_locked(tree, node, out) || dirty);
    take_pending_locked(node, out);
    lock_release(&tree->lock);
    if (known)
        return TRUE;
    object_info_clear(out);
    if (!objects_fetch_details(tree, call, node, out, error))
        return FALSE;
    lock_acquire(&tree->lock);
    take_pending_locked(node, out);
    lock_release(&tree->lock);
    return TRUE;
}

/* Of one name after the other, perhaps. */
static gboolean
read_details(Tree *tree, Call *call, Node *node, ObjectInfo *out, GError **error)
{
    lock_acquire(&tree->lock);
    if (node->kind != NODE_CONTAINER)
        objects_ahead_note_details_locked(tree, node);
    lock_release(&tree->lock);
    return fetch_details(tree, call, node, out, error);
}

static gboolean
make_place(Tree *tree, Node *node, NodePlace *place, GError **error)
{
    lock_acquire(&tree->lock);
    gboolean ok = node->kind == NODE_CONTAINER || node_place_init(place, node->parent, node->name, error);
    lock_release(&tree->lock);
    return ok;
}

static gboolean
get_own(Node *node, const NodePlace *place, const ObjectInfo *info, const char *name, char **out_text,
        GError **error)
{
    const char *key = node->kind == NODE_FOLDER ? place->prefix : place->key;
    const char *text = NULL;
    if (strcmp(name, "storagefs.url") == 0)
        return key != NULL ? storage_sign_url(place->storage, place->container, key, out_text, error)
                           : fail_missing(name, error);
    if (strcmp(name, "storagefs.key") == 0)
        text = key;
    else if (strcmp(name, "storagefs.etag") == 0)
        text = info->etag;
    else if (strcmp(name, "storagefs.version") == 0)
        text = info->version;
    else if (strcmp(name, "storagefs.storage_class") == 0)
        text = info->storage_class;
    if (text == NULL)
        return fail_missing(name, error);
    *out_text = g_strdup(text);
    return TRUE;
}

static const char *
get_user(const ObjectInfo *info, const char *name)
{
    if (strcmp(name, MIME_TYPE) == 0)
        return info->content_type;
    const char *key = name + strlen(USER_PREFIX);
    if (info->metadata == NULL || attributes_is_reserved(key))
        return NULL;
    return g_hash_table_lookup(info->metadata, key);
}

gboolean
objects_get_xattr(Tree *tree, Call *call, Node *node, const char *name, GBytes **out_value, GError **error)
{
    gboolean is_user = g_str_has_prefix(name, USER_PREFIX), is_own = g_str_has_prefix(name, "storagefs.");
    g_auto(NodePlace) place = {0};
    g_auto(ObjectInfo) info = {0};
    g_autofree char *text = NULL;
    if (!is_user && !is_own)
        return fail_unsupported(name, error);
    if (!make_place(tree, node, &place, error) || !read_details(tree, call, node, &info, error))
        return FALSE;
    if (is_own && !get_own(node, &place, &info, name, &text, error))
        return FALSE;
    if (is_user)
        text = g_strdup(get_user(&info, name));
    if (text == NULL)
        return fail_missing(name, error);
    *out_value = g_bytes_new(text, strlen(text));
    return TRUE;
}

static void
append_name(GByteArray *names, const char *prefix, const char *name)
{
    g_autofree char *full = g_strconcat(prefix, name, NULL);
    g_byte_array_append(names, (const guint8 *)full, (guint)strlen(full) + 1);
}

/* Without storagefs.*: tools that copy attributes would try to set them. */
gboolean
objects_list_xattrs(Tree *tree, Call *call, Node *node, GBytes **out_names, GError **error)
{
    g_auto(ObjectInfo) info = {0};
    if (!read_details(tree, call, node, &info, error))
        return FALSE;
    GByteArray *names = g_byte_array_new();
    GHashTableIter iter;
    gpointer key;
    if (info.content_type != NULL)
        append_name(names, "", MIME_TYPE);
    if (info.metadata != NULL) {
        g_hash_table_iter_init(&iter, info.metadata);
        while (g_hash_table_iter_next(&iter, &key, NULL))
            if (!attributes_is_reserved(key))
                append_name(names, USER_PREFIX, key);
    }
    *out_names = g_byte_array_free_to_bytes(names);
    return TRUE;
}

/* What the object is to have: its content type, and its metadata; what of it holds attributes of the file is
 * written anew. */
typedef struct {
    char *content_type;
    Metadata *others;
} Wanted;

static void
wanted_clear(Wanted *wanted)
{
    g_free(wanted->content_type);
    g_clear_pointer(&wanted->others, g_hash_table_unref);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Wanted, wanted_clear)

static void
init_wanted(Wanted *wanted, const ObjectInfo *info)
{
    GHashTableIter iter;
    gpointer key, value;
    wanted->content_type = g_strdup(info->content_type);
    wanted->others = metadata_new();
    if (info->metadata == NULL)
        return;
    g_hash_table_iter_init(&iter, info->metadata);
    while (g_hash_table_iter_next(&iter, &key, &value))
        g_hash_table_insert(wanted->others, g_strdup(key), g_strdup(value));
}

/* What the service would refuse, in words that not every service finds. */
static gboolean
check_room(Tree *tree, Node *node, const Wanted *wanted, GError **error)
{
    FileAttributes attributes;
    g_autoptr(GError) why = NULL;
    lock_acquire(&tree->lock);
    entry_facts_to_attributes(&node->facts, &attributes);
    lock_release(&tree->lock);
    g_autoptr(GHashTable) metadata = attributes_encode(&attributes, wanted->others);
    g_autoptr(Storage) storage = tree_core_ref_storage(tree, node);
    if (storage_check_metadata(storage, metadata, &why))
        return TRUE;
    ErrorCode code = error_is(why, ERROR_TOO_LARGE) ? ERROR_NO_SPACE : ERROR_BAD_ARGUMENT;
    g_set_error_literal(error, STORAGEFS_ERROR, (gint)code, why->message);
    return FALSE;
}

static gboolean
store_once(Tree *tree, Call *call, Node *node, const Wanted *wanted, gboolean *out_overtaken, GError **error)
{
    FileAttributes attributes;
    *out_overtaken = FALSE;
    FileHandle *held = objects_hold_open(tree, node);
    lock_acquire(&tree->lock);
    entry_facts_to_attributes(&node->facts, &attributes);
    lock_release(&tree->lock);
    if (held == NULL)
        return objects_store_metadata(tree, call, node, &attributes, wanted->content_type, wanted->others,
                                      out_overtaken, error);
    ObjectFile *file = object_file_of_handle(held);
    gboolean kept = object_file_is_dirty(file) && !object_file_is_waiting(file);
    gboolean publish = !kept && !object_file_is_dropped(file);
    object_file_set_metadata(file, wanted->content_type, wanted->others);
    gboolean ok = !publish || object_file_sync(file, call, error);
    objects_release(tree, call, node, held);
    return ok;
}

static gboolean
store(Tree *tree, Call *call, Node *node, const Wanted *wanted, GError **error)
{
    gboolean ok = TRUE, overtaken = TRUE;
    for (guint attempt = 0; ok && overtaken && attempt < OBJECTS_METADATA_ATTEMPTS; attempt++)
        ok = store_once(tree, call, node, wanted, &overtaken, error);
    return ok;
}

static gboolean
check_name(Storage *storage, const char *name, GError **error)
{
    if (!g_str_has_prefix(name, USER_PREFIX) || name[strlen(USER_PREFIX)] == '\0')
        return fail_unsupported(name, error);
    if (strcmp(name, MIME_TYPE) == 0)
        return TRUE;
    const char *key = name + strlen(USER_PREFIX);
    if (attributes_is_reserved(key)) {
        g_set_error(error, STORAGEFS_ERROR, ERROR_BAD_ARGUMENT,
                    "%s holds a file attribute: use chmod, chown or touch", name);
        return FALSE;
    }
    return storage_check_metadata_name(storage, key, error);
}

static gboolean
begin_change(Tree *tree, Call *call, Node *node, const char *name, ObjectInfo *info, GError **error)
{
    if (node->kind == NODE_CONTAINER) {
        g_set_error(error, STORAGEFS_ERROR, ERROR_UNSUPPORTED, "a container keeps no attributes");
        return FALSE;
    }
    g_autoptr(Storage) storage = tree_core_ref_storage(tree, node);
    return tree_core_check_writable(tree, node, error) && check_name(storage, name, error) &&
           fetch_details(tree, call, node, info, error);
}

static gboolean
check_flags(const ObjectInfo *info, const char *name, int flags, GError **error)
{
    gboolean exists = get_user(info, name) != NULL;
    if (flags & XATTR_REPLACE && !exists)
        return fail_missing(name, error);
    if (!(flags & XATTR_CREATE) || !exists)
        return TRUE;
    g_set_error(error, STORAGEFS_ERROR, ERROR_EXISTS, "attribute %s exists", name);
    return FALSE;
}

/* Headers carry text of one line. */
static char *
make_text(GBytes *value, GError **error)
{
    gsize length = 0;
    const char *data = g_bytes_get_data(value, &length);
    gboolean ok = length == 0 || (g_utf8_validate_len(data, length, NULL) &&
                                  memchr(data, '\n', length) == NULL && memchr(data, '\r', length) == NULL);
    if (ok)
        return g_strndup(data != NULL ? data : "", length);
    g_set_error(error, STORAGEFS_ERROR, ERROR_BAD_ARGUMENT, "object metadata is UTF-8 text of one line");
    return NULL;
}

gboolean
objects_set_xattr(Tree *tree, Call *call, Node *node, const char *name, GBytes *value, int flags,
                  GError **error)
{
    g_auto(ObjectInfo) info = {0};
    g_auto(Wanted) wanted = {0};
    if (!begin_change(tree, call, node, name, &info, error) || !check_flags(&info, name, flags, error))
        return FALSE;
    char *text = make_text(value, error);
    if (text == NULL)
        return FALSE;
    init_wanted(&wanted, &info);
    if (strcmp(name, MIME_TYPE) == 0) {
        g_free(wanted.content_type);
        wanted.content_type = text;
    } else {
        g_hash_table_insert(wanted.others, g_strdup(name + strlen(USER_PREFIX)), text);
    }
    return check_room(tree, node, &wanted, error) && store(tree, call, node, &wanted, error);
}

gboolean
objects_remove_xattr(Tree *tree, Call *call, Node *node, const char *name, GError **error)
{
    g_auto(ObjectInfo) info = {0};
    g_auto(Wanted) wanted = {0};
    if (!begin_change(tree, call, node, name, &info, error))
        return FALSE;
    if (get_user(&info, name) == NULL)
        return fail_missing(name, error);
    init_wanted(&wanted, &info);
    if (strcmp(name, MIME_TYPE) == 0) {
        g_free(wanted.content_type);
        wanted.content_type = g_strdup("application/octet-stream");
    } else {
        g_hash_table_remove(wanted.others, name + strlen(USER_PREFIX));
    }
    return store(tree, call, node, &wanted, error);
}
