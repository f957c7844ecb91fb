/* What may be the case when an operation reported the injected fault. */
#include "tests/model/model_run.h"

#include <string.h>

static void
copy_state(ModelState *to, ModelState *from)
{
    GHashTableIter iter;
    gpointer key, value;
    model_state_init(to);
    g_hash_table_iter_init(&iter, from->files);
    while (g_hash_table_iter_next(&iter, &key, &value)) {
        ModelFile *file = value, *copy = model_file_new(file->mode);
        g_byte_array_append(copy->bytes, file->bytes->data, file->bytes->len);
        model_state_set(to, key, copy);
    }
}

static void
touch_slot(ModelBefore *before, ModelThread *thread, guint number)
{
    GHashTableIter iter;
    gpointer key, value;
    g_hash_table_iter_init(&iter, thread->state.files);
    while (g_hash_table_iter_next(&iter, &key, &value)) {
        if (value == thread->slots[number].file)
            g_hash_table_add(before->touched, g_strdup(key));
    }
}

void
model_before_init(ModelBefore *before, ModelThread *thread, const ModelOperation *operation)
{
    copy_state(&before->model, &thread->state);
    before->store = model_world_dump(thread->world, thread->prefix);
    before->touched = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_hash_table_add(before->touched, g_strdup(operation->path));
    if (operation->kind == OP_RENAME)
        g_hash_table_add(before->touched, g_strdup(operation->other_path));
    touch_slot(before, thread, operation->slot);
    if (operation->kind == OP_COPY)
        touch_slot(before, thread, operation->other_slot);
}

void
model_before_clear(ModelBefore *before)
{
    model_state_clear(&before->model);
    g_hash_table_unref(before->store);
    g_hash_table_unref(before->touched);
}

static gboolean
is_touched(ModelBefore *before, const char *path)
{
    GHashTableIter iter;
    gpointer key;
    g_hash_table_iter_init(&iter, before->touched);
    while (g_hash_table_iter_next(&iter, &key, NULL)) {
        if (strcmp(key, path) == 0 || model_path_is_below(path, key))
            return TRUE;
    }
    return FALSE;
}

/* The service is well again: what was not stored can be. Only who has lost a race in doubt is told so. */
static void
close_all(ModelThread *thread)
{
    for (guint i = 0; i < MODEL_SLOTS; i++) {
        ModelSlot *slot = &thread->slots[i];
        g_autoptr(GError) error = NULL;
        if (slot->file == NULL)
            continue;
        g_autoptr(Call) call = tree_new_call(thread->world->tree, slot->node);
        if (!slot->handle->operations->flush(slot->handle, call, TRUE, &error) &&
            !error_is(error, ERROR_CHANGED) && !error_is(error, ERROR_EXISTS))
            model_differ(thread, "slot %u: the next flush fails: %s", i, error->message);
        tree_release(thread->world->tree, call, slot->node, slot->handle);
        model_forget(thread, slot->node);
        model_file_unref(slot->file);
        *slot = (ModelSlot){0};
    }
}

typedef struct {
    ModelThread *thread;
    ModelBefore *before;
    GHashTable *was, *is, *should; /* dumps: the model before and after, and the store */
} Comparison;

static gboolean
equal(GHashTable *left, GHashTable *right, const char *key)
{
    GBytes *one = g_hash_table_lookup(left, key), *two = g_hash_table_lookup(right, key);
    return one == two ||
           (one != NULL && two != NULL && (g_str_has_suffix(key, "/") || g_bytes_equal(one, two)));
}

/* An open file is renamed by a copy of what is stored of it. When that copy gets no answer, the rename has
 * failed, and what was copied may be at the new name. */
