/* Getting to know the endpoint in the background: making create_containers and probing, again after a
 * back-off when something was missing; finding out when one that fell silent answers again. */
#include "src/storage/storage_private.h"

#include "src/storage/learned_file.h"

#include <string.h>

#define MAXIMUM_CONNECT_US (10 * (gint64)G_USEC_PER_SEC)
#define FIRST_RECONNECT_US (1 * (gint64)G_USEC_PER_SEC)
#define MAXIMUM_RECONNECT_US (60 * (gint64)G_USEC_PER_SEC)
/* Writes with a look before them, until finding out costs less than going on so; and when that had no answer.
 */
#define FIRST_TRIAL_WRITES 8u
#define LATER_TRIAL_WRITES 1000u
/* What a look may cost whom an older answer would do. */
#define PATIENCE_US (10 * (gint64)G_USEC_PER_SEC)
/* So long nobody waits for it after a look without an answer; and so often it is asked meanwhile. */
#define SILENCE_US (5 * (gint64)G_USEC_PER_SEC)
#define ASK_AGAIN_US (1 * (gint64)G_USEC_PER_SEC)

static void
wake_waiters(gpointer data)
{
    Storage *storage = data;
    lock_acquire(&storage->lock);
    condition_wake_all(&storage->changed);
    lock_release(&storage->lock);
}

/* Waits while the background task runs and `container` is among the missing ones (NULL: while it runs). */
static gboolean
wait_while_running(Storage *storage, Call *call, const char *container, GError **error)
{
    guint wake = call_add_wake(call, wake_waiters, storage);
    gboolean waiting = TRUE, good = TRUE;
    lock_acquire(&storage->lock);
    while (waiting && good) {
        waiting = atomic_load(&storage->connection) == CONNECTION_RUNNING &&
                  (!container || g_hash_table_contains(storage->missing, container));
        good = !waiting || call_check(call, error);
        if (waiting && good)
            condition_wait(&storage->changed, &storage->lock, call_get_deadline_us(call));
    }
    lock_release(&storage->lock);
    call_remove_wake(call, wake);
    return good;
}

void
storage_forget_missing(Storage *storage, const char *container)
{
    lock_acquire(&storage->lock);
    g_hash_table_remove(storage->missing, container);
    condition_wake_all(&storage->changed);
    lock_release(&storage->lock);
}

static gboolean
is_missing(Storage *storage, const char *container)
{
    lock_acquire(&storage->lock);
    gboolean missing = g_hash_table_contains(storage->missing, container);
    lock_release(&storage->lock);
    return missing;
}

/* Looks first: some services reset the rights of a container that is created again. */
static gboolean
make_container(Storage *storage, Call *call, const char *container, GError **error)
{
    const Driver *driver = storage->settings->driver;
    ContainerInfo info = {0};
    StorageAttempt attempt;
    storage_attempt_begin_now(&attempt, storage, call, container);
    while (TRUE) {
        if (driver->stat_container(storage->instance, call, container, &info, &attempt.failure))
            break;
        gboolean absent = error_is(attempt.failure, ERROR_NOT_FOUND);
        if (absent)
            g_clear_error(&attempt.failure);
        if (absent && driver->create_container(storage->instance, call, container, &attempt.failure))
            break;
        if (error_is(attempt.failure, ERROR_EXISTS))
            break;
        if (!storage_attempt_again(&attempt, error))
            return FALSE;
    }
    g_free(info.name);
    storage_forget_missing(storage, container);
    return storage_attempt_done(&attempt);
}

/* All that can be made; the first failure is told. */
static gboolean
make_containers(Storage *storage, Call *call, GError **error)
{
    g_autoptr(GError) first = NULL;
    for (char **name = storage->settings->create_containers; name && *name; name++) {
        if (!is_missing(storage, *name))
            continue;
        g_autoptr(GError) failure = NULL;
        if (!make_container(storage, call, *name, &failure) && !first)
            first = g_steal_pointer(&failure);
    }
    if (!first)
        return TRUE;
    g_propagate_error(error, g_steal_pointer(&first));
    return FALSE;
}

/* A container that the configuration names, NULL when it names none. */
static const char *
get_named_container(Storage *storage)
{
    const StorageSettings *settings = storage->settings;
    for (char **name = settings->create_containers; !settings->read_only && name && *name; name++) {
        if (!is_missing(storage, *name))
            return *name;
    }
    return settings->containers ? settings->containers[0] : NULL;
}

static gboolean
ask(Storage *storage, Call *call, const char *container, GError **error)
{
    const Driver *driver = storage->settings->driver;
    Capabilities found;
    ContainerInfo info = {0};
    if (!container)
        return driver->probe(storage->instance, call, NULL, &found, error);
    if (!driver->stat_container(storage->instance, call, container, &info, error))
        return FALSE;
    g_free(info.name);
    return TRUE;
}

