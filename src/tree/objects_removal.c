/* Names that were unlinked while open: their objects are deleted later, and that outlives the process.
 *
 *   STATE_DIR/removals/   a journal_folder.h of records that say `deleting` and have no content, see
 *                         object_file_make_removal(): storage, place, container, key, the version that is
 *                         to be deleted, and what may have been stored in its place
 *
 * A record is on disk before unlink() is answered, and gone before its name can be taken again. What a mount
 * finds there was left by a process that was killed, or did not reach the storage until its end: it is
 * deleted in the background. Until then it is hidden: that version, not its name, so that what others store
 * there is seen. What the name holds by the time it is deleted is deleted only if it is that version still.
 */
#include "src/tree/objects.h"

#include "src/base/log.h"
#include "src/object/journal_folder.h"

#include <string.h>

/* For a daemon that still ends. */
#define FOLDER_WAIT_US (5 * (gint64)G_USEC_PER_SEC)

typedef struct {
    JournalRecord *record; /* changed by whoever is busy with it, with the lock held */
    gboolean busy;         /* a thread is at it: one at a time, see NODE_DELETING */
    gboolean told;         /* that it has to wait */
    gint64 settled_us;     /* 0: it is not. Answers to what was asked before may have it still */
} Left;

struct Removals {
    JournalFolder *folder;
    GHashTable *noted; /* Node that lingers → JournalRecord */
    GHashTable *left;  /* make_name() → Left */
    guint unsettled;   /* of them */
    Call *call;        /* of the background: cancelled at the end */
};

static void
left_free(gpointer data)
{
    Left *left = data;
    journal_record_free(left->record);
    g_free(left);
}

/* A storage's name that stands for another place now is none of it. key: or a prefix of keys. */
static char *
make_name(Storage *storage, const char *container, const char *key)
{
    return g_strdup_printf("%s\n%s/%s/%s", storage_get_place(storage), storage_get_name(storage), container,
                           key);
}

static char *
name_of(const JournalRecord *record)
{
    return g_strdup_printf("%s\n%s/%s/%s", record->place, record->storage, record->container, record->key);
}

/* For the log. */
static char *
describe(const JournalRecord *record)
{
    return g_strjoin("/", record->storage, record->container, record->key, NULL);
}

/* --- life */

static void
take_loaded(Removals *removals, GPtrArray *records)
{
    while (records->len > 0) {
        JournalRecord *record = g_ptr_array_steal_index(records, records->len - 1);
        if (!record->deleting) {
            g_autofree char *what = describe(record);
            log_error("%s: a record in %s is of no removal", what, journal_folder_get_path(removals->folder));
            journal_record_free(record);
            continue;
        }
        Left *left = g_new0(Left, 1);
        left->record = record;
        g_hash_table_insert(removals->left, name_of(record), left);
    }
    removals->unsettled = g_hash_table_size(removals->left);
}

void
objects_removal_open(Tree *tree)
{
    if (tree->state_dir == NULL)
        return;
    g_autoptr(GError) error = NULL;
    g_autofree char *path = g_build_filename(tree->state_dir, "removals", NULL);
    g_autoptr(JournalFolder) folder = journal_folder_open(path, FOLDER_WAIT_US, &error);
    g_autoptr(GPtrArray) records = folder != NULL ? journal_folder_load(folder, &error) : NULL;
    if (records == NULL) {
        log_warning("what is unlinked while it is open would be back after a crash: %s", error->message);
        return;
    }
    Removals *removals = g_new0(Removals, 1);
    removals->folder = g_steal_pointer(&folder);
    removals->noted = g_hash_table_new_full(NULL, NULL, NULL, (GDestroyNotify)journal_record_free);
    removals->left = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, left_free);
    removals->call = call_new(0);
    take_loaded(removals, records);
    tree->removals = removals;
}

void
objects_removal_stop(Tree *tree)
{
    if (tree->removals != NULL)
        call_cancel(tree->removals->call);
}

void
objects_removal_close(Tree *tree)
{
    Removals *removals = g_steal_pointer(&tree->removals);
    if (removals == NULL)
        return;
    g_hash_table_unref(removals->noted);
    g_hash_table_unref(removals->left);
    call_unref(removals->call);
    journal_folder_close(removals->folder);
    g_free(removals);
}

/* --- records of this process */

