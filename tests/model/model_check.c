/* What the tree shows and the store has, against the model. */
#include "tests/model/model_world.h"

#include <fcntl.h>
#include <string.h>

static gboolean
differ_error(ModelThread *thread, const char *path, const char *what, const GError *error)
{
    if (thread->may_fail && !thread->failed) {
        thread->failed = TRUE;
        thread->failed_code = (ErrorCode)error->code;
        return FALSE;
    }
    model_differ(thread, "%s: %s fails: %s", path, what, error != NULL ? error->message : "(no error)");
    return FALSE;
}

/* TRUE: it is there, and should be. */
static gboolean
reach_expected(ModelThread *thread, const char *path, TreeEntry *out)
{
    g_autoptr(GError) error = NULL;
    ModelFile *file = model_state_get(&thread->state, path);
    ModelReach reach = model_reach(thread, path, out, &error);
    if (reach == REACH_ERROR)
        return differ_error(thread, path, "look-up", error);
    if ((reach == REACH_OK) != (file != NULL))
        model_differ(thread, "%s is %s, the model says %s", path, reach == REACH_OK ? "there" : "absent",
                     file != NULL ? "there" : "absent");
    else if (reach == REACH_OK && (out->stat.st_mode & S_IFMT) != (file->mode & S_IFMT))
        model_differ(thread, "%s has type %o, the model says %o", path, out->stat.st_mode & S_IFMT,
                     file->mode & S_IFMT);
    if (reach == REACH_OK && model_differs(thread))
        model_forget(thread, out->node);
    return reach == REACH_OK && !model_differs(thread);
}

static void
compare_stat(ModelThread *thread, const char *path, const struct stat *found)
{
    ModelFile *file = model_state_get(&thread->state, path);
    gint64 mtime_ns = found->st_mtim.tv_sec * G_GINT64_CONSTANT(1000000000) + found->st_mtim.tv_nsec;
    if (!S_ISLNK(file->mode) && found->st_mode != file->mode)
        model_differ(thread, "%s has mode %o, the model says %o", path, found->st_mode, file->mode);
    if (!S_ISDIR(file->mode) && (gsize)found->st_size != file->bytes->len)
        model_differ(thread, "%s has %" G_GINT64_FORMAT " bytes, the model says %u", path,
                     (gint64)found->st_size, file->bytes->len);
    if (file->mtime_ns != MODEL_NO_TIME && file->mtime_ns != mtime_ns)
        model_differ(thread, "%s has mtime %" G_GINT64_FORMAT ", the model says %" G_GINT64_FORMAT, path,
                     mtime_ns, file->mtime_ns);
}

void
model_check_stat(ModelThread *thread, const char *path)
{
    g_autoptr(GError) error = NULL;
    Tree *tree = thread->world->tree;
    TreeEntry entry = {0};
    struct stat found;
    gint64 valid_us;
    if (!reach_expected(thread, path, &entry))
        return;
    g_autoptr(Call) call = tree_new_call(tree, entry.node);
    if (tree_stat_ready(tree, entry.node, NULL, &found, &valid_us) ||
        tree_stat(tree, call, entry.node, NULL, &found, &valid_us, &error))
        compare_stat(thread, path, &found);
    else
        differ_error(thread, path, "stat", error);
    model_forget(thread, entry.node);
}

gboolean
model_read(ModelThread *thread, FileHandle *handle, guint64 offset, gsize length, GByteArray *out,
           GError **error)
{
    while (out->len < length) {
        g_auto(ReadVector) vector;
        read_vector_init(&vector);
        g_autoptr(Call) call = call_new(20 * G_USEC_PER_SEC);
        gsize rest = length - out->len;
        guint64 at = offset + out->len;
        if (!handle->operations->read_ready(handle, at, rest, &vector) &&
            !handle->operations->read(handle, call, at, rest, &vector, error))
            return FALSE;
        for (guint i = 0; i < vector.count; i++)
            g_byte_array_append(out, vector.pieces[i].iov_base, (guint)vector.pieces[i].iov_len);
        if (vector.length_bytes == 0)
            return TRUE;
    }
    return TRUE;
}

