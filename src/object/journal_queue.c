/* The entries of the journal: when each is stored, again, or parked. */
#include "src/object/journal.h"

#include "src/base/error.h"
#include "src/base/log.h"
#include "src/object/call_wait.h"
#include "src/object/journal_state.h"
#include "src/object/object_file_state.h"

/* What is written, renamed or written again at once (cp, rsync, editors) is stored once, under its last name.
 */
#define SETTLE_US (G_USEC_PER_SEC / 2)
#define FIRST_DELAY_US G_USEC_PER_SEC
#define LONGEST_DELAY_US (300 * G_USEC_PER_SEC)
/* Objects of one storage on their way at a time; each may have several parts on theirs. */
#define LANE_THREADS 16u

static JournalEntry *
entry_ref(JournalEntry *entry)
{
    g_atomic_int_inc(&entry->references);
    return entry;
}

static void
entry_unref(JournalEntry *entry)
{
    if (!g_atomic_int_dec_and_test(&entry->references))
        return;
    g_free(entry->last_error);
    g_free(entry);
}

static JournalLane *
get_lane_locked(Journal *journal, Storage *storage)
{
    JournalLane *lane = g_hash_table_lookup(journal->lanes, storage);
    if (lane != NULL)
        return lane;
    lane = g_new0(JournalLane, 1);
    lane->storage = storage_ref(storage);
    lane->pool =
        worker_pool_new("journal", MIN(LANE_THREADS, storage_get_settings(storage)->maximum_requests));
    g_hash_table_insert(journal->lanes, storage, lane);
    return lane;
}

