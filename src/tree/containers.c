/* The containers of one storage, see containers.h. */
#include "src/tree/containers.h"

#include "src/tree/files.h"
#include "src/tree/object_name.h"
#include "src/tree/objects.h"

#include <string.h>

/* 1 PiB of 4 KiB blocks. */
#define IMAGINARY_BLOCKS (1ull << 38)

static void
init_facts(Tree *tree, EntryFacts *facts, gint64 created_ns, gint64 now_us)
{
    AttributeDefaults defaults;
    tree_core_get_defaults(tree, &defaults);
    entry_facts_from_folder(facts, &defaults, now_us);
    facts->kind = NODE_CONTAINER;
    facts->flags = FACT_EXACT;
    facts->mtime_ns = created_ns != 0 ? created_ns : tree->root->facts.mtime_ns;
}

/* `containers = a;b` shows only these. */
static gboolean
is_shown(Node *storage_node, const char *name)
{
    char **shown = storage_get_settings(storage_node->folder->storage)->containers;
    return shown == NULL || g_strv_contains((const char *const *)shown, name);
}

static gboolean
is_possible_name(const char *name)
{
    return name[0] != '\0' && strcmp(name, ".") != 0 && strcmp(name, "..") != 0 &&
           strchr(name, '/') == NULL && strlen(name) <= OBJECT_NAME_MAX_BYTES;
}

static Node *
apply_locked(Tree *tree, Node *storage_node, const char *name, const EntryFacts *facts) REQUIRES(tree->lock)
{
    Node *node = tree_core_find_locked(tree, storage_node, name);
    if (node == NULL) {
        node = tree_core_attach_locked(tree, storage_node, name, NODE_CONTAINER);
        entry_facts_copy(&node->facts, facts);
    }
    node->facts.known_at_us = MAX(node->facts.known_at_us, facts->known_at_us);
    return node;
}

/* The newest listing while it may answer look-ups, else NULL. */
static Listing *
get_fresh_listing(Node *storage_node, gint64 now_us)
{
    Listing *listing = storage_node->folder->listings;
    if (listing == NULL || !listing->complete || listing_is_expired(listing))
        return NULL;
    return listing->started_us + tree_core_get_freshness_us(storage_node) > now_us ? listing : NULL;
}

/* What stands in the configuration alone nobody has seen. */
static gboolean
was_seen(const EntryFacts *facts)
{
    return facts->known_at_us != 0;
}

static TreeReady
answer_locked(Tree *tree, Node *parent, const char *name, Node **out_node, gint64 *out_absent_valid_us)
    REQUIRES(tree->lock)
{
    gint64 now_us = tree_core_now();
    *out_absent_valid_us = 0;
    if (!is_shown(parent, name) || !is_possible_name(name))
        return TREE_ABSENT;
    Node *node = tree_core_find_locked(tree, parent, name);
    if (node != NULL && tree_core_get_valid_us(node, now_us) > 0) {
        *out_node = node;
        return TREE_ANSWERED;
    }
    EntryFacts *facts = NULL;
    Listing *listing = get_fresh_listing(parent, now_us);
    ListingAnswer answer = listing != NULL ? listing_lookup(listing, name, &facts) : LISTING_UNKNOWN;
    if (answer == LISTING_UNKNOWN || (answer == LISTING_ABSENT && node != NULL) ||
        (answer == LISTING_PRESENT && !was_seen(facts)))
        return TREE_WOULD_WAIT;
    if (answer == LISTING_PRESENT) {
        *out_node = apply_locked(tree, parent, name, facts);
        return TREE_ANSWERED;
    }
    *out_absent_valid_us = MAX(listing->started_us + tree_core_get_freshness_us(parent) - now_us, 0);
    return TREE_ABSENT;
}

static TreeReady
lookup_ready(Tree *tree, Node *parent, const char *name, TreeEntry *out, gint64 *out_absent_valid_us)
{
    Node *node = NULL;
    lock_acquire(&tree->lock);
    TreeReady ready = answer_locked(tree, parent, name, &node, out_absent_valid_us);
    if (ready == TREE_ANSWERED)
        tree_core_fill_entry_locked(tree, node, out);
    lock_release(&tree->lock);
    return ready;
}

