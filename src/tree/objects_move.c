/* Renaming a prefix: list, copy everything on the server in parallel, and only then delete the sources. A
 * record in the state directory lets the next mount finish what a crash interrupted: copies that are there
 * already are kept, the others made, then the sources deleted.
 */
#include "src/tree/objects.h"

#include "src/base/log.h"
#include "src/tree/rename_journal.h"

#include <string.h>

#define PARALLEL_REQUESTS 16u

typedef struct Move Move;
typedef struct {
    Move *move;
    char *key, *etag;
    guint64 size_bytes;
    gboolean copied;
} MoveItem;

struct Move {
    Call *call;
    Call *sure; /* ends with nothing: of what must not be left half done */
    const NodePlace *from, *to;
    Tree *resumes;    /* NULL, or: what is at the destination already may be a copy of ours, and the tree may
                       * have been looked at meanwhile */
    GPtrArray *items; /* MoveItem * */
    gboolean deletes_version;
    Lock lock;
    GError *error; /* the first; under lock */
};

static void
free_item(gpointer data)
{
    MoveItem *item = data;
    g_free(item->key);
    g_free(item->etag);
    g_free(item);
}

static void
fail(Move *move, GError *error)
{
    lock_acquire(&move->lock);
    if (move->error == NULL)
        move->error = error;
    else
        g_error_free(error);
    lock_release(&move->lock);
}

static gboolean
has_failed(Move *move)
{
    lock_acquire(&move->lock);
    gboolean failed = move->error != NULL;
    lock_release(&move->lock);
    return failed;
}

static char *
make_new_key(const MoveItem *item)
{
    return g_strconcat(item->move->to->prefix, item->key + strlen(item->move->from->prefix), NULL);
}

static gboolean
is_there(const MoveItem *item, const char *new_key)
{
    const NodePlace *to = item->move->to;
    g_auto(ObjectInfo) info = {0};
    return item->move->resumes != NULL &&
           storage_stat_object(to->storage, item->move->call, to->container, new_key, &info, NULL) &&
           info.size_bytes == item->size_bytes;
}

static void
copy_item(gpointer data)
{
    MoveItem *item = data;
    Move *move = item->move;
    g_autofree char *new_key = make_new_key(item);
    g_auto(ObjectInfo) stored = {0};
    GError *error = NULL;
    if (has_failed(move))
        return;
    CopySource source = {move->from->container, item->key, item->etag};
    item->copied = is_there(item, new_key) ||
                   storage_copy_object(move->from->storage, move->call, &source, item->size_bytes,
                                       move->to->container, new_key, NULL, &stored, &error);
    if (!item->copied)
        fail(move, error);
}

/* For services that delete whatever is there: looked at before. */
static gboolean
was_replaced(const MoveItem *item)
{
    const Move *move = item->move;
    g_auto(ObjectInfo) info = {0};
    return !move->deletes_version && item->etag != NULL &&
           storage_stat_object(move->from->storage, move->sure, move->from->container, item->key, &info,
                               NULL) &&
           g_strcmp0(info.etag, item->etag) != 0;
}

static void
delete_source(gpointer data)
{
    MoveItem *item = data;
    Move *move = item->move;
    g_autoptr(GError) error = NULL;
    if (was_replaced(item))
        return;
    /* What was written there meanwhile is not what was copied: it stays. */
    if (!storage_delete_object(move->from->storage, move->sure, move->from->container, item->key,
                               move->deletes_version ? item->etag : NULL, &error) &&
        !error_is(error, ERROR_CHANGED) && !error_is(error, ERROR_NOT_FOUND))
        fail(move, g_steal_pointer(&error));
}

static void
delete_copy(gpointer data)
{
    MoveItem *item = data;
    const NodePlace *to = item->move->to;
    g_autofree char *new_key = make_new_key(item);
    if (item->copied)
        storage_delete_object(to->storage, item->move->sure, to->container, new_key, NULL, NULL);
}

static void
run_all(Move *move, WorkerTask task)
{
    WorkerGroup *group =
        worker_group_new(storage_get_lane(move->from->storage, STORAGE_LANE_TRANSFERS), PARALLEL_REQUESTS);
    for (guint i = 0; i < move->items->len; i++)
        worker_group_push(group, task, g_ptr_array_index(move->items, i));
    worker_group_wait(group);
    worker_group_free(group);
}

/* Before the crash, while it was open. */
static gboolean
was_removed(const Move *move, const ObjectInfo *info)
{
    return move->resumes != NULL && objects_removal_hides(move->resumes, move->from->storage,
                                                          move->from->container, info, tree_core_now());
}

static void
add_items(Move *move, const ListPage *page)
{
    for (guint i = 0; i < page->objects->len; i++) {
        const ObjectInfo *info = &g_array_index(page->objects, ObjectInfo, i);
        if (!g_str_has_prefix(info->key, move->from->prefix) || was_removed(move, info))
            continue;
        MoveItem *item = g_new0(MoveItem, 1);
        item->move = move;
        item->key = g_strdup(info->key);
        item->etag = g_strdup(info->etag);
        item->size_bytes = info->size_bytes;
        g_ptr_array_add(move->items, item);
    }
}

