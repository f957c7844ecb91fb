/* What is known of a name, and the decision how to ask when that is not enough: wait for somebody who asks
 * already, list the whole directory, or ask about the one name.
 */
#include "src/tree/objects.h"

#include "src/tree/containers.h"

#include <string.h>

/* How often a change made here during a request makes us ask again. */
#define MAXIMUM_ATTEMPTS 4u

/* Single looks in a directory of more than a page before more pages are tried. */
#define LOOKS_BEFORE_LISTING 3u

/* Absences remembered for each directory. */
#define MAXIMUM_ABSENT 1024u

#define LIST_FLAGS (FACT_ASKING | FACT_BESIDE | FACT_PREFIX | FACT_PROBED)

static gboolean
wants_exact(Node *node)
{
    return storage_get_settings(node_get_storage(node))->exact_attributes;
}

gboolean
objects_fail_absent(Tree *tree, Node *parent, const char *name, GError **error)
{
    g_autofree char *path = tree_describe(tree, parent);
    g_set_error(error, STORAGEFS_ERROR, ERROR_NOT_FOUND, "%s/%s does not exist", path, name);
    return FALSE;
}

static gboolean
facts_are_deep(Node *parent, const EntryFacts *facts, LookDepth depth)
{
    if (depth == LOOK_DETAILS)
        return FALSE;
    if (!wants_exact(parent) || facts->flags & FACT_EXACT)
        return TRUE;
    return depth == LOOK_KIND && !entry_facts_is_ambiguous(facts);
}

gboolean
objects_is_deep_locked(Tree *tree, Node *node, LookDepth depth)
{
    if (depth != LOOK_DETAILS)
        return tree_core_is_dirty(node) || facts_are_deep(node->parent, &node->facts, depth);
    if (node->kind == NODE_FOLDER && node->facts.flags & FACT_MARKER_ASKED &&
        !(node->facts.flags & FACT_MARKER))
        return TRUE;
    g_auto(ObjectInfo) info = {0};
    return objects_get_details_locked(tree, node, &info);
}

/* The version an open file stands at; its publication tells the Node a moment later. */
static gboolean
is_version_of_file(const Node *node, const EntryFacts *facts)
{
    g_auto(ObjectInfo) info = {0};
    VersionTag tag = {0};
    object_file_get_info(node->file, &info);
    version_tag_set(&tag, info.etag);
    gboolean same = version_tag_equal(&tag, &facts->tag);
    version_tag_clear(&tag);
    return same;
}

/* The object behind an open file was replaced: the file keeps the old Node, so that the kernel never mixes
 * the pages of both. To a listing without metadata a symlink is a file. */
static gboolean
must_replace(Node *node, const EntryFacts *facts)
{
    if (node->kind != facts->kind)
        return !entry_facts_say_more(&node->facts, facts);
    return node->kind == NODE_FILE && node->file != NULL && !tree_core_is_dirty(node) &&
           !version_tag_equal(&node->facts.tag, &facts->tag) && !is_version_of_file(node, facts);
}

/* Attributes that were fetched ahead come without the rest. */
static void
learn_file(Node *node, const ObjectInfo *info)
{
    if (node->kind != NODE_FILE || node->file == NULL || !(node->facts.flags & FACT_EXACT))
        return;
    FileAttributes attributes;
    entry_facts_to_attributes(&node->facts, &attributes);
    g_autofree char *etag = version_tag_dup(&node->facts.tag);
    const ObjectInfo bare = {.etag = etag};
    object_file_learn(node->file, info != NULL && info->metadata != NULL ? info : &bare, &attributes);
}

static void
update_node_locked(Tree *tree, Node *node, const EntryFacts *facts) REQUIRES(tree->lock)
{
    gboolean changed = entry_facts_update(&node->facts, facts);
    node->facts.flags &= (guint8)~LIST_FLAGS;
    if (!changed || node_is_directory(node))
        return;
    tree_core_note_version_locked(node);
    tree_core_announce_content_locked(tree, node);
}