void
model_compare_bytes(ModelThread *thread, const char *what, ModelFile *file, guint64 offset, gsize length,
                    const GByteArray *found)
{
    gsize there = offset < file->bytes->len ? MIN(length, file->bytes->len - offset) : 0;
    const guint8 *wanted = file->bytes->data + offset;
    gsize at = 0;
    while (at < there && at < found->len && found->data[at] == wanted[at])
        at++;
    if (at < there || found->len != there)
        model_differ(thread,
                     "%s: %u bytes read at %" G_GUINT64_FORMAT ", the model says %zu, first difference at "
                     "%" G_GUINT64_FORMAT " (%u, model %u)",
                     what, found->len, offset, there, offset + at, at < found->len ? found->data[at] : 0,
                     at < there ? wanted[at] : 0);
}

static void
check_target(ModelThread *thread, const char *path, Node *node)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *target = NULL;
    ModelFile *file = model_state_get(&thread->state, path);
    if (!tree_read_symlink(thread->world->tree, NULL, node, &target, &error))
        differ_error(thread, path, "readlink", error);
    else if (strlen(target) != file->bytes->len || memcmp(target, file->bytes->data, file->bytes->len) != 0)
        model_differ(thread, "%s points to %s", path, target);
}

void
model_check_content(ModelThread *thread, const char *path)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GByteArray) found = g_byte_array_new();
    Tree *tree = thread->world->tree;
    TreeEntry entry = {0};
    FileHandle *handle = NULL;
    gboolean keep;
    if (!reach_expected(thread, path, &entry))
        return;
    g_autoptr(Call) call = tree_new_call(tree, entry.node);
    if (S_ISLNK(entry.stat.st_mode)) {
        check_target(thread, path, entry.node);
    } else if (S_ISREG(entry.stat.st_mode)) {
        if (!tree_open_ready(tree, entry.node, O_RDONLY, &handle, &keep) &&
            !tree_open(tree, call, entry.node, O_RDONLY, &handle, &keep, &error))
            differ_error(thread, path, "open", error);
        else if (!model_read(thread, handle, 0, 2 * MODEL_MAXIMUM_BYTES, found, &error))
            differ_error(thread, path, "read", error);
        else
            model_compare_bytes(thread, path, model_state_get(&thread->state, path), 0,
                                2 * MODEL_MAXIMUM_BYTES, found);
        if (handle != NULL)
            tree_release(tree, call, entry.node, handle);
    }
    model_forget(thread, entry.node);
}

static gint
compare_lines(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* In the flat layout all threads have one directory. */
static const char *
own_name(ModelThread *thread, const char *name)
{
    if (thread->world->variant->scope.folders)
        return name;
    return g_str_has_prefix(name, thread->prefix) ? name + strlen(thread->prefix) : NULL;
}

/* A listing may leave the type to whoever looks. */
static mode_t
model_type(ModelThread *thread, const char *folder, const char *name)
{
    g_autofree char *path = g_strconcat(folder, folder[0] != '\0' ? "/" : "", name, NULL);
    ModelFile *file = model_state_get(&thread->state, path);
    return file != NULL ? file->mode & S_IFMT : 0;
}

static gboolean
read_names(ModelThread *thread, const char *folder, DirectoryHandle *handle, GPtrArray *out, GError **error)
{
    Tree *tree = thread->world->tree;
    guint64 offset = TREE_FIRST_OFFSET;
    for (;;) {
        DirectoryItem item = {0};
        TreeEntry entry = {0};
        gboolean end = FALSE;
        if (!tree_directory_next_ready(tree, handle, offset, &item, &end) &&
            !tree_directory_next(tree, NULL, handle, offset, &item, &end, error))
            return FALSE;
        if (end)
            return TRUE;
        offset = item.next_offset;
        const char *name = own_name(thread, item.name);
        if (name == NULL)
            continue;
        g_autofree char *kept = g_strdup(name);
        mode_t type = item.type;
        if (tree_directory_take(tree, handle, &item, &entry)) {
            type = entry.stat.st_mode & S_IFMT;
            tree_forget(tree, entry.node, 1);
        }
        if (type == 0)
            type = model_type(thread, folder, kept);
        g_ptr_array_add(out, g_strdup_printf("%s %o", kept, type));
    }
}

void
model_check_list(ModelThread *thread, const char *folder)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) lines = g_ptr_array_new_with_free_func(g_free);
    Tree *tree = thread->world->tree;
    TreeEntry entry = {.node = thread->base};
    DirectoryHandle *handle = NULL;
    if (folder[0] != '\0' && !reach_expected(thread, folder, &entry))
        return;
    if (!tree_open_directory(tree, NULL, entry.node, &handle, &error) ||
        !read_names(thread, folder, handle, lines, &error)) {
        differ_error(thread, folder, "list", error);
    } else {
        g_ptr_array_sort(lines, compare_lines);
        g_ptr_array_add(lines, NULL);
        g_autofree char *found = g_strjoinv("\n", (char **)lines->pdata);
        g_autofree char *wanted = model_state_list(&thread->state, folder);
        if (strcmp(found, wanted) != 0)
            model_differ(thread, "\"%s\" lists\n%s\nthe model\n%s", folder, found, wanted);
    }
    if (handle != NULL)
        tree_close_directory(tree, handle);
    if (folder[0] != '\0')
        model_forget(thread, entry.node);
}

