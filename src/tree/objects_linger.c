/* Names that were unlinked while open, and whose objects could not be deleted at the last close. One thread
 * at a time tries again, for all of them, as long as there are any.
 */
#include "src/tree/objects.h"

#include "src/base/log.h"

#define FIRST_WAIT_US (1 * (gint64)G_USEC_PER_SEC)
#define MAXIMUM_WAIT_US (60 * (gint64)G_USEC_PER_SEC)
/* For all that is left at the end: an unmount does not wait for a storage that hangs. */
#define LAST_US (10 * (gint64)G_USEC_PER_SEC)

typedef struct {
    Node *node; /* a reference */
    ObjectFile *file;
} Unsettled;

void
objects_linger_wait_locked(Tree *tree, guint failures)
{
    g_autoptr(Call) pause = call_new(MIN(FIRST_WAIT_US << MIN(failures, 6), MAXIMUM_WAIT_US));
    while (!tree->closing && tree_core_wait_locked(tree, pause, NULL))
        continue;
}

/* ending: NULL, or the time there is for the last tries. */
static gboolean
try_one(Tree *tree, Unsettled *unsettled, Call *ending)
{
    lock_acquire(&tree->lock);
    g_autoptr(Call) call = ending == NULL ? storage_new_call(node_get_storage(unsettled->node)) : NULL;
    lock_release(&tree->lock);
    return objects_try_lingering(tree, ending != NULL ? ending : call, unsettled->node, unsettled->file,
                                 ending != NULL);
}

static void
free_unsettled(Tree *tree, Unsettled *unsettled)
{
    object_file_unref(unsettled->file);
    tree_node_unref(tree, unsettled->node);
    g_free(unsettled);
}

/* What fails goes to the end, behind the others; the wait grows with each failure and begins anew with what
 * is settled. */
static gpointer
run(gpointer data)
{
    Tree *tree = data;
    guint failures = 0;
    Unsettled *unsettled;
    g_autoptr(Call) ending = NULL;
    lock_acquire(&tree->lock);
    while (objects_linger_wait_locked(tree, failures),
           (unsettled = g_queue_pop_head(&tree->unsettled)) != NULL) {
        if (tree->closing && ending == NULL)
            ending = call_new(LAST_US);
        lock_release(&tree->lock);
        gboolean settled = try_one(tree, unsettled, ending);
        failures = settled ? 0 : failures + 1;
        if (settled)
            free_unsettled(tree, unsettled);
        tree_core_flush(tree);
        lock_acquire(&tree->lock);
        if (!settled)
            g_queue_push_tail(&tree->unsettled, unsettled);
        if (g_queue_is_empty(&tree->unsettled))
            break;
    }
    tree->settling = FALSE;
    lock_release(&tree->lock);
    tree_core_end_task(tree);
    return NULL;
}

void
objects_linger(Tree *tree, Node *node, ObjectFile *file)
{
    g_autofree char *path = tree_describe(tree, node);
    Unsettled *unsettled = g_new(Unsettled, 1);
    *unsettled = (Unsettled){node, object_file_ref(file)};
    lock_acquire(&tree->lock);
    tree_core_hold_locked(node);
    gboolean starts = !tree->settling && tree_core_begin_task_locked(tree);
    gboolean kept = starts || tree->settling;
    if (kept)
        g_queue_push_tail(&tree->unsettled, unsettled);
    tree->settling = kept;
    lock_release(&tree->lock);
    if (kept)
        log_warning("%s: unlinked, but its object cannot be deleted yet: it is tried again", path);
    if (starts)
        g_thread_unref(g_thread_new("linger", run, tree));
    if (kept)
        return;
    g_autoptr(Call) ending = call_new(LAST_US);
    try_one(tree, unsettled, ending);
    free_unsettled(tree, unsettled);
}