Node *
objects_apply_locked(Tree *tree, Node *parent, const char *name, const EntryFacts *facts,
                     const ObjectInfo *info)
{
    Node *node = tree_core_find_locked(tree, parent, name);
    if (node != NULL && tree_core_is_dirty(node))
        return node;
    if (node != NULL && must_replace(node, facts)) {
        tree_core_announce_entry_locked(tree, parent, name);
        tree_core_detach_locked(tree, node, 0);
        node = NULL;
    }
    if (node == NULL) {
        if (parent->folder->absent != NULL)
            g_hash_table_remove(parent->folder->absent, name);
        node = tree_core_attach_locked(tree, parent, name, (NodeKind)facts->kind);
        entry_facts_copy(&node->facts, facts);
        node->facts.flags &= (guint8)~LIST_FLAGS;
    } else {
        update_node_locked(tree, node, facts);
    }
    if (info != NULL && info->key != NULL && info->metadata != NULL)
        detail_cache_put(&tree->details, parent, name, info);
    learn_file(node, info);
    return node;
}

void
objects_vanished_locked(Tree *tree, Node *parent, const char *name)
{
    parent->folder->changes++;
    parent->facts.mtime_ns = g_get_real_time() * 1000;
    listing_note_absent(parent->folder->listings, name);
    detail_cache_drop(&tree->details, parent, name);
    Node *node = tree_core_find_locked(tree, parent, name);
    if (node != NULL)
        tree_core_detach_locked(tree, node, NODE_UNLINKED);
}

void
objects_appeared_locked(Tree *tree, Node *node)
{
    Node *parent = node->parent;
    parent->folder->changes++;
    if (parent->folder->absent != NULL)
        g_hash_table_remove(parent->folder->absent, node->name);
    if (!(node->flags & NODE_DETACHED))
        listing_note_present(parent->folder->listings, node->name, &node->facts);
}

/* What a HEAD did not find, so that a create right after its look-up needs no second one. */
static void
remember_absent_locked(FolderState *folder, const char *name)
{
    if (folder->absent == NULL)
        folder->absent = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    if (g_hash_table_size(folder->absent) >= MAXIMUM_ABSENT)
        g_hash_table_remove_all(folder->absent);
    gint64 *known_at_us = g_new(gint64, 1);
    *known_at_us = tree_core_now();
    g_hash_table_insert(folder->absent, g_strdup(name), known_at_us);
}

static gboolean
is_known_absent(Node *parent, const char *name, gint64 now_us, gint64 *out_valid_us)
{
    gint64 *known_at_us =
        parent->folder->absent != NULL ? g_hash_table_lookup(parent->folder->absent, name) : NULL;
    if (known_at_us == NULL)
        return FALSE;
    gint64 left_us = *known_at_us + tree_core_get_freshness_us(parent) - now_us;
    *out_valid_us = MAX(left_us, 0);
    return left_us > 0;
}

static gboolean
is_hidden(const Node *parent, const char *name)
{
    return parent->folder->lingering != NULL && g_hash_table_contains(parent->folder->lingering, name);
}

static TreeReady
absent_locked(Tree *tree, Node *parent, const char *name, Node *node, gboolean may_change)
    REQUIRES(tree->lock)
{
    if (node == NULL)
        return TREE_ABSENT;
    if (!may_change)
        return TREE_WOULD_WAIT;
    tree_core_announce_entry_locked(tree, parent, name);
    tree_core_detach_locked(tree, node, NODE_UNLINKED);
    return TREE_ABSENT;
}

/* A listing has saved a look: it is in use, and one of many pages has earned its requests. */
static void
count_saved_look_locked(FolderState *folder, gint64 now_us)
{
    folder->last_look_us = MAX(folder->last_look_us, now_us);
    if (!folder->fits_page)
        folder->looks = MIN(folder->looks + 1, 2 * folder->pages);
}

