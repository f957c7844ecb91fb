/* HEADs ahead of a reader: a program that stats the names of a directory in the order of its listing, or
 * reads their extended attributes, finds the following ones answered already. The window grows while the
 * order is kept, and closes when it is not.
 */
#include "src/tree/objects.h"

#define FIRST_WINDOW 4u
#define MAXIMUM_WINDOW 64u
/* Entries that may be skipped without breaking the order (known ones are never asked for). */
#define MAXIMUM_GAP 64
/* The same where it is worse to do for nothing: where files are read whole ones are fetched, and where the
 * listing tells the attributes no stat asks for more. */
#define MAXIMUM_NARROW_GAP 4
/* In the latter case, as many entries at most. */
#define MAXIMUM_NARROW_WINDOW 16u

typedef struct {
    Tree *tree;
    Node *directory;
    Listing *listing;
    guint index;
    char *name;
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

static gboolean
is_exact(Node *directory)
{
    return storage_get_settings(node_get_storage(directory))->exact_attributes;
}

void
objects_ahead_take_locked(Tree *tree, Node *directory, const char *name, EntryFacts *listed,
                          const ObjectsFetched *fetched)
{
    gboolean exact = is_exact(directory);
    if (exact) {
        guint8 kept = listed->flags & (FACT_BESIDE | FACT_PREFIX | FACT_PROBED);
        entry_facts_copy(listed, &fetched->facts);
        listed->flags |= kept;
    } else if (version_tag_equal(&listed->tag, &fetched->facts.tag)) {
        /* What the listing says of attributes stays. */
        listed->known_at_us = fetched->facts.known_at_us;
    }
    if (fetched->info.key != NULL && fetched->info.metadata != NULL)
        detail_cache_put(&tree->details, directory, name, &fetched->info);
}

static void
take_answer_locked(Tree *tree, Ahead *ahead, const ObjectsFetched *fetched) REQUIRES(tree->lock)
{
    EntryFacts *listed = &get_entry(ahead->listing, ahead->index)->facts;
    listed->flags &= (guint8)~FACT_ASKING;
    if (fetched->present && ahead->directory->folder->changes == ahead->changes)
        objects_ahead_take_locked(tree, ahead->directory, ahead->name, listed, fetched);
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
    take_answer_locked(tree, ahead, &fetched);
    listing_unref(ahead->listing);
    tree_core_drop_locked(tree, ahead->directory);
    lock_release(&tree->lock);
    node_place_clear(&ahead->place);
    g_free(ahead->name);
    g_free(ahead);
    tree_core_end_task(tree);
}

/* By what the entry says alone. */
static gboolean
may_need_more(const EntryFacts *facts, LookDepth depth)
{
    if (facts->flags & (FACT_ASKING | FACT_BESIDE))
        return FALSE;
    if (depth == LOOK_DETAILS)
        return facts->kind != NODE_FOLDER || !(facts->flags & FACT_MARKER_ASKED) ||
               facts->flags & FACT_MARKER;
    return !(facts->flags & FACT_EXACT) && (depth != LOOK_KIND || entry_facts_is_ambiguous(facts));
}

/* A Node that the kernel has outlives listings, and with it what was told of this version before. */
static gboolean
is_known_locked(Tree *tree, Node *directory, const char *name, const EntryFacts *facts, LookDepth depth)
    REQUIRES(tree->lock)
{
    const Node *node = tree_core_find_locked(tree, directory, name);
    if (node != NULL && version_tag_equal(&node->facts.tag, &facts->tag))
        facts = &node->facts;
    return depth == LOOK_DETAILS ? objects_get_kept_locked(tree, directory, name, facts) != NULL
                                 : (facts->flags & FACT_EXACT) != 0;
}

static void
start_locked(Tree *tree, Node *directory, Listing *listing, guint index, LookDepth depth) REQUIRES(tree->lock)
{
    ListEntry *entry = get_entry(listing, index);
    if (!may_need_more(&entry->facts, depth))
        return;
    guint64 position = index;
    g_autofree char *name = NULL;
    EntryFacts *facts = NULL;
    if (listing_next(listing, &position, &name, &facts) != LISTING_ITEM || facts != &entry->facts)
        return;
    if (is_known_locked(tree, directory, name, facts, depth))
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
    ahead->name = g_steal_pointer(&name);
    ahead->hint = facts->kind == NODE_FOLDER ? HINT_LISTED_FOLDER : HINT_OBJECT;
    ahead->ask = objects_ask_less(tree, &ahead->place, facts, ask);
    ahead->changes = directory->folder->changes;
    entry->facts.flags |= FACT_ASKING;
    WorkerPool *lane = storage_get_lane(ahead->place.storage, STORAGE_LANE_TRANSFERS);
    worker_pool_push(lane, run_ahead, g_steal_pointer(&ahead));
}

/* TRUE: the names come in order. One name may be looked at more than once. */
static gboolean
note_index(Listing *listing, guint index, gint64 maximum_gap)
{
    gint64 step = (gint64)index - listing->last_stat;
    if (step == 0 && listing->stat_run > 0)
        return TRUE;
    gboolean in_order = step > 0 && step <= maximum_gap;
    listing->stat_run = in_order ? MIN(listing->stat_run + 1, 8) : 0;
    listing->last_stat = index;
    return in_order;
}

void
objects_ahead_note_locked(Tree *tree, Node *directory, Listing *listing, const char *name, LookDepth depth)
{
    gboolean exact = is_exact(directory);
    objects_ask_note_look(directory);
    gint64 index = exact || depth == LOOK_DETAILS ? listing_index(listing, name) : -1;
    if (index < 0)
        return;
    gboolean is_narrow = !exact || directory->folder->reads_seen > 0;
    if (!note_index(listing, (guint)index, is_narrow ? MAXIMUM_NARROW_GAP : MAXIMUM_GAP))
        return;
    directory->folder->ahead_depth = (guint8)depth;
    guint window = MIN(FIRST_WINDOW << listing->stat_run, exact ? MAXIMUM_WINDOW : MAXIMUM_NARROW_WINDOW);
    guint end = MIN((guint)index + 1 + window, listing->entries.count);
    for (guint next = (guint)index + 1; next < end; next++)
        start_locked(tree, directory, listing, next, depth);
}

void
objects_ahead_hit_locked(Tree *tree, Node *directory, const char *name, LookDepth depth)
{
    Listing *listing = directory->folder->listings;
    if (listing == NULL || listing->stat_run == 0 || (depth != LOOK_DETAILS && !is_exact(directory)))
        return;
    /* Who looks a name up may ask for no more. */
    LookDepth before = MIN((LookDepth)directory->folder->ahead_depth, LOOK_ATTRIBUTES);
    objects_ahead_note_locked(tree, directory, listing, name, MAX(depth, before));
}

void
objects_ahead_note_details_locked(Tree *tree, Node *node)
{
    Node *directory = node->parent;
    Listing *listing = directory->folder->listings;
    g_auto(ObjectInfo) known = {0};
    if (node->flags & NODE_DETACHED || listing == NULL || listing_is_expired(listing))
        return;
    if (objects_get_details_locked(tree, node, &known))
        objects_ahead_hit_locked(tree, directory, node->name, LOOK_DETAILS);
    else
        objects_ahead_note_locked(tree, directory, listing, node->name, LOOK_DETAILS);
}
