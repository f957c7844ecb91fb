/* Reading directories: offsets over a shared Listing. 0 is ".", 1 is "..", then the listing's positions; a
 * position stays valid while the handle is open, because listings only grow.
 */
#include "src/tree/tree.h"

#include "src/tree/tree_core.h"

#include <string.h>

struct DirectoryHandle {
    Node *node; /* a reference */
    Listing *listing;
    char *name;    /* of the item given last */
    gboolean used; /* something was read: offset 0 means rewinddir(3), which reads anew */
};

/* Takes the reference. */
static void
attach_locked(DirectoryHandle *handle, Listing *listing)
{
    handle->listing = listing;
    listing_begin_reading(listing);
}

static void
detach_locked(Tree *tree, DirectoryHandle *handle) REQUIRES(tree->lock)
{
    Listing *listing = handle->listing;
    tree->streams -= listing_end_reading(listing);
    listing_unref(listing);
}

/* Who opens a directory that is not there is told so now: readdir(3) has no error for it. The page is the one
 * that he will read first. */
static gboolean
see_directory(Tree *tree, Call *call, Node *node, Listing *listing, GError **error)
{
    lock_acquire(&tree->lock);
    gboolean must_see = listing->pages == 0 && tree_core_may_be_gone(node, tree_core_now());
    lock_release(&tree->lock);
    return !must_see || tree_core_operations(node)->fetch_page(tree, call, node, listing, error);
}

static DirectoryHandle *
make_handle(Tree *tree, Node *node, Listing *listing)
{
    DirectoryHandle *handle = g_new0(DirectoryHandle, 1);
    handle->node = tree_node_ref(tree, node);
    lock_acquire(&tree->lock);
    attach_locked(handle, listing);
    lock_release(&tree->lock);
    return handle;
}

gboolean
tree_open_directory(Tree *tree, Call *call, Node *node, DirectoryHandle **out_handle, GError **error)
{
    if (!node_is_directory(node))
        return tree_core_fail(tree, node, ERROR_NOT_FOLDER, "is not a directory", error);
    Listing *listing = NULL;
    if (!tree_core_operations(node)->open_listing(tree, call, node, &listing, error))
        return FALSE;
    DirectoryHandle *handle = make_handle(tree, node, listing);
    gboolean ok = see_directory(tree, call, node, listing, error);
    if (ok)
        *out_handle = handle;
    else
        tree_close_directory(tree, handle);
    tree_core_flush(tree);
    return ok;
}

static void
give_dots(Tree *tree, DirectoryHandle *handle, guint64 offset, DirectoryItem *out)
{
    gboolean is_parent = offset == 1;
    lock_acquire(&tree->lock);
    Node *parent = handle->node->parent;
    *out = (DirectoryItem){.name = is_parent ? ".." : ".",
                           .next_offset = offset + 1,
                           .inode = is_parent && parent != NULL ? parent->inode : handle->node->inode,
                           .type = S_IFDIR};
    lock_release(&tree->lock);
}

/* A symlink or a folder's mark cannot be told from a small file without its metadata. */
static mode_t
type_of(Tree *tree, const DirectoryHandle *handle, const EntryFacts *facts, const Node *node)
{
    if (node != NULL)
        return entry_facts_type((NodeKind)node->kind);
    Storage *storage = node_get_storage(handle->node);
    if (handle->node->is_in_files)
        return facts->flags & FACT_EXACT || facts->size_bytes > 0 ? entry_facts_type((NodeKind)facts->kind)
                                                                  : 0;
    if (storage != NULL && storage_get_settings(storage)->exact_attributes && entry_facts_is_ambiguous(facts))
        return 0;
    return entry_facts_type((NodeKind)facts->kind);
}

static void
give_item_locked(Tree *tree, DirectoryHandle *handle, char *name, const EntryFacts *facts, guint64 position,
                 DirectoryItem *out) REQUIRES(tree->lock)
{
    Node *node = tree_core_find_locked(tree, handle->node, name);
    g_free(handle->name);
    handle->name = name;
    *out = (DirectoryItem){.name = name,
                           .next_offset = position + TREE_FIRST_OFFSET,
                           .inode = node != NULL ? node->inode : node_hash_inode(handle->node, name),
                           .type = type_of(tree, handle, facts, node)};
}

