/* What of an ObjectFile is in the journal: its record on disk, always of a state that was committed as a
 * whole by close or fsync.
 *
 * The record is changed under the token `changing`. A data file that a record names is not written to where
 * the record has bytes: the staging file goes on in another file first (object_file_protect).
 */
#include "src/base/error.h"
#include "src/base/log.h"
#include "src/object/call_wait.h"
#include "src/object/file_content.h"
#include "src/object/object_file_state.h"
#include "src/object/publication.h"
#include "src/object/stream_upload.h"

static JournalFolder *
folder_of(ObjectFile *file)
{
    return journal_get_folder(file->store->journal);
}

/* While a publication runs, only what needs no other data file: it may be filling the staging file. */
static gboolean
may_commit_locked(const ObjectFile *file)
{
    return !file->changing && (!file->publishing || file->linked || file->staging == NULL ||
                               staging_file_is_in_memory(file->staging));
}

static gboolean
begin_commit(ObjectFile *file, Call *call, GError **error)
{
    CallWait wait;
    gboolean ok = TRUE;
    g_autoptr(Call) long_call = call_new_without_deadline(call);
    call_wait_begin(&wait, long_call, &file->lock, &file->changed);
    lock_acquire(&file->lock);
    while (!may_commit_locked(file) && ok)
        ok = call_wait_next(&wait, error);
    if (ok)
        file->changing = TRUE;
    lock_release(&file->lock);
    call_wait_end(&wait);
    return ok;
}

static void
end_commit(ObjectFile *file)
{
    lock_acquire(&file->lock);
    object_file_end_change_locked(file);
    object_file_settle_space_locked(file);
    lock_release(&file->lock);
}

void
object_file_begin_record(ObjectFile *file)
{
    lock_acquire(&file->lock);
    while (file->changing)
        condition_wait(&file->changed, &file->lock, 0);
    file->changing = TRUE;
    lock_release(&file->lock);
}

static gboolean
is_committed_locked(const ObjectFile *file)
{
    return file->entry != NULL && file->changes == file->committed_changes &&
           file->attribute_changes == file->committed_attribute_changes;
}

gboolean
object_file_is_committed_locked(const ObjectFile *file)
{
    return is_committed_locked(file);
}

gboolean
object_file_uses_journal(ObjectFile *file)
{
    lock_acquire(&file->lock);
    gboolean uses = file->journalled || file->entry != NULL;
    lock_release(&file->lock);
    return uses;
}

gboolean
object_file_is_in_use(ObjectFile *file)
{
    lock_acquire(&file->lock);
    gboolean used = file->handles > 0 || file->entry != NULL || file->releasing > 0;
    lock_release(&file->lock);
    return used;
}

gboolean
object_file_is_waiting(ObjectFile *file)
{
    lock_acquire(&file->lock);
    gboolean waits = file->entry != NULL;
    lock_release(&file->lock);
    return waits;
}

void
object_file_end_release(ObjectFile *file)
{
    lock_acquire(&file->lock);
    file->releasing--;
    lock_release(&file->lock);
}

/* --- the record */

/* Bytes of versions other than the one to be replaced cannot be described: they may change their place. */
static gboolean
has_foreign_locked(const ObjectFile *file)
{
    Extent extent;
    for (guint64 at = 0; extent_map_find(file->extents, at, &extent); at += extent.length_bytes) {
        if (extent.kind != EXTENT_VERSION)
            continue;
        if (extent.version != file->base || file->info.etag == NULL)
            return TRUE;
    }
    return FALSE;
}

static void
add_extents_locked(const ObjectFile *file, JournalRecord *record)
{
    static const JournalExtentKind kinds[] = {[EXTENT_LOCAL] = JOURNAL_EXTENT_DATA,
                                              [EXTENT_ZERO] = JOURNAL_EXTENT_ZERO,
                                              [EXTENT_VERSION] = JOURNAL_EXTENT_BASE};
    Extent extent;
    for (guint64 at = 0; extent_map_find(file->extents, at, &extent); at += extent.length_bytes) {
        gboolean in_base = extent.version != NULL && extent.version == file->base;
        JournalExtent one = {.kind = kinds[extent.kind],
                             .clean = in_base && extent.kind != EXTENT_VERSION,
                             .offset = extent.offset,
                             .length_bytes = extent.length_bytes,
                             .source_offset = in_base ? extent.source_offset : 0};
        g_array_append_val(record->extents, one);
    }
}

