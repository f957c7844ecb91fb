/* Publications that failed, and may have been carried out all the same.
 *
 * `attempt` is the publication that runs; it becomes the latest of `doubts` when it fails without a verdict,
 * or when the daemon dies, through the journal's record (journal_record.h: earlier). Doubts are settled by a
 * look before the next publication, and wherever the version that the storage has must be known.
 */
#include "src/base/error.h"
#include "src/base/log.h"
#include "src/object/object_doubt.h"

void
object_file_begin_attempt(ObjectFile *file, Attempt *attempt)
{
    lock_acquire(&file->lock);
    Attempt *before = file->attempt;
    file->attempt = attempt;
    lock_release(&file->lock);
    attempt_unref(before);
    object_file_note_attempt(file);
}

/* Takes doubts. */
static void
set_doubts(ObjectFile *file, GPtrArray *doubts)
{
    lock_acquire(&file->lock);
    GPtrArray *before = file->doubts;
    file->doubts = doubts;
    lock_release(&file->lock);
    g_clear_pointer(&before, g_ptr_array_unref);
}

/* Those before it may arrive yet, too. The oldest is given up when there are too many. */
void
object_file_doubt_attempt(ObjectFile *file)
{
    GPtrArray *doubts = attempt_list_new();
    lock_acquire(&file->lock);
    Attempt *latest = g_steal_pointer(&file->attempt);
    lock_release(&file->lock);
    g_ptr_array_add(doubts, latest);
    for (guint i = 0; file->doubts != NULL && i < file->doubts->len; i++) {
        Attempt *before = file->doubts->pdata[i];
        gboolean same = before->changes == latest->changes && attempt_equal(before, latest);
        if (!same && doubts->len < JOURNAL_MAXIMUM_ATTEMPTS)
            g_ptr_array_add(doubts, attempt_ref(before));
    }
    set_doubts(file, doubts);
}

void
object_file_clear_doubt(ObjectFile *file)
{
    set_doubts(file, NULL);
}

void
object_file_restore_doubt(ObjectFile *file, const JournalRecord *record)
{
    GPtrArray *doubts = attempt_list_new();
    Attempt *own = journal_record_get_attempt(record);
    own->changes = file->changes;
    g_ptr_array_add(doubts, own);
    for (guint i = 0; i < record->earlier->len; i++)
        g_ptr_array_add(doubts, attempt_ref(record->earlier->pdata[i]));
    set_doubts(file, doubts);
}

static void
add_before(GPtrArray *list, const Attempt *attempt)
{
    Attempt values = *attempt;
    values.changes = ATTEMPT_BEFORE;
    g_ptr_array_add(list, attempt_new(&values));
}

GPtrArray *
object_file_list_prospects(ObjectFile *file, ObjectInfo *out)
{
    GPtrArray *list = attempt_list_new();
    lock_acquire(&file->lock);
    object_info_copy(out, &file->info);
    if (file->attempt != NULL)
        add_before(list, file->attempt);
    if (file->committed != NULL) {
        g_autoptr(Attempt) own = journal_record_get_attempt(file->committed);
        add_before(list, own);
    }
    for (guint i = 0; file->doubts != NULL && i < file->doubts->len; i++)
        add_before(list, file->doubts->pdata[i]);
    lock_release(&file->lock);
    return list;
}

void
object_file_inherit_doubts(ObjectFile *file, const GPtrArray *attempts)
{
    GPtrArray *doubts = attempts != NULL && attempts->len > 0 ? attempt_list_new() : NULL;
    for (guint i = 0; doubts != NULL && i < attempts->len; i++)
        g_ptr_array_add(doubts, attempt_ref(attempts->pdata[i]));
    set_doubts(file, doubts);
}

static void
add_attempt(JournalRecord *record, const Attempt *own, guint64 changes, Attempt *attempt)
{
    gboolean is_own = attempt->changes == changes && attempt_equal(attempt, own);
    if (!is_own && record->earlier->len < JOURNAL_MAXIMUM_ATTEMPTS)
        g_ptr_array_add(record->earlier, attempt_ref(attempt));
}

void
object_file_list_attempts_locked(const ObjectFile *file, guint64 changes, JournalRecord *record)
{
    g_autoptr(Attempt) own = journal_record_get_attempt(record);
    g_ptr_array_set_size(record->earlier, 0);
    if (file->attempt != NULL)
        add_attempt(record, own, changes, file->attempt);
    for (guint i = 0; file->doubts != NULL && i < file->doubts->len; i++)
        add_attempt(record, own, changes, file->doubts->pdata[i]);
}