static gint
compare_due(gconstpointer a, gconstpointer b, gpointer unused)
{
    const JournalEntry *x = a, *y = b;
    if (x->due_us != y->due_us)
        return x->due_us < y->due_us ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

static void
unqueue_locked(JournalEntry *entry)
{
    if (entry->iter != NULL)
        g_sequence_remove(entry->iter);
    entry->iter = NULL;
}

static void
wait_until_locked(JournalEntry *entry, gint64 due_us)
{
    Journal *journal = entry->journal;
    unqueue_locked(entry);
    entry->state = ENTRY_WAITING;
    entry->due_us = journal->draining ? 0 : due_us;
    entry->iter = g_sequence_insert_sorted(journal->waiting, entry, compare_due, NULL);
    condition_wake_all(&journal->changed);
}

JournalEntry *
journal_add(Journal *journal, ObjectFile *file, guint64 id, gint64 since_us)
{
    JournalEntry *entry = g_new0(JournalEntry, 1);
    *entry = (JournalEntry){
        .references = 1, .journal = journal, .file = object_file_ref(file), .id = id, .since_us = since_us};
    entry->link.data = entry;
    lock_acquire(&journal->lock);
    entry->lane = get_lane_locked(journal, object_file_get_storage(file));
    g_queue_push_tail_link(&journal->entries, &entry->link);
    lock_release(&journal->lock);
    return entry;
}

void
journal_entry_park(JournalEntry *entry, JournalParking parking, const char *last_error)
{
    lock_acquire(&entry->journal->lock);
    unqueue_locked(entry);
    entry->state = ENTRY_PARKED;
    entry->parking = parking;
    g_free(entry->last_error);
    entry->last_error = g_strdup(last_error);
    condition_wake_all(&entry->journal->changed);
    lock_release(&entry->journal->lock);
}

void
journal_entry_commit(JournalEntry *entry)
{
    Journal *journal = entry->journal;
    lock_acquire(&journal->lock);
    if (entry->state == ENTRY_PARKED && entry->parking == JOURNAL_CONFLICT) {
        lock_release(&journal->lock);
        return;
    }
    entry->parking = JOURNAL_WAITING;
    entry->attempts = 0;
    entry->again = entry->state == ENTRY_RUNNING;
    if (entry->state != ENTRY_RUNNING && entry->state != ENTRY_QUEUED && !entry->ended)
        wait_until_locked(entry, g_get_monotonic_time() + SETTLE_US);
    lock_release(&journal->lock);
}

void
journal_entry_resume(JournalEntry *entry, guint attempts, const char *last_error)
{
    Journal *journal = entry->journal;
    lock_acquire(&journal->lock);
    entry->attempts = attempts;
    g_free(entry->last_error);
    entry->last_error = g_strdup(last_error);
    wait_until_locked(entry, g_get_monotonic_time() + SETTLE_US);
    lock_release(&journal->lock);
}

guint
journal_entry_get_attempts(JournalEntry *entry)
{
    lock_acquire(&entry->journal->lock);
    guint attempts = entry->attempts;
    lock_release(&entry->journal->lock);
    return attempts;
}

void
journal_entry_defer(JournalEntry *entry)
{
    Journal *journal = entry->journal;
    lock_acquire(&journal->lock);
    entry->again = entry->again || entry->state == ENTRY_RUNNING;
    if (entry->state == ENTRY_IDLE && !entry->ended)
        wait_until_locked(entry, g_get_monotonic_time() + FIRST_DELAY_US);
    lock_release(&journal->lock);
}

void
journal_entry_rebind(JournalEntry *entry, Storage *storage)
{
    Journal *journal = entry->journal;
    lock_acquire(&journal->lock);
    entry->lane = get_lane_locked(journal, storage);
    gboolean refused = entry->state == ENTRY_PARKED && entry->parking != JOURNAL_CONFLICT;
    if (refused)
        entry->parking = JOURNAL_WAITING;
    if ((refused || entry->state == ENTRY_WAITING) && !entry->ended)
        wait_until_locked(entry, 0);
    lock_release(&journal->lock);
}

void
journal_retry(JournalEntry *entry)
{
    Journal *journal = entry->journal;
    lock_acquire(&journal->lock);
    entry->parking = JOURNAL_WAITING;
    if (entry->state != ENTRY_QUEUED && entry->state != ENTRY_RUNNING && !entry->ended)
        wait_until_locked(entry, 0);
    lock_release(&journal->lock);
}

void
journal_entry_end(JournalEntry *entry)
{
    Journal *journal = entry->journal;
    lock_acquire(&journal->lock);
    gboolean first = !entry->ended;
    entry->ended = TRUE;
    unqueue_locked(entry);
    ObjectFile *file = entry->file;
    if (first)
        g_queue_unlink(&journal->entries, &entry->link);
    condition_wake_all(&journal->changed);
    lock_release(&journal->lock);
    if (!first)
        return;
    object_file_unref(file);
    entry_unref(entry);
}

guint64
journal_entry_get_id(const JournalEntry *entry)
{
    return entry->id;
}

JournalParking
journal_entry_get_parking(JournalEntry *entry)
{
    lock_acquire(&entry->journal->lock);
    JournalParking parking = entry->state == ENTRY_PARKED ? entry->parking : JOURNAL_WAITING;
    lock_release(&entry->journal->lock);
    return parking;
}

void
journal_entry_fill_status(JournalEntry *entry, UploadStatus *status)
{
    lock_acquire(&entry->journal->lock);
    status->state = entry->state == ENTRY_PARKED ? UPLOAD_PARKED : UPLOAD_WAITING;
    status->attempts = MAX(status->attempts, entry->attempts);
    status->age_us = MAX(0, g_get_real_time() - entry->since_us);
    if (entry->last_error != NULL) {
        g_free(status->last_error);
        status->last_error = g_strdup(entry->last_error);
    }
    status->id = g_strdup_printf("%016" G_GINT64_MODIFIER "x", entry->id);
    lock_release(&entry->journal->lock);
}

ObjectFile *
journal_find(Journal *journal, guint64 id)
{
    ObjectFile *file = NULL;
    lock_acquire(&journal->lock);
    for (GList *link = journal->entries.head; link != NULL && file == NULL; link = link->next) {
        const JournalEntry *entry = link->data;
        if (entry->id == id)
            file = object_file_ref(entry->file);
    }
    lock_release(&journal->lock);
    return file;
}

/* What the user has to look at, and what only time can help. */
static JournalParking
classify(const GError *failure)
{
    if (error_is(failure, ERROR_CHANGED) || error_is(failure, ERROR_EXISTS))
        return JOURNAL_CONFLICT;
    if (error_is_transient(failure) || error_is(failure, ERROR_CANCELLED) || error_is(failure, ERROR_IO) ||
        error_is(failure, ERROR_PROTOCOL) || error_is(failure, ERROR_NO_SPACE) ||
        error_is(failure, ERROR_NO_RESOURCES))
        return JOURNAL_WAITING;
    return JOURNAL_REFUSED;
}

static gint64
get_delay_us(guint attempts)
{
    gint64 delay_us = FIRST_DELAY_US << MIN(attempts - 1, 12u);
    delay_us = MIN(delay_us, LONGEST_DELAY_US);
    return delay_us / 2 + g_random_int_range(0, (gint32)(delay_us / 2) + 1);
}

/* One that got through shows that the storage is back: the others need not wait any longer. */
static void
hurry_locked(JournalLane *lane, Journal *journal)
{
    if (!lane->failed)
        return;
    lane->failed = FALSE;
    for (GList *link = journal->entries.head; link != NULL; link = link->next) {
        JournalEntry *entry = link->data;
        if (entry->lane == lane && entry->state == ENTRY_WAITING && entry->attempts > 0)
            wait_until_locked(entry, 0);
    }
}

static void
note_failure_locked(JournalEntry *entry, const GError *failure)
{
    Journal *journal = entry->journal;
    entry->attempts++;
    g_free(entry->last_error);
    entry->last_error = g_strdup(failure->message);
    entry->lane->failed = TRUE;
    if (entry->attempts == 1)
        log_warning("journal: %s: not stored yet: %s", storage_get_name(entry->lane->storage),
                    failure->message);
    if (journal->draining)
        entry->state = ENTRY_WAITING;
    else
        wait_until_locked(entry, g_get_monotonic_time() + get_delay_us(entry->attempts));
}

static void
park(JournalEntry *entry, JournalParking parking, const GError *failure)
{
    g_autofree char *name = object_file_describe(entry->file);
    log_error("%s: kept in the journal, cannot be stored: %s", name, failure->message);
    lock_acquire(&entry->journal->lock);
    entry->attempts++;
    lock_release(&entry->journal->lock);
    journal_entry_park(entry, parking, failure->message);
    object_file_note_parked(entry->file, entry, parking, failure->message);
}

/* For the process after this one; not each time, because each costs an fsync. */
static gboolean
is_to_be_noted(guint attempts)
{
    return attempts >= 4 && (attempts & (attempts - 1)) == 0;
}

static void
note_attempts(JournalEntry *entry, const GError *failure)
{
    object_file_note_parked(entry->file, entry, JOURNAL_WAITING, failure->message);
}

/* The outcome of one attempt. */
static void
take_outcome(JournalEntry *entry, ObjectFileUpload outcome, const GError *failure)
{
    Journal *journal = entry->journal;
    JournalParking parking = outcome == OBJECT_FILE_FAILED ? classify(failure) : JOURNAL_WAITING;
    lock_acquire(&journal->lock);
    entry->call = NULL;
    gboolean again = entry->again, ended = entry->ended;
    entry->again = FALSE;
    if (outcome == OBJECT_FILE_UPLOADED)
        hurry_locked(entry->lane, journal);
    gboolean rests = ended || parking != JOURNAL_WAITING;
    entry->state = ENTRY_IDLE;
    if (!rests && (again || error_is(failure, ERROR_CANCELLED)))
        wait_until_locked(entry, g_get_monotonic_time() + SETTLE_US);
    else if (!rests && outcome == OBJECT_FILE_FAILED)
        note_failure_locked(entry, failure);
    gboolean notes = !rests && outcome == OBJECT_FILE_FAILED && is_to_be_noted(entry->attempts);
    condition_wake_all(&journal->changed);
    lock_release(&journal->lock);
    if (parking != JOURNAL_WAITING && !ended)
        park(entry, parking, failure);
    else if (notes)
        note_attempts(entry, failure);
}

/* NULL: not now. When the mount ends, a storage that failed is not asked for the others. */
static ObjectFile *
begin_attempt(JournalEntry *entry, Call *call)
{
    Journal *journal = entry->journal;
    ObjectFile *file = NULL;
    lock_acquire(&journal->lock);
    if (!entry->ended && !journal->stopping && !(journal->draining && entry->lane->failed)) {
        entry->state = ENTRY_RUNNING;
        entry->call = call;
        file = object_file_ref(entry->file);
    } else {
        entry->state = ENTRY_WAITING;
    }
    lock_release(&journal->lock);
    return file;
}

/* A lane lives as long as the journal; an entry may get another one. */
static Call *
new_call(JournalEntry *entry)
{
    lock_acquire(&entry->journal->lock);
    Storage *storage = entry->lane->storage;
    lock_release(&entry->journal->lock);
    return storage_new_call(storage);
}

static void
run_entry(gpointer data)
{
    JournalEntry *entry = data;
    Journal *journal = entry->journal;
    g_autoptr(Call) call = new_call(entry);
    g_autoptr(GError) failure = NULL;
    ObjectFile *file = begin_attempt(entry, call);
    if (file != NULL) {
        ObjectFileUpload outcome = object_file_upload(file, call, &failure);
        take_outcome(entry, outcome, failure);
        object_file_unref(file);
    }
    entry_unref(entry);
    /* After the last use of anything: whoever waits for the end frees it. */
    lock_acquire(&journal->lock);
    journal->active--;
    condition_wake_all(&journal->changed);
    lock_release(&journal->lock);
}

static JournalEntry *
next_due_locked(Journal *journal, gint64 *out_due_us)
{
    GSequenceIter *first = g_sequence_get_begin_iter(journal->waiting);
    *out_due_us = 0;
    if (g_sequence_iter_is_end(first))
        return NULL;
    JournalEntry *entry = g_sequence_get(first);
    *out_due_us = entry->due_us;
    return entry->due_us <= g_get_monotonic_time() ? entry : NULL;
}

static void
run_clock(gpointer data)
{
    Journal *journal = data;
    gint64 due_us;
    lock_acquire(&journal->lock);
    while (!journal->stopping) {
        JournalEntry *entry = next_due_locked(journal, &due_us);
        if (entry == NULL) {
            condition_wait(&journal->changed, &journal->lock, due_us);
            continue;
        }
        unqueue_locked(entry);
        entry->state = ENTRY_QUEUED;
        journal->active++;
        WorkerPool *pool = entry->lane->pool;
        entry_ref(entry);
        lock_release(&journal->lock);
        worker_pool_push(pool, run_entry, entry);
        lock_acquire(&journal->lock);
    }
    lock_release(&journal->lock);
}

void
journal_start(Journal *journal)
{
    journal->clock = worker_pool_new("journal", 1);
    worker_pool_push(journal->clock, run_clock, journal);
}

static void
hurry_all_locked(Journal *journal)
{
    for (GList *link = journal->entries.head; link != NULL; link = link->next) {
        JournalEntry *entry = link->data;
        if (entry->state == ENTRY_WAITING || entry->state == ENTRY_IDLE)
            wait_until_locked(entry, 0);
    }
}

void
journal_hurry(Journal *journal)
{
    lock_acquire(&journal->lock);
    hurry_all_locked(journal);
    lock_release(&journal->lock);
}

static void
forgive_lane(gpointer storage, gpointer lane, gpointer unused)
{
    ((JournalLane *)lane)->failed = FALSE;
}

void
journal_drain(Journal *journal, Call *call)
{
    CallWait wait;
    if (journal->clock == NULL)
        return;
    call_wait_begin(&wait, call, &journal->lock, &journal->changed);
    lock_acquire(&journal->lock);
    journal->draining = TRUE;
    g_hash_table_foreach(journal->lanes, forgive_lane, NULL);
    hurry_all_locked(journal);
    while ((journal->active > 0 || !g_sequence_is_empty(journal->waiting)) && call_wait_next(&wait, NULL))
        continue;
    lock_release(&journal->lock);
    call_wait_end(&wait);
}

static GPtrArray *
list_calls(Journal *journal)
{
    GPtrArray *calls = g_ptr_array_new_with_free_func((GDestroyNotify)call_unref);
    lock_acquire(&journal->lock);
    for (GList *link = journal->entries.head; link != NULL; link = link->next) {
        const JournalEntry *entry = link->data;
        if (entry->call != NULL)
            g_ptr_array_add(calls, call_ref(entry->call));
    }
    lock_release(&journal->lock);
    return calls;
}

void
journal_stop(Journal *journal)
{
    lock_acquire(&journal->lock);
    journal->stopping = TRUE;
    condition_wake_all(&journal->changed);
    lock_release(&journal->lock);
    g_clear_pointer(&journal->clock, worker_pool_free);
    g_autoptr(GPtrArray) calls = list_calls(journal);
    for (guint i = 0; i < calls->len; i++)
        call_cancel(calls->pdata[i]);
    lock_acquire(&journal->lock);
    while (journal->active > 0)
        condition_wait(&journal->changed, &journal->lock, 0);
    lock_release(&journal->lock);
    for (;;) {
        lock_acquire(&journal->lock);
        GList *link = journal->entries.head;
        g_autoptr(ObjectFile) file =
            link != NULL ? object_file_ref(((JournalEntry *)link->data)->file) : NULL;
        lock_release(&journal->lock);
        if (file == NULL)
            break;
        object_file_leave_journal(file);
    }
}
