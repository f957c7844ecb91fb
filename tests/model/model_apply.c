/* One operation on the tree and on the model: what belongs to no kind alone. */
#include "tests/model/model_world.h"

#include <string.h>

gboolean
model_judge(ModelThread *thread, gboolean ok, const GError *error, int expected)
{
    if (ok && expected == MODEL_OK)
        return TRUE;
    if (!ok && expected != MODEL_OK && error_is(error, (ErrorCode)expected))
        return FALSE;
    if (!ok && thread->may_fail && !thread->failed) {
        thread->failed = TRUE;
        thread->failed_code = (ErrorCode)error->code;
        return expected == MODEL_OK;
    }
    model_differ(thread, "gives %s (%s), the model says %s", ok ? "success" : error_code_name(error->code),
                 ok ? "" : error->message,
                 expected == MODEL_OK ? "success" : error_code_name((ErrorCode)expected));
    return FALSE;
}

gboolean
model_close_slot(ModelThread *thread, ModelSlot *slot)
{
    g_autoptr(GError) error = NULL;
    if (slot->file == NULL)
        return TRUE;
    g_autoptr(Call) call = tree_new_call(thread->world->tree, slot->node);
    gboolean ok = slot->handle->operations->flush(slot->handle, call, TRUE, &error);
    if (!ok && !(slot->replaced && error_is(error, ERROR_CHANGED)))
        ok = model_judge(thread, ok, error, MODEL_OK);
    tree_release(thread->world->tree, call, slot->node, slot->handle);
    model_forget(thread, slot->node);
    model_file_unref(slot->file);
    *slot = (ModelSlot){0};
    return ok;
}

void
model_close_slots(ModelThread *thread)
{
    for (guint i = 0; i < MODEL_SLOTS; i++)
        model_close_slot(thread, &thread->slots[i]);
}

static void
remount(ModelThread *thread, const ModelOperation *op)
{
    ModelWorld *world = thread->world;
    model_close_slots(thread);
    if (op->seed % 2 == 0)
        object_store_leave_uploads(world->store);
    else if (!model_world_settle(world))
        model_differ(thread, "uploads do not end");
    model_world_remount(world);
}

void
model_apply(ModelThread *thread, const ModelOperation *op)
{
    if (model_apply_name(thread, op) || model_apply_content(thread, op) || model_apply_foreign(thread, op))
        return;
    if (op->kind == OP_LIST && model_state_is_folder(&thread->state, op->path))
        model_check_list(thread, op->path);
    else if (op->kind == OP_LIST)
        model_check_list(thread, "");
    else if (op->kind == OP_STAT)
        model_check_stat(thread, op->path);
    else if (op->kind == OP_CHECK)
        model_check_content(thread, op->path);
    else if (op->kind == OP_REFRESH)
        tree_refresh(thread->world->tree, "", NULL);
    else if (op->kind == OP_REMOUNT)
        remount(thread, op);
}