static gboolean
fetch_container(Tree *tree, Call *call, Storage *storage, const char *name, EntryFacts *out,
                gboolean *out_present, GError **error)
{
    ContainerInfo info = {0};
    g_autoptr(GError) failure = NULL;
    *out_present = storage_check_container_name(storage, name, NULL) &&
                   storage_stat_container(storage, call, name, &info, &failure);
    g_free(info.name);
    if (failure != NULL && !error_is(failure, ERROR_NOT_FOUND) && !error_is(failure, ERROR_BAD_NAME)) {
        g_propagate_error(error, g_steal_pointer(&failure));
        return FALSE;
    }
    init_facts(tree, out, info.created_ns, tree_core_now());
    return TRUE;
}

static void
forget_locked(Tree *tree, Node *storage_node, const char *name) REQUIRES(tree->lock)
{
    Node *node = tree_core_find_locked(tree, storage_node, name);
    listing_note_absent(storage_node->folder->listings, name);
    if (node == NULL)
        return;
    tree_core_announce_entry_locked(tree, storage_node, name);
    tree_core_detach_locked(tree, node, NODE_UNLINKED);
}

/* While the storage does not answer: the container is as it was, and one that the configuration names is
 * there. NULL: nothing is known of it. */
static Node *
find_old_locked(Tree *tree, Node *storage_node, const char *name) REQUIRES(tree->lock)
{
    const StorageSettings *settings = storage_get_settings(storage_node->folder->storage);
    Node *node = tree_core_find_locked(tree, storage_node, name);
    gboolean named = settings->containers != NULL ||
                     g_strv_contains((const char *const *)settings->create_containers, name);
    if (node != NULL || !named)
        return node;
    g_auto(EntryFacts) facts = {0};
    init_facts(tree, &facts, 0, 0);
    return apply_locked(tree, storage_node, name, &facts);
}

static gboolean
recall(Tree *tree, Node *storage_node, const char *name, Node **out_node)
{
    lock_acquire(&tree->lock);
    Node *node = find_old_locked(tree, storage_node, name);
    if (node != NULL)
        *out_node = tree_core_hold_locked(node);
    lock_release(&tree->lock);
    return node != NULL;
}

static gboolean
ask(Tree *tree, Call *call, Node *storage_node, const char *name, Node **out_node, GError **error)
{
    g_autoptr(Storage) storage = tree_core_ref_storage(tree, storage_node);
    g_auto(EntryFacts) facts = {0};
    gboolean present = FALSE;
    if (!fetch_container(tree, call, storage, name, &facts, &present, error))
        return FALSE;
    lock_acquire(&tree->lock);
    if (present)
        *out_node = tree_core_hold_locked(apply_locked(tree, storage_node, name, &facts));
    else
        forget_locked(tree, storage_node, name);
    lock_release(&tree->lock);
    return TRUE;
}

/* Where nothing is known the answer is worth all the time that there is. */
static gboolean
ask_or_recall(Tree *tree, Call *call, Node *storage_node, const char *name, Node **out_node, GError **error)
{
    g_auto(ObjectsRecall) recalled = {0};
    g_autoptr(GError) failure = NULL;
    objects_recall_begin(&recalled, tree, call, storage_node);
    if (!recalled.asks && recall(tree, storage_node, name, out_node))
        return TRUE;
    if (ask(tree, recalled.call, storage_node, name, out_node, &failure))
        return TRUE;
    gboolean takes = objects_recall_takes(&recalled, failure);
    if (takes && recall(tree, storage_node, name, out_node))
        return TRUE;
    if (takes && recalled.asks)
        return ask(tree, call, storage_node, name, out_node, error);
    g_propagate_error(error, g_steal_pointer(&failure));
    return FALSE;
}

static void
doubt_locked(Tree *tree, Node *storage_node, const char *name) REQUIRES(tree->lock)
{
    Node *node = tree_core_find_locked(tree, storage_node, name);
    listing_chain_expire(storage_node->folder->listings);
    if (node != NULL)
        node->facts.known_at_us = 0;
    tree_core_announce_entry_locked(tree, storage_node, name);
}

void
containers_doubt_locked(Tree *tree, Node *node)
{
    Node *container = node_get_container_node(node);
    if (!(container->flags & NODE_DETACHED))
        doubt_locked(tree, container->parent, container->name);
}

gboolean
containers_look(Tree *tree, Call *call, Node *storage_node, const char *name, Node **out_node, GError **error)
{
    Node *node = NULL;
    gint64 ignored;
    lock_acquire(&tree->lock);
    TreeReady ready = answer_locked(tree, storage_node, name, &node, &ignored);
    if (node != NULL)
        tree_core_hold_locked(node);
    lock_release(&tree->lock);
    gboolean ok = ready != TREE_WOULD_WAIT || ask_or_recall(tree, call, storage_node, name, &node, error);
    if (ok)
        *out_node = node;
    return ok;
}

