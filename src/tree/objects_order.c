/* Small files ahead of a reader: a program that opens the files of a directory in the order of its listing
 * finds the following ones fetched, each by one GET that tells its attributes, too. The window grows while
 * the order is kept, and closes when it is not; what was fetched and not opened narrows it. The bytes wait in
 * the block cache under their ETag, and what was told of them is as fresh as any other look.
 */
#include "src/object/small_object.h"
#include "src/tree/objects.h"

/* Opens before anything is fetched. */
#define FIRST_RUN 3u
#define FIRST_WINDOW 2u
#define MAXIMUM_WINDOW 64u
#define MAXIMUM_WINDOW_BYTES (4u << 20)
/* Threads that read together come out of order, by so many files; by more once the order is sure. */
#define FIRST_DISORDER 16u
#define MAXIMUM_DISORDER 64u
/* Entries from one file to the next. */
#define MAXIMUM_STEP 1024
/* So many files fetched for nothing halve the window. */
#define WASTE_STEP 16u
/* What is known for less time would be asked for again anyway. */
#define MINIMUM_FRESHNESS_US (100 * (gint64)1000)

typedef struct {
    Tree *tree;
    Node *directory;
    Listing *listing;
    NodePlace place;
    char *name, *etag;
    gsize size_bytes;
    guint index, serial;
    guint32 changes;
} OrderTask;

static gboolean
is_small_file(const ListEntry *entry)
{
    return entry->facts.kind == NODE_FILE && entry->facts.size_bytes > 0 &&
           entry->facts.size_bytes <= SMALL_OBJECT_MAX_BYTES && !(entry->facts.flags & FACT_BESIDE);
}

static gboolean
is_sure(const ReadOrder *order)
{
    return order->run >= FIRST_RUN && order->span <= 2 * order->run + 1;
}

static void
end_run(ReadOrder *order)
{
    order->wasted = MIN(order->wasted + order->unread, WASTE_STEP * 8);
    order->run = order->span = order->ahead = order->unread = 0;
    order->serial++;
    g_clear_pointer(&order->head, g_free);
}

static void
begin_run(ReadOrder *order, const char *name)
{
    end_run(order);
    order->head = g_strdup(name);
    order->run = order->span = 1;
}

/* Small files after `from`, up to `to`; some other names between them are no reason to doubt the order. */
static guint
count_files(Listing *listing, gint64 from, gint64 to)
{
    guint count = 0;
    if (to - from > MAXIMUM_STEP)
        return MAXIMUM_DISORDER + 1;
    for (gint64 index = from + 1; index <= to && count <= MAXIMUM_DISORDER; index++)
        count += is_small_file(entry_list_get(&listing->entries, (guint)index));
    return count;
}

/* A reader who comes late for what was fetched has it asked for again: less of it is better. */
static void
note_age(ReadOrder *order, const ListEntry *entry, gint64 freshness_us)
{
    gint64 age_us = tree_core_now() - entry->facts.known_at_us;
    if (entry->facts.flags & FACT_ASKING)
        return;
    if (age_us > freshness_us / 2)
        order->slowness = MIN(order->slowness + 1, 6);
    else if (age_us < freshness_us / 4 && order->slowness > 0)
        order->slowness--;
}

static void
note_hit(ReadOrder *order, const ListEntry *entry, gint64 freshness_us)
{
    if (order->unread == 0)
        return;
    order->unread--;
    order->wasted -= order->wasted > 0;
    note_age(order, entry, freshness_us);
}

/* FALSE: nothing to go on with. */
static gboolean
note_index(ReadOrder *order, Listing *listing, const char *name, gint64 index, gint64 freshness_us)
{
    gint64 head = order->head != NULL ? listing_index(listing, order->head) : -1;
    guint disorder = is_sure(order) ? MAXIMUM_DISORDER : FIRST_DISORDER;
    const ListEntry *entry = entry_list_get(&listing->entries, (guint)index);
    if (head == index)
        return FALSE;
    guint files = head < index ? count_files(listing, head, index) : count_files(listing, index, head);
    if (head < 0 || files > disorder) {
        begin_run(order, name);
        return FALSE;
    }
    if (index <= head + order->ahead)
        note_hit(order, entry, freshness_us);
    order->run++;
    if (index > head) {
        order->span += files;
        order->ahead -= MIN(order->ahead, (guint)(index - head));
        g_free(order->head);
        order->head = g_strdup(name);
    }
    return is_sure(order);
}

