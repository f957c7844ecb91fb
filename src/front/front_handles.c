#include "src/front/front_handles.h"

#include "src/front/front_passthrough.h"

#include <fcntl.h>

gboolean
front_handles_go_past_pages(const Front *front, int flags)
{
    return (flags & O_DIRECT) != 0 || (front->direct_writes && (flags & O_ACCMODE) == O_WRONLY);
}

void
front_handles_init(Front *front)
{
    lock_init(&front->handles_lock);
    front->handles = g_hash_table_new(NULL, NULL);
}

void
front_handles_clear(Front *front)
{
    g_hash_table_unref(front->handles);
    lock_clear(&front->handles_lock);
}

/* A directory's handle is its own node value: NULL stands for "no node". */
static void
remember(Front *front, gpointer handle, Node *node)
{
    lock_acquire(&front->handles_lock);
    g_hash_table_insert(front->handles, handle, node);
    lock_release(&front->handles_lock);
}

static void
forget(Front *front, gpointer handle)
{
    lock_acquire(&front->handles_lock);
    g_hash_table_remove(front->handles, handle);
    lock_release(&front->handles_lock);
}

void
front_handles_add(Front *front, Node *node, FileHandle *handle)
{
    remember(front, handle, tree_node_ref(front->tree, node));
}

void
front_handles_release(Front *front, Call *call, Node *node, FileHandle *handle)
{
    forget(front, handle);
    front_passthrough_leave(front, node, handle);
    tree_release(front->tree, call, node, handle);
    tree_node_unref(front->tree, node);
}

void
front_handles_add_directory(Front *front, DirectoryHandle *handle)
{
    remember(front, handle, NULL);
}

void
front_handles_release_directory(Front *front, DirectoryHandle *handle)
{
    forget(front, handle);
    tree_close_directory(front->tree, handle);
}

void
front_handles_release_all(Front *front)
{
    GHashTableIter iter;
    gpointer handle, node;
    for (;;) {
        g_hash_table_iter_init(&iter, front->handles);
        if (!g_hash_table_iter_next(&iter, &handle, &node))
            return;
        if (node == NULL) {
            front_handles_release_directory(front, handle);
            continue;
        }
        g_autoptr(Call) call = tree_new_call(front->tree, node);
        front_handles_release(front, call, node, handle);
    }
}