gboolean
storage_ask_cheaply(Storage *storage, Call *call, const char *other_than, GError **error)
{
    const char *container = get_named_container(storage);
    if (container && g_strcmp0(container, other_than) != 0)
        return ask(storage, call, container, error);
    return storage_check_offered(storage, storage->settings->driver->probe != NULL, "a probe", error) &&
           ask(storage, call, NULL, error);
}

/* Only looks: what needs objects of our own waits for the first write. An account that may not list its
 * containers is asked for one of those that are named. */
static gboolean
probe(Storage *storage, Call *call, GError **error)
{
    const char *container = get_named_container(storage);
    StorageAttempt attempt;
    if (!storage->settings->driver->probe)
        return TRUE;
    storage_attempt_begin_now(&attempt, storage, call, container);
    while (!ask(storage, call, container, &attempt.failure)) {
        if (!storage_attempt_again(&attempt, error))
            return FALSE;
    }
    return storage_attempt_done(&attempt);
}

void
storage_note_silent(Storage *storage)
{
    lock_acquire(&storage->lock);
    storage->silent_at_us = g_get_monotonic_time();
    lock_release(&storage->lock);
}

/* Holds no reference, as run_connect(). */
static void
run_ask(gpointer data)
{
    Storage *storage = data;
    g_autoptr(Call) call =
        call_new_child(storage->lifetime, MIN(storage->settings->timeout_us / 2, MAXIMUM_CONNECT_US));
    g_autoptr(GError) failure = NULL;
    gboolean silent = !probe(storage, call, &failure) && error_is_transient(failure);
    lock_acquire(&storage->lock);
    storage->asking = FALSE;
    if (silent)
        storage->silent_at_us = g_get_monotonic_time();
    lock_release(&storage->lock);
}

gint64
storage_get_patience_us(Storage *storage)
{
    if (atomic_load(&storage->state) != STORAGE_DOWN)
        return PATIENCE_US;
    lock_acquire(&storage->lock);
    gint64 age_us = g_get_monotonic_time() - storage->silent_at_us;
    gboolean silent = storage->silent_at_us != 0 && (storage->asking || age_us < SILENCE_US);
    gboolean asks =
        silent && !storage->asking && age_us >= ASK_AGAIN_US && storage->settings->driver->probe != NULL;
    storage->asking = storage->asking || asks;
    lock_release(&storage->lock);
    if (asks)
        worker_pool_push(storage->background, run_ask, storage);
    return silent ? 0 : STORAGE_SHORT_PATIENCE_US;
}

static void
finish(Storage *storage, gboolean reached, GError *failure)
{
    if (reached)
        storage_note_up(storage);
    else
        atomic_store(&storage->state, STORAGE_DOWN);
    lock_acquire(&storage->lock);
    GError *old = storage->connect_error;
    storage->connect_error = failure;
    storage->connect_failures = failure ? storage->connect_failures + 1 : 0;
    /* To ask a file system again costs nothing. */
    guint doublings = storage_is_file_system(storage) ? 0 : MIN(storage->connect_failures, 6);
    gint64 delay_us = FIRST_RECONNECT_US << doublings;
    storage->next_connect_us = g_get_monotonic_time() + MIN(delay_us, MAXIMUM_RECONNECT_US);
    atomic_store(&storage->connection, failure ? CONNECTION_FAILED : CONNECTION_DONE);
    condition_wake_all(&storage->changed);
    lock_release(&storage->lock);
    g_clear_error(&old);
}

/* Tries conditions on objects of our own (container NULL: nowhere). One try: without an answer what the
 * preset says stands, and the write itself will report. */
static void
try_conditions(Storage *storage, Call *call, const char *container)
{
    const Driver *driver = storage->settings->driver;
    Capabilities ignored;
    g_autoptr(GError) failure = NULL;
    if (driver->probe && container && !storage->settings->read_only &&
        !driver->probe(storage->instance, call, container, &ignored, &failure))
        log_debug("%s: conditions could not be tried: %s", storage->settings->name, failure->message);
}

static gint64
get_now_s(void)
{
    return g_get_real_time() / G_USEC_PER_SEC;
}

void
storage_keep_state_in(Storage *storage, const char *state_dir)
{
    const Driver *driver = storage->settings->driver;
    if (driver->begin_upload != NULL && !storage->settings->read_only)
        storage->ledger = upload_ledger_open(state_dir, storage->id, storage->settings->name, storage->place);
    if (!driver->take_learned)
        return;
    g_autofree char *name = g_strdup_printf("learned-%016" G_GINT64_MODIFIER "x", storage->id);
    storage->learned_path = g_build_filename(state_dir, name, NULL);
    g_autofree char *text = learned_file_load(storage->learned_path, storage->place, get_now_s());
    if (text && !driver->take_learned(storage->instance, text))
        log_debug("%s: what was learned before does not fit any more", storage->settings->name);
}

