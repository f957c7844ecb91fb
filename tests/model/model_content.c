/* Operations on open files. */
#include "tests/model/model_world.h"

#include <fcntl.h>
#include <string.h>

#define PIECE_BYTES 13000u

static gboolean
is_writable(const ModelSlot *slot)
{
    return slot->file != NULL && (slot->flags & O_ACCMODE) != O_RDONLY && !slot->replaced;
}

static gboolean
is_readable(const ModelSlot *slot)
{
    return slot->file != NULL && (slot->flags & O_ACCMODE) != O_WRONLY;
}

static void
take_slot(ModelSlot *slot, ModelFile *file, Node *node, FileHandle *handle, int flags)
{
    *slot = (ModelSlot){.file = model_file_ref(file), .node = node, .handle = handle, .flags = flags};
}

static void
create(ModelThread *thread, const ModelOperation *op, ModelSlot *slot)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *name = NULL;
    Tree *tree = thread->world->tree;
    Node *parent = NULL;
    TreeEntry entry = {0};
    FileHandle *handle = NULL;
    ModelReach reach = model_reach_parent(thread, op->path, &parent, &name, &error);
    g_autofree char *folder = model_path_parent(op->path);
    if (reach == REACH_ERROR)
        model_judge(thread, FALSE, error, MODEL_OK);
    else if ((reach == REACH_OK) != model_state_is_folder(&thread->state, folder))
        model_differ(thread, "the folder of %s is %s", op->path, reach == REACH_OK ? "there" : "absent");
    if (reach != REACH_OK || thread->failed)
        return;
    g_autoptr(Call) call = tree_new_call(tree, parent);
    gboolean is_there = model_state_get(&thread->state, op->path) != NULL;
    gboolean ok = (!is_there && tree_create_ready(tree, parent, name, op->flags, 0640, 1000, 1001, &entry,
                                                  &handle) == TREE_ANSWERED) ||
                  tree_create(tree, call, parent, name, op->flags, 0640, 1000, 1001, &entry, &handle, &error);
    model_forget(thread, parent);
    if (!model_judge(thread, ok, error, is_there ? ERROR_EXISTS : MODEL_OK))
        return;
    ModelFile *file = model_file_new(S_IFREG | 0640);
    model_state_set(&thread->state, op->path, file);
    if (ok)
        take_slot(slot, file, entry.node, handle, op->flags);
}

static void
open_file(ModelThread *thread, const ModelOperation *op, ModelSlot *slot, TreeEntry *entry)
{
    g_autoptr(GError) error = NULL;
    Tree *tree = thread->world->tree;
    g_autoptr(Call) call = tree_new_call(tree, entry->node);
    ModelFile *file = model_state_get(&thread->state, op->path);
    int flags = op->flags & ~(O_CREAT | O_EXCL);
    FileHandle *handle = NULL;
    gboolean keep;
    gboolean ok = tree_open_ready(tree, entry->node, flags, &handle, &keep) ||
                  tree_open(tree, call, entry->node, flags, &handle, &keep, &error);
    if (model_judge(thread, ok, error, MODEL_OK) && flags & O_TRUNC)
        model_file_cut(file, 0);
    if (ok)
        take_slot(slot, file, entry->node, handle, flags);
    else
        model_forget(thread, entry->node);
}

static void
do_open(ModelThread *thread, const ModelOperation *op, ModelSlot *slot)
{
    g_autoptr(GError) error = NULL;
    TreeEntry entry = {0};
    ModelFile *file = model_state_get(&thread->state, op->path);
    model_close_slot(thread, slot);
    if (thread->failed || (file != NULL && !S_ISREG(file->mode)))
        return;
    if (op->flags & O_EXCL) {
        create(thread, op, slot);
        return;
    }
    ModelReach reach = model_reach(thread, op->path, &entry, &error);
    if (reach == REACH_ERROR)
        model_judge(thread, FALSE, error, MODEL_OK);
    else if ((reach == REACH_OK) != (file != NULL))
        model_differ(thread, "%s is %s", op->path, reach == REACH_OK ? "there" : "absent");
    else if (reach == REACH_OK)
        open_file(thread, op, slot, &entry);
    else if (op->flags & O_CREAT)
        create(thread, op, slot);
    if (reach == REACH_OK && slot->file == NULL && file == NULL)
        model_forget(thread, entry.node);
}

static void
write_bytes(ModelThread *thread, ModelSlot *slot, guint64 offset, const guint8 *data, gsize length,
            gboolean append)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Call) call = tree_new_call(thread->world->tree, slot->node);
    gboolean ok = slot->handle->operations->write(slot->handle, call, append ? FILE_HANDLE_APPEND : offset,
                                                  data, length, &error);
    if (model_judge(thread, ok, error, MODEL_OK))
        model_file_write(slot->file, append ? slot->file->bytes->len : offset, data, length);
}

