/* An ObjectFile made from the journal's record after a crash or a restart. */
#include "src/base/error.h"
#include "src/object/object_doubt.h"
#include "src/object/object_file.h"

#include <string.h>

static void
put_extents(ObjectFile *file, const JournalRecord *record)
{
    static const ExtentKind kinds[] = {[JOURNAL_EXTENT_DATA] = EXTENT_LOCAL,
                                       [JOURNAL_EXTENT_ZERO] = EXTENT_ZERO,
                                       [JOURNAL_EXTENT_BASE] = EXTENT_VERSION};
    extent_map_resize(file->extents, 0);
    for (guint i = 0; i < record->extents->len; i++) {
        const JournalExtent *from = &g_array_index(record->extents, JournalExtent, i);
        gboolean in_base = from->clean || from->kind == JOURNAL_EXTENT_BASE;
        Extent extent = {.offset = from->offset,
                         .length_bytes = from->length_bytes,
                         .kind = kinds[from->kind],
                         .version = in_base ? file->base : NULL,
                         .source_offset = from->source_offset};
        extent_map_set(file->extents, &extent);
    }
}

static gboolean
put_bytes(ObjectFile *file, const JournalRecord *record, GError **error)
{
    const guint8 *bytes = g_bytes_get_data(record->bytes, NULL);
    for (guint i = 0; i < record->extents->len; i++) {
        const JournalExtent *extent = &g_array_index(record->extents, JournalExtent, i);
        if (extent->kind != JOURNAL_EXTENT_DATA)
            continue;
        if (!object_file_stage(file, extent->offset, bytes, extent->length_bytes, error))
            return FALSE;
        bytes += extent->length_bytes;
    }
    return TRUE;
}

static gboolean
put_data(ObjectFile *file, const JournalRecord *record, GError **error)
{
    if (record->bytes != NULL)
        return put_bytes(file, record, error);
    if (record->data_name == NULL)
        return TRUE;
    const char *folder = journal_folder_get_path(journal_get_folder(file->store->journal));
    file->staging = staging_file_open(folder, file->store->staging_budget, record->data_name, error);
    file->linked = file->staging != NULL;
    return file->linked;
}

/* "ID-N.data": the next one has a name of its own. */
static guint
count_data_files(const JournalRecord *record)
{
    const char *dash = record->data_name != NULL ? strchr(record->data_name, '-') : NULL;
    return dash != NULL ? (guint)g_ascii_strtoull(dash + 1, NULL, 10) + 1 : 0;
}

static void
put_state(ObjectFile *file, const JournalRecord *record)
{
    file->content_dirty = record->content;
    file->attributes_dirty = TRUE;
    file->explicit_attributes = record->explicit_attributes;
    file->attributes = record->attributes;
    g_free(file->content_type);
    file->content_type = g_strdup(record->content_type);
    if (record->others != NULL) {
        g_hash_table_unref(file->others);
        file->others = g_hash_table_ref(record->others);
    }
    file->data_files = count_data_files(record);
    file->dirty_since_us = g_get_monotonic_time() - MAX(0, g_get_real_time() - record->since_us);
    if (record->parked == JOURNAL_CONFLICT) {
        file->lost = TRUE;
        file->failure =
            g_error_new_literal(STORAGEFS_ERROR, ERROR_CHANGED,
                                record->last_error != NULL ? record->last_error : "it was changed");
    } else {
        /* The process before may have stored it, and not lived to note that. */
        object_file_restore_doubt(file, record);
    }
}

static void
enter(ObjectFile *file, JournalRecord *record)
{
    JournalEntry *entry = journal_add(file->store->journal, file, record->id, record->since_us);
    lock_acquire(&file->lock);
    file->entry = entry;
    file->committed = record;
    file->committed_base = object_file_get_base_id_locked(file);
    object_file_settle_space_locked(file);
    lock_release(&file->lock);
    if (record->parked == JOURNAL_CONFLICT)
        journal_entry_park(entry, record->parked, record->last_error);
    else
        journal_entry_resume(entry, record->attempts, record->last_error);
}

ObjectFile *
object_file_restore(ObjectStore *store, Storage *storage, JournalRecord *record,
                    const ObjectFileEvents *events, GError **error)
{
    g_autoptr(ObjectFile) file = object_file_new(store, storage, record->container, record->key,
                                                 record->has_base ? &record->base : NULL, &record->attributes,
                                                 record->exclusive, events);
    file->journalled = TRUE;
    put_extents(file, record);
    if (!put_data(file, record, error))
        return NULL;
    put_state(file, record);
    enter(file, record);
    return g_steal_pointer(&file);
}