gboolean
object_file_is_doubtful(ObjectFile *file)
{
    lock_acquire(&file->lock);
    gboolean doubtful = file->doubts != NULL;
    lock_release(&file->lock);
    return doubtful;
}

/* The latest attempt is what the file is now, if nothing was written since, and if what is stored cannot be
 * an earlier state of the same size and attributes. */
static Doubt
compare(const ObjectFile *file, const ObjectInfo *found)
{
    guint matches = 0;
    for (guint i = 0; i < file->doubts->len; i++)
        matches += attempt_matches(file->doubts->pdata[i], found);
    const Attempt *latest = file->doubts->pdata[0];
    if (matches == 1 && attempt_matches(latest, found) && latest->changes == file->changes)
        return DOUBT_DONE;
    return matches > 0 ? DOUBT_EARLIER : DOUBT_UNFOUNDED;
}

gboolean
object_file_look_into_doubt(ObjectFile *file, Call *call, Doubt *out_doubt, ObjectInfo *out_found,
                            GError **error)
{
    g_autoptr(GError) failure = NULL;
    g_auto(ObjectInfo) found = {0};
    if (!storage_stat_object(object_file_get_storage(file), call, file->container, file->key, &found,
                             &failure)) {
        *out_doubt = DOUBT_UNFOUNDED;
        if (error_is(failure, ERROR_NOT_FOUND))
            return TRUE;
        g_propagate_error(error, g_steal_pointer(&failure));
        return FALSE;
    }
    *out_doubt = compare(file, &found);
    if (*out_doubt != DOUBT_UNFOUNDED) {
        *out_found = found;
        found = (ObjectInfo){0};
    }
    return TRUE;
}

void
object_file_build_on(ObjectFile *file, const ObjectInfo *found)
{
    ObjectVersion *base = object_version_get(file->store->versions, object_file_get_storage(file),
                                             file->container, file->key, found->etag, found->size_bytes);
    lock_acquire(&file->lock);
    ObjectVersion *before = file->base;
    if (before != NULL)
        extent_map_replace_version(file->extents, before, base);
    else
        file->content_dirty = TRUE;
    file->base = base;
    file->generation++;
    file->exclusive = FALSE;
    object_info_clear(&file->info);
    object_info_copy(&file->info, found);
    lock_release(&file->lock);
    object_version_unref(before);
}

gboolean
object_file_settle_held_doubt(ObjectFile *file, Call *call, ObjectInfo *out_found, GError **error)
{
    Doubt doubt = DOUBT_UNFOUNDED;
    if (file->doubts == NULL)
        return TRUE;
    if (!object_file_look_into_doubt(file, call, &doubt, out_found, error))
        return FALSE;
    if (doubt != DOUBT_UNFOUNDED)
        object_file_build_on(file, out_found);
    object_file_clear_doubt(file);
    return TRUE;
}

void
object_file_tell_published(ObjectFile *file, const ObjectInfo *stored)
{
    if (stored->etag != NULL && file->events.published != NULL)
        file->events.published(file->events.owner, file->events.subject, file, stored);
}

gboolean
object_file_settle_doubt(ObjectFile *file, Call *call, GError **error)
{
    g_auto(ObjectInfo) found = {0};
    if (!object_file_is_doubtful(file))
        return TRUE;
    if (!object_file_begin_change(file, call, error))
        return FALSE;
    gboolean ok = object_file_settle_held_doubt(file, call, &found, error);
    lock_acquire(&file->lock);
    object_file_end_change_locked(file);
    lock_release(&file->lock);
    object_file_tell_published(file, &found);
    return ok;
}

gboolean
object_file_was_republished(ObjectFile *file, Call *call, guint64 generation)
{
    g_auto(ObjectInfo) found = {0};
    g_autoptr(GError) failure = NULL;
    if (!object_file_begin_change(file, call, NULL))
        return FALSE;
    /* What met another version may have met our own. */
    if (!object_file_settle_held_doubt(file, call, &found, &failure))
        log_debug("%s: %s", file->key, failure->message);
    lock_acquire(&file->lock);
    gboolean republished = file->generation != generation;
    object_file_end_change_locked(file);
    lock_release(&file->lock);
    object_file_tell_published(file, &found);
    return republished;
}
