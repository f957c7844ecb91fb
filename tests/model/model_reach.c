/* From paths to Nodes, as the kernel goes. */
#include "tests/model/model_world.h"

#include <string.h>

static gboolean
look_up(ModelThread *thread, Node *parent, const char *name, TreeEntry *out, GError **error)
{
    Tree *tree = thread->world->tree;
    gint64 valid_us = 0;
    TreeReady ready = tree_lookup_ready(tree, parent, name, out, &valid_us);
    if (ready == TREE_ANSWERED)
        return TRUE;
    if (ready == TREE_ABSENT) {
        g_set_error(error, STORAGEFS_ERROR, ERROR_NOT_FOUND, "%s is known to be absent", name);
        return FALSE;
    }
    g_autoptr(Call) call = tree_new_call(tree, parent);
    return tree_lookup(tree, call, parent, name, out, &valid_us, error);
}

ModelReach
model_reach_parent(ModelThread *thread, const char *path, Node **out_parent, char **out_name, GError **error)
{
    Node *at = thread->base;
    const char *rest = path, *slash;
    while ((slash = strchr(rest, '/')) != NULL) {
        g_autofree char *name = g_strndup(rest, (gsize)(slash - rest));
        g_autoptr(GError) failure = NULL;
        TreeEntry entry = {0};
        gboolean ok = look_up(thread, at, name, &entry, &failure);
        model_forget(thread, at);
        if (!ok && error_is(failure, ERROR_NOT_FOUND))
            return REACH_ABSENT;
        if (!ok) {
            g_propagate_error(error, g_steal_pointer(&failure));
            return REACH_ERROR;
        }
        at = entry.node;
        if (!S_ISDIR(entry.stat.st_mode)) {
            model_forget(thread, at);
            return REACH_NO_FOLDER;
        }
        rest = slash + 1;
    }
    *out_parent = at;
    *out_name =
        thread->world->variant->scope.folders ? g_strdup(rest) : g_strconcat(thread->prefix, rest, NULL);
    return REACH_OK;
}

ModelReach
model_reach(ModelThread *thread, const char *path, TreeEntry *out, GError **error)
{
    Node *parent = NULL;
    g_autofree char *name = NULL;
    g_autoptr(GError) failure = NULL;
    ModelReach reach = model_reach_parent(thread, path, &parent, &name, error);
    if (reach != REACH_OK)
        return reach;
    gboolean ok = look_up(thread, parent, name, out, &failure);
    model_forget(thread, parent);
    if (ok)
        return REACH_OK;
    if (error_is(failure, ERROR_NOT_FOUND))
        return REACH_ABSENT;
    g_propagate_error(error, g_steal_pointer(&failure));
    return REACH_ERROR;
}

void
model_forget(ModelThread *thread, Node *node)
{
    if (node != thread->base)
        tree_forget(thread->world->tree, node, 1);
}
