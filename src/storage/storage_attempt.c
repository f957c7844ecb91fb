/* The frame around each driver call: repetition, counters, health, and the subject of error messages. */
#include "src/storage/retry.h"
#include "src/storage/storage_private.h"

/* Answers, not failures: the service did its work. */
static gboolean
is_answer(const GError *failure)
{
    static const ErrorCode answers[] = {
        ERROR_NOT_FOUND,   ERROR_EXISTS,    ERROR_NOT_EMPTY, ERROR_BAD_NAME,     ERROR_CHANGED,
        ERROR_UNSUPPORTED, ERROR_TOO_LARGE, ERROR_CANCELLED, ERROR_NO_ATTRIBUTE, ERROR_NAME_TOO_LONG};
    for (guint i = 0; i < G_N_ELEMENTS(answers); i++) {
        if (error_is(failure, answers[i]))
            return TRUE;
    }
    return FALSE;
}

static void
note_failure(Storage *storage, const GError *failure)
{
    if (is_answer(failure))
        return;
    atomic_fetch_add_explicit(&storage->failures, 1, memory_order_relaxed);
    if (error_is(failure, ERROR_UNAVAILABLE) || error_is(failure, ERROR_TIMEOUT))
        atomic_store(&storage->state, STORAGE_DOWN);
    char *text = g_strdup(failure->message);
    lock_acquire(&storage->lock);
    char *old = storage->last_error;
    storage->last_error = text;
    storage->last_error_at_us = g_get_monotonic_time();
    lock_release(&storage->lock);
    g_free(old);
}

void
storage_note_up(Storage *storage)
{
    storage_silence_end(storage);
    if (atomic_load_explicit(&storage->state, memory_order_relaxed) == STORAGE_UP ||
        atomic_exchange(&storage->state, STORAGE_UP) == STORAGE_UP)
        return;
    lock_acquire(&storage->lock);
    storage->heals++;
    condition_wake_all(&storage->changed);
    lock_release(&storage->lock);
}

void
storage_attempt_begin_now(StorageAttempt *attempt, Storage *storage, Call *call, const char *container)
{
    gint64 deadline_us = call_get_deadline_us(call);
    if (deadline_us == 0)
        deadline_us = g_get_monotonic_time() + storage->settings->timeout_us;
    *attempt = (StorageAttempt){
        .storage = storage, .call = call, .container = container, .deadline_us = deadline_us};
    atomic_fetch_add_explicit(&storage->requests, 1, memory_order_relaxed);
}

gboolean
storage_attempt_begin(StorageAttempt *attempt, Storage *storage, Call *call, const char *container,
                      const char *key, GError **error)
{
    if (container && !storage_is_shown(storage, container)) {
        g_set_error(error, STORAGEFS_ERROR, ERROR_NOT_FOUND, "%s/%s: containers = does not name it",
                    storage->settings->name, container);
        return FALSE;
    }
    storage_heal(storage);
    if (!storage_await_container(storage, call, container, error))
        return FALSE;
    storage_attempt_begin_now(attempt, storage, call, container);
    attempt->key = key;
    return TRUE;
}

static void
prefix_subject(const StorageAttempt *attempt, GError **failure)
{
    const char *name = attempt->storage->settings->name;
    if (attempt->container && attempt->key)
        g_prefix_error(failure, "%s/%s/%s: ", name, attempt->container, attempt->key);
    else if (attempt->container)
        g_prefix_error(failure, "%s/%s: ", name, attempt->container);
    else
        g_prefix_error(failure, "%s: ", name);
}

static gboolean
wait_before_next(StorageAttempt *attempt)
{
    RetryMoment moment = {.failures = ++attempt->failures,
                          .now_us = g_get_monotonic_time(),
                          .deadline_us = attempt->deadline_us,
                          .random = g_random_double()};
    gint64 delay_us = 0;
    /* A file system answers at once, and the next time it says the same. */
    if (storage_is_file_system(attempt->storage))
        return FALSE;
    if (!retry_decide(&moment, attempt->failure, &delay_us))
        return FALSE;
    log_debug("%s: try %u failed, next in %" G_GINT64_FORMAT " ms: %s", attempt->storage->settings->name,
              attempt->failures, delay_us / 1000, attempt->failure->message);
    g_autoptr(GError) ended = NULL;
    if (call_sleep(attempt->call, delay_us, &ended))
        return TRUE;
    /* An interrupted wait is told as such; a deadline that passed is told by what took so long. */
    if (error_is(ended, ERROR_CANCELLED)) {
        g_clear_error(&attempt->failure);
        attempt->failure = g_steal_pointer(&ended);
    }
    return FALSE;
}

static void
end_look(StorageAttempt *attempt)
{
    g_clear_pointer(&attempt->look_call, call_unref);
    attempt->call = NULL;
}

gboolean
storage_attempt_again(StorageAttempt *attempt, GError **error)
{
    Storage *storage = attempt->storage;
    /* A driver that fails without saying why broke its contract; the operation failed all the same. */
    if (!attempt->failure)
        g_set_error(&attempt->failure, STORAGEFS_ERROR, ERROR_PROTOCOL, "the driver gave no reason");
    if (wait_before_next(attempt)) {
        g_clear_error(&attempt->failure);
        atomic_fetch_add_explicit(&storage->retries, 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&storage->requests, 1, memory_order_relaxed);
        return TRUE;
    }
    prefix_subject(attempt, &attempt->failure);
    log_mask_error(attempt->failure);
    note_failure(storage, attempt->failure);
    if (is_answer(attempt->failure) && !error_is(attempt->failure, ERROR_CANCELLED))
        storage_note_up(storage);
    else if (attempt->started_us != 0)
        storage_silence_note(attempt);
    end_look(attempt);
    g_propagate_error(error, g_steal_pointer(&attempt->failure));
    return FALSE;
}

gboolean
storage_attempt_done(StorageAttempt *attempt)
{
    g_clear_error(&attempt->failure);
    storage_note_up(attempt->storage);
    end_look(attempt);
    return TRUE;
}
