/* Life and size of the journal; its entries are journal_queue.c's, strays journal_stray.c's. */
#include "src/object/journal.h"

#include "src/base/error.h"
#include "src/object/call_wait.h"
#include "src/object/journal_state.h"

static void
stray_free(gpointer data)
{
    JournalStray *stray = data;
    journal_record_free(stray->record);
    g_free(stray->why);
    g_free(stray);
}

static void
lane_free(gpointer data)
{
    JournalLane *lane = data;
    worker_pool_free(lane->pool);
    storage_unref(lane->storage);
    g_free(lane);
}

Journal *
journal_open(const char *path, gint64 limit_bytes, gint64 wait_us, GError **error)
{
    g_autoptr(JournalFolder) folder = journal_folder_open(path, wait_us, error);
    g_autoptr(GPtrArray) loaded = folder != NULL ? journal_folder_load(folder, error) : NULL;
    if (loaded == NULL)
        return NULL;
    Journal *journal = g_new0(Journal, 1);
    journal->folder = g_steal_pointer(&folder);
    journal->limit_bytes = limit_bytes > 0 ? (guint64)limit_bytes : G_MAXUINT64;
    journal->loaded = g_steal_pointer(&loaded);
    journal->strays = g_ptr_array_new_with_free_func(stray_free);
    journal->waiting = g_sequence_new(NULL);
    journal->lanes = g_hash_table_new_full(NULL, NULL, NULL, lane_free);
    lock_init(&journal->lock);
    condition_init(&journal->changed);
    return journal;
}

void
journal_free(Journal *journal)
{
    if (journal == NULL)
        return;
    g_assert(journal->entries.length == 0 && journal->clock == NULL);
    g_hash_table_unref(journal->lanes);
    g_sequence_free(journal->waiting);
    g_ptr_array_unref(journal->loaded);
    g_ptr_array_unref(journal->strays);
    journal_folder_close(journal->folder);
    condition_clear(&journal->changed);
    lock_clear(&journal->lock);
    g_free(journal);
}

JournalFolder *
journal_get_folder(Journal *journal)
{
    return journal->folder;
}

JournalRecord *
journal_take_loaded(Journal *journal)
{
    lock_acquire(&journal->lock);
    JournalRecord *record = journal->loaded->len > 0 ? g_ptr_array_steal_index(journal->loaded, 0) : NULL;
    lock_release(&journal->lock);
    return record;
}

static gboolean
fits_locked(const Journal *journal, guint64 bytes)
{
    return journal->used_bytes <= journal->limit_bytes && bytes <= journal->limit_bytes - journal->used_bytes;
}

/* Something may leave: it waits for its time, or is on its way. */
static gboolean
is_moving_locked(const Journal *journal)
{
    return journal->active > 0 || !g_sequence_is_empty(journal->waiting);
}

static gboolean
fail_full(const Journal *journal, GError **error)
{
    g_set_error(error, STORAGEFS_ERROR, ERROR_NO_SPACE,
                "the journal is full (journal_size = %" G_GUINT64_FORMAT " bytes), and nothing leaves it",
                journal->limit_bytes);
    return FALSE;
}

gboolean
journal_take_space(Journal *journal, Call *call, guint64 bytes, GError **error)
{
    CallWait wait;
    g_autoptr(GError) ended = NULL;
    call_wait_begin(&wait, call, &journal->lock, &journal->changed);
    lock_acquire(&journal->lock);
    while (!fits_locked(journal, bytes) && is_moving_locked(journal) && call_wait_next(&wait, &ended))
        continue;
    gboolean fits = fits_locked(journal, bytes);
    if (fits)
        journal->used_bytes += bytes;
    lock_release(&journal->lock);
    call_wait_end(&wait);
    if (fits)
        return TRUE;
    if (!error_is(ended, ERROR_CANCELLED))
        return fail_full(journal, error);
    g_propagate_error(error, g_steal_pointer(&ended));
    return FALSE;
}

void
journal_use_space(Journal *journal, guint64 bytes)
{
    lock_acquire(&journal->lock);
    journal->used_bytes += bytes;
    lock_release(&journal->lock);
}

void
journal_give_space(Journal *journal, guint64 bytes)
{
    lock_acquire(&journal->lock);
    journal->used_bytes -= MIN(bytes, journal->used_bytes);
    condition_wake_all(&journal->changed);
    lock_release(&journal->lock);
}

void
journal_get_counts(Journal *journal, ObjectStoreStatistics *out)
{
    lock_acquire(&journal->lock);
    out->journal_bytes = journal->used_bytes;
    out->journal_limit_bytes = journal->limit_bytes == G_MAXUINT64 ? 0 : journal->limit_bytes;
    for (GList *link = journal->entries.head; link != NULL; link = link->next) {
        const JournalEntry *entry = link->data;
        if (entry->state == ENTRY_PARKED)
            out->journal_parked++;
        else
            out->journal_waiting++;
    }
    out->journal_parked += journal->strays->len;
    lock_release(&journal->lock);
}