static void
remove_record(Removals *removals, const JournalRecord *record)
{
    g_autoptr(GError) error = NULL;
    if (!journal_folder_remove(removals->folder, record, &error))
        log_error("%s: the next mount looks into a removal once more", error->message);
}

void
objects_removal_note(Tree *tree, Node *node, ObjectFile *file)
{
    Removals *removals = tree->removals;
    g_autoptr(JournalRecord) record = removals != NULL ? object_file_make_removal(file) : NULL;
    g_autoptr(GError) error = NULL;
    gboolean ignored;
    if (record == NULL)
        return;
    record->id = journal_folder_take_id(removals->folder);
    record->sequence = journal_folder_take_sequence(removals->folder);
    if (!journal_folder_write(removals->folder, record, &ignored, &error)) {
        g_autofree char *what = describe(record);
        log_warning("%s: unlinked while open, would be back after a crash: %s", what, error->message);
        remove_record(removals, record);
        return;
    }
    lock_acquire(&tree->lock);
    g_hash_table_replace(removals->noted, node, g_steal_pointer(&record));
    lock_release(&tree->lock);
}

JournalRecord *
objects_removal_take_locked(Tree *tree, Node *node)
{
    gpointer record = NULL;
    if (tree->removals != NULL)
        g_hash_table_steal_extended(tree->removals->noted, node, NULL, &record);
    return record;
}

void
objects_removal_end(Tree *tree, JournalRecord *record)
{
    if (record == NULL)
        return;
    remove_record(tree->removals, record);
    journal_record_free(record);
}

/* --- what was left: who sees it */

static Left *
find_locked(Tree *tree, Storage *storage, const char *container, const char *key) REQUIRES(tree->lock)
{
    if (tree->removals == NULL || g_hash_table_size(tree->removals->left) == 0 || key == NULL)
        return NULL;
    g_autofree char *name = make_name(storage, container, key);
    return g_hash_table_lookup(tree->removals->left, name);
}

static gboolean
hides_locked(Tree *tree, Storage *storage, const char *container, const ObjectInfo *info, gint64 asked_us)
    REQUIRES(tree->lock)
{
    const Left *left = find_locked(tree, storage, container, info->key);
    return left != NULL && (left->settled_us == 0 || asked_us <= left->settled_us) &&
           object_file_may_be_removed(left->record, info);
}

gboolean
objects_removal_hides(Tree *tree, Storage *storage, const char *container, const ObjectInfo *info,
                      gint64 asked_us)
{
    lock_acquire(&tree->lock);
    gboolean hides = hides_locked(tree, storage, container, info, asked_us);
    lock_release(&tree->lock);
    return hides;
}

void
objects_removal_hide_listed_locked(Tree *tree, Storage *storage, const char *container, ListPage *page,
                                   gint64 asked_us)
{
    if (tree->removals == NULL || g_hash_table_size(tree->removals->left) == 0)
        return;
    for (guint i = page->objects->len; i-- > 0;) {
        ObjectInfo *info = &g_array_index(page->objects, ObjectInfo, i);
        if (!hides_locked(tree, storage, container, info, asked_us))
            continue;
        g_clear_pointer(&info->metadata, g_hash_table_unref);
        g_array_remove_index(page->objects, i);
    }
}

gboolean
objects_removal_is_left_locked(Tree *tree, Node *parent, const char *name)
{
    g_auto(NodePlace) place = {0};
    if (tree->removals == NULL || tree->removals->unsettled == 0 ||
        !node_place_init(&place, parent, name, NULL))
        return FALSE;
    const Left *left = find_locked(tree, place.storage, place.container, place.key);
    return left != NULL && left->settled_us == 0;
}

/* What a directory knows may lack an object that was taken for the removed one. */
static void
doubt_directory(gpointer data, Node *node)
{
    const JournalRecord *record = data;
    if (node->kind != NODE_FOLDER && (node->kind != NODE_CONTAINER || node->is_in_files))
        return;
    g_autofree char *prefix = node_make_prefix(node);
    if (strcmp(storage_get_name(node_get_storage(node)), record->storage) != 0 ||
        strcmp(node_get_container_node(node)->name, record->container) != 0 ||
        !g_str_has_prefix(record->key, prefix))
        return;
    node->folder->changes++;
    listing_chain_expire(node->folder->listings);
    g_clear_pointer(&node->folder->absent, g_hash_table_unref);
}

