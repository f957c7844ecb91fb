/* Listings of containers and folders: shared, fetched page by page, one request at a time for each, the next
 * page ahead of its reader.
 */
#include "src/tree/objects.h"

#include "src/base/log.h"

Listing *
objects_get_fresh_listing(Node *directory, gint64 now_us)
{
    Listing *listing = directory->folder->listings;
    if (listing == NULL || listing->started_us + tree_core_get_freshness_us(directory) <= now_us)
        return NULL;
    return listing;
}

static ListingNames
names_of(Node *node)
{
    return storage_get_settings(node_get_storage(node))->folders ? LISTING_FOLDERS : LISTING_FLAT;
}

void
objects_know_empty_locked(Node *directory)
{
    Listing *listing = listing_new(directory->folder, names_of(directory), tree_core_now());
    listing->complete = TRUE;
    listing->pages = 1;
    listing_unref(listing);
    directory->folder->fits_page = directory->folder->listed = TRUE;
}

/* What only we know: names that are not stored yet, and names that are gone while their objects linger. */
static Listing *
start_listing_locked(Tree *tree, Node *directory, gint64 now_us) REQUIRES(tree->lock)
{
    Listing *listing = listing_new(directory->folder, names_of(directory), now_us);
    GHashTableIter iter;
    gpointer key;
    g_hash_table_iter_init(&iter, tree->open_nodes);
    while (g_hash_table_iter_next(&iter, &key, NULL)) {
        Node *node = key;
        if (node->parent == directory && !(node->flags & NODE_DETACHED) && tree_core_is_dirty(node))
            listing_note_present(listing, node->name, &node->facts);
    }
    if (directory->folder->lingering == NULL)
        return listing;
    g_hash_table_iter_init(&iter, directory->folder->lingering);
    while (g_hash_table_iter_next(&iter, &key, NULL))
        if (tree_core_find_locked(tree, directory, key) == NULL)
            listing_note_absent(listing, key);
    return listing;
}

gboolean
objects_open_listing(Tree *tree, Call *call, Node *node, Listing **out, GError **error)
{
    gint64 now_us = tree_core_now();
    lock_acquire(&tree->lock);
    Listing *fresh = objects_get_fresh_listing(node, now_us);
    *out = fresh != NULL ? listing_ref(fresh) : start_listing_locked(tree, node, now_us);
    lock_release(&tree->lock);
    return TRUE;
}

typedef struct {
    Storage *storage;
    char *container, *prefix, *token;
    gboolean in_folders;
} PageRequest;

static void
clear_request(PageRequest *request)
{
    storage_unref(request->storage);
    g_free(request->container);
    g_free(request->prefix);
    g_free(request->token);
}

static void
init_request_locked(PageRequest *request, Node *node, Listing *listing)
{
    request->storage = storage_ref(node_get_storage(node));
    request->container = g_strdup(node_get_container_node(node)->name);
    request->prefix = node_make_prefix(node);
    request->token = g_strdup(listing->next_token);
    request->in_folders = listing->names == LISTING_FOLDERS;
}

/* Folders whose objects came long before them in this listing, see listing_get_unsettled(). */
static gboolean
settle(Tree *tree, Call *call, const PageRequest *request, Listing *listing, GPtrArray *parts, GError **error)
{
    for (guint i = 0; i < parts->len; i++) {
        const char *part = g_ptr_array_index(parts, i);
        g_autofree char *prefix = g_strconcat(request->prefix, part, "/", NULL);
        g_auto(ListPage) page;
        list_page_init(&page);
        if (!objects_fetch_first(request->storage, call, request->container, prefix, 1, &page, error))
            return FALSE;
        lock_acquire(&tree->lock);
        listing_settle(listing, part, page.objects->len > 0);
        lock_release(&tree->lock);
    }
    return TRUE;
}

static void
learn_directory_locked(Tree *tree, Node *node, Listing *listing) REQUIRES(tree->lock)
{
    if (listing->pages == 1 && node->kind == NODE_FOLDER) {
        node->facts.flags |= FACT_MARKER_ASKED | (listing->marker.flags & FACT_MARKER);
    }
    node->folder->fits_page = listing->complete && listing->pages == 1;
    node->folder->listed = TRUE;
    tree_core_confirm_locked(node, tree_core_now());
}