static void
set_names_locked(const ObjectFile *file, JournalRecord *record)
{
    g_free(record->container);
    g_free(record->key);
    record->container = g_strdup(file->container);
    record->key = g_strdup(file->key);
    record->has_base = file->base != NULL;
    record->exclusive = file->exclusive;
    object_info_clear(&record->base);
    record->base = (ObjectInfo){0};
    if (record->has_base)
        object_file_fill_base_locked(file, &record->base);
}

static JournalRecord *
make_record_locked(ObjectFile *file, guint64 id)
{
    JournalRecord *record = journal_record_new();
    record->id = id;
    record->since_us = g_get_real_time() - (g_get_monotonic_time() - file->dirty_since_us);
    record->parked = file->entry != NULL ? journal_entry_get_parking(file->entry) : JOURNAL_WAITING;
    record->storage = g_strdup(storage_get_name(object_file_get_storage(file)));
    record->place = g_strdup(storage_get_place(object_file_get_storage(file)));
    set_names_locked(file, record);
    record->content = file->content_dirty || file->base == NULL;
    record->explicit_attributes = file->explicit_attributes;
    record->attributes = file->attributes;
    record->attributes.size_bytes = extent_map_get_size(file->extents);
    record->content_type = g_strdup(file->content_type);
    record->others = g_hash_table_ref(file->others);
    add_extents_locked(file, record);
    object_file_list_attempts_locked(file, file->changes, record);
    return record;
}

static GArray *
list_data(const JournalRecord *record)
{
    GArray *ranges = g_array_new(FALSE, FALSE, sizeof(StagingRange));
    for (guint i = 0; i < record->extents->len; i++) {
        const JournalExtent *extent = &g_array_index(record->extents, JournalExtent, i);
        StagingRange range = {extent->offset, extent->length_bytes};
        if (extent->kind == JOURNAL_EXTENT_DATA)
            g_array_append_val(ranges, range);
    }
    return ranges;
}

static gboolean
take_bytes(ObjectFile *file, JournalRecord *record, const GArray *ranges, GError **error)
{
    gsize size_bytes = (gsize)journal_record_get_local_bytes(record), done = 0;
    g_autofree guint8 *bytes = g_malloc(size_bytes);
    for (guint i = 0; i < ranges->len; i++) {
        const StagingRange *range = &g_array_index(ranges, StagingRange, i);
        if (!staging_file_read(file->staging, range->offset, bytes + done, range->length_bytes, error))
            return FALSE;
        done += range->length_bytes;
    }
    record->bytes = g_bytes_new_take(g_steal_pointer(&bytes), size_bytes);
    return TRUE;
}

/* Where space is given out only now, the disk may be full now. */
static gboolean
sync_data(ObjectFile *file, const JournalRecord *record, GError **error)
{
    GError *failure = NULL;
    guint attempts = 0;
    while (!staging_file_sync(file->staging, &failure))
        if (!object_file_make_way(file, journal_record_get_local_bytes(record), &attempts, &failure, error))
            return FALSE;
    return TRUE;
}

/* The bytes are on disk before a record names them. */
static gboolean
put_data(ObjectFile *file, JournalRecord *record, GError **error)
{
    g_autoptr(GArray) ranges = list_data(record);
    if (ranges->len == 0)
        return TRUE;
    if (staging_file_is_in_memory(file->staging))
        return take_bytes(file, record, ranges, error);
    if (file->linked) {
        record->data_name = g_strdup(file->committed->data_name);
        return sync_data(file, record, error);
    }
    GError *failure = NULL;
    guint attempts = 0;
    record->data_name = g_strdup_printf("%016" G_GINT64_MODIFIER "x-%u.data", record->id, file->data_files++);
    while (!staging_file_link(file->staging, record->data_name, ranges, &failure))
        if (!object_file_make_way(file, journal_record_get_local_bytes(record), &attempts, &failure, error))
            return FALSE;
    return TRUE;
}