static void
order_task_free(OrderTask *task)
{
    node_place_clear(&task->place);
    g_free(task->name);
    g_free(task->etag);
    g_free(task);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(OrderTask, order_task_free)

static void
take_locked(Tree *tree, OrderTask *task, const ObjectsFetched *fetched) REQUIRES(tree->lock)
{
    EntryFacts *listed = &entry_list_get(&task->listing->entries, task->index)->facts;
    listed->flags &= (guint8)~FACT_ASKING;
    if (fetched->present && task->directory->folder->changes == task->changes)
        objects_ahead_take_locked(tree, task->directory, task->name, listed, fetched);
}

static gboolean
is_still_wanted(OrderTask *task)
{
    lock_acquire(&task->tree->lock);
    const ReadOrder *order = task->directory->folder->order;
    gboolean wanted = order != NULL && order->serial == task->serial && !task->tree->closing;
    lock_release(&task->tree->lock);
    return wanted;
}

static void
run_task(gpointer data)
{
    g_autoptr(OrderTask) task = data;
    Tree *tree = task->tree;
    const NodePlace *place = &task->place;
    g_auto(ObjectsFetched) fetched = {.asked_us = tree_core_now()};
    g_auto(ObjectInfo) info = {0};
    g_autoptr(Call) call = storage_new_call(place->storage);
    if (is_still_wanted(task) && small_object_fetch_ahead(tree->store, call, place->storage, place->container,
                                                          place->key, task->etag, task->size_bytes, &info))
        objects_fetched_take(tree, place, &info, &fetched);
    lock_acquire(&tree->lock);
    take_locked(tree, task, &fetched);
    listing_unref(task->listing);
    tree_core_drop_locked(tree, task->directory);
    lock_release(&tree->lock);
    tree_core_end_task(tree);
}

/* Where the kernel may have the pages nothing is missing. */
static gboolean
is_wanted_locked(Tree *tree, Node *directory, const char *name) REQUIRES(tree->lock)
{
    const Node *node = tree_core_find_locked(tree, directory, name);
    return node == NULL || (node->kind == NODE_FILE && node->file == NULL && !(node->flags & NODE_PAGES));
}

/* TRUE: it was asked for. */
static gboolean
start_locked(Tree *tree, Node *directory, Listing *listing, guint index) REQUIRES(tree->lock)
{
    ListEntry *entry = entry_list_get(&listing->entries, index);
    guint64 position = index;
    g_autofree char *name = NULL;
    EntryFacts *facts = NULL;
    if (entry->facts.flags & FACT_ASKING || !version_tag_is_set(&entry->facts.tag) ||
        listing_next(listing, &position, &name, &facts) != LISTING_ITEM || facts != &entry->facts ||
        !is_wanted_locked(tree, directory, name))
        return FALSE;
    g_autoptr(OrderTask) task = g_new0(OrderTask, 1);
    if (!node_place_init(&task->place, directory, name, NULL) || task->place.key == NULL)
        return FALSE;
    const ObjectsAsk whole = {TRUE, (gsize)facts->size_bytes};
    if (objects_ask_less(tree, &task->place, facts, whole).whole_bytes == 0 ||
        !tree_core_begin_task_locked(tree))
        return FALSE;
    task->tree = tree;
    task->directory = tree_core_hold_locked(directory);
    task->listing = listing_ref(listing);
    task->etag = version_tag_dup(&facts->tag);
    task->size_bytes = (gsize)facts->size_bytes;
    task->index = index;
    task->name = g_steal_pointer(&name);
    task->serial = directory->folder->order->serial;
    task->changes = directory->folder->changes;
    entry->facts.flags |= FACT_ASKING;
    WorkerPool *lane = storage_get_lane(task->place.storage, STORAGE_LANE_TRANSFERS);
    worker_pool_push(lane, run_task, g_steal_pointer(&task));
    return TRUE;
}

static void
fetch_window_locked(Tree *tree, Node *directory, Listing *listing) REQUIRES(tree->lock)
{
    ReadOrder *order = directory->folder->order;
    guint head = (guint)listing_index(listing, order->head);
    guint window = MIN(FIRST_WINDOW << MIN(order->run - FIRST_RUN, 6), MAXIMUM_WINDOW);
    window = MAX(window >> MIN(order->wasted / WASTE_STEP + order->slowness, 6), FIRST_WINDOW);
    guint64 bytes = 0;
    guint files = 0, index = head + 1;
    for (; index < listing->entries.count && files < window; index++) {
        const ListEntry *entry = entry_list_get(&listing->entries, index);
        if (!is_small_file(entry))
            continue;
        files++;
        bytes += entry->facts.size_bytes;
        if (index <= head + order->ahead)
            continue;
        if (order->unread >= window || bytes > MAXIMUM_WINDOW_BYTES)
            break;
        order->unread += start_locked(tree, directory, listing, index);
    }
    order->ahead = MAX(order->ahead, index - 1 - head);
}

void
objects_order_note_open_locked(Tree *tree, Node *node)
{
    Node *directory = node->parent;
    Listing *listing = directory->folder->listings;
    gint64 freshness_us = tree_core_get_freshness_us(directory);
    if (node->flags & NODE_DETACHED || listing == NULL || listing_is_expired(listing) ||
        freshness_us < MINIMUM_FRESHNESS_US)
        return;
    gint64 index = listing_index(listing, node->name);
    if (index < 0)
        return;
    if (directory->folder->order == NULL)
        directory->folder->order = g_new0(ReadOrder, 1);
    if (note_index(directory->folder->order, listing, node->name, index, freshness_us))
        fetch_window_locked(tree, directory, listing);
}

void
objects_order_note_unread_locked(Node *directory)
{
    if (directory->folder->order != NULL)
        end_run(directory->folder->order);
}
