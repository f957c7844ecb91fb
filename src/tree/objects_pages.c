/* Listings of containers and folders: shared, fetched page by page ahead of their readers, the pages of large
 * ones side by side (listing_scan.h). How much is fetched ahead grows while a reader goes on, and stops
 * growing with the number of directories that are read.
 */
#include "src/tree/objects.h"

#include "src/base/log.h"
#include "src/tree/containers.h"

/* Pages fetched ahead of all readers together, and of each one at least. A page's raw form has about 250 KB.
 */
#define MAXIMUM_WINDOW 64u
#define FIRST_WINDOW 4u
/* Requests for one listing at once. */
#define MAXIMUM_LANES 12u
/* Entries a reader takes between two looks at what should be fetched. */
#define PLAN_ENTRIES 100u

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
start_listing_locked(Tree *tree, Node *directory, gboolean can_split, gint64 now_us) REQUIRES(tree->lock)
{
    Listing *listing = listing_new(directory->folder, names_of(directory), now_us);
    listing->scan = listing_scan_new(can_split);
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
    Capabilities can;
    g_autoptr(Storage) storage = tree_core_ref_storage(tree, node);
    storage_get_capabilities(storage, &can);
    lock_acquire(&tree->lock);
    Listing *fresh = objects_get_fresh_listing(node, now_us);
    *out =
        fresh != NULL ? listing_ref(fresh) : start_listing_locked(tree, node, can.list_start_after, now_us);
    lock_release(&tree->lock);
    return TRUE;
}

/* One page on its way: what is asked for whom, and the answer. */
typedef struct {
    Tree *tree;
    Node *node;       /* a reference */
    Listing *listing; /* a reference */
    Storage *storage;
    ListingSegment *segment;
    char *container, *prefix, *after, *token;
    ListPage page;
    KeySample *sample;
} PageRequest;

static PageRequest *
new_request_locked(Tree *tree, Node *node, Listing *listing, ListingSegment *segment) REQUIRES(tree->lock)
{
    PageRequest *request = g_new0(PageRequest, 1);
    request->tree = tree;
    request->node = tree_core_hold_locked(node);
    request->listing = listing_ref(listing);
    request->storage = storage_ref(node_get_storage(node));
    request->segment = segment;
    request->container = g_strdup(node_get_container_node(node)->name);
    request->prefix = node_make_prefix(node);
    listing_scan_get_start(segment, &request->after, &request->token);
    list_page_init(&request->page);
    return request;
}

static void
end_request(PageRequest *request) EXCLUDES(request->tree->lock)
{
    lock_acquire(&request->tree->lock);
    listing_unref(request->listing);
    tree_core_drop_locked(request->tree, request->node);
    lock_release(&request->tree->lock);
    storage_unref(request->storage);
    g_free(request->container);
    g_free(request->prefix);
    g_free(request->after);
    g_free(request->token);
    list_page_clear(&request->page);
    g_clear_pointer(&request->sample, key_sample_unref);
    g_free(request);
}

static gboolean
list_page(PageRequest *request, Call *call, GError **error)
{
    char delimiter = request->listing->names == LISTING_FOLDERS ? '/' : 0;
    ListQuery query = {.prefix = request->prefix,
                       .delimiter = delimiter,
                       .start_after = request->token == NULL ? request->after : NULL,
                       .after_token = request->token,
                       .want_metadata = TRUE};
    if (!storage_list_objects(request->storage, call, request->container, &query, &request->page, error))
        return FALSE;
    if (request->page.next != NULL)
        request->sample = key_sample_new(&request->page, request->prefix, delimiter);
    return TRUE;
}

/* What a page says is as old as its request. But were a service slower than the freshness, nothing that it
 * says would hold for anybody, and each name be asked for again: half of the freshness is left in any case.
 */
static gint64
get_known_at_us(PageRequest *request, gint64 asked_us)
{
    return MAX(asked_us, tree_core_now() - tree_core_get_freshness_us(request->node) / 2);
}

/* The whole of one request. FALSE: whoever comes to this page has to meet the failure. */
static gboolean
fetch(PageRequest *request, Call *call, GError **error)
{
    Tree *tree = request->tree;
    Listing *listing = request->listing;
    GError *failure = NULL;
    gint64 asked_us = tree_core_now();
    gboolean ok = list_page(request, call, &failure);
    lock_acquire(&tree->lock);
    if (ok)
        objects_removal_hide_listed_locked(tree, request->storage, request->container, &request->page,
                                           asked_us);
    if (ok)
        listing_scan_deliver(listing->scan, request->segment, &request->page, request->sample,
                             get_known_at_us(request, asked_us));
    else
        ok = listing_scan_fail(listing->scan, request->segment);
    if (!ok)
        listing->started_us = 0;
    if (error_is(failure, ERROR_NOT_FOUND))
        containers_doubt_locked(tree, request->node);
    tree_core_wake_locked(tree);
    lock_release(&tree->lock);
    if (ok)
        g_clear_error(&failure);
    else
        g_propagate_error(error, failure);
    return ok;
}

