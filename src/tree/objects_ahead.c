/* HEADs ahead of a reader: a program that stats the names of a directory in the order of its listing finds
 * the following ones answered already. The window grows while the order is kept, and closes when it is not.
 */
#include "src/tree/objects.h"

#define FIRST_WINDOW 4u
#define MAXIMUM_WINDOW 64u
/* Entries that may be skipped without breaking the order (known ones are never asked for). */
#define MAXIMUM_GAP 64
/* The same where files are read: whole ones are fetched then, which is worse to do for nothing. */
#define MAXIMUM_GAP_OF_READS 4

typedef struct {
    Tree *tree;
    Node *directory;
    Listing *listing;
    guint index;
    NodePlace place;
    ObjectsHint hint;
    ObjectsAsk ask;
    guint32 changes;
} Ahead;

static ListEntry *
get_entry(Listing *listing, guint index)
{
    return entry_list_get(&listing->entries, index);
}

static void
take_answer_locked(Ahead *ahead, const ObjectsFetched *fetched)
{
    ListEntry *entry = get_entry(ahead->listing, ahead->index);
    entry->facts.flags &= (guint8)~FACT_ASKING;
    if (!fetched->present || ahead->directory->folder->changes != ahead->changes)
        return;
    guint8 kept = entry->facts.flags & (FACT_BESIDE | FACT_PREFIX | FACT_PROBED);
    entry_facts_copy(&entry->facts, &fetched->facts);
    entry->facts.flags |= kept;
}

static void
run_ahead(gpointer data)
{
    Ahead *ahead = data;
    Tree *tree = ahead->tree;
    g_auto(ObjectsFetched) fetched = {0};
    g_autoptr(Call) call = storage_new_call(ahead->place.storage);
    /* Whoever stats this name asks again when this failed. */
    gboolean ok = objects_fetch(tree, call, &ahead->place, ahead->hint, ahead->ask, &fetched, NULL);
    if (!ok)
        objects_fetched_clear(&fetched);
    lock_acquire(&tree->lock);
    take_answer_locked(ahead, &fetched);
    listing_unref(ahead->listing);
    tree_core_drop_locked(tree, ahead->directory);
    lock_release(&tree->lock);
    node_place_clear(&ahead->place);
    g_free(ahead);
    tree_core_end_task(tree);
}

static void
start_locked(Tree *tree, Node *directory, Listing *listing, guint index, LookDepth depth) REQUIRES(tree->lock)
{
    ListEntry *entry = get_entry(listing, index);
    if (entry->facts.flags & (FACT_EXACT | FACT_ASKING | FACT_BESIDE))
        return;
    if (depth == LOOK_KIND && !entry_facts_is_ambiguous(&entry->facts))
        return;
    guint64 position = index;
    g_autofree char *name = NULL;
    EntryFacts *facts = NULL;
    if (listing_next(listing, &position, &name, &facts) != LISTING_ITEM || facts != &entry->facts)
        return;
    ObjectsAsk ask = objects_choose_ask(directory, NULL, facts, depth);
    /* Its reader takes what is there first: asked for its attributes alone it would cost a second request. */
    if (ask.whole_bytes == 0 && directory->folder->reads_seen > 0 && facts->kind == NODE_FILE &&
        facts->size_bytes > 0 && facts->size_bytes <= OBJECTS_GUESS_MAX_BYTES)
        return;
    g_autofree Ahead *ahead = g_new0(Ahead, 1);
    if (!node_place_init(&ahead->place, directory, name, NULL) || !tree_core_begin_task_locked(tree)) {
        node_place_clear(&ahead->place);
        return;
    }
    ahead->tree = tree;
    ahead->directory = tree_core_hold_locked(directory);
    ahead->listing = listing_ref(listing);
    ahead->index = index;
    ahead->hint = facts->kind == NODE_FOLDER ? HINT_LISTED_FOLDER : HINT_OBJECT;
    ahead->ask = objects_ask_less(tree, &ahead->place, facts, ask);
    ahead->changes = directory->folder->changes;
    entry->facts.flags |= FACT_ASKING;
    WorkerPool *lane = storage_get_lane(ahead->place.storage, STORAGE_LANE_TRANSFERS);
    worker_pool_push(lane, run_ahead, g_steal_pointer(&ahead));
}

void
objects_ahead_note_locked(Tree *tree, Node *directory, Listing *listing, const char *name, LookDepth depth)
{
    objects_ask_note_look(directory);
    gint64 index = listing_index(listing, name);
    if (index < 0)
        return;
    gint64 step = index - (gint64)listing->last_stat;
    gboolean reads = directory->folder->reads_seen > 0;
    gboolean in_order = step > 0 && step <= (reads ? MAXIMUM_GAP_OF_READS : MAXIMUM_GAP);
    listing->stat_run = in_order ? MIN(listing->stat_run + 1, 8) : 0;
    listing->last_stat = (guint)index;
    if (!in_order || !storage_get_settings(node_get_storage(directory))->exact_attributes)
        return;
    directory->folder->ahead_depth = (guint8)depth;
    guint window = MIN(FIRST_WINDOW << listing->stat_run, MAXIMUM_WINDOW);
    guint end = MIN((guint)index + 1 + window, listing->entries.count);
    for (guint next = (guint)index + 1; next < end; next++)
        start_locked(tree, directory, listing, next, depth);
}

void
objects_ahead_hit_locked(Tree *tree, Node *directory, const char *name)
{
    Listing *listing = directory->folder->listings;
    if (listing != NULL && listing->stat_run > 0)
        objects_ahead_note_locked(tree, directory, listing, name, (LookDepth)directory->folder->ahead_depth);
}