/* From the middle of the first page on: a program that takes a few names only costs one page. */
static gboolean
should_plan(Listing *listing, guint64 position)
{
    if (listing->complete || listing->pages == 0 || position > listing->settled)
        return FALSE;
    listing->read_entries = MAX(listing->read_entries, (guint)position);
    guint first = listing->window > 0 ? listing->plan_entries : listing->settled / 2;
    return position >= first;
}

static ListingStep
step(Tree *tree, DirectoryHandle *handle, guint64 offset, DirectoryItem *out, gboolean *out_prefetch)
{
    guint64 position = offset - TREE_FIRST_OFFSET;
    char *name = NULL;
    EntryFacts *facts = NULL;
    Listing *listing = handle->listing;
    lock_acquire(&tree->lock);
    ListingStep found = listing_next(listing, &position, &name, &facts);
    if (found == LISTING_ITEM)
        give_item_locked(tree, handle, name, facts, position, out);
    *out_prefetch = should_plan(listing, position);
    lock_release(&tree->lock);
    return found;
}

static void
prefetch(Tree *tree, DirectoryHandle *handle)
{
    const TreeOperations *operations = tree_core_operations(handle->node);
    if (operations->prefetch_page != NULL)
        operations->prefetch_page(tree, handle->node, handle->listing);
}

gboolean
tree_directory_next_ready(Tree *tree, DirectoryHandle *handle, guint64 offset, DirectoryItem *out,
                          gboolean *out_end)
{
    gboolean wants_more = FALSE;
    *out_end = FALSE;
    if (offset == 0 && handle->used)
        return FALSE;
    if (offset < TREE_FIRST_OFFSET) {
        give_dots(tree, handle, offset, out);
        return TRUE;
    }
    handle->used = TRUE;
    ListingStep found = step(tree, handle, offset, out, &wants_more);
    if (wants_more && found == LISTING_ITEM)
        prefetch(tree, handle);
    *out_end = found == LISTING_END;
    return found != LISTING_NEEDS_PAGE;
}

static gboolean
rewind_handle(Tree *tree, Call *call, DirectoryHandle *handle, GError **error)
{
    Listing *listing = NULL;
    if (!tree_core_operations(handle->node)->open_listing(tree, call, handle->node, &listing, error))
        return FALSE;
    lock_acquire(&tree->lock);
    detach_locked(tree, handle);
    attach_locked(handle, listing);
    handle->used = FALSE;
    lock_release(&tree->lock);
    return TRUE;
}

/* The code alone: readdir(3) takes ENOENT for the end of the directory. */
static void
tell_absence(DirectoryHandle *handle, GError *failure)
{
    if (error_is(failure, ERROR_NOT_FOUND) && !handle->node->is_in_files)
        failure->code = ERROR_CHANGED;
}

gboolean
tree_directory_next(Tree *tree, Call *call, DirectoryHandle *handle, guint64 offset, DirectoryItem *out,
                    gboolean *out_end, GError **error)
{
    const TreeOperations *operations = tree_core_operations(handle->node);
    GError *failure = NULL;
    gboolean ok = TRUE;
    while (ok && !tree_directory_next_ready(tree, handle, offset, out, out_end))
        ok = offset == 0 ? rewind_handle(tree, call, handle, &failure)
                         : operations->fetch_page(tree, call, handle->node, handle->listing, &failure);
    tree_core_flush(tree);
    if (ok)
        return TRUE;
    tell_absence(handle, failure);
    g_propagate_error(error, failure);
    return FALSE;
}

gboolean
tree_directory_take(Tree *tree, DirectoryHandle *handle, const DirectoryItem *item, TreeEntry *out)
{
    if (strcmp(item->name, ".") == 0 || strcmp(item->name, "..") == 0)
        return FALSE;
    return tree_core_operations(handle->node)->take(tree, handle->node, handle->listing, item->name, out);
}

void
tree_close_directory(Tree *tree, DirectoryHandle *handle)
{
    lock_acquire(&tree->lock);
    detach_locked(tree, handle);
    tree_core_drop_locked(tree, handle->node);
    lock_release(&tree->lock);
    g_free(handle->name);
    g_free(handle);
}
