/* While a storage does not answer (durability = journal): what was known before is the answer, however old,
 * and a name of which nothing is known counts as absent. What is made or changed on such an answer is stored
 * under the condition that it was right, so that a wrong one ends as a conflict in the journal.
 */
#include "src/base/log.h"
#include "src/tree/objects.h"

static void
drop_listing(Tree *tree, Listing *listing)
{
    lock_acquire(&tree->lock);
    listing_unref(listing);
    lock_release(&tree->lock);
}

void
objects_recall_begin(ObjectsRecall *recall, Tree *tree, Call *call, Node *directory)
{
    g_autoptr(Storage) storage = tree_core_ref_storage(tree, directory);
    const StorageSettings *settings = storage_get_settings(storage);
    *recall = (ObjectsRecall){.tree = tree, .call = call, .asks = TRUE};
    if (!settings->journal || settings->read_only)
        return;
    gint64 patience_us = storage_get_patience_us(storage);
    recall->storage = g_steal_pointer(&storage);
    recall->asks = patience_us > 0;
    recall->own_call = call_new_child(call, MAX(patience_us, STORAGE_SHORT_PATIENCE_US));
    recall->call = recall->own_call;
}

void
objects_recall_end(ObjectsRecall *recall)
{
    if (recall->kept != NULL)
        drop_listing(recall->tree, recall->kept);
    call_unref(recall->own_call);
    if (recall->storage != NULL)
        storage_unref(recall->storage);
    *recall = (ObjectsRecall){0};
}

gboolean
objects_recall_takes(const ObjectsRecall *recall, const GError *failure)
{
    if (recall->storage == NULL || !error_is_transient(failure))
        return FALSE;
    storage_note_silent(recall->storage);
    log_info("%s: answering from what is known: %s", storage_get_name(recall->storage), failure->message);
    return TRUE;
}

void
objects_recall_keep_listing(ObjectsRecall *recall, Node *directory)
{
    if (recall->storage == NULL)
        return;
    lock_acquire(&recall->tree->lock);
    Listing *newest = directory->folder->listings;
    if (newest != NULL && newest->complete)
        recall->kept = listing_ref(newest);
    lock_release(&recall->tree->lock);
}

void
objects_recall_bring_back(ObjectsRecall *recall)
{
    if (recall->kept == NULL)
        return;
    lock_acquire(&recall->tree->lock);
    listing_bring_back(recall->kept);
    lock_release(&recall->tree->lock);
}

Listing *
objects_recall_listing(ObjectsRecall *recall)
{
    objects_recall_bring_back(recall);
    return g_steal_pointer(&recall->kept);
}

/* The younger of what the Node and the listing say. NULL: absent, or nothing is known. */
static Node *
find_old_locked(Tree *tree, Node *parent, const char *name) REQUIRES(tree->lock)
{
    Node *node = tree_core_find_locked(tree, parent, name);
    Listing *listing = parent->folder->listings;
    EntryFacts *facts = NULL;
    if (listing == NULL || (node != NULL && tree_core_is_dirty(node)))
        return node;
    ListingAnswer answer = listing_lookup(listing, name, &facts);
    if (answer == LISTING_PRESENT && (node == NULL || facts->known_at_us > node->facts.known_at_us))
        return objects_apply_locked(tree, parent, name, facts, NULL);
    if (node == NULL || answer != LISTING_ABSENT || listing->started_us <= node->facts.known_at_us)
        return node;
    tree_core_announce_entry_locked(tree, parent, name);
    tree_core_detach_locked(tree, node, NODE_UNLINKED);
    return NULL;
}

static gboolean
is_enough(Tree *tree, Node *node, LookDepth depth) REQUIRES(tree->lock)
{
    if (depth == LOOK_VERSION && node->kind == NODE_FILE && version_tag_is_set(&node->facts.tag))
        return TRUE;
    return depth < LOOK_DETAILS || objects_is_deep_locked(tree, node, LOOK_DETAILS);
}

static gboolean
recall_locked(Tree *tree, Node *parent, const char *name, LookDepth depth, Node **out_node)
    REQUIRES(tree->lock)
{
    Node *node = NULL;
    gint64 ignored;
    TreeReady ready = objects_known_locked(tree, parent, name, MIN(depth, LOOK_DETAILS), TRUE,
                                           tree_core_now(), &node, &ignored);
    if (ready == TREE_WOULD_WAIT)
        node = find_old_locked(tree, parent, name);
    if (node != NULL && !is_enough(tree, node, depth)) {
        tree_core_collect_locked(tree, node);
        return FALSE;
    }
    *out_node = node != NULL ? tree_core_hold_locked(node) : NULL;
    return TRUE;
}

static gboolean
recall_name(Tree *tree, Node *parent, const char *name, LookDepth depth, Node **out_node)
{
    lock_acquire(&tree->lock);
    gboolean ok = recall_locked(tree, parent, name, depth, out_node);
    lock_release(&tree->lock);
    tree_core_flush(tree);
    return ok;
}

/* Where too little is known the answer is worth all the time that there is. */
gboolean
objects_recall(Tree *tree, Call *call, Node *parent, const char *name, LookDepth depth, Node **out_node,
               gint64 *out_absent_valid_us, GError **error)
{
    g_auto(ObjectsRecall) recall = {0};
    g_autoptr(GError) failure = NULL;
    objects_recall_begin(&recall, tree, call, parent);
    *out_absent_valid_us = 0;
    if (!recall.asks && recall_name(tree, parent, name, depth, out_node))
        return TRUE;
    if (objects_look(tree, recall.call, parent, name, MIN(depth, LOOK_DETAILS), out_node, &failure)) {
        *out_absent_valid_us = tree_core_absent_valid_us(tree, parent);
        return TRUE;
    }
    gboolean takes = objects_recall_takes(&recall, failure) && recall.asks;
    if (takes && recall_name(tree, parent, name, depth, out_node))
        return TRUE;
    if (takes)
        return objects_look(tree, call, parent, name, MIN(depth, LOOK_DETAILS), out_node, error);
    g_propagate_error(error, g_steal_pointer(&failure));
    return FALSE;
}

static gboolean
has_page(Tree *tree, const Listing *listing)
{
    lock_acquire(&tree->lock);
    gboolean has = listing->pages > 0;
    lock_release(&tree->lock);
    return has;
}

/* The first page tells whether there is an answer. It is fetched here only where something else would do. */
gboolean
objects_recall_open_listing(Tree *tree, Call *call, Node *node, Listing **out, GError **error)
{
    g_auto(ObjectsRecall) recall = {0};
    g_autoptr(GError) failure = NULL;
    Listing *listing = NULL;
    objects_recall_begin(&recall, tree, call, node);
    objects_recall_keep_listing(&recall, node);
    if (recall.kept != NULL && !recall.asks) {
        *out = objects_recall_listing(&recall);
        return TRUE;
    }
    if (!objects_open_listing(tree, call, node, &listing, error))
        return FALSE;
    if (recall.kept == NULL || has_page(tree, listing) ||
        objects_fetch_page(tree, recall.call, node, listing, &failure)) {
        *out = listing;
        return TRUE;
    }
    drop_listing(tree, listing);
    if (objects_recall_takes(&recall, failure)) {
        *out = objects_recall_listing(&recall);
        return TRUE;
    }
    g_propagate_error(error, g_steal_pointer(&failure));
    return FALSE;
}