void
containers_doubt_failure(Tree *tree, Node *node, const GError *failure)
{
    if (!error_is(failure, ERROR_NOT_FOUND))
        return;
    lock_acquire(&tree->lock);
    containers_doubt_locked(tree, node);
    lock_release(&tree->lock);
}

static gboolean
fail_absent(Node *parent, const char *name, GError **error)
{
    g_set_error(error, STORAGEFS_ERROR, ERROR_NOT_FOUND, "%s: there is no container \"%s\"", parent->name,
                name);
    return FALSE;
}

static gboolean
lookup(Tree *tree, Call *call, Node *parent, const char *name, TreeEntry *out, gint64 *out_absent_valid_us,
       GError **error)
{
    Node *node = NULL;
    if (!containers_look(tree, call, parent, name, &node, error)) {
        *out_absent_valid_us = 0;
        return FALSE;
    }
    *out_absent_valid_us = tree_core_get_freshness_us(parent);
    if (node == NULL)
        return fail_absent(parent, name, error);
    lock_acquire(&tree->lock);
    tree_core_fill_entry_locked(tree, node, out);
    tree_core_drop_locked(tree, node);
    lock_release(&tree->lock);
    return TRUE;
}

static gboolean
stat_ready(Tree *tree, Node *node, FileHandle *handle, struct stat *out, gint64 *out_valid_us)
{
    lock_acquire(&tree->lock);
    tree_core_fill_stat_locked(tree, node, out);
    *out_valid_us = tree_core_get_valid_us(node, tree_core_now());
    lock_release(&tree->lock);
    return TRUE;
}

static gboolean
stat_node(Tree *tree, Call *call, Node *node, FileHandle *handle, struct stat *out, gint64 *out_valid_us,
          GError **error)
{
    return stat_ready(tree, node, handle, out, out_valid_us);
}

static gboolean
open_listing(Tree *tree, Call *call, Node *node, Listing **out, GError **error)
{
    g_auto(ObjectsRecall) recalled = {0};
    g_autoptr(GError) failure = NULL;
    objects_recall_begin(&recalled, tree, call, node);
    objects_recall_keep_listing(&recalled, node);
    if (recalled.kept != NULL && !recalled.asks) {
        *out = objects_recall_listing(&recalled);
        return TRUE;
    }
    if (recalled.kept != NULL)
        call = recalled.call;
    lock_acquire(&tree->lock);
    Listing *known = get_fresh_listing(node, tree_core_now());
    if (known != NULL)
        *out = listing_ref(known);
    g_autoptr(Storage) storage = storage_ref(node->folder->storage);
    gint64 started_us = tree_core_now();
    Listing *listing = known == NULL ? listing_new(node->folder, LISTING_PLAIN, started_us) : NULL;
    lock_release(&tree->lock);
    g_autoptr(GArray) containers = NULL;
    gboolean ok = listing == NULL || storage_list_containers(storage, call, &containers, &failure);
    if (listing == NULL)
        return TRUE;
    lock_acquire(&tree->lock);
    for (guint i = 0; ok && i < containers->len; i++) {
        const ContainerInfo *info = &g_array_index(containers, ContainerInfo, i);
        EntryFacts facts = {0};
        init_facts(tree, &facts, info->created_ns, storage_lists_unseen(storage) ? 0 : started_us);
        if (is_possible_name(info->name))
            listing_append_name(listing, info->name, &facts);
    }
    if (ok) {
        listing_finish(listing, TRUE);
        tree->listed_names += listing->entries.count;
        *out = listing;
    } else {
        listing_chain_expire(listing);
        listing_unref(listing);
    }
    lock_release(&tree->lock);
    if (!ok && recalled.kept != NULL && objects_recall_takes(&recalled, failure)) {
        *out = objects_recall_listing(&recalled);
        return TRUE;
    }
    if (ok)
        return TRUE;
    g_propagate_error(error, g_steal_pointer(&failure));
    return FALSE;
}

static gboolean
take(Tree *tree, Node *node, Listing *listing, const char *name, TreeEntry *out)
{
    gint64 ignored;
    return lookup_ready(tree, node, name, out, &ignored) == TREE_ANSWERED;
}