static TreeReady
ask_listing_locked(Tree *tree, Node *parent, const char *name, LookDepth depth, gboolean may_change,
                   gint64 now_us, Node **out_node, gint64 *out_absent_valid_us) REQUIRES(tree->lock)
{
    Listing *listing = parent->folder->listings;
    Node *node = tree_core_find_locked(tree, parent, name);
    EntryFacts *facts = NULL;
    if (listing == NULL || listing_is_expired(listing))
        return TREE_WOULD_WAIT;
    gint64 freshness_us = tree_core_get_freshness_us(parent);
    ListingAnswer answer = listing_lookup(listing, name, &facts);
    if (answer == LISTING_ABSENT && listing->started_us + freshness_us > now_us) {
        count_saved_look_locked(parent->folder, now_us);
        *out_absent_valid_us = MAX(listing->started_us + freshness_us - tree_core_now(), 0);
        detail_cache_drop(&tree->details, parent, name);
        return absent_locked(tree, parent, name, node, may_change);
    }
    if (answer != LISTING_PRESENT || facts->known_at_us + freshness_us <= now_us)
        return TREE_WOULD_WAIT;
    if (depth != LOOK_DETAILS && node == NULL && !facts_are_deep(parent, facts, depth))
        return TREE_WOULD_WAIT;
    if (node != NULL && !may_change &&
        (must_replace(node, facts) || !version_tag_equal(&node->facts.tag, &facts->tag)))
        return TREE_WOULD_WAIT;
    if (node == NULL && depth == LOOK_DETAILS)
        return TREE_WOULD_WAIT;
    node = objects_apply_locked(tree, parent, name, facts, NULL);
    if (!objects_is_deep_locked(tree, node, depth)) {
        tree_core_collect_locked(tree, node);
        return TREE_WOULD_WAIT;
    }
    count_saved_look_locked(parent->folder, now_us);
    *out_node = node;
    return TREE_ANSWERED;
}

TreeReady
objects_known_locked(Tree *tree, Node *parent, const char *name, LookDepth depth, gboolean may_change,
                     gint64 now_us, Node **out_node, gint64 *out_absent_valid_us)
{
    Node *node = tree_core_find_locked(tree, parent, name);
    *out_absent_valid_us = 0;
    if (node != NULL && tree_core_get_valid_us(node, now_us) > 0 &&
        objects_is_deep_locked(tree, node, depth)) {
        *out_node = node;
        return TREE_ANSWERED;
    }
    if (node == NULL &&
        (is_hidden(parent, name) || is_known_absent(parent, name, now_us, out_absent_valid_us)))
        return TREE_ABSENT;
    return ask_listing_locked(tree, parent, name, depth, may_change, now_us, out_node, out_absent_valid_us);
}

/* How many pages to list instead of one look, 0 none. A directory of one page, or of unknown size, is listed
 * when a second name needs a look within the freshness window, or had one answered by a listing. A larger one
 * is listed once that costs no more requests than the looks that went before, so that never more than twice
 * the fewest are made.
 */
static guint
choose_pages_locked(Node *parent, const EntryFacts *listed, gint64 now_us)
{
    FolderState *folder = parent->folder;
    gint64 freshness_us = tree_core_get_freshness_us(parent);
    gboolean again = folder->last_look_us != 0 && folder->last_look_us + freshness_us > now_us;
    folder->last_look_us = now_us;
    /* What the listing just said is fresh, only not deep enough: listing once more would not help. */
    if (listed != NULL && listed->known_at_us + freshness_us > now_us)
        return 0;
    folder->looks = again ? folder->looks + 1 : 0;
    if (!folder->listed || folder->fits_page)
        return again ? 1 : 0;
    guint spent = folder->looks;
    if (spent < MAX(folder->pages, LOOKS_BEFORE_LISTING))
        return 0;
    folder->looks = 0;
    return spent;
}

static ObjectsHint
make_hint(const Node *node, const EntryFacts *listed, gint64 fresh_after_us)
{
    const EntryFacts *facts = listed != NULL ? listed : node != NULL ? &node->facts : NULL;
    if (facts == NULL)
        return HINT_NONE;
    if (facts->kind != NODE_FOLDER)
        return HINT_OBJECT;
    return facts->known_at_us > fresh_after_us && !(facts->flags & FACT_BARE_MARK) ? HINT_LISTED_FOLDER
                                                                                   : HINT_FOLDER;
}

/* What one round of asking needs to know; made with the lock held. */
typedef struct {
    NodePlace place;
    ObjectsHint hint;
    ObjectsAsk ask;
    gboolean should_wait;
    guint pages; /* to list instead, 0 none */
    guint32 changes;
} LookPlan;

/* Asked for all the same, a service has many answers to a key that it cannot have. */
static gboolean
check_length(const NodePlace *place, GError **error)
{
    g_autoptr(GError) failure = NULL;
    if (place->key == NULL || storage_check_key(place->storage, place->key, &failure) ||
        !error_is(failure, ERROR_NAME_TOO_LONG))
        return TRUE;
    g_propagate_error(error, g_steal_pointer(&failure));
    return FALSE;
}

