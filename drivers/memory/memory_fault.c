#include "drivers/memory/memory_fault.h"

typedef struct {
    MemoryFault fault;
    char *key;
    guint seen; /* matching calls so far */
} Armed;

struct MemoryFaults {
    Lock lock;
    Condition changed; /* a release, or another blocked call */
    GPtrArray *armed;
    guint64 counts[MEMORY_OPERATION_COUNT];
    guint blocked;
    guint64 releases;
};

static void
free_armed(gpointer data)
{
    Armed *armed = data;
    g_free(armed->key);
    g_free(armed);
}

MemoryFaults *
memory_fault_new(void)
{
    MemoryFaults *faults = g_new0(MemoryFaults, 1);
    lock_init(&faults->lock);
    condition_init(&faults->changed);
    faults->armed = g_ptr_array_new_with_free_func(free_armed);
    return faults;
}

void
memory_fault_free(MemoryFaults *faults)
{
    g_ptr_array_unref(faults->armed);
    condition_clear(&faults->changed);
    lock_clear(&faults->lock);
    g_free(faults);
}

void
memory_fault_add(MemoryStore *store, const MemoryFault *fault)
{
    MemoryFaults *faults = store->faults;
    Armed *armed = g_new0(Armed, 1);
    armed->fault = *fault;
    armed->fault.nth = MAX(fault->nth, 1);
    armed->key = g_strdup(fault->key);
    lock_acquire(&faults->lock);
    g_ptr_array_add(faults->armed, armed);
    lock_release(&faults->lock);
}

void
memory_fault_clear(MemoryStore *store)
{
    lock_acquire(&store->faults->lock);
    g_ptr_array_set_size(store->faults->armed, 0);
    lock_release(&store->faults->lock);
    memory_fault_release(store);
}

void
memory_fault_release(MemoryStore *store)
{
    MemoryFaults *faults = store->faults;
    lock_acquire(&faults->lock);
    faults->releases++;
    condition_wake_all(&faults->changed);
    lock_release(&faults->lock);
}

guint64
memory_fault_get_count(MemoryStore *store, MemoryOperation operation)
{
    lock_acquire(&store->faults->lock);
    guint64 count = store->faults->counts[operation];
    lock_release(&store->faults->lock);
    return count;
}

void
memory_fault_reset_counts(MemoryStore *store)
{
    MemoryFaults *faults = store->faults;
    lock_acquire(&faults->lock);
    for (guint i = 0; i < MEMORY_OPERATION_COUNT; i++)
        faults->counts[i] = 0;
    lock_release(&faults->lock);
}

gboolean
memory_fault_wait_blocked(MemoryStore *store, guint count, gint64 timeout_us)
{
    MemoryFaults *faults = store->faults;
    gint64 deadline_us = g_get_monotonic_time() + timeout_us;
    lock_acquire(&faults->lock);
    while (faults->blocked < count && condition_wait(&faults->changed, &faults->lock, deadline_us)) {
    }
    gboolean reached = faults->blocked >= count;
    lock_release(&faults->lock);
    return reached;
}

/* Counts this call against one fault; TRUE when it is hit. */
static gboolean
is_hit(Armed *armed, MemoryOperation operation, const char *key)
{
    const MemoryFault *fault = &armed->fault;
    if (fault->operation != operation && fault->operation != MEMORY_ANY)
        return FALSE;
    if (armed->key != NULL && g_strcmp0(armed->key, key) != 0)
        return FALSE;
    armed->seen++;
    return armed->seen >= fault->nth && (fault->times == 0 || armed->seen - fault->nth < fault->times);
}

/* The first fault that is armed for this call; a zeroed one when none is. *out_releases: how many releases
 * came before it, so that one that comes before the call blocks is not missed. */
static MemoryFault
take_fault(MemoryFaults *faults, MemoryOperation operation, const char *key, guint64 *out_releases)
{
    MemoryFault found = {.fails = FALSE};
    gboolean any = FALSE;
    lock_acquire(&faults->lock);
    *out_releases = faults->releases;
    faults->counts[operation]++;
    faults->counts[MEMORY_ANY]++;
    for (guint i = 0; i < faults->armed->len; i++) {
        Armed *armed = g_ptr_array_index(faults->armed, i);
        if (is_hit(armed, operation, key) && !any) {
            found = armed->fault;
            any = TRUE;
        }
    }
    lock_release(&faults->lock);
    return found;
}

static void
wake_blocked(gpointer data)
{
    MemoryFaults *faults = data;
    lock_acquire(&faults->lock);
    condition_wake_all(&faults->changed);
    lock_release(&faults->lock);
}

static gboolean
wait_for_release(MemoryFaults *faults, guint64 releases, Call *call, GError **error)
{
    guint wake = call_add_wake(call, wake_blocked, faults);
    gboolean waiting = TRUE;
    lock_acquire(&faults->lock);
    faults->blocked++;
    condition_wake_all(&faults->changed);
    while (waiting && faults->releases == releases && call_check(call, NULL))
        waiting = condition_wait(&faults->changed, &faults->lock, call_get_deadline_us(call));
    faults->blocked--;
    lock_release(&faults->lock);
    call_remove_wake(call, wake);
    return call_check(call, error);
}

static gboolean
fail(ErrorCode code, gint64 retry_after_us, const char *how, GError **error)
{
    GError *made = g_error_new(STORAGEFS_ERROR, code, "a fault that the test asked for (%s)", how);
    if (retry_after_us > 0)
        error_set_retry_after_us(made, retry_after_us);
    g_propagate_error(error, made);
    return FALSE;
}

gboolean
memory_fault_enter(MemoryStore *store, MemoryOperation operation, const char *key, Call *call, MemoryHit *hit,
                   GError **error)
{
    guint64 releases = 0;
    MemoryFault fault = take_fault(store->faults, operation, key, &releases);
    *hit = (MemoryHit){.lost = fault.fails && fault.lost_reply, .code = fault.code};
    if (!call_check(call, error))
        return FALSE;
    if (fault.delay_us > 0 && !call_sleep(call, fault.delay_us, error))
        return FALSE;
    if (fault.blocks && !wait_for_release(store->faults, releases, call, error))
        return FALSE;
    if (fault.fails && !fault.lost_reply)
        return fail(fault.code, fault.retry_after_us, "before it took effect", error);
    return TRUE;
}

gboolean
memory_fault_leave(const MemoryHit *hit, GError **error)
{
    return hit->lost ? fail(hit->code, 0, "after it took effect", error) : TRUE;
}