static void
learn_directory_locked(Tree *tree, Node *node, Listing *listing, gint64 known_at_us) REQUIRES(tree->lock)
{
    if (listing->pages == 1 && node->kind == NODE_FOLDER) {
        node->facts.flags |= FACT_MARKER_ASKED | (listing->marker.flags & FACT_MARKER);
    }
    node->folder->fits_page = listing->complete && listing->pages == 1;
    node->folder->pages = listing->complete ? listing->pages : MAX(node->folder->pages, listing->pages + 1);
    node->folder->listed = TRUE;
    tree_core_confirm_locked(node, known_at_us);
}

/* FALSE: the next page is not there. */
static gboolean
append_page_locked(Tree *tree, Node *node, Listing *listing) REQUIRES(tree->lock)
{
    g_auto(ListPage) page;
    gint64 known_at_us = 0;
    gboolean last = FALSE;
    list_page_init(&page);
    if (!listing_scan_take(listing->scan, &page, &known_at_us, &last))
        return FALSE;
    AttributeDefaults defaults;
    tree_core_get_defaults(tree, &defaults);
    g_autofree char *prefix = node_make_prefix(node);
    guint before = listing->entries.count;
    /* Expired while it was asked for, it stays so. */
    if (listing->pages == 0 && !listing_is_expired(listing))
        listing->started_us = known_at_us;
    tree->long_names +=
        listing_append_page(listing, &page, last, prefix, &defaults, listing->next, known_at_us);
    tree->listed_names += listing->entries.count - before;
    learn_directory_locked(tree, node, listing, known_at_us);
    return TRUE;
}

/* Folders whose objects came long before them in this listing, see listing_get_unsettled(). */
static gboolean
ask_beside(Tree *tree, Call *call, Node *node, Listing *listing, GPtrArray *parts, GError **error)
{
    lock_acquire(&tree->lock);
    g_autoptr(Storage) storage = storage_ref(node_get_storage(node));
    g_autofree char *container = g_strdup(node_get_container_node(node)->name);
    g_autofree char *base = node_make_prefix(node);
    lock_release(&tree->lock);
    for (guint i = 0; i < parts->len; i++) {
        const char *part = g_ptr_array_index(parts, i);
        g_autofree char *prefix = g_strconcat(base, part, "/", NULL);
        g_auto(ListPage) page;
        list_page_init(&page);
        if (!objects_fetch_first(storage, call, container, prefix, 1, &page, error))
            return FALSE;
        lock_acquire(&tree->lock);
        listing_settle(listing, part, page.objects->len > 0);
        lock_release(&tree->lock);
    }
    return TRUE;
}

/* Adds what has come to the entries, in order, one page after the other. */
static gboolean
append_locked(Tree *tree, Call *call, Node *node, Listing *listing, GError **error) REQUIRES(tree->lock)
{
    gboolean ok = TRUE;
    while (ok && !listing->settling &&
           (listing->unreleased || (!listing->complete && append_page_locked(tree, node, listing)))) {
        g_autoptr(GPtrArray) parts = listing_get_unsettled(listing);
        if (parts->len > 0) {
            listing->settling = TRUE;
            lock_release(&tree->lock);
            ok = ask_beside(tree, call, node, listing, parts, error);
            lock_acquire(&tree->lock);
            listing->settling = FALSE;
        }
        if (ok)
            listing_release_page(listing);
        else
            listing->started_us = 0;
        tree_core_wake_locked(tree);
    }
    return ok;
}

static void run_ahead(gpointer data);