/* Takes record: it is what the disk has now; durable FALSE: or it has the one before, after a crash. */
static void
take_record(ObjectFile *file, JournalRecord *record, gboolean durable)
{
    JournalRecord *before = file->committed;
    lock_acquire(&file->lock);
    file->committed = record;
    file->linked = record->data_name != NULL;
    lock_release(&file->lock);
    if (durable && before != NULL && g_strcmp0(before->data_name, record->data_name) != 0)
        journal_folder_remove_data(folder_of(file), before->data_name);
    journal_record_free(before);
}

static gboolean
try_write_record(ObjectFile *file, const JournalRecord *record, gboolean *out_written, GError **error)
{
    GError *failure = NULL;
    guint attempts = 0;
    if (!journal_yield_strays(file->store->journal, record, error))
        return FALSE;
    while (!journal_folder_write(folder_of(file), record, out_written, &failure))
        if (!object_file_make_way(file, journal_record_get_local_bytes(record), &attempts, &failure, error))
            return FALSE;
    return TRUE;
}

/* *out_written: it is for take_record() now, also when this fails. */
static gboolean
write_record(ObjectFile *file, JournalRecord *record, gboolean *out_written, GError **error)
{
    const char *kept = file->linked ? file->committed->data_name : NULL;
    *out_written = FALSE;
    record->sequence = journal_folder_take_sequence(folder_of(file));
    gboolean ok = try_write_record(file, record, out_written, error);
    if (!*out_written && g_strcmp0(record->data_name, kept) != 0)
        journal_folder_remove_data(folder_of(file), record->data_name);
    return ok;
}

static void
enter_journal(ObjectFile *file, guint64 id, gint64 since_us)
{
    JournalEntry *entry = journal_add(file->store->journal, file, id, since_us);
    lock_acquire(&file->lock);
    file->entry = entry;
    lock_release(&file->lock);
}

/* Under the token. */
static gboolean
commit(ObjectFile *file, GError **error)
{
    lock_acquire(&file->lock);
    guint64 id = file->entry != NULL ? journal_entry_get_id(file->entry) : 0;
    lock_release(&file->lock);
    if (id == 0)
        id = journal_folder_take_id(folder_of(file));
    lock_acquire(&file->lock);
    guint64 changes = file->changes, attribute_changes = file->attribute_changes;
    file->completed = FALSE;
    g_autoptr(JournalRecord) record = make_record_locked(file, id);
    lock_release(&file->lock);
    gboolean written = FALSE;
    gboolean ok = put_data(file, record, error) && write_record(file, record, &written, error);
    if (!written)
        return FALSE;
    gint64 since_us = record->since_us;
    take_record(file, g_steal_pointer(&record), ok);
    if (file->entry == NULL)
        enter_journal(file, id, since_us);
    if (!ok)
        return FALSE;
    lock_acquire(&file->lock);
    file->committed_changes = changes;
    file->committed_base = object_file_get_base_id_locked(file);
    file->committed_attribute_changes = attribute_changes;
    journal_entry_commit(file->entry);
    lock_release(&file->lock);
    return TRUE;
}

typedef enum { COMMIT_NOTHING, COMMIT_FOREIGN, COMMIT_ALL } CommitNeed;

static CommitNeed
look_what_is_needed(ObjectFile *file)
{
    lock_acquire(&file->lock);
    CommitNeed need = COMMIT_ALL;
    if (!object_file_needs_publication_locked(file) || is_committed_locked(file))
        need = COMMIT_NOTHING;
    else if (has_foreign_locked(file))
        need = COMMIT_FOREIGN;
    lock_release(&file->lock);
    return need;
}

/* What was copied from other objects is best copied by the service, now. Where it cannot, their bytes are
 * fetched; also where the journal has an older state already, which a crash must not meet the newer one with.
 */
