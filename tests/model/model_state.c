/* The reference model. */
#include "tests/model/model_state.h"

#include <string.h>

ModelFile *
model_file_new(mode_t mode)
{
    ModelFile *file = g_new0(ModelFile, 1);
    file->references = 1;
    file->mode = mode;
    file->bytes = g_byte_array_new();
    file->mtime_ns = MODEL_NO_TIME;
    file->xattrs = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    return file;
}

ModelFile *
model_file_ref(ModelFile *file)
{
    file->references++;
    return file;
}

void
model_file_unref(ModelFile *file)
{
    if (--file->references > 0)
        return;
    g_byte_array_unref(file->bytes);
    g_hash_table_unref(file->xattrs);
    g_free(file);
}

void
model_file_cut(ModelFile *file, guint64 size)
{
    guint before = file->bytes->len;
    g_byte_array_set_size(file->bytes, (guint)size);
    if (size > before)
        memset(file->bytes->data + before, 0, size - before);
    file->mtime_ns = MODEL_NO_TIME;
}

void
model_file_write(ModelFile *file, guint64 offset, const void *data, gsize length)
{
    if (offset + length > file->bytes->len)
        model_file_cut(file, offset + length);
    memcpy(file->bytes->data + offset, data, length);
    file->mtime_ns = MODEL_NO_TIME;
}

gsize
model_file_copy(ModelFile *from, guint64 from_offset, ModelFile *to, guint64 to_offset, gsize length)
{
    gsize there = from_offset < from->bytes->len ? MIN(length, from->bytes->len - from_offset) : 0;
    if (there > 0) {
        g_autofree guint8 *copy = g_memdup2(from->bytes->data + from_offset, there);
        model_file_write(to, to_offset, copy, there);
    }
    return there;
}

void
model_state_init(ModelState *state)
{
    state->files = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)model_file_unref);
}

void
model_state_clear(ModelState *state)
{
    g_clear_pointer(&state->files, g_hash_table_unref);
}

ModelFile *
model_state_get(ModelState *state, const char *path)
{
    return g_hash_table_lookup(state->files, path);
}

void
model_state_set(ModelState *state, const char *path, ModelFile *file)
{
    g_hash_table_insert(state->files, g_strdup(path), file);
}

void
model_state_remove(ModelState *state, const char *path)
{
    g_hash_table_remove(state->files, path);
}

gboolean
model_path_is_below(const char *path, const char *folder)
{
    gsize length = strlen(folder);
    return strncmp(path, folder, length) == 0 && path[length] == '/';
}

char *
model_path_parent(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? g_strndup(path, (gsize)(slash - path)) : g_strdup("");
}

void
model_state_rename(ModelState *state, const char *path, const char *new_path)
{
    GHashTable *moved = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    GHashTableIter iter;
    gpointer key, value;
    g_hash_table_iter_init(&iter, state->files);
    while (g_hash_table_iter_next(&iter, &key, &value)) {
        if (strcmp(key, path) != 0 && !model_path_is_below(key, path))
            continue;
        g_hash_table_insert(moved, g_strconcat(new_path, (char *)key + strlen(path), NULL),
                            model_file_ref(value));
        g_hash_table_iter_remove(&iter);
    }
    g_hash_table_iter_init(&iter, moved);
    while (g_hash_table_iter_next(&iter, &key, &value))
        model_state_set(state, key, value);
    g_hash_table_unref(moved);
}

gboolean
model_state_is_folder(ModelState *state, const char *path)
{
    ModelFile *file = path[0] != '\0' ? model_state_get(state, path) : NULL;
    return path[0] == '\0' || (file != NULL && S_ISDIR(file->mode));
}

gboolean
model_state_is_file(ModelState *state, const char *path)
{
    ModelFile *file = model_state_get(state, path);
    return file != NULL && S_ISREG(file->mode);
}

gboolean
model_state_is_empty(ModelState *state, const char *folder)
{
    GHashTableIter iter;
    gpointer key;
    g_hash_table_iter_init(&iter, state->files);
    while (g_hash_table_iter_next(&iter, &key, NULL)) {
        if (model_path_is_below(key, folder))
            return FALSE;
    }
    return TRUE;
}

static gint
compare_lines(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

char *
model_state_list(ModelState *state, const char *folder)
{
    g_autoptr(GPtrArray) lines = g_ptr_array_new_with_free_func(g_free);
    GHashTableIter iter;
    gpointer key, value;
    g_hash_table_iter_init(&iter, state->files);
    while (g_hash_table_iter_next(&iter, &key, &value)) {
        g_autofree char *parent = model_path_parent(key);
        const char *slash = strrchr(key, '/');
        if (g_str_equal(parent, folder))
            g_ptr_array_add(lines, g_strdup_printf("%s %o", slash != NULL ? slash + 1 : (char *)key,
                                                   ((ModelFile *)value)->mode & S_IFMT));
    }
    g_ptr_array_sort(lines, compare_lines);
    g_ptr_array_add(lines, NULL);
    return g_strjoinv("\n", (char **)lines->pdata);
}

GHashTable *
model_state_dump(ModelState *state, const char *prefix, gboolean folders)
{
    GHashTable *dump = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_bytes_unref);
    GHashTableIter iter;
    gpointer key, value;
    g_hash_table_iter_init(&iter, state->files);
    while (g_hash_table_iter_next(&iter, &key, &value)) {
        ModelFile *file = value;
        g_autofree char *full = g_strconcat(prefix, key, S_ISDIR(file->mode) ? "/" : "", NULL);
        if (!folders && strcmp(key, "a%2Fb") == 0) {
            g_free(full);
            full = g_strconcat(prefix, "a/b", NULL);
        }
        g_hash_table_insert(dump, g_steal_pointer(&full), g_bytes_new(file->bytes->data, file->bytes->len));
    }
    return dump;
}

guint8 *
model_pattern(guint32 seed, gsize length)
{
    guint8 *data = g_malloc(length + 4);
    for (gsize at = 0; at < length; at += 4) {
        guint32 word = (seed + (guint32)at) * 2654435761u;
        word ^= word >> 15;
        memcpy(data + at, &word, 4);
    }
    return data;
}
