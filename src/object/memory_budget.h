/* One hard bound for all buffers of the daemon. Thread-safe.
 *
 * Bytes are taken before memory is allocated and given back after it was freed. Who waits is served in the
 * order of arrival, so that a large request is not starved by small ones; hence nobody may wait here while
 * holding bytes that are given back only after the wait.
 */
#pragma once

#include "src/base/call.h"

#include <glib.h>

typedef struct MemoryBudget MemoryBudget;

/* Asked for memory that is kept only because it may be useful: gives back at least `bytes` if it can.
 * Called with no lock of the budget held. */
typedef void (*MemoryBudgetReclaim)(gpointer data, guint64 bytes);

MemoryBudget *memory_budget_new(guint64 limit_bytes);
void memory_budget_free(MemoryBudget *budget);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MemoryBudget, memory_budget_free)
/* Before the budget is used by other threads. */
void memory_budget_set_reclaim(MemoryBudget *budget, MemoryBudgetReclaim reclaim, gpointer data);

/* Blocks until the bytes are free. Fails: NO_RESOURCES (more than the limit), CANCELLED, TIMEOUT. */
gboolean memory_budget_take(MemoryBudget *budget, Call *call, guint64 bytes, GError **error);
/* Never blocks and never reclaims; FALSE also while others wait. */
gboolean memory_budget_try(MemoryBudget *budget, guint64 bytes);
void memory_budget_give(MemoryBudget *budget, guint64 bytes);

/* TRUE while somebody waits: what can be given back should be, at once. */
gboolean memory_budget_is_short(MemoryBudget *budget);
guint64 memory_budget_get_limit(MemoryBudget *budget);
void memory_budget_get_use(MemoryBudget *budget, guint64 *out_used_bytes, guint64 *out_peak_bytes);
