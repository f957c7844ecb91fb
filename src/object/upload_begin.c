#include "src/object/upload_begin.h"

#include "src/object/call_wait.h"
#include "src/object/object_store_private.h"

/* Shared by the waiting caller and the task; whoever lets go last frees it. */
typedef struct {
    gint references;
    Storage *storage;
    char *container, *key, *content_type, *if_etag;
    Metadata *metadata;
    gboolean if_absent;
    ObjectStore *store;
    Lock lock;
    Condition changed;
    gboolean ended, left; /* the request; the caller */
    char *id;
    GError *error;
} Beginning;

static Beginning *
beginning_new(ObjectStore *store, Storage *storage, const char *container, const char *key,
              const WriteOptions *options)
{
    Beginning *b = g_new0(Beginning, 1);
    *b = (Beginning){.references = 2,
                     .storage = storage_ref(storage),
                     .container = g_strdup(container),
                     .key = g_strdup(key),
                     .content_type = g_strdup(options->content_type),
                     .if_etag = g_strdup(options->if_etag),
                     .metadata = options->metadata != NULL ? g_hash_table_ref(options->metadata) : NULL,
                     .if_absent = options->if_absent,
                     .store = store};
    lock_init(&b->lock);
    condition_init(&b->changed);
    return b;
}

static void
beginning_unref(Beginning *b)
{
    if (!g_atomic_int_dec_and_test(&b->references))
        return;
    g_clear_error(&b->error);
    g_clear_pointer(&b->metadata, g_hash_table_unref);
    g_free(b->container);
    g_free(b->key);
    g_free(b->content_type);
    g_free(b->if_etag);
    g_free(b->id);
    condition_clear(&b->changed);
    lock_clear(&b->lock);
    storage_unref(b->storage);
    g_free(b);
}

static void
run_begin(gpointer data)
{
    Beginning *b = data;
    ObjectStore *store = b->store;
    g_autoptr(Call) call = call_new(0);
    const WriteOptions options = {.content_type = b->content_type,
                                  .metadata = b->metadata,
                                  .if_etag = b->if_etag,
                                  .if_absent = b->if_absent};
    g_autofree char *id = NULL;
    GError *error = NULL;
    gboolean ok = storage_begin_upload(b->storage, call, b->container, b->key, &options, &id, &error);
    lock_acquire(&b->lock);
    b->id = g_steal_pointer(&id);
    b->error = error;
    b->ended = TRUE;
    gboolean unwanted = ok && b->left;
    condition_wake_all(&b->changed);
    lock_release(&b->lock);
    if (unwanted)
        storage_discard_upload(b->storage, b->container, b->key, b->id);
    beginning_unref(b);
    object_store_end_task(store);
}

/* A call that ended while the request did gets the request's result. */
static gboolean
await(Beginning *b, Call *call, char **out_id, GError **error)
{
    CallWait wait;
    g_autoptr(GError) ended = NULL;
    call_wait_begin(&wait, call, &b->lock, &b->changed);
    lock_acquire(&b->lock);
    while (!b->ended && call_wait_next(&wait, &ended))
        continue;
    b->left = !b->ended;
    gboolean ok = b->ended && b->error == NULL;
    if (ok)
        *out_id = g_steal_pointer(&b->id);
    else
        g_propagate_error(error, b->ended ? g_steal_pointer(&b->error) : g_steal_pointer(&ended));
    lock_release(&b->lock);
    call_wait_end(&wait);
    return ok;
}

gboolean
upload_begin(ObjectStore *store, Storage *storage, Call *call, const char *container, const char *key,
             const WriteOptions *options, char **out_upload_id, GError **error)
{
    Beginning *b = beginning_new(store, storage, container, key, options);
    object_store_begin_task(store);
    worker_pool_push(storage_get_lane(storage, STORAGE_LANE_TRANSFERS), run_begin, b);
    gboolean ok = await(b, call, out_upload_id, error);
    beginning_unref(b);
    return ok;
}
