/* Listings of file system storages: a directory is read whole, and anew for each reader, because its file
 * system is the cache. In the flat layout that is everything below the container; every name that lstat(2)
 * knows is shown.
 */
#include "src/tree/files.h"

#include "src/tree/containers.h"
#include "src/tree/object_name.h"

#include <dirent.h>
#include <string.h>

typedef struct {
    Tree *tree;
    Listing *listing;
    FilesPlace *place;
    gboolean flat;
    const char *prefix; /* of the directory that is read */
    GQueue folders;     /* prefixes still to be read */
    guint64 long_names;
} Walk;

static void
add_file(Walk *walk, const char *name, unsigned char type)
{
    EntryFacts facts = {.kind = type == DT_DIR ? NODE_FOLDER : type == DT_LNK ? NODE_SYMLINK : NODE_FILE};
    facts.flags = type == DT_UNKNOWN ? 0 : FACT_EXACT;
    listing_append_name(walk->listing, name, &facts);
}

static gboolean
visit(gpointer data, const char *name, unsigned char type)
{
    Walk *walk = data;
    if (!walk->flat) {
        add_file(walk, name, type);
        return TRUE;
    }
    g_autofree char *key = g_strconcat(walk->prefix, name, NULL);
    if (type == DT_DIR) {
        g_queue_push_tail(&walk->folders, g_strconcat(key, "/", NULL));
        return TRUE;
    }
    g_autofree char *escaped = object_name_from_key(key);
    if (escaped != NULL)
        add_file(walk, escaped, type);
    else
        walk->long_names++;
    return TRUE;
}

/* A directory that vanishes meanwhile holds nothing. */
static gboolean
walk_below(Walk *walk, GError **error)
{
    gboolean ok = TRUE;
    char *folder;
    while (ok && (folder = g_queue_pop_head(&walk->folders)) != NULL) {
        g_autoptr(GError) failure = NULL;
        walk->prefix = folder;
        if (!walk->place->files->list_folder(walk->place->instance, walk->place->place.container, folder,
                                             visit, walk, &failure) &&
            !error_is(failure, ERROR_NOT_FOUND)) {
            g_propagate_error(error, g_steal_pointer(&failure));
            ok = FALSE;
        }
        g_free(folder);
    }
    return ok;
}

gboolean
files_open_listing(Tree *tree, Call *call, Node *node, Listing **out, GError **error)
{
    g_auto(FilesPlace) place = {0};
    if (!files_place_of(tree, &place, node, error))
        return FALSE;
    lock_acquire(&tree->lock);
    g_autofree char *prefix = node_make_prefix(node);
    Walk walk = {.tree = tree,
                 .listing = listing_new(NULL, LISTING_PLAIN, tree_core_now()),
                 .place = &place,
                 .flat = place.flat,
                 .prefix = prefix};
    lock_release(&tree->lock);
    g_queue_init(&walk.folders);
    GError *failure = NULL;
    gboolean ok =
        place.files->list_folder(place.instance, place.place.container, prefix, visit, &walk, &failure) &&
        walk_below(&walk, &failure);
    if (node->kind == NODE_CONTAINER)
        containers_doubt_failure(tree, node, failure);
    if (!ok)
        g_propagate_error(error, failure);
    g_queue_clear_full(&walk.folders, g_free);
    lock_acquire(&tree->lock);
    tree->long_names += walk.long_names;
    if (ok) {
        listing_finish(walk.listing, TRUE);
        *out = walk.listing;
    } else {
        listing_unref(walk.listing);
    }
    lock_release(&tree->lock);
    tree_core_flush(tree);
    return ok;
}