static gboolean
is_unanswered_copy(Comparison *c, const ModelOperation *op, const char *path, const char *key)
{
    if (op->kind != OP_RENAME ||
        (strcmp(path, op->other_path) != 0 && !model_path_is_below(path, op->other_path)))
        return FALSE;
    g_autofree char *old_path = g_strconcat(op->path, path + strlen(op->other_path), NULL);
    g_autofree char *old_key = model_thread_key(c->thread, old_path);
    GBytes *stored = g_hash_table_lookup(c->before->store, old_key), *is = g_hash_table_lookup(c->is, key);
    return stored != NULL && is != NULL && g_bytes_equal(stored, is);
}

static void
check_key(Comparison *c, const ModelOperation *op, const char *key)
{
    gboolean escaped =
        g_str_equal(key + strlen(c->thread->prefix), "a/b") && !c->thread->world->variant->scope.folders;
    g_autofree char *path = g_strdup(escaped ? "a%2Fb" : key + strlen(c->thread->prefix));
    if (path[0] == '\0')
        return;
    if (g_str_has_suffix(path, "/"))
        path[strlen(path) - 1] = '\0';
    gboolean allowed = equal(c->is, c->should, key);
    if (is_touched(c->before, path))
        allowed = allowed || equal(c->is, c->was, key) || equal(c->is, c->before->store, key) ||
                  is_unanswered_copy(c, op, path, key);
    if (!allowed)
        model_differ(c->thread, "after %s: the store has of %s neither what was nor what should be",
                     error_code_name(c->thread->failed_code), key);
}

static void
check_keys(Comparison *c, const ModelOperation *op)
{
    GHashTable *const tables[] = {c->was, c->is, c->should};
    for (guint i = 0; i < G_N_ELEMENTS(tables); i++) {
        GHashTableIter iter;
        gpointer key;
        g_hash_table_iter_init(&iter, tables[i]);
        while (g_hash_table_iter_next(&iter, &key, NULL))
            check_key(c, op, key);
    }
}

/* A rename that failed leaves every object at its old or its new name. */
static void
check_rename(Comparison *c, const ModelOperation *op)
{
    GHashTableIter iter;
    gpointer path, value;
    g_hash_table_iter_init(&iter, c->before->model.files);
    while (g_hash_table_iter_next(&iter, &path, &value)) {
        ModelFile *file = value;
        if (!S_ISREG(file->mode) || (strcmp(path, op->path) != 0 && !model_path_is_below(path, op->path)))
            continue;
        g_autofree char *new_path = g_strconcat(op->other_path, (char *)path + strlen(op->path), NULL);
        g_autofree char *from = model_thread_key(c->thread, path);
        g_autofree char *to = model_thread_key(c->thread, new_path);
        g_autoptr(GBytes) bytes = g_bytes_new(file->bytes->data, file->bytes->len);
        GBytes *here = g_hash_table_lookup(c->is, from), *there = g_hash_table_lookup(c->is, to);
        if ((here == NULL || !g_bytes_equal(here, bytes)) && (there == NULL || !g_bytes_equal(there, bytes)))
            model_differ(c->thread, "the rename lost %s", (char *)path);
    }
}

/* The type of what is stored: objects do not tell by their bytes. */
static mode_t
type_of(Comparison *c, const char *path, GBytes *bytes)
{
    ModelState *const states[] = {&c->before->model, &c->thread->state};
    for (guint i = 0; i < G_N_ELEMENTS(states); i++) {
        ModelFile *file = model_state_get(states[i], path);
        if (file != NULL && S_ISLNK(file->mode) && file->bytes->len == g_bytes_get_size(bytes) &&
            memcmp(file->bytes->data, g_bytes_get_data(bytes, NULL), file->bytes->len) == 0)
            return S_IFLNK;
    }
    return S_IFREG;
}