static gboolean
plan_locked(Tree *tree, Node *parent, const char *name, LookDepth depth, LookPlan *plan, GError **error)
    REQUIRES(tree->lock)
{
    gint64 now_us = tree_core_now();
    Listing *listing = parent->folder->listings;
    EntryFacts *facts = NULL;
    gboolean listed = listing != NULL && !listing_is_expired(listing) &&
                      listing_lookup(listing, name, &facts) == LISTING_PRESENT;
    gboolean young = listing != NULL && objects_get_fresh_listing(parent, now_us) == listing;
    plan->should_wait =
        (listed && facts->flags & FACT_ASKING) || (young && listing->pages == 0 && listing->scan != NULL &&
                                                   listing_scan_get_running(listing->scan) > 0);
    if (plan->should_wait)
        return TRUE;
    if (!node_place_init(&plan->place, parent, name, error) || !check_length(&plan->place, error))
        return FALSE;
    const Node *node = tree_core_find_locked(tree, parent, name);
    plan->ask = objects_choose_ask(parent, node, listed ? facts : NULL, depth);
    plan->ask = objects_ask_less(tree, &plan->place, listed ? facts : NULL, plan->ask);
    plan->hint = make_hint(node, listed ? facts : NULL, now_us - tree_core_get_freshness_us(parent));
    plan->pages = choose_pages_locked(parent, listed ? facts : NULL, now_us);
    plan->changes = parent->folder->changes;
    if (listed && depth != LOOK_DETAILS && plan->pages == 0)
        objects_ahead_note_locked(tree, parent, listing, name, depth);
    return TRUE;
}

/* A new listing's first pages; *out_started_us: the time its answers hold for. */
static gboolean
list_pages(Tree *tree, Call *call, Node *parent, guint pages, gint64 *out_started_us, GError **error)
{
    Listing *listing = NULL;
    if (!objects_open_listing(tree, call, parent, &listing, error))
        return FALSE;
    lock_acquire(&tree->lock);
    gboolean has_page = listing->pages > 0;
    lock_release(&tree->lock);
    gboolean ok = pages > 1 ? objects_fetch_pages(tree, call, parent, listing, pages, error)
                            : has_page || objects_fetch_page(tree, call, parent, listing, error);
    lock_acquire(&tree->lock);
    *out_started_us = listing->started_us;
    listing_unref(listing);
    lock_release(&tree->lock);
    return ok;
}

static gboolean
list_directory(Tree *tree, Call *call, Node *parent, guint pages, gint64 *out_started_us, GError **error)
{
    g_auto(ObjectsRecall) recall = {0};
    objects_recall_begin(&recall, tree, call, parent);
    objects_recall_keep_listing(&recall, parent);
    if (list_pages(tree, call, parent, pages, out_started_us, error))
        return TRUE;
    objects_recall_bring_back(&recall);
    return FALSE;
}

static Node *
take_fetched_locked(Tree *tree, Node *parent, const char *name, const ObjectsFetched *fetched)
    REQUIRES(tree->lock)
{
    gint64 now_us = tree_core_now();
    tree_core_confirm_locked(fetched->present ? parent : NULL, now_us);
    Node *node = tree_core_find_locked(tree, parent, name);
    if (!fetched->present) {
        if (node != NULL && !tree_core_is_dirty(node))
            absent_locked(tree, parent, name, node, TRUE);
        detail_cache_drop(&tree->details, parent, name);
        remember_absent_locked(parent->folder, name);
        return NULL;
    }
    if (node == NULL && is_hidden(parent, name))
        return NULL;
    if (parent->folder->listings != NULL)
        listing_learn(parent->folder->listings, name, &fetched->facts);
    return objects_apply_locked(tree, parent, name, &fetched->facts, &fetched->info);
}

/* TRUE when what is known answers; then *out_node is a reference or NULL. */
static gboolean
answer_locked(Tree *tree, Node *parent, const char *name, LookDepth depth, gint64 now_us, Node **out_node)
    REQUIRES(tree->lock)
{
    gint64 ignored;
    Node *node = NULL;
    TreeReady ready = objects_known_locked(tree, parent, name, depth, TRUE, now_us, &node, &ignored);
    if (ready == TREE_ANSWERED)
        *out_node = tree_core_hold_locked(node);
    else if (ready == TREE_ABSENT)
        *out_node = NULL;
    return ready != TREE_WOULD_WAIT;
}

