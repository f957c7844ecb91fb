/* Somebody else changes the store directly. Afterwards everything known is old, as after `freshness`. */
#include "tests/model/model_world.h"

#include <fcntl.h>
#include <json-glib/json-glib.h>
#include <string.h>

#define WRITTEN "written here"
#define WRITTEN_AT 7

/* The name of an open file; NULL when it has none any more. Borrowed. */
static const char *
find_path(ModelThread *thread, ModelFile *file)
{
    GHashTableIter iter;
    gpointer key, value;
    g_hash_table_iter_init(&iter, thread->state.files);
    while (g_hash_table_iter_next(&iter, &key, &value)) {
        if (value == file)
            return key;
    }
    return NULL;
}

/* What is written here is stored: what was copied needs its source no more, nobody loses a race. Unlinked
 * files are closed, because their names stay hidden until then. */
static gboolean
store_all(ModelThread *thread, ModelFile *file)
{
    g_autoptr(GError) error = NULL;
    for (guint i = 0; i < MODEL_SLOTS; i++) {
        ModelSlot *slot = &thread->slots[i];
        gboolean is_writer = (slot->flags & O_ACCMODE) != O_RDONLY;
        if (slot->file == NULL || slot->replaced)
            continue;
        if (thread->world->variant->scope.journal || (slot->file == file && is_writer) ||
            find_path(thread, slot->file) == NULL) {
            model_close_slot(thread, slot);
            continue;
        }
        g_autoptr(Call) call = tree_new_call(thread->world->tree, slot->node);
        gboolean ok = slot->handle->operations->flush(slot->handle, call, TRUE, &error);
        model_judge(thread, ok, error, MODEL_OK);
        g_clear_error(&error);
    }
    if (thread->world->variant->scope.journal && !model_world_settle(thread->world))
        model_differ(thread, "uploads do not end");
    return !model_differs(thread) && !thread->failed;
}

static void
mark_replaced(ModelThread *thread, ModelFile *file)
{
    for (guint i = 0; i < MODEL_SLOTS; i++)
        thread->slots[i].replaced |= file != NULL && thread->slots[i].file == file;
    tree_refresh(thread->world->tree, "", NULL);
}

static void
put(ModelThread *thread, const char *path, guint32 seed, gsize length)
{
    g_autofree char *key = model_thread_key(thread, path);
    g_autofree guint8 *data = model_pattern(seed, length);
    ModelFile *file = model_file_new(S_IFREG | 0644);
    model_file_write(file, 0, data, length);
    model_world_store(thread->world, key, data, length);
    mark_replaced(thread, model_state_get(&thread->state, path));
    model_state_set(&thread->state, path, file);
}

static void
do_put(ModelThread *thread, const ModelOperation *op)
{
    g_autofree char *folder = model_path_parent(op->path);
    ModelFile *file = model_state_get(&thread->state, op->path);
    if (model_state_is_folder(&thread->state, folder) && (file == NULL || S_ISREG(file->mode)) &&
        store_all(thread, file))
        put(thread, op->path, op->seed, op->length);
}

static void
do_delete(ModelThread *thread, const ModelOperation *op)
{
    if (!model_state_is_file(&thread->state, op->path) ||
        !store_all(thread, model_state_get(&thread->state, op->path)))
        return;
    g_autofree char *key = model_thread_key(thread, op->path);
    model_world_delete(thread->world, key);
    mark_replaced(thread, model_state_get(&thread->state, op->path));
    model_state_remove(&thread->state, op->path);
}

/* What nobody had fetched of the version that was replaced exists nowhere any more. Then the file beside the
 * bytes says so, and which ranges there are: they are the loser's, and what was written here is among them.
 */
static gboolean
has_ranges(ModelFile *file, const char *recovery_path, const char *bytes)
{
    g_autofree char *path = g_strconcat(recovery_path, ".info", NULL);
    g_autoptr(JsonParser) parser = json_parser_new();
    if (!json_parser_load_from_file(parser, path, NULL))
        return FALSE;
    JsonObject *info = json_node_get_object(json_parser_get_root(parser));
    JsonArray *ranges = json_object_get_array_member(info, "valid_ranges");
    gboolean right = !json_object_get_boolean_member(info, "complete"), has_written = FALSE;
    for (guint i = 0; i < json_array_get_length(ranges) && right; i++) {
        JsonArray *range = json_array_get_array_element(ranges, i);
        gint64 from = json_array_get_int_element(range, 0), to = json_array_get_int_element(range, 1);
        right = from >= 0 && from < to && to <= file->bytes->len &&
                memcmp(bytes + from, file->bytes->data + from, (gsize)(to - from)) == 0;
        has_written = has_written || (from <= WRITTEN_AT && to >= WRITTEN_AT + (gint64)strlen(WRITTEN));
    }
    return right && has_written;
}

static gboolean
is_recovered(ModelFile *file, const char *recovery_path)
{
    g_autofree char *bytes = NULL;
    gsize length = 0;
    return g_file_get_contents(recovery_path, &bytes, &length, NULL) && length == file->bytes->len &&
           (memcmp(bytes, file->bytes->data, length) == 0 || has_ranges(file, recovery_path, bytes));
}

/* The loser's bytes are in the recovery directory. */
static void
check_recovered(ModelThread *thread, ModelFile *file)
{
    g_autoptr(GPtrArray) uploads = object_store_list_uploads(thread->world->store);
    gboolean found = FALSE;
    for (guint i = 0; i < uploads->len && !found; i++) {
        const UploadStatus *upload = uploads->pdata[i];
        found = upload->recovery_path != NULL && is_recovered(file, upload->recovery_path);
    }
    if (!found)
        model_differ(thread, "the bytes that lost are not in the recovery directory (%u there)",
                     uploads->len);
    thread->world->parked++;
}

static void
do_conflict(ModelThread *thread, const ModelOperation *op)
{
    g_autoptr(GError) error = NULL;
    ModelSlot *slot = &thread->slots[op->slot];
    if (slot->file == NULL || (slot->flags & O_ACCMODE) == O_RDONLY || slot->replaced)
        return;
    const char *found = find_path(thread, slot->file);
    if (found == NULL || !store_all(thread, NULL))
        return;
    g_autofree char *path = g_strdup(found);
    g_autoptr(ModelFile) loser = model_file_ref(slot->file);
    g_autoptr(Call) call = tree_new_call(thread->world->tree, slot->node);
    const FileHandleOperations *operations = slot->handle->operations;
    if (!operations->write(slot->handle, call, WRITTEN_AT, WRITTEN, strlen(WRITTEN), &error)) {
        model_judge(thread, FALSE, error, MODEL_OK);
        return;
    }
    model_file_write(loser, WRITTEN_AT, WRITTEN, strlen(WRITTEN));
    put(thread, path, op->seed, op->length);
    gboolean ok = operations->flush(slot->handle, call, TRUE, &error);
    model_judge(thread, ok, error, ERROR_CHANGED);
    for (guint i = 0; i < MODEL_SLOTS; i++) {
        if (thread->slots[i].file == loser)
            model_close_slot(thread, &thread->slots[i]);
    }
    check_recovered(thread, loser);
    tree_refresh(thread->world->tree, "", NULL);
}

gboolean
model_apply_foreign(ModelThread *thread, const ModelOperation *op)
{
    if (op->kind == OP_FOREIGN_PUT)
        do_put(thread, op);
    else if (op->kind == OP_FOREIGN_DELETE)
        do_delete(thread, op);
    else if (op->kind == OP_CONFLICT)
        do_conflict(thread, op);
    else
        return FALSE;
    return TRUE;
}