static gboolean
settle_foreign(ObjectFile *file, Call *call, GError **error)
{
    g_autoptr(GError) failure = NULL;
    if (object_file_is_waiting(file) && object_file_detach(file, call, NULL))
        return TRUE;
    if (object_file_publish(file, call, &failure))
        return TRUE;
    if (!error_is(failure, ERROR_CANCELLED) && object_file_detach(file, call, NULL))
        return TRUE;
    g_propagate_error(error, g_steal_pointer(&failure));
    return FALSE;
}

static gboolean
commit_in_journal(ObjectFile *file, Call *call, GError **error)
{
    for (;;) {
        if (!begin_commit(file, call, error))
            return FALSE;
        CommitNeed need = look_what_is_needed(file);
        gboolean ok = need != COMMIT_ALL || commit(file, error);
        end_commit(file);
        if (need != COMMIT_FOREIGN)
            return ok;
        if (!settle_foreign(file, call, error))
            return FALSE;
    }
}

gboolean
object_file_sync(ObjectFile *file, Call *call, GError **error)
{
    if (!object_file_uses_journal(file))
        return object_file_publish(file, call, error);
    if (commit_in_journal(file, call, error))
        return TRUE;
    g_autofree char *name = object_file_describe(file);
    g_prefix_error(error, "%s: ", name);
    return FALSE;
}

gboolean
object_file_protect(ObjectFile *file, guint64 offset, guint64 length_bytes, GError **error)
{
    if (!file->linked || !journal_record_has_data(file->committed, offset, length_bytes))
        return TRUE;
    g_autoptr(JournalRecord) now = journal_record_new();
    lock_acquire(&file->lock);
    add_extents_locked(file, now);
    lock_release(&file->lock);
    g_autoptr(GArray) ranges = list_data(now);
    GError *failure = NULL;
    guint attempts = 0;
    while (!staging_file_renew(file->staging, ranges, &failure))
        if (!object_file_make_way(file, journal_record_get_local_bytes(now), &attempts, &failure, error))
            return FALSE;
    lock_acquire(&file->lock);
    file->linked = FALSE;
    lock_release(&file->lock);
    return TRUE;
}

/* --- leaving */

/* Under the token. */
static void
leave(ObjectFile *file, gboolean releases)
{
    lock_acquire(&file->lock);
    JournalEntry *entry = g_steal_pointer(&file->entry);
    JournalRecord *record = g_steal_pointer(&file->committed);
    file->linked = FALSE;
    file->releasing += releases;
    object_file_settle_space_locked(file);
    lock_release(&file->lock);
    journal_record_free(record);
    journal_entry_end(entry);
}

static void
remove_record(ObjectFile *file)
{
    g_autoptr(GError) error = NULL;
    if (!journal_folder_remove(folder_of(file), file->committed, &error))
        log_error("%s: it comes back at the next mount", error->message);
}

void
object_file_end_record(ObjectFile *file, gboolean stored_some)
{
    g_autoptr(GError) error = NULL;
    lock_acquire(&file->lock);
    gboolean waits = file->entry != NULL, stored = waits && !object_file_needs_publication_locked(file);
    gboolean again = waits && stored_some && !stored;
    lock_release(&file->lock);
    /* Attributes were set meanwhile; what is on disk is on top of the version before. */
    if (again && !commit(file, &error))
        log_error("%s", error->message);
    if (stored) {
        remove_record(file);
        leave(file, TRUE);
    }
    end_commit(file);
    if (!stored)
        return;
    object_file_forget_local(file);
    if (file->events.released != NULL)
        file->events.released(file->events.owner, file->events.subject, file);
    else
        object_file_end_release(file);
}

void
object_file_drop_record(ObjectFile *file)
{
    object_file_begin_record(file);
    if (file->entry != NULL) {
        remove_record(file);
        leave(file, FALSE);
    }
    end_commit(file);
}

void
object_file_leave_journal(ObjectFile *file)
{
    object_file_begin_record(file);
    if (file->entry != NULL)
        leave(file, FALSE);
    end_commit(file);
}