/* --- what was left: who deletes it */

static Storage *
find_storage(Tree *tree, const JournalRecord *record, GError **error)
{
    g_autoptr(Storage) storage = storage_set_find(tree->set, record->storage);
    if (storage != NULL && !storage_is_file_system(storage) &&
        strcmp(storage_get_place(storage), record->place) == 0)
        return g_steal_pointer(&storage);
    g_set_error(error, STORAGEFS_ERROR, ERROR_NOT_FOUND, "the storage of this name is %s",
                storage == NULL ? "not configured" : "another place now");
    return NULL;
}

/* *out_etag: of the version that is to go; NULL: it is not there. */
static gboolean
find_version(Call *call, const NodePlace *place, const JournalRecord *record, char **out_etag, GError **error)
{
    g_auto(ObjectInfo) found = {0};
    g_autoptr(GError) failure = NULL;
    if (storage_stat_object(place->storage, call, place->container, place->key, &found, &failure)) {
        *out_etag = object_file_is_removed(record, &found) ? g_strdup(found.etag) : NULL;
        return TRUE;
    }
    if (error_is(failure, ERROR_NOT_FOUND))
        return TRUE;
    g_propagate_error(error, g_steal_pointer(&failure));
    return FALSE;
}

static gboolean
delete_left(Tree *tree, Call *call, Storage *storage, const JournalRecord *record, GError **error)
{
    const NodePlace place = {.storage = storage, .container = record->container, .key = record->key};
    g_autofree char *etag = NULL;
    Capabilities ignored;
    /* Whether it deletes under a condition. */
    storage_await_capabilities(storage, call, &ignored);
    if (!find_version(call, &place, record, &etag, error))
        return FALSE;
    if (etag == NULL)
        return TRUE;
    g_autoptr(LoanCall) loans = objects_call_in_loans(tree, call, &place, error);
    return loans != NULL && objects_delete_version(call, &place, etag, error);
}

static void
settle_locked(Tree *tree, Left *left) REQUIRES(tree->lock)
{
    if (left->record->earlier->len > 0)
        node_table_foreach(&tree->table, doubt_directory, left->record);
    g_ptr_array_set_size(left->record->earlier, 0);
    left->settled_us = tree_core_now();
    tree->removals->unsettled--;
}

/* Of one that this thread is busy with. call NULL: in the background, with the storage's time. */
static gboolean
try_left(Tree *tree, Call *call, Left *left, GError **error)
{
    const JournalRecord *record = left->record;
    g_autoptr(Storage) storage = find_storage(tree, record, error);
    gboolean ok = FALSE;
    if (storage != NULL) {
        gint64 timeout_us = storage_get_settings(storage)->timeout_us;
        g_autoptr(Call) own =
            call == NULL ? call_new_child(tree->removals->call, timeout_us) : call_ref(call);
        ok = delete_left(tree, own, storage, record, error);
    }
    if (ok) {
        g_autofree char *what = describe(record);
        log_info("%s: its removal is finished", what);
        remove_record(tree->removals, record);
    }
    lock_acquire(&tree->lock);
    left->busy = FALSE;
    if (ok)
        settle_locked(tree, left);
    tree_core_wake_locked(tree);
    lock_release(&tree->lock);
    return ok;
}

static GPtrArray *
list_unsettled(Tree *tree, const char *prefix)
{
    GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
    GHashTableIter iter;
    gpointer name, left;
    lock_acquire(&tree->lock);
    if (tree->removals != NULL && tree->removals->unsettled > 0) {
        g_hash_table_iter_init(&iter, tree->removals->left);
        while (g_hash_table_iter_next(&iter, &name, &left))
            if (((Left *)left)->settled_us == 0 && g_str_has_prefix(name, prefix))
                g_ptr_array_add(names, g_strdup(name));
    }
    lock_release(&tree->lock);
    return names;
}

/* *out_left: this thread is busy with it now; NULL: nothing is left to do. Fails when the call ends. */
static gboolean
begin(Tree *tree, Call *call, const char *name, Left **out_left, GError **error)
{
    gboolean ok = TRUE;
    lock_acquire(&tree->lock);
    Left *left = g_hash_table_lookup(tree->removals->left, name);
    while (ok && left != NULL && left->busy)
        ok = tree_core_wait_locked(tree, call, error);
    *out_left = ok && left != NULL && left->settled_us == 0 ? left : NULL;
    if (*out_left != NULL)
        left->busy = TRUE;
    lock_release(&tree->lock);
    return ok;
}

