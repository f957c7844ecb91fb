/* Multi-part uploads that nobody will commit. An abort that an outage spoils is repeated in the background
 * until the storage answers: parts that lie about cost money, and only this process knows their upload. */
#include "src/storage/storage_private.h"

#define MAXIMUM_LEFTOVERS 4096u
#define FIRST_TRY_US (10 * (gint64)G_USEC_PER_SEC)
#define KEPT_US (24 * 3600 * (gint64)G_USEC_PER_SEC)
#define FIRST_WAIT_US (1 * (gint64)G_USEC_PER_SEC)
#define MAXIMUM_WAIT_US (60 * (gint64)G_USEC_PER_SEC)

typedef struct {
    char *container, *key, *upload_id;
    gint64 expires_us;
    gboolean is_dead; /* of a process that is gone: it may have ended it */
} Leftover;

static void
leftover_free(gpointer data)
{
    Leftover *leftover = data;
    g_free(leftover->container);
    g_free(leftover->key);
    g_free(leftover->upload_id);
    g_free(leftover);
}

/* It was committed or aborted after all. */
static gboolean
is_gone(const GError *failure)
{
    return error_is(failure, ERROR_NOT_FOUND);
}

static gboolean
may_pass(const GError *failure)
{
    return error_is_transient(failure) || error_is(failure, ERROR_CANCELLED);
}

static void
tell_left(Storage *storage, const Leftover *leftover, const char *why)
{
    log_warning("%s/%s/%s: unfinished upload %s stays on the server: %s", storage->settings->name,
                leftover->container, leftover->key, leftover->upload_id, why);
}

static void
wake_waiters(gpointer data)
{
    Storage *storage = data;
    lock_acquire(&storage->lock);
    condition_wake_all(&storage->changed);
    lock_release(&storage->lock);
}

/* Until the storage is up again (since `heals` was read), a while has passed, or the storage is freed. */
static void
wait_for_storage(Storage *storage, guint heals, guint failures)
{
    gint64 delay_us = MIN(FIRST_WAIT_US << MIN(failures, 6), MAXIMUM_WAIT_US);
    gint64 until_us = g_get_monotonic_time() + delay_us;
    guint wake = call_add_wake(storage->lifetime, wake_waiters, storage);
    gboolean in_time = TRUE;
    lock_acquire(&storage->lock);
    while (in_time && storage->heals == heals && !call_is_cancelled(storage->lifetime))
        in_time = condition_wait(&storage->changed, &storage->lock, until_us);
    lock_release(&storage->lock);
    call_remove_wake(storage->lifetime, wake);
}

/* TRUE: this one is settled, by whatever came out. */
static gboolean
try_leftover(Storage *storage, const Leftover *leftover)
{
    g_autoptr(Call) call = call_new_child(storage->lifetime, storage->settings->timeout_us);
    g_autoptr(GError) failure = NULL;
    if (storage_abort_upload(storage, call, leftover->container, leftover->key, leftover->upload_id,
                             &failure) ||
        (leftover->is_dead && is_gone(failure)))
        return TRUE;
    if (may_pass(failure) && g_get_monotonic_time() < leftover->expires_us)
        return FALSE;
    tell_left(storage, leftover, failure->message);
    return TRUE;
}

/* The first of them, which stays in the queue; NULL: there is none, or the storage is freed. */
static const Leftover *
look_at_next(Storage *storage, guint *out_heals)
{
    lock_acquire(&storage->lock);
    const Leftover *leftover =
        call_is_cancelled(storage->lifetime) ? NULL : g_queue_peek_head(&storage->leftovers);
    *out_heals = storage->heals;
    storage->discards = leftover != NULL;
    lock_release(&storage->lock);
    return leftover;
}

/* Holds no reference: the storage frees this pool before itself. */
static void
run_discards(gpointer data)
{
    Storage *storage = data;
    const Leftover *leftover;
    guint heals = 0, failures = 0;
    while ((leftover = look_at_next(storage, &heals)) != NULL) {
        if (!try_leftover(storage, leftover)) {
            wait_for_storage(storage, heals, failures++);
            continue;
        }
        failures = 0;
        lock_acquire(&storage->lock);
        Leftover *settled = g_queue_pop_head(&storage->leftovers);
        lock_release(&storage->lock);
        leftover_free(settled);
    }
}

static void
keep(Storage *storage, const char *container, const char *key, const char *upload_id, gboolean is_dead,
     const char *why)
{
    Leftover *leftover = g_new(Leftover, 1);
    *leftover = (Leftover){g_strdup(container), g_strdup(key), g_strdup(upload_id),
                           g_get_monotonic_time() + KEPT_US, is_dead};
    lock_acquire(&storage->lock);
    gboolean kept = storage->leftovers.length < MAXIMUM_LEFTOVERS;
    gboolean starts = kept && !storage->discards;
    if (kept)
        g_queue_push_tail(&storage->leftovers, leftover);
    storage->discards = storage->discards || starts;
    lock_release(&storage->lock);
    if (!kept) {
        tell_left(storage, leftover, why);
        leftover_free(leftover);
    }
    if (starts)
        worker_pool_push(storage->discarding, run_discards, storage);
}

void
storage_discard_upload(Storage *storage, const char *container, const char *key, const char *upload_id)
{
    g_autoptr(Call) call = call_new(MIN(storage->settings->timeout_us, FIRST_TRY_US));
    g_autoptr(GError) failure = NULL;
    if (storage_abort_upload(storage, call, container, key, upload_id, &failure))
        return;
    if (may_pass(failure)) {
        keep(storage, container, key, upload_id, FALSE, failure->message);
        return;
    }
    const Leftover leftover = {(char *)container, (char *)key, (char *)upload_id, 0, FALSE};
    tell_left(storage, &leftover, failure->message);
}

void
storage_discard_dead(Storage *storage)
{
    if (storage->ledger == NULL || storage->settings->read_only)
        return;
    g_autoptr(GPtrArray) uploads = upload_ledger_take_dead(storage->ledger);
    for (guint i = 0; i < uploads->len; i++) {
        const LedgerUpload *upload = uploads->pdata[i];
        log_info("%s/%s/%s: aborting upload %s, which a process before left", storage->settings->name,
                 upload->container, upload->key, upload->upload_id);
        keep(storage, upload->container, upload->key, upload->upload_id, TRUE, "too many of them");
    }
}

void
storage_forget_leftovers(Storage *storage)
{
    Leftover *leftover;
    while ((leftover = g_queue_pop_head(&storage->leftovers)) != NULL) {
        tell_left(storage, leftover, "the storage did not answer until the end");
        leftover_free(leftover);
    }
}
