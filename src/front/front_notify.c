#include "src/front/front_notify.h"

#include "src/base/lock.h"

#include <string.h>

#define SETTLE_US G_USEC_PER_SEC

typedef enum { NOTIFY_ENTRY, NOTIFY_CONTENT, NOTIFY_ATTRIBUTES } NotifyKind;

typedef struct {
    NotifyKind kind;
    Node *node; /* a reference */
    char *name;
} Notification;

struct FrontNotify {
    Front *front;
    Lock lock;
    Condition changed;
    GQueue queue;                     /* of Notification * */
    guint64 queued_count, sent_count; /* since the beginning */
    gboolean stopping;
    GThread *thread;
};

static void
notification_free(FrontNotify *notify, Notification *notification)
{
    tree_node_unref(notify->front->tree, notification->node);
    g_free(notification->name);
    g_free(notification);
}

static void
send(Front *front, const Notification *notification)
{
    fuse_ino_t inode = front_inode_of(front, notification->node);
    switch (notification->kind) {
    case NOTIFY_ENTRY:
        fuse_lowlevel_notify_inval_entry(front->session, inode, notification->name,
                                         strlen(notification->name));
        break;
    case NOTIFY_CONTENT:
        fuse_lowlevel_notify_inval_inode(front->session, inode, 0, 0);
        break;
    case NOTIFY_ATTRIBUTES:
        fuse_lowlevel_notify_inval_inode(front->session, inode, -1, 0);
        break;
    }
}

static gpointer
notify_thread(gpointer data)
{
    FrontNotify *notify = data;
    lock_acquire(&notify->lock);
    for (;;) {
        Notification *next = g_queue_pop_head(&notify->queue);
        if (next == NULL && notify->stopping)
            break;
        if (next == NULL) {
            condition_wait(&notify->changed, &notify->lock, 0);
            continue;
        }
        gboolean wanted = !notify->stopping;
        lock_release(&notify->lock);
        if (wanted)
            send(notify->front, next);
        notification_free(notify, next);
        lock_acquire(&notify->lock);
        notify->sent_count++;
        condition_wake_all(&notify->changed);
    }
    lock_release(&notify->lock);
    return NULL;
}

static void
enqueue(FrontNotify *notify, NotifyKind kind, Node *node, const char *name)
{
    Notification *notification = g_new0(Notification, 1);
    notification->kind = kind;
    notification->node = tree_node_ref(notify->front->tree, node);
    notification->name = g_strdup(name);
    lock_acquire(&notify->lock);
    g_queue_push_tail(&notify->queue, notification);
    notify->queued_count++;
    condition_wake_all(&notify->changed);
    lock_release(&notify->lock);
}

static void
entry_changed(gpointer data, Node *parent, const char *name)
{
    enqueue(data, NOTIFY_ENTRY, parent, name);
}

static void
content_changed(gpointer data, Node *node)
{
    enqueue(data, NOTIFY_CONTENT, node, NULL);
}

static void
attributes_changed(gpointer data, Node *node)
{
    enqueue(data, NOTIFY_ATTRIBUTES, node, NULL);
}

FrontNotify *
front_notify_new(Front *front)
{
    FrontNotify *notify = g_new0(FrontNotify, 1);
    notify->front = front;
    lock_init(&notify->lock);
    condition_init(&notify->changed);
    g_queue_init(&notify->queue);
    notify->thread = g_thread_new("notify", notify_thread, notify);
    return notify;
}

void
front_notify_settle(FrontNotify *notify)
{
    gint64 deadline_us = g_get_monotonic_time() + SETTLE_US;
    gboolean in_time = TRUE;
    lock_acquire(&notify->lock);
    guint64 wanted = notify->queued_count;
    while (in_time && notify->sent_count < wanted && !notify->stopping)
        in_time = condition_wait(&notify->changed, &notify->lock, deadline_us);
    lock_release(&notify->lock);
}

void
front_notify_free(FrontNotify *notify)
{
    lock_acquire(&notify->lock);
    notify->stopping = TRUE;
    condition_wake_all(&notify->changed);
    lock_release(&notify->lock);
    g_thread_join(notify->thread);
    condition_clear(&notify->changed);
    lock_clear(&notify->lock);
    g_free(notify);
}

TreeObserver
front_notify_get_observer(FrontNotify *notify)
{
    return (TreeObserver){.entry_changed = entry_changed,
                          .content_changed = content_changed,
                          .attributes_changed = attributes_changed,
                          .data = notify};
}