static gboolean
list_items(Move *move, GError **error)
{
    g_autofree char *token = NULL;
    do {
        g_auto(ListPage) page;
        list_page_init(&page);
        ListQuery query = {.prefix = move->from->prefix, .after_token = token};
        if (!storage_list_objects(move->from->storage, move->call, move->from->container, &query, &page,
                                  error))
            return FALSE;
        add_items(move, &page);
        g_free(token);
        token = g_strdup(page.next);
    } while (token != NULL);
    return TRUE;
}

static gboolean
check_new_keys(Move *move, GError **error)
{
    for (guint i = 0; i < move->items->len; i++) {
        g_autofree char *new_key = make_new_key(g_ptr_array_index(move->items, i));
        if (!storage_check_key(move->to->storage, new_key, error))
            return FALSE;
    }
    return TRUE;
}

/* Who listed the destination before its copies were there must not miss them when the sources go. */
static void
forget_known(const Move *move)
{
    g_autofree char *path = g_strjoin("/", storage_get_name(move->to->storage), move->to->container, NULL);
    g_autoptr(GError) error = NULL;
    if (move->resumes != NULL && !tree_refresh(move->resumes, path, &error))
        log_debug("%s", error->message);
}

static gboolean
run_move(Move *move, GError **error)
{
    if (!list_items(move, error) || !check_new_keys(move, error))
        return FALSE;
    run_all(move, copy_item);
    if (move->error != NULL) {
        if (move->resumes == NULL)
            run_all(move, delete_copy);
        g_propagate_error(error, g_steal_pointer(&move->error));
        return FALSE;
    }
    forget_known(move);
    run_all(move, delete_source);
    forget_known(move);
    if (move->error == NULL)
        return TRUE;
    g_propagate_error(error, g_steal_pointer(&move->error));
    return FALSE;
}

static gboolean
move_prefix(Call *call, const NodePlace *from, const NodePlace *to, Tree *resumes, GError **error)
{
    Capabilities capabilities;
    storage_get_capabilities(from->storage, &capabilities);
    g_autoptr(Call) sure = call_new(0);
    Move move = {.call = call,
                 .sure = sure,
                 .from = from,
                 .to = to,
                 .resumes = resumes,
                 .items = g_ptr_array_new_with_free_func(free_item),
                 .deletes_version = capabilities.delete_if_etag == CONDITION_ATOMIC};
    lock_init(&move.lock);
    gboolean ok = run_move(&move, error);
    g_clear_error(&move.error);
    lock_clear(&move.lock);
    g_ptr_array_unref(move.items);
    return ok;
}

gboolean
objects_move_prefix(Tree *tree, Call *call, const NodePlace *from, const NodePlace *to, GError **error)
{
    RenameRecord record = {.storage = (char *)storage_get_name(from->storage),
                           .from_container = from->container,
                           .from_prefix = from->prefix,
                           .to_container = to->container,
                           .to_prefix = to->prefix};
    g_autofree char *path = NULL;
    g_autoptr(LoanCall) loans =
        loan_call_in(tree->store, call, from->storage, from->container, from->prefix, TRUE, error);
    if (loans == NULL || !rename_journal_begin(tree->state_dir, &record, &path, error))
        return FALSE;
    gboolean ok = move_prefix(call, from, to, NULL, error);
    /* A failure was told to the caller, and its copies are gone again: nothing is left to be finished. */
    rename_journal_end(path);
    return ok;
}

typedef struct {
    Tree *tree;
    Storage *storage;
    RenameRecord *record;
} Recovery;

static void
run_recovery(gpointer data)
{
    Recovery *recovery = data;
    RenameRecord *record = recovery->record;
    g_autoptr(GError) error = NULL;
    g_autoptr(Call) call = call_new(0);
    NodePlace from = {
        .storage = recovery->storage, .container = record->from_container, .prefix = record->from_prefix};
    NodePlace to = {
        .storage = recovery->storage, .container = record->to_container, .prefix = record->to_prefix};
    if (move_prefix(call, &from, &to, recovery->tree, &error)) {
        log_info("%s: finished the interrupted rename of %s/%s to %s/%s", record->storage, from.container,
                 from.prefix, to.container, to.prefix);
        rename_journal_end(record->path);
    } else {
        log_warning("%s: the interrupted rename of %s/%s to %s/%s waits for the next mount: %s",
                    record->storage, from.container, from.prefix, to.container, to.prefix, error->message);
    }
    storage_unref(recovery->storage);
    rename_journal_record_free(record);
    tree_core_end_task(recovery->tree);
    g_free(recovery);
}

void
objects_move_recover(Tree *tree)
{
    g_autoptr(GPtrArray) records = rename_journal_list(tree->state_dir);
    g_ptr_array_set_free_func(records, NULL);
    for (guint i = 0; i < records->len; i++) {
        RenameRecord *record = g_ptr_array_index(records, i);
        Storage *storage = storage_set_find(tree->set, record->storage);
        if (storage == NULL || storage_is_file_system(storage)) {
            log_warning("%s: rename of a storage that is not there", record->path);
            g_clear_pointer(&storage, storage_unref);
            rename_journal_record_free(record);
            continue;
        }
        Recovery *recovery = g_new(Recovery, 1);
        *recovery = (Recovery){tree, storage, record};
        lock_acquire(&tree->lock);
        tree->tasks++;
        lock_release(&tree->lock);
        worker_pool_push(storage_get_lane(storage, STORAGE_LANE_CALLS), run_recovery, recovery);
    }
}