/* Made or removed without an answer: it may be there, or not. Gone before it was removed: so it is. */
static void
doubt_failure(Tree *tree, Node *storage_node, const char *name, const GError *failure)
{
    if (!error_leaves_doubt(failure) && !error_is(failure, ERROR_NOT_FOUND))
        return;
    lock_acquire(&tree->lock);
    doubt_locked(tree, storage_node, name);
    lock_release(&tree->lock);
    tree_core_flush(tree);
}

static gboolean
make_directory(Tree *tree, Call *call, Node *parent, const char *name, mode_t mode, uid_t uid, gid_t gid,
               TreeEntry *out, GError **error)
{
    Storage *storage = parent->folder->storage;
    GError *failure = NULL;
    if (!tree_core_check_writable(tree, parent, error))
        return FALSE;
    if (!storage_create_container(storage, call, name, &failure)) {
        doubt_failure(tree, parent, name, failure);
        g_propagate_error(error, failure);
        return FALSE;
    }
    g_auto(EntryFacts) facts = {0};
    gint64 now_us = tree_core_now();
    init_facts(tree, &facts, g_get_real_time() * 1000, now_us);
    lock_acquire(&tree->lock);
    Node *node = apply_locked(tree, parent, name, &facts);
    tree_core_fill_entry_locked(tree, node, out);
    if (!node->is_in_files)
        objects_know_empty_locked(node);
    listing_note_present(parent->folder->listings, name, &facts);
    lock_release(&tree->lock);
    return TRUE;
}

static gboolean
remove_directory(Tree *tree, Call *call, Node *parent, const char *name, GError **error)
{
    Node *node = NULL;
    if (!tree_core_check_writable(tree, parent, error) ||
        !containers_look(tree, call, parent, name, &node, error))
        return FALSE;
    if (node == NULL)
        return fail_absent(parent, name, error);
    GError *failure = NULL;
    gboolean ok = (node->is_in_files || objects_finish_lingering(tree, call, node, &failure)) &&
                  storage_delete_container(parent->folder->storage, call, name, &failure);
    if (!ok) {
        doubt_failure(tree, parent, name, failure);
        g_propagate_error(error, failure);
    }
    lock_acquire(&tree->lock);
    if (ok) {
        tree_core_detach_locked(tree, node, NODE_UNLINKED);
        listing_note_absent(parent->folder->listings, name);
    }
    tree_core_drop_locked(tree, node);
    lock_release(&tree->lock);
    return ok;
}

static gboolean
unlink_name(Tree *tree, Call *call, Node *parent, const char *name, GError **error)
{
    g_set_error(error, STORAGEFS_ERROR, ERROR_IS_FOLDER, "%s/%s is a container", parent->name, name);
    return FALSE;
}

/* No service renames containers: mv copies instead. */
static gboolean
rename_name(Tree *tree, Call *call, Node *parent, const char *name, Node *new_parent, const char *new_name,
            unsigned flags, GError **error)
{
    g_set_error(error, STORAGEFS_ERROR, ERROR_OTHER_STORAGE, "%s/%s: containers are not renamed",
                parent->name, name);
    return FALSE;
}

void
containers_stat_filesystem(struct statvfs *out)
{
    *out = (struct statvfs){.f_bsize = 4096,
                            .f_frsize = 4096,
                            .f_blocks = IMAGINARY_BLOCKS,
                            .f_bfree = IMAGINARY_BLOCKS,
                            .f_bavail = IMAGINARY_BLOCKS,
                            .f_files = IMAGINARY_BLOCKS,
                            .f_ffree = IMAGINARY_BLOCKS,
                            .f_favail = IMAGINARY_BLOCKS,
                            .f_namemax = OBJECT_NAME_MAX_BYTES};
}

static gboolean
stat_filesystem(Tree *tree, Node *node, struct statvfs *out, GError **error)
{
    if (node->is_in_files)
        return files_operations.stat_filesystem(tree, node, out, error);
    containers_stat_filesystem(out);
    return TRUE;
}

const TreeOperations containers_operations = {
    .lookup_ready = lookup_ready,
    .lookup = lookup,
    .stat_ready = stat_ready,
    .stat = stat_node,
    .open_listing = open_listing,
    .take = take,
    .make_directory = make_directory,
    .remove_directory = remove_directory,
    .unlink = unlink_name,
    .rename = rename_name,
    .stat_filesystem = stat_filesystem,
    .refusal = "a storage holds containers only; make one with mkdir",
};