static GPtrArray *
append_page_locked(Tree *tree, Node *node, Listing *listing, const PageRequest *request, const ListPage *page)
    REQUIRES(tree->lock)
{
    AttributeDefaults defaults;
    tree_core_get_defaults(tree, &defaults);
    gint64 now_us = tree_core_now();
    guint before = listing->entries->len;
    if (listing->pages == 0)
        listing->started_us = now_us;
    tree->long_names += listing_append_page(listing, page, request->prefix, &defaults, listing->next, now_us);
    tree->listed_names += listing->entries->len - before;
    learn_directory_locked(tree, node, listing);
    return listing_get_unsettled(listing);
}

static gboolean
fetch_locked(Tree *tree, Call *call, Node *node, Listing *listing, GError **error) REQUIRES(tree->lock)
{
    PageRequest request = {0};
    g_auto(ListPage) page;
    g_autoptr(GPtrArray) unsettled = NULL;
    listing->fetching = TRUE;
    init_request_locked(&request, node, listing);
    lock_release(&tree->lock);
    list_page_init(&page);
    ListQuery query = {.prefix = request.prefix,
                       .delimiter = request.in_folders ? '/' : 0,
                       .after_token = request.token,
                       .want_metadata = TRUE};
    gboolean ok = storage_list_objects(request.storage, call, request.container, &query, &page, error);
    if (ok) {
        lock_acquire(&tree->lock);
        unsettled = append_page_locked(tree, node, listing, &request, &page);
        lock_release(&tree->lock);
        ok = settle(tree, call, &request, listing, unsettled, error);
    }
    clear_request(&request);
    lock_acquire(&tree->lock);
    if (ok)
        listing_release_page(listing);
    else
        listing->started_us = 0;
    listing->fetching = FALSE;
    tree_core_wake_locked(tree);
    return ok;
}

gboolean
objects_fetch_page(Tree *tree, Call *call, Node *node, Listing *listing, GError **error)
{
    gboolean ok = TRUE;
    lock_acquire(&tree->lock);
    if (listing->fetching) {
        while (ok && listing->fetching)
            ok = tree_core_wait_locked(tree, call, error);
    } else if (!listing->complete) {
        ok = fetch_locked(tree, call, node, listing, error);
    }
    lock_release(&tree->lock);
    return ok;
}

typedef struct {
    Tree *tree;
    Node *node;
    Listing *listing;
    Storage *storage;
} Prefetch;

static void
run_prefetch(gpointer data)
{
    Prefetch *prefetch = data;
    Tree *tree = prefetch->tree;
    g_autoptr(GError) ignored = NULL;
    g_autoptr(Call) call = storage_new_call(prefetch->storage);
    lock_acquire(&tree->lock);
    /* A failure is the reader's to meet, when he comes here. */
    if (!prefetch->listing->fetching && !prefetch->listing->complete &&
        !fetch_locked(tree, call, prefetch->node, prefetch->listing, &ignored))
        log_debug("listing ahead: %s", ignored->message);
    listing_unref(prefetch->listing);
    tree_core_drop_locked(tree, prefetch->node);
    lock_release(&tree->lock);
    storage_unref(prefetch->storage);
    g_free(prefetch);
    tree_core_end_task(tree);
}

void
objects_prefetch_page(Tree *tree, Node *node, Listing *listing)
{
    lock_acquire(&tree->lock);
    gboolean wanted =
        !listing->complete && !listing->fetching && listing->pages > 0 && tree_core_begin_task_locked(tree);
    Prefetch *prefetch = NULL;
    if (wanted) {
        prefetch = g_new(Prefetch, 1);
        *prefetch = (Prefetch){.tree = tree,
                               .node = tree_core_hold_locked(node),
                               .listing = listing_ref(listing),
                               .storage = storage_ref(node_get_storage(node))};
    }
    lock_release(&tree->lock);
    if (wanted)
        worker_pool_push(storage_get_lane(prefetch->storage, STORAGE_LANE_TRANSFERS), run_prefetch, prefetch);
}