static void
plan_ahead_locked(Tree *tree, Node *node, Listing *listing) REQUIRES(tree->lock)
{
    if (listing->complete || listing->scan == NULL || listing->pages == 0 || listing->window == 0)
        return;
    guint window = MIN(listing->window, MAX(MAXIMUM_WINDOW / MAX(tree->streams, 1), FIRST_WINDOW));
    guint page_entries = MAX(listing->entries.count / listing->pages, 1);
    guint ahead =
        (listing->entries.count - MIN(listing->read_entries, listing->entries.count)) / page_entries;
    Storage *storage = node_get_storage(node);
    guint lanes = CLAMP(storage_get_settings(storage)->maximum_requests / 2, 1, MAXIMUM_LANES);
    ListingSegment *segment;
    while (ahead < window && !tree->closing &&
           (segment = listing_scan_plan(listing->scan, window - ahead, lanes)) != NULL) {
        tree_core_begin_task_locked(tree);
        PageRequest *request = new_request_locked(tree, node, listing, segment);
        worker_pool_push(storage_get_lane(storage, STORAGE_LANE_TRANSFERS), run_ahead, request);
    }
}

static void
run_ahead(gpointer data)
{
    PageRequest *request = data;
    Tree *tree = request->tree;
    g_autoptr(GError) ignored = NULL;
    g_autoptr(Call) call = storage_new_call(request->storage);
    /* A failure is the reader's to meet, when he comes here. */
    gboolean ok = fetch(request, call, &ignored);
    lock_acquire(&tree->lock);
    ok = ok && append_locked(tree, call, request->node, request->listing, &ignored);
    if (ok && request->listing->readers > 0)
        plan_ahead_locked(tree, request->node, request->listing);
    else if (ok)
        listing_scan_drop_pages(request->listing->scan);
    lock_release(&tree->lock);
    if (!ok)
        log_debug("listing ahead: %s", ignored->message);
    end_request(request);
    tree_core_end_task(tree);
}

/* Brings the listing one step on: adds what is there, or asks, or waits for others who do. */
static gboolean
step_locked(Tree *tree, Call *call, Node *node, Listing *listing, GError **error) REQUIRES(tree->lock)
{
    guint settled = listing->settled;
    if (!append_locked(tree, call, node, listing, error))
        return FALSE;
    if (listing->complete || listing->settled != settled)
        return TRUE;
    ListingSegment *segment = listing->settling ? NULL : listing_scan_plan_front(listing->scan);
    if (segment == NULL)
        return tree_core_wait_locked(tree, call, error);
    PageRequest *request = new_request_locked(tree, node, listing, segment);
    lock_release(&tree->lock);
    gboolean ok = fetch(request, call, error);
    end_request(request);
    lock_acquire(&tree->lock);
    return ok && append_locked(tree, call, node, listing, error);
}

static gboolean
fetch_page_locked(Tree *tree, Call *call, Node *node, Listing *listing, GError **error) REQUIRES(tree->lock)
{
    gboolean ok = TRUE;
    guint pages = listing->pages;
    while (ok && !listing->complete && (listing->pages == pages || listing->unreleased))
        ok = step_locked(tree, call, node, listing, error);
    return ok;
}

gboolean
objects_fetch_page(Tree *tree, Call *call, Node *node, Listing *listing, GError **error)
{
    lock_acquire(&tree->lock);
    gboolean ok = fetch_page_locked(tree, call, node, listing, error);
    lock_release(&tree->lock);
    return ok;
}

gboolean
objects_fetch_pages(Tree *tree, Call *call, Node *node, Listing *listing, guint pages, GError **error)
{
    gboolean ok = TRUE;
    lock_acquire(&tree->lock);
    guint end = listing->pages + pages;
    listing_begin_reading(listing);
    while (ok && !listing->complete && listing->pages < end) {
        listing->read_entries = MAX(listing->read_entries, listing->settled);
        tree->streams += listing->window == 0;
        listing->window = MIN(end - listing->pages, MAXIMUM_WINDOW);
        plan_ahead_locked(tree, node, listing);
        ok = fetch_page_locked(tree, call, node, listing, error);
    }
    /* The next guess reaches twice as far. */
    if (!listing->complete)
        node->folder->pages = MAX(node->folder->pages, 2 * listing->pages);
    tree->streams -= listing_end_reading(listing);
    lock_release(&tree->lock);
    return ok;
}

/* The window grows whenever the reader has come through what was known when it grew last. */
void
objects_prefetch_page(Tree *tree, Node *node, Listing *listing)
{
    lock_acquire(&tree->lock);
    listing->plan_entries = listing->read_entries + MIN(PLAN_ENTRIES, listing->settled / 4);
    if (listing->read_entries >= listing->window_entries) {
        tree->streams += listing->window == 0;
        listing->window = CLAMP(listing->window * 2, FIRST_WINDOW, MAXIMUM_WINDOW);
        listing->window_entries = listing->settled;
    }
    plan_ahead_locked(tree, node, listing);
    lock_release(&tree->lock);
}