static void
do_write(ModelThread *thread, const ModelOperation *op, ModelSlot *slot)
{
    g_autofree guint8 *data = model_pattern(op->seed, MODEL_MAXIMUM_BYTES);
    gsize length = op->length;
    if (!is_writable(slot) || slot->file->bytes->len + length > 2 * MODEL_MAXIMUM_BYTES)
        return;
    if (op->kind != OP_STREAM) {
        write_bytes(thread, slot, op->offset, data, length, op->kind == OP_APPEND);
        return;
    }
    guint64 start = op->seed % 2 == 0 ? 0 : op->offset;
    length = MIN(50000 + length, MODEL_MAXIMUM_BYTES);
    for (gsize done = 0; done < length && !model_differs(thread) && !thread->failed; done += PIECE_BYTES)
        write_bytes(thread, slot, start + done, data + done, MIN(PIECE_BYTES, length - done), FALSE);
}

static void
do_read(ModelThread *thread, const ModelOperation *op, ModelSlot *slot)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GByteArray) found = g_byte_array_new();
    if (!is_readable(slot))
        return;
    if (model_read(thread, slot->handle, op->offset, op->length, found, &error))
        model_compare_bytes(thread, "slot", slot->file, op->offset, op->length, found);
    else if (!slot->replaced || !error_is(error, ERROR_CHANGED))
        model_judge(thread, FALSE, error, MODEL_OK);
}

static void
do_cut(ModelThread *thread, const ModelOperation *op, ModelSlot *slot)
{
    g_autoptr(GError) error = NULL;
    if (!is_writable(slot))
        return;
    g_autoptr(Call) call = tree_new_call(thread->world->tree, slot->node);
    gboolean ok = slot->handle->operations->truncate(slot->handle, call, op->offset, &error);
    if (model_judge(thread, ok, error, MODEL_OK))
        model_file_cut(slot->file, op->offset);
}

static void
do_flush(ModelThread *thread, const ModelOperation *op, ModelSlot *slot)
{
    g_autoptr(GError) error = NULL;
    if (slot->file == NULL || slot->replaced)
        return;
    g_autoptr(Call) call = tree_new_call(thread->world->tree, slot->node);
    const FileHandleOperations *operations = slot->handle->operations;
    gboolean ok = op->kind == OP_FLUSH ? operations->flush(slot->handle, call, op->seed % 2 == 0, &error)
                                       : operations->sync(slot->handle, call, op->seed % 2 == 0, &error);
    model_judge(thread, ok, error, MODEL_OK);
}

static void
do_copy(ModelThread *thread, const ModelOperation *op, ModelSlot *slot)
{
    g_autoptr(GError) error = NULL;
    ModelSlot *to = &thread->slots[op->other_slot];
    guint64 copied = 0;
    if (!is_readable(slot) || slot->replaced || !is_writable(to) ||
        op->to_offset + op->length > 2 * MODEL_MAXIMUM_BYTES)
        return;
    if (slot->file == to->file)
        return; /* overlapping ranges are refused by the kernel */
    g_autoptr(Call) call = tree_new_call(thread->world->tree, to->node);
    gboolean ok = slot->handle->operations->copy_range(slot->handle, call, op->offset, to->handle,
                                                       op->to_offset, op->length, &copied, &error);
    if (!model_judge(thread, ok, error, MODEL_OK))
        return;
    gsize expected = model_file_copy(slot->file, op->offset, to->file, op->to_offset, op->length);
    if (ok && copied != expected)
        model_differ(thread, "copies %" G_GUINT64_FORMAT " bytes, the model says %zu", copied, expected);
}

static void
do_close(ModelThread *thread, const ModelOperation *op, ModelSlot *slot)
{
    model_close_slot(thread, slot);
}

gboolean
model_apply_content(ModelThread *thread, const ModelOperation *op)
{
    static void (*const KINDS[OP_KINDS])(ModelThread *, const ModelOperation *, ModelSlot *) = {
        [OP_OPEN] = do_open,    [OP_CLOSE] = do_close, [OP_WRITE] = do_write, [OP_STREAM] = do_write,
        [OP_APPEND] = do_write, [OP_READ] = do_read,   [OP_CUT] = do_cut,     [OP_FLUSH] = do_flush,
        [OP_SYNC] = do_flush,   [OP_COPY] = do_copy,
    };
    if (KINDS[op->kind] == NULL)
        return FALSE;
    KINDS[op->kind](thread, op, &thread->slots[op->slot]);
    return TRUE;
}
