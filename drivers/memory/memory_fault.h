/* The fault double: makes chosen calls of a memory store fail, wait or hang, and counts calls by operation.
 *
 *     MemoryFault fault = {.operation = MEMORY_WRITE_OBJECT, .nth = 2, .times = 1, .fails = TRUE,
 *                          .code = ERROR_UNAVAILABLE};
 *     memory_fault_add(memory_store_find("a"), &fault);
 *
 * Thread-safe. Counts and faults belong to the store, so all instances that share it are hit.
 */
#pragma once

#include "drivers/memory/memory_store.h"

typedef enum {
    MEMORY_PROBE,
    MEMORY_LIST_CONTAINERS,
    MEMORY_STAT_CONTAINER,
    MEMORY_CREATE_CONTAINER,
    MEMORY_DELETE_CONTAINER,
    MEMORY_LIST_OBJECTS,
    MEMORY_STAT_OBJECT,
    MEMORY_READ_OBJECT,
    MEMORY_WRITE_OBJECT,
    MEMORY_DELETE_OBJECT,
    MEMORY_COPY_OBJECT,
    MEMORY_SET_METADATA,
    MEMORY_BEGIN_UPLOAD,
    MEMORY_PUT_PART,
    MEMORY_COPY_PART,
    MEMORY_COMMIT_UPLOAD,
    MEMORY_ABORT_UPLOAD,
    MEMORY_ANY, /* in a fault: any operation; as a count: all of them */
    MEMORY_OPERATION_COUNT
} MemoryOperation;

/* Zeroed members mean the least: no delay, no block, no failure, any key, from the first call on, for ever.
 */
typedef struct {
    MemoryOperation operation;
    const char *key; /* only calls for this key (for containers: this name); copied */
    guint nth;       /* the first call that is hit, counted from 1 at memory_fault_add() */
    guint times;     /* how many calls in a row are hit; 0: all from then on */
    gint64 delay_us; /* waits so long first, or until the call ends */
    gboolean blocks; /* waits for memory_fault_release(), or until the call ends */
    gboolean fails;  /* then fails with `code` */
    ErrorCode code;
    gint64 retry_after_us;
    gboolean lost_reply; /* fails only after the operation took effect */
} MemoryFault;

void memory_fault_add(MemoryStore *store, const MemoryFault *fault);
/* Drops all faults and lets all blocked calls go on. */
void memory_fault_clear(MemoryStore *store);
/* Lets the calls that are blocked now go on; later ones block again. */
void memory_fault_release(MemoryStore *store);

/* Calls since the store was opened or the counts were reset, failed ones too. */
guint64 memory_fault_get_count(MemoryStore *store, MemoryOperation operation);
void memory_fault_reset_counts(MemoryStore *store);
/* Returns when `count` calls are blocked; FALSE when that is not so after timeout_us. Blocks: yes. */
gboolean memory_fault_wait_blocked(MemoryStore *store, guint count, gint64 timeout_us);

/* For the driver. enter: counts, waits, fails; every operation begins with it. leave: the lost reply; called
 * when the operation took effect, before its outputs are set. `hit` is handed from one to the other. */
typedef struct {
    gboolean lost;
    ErrorCode code;
} MemoryHit;
gboolean memory_fault_enter(MemoryStore *store, MemoryOperation operation, const char *key, Call *call,
                            MemoryHit *hit, GError **error);
gboolean memory_fault_leave(const MemoryHit *hit, GError **error);

MemoryFaults *memory_fault_new(void);
void memory_fault_free(MemoryFaults *faults);
