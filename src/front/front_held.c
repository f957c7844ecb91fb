#include "src/front/front_held.h"

#include "src/front/front_notify.h"

void
front_held_init(Front *front)
{
    lock_init(&front->held_lock);
    front->held = g_hash_table_new_full(NULL, NULL, NULL, g_free);
}

void
front_held_clear(Front *front)
{
    g_hash_table_unref(front->held);
    lock_clear(&front->held_lock);
}

/* The node's jobs, oldest first. */
static void
add_link(GHashTable *held, const Node *node, GList *link)
{
    GQueue *jobs = g_hash_table_lookup(held, node);
    if (jobs == NULL) {
        jobs = g_new0(GQueue, 1);
        g_hash_table_insert(held, (gpointer)node, jobs);
    }
    g_queue_push_tail_link(jobs, link);
}

static void
remove_link(GHashTable *held, const Node *node, GList *link)
{
    GQueue *jobs = g_hash_table_lookup(held, node);
    g_queue_unlink(jobs, link);
    if (g_queue_is_empty(jobs))
        g_hash_table_remove(held, node);
}

void
front_held_add(FrontJob *job)
{
    Front *front = job->front;
    job->is_held = TRUE;
    job->held_link.data = job->other_held_link.data = job;
    lock_acquire(&front->held_lock);
    add_link(front->held, job->node, &job->held_link);
    if (job->other_node != NULL)
        add_link(front->held, job->other_node, &job->other_held_link);
    lock_release(&front->held_lock);
}

void
front_held_remove(FrontJob *job)
{
    Front *front = job->front;
    lock_acquire(&front->held_lock);
    remove_link(front->held, job->node, &job->held_link);
    if (job->other_node != NULL)
        remove_link(front->held, job->other_node, &job->other_held_link);
    lock_release(&front->held_lock);
    front_notify_look_again(front->notify);
}

gboolean
front_held_since(Front *front, Node *node, gint64 *out_since_us)
{
    lock_acquire(&front->held_lock);
    const GQueue *jobs = g_hash_table_lookup(front->held, node);
    if (jobs != NULL)
        *out_since_us = ((const FrontJob *)jobs->head->data)->started_us;
    lock_release(&front->held_lock);
    return jobs != NULL;
}