/* The model becomes what is stored. */
static void
adopt(Comparison *c)
{
    ModelState adopted;
    GHashTableIter iter;
    gpointer key, value;
    model_state_init(&adopted);
    g_hash_table_iter_init(&iter, c->is);
    while (g_hash_table_iter_next(&iter, &key, &value)) {
        const char *rest = (const char *)key + strlen(c->thread->prefix);
        gboolean escaped = g_str_equal(rest, "a/b") && !c->thread->world->variant->scope.folders;
        g_autofree char *path = g_strdup(escaped ? "a%2Fb" : rest);
        if (path[0] == '\0')
            continue;
        gboolean is_folder = g_str_has_suffix(path, "/");
        if (is_folder)
            path[strlen(path) - 1] = '\0';
        ModelFile *file = model_file_new(is_folder ? S_IFDIR : type_of(c, path, value));
        g_byte_array_append(file->bytes, g_bytes_get_data(value, NULL), (guint)g_bytes_get_size(value));
        model_state_set(&adopted, path, file);
    }
    model_state_clear(&c->thread->state);
    c->thread->state = adopted;
}

static void
check_names(ModelThread *thread)
{
    g_autoptr(GList) paths = g_hash_table_get_keys(thread->state.files);
    model_check_list(thread, "");
    for (GList *at = paths; at != NULL && !model_differs(thread); at = at->next) {
        if (model_state_is_folder(&thread->state, at->data))
            model_check_list(thread, at->data);
        else
            model_check_content(thread, at->data);
    }
}

void
model_check_failure(ModelThread *thread, ModelBefore *before, const ModelOperation *op)
{
    gboolean folders = thread->world->variant->scope.folders;
    thread->may_fail = FALSE;
    /* Who closed without asking again has its bytes in the recovery directory; a journal stores them yet. */
    thread->world->may_park = !thread->world->variant->scope.journal;
    if (thread->failed_code != thread->allowed_code && thread->failed_code != ERROR_CHANGED &&
        thread->failed_code != ERROR_EXISTS)
        model_differ(thread, "reports %s for %s", error_code_name(thread->failed_code),
                     error_code_name(thread->allowed_code));
    close_all(thread);
    if (!model_differs(thread) && !model_world_settle(thread->world))
        model_differ(thread, "uploads do not end");
    g_autoptr(GHashTable) was = model_state_dump(&before->model, thread->prefix, folders);
    g_autoptr(GHashTable) should = model_state_dump(&thread->state, thread->prefix, folders);
    g_autoptr(GHashTable) is = model_world_dump(thread->world, thread->prefix);
    Comparison comparison = {thread, before, was, is, should};
    check_keys(&comparison, op);
    if (op->kind == OP_RENAME)
        check_rename(&comparison, op);
    if (model_differs(thread))
        return;
    adopt(&comparison);
    /* In doubt is what the next look, after `freshness`, finds out. */
    tree_refresh(thread->world->tree, "", NULL);
    check_names(thread);
}

static gboolean
is_open(const ModelThread *thread, const ModelFile *file)
{
    for (guint i = 0; i < MODEL_SLOTS; i++)
        if (thread->slots[i].file == file)
            return TRUE;
    return FALSE;
}

void
model_note_unlinked(ModelThread *thread, const char *path, ModelFile *file)
{
    if (file != NULL && is_open(thread, file))
        g_hash_table_replace(thread->unlinked, model_thread_key(thread, path), model_file_ref(file));
}

void
model_forgive_unlinked(ModelThread *thread)
{
    GHashTableIter iter;
    gpointer key, file;
    gboolean folders = thread->world->variant->scope.folders;
    g_autoptr(GHashTable) is = model_world_dump(thread->world, thread->prefix);
    g_autoptr(GHashTable) should = model_state_dump(&thread->state, thread->prefix, folders);
    g_hash_table_iter_init(&iter, thread->unlinked);
    while (thread->may_fail && g_hash_table_iter_next(&iter, &key, &file)) {
        if (is_open(thread, file) || !g_hash_table_contains(is, key) || g_hash_table_contains(should, key))
            continue;
        model_world_delete(thread->world, key);
        tree_refresh(thread->world->tree, "", NULL);
        /* There was one fault, and this was it. */
        thread->may_fail = FALSE;
    }
}