static gboolean
finish(Tree *tree, Call *call, const char *name, GError **error)
{
    Left *left = NULL;
    return begin(tree, call, name, &left, error) && (left == NULL || try_left(tree, call, left, error));
}

gboolean
objects_removal_finish_name(Tree *tree, Call *call, Node *parent, const char *name, GError **error)
{
    g_auto(NodePlace) place = {0};
    lock_acquire(&tree->lock);
    gboolean is_left =
        objects_removal_is_left_locked(tree, parent, name) && node_place_init(&place, parent, name, NULL);
    lock_release(&tree->lock);
    if (!is_left)
        return TRUE;
    g_autofree char *full = make_name(place.storage, place.container, place.key);
    return finish(tree, call, full, error);
}

gboolean
objects_removal_finish_prefix(Tree *tree, Call *call, const NodePlace *place, GError **error)
{
    g_autofree char *prefix = make_name(place->storage, place->container, place->prefix);
    g_autoptr(GPtrArray) names = list_unsettled(tree, prefix);
    for (guint i = 0; i < names->len; i++)
        if (!finish(tree, call, names->pdata[i], error))
            return FALSE;
    return TRUE;
}

gboolean
objects_removal_finish_below(Tree *tree, Call *call, Node *directory, GError **error)
{
    lock_acquire(&tree->lock);
    g_auto(NodePlace) place = {.storage = storage_ref(node_get_storage(directory)),
                               .container = g_strdup(node_get_container_node(directory)->name),
                               .prefix = node_make_prefix(directory)};
    lock_release(&tree->lock);
    return objects_removal_finish_prefix(tree, call, &place, error);
}

void
objects_removal_overrule(Tree *tree, const JournalRecord *waiting)
{
    g_autofree char *name = name_of(waiting);
    Left *left = tree->removals != NULL ? g_hash_table_lookup(tree->removals->left, name) : NULL;
    if (left == NULL)
        return;
    remove_record(tree->removals, left->record);
    g_hash_table_remove(tree->removals->left, name);
    tree->removals->unsettled--;
}

/* --- the background */

static gboolean
try_in_background(Tree *tree, const char *name)
{
    g_autoptr(GError) error = NULL;
    Left *left = NULL;
    if (!begin(tree, NULL, name, &left, NULL) || left == NULL)
        return FALSE;
    gboolean told = left->told;
    left->told = TRUE;
    g_autofree char *what = describe(left->record);
    gboolean ok = try_left(tree, NULL, left, &error);
    if (!ok && !told && !call_is_cancelled(tree->removals->call))
        log_warning("%s: was unlinked before, but its object cannot be deleted yet: %s", what,
                    error->message);
    return ok;
}

static gboolean
try_all(Tree *tree)
{
    g_autoptr(GPtrArray) names = list_unsettled(tree, "");
    gboolean some = FALSE;
    for (guint i = 0; i < names->len && !call_is_cancelled(tree->removals->call); i++)
        some = try_in_background(tree, names->pdata[i]) || some;
    return some;
}

/* Its own thread: a lane of a storage is not to be slept on. */
static gpointer
run(gpointer data)
{
    Tree *tree = data;
    guint failures = 0;
    lock_acquire(&tree->lock);
    while (!tree->closing && tree->removals->unsettled > 0) {
        lock_release(&tree->lock);
        failures = try_all(tree) ? 0 : failures + 1;
        tree_core_flush(tree);
        lock_acquire(&tree->lock);
        if (tree->removals->unsettled > 0)
            objects_linger_wait_locked(tree, failures);
    }
    lock_release(&tree->lock);
    tree_core_end_task(tree);
    return NULL;
}

void
objects_removal_start(Tree *tree)
{
    if (tree->removals == NULL || tree->settings.read_only)
        return;
    lock_acquire(&tree->lock);
    gboolean starts = tree->removals->unsettled > 0 && tree_core_begin_task_locked(tree);
    lock_release(&tree->lock);
    if (starts)
        g_thread_unref(g_thread_new("removals", run, tree));
}
