#include "src/object/memory_budget.h"

#include "src/base/error.h"
#include "src/base/lock.h"
#include "src/object/call_wait.h"

typedef struct {
    guint64 bytes;
    gboolean granted;
    Condition granted_now;
    GList link;
} Waiter;

struct MemoryBudget {
    Lock lock;
    guint64 limit_bytes, used_bytes, peak_bytes;
    GQueue waiters; /* of Waiter, oldest first */
    gint waiting;   /* its length, readable without the lock */
    MemoryBudgetReclaim reclaim;
    gpointer reclaim_data;
};

MemoryBudget *
memory_budget_new(guint64 limit_bytes)
{
    MemoryBudget *budget = g_new0(MemoryBudget, 1);
    lock_init(&budget->lock);
    g_queue_init(&budget->waiters);
    budget->limit_bytes = limit_bytes;
    return budget;
}

void
memory_budget_free(MemoryBudget *budget)
{
    if (budget == NULL)
        return;
    lock_clear(&budget->lock);
    g_free(budget);
}

void
memory_budget_set_reclaim(MemoryBudget *budget, MemoryBudgetReclaim reclaim, gpointer data)
{
    budget->reclaim = reclaim;
    budget->reclaim_data = data;
}

static void
use_locked(MemoryBudget *budget, guint64 bytes)
{
    budget->used_bytes += bytes;
    budget->peak_bytes = MAX(budget->peak_bytes, budget->used_bytes);
}

gboolean
memory_budget_try(MemoryBudget *budget, guint64 bytes)
{
    lock_acquire(&budget->lock);
    gboolean fits = budget->waiters.length == 0 && bytes <= budget->limit_bytes - budget->used_bytes;
    if (fits)
        use_locked(budget, bytes);
    lock_release(&budget->lock);
    return fits;
}

static void
grant_locked(MemoryBudget *budget)
{
    Waiter *first;
    while ((first = g_queue_peek_head(&budget->waiters)) != NULL &&
           first->bytes <= budget->limit_bytes - budget->used_bytes) {
        g_queue_unlink(&budget->waiters, &first->link);
        g_atomic_int_add(&budget->waiting, -1);
        use_locked(budget, first->bytes);
        first->granted = TRUE;
        condition_wake_all(&first->granted_now);
    }
}

void
memory_budget_give(MemoryBudget *budget, guint64 bytes)
{
    lock_acquire(&budget->lock);
    g_assert(bytes <= budget->used_bytes);
    budget->used_bytes -= bytes;
    grant_locked(budget);
    lock_release(&budget->lock);
}

static void
leave_locked(MemoryBudget *budget, Waiter *waiter)
{
    if (waiter->granted)
        return;
    g_queue_unlink(&budget->waiters, &waiter->link);
    g_atomic_int_add(&budget->waiting, -1);
    /* The one behind may fit where this one did not. */
    grant_locked(budget);
}

/* The waiter is queued before memory is asked back: whatever becomes free after that looks for waiters. */
static gboolean
wait_for_bytes(MemoryBudget *budget, Call *call, guint64 bytes, GError **error)
{
    Waiter waiter = {.bytes = bytes};
    CallWait wait;
    waiter.link.data = &waiter;
    condition_init(&waiter.granted_now);
    lock_acquire(&budget->lock);
    g_queue_push_tail_link(&budget->waiters, &waiter.link);
    g_atomic_int_inc(&budget->waiting);
    grant_locked(budget);
    lock_release(&budget->lock);
    if (budget->reclaim != NULL)
        budget->reclaim(budget->reclaim_data, bytes);

    call_wait_begin(&wait, call, &budget->lock, &waiter.granted_now);
    lock_acquire(&budget->lock);
    while (!waiter.granted && call_wait_next(&wait, error))
        continue;
    leave_locked(budget, &waiter);
    gboolean granted = waiter.granted;
    lock_release(&budget->lock);
    call_wait_end(&wait);
    condition_clear(&waiter.granted_now);
    return granted;
}

gboolean
memory_budget_take(MemoryBudget *budget, Call *call, guint64 bytes, GError **error)
{
    if (bytes > budget->limit_bytes) {
        g_set_error(error, STORAGEFS_ERROR, ERROR_NO_RESOURCES,
                    "%" G_GUINT64_FORMAT " bytes do not fit memory_limit = %" G_GUINT64_FORMAT, bytes,
                    budget->limit_bytes);
        return FALSE;
    }
    return memory_budget_try(budget, bytes) || wait_for_bytes(budget, call, bytes, error);
}

gboolean
memory_budget_is_short(MemoryBudget *budget)
{
    return g_atomic_int_get(&budget->waiting) > 0;
}

guint64
memory_budget_get_limit(MemoryBudget *budget)
{
    return budget->limit_bytes;
}

void
memory_budget_get_use(MemoryBudget *budget, guint64 *out_used_bytes, guint64 *out_peak_bytes)
{
    lock_acquire(&budget->lock);
    *out_used_bytes = budget->used_bytes;
    *out_peak_bytes = budget->peak_bytes;
    lock_release(&budget->lock);
}