void
model_check_xattr(ModelThread *thread, const char *path, const char *name)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) value = NULL;
    ModelFile *file = model_state_get(&thread->state, path);
    const char *wanted = g_hash_table_lookup(file->xattrs, name);
    TreeEntry entry = {0};
    if (!reach_expected(thread, path, &entry))
        return;
    gboolean ok = tree_get_xattr(thread->world->tree, NULL, entry.node, name, &value, &error);
    model_forget(thread, entry.node);
    if (!ok && !error_is(error, ERROR_NO_ATTRIBUTE)) {
        differ_error(thread, path, "getxattr", error);
        return;
    }
    gsize length = 0;
    const void *data = ok ? g_bytes_get_data(value, &length) : NULL;
    if (ok != (wanted != NULL) || (ok && (length != strlen(wanted) || memcmp(data, wanted, length) != 0)))
        model_differ(thread, "%s has %s \"%.*s\", the model says \"%s\"", path, name, (int)length,
                     ok ? (const char *)data : "", wanted != NULL ? wanted : "(none)");
}

void
model_check_tree(ModelThread *thread)
{
    g_autoptr(GList) paths = g_hash_table_get_keys(thread->state.files);
    model_check_list(thread, "");
    for (GList *at = paths; at != NULL && !model_differs(thread); at = at->next) {
        const char *path = at->data;
        model_check_stat(thread, path);
        if (model_state_is_folder(&thread->state, path))
            model_check_list(thread, path);
        else
            model_check_content(thread, path);
        if (model_state_is_file(&thread->state, path)) {
            model_check_xattr(thread, path, "user.one");
            model_check_xattr(thread, path, "user.two");
        }
    }
}

void
model_check_store(ModelThread *thread)
{
    g_autoptr(GHashTable) found = model_world_dump(thread->world, thread->prefix);
    g_autoptr(GHashTable) wanted =
        model_state_dump(&thread->state, thread->prefix, thread->world->variant->scope.folders);
    GHashTableIter iter;
    gpointer key, value;
    g_hash_table_iter_init(&iter, wanted);
    while (g_hash_table_iter_next(&iter, &key, &value)) {
        GBytes *bytes = g_hash_table_lookup(found, key);
        gboolean is_folder = g_str_has_suffix(key, "/");
        if (bytes == NULL || (!is_folder && !g_bytes_equal(bytes, value)))
            model_differ(thread, "the store has %s of %s (%zd bytes, the model says %zu)",
                         bytes == NULL ? "nothing" : "other bytes", (char *)key,
                         bytes != NULL ? (gssize)g_bytes_get_size(bytes) : -1, g_bytes_get_size(value));
    }
    g_hash_table_iter_init(&iter, found);
    while (g_hash_table_iter_next(&iter, &key, &value)) {
        if (!g_str_equal(key, thread->prefix) && !g_hash_table_contains(wanted, key))
            model_differ(thread, "the store has %s, the model has not", (char *)key);
    }
}