static gboolean
fetch_by_plan(Tree *tree, Call *call, Node *parent, const char *name, const LookPlan *plan, gboolean last,
              gboolean *out_done, Node **out_node, GError **error)
{
    g_auto(ObjectsFetched) fetched = {0};
    if (!objects_fetch(tree, call, &plan->place, plan->hint, plan->ask, &fetched, error))
        return FALSE;
    lock_acquire(&tree->lock);
    *out_done = last || parent->folder->changes == plan->changes;
    if (*out_done) {
        Node *node = take_fetched_locked(tree, parent, name, &fetched);
        *out_node = node != NULL ? tree_core_hold_locked(node) : NULL;
    }
    lock_release(&tree->lock);
    return TRUE;
}

/* By one listing for all who ask; it may turn out that it does not reach as far as this name. */
static gboolean
ask_by_listing(Tree *tree, Call *call, Node *parent, const char *name, LookDepth depth, guint pages,
               gboolean *out_done, Node **out_node, GError **error)
{
    gint64 started_us = 0;
    if (!list_directory(tree, call, parent, pages, &started_us, error))
        return FALSE;
    lock_acquire(&tree->lock);
    *out_done = started_us != 0 && answer_locked(tree, parent, name, depth, started_us, out_node);
    lock_release(&tree->lock);
    return TRUE;
}

/* One round: TRUE with *out_done FALSE means look again. What is known and what is planned are one step: an
 * answer that comes between them would be asked for twice. */
static gboolean
look_once(Tree *tree, Call *call, Node *parent, const char *name, LookDepth depth, guint *attempts,
          gboolean *out_done, Node **out_node, GError **error)
{
    LookPlan plan = {0};
    lock_acquire(&tree->lock);
    *out_done = answer_locked(tree, parent, name, depth, tree_core_now(), out_node);
    gboolean ok = *out_done || plan_locked(tree, parent, name, depth, &plan, error);
    if (ok && plan.should_wait)
        ok = tree_core_wait_locked(tree, call, error);
    lock_release(&tree->lock);
    if (ok && plan.pages > 0 && depth != LOOK_DETAILS)
        ok = ask_by_listing(tree, call, parent, name, depth, plan.pages, out_done, out_node, error);
    if (ok && !plan.should_wait && !*out_done) {
        gboolean last = ++*attempts >= MAXIMUM_ATTEMPTS;
        ok = fetch_by_plan(tree, call, parent, name, &plan, last, out_done, out_node, error);
    }
    node_place_clear(&plan.place);
    return ok;
}

gboolean
objects_look(Tree *tree, Call *call, Node *parent, const char *name, LookDepth depth, Node **out_node,
             GError **error)
{
    gboolean done = FALSE, ok = TRUE;
    guint attempts = 0;
    while (ok && !done)
        ok = look_once(tree, call, parent, name, depth, &attempts, &done, out_node, error);
    tree_core_flush(tree);
    return ok;
}

/* A detached Node lives on for its handles only. */
static gboolean
fail_detached(Tree *tree, Node *node, GError **error)
{
    lock_acquire(&tree->lock);
    gboolean removed = (node->flags & NODE_UNLINKED) != 0;
    lock_release(&tree->lock);
    return removed ? tree_core_fail(tree, node, ERROR_NOT_FOUND, "was removed", error)
                   : tree_core_fail(tree, node, ERROR_CHANGED, "was replaced", error);
}

gboolean
objects_look_node(Tree *tree, Call *call, Node *node, LookDepth depth, GError **error)
{
    lock_acquire(&tree->lock);
    gboolean attached = !(node->flags & NODE_DETACHED);
    Node *parent = tree_core_hold_locked(node->parent);
    g_autofree char *name = g_strdup(node->name);
    lock_release(&tree->lock);
    Node *found = NULL;
    gint64 ignored;
    gboolean ok = attached || fail_detached(tree, node, error);
    if (ok && node->kind == NODE_CONTAINER)
        ok = containers_look(tree, call, parent, name, &found, error);
    else if (ok)
        ok = objects_recall(tree, call, parent, name, depth, &found, &ignored, error);
    if (ok && found != node)
        ok =
            found == NULL ? objects_fail_absent(tree, parent, name, error) : fail_detached(tree, node, error);
    lock_acquire(&tree->lock);
    if (found != NULL)
        tree_core_drop_locked(tree, found);
    tree_core_drop_locked(tree, parent);
    lock_release(&tree->lock);
    return ok;
}
