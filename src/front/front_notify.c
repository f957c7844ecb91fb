#include "src/front/front_notify.h"

#include "src/base/lock.h"
#include "src/front/front_held.h"

#include <string.h>

#define SETTLE_US G_USEC_PER_SEC
/* Where there is always a request in hand, the news wait so long; then a moment is taken at which the oldest
 * is so young that it is likely to be answered soon. */
#define PATIENCE_US G_USEC_PER_SEC
#define YOUNG_US (G_USEC_PER_SEC / 10)

typedef enum { NOTIFY_ENTRY, NOTIFY_CONTENT } NotifyKind;

typedef struct {
    NotifyKind kind;
    char *name;
    guint64 number; /* counted up from 1 */
    gint64 queued_us;
} Notification;

/* What the kernel is to be told about one node, in order. */
typedef struct {
    Node *node;   /* a reference */
    GQueue queue; /* of Notification *; not empty */
    GList link;   /* in `turns` */
} News;

struct FrontNotify {
    Front *front;
    Lock lock;
    Condition changed;
    GHashTable *news; /* of Node: News *, owned */
    GQueue turns;     /* the same, each node in its turn */
    guint64 queued_count;
    guint64 sending; /* the number that the kernel is being told, 0 none */
    gboolean stopping;
    GThread *thread;
};

static void
notification_free(Notification *notification)
{
    g_free(notification->name);
    g_free(notification);
}

static void
send(Front *front, Node *node, const Notification *notification)
{
    fuse_ino_t inode = front_inode_of(front, node);
    switch (notification->kind) {
    case NOTIFY_ENTRY:
        fuse_lowlevel_notify_inval_entry(front->session, inode, notification->name,
                                         strlen(notification->name));
        break;
    case NOTIFY_CONTENT:
        fuse_lowlevel_notify_inval_inode(front->session, inode, 0, 0);
        break;
    }
}

/* Whether its first one may be sent. If not, *out_again_us is when to look again at the latest, 0 never. */
static gboolean
may_be_sent(FrontNotify *notify, const News *news, gint64 now_us, gint64 *out_again_us)
{
    const Notification *first = news->queue.head->data;
    gint64 since_us, patient_until_us = first->queued_us + PATIENCE_US;
    *out_again_us = 0;
    if (!front_held_since(notify->front, news->node, &since_us) || notify->stopping)
        return TRUE;
    if (now_us < patient_until_us)
        *out_again_us = patient_until_us;
    return now_us >= patient_until_us && now_us - since_us < YOUNG_US;
}

/* NULL: none now, *out_again_us as above. */
static News *
next_turn(FrontNotify *notify, gint64 *out_again_us) REQUIRES(notify->lock)
{
    gint64 now_us = g_get_monotonic_time();
    *out_again_us = 0;
    for (GList *link = notify->turns.head; link != NULL; link = link->next) {
        gint64 again_us;
        if (may_be_sent(notify, link->data, now_us, &again_us))
            return link->data;
        if (again_us != 0 && (*out_again_us == 0 || again_us < *out_again_us))
            *out_again_us = again_us;
    }
    return NULL;
}

/* Its first one. The node goes behind the others; one of which nothing is left to tell leaves, and *out_last
 * is its reference. */
static Notification *
take_first(FrontNotify *notify, News *news, Node **out_last) REQUIRES(notify->lock)
{
    Notification *first = g_queue_pop_head(&news->queue);
    g_queue_unlink(&notify->turns, &news->link);
    *out_last = NULL;
    if (!g_queue_is_empty(&news->queue)) {
        g_queue_push_tail_link(&notify->turns, &news->link);
        return first;
    }
    *out_last = news->node;
    g_hash_table_remove(notify->news, news->node);
    return first;
}

static void
tell(FrontNotify *notify, News *news) REQUIRES(notify->lock)
{
    Node *node = news->node, *last;
    Notification *first = take_first(notify, news, &last);
    gboolean wanted = !notify->stopping;
    notify->sending = first->number;
    lock_release(&notify->lock);
    /* The next about this node comes after this one, so that its reference lasts as long. */
    if (wanted)
        send(notify->front, node, first);
    notification_free(first);
    if (last != NULL)
        tree_node_unref(notify->front->tree, last);
    lock_acquire(&notify->lock);
    notify->sending = 0;
    condition_wake_all(&notify->changed);
}

static gpointer
notify_thread(gpointer data)
{
    FrontNotify *notify = data;
    lock_acquire(&notify->lock);
    for (;;) {
        gint64 again_us;
        News *next = next_turn(notify, &again_us);
        if (next != NULL)
            tell(notify, next);
        else if (notify->stopping)
            break;
        else
            condition_wait(&notify->changed, &notify->lock, again_us);
    }
    lock_release(&notify->lock);
    return NULL;
}

static News *
news_of(FrontNotify *notify, Node *node) REQUIRES(notify->lock)
{
    News *news = g_hash_table_lookup(notify->news, node);
    if (news == NULL) {
        news = g_new0(News, 1);
        news->node = tree_node_ref(notify->front->tree, node);
        news->link.data = news;
        g_hash_table_insert(notify->news, node, news);
        g_queue_push_tail_link(&notify->turns, &news->link);
    }
    return news;
}

static void
enqueue(FrontNotify *notify, NotifyKind kind, Node *node, const char *name)
{
    Notification *notification = g_new0(Notification, 1);
    notification->kind = kind;
    notification->name = g_strdup(name);
    notification->queued_us = g_get_monotonic_time();
    lock_acquire(&notify->lock);
    notification->number = ++notify->queued_count;
    g_queue_push_tail(&news_of(notify, node)->queue, notification);
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

/* Without pages the kernel waits for nothing that we would have to serve. */
static void
attributes_changed(gpointer data, Node *node)
{
    FrontNotify *notify = data;
    fuse_lowlevel_notify_inval_inode(notify->front->session, front_inode_of(notify->front, node), -1, 0);
}

FrontNotify *
front_notify_new(Front *front)
{
    FrontNotify *notify = g_new0(FrontNotify, 1);
    notify->front = front;
    lock_init(&notify->lock);
    condition_init(&notify->changed);
    notify->news = g_hash_table_new_full(NULL, NULL, NULL, g_free);
    g_queue_init(&notify->turns);
    notify->thread = g_thread_new("notify", notify_thread, notify);
    return notify;
}

/* Whether something up to `number` is being told, or can be. */
static gboolean
is_telling(FrontNotify *notify, guint64 number) REQUIRES(notify->lock)
{
    gint64 now_us = g_get_monotonic_time(), again_us;
    if (notify->sending != 0 && notify->sending <= number)
        return TRUE;
    for (GList *link = notify->turns.head; link != NULL; link = link->next) {
        const News *news = link->data;
        if (((const Notification *)news->queue.head->data)->number <= number &&
            may_be_sent(notify, news, now_us, &again_us))
            return TRUE;
    }
    return FALSE;
}

void
front_notify_settle(FrontNotify *notify)
{
    gint64 deadline_us = g_get_monotonic_time() + SETTLE_US;
    gboolean in_time = TRUE;
    lock_acquire(&notify->lock);
    guint64 wanted = notify->queued_count;
    while (in_time && !notify->stopping && is_telling(notify, wanted))
        in_time = condition_wait(&notify->changed, &notify->lock, deadline_us);
    lock_release(&notify->lock);
}

void
front_notify_look_again(FrontNotify *notify)
{
    lock_acquire(&notify->lock);
    if (!g_queue_is_empty(&notify->turns))
        condition_wake_all(&notify->changed);
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
    g_hash_table_unref(notify->news);
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