guint64
object_file_get_base_id_locked(const ObjectFile *file)
{
    return file->base != NULL ? object_version_get_id(file->base) : 0;
}

/* What is clean in the record's version is clean, at its own offset, in the one that was found to have been
 * stored since: extent_map_replace_version(). FALSE when that cannot be. */
static gboolean
follow_base_locked(const ObjectFile *file, JournalRecord *record)
{
    guint64 size_bytes = file->base != NULL ? object_version_get_size(file->base) : 0;
    for (guint i = 0; i < record->extents->len; i++) {
        const JournalExtent *extent = &g_array_index(record->extents, JournalExtent, i);
        if ((extent->clean || extent->kind == JOURNAL_EXTENT_BASE) &&
            extent->offset + extent->length_bytes > size_bytes)
            return FALSE;
    }
    for (guint i = 0; i < record->extents->len; i++) {
        JournalExtent *extent = &g_array_index(record->extents, JournalExtent, i);
        if (extent->clean || extent->kind == JOURNAL_EXTENT_BASE)
            extent->source_offset = extent->offset;
    }
    return TRUE;
}

/* Under the token: the committed state with another name, another version to replace, another state. */
static gboolean
rewrite_record(ObjectFile *file, JournalParking parking, const char *last_error, gboolean deleting,
               GError **error)
{
    g_autoptr(GBytes) bytes = journal_record_encode(file->committed);
    gsize length_bytes = 0;
    const void *data = g_bytes_get_data(bytes, &length_bytes);
    g_autoptr(JournalRecord) record = journal_record_decode(data, length_bytes, error);
    if (record == NULL)
        return FALSE;
    lock_acquire(&file->lock);
    object_file_complete_record_locked(file, record);
    guint64 base = object_file_get_base_id_locked(file);
    if (base == file->committed_base || follow_base_locked(file, record)) {
        set_names_locked(file, record);
        file->committed_base = base;
    }
    object_file_list_attempts_locked(file, file->committed_changes, record);
    lock_release(&file->lock);
    record->parked = parking;
    record->deleting = deleting;
    if (file->entry != NULL)
        record->attempts = journal_entry_get_attempts(file->entry);
    g_free(record->last_error);
    record->last_error = g_strdup(last_error);
    gboolean linked = file->linked, written = FALSE;
    gboolean ok = write_record(file, record, &written, error);
    if (!written)
        return FALSE;
    take_record(file, g_steal_pointer(&record), ok);
    file->linked = linked;
    return ok;
}

static gboolean
rewrite_as(ObjectFile *file, gboolean deleting, GError **error)
{
    return rewrite_record(file, journal_entry_get_parking(file->entry), file->committed->last_error, deleting,
                          error);
}

gboolean
object_file_rename_record(ObjectFile *file, GError **error)
{
    return file->entry == NULL || rewrite_as(file, FALSE, error);
}

gboolean
object_file_note_deletion(ObjectFile *file, gboolean deleting, GError **error)
{
    return file->entry == NULL || file->committed->deleting == deleting || rewrite_as(file, deleting, error);
}

void
object_file_note_attempt(ObjectFile *file)
{
    g_autoptr(GError) error = NULL;
    lock_acquire(&file->lock);
    gboolean needed = file->entry != NULL && (file->completed || !is_committed_locked(file));
    lock_release(&file->lock);
    if (!needed)
        return;
    object_file_begin_record(file);
    if (file->entry != NULL && !rewrite_as(file, file->committed->deleting, &error))
        log_error("%s", error->message);
    end_commit(file);
}

void
object_file_note_parked(ObjectFile *file, JournalEntry *entry, JournalParking parking, const char *last_error)
{
    g_autoptr(GError) error = NULL;
    object_file_begin_record(file);
    /* Else it was committed again, or has left, since. */
    if (file->entry == entry && journal_entry_get_parking(entry) == parking &&
        !rewrite_record(file, parking, last_error, file->committed->deleting, &error))
        log_error("%s", error->message);
    end_commit(file);
}
