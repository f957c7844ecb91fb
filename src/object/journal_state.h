/* The inside of a Journal, for journal*.c. */
#pragma once

#include "src/base/worker_pool.h"
#include "src/object/journal.h"
#include "src/storage/storage.h"

typedef enum { ENTRY_IDLE, ENTRY_WAITING, ENTRY_QUEUED, ENTRY_RUNNING, ENTRY_PARKED } JournalEntryState;

/* The threads that store what one storage is to get: one that hangs takes none from the others. */
typedef struct {
    Storage *storage;
    WorkerPool *pool;
    gboolean failed; /* something waits because of a failure */
} JournalLane;

/* Guarded by the journal's lock, but for what never changes. */
struct JournalEntry {
    gint references;
    Journal *journal;
    ObjectFile *file; /* a reference until it ends */
    guint64 id;
    gint64 since_us; /* real time */
    JournalLane *lane;
    GList link;          /* in journal->entries */
    GSequenceIter *iter; /* in journal->waiting; NULL: it is not */
    JournalEntryState state;
    gint64 due_us;
    guint attempts; /* that failed since the last commit */
    char *last_error;
    JournalParking parking;
    gboolean ended, again; /* again: committed while it ran */
    Call *call;            /* RUNNING; borrowed */
};

struct Journal {
    JournalFolder *folder;
    Lock lock; /* below object_file */
    Condition changed;
    guint64 limit_bytes, used_bytes;
    GQueue entries;
    GSequence *waiting; /* WAITING ones, by due_us */
    guint active;       /* QUEUED and RUNNING */
    GHashTable *lanes;  /* Storage → JournalLane */
    WorkerPool *clock;  /* runs one task, which hands out what is due; NULL before the start */
    gboolean draining, stopping;
    GPtrArray *loaded; /* of JournalRecord */
    GPtrArray *strays; /* of JournalStray */
};

typedef struct {
    JournalRecord *record;
    char *why;
} JournalStray;
