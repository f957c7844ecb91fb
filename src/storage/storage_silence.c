/* Whether a storage answers at all: see storage_attempt_begin_look(). */
#include "src/storage/storage_private.h"

/* No longer than the failed look took, and no longer than this. */
#define MAXIMUM_SILENCE_US ((gint64)G_USEC_PER_SEC)
/* What a look leaves of its caller's time, to ask whether it is only this one that gets no answer. */
#define MAXIMUM_LISTEN_US ((gint64)G_USEC_PER_SEC)
#define LISTEN_SHARE 5

static gint64
get_listen_us(gint64 remaining_us)
{
    return MIN(remaining_us / LISTEN_SHARE, MAXIMUM_LISTEN_US);
}

static gboolean
check_silence(Storage *storage, GError **error)
{
    gint64 until_us = atomic_load_explicit(&storage->silent_until_us, memory_order_relaxed);
    if (until_us == 0 || until_us <= g_get_monotonic_time())
        return TRUE;
    lock_acquire(&storage->lock);
    GError *silence = storage->silence != NULL ? g_error_copy(storage->silence) : NULL;
    lock_release(&storage->lock);
    if (silence == NULL)
        return TRUE;
    g_prefix_error(&silence, "%s did not answer a moment ago: ", storage->settings->name);
    g_propagate_error(error, silence);
    return FALSE;
}

gboolean
storage_attempt_begin_look(StorageAttempt *attempt, Storage *storage, Call *call, const char *container,
                           const char *key, GError **error)
{
    if (!check_silence(storage, error) ||
        !storage_attempt_begin(attempt, storage, call, container, key, error))
        return FALSE;
    attempt->started_us = g_get_monotonic_time();
    attempt->outer_call = call;
    if (call_get_deadline_us(call) == 0)
        return TRUE;
    gint64 remaining_us = call_get_remaining_us(call), listen_us = get_listen_us(remaining_us);
    attempt->look_call = attempt->call = call_new_child(call, MAX(remaining_us - listen_us, 1));
    attempt->deadline_us -= listen_us;
    return TRUE;
}

static gboolean
was_answered(const StorageAttempt *attempt)
{
    return atomic_load(&attempt->storage->answered_us) >= attempt->started_us;
}

static gboolean
is_silence(const GError *failure)
{
    return error_is(failure, ERROR_TIMEOUT) || error_is(failure, ERROR_UNAVAILABLE);
}

/* Whether the storage has nothing to say to anybody, or only to this request: one that is cheap and of
 * another kind tells. A refusal is an answer. */
static gboolean
hears_nothing(const StorageAttempt *attempt)
{
    gint64 limit_us =
        attempt->look_call != NULL ? call_get_remaining_us(attempt->outer_call) : MAXIMUM_LISTEN_US;
    g_autoptr(Call) call = call_new_child(attempt->outer_call, MAX(MIN(limit_us, MAXIMUM_LISTEN_US), 1));
    g_autoptr(GError) failure = NULL;
    const char *asked = attempt->key == NULL ? attempt->container : NULL;
    return !storage_ask_cheaply(attempt->storage, call, asked, &failure) && is_silence(failure);
}

/* FALSE: somebody else was at it, and is done. */
static gboolean
claim_listening(const StorageAttempt *attempt)
{
    Storage *storage = attempt->storage;
    gint64 until_us = g_get_monotonic_time() + MAXIMUM_LISTEN_US;
    lock_acquire(&storage->lock);
    gboolean claimed = !storage->listens, in_time = TRUE;
    storage->listens = TRUE;
    while (!claimed && storage->listens && in_time)
        in_time = condition_wait(&storage->changed, &storage->lock, until_us);
    lock_release(&storage->lock);
    return claimed;
}

static void
end_listening(const StorageAttempt *attempt, gboolean silent)
{
    Storage *storage = attempt->storage;
    gint64 now_us = g_get_monotonic_time();
    lock_acquire(&storage->lock);
    if (silent && !was_answered(attempt)) {
        g_clear_error(&storage->silence);
        storage->silence = g_error_copy(attempt->failure);
        atomic_store(&storage->silent_until_us,
                     now_us + MIN(now_us - attempt->started_us, MAXIMUM_SILENCE_US));
    }
    storage->listens = FALSE;
    condition_wake_all(&storage->changed);
    lock_release(&storage->lock);
}

void
storage_silence_note(StorageAttempt *attempt)
{
    if (!is_silence(attempt->failure) || was_answered(attempt) || !claim_listening(attempt))
        return;
    end_listening(attempt, hears_nothing(attempt));
}

void
storage_silence_end(Storage *storage)
{
    atomic_store_explicit(&storage->answered_us, g_get_monotonic_time(), memory_order_relaxed);
    if (atomic_load_explicit(&storage->silent_until_us, memory_order_relaxed) != 0)
        atomic_store(&storage->silent_until_us, 0);
}