static void
keep_learned(Storage *storage)
{
    g_autofree char *text =
        storage->learned_path ? storage->settings->driver->dump_learned(storage->instance) : NULL;
    g_autoptr(GError) failure = NULL;
    if (text && !learned_file_save(storage->learned_path, storage->place, get_now_s(), text, &failure))
        log_warning("%s: the next mount tries the service again: %s", storage->settings->name,
                    failure->message);
}

/* Where a preset does not know, what a write costs depends on it: found out before the first one. */
static gboolean
has_unknown_conditions(Storage *storage)
{
    Capabilities can;
    storage_get_capabilities(storage, &can);
    return can.write_if_absent == CONDITION_MAYBE || can.write_if_etag == CONDITION_MAYBE;
}

/* Holds no reference: the storage frees this pool before itself. */
static void
run_connect(gpointer data)
{
    Storage *storage = data;
    g_autoptr(Call) call =
        call_new_child(storage->lifetime, MIN(storage->settings->timeout_us / 2, MAXIMUM_CONNECT_US));
    g_autoptr(GError) failure = NULL;
    g_autoptr(GError) probe_failure = NULL;
    gboolean made = make_containers(storage, call, &failure);
    gboolean probed = probe(storage, call, &probe_failure);
    log_mask_error(probe_failure);
    if (probed && has_unknown_conditions(storage)) {
        try_conditions(storage, call, get_named_container(storage));
        keep_learned(storage);
    }
    finish(storage, probed,
           !probed ? g_steal_pointer(&probe_failure)
           : made  ? NULL
                   : g_steal_pointer(&failure));
}

/* FALSE when the state is not one of those, or the time has not come. */
static gboolean
claim_connect(Storage *storage, ConnectionState from)
{
    lock_acquire(&storage->lock);
    gboolean claimed = atomic_load(&storage->connection) == (int)from &&
                       (from == CONNECTION_NEW || g_get_monotonic_time() >= storage->next_connect_us);
    if (claimed)
        atomic_store(&storage->connection, CONNECTION_RUNNING);
    lock_release(&storage->lock);
    return claimed;
}

void
storage_connect(Storage *storage)
{
    if (!claim_connect(storage, CONNECTION_NEW))
        return;
    storage_discard_dead(storage);
    /* A file system answers at once, and its files are used without asking here. */
    if (storage_is_file_system(storage))
        run_connect(storage);
    else
        worker_pool_push(storage->background, run_connect, storage);
}

void
storage_heal(Storage *storage)
{
    if (atomic_load(&storage->connection) == CONNECTION_FAILED && claim_connect(storage, CONNECTION_FAILED))
        worker_pool_push(storage->background, run_connect, storage);
}

gboolean
storage_wait_connected(Storage *storage, Call *call, GError **error)
{
    storage_connect(storage);
    storage_heal(storage);
    if (!wait_while_running(storage, call, NULL, error))
        return FALSE;
    lock_acquire(&storage->lock);
    GError *failure = storage->connect_error ? g_error_copy(storage->connect_error) : NULL;
    lock_release(&storage->lock);
    if (!failure)
        return TRUE;
    g_propagate_error(error, failure);
    return FALSE;
}

gboolean
storage_await_container(Storage *storage, Call *call, const char *container, GError **error)
{
    if (atomic_load(&storage->connection) != CONNECTION_RUNNING ||
        (container && !is_missing(storage, container)))
        return TRUE;
    if (!container && storage->settings->create_containers[0] == NULL)
        return TRUE;
    return wait_while_running(storage, call, container, error);
}

void
storage_await_capabilities(Storage *storage, Call *call, Capabilities *out)
{
    storage_heal(storage);
    if (atomic_load(&storage->connection) == CONNECTION_RUNNING)
        wait_while_running(storage, call, NULL, NULL);
    storage_get_capabilities(storage, out);
}

void
storage_try_conditions(Storage *storage, Call *call)
{
    try_conditions(storage, call, get_named_container(storage));
}

typedef struct {
    Storage *storage; /* no reference, as in run_connect() */
    char *container;
} ConditionTrial;

static void
run_trial(gpointer data)
{
    g_autofree ConditionTrial *trial = data;
    g_autofree char *container = trial->container;
    Storage *storage = trial->storage;
    g_autoptr(Call) call =
        call_new_child(storage->lifetime, MIN(storage->settings->timeout_us / 2, MAXIMUM_CONNECT_US));
    if (!has_unknown_conditions(storage))
        return;
    try_conditions(storage, call, container);
    keep_learned(storage);
}

void
storage_note_unsure_write(Storage *storage, const char *container)
{
    guint64 before = atomic_fetch_add_explicit(&storage->unsure_writes, 1, memory_order_relaxed);
    if (storage->settings->driver->probe == NULL ||
        (before + 1 != FIRST_TRIAL_WRITES && (before + 1) % LATER_TRIAL_WRITES != 0))
        return;
    ConditionTrial *trial = g_new(ConditionTrial, 1);
    *trial = (ConditionTrial){storage, g_strdup(container)};
    worker_pool_push(storage->background, run_trial, trial);
}
