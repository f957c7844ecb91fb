/* A base of which only the version was known when the file was changed (`bare`): the storage did not answer.
 * What it has beside its bytes is fetched before it is replaced, and kept where nobody has set it here.
 */
#include "src/base/error.h"
#include "src/object/object_file_state.h"

/* What was set here counts; the rest is as it is stored. */
static void
take_base_details_locked(ObjectFile *file, const ObjectInfo *stored)
{
    const AttributeDefaults defaults = {
        .file_mode = file->attributes.mode & 07777, .uid = file->attributes.uid, .gid = file->attributes.gid};
    FileAttributes attributes;
    GHashTableIter iter;
    gpointer name = NULL, value = NULL;
    attributes_decode(stored, &defaults, &attributes);
    object_file_take_attributes_locked(file, &attributes);
    Metadata *others = metadata_new();
    for (guint i = 0; i < 2; i++) {
        Metadata *from = i == 0 ? stored->metadata : file->others;
        g_hash_table_iter_init(&iter, from);
        while (g_hash_table_iter_next(&iter, &name, &value))
            g_hash_table_insert(others, g_strdup(name), g_strdup(value));
    }
    g_hash_table_unref(file->others);
    file->others = others;
    if (stored->content_type != NULL) {
        g_free(file->content_type);
        file->content_type = g_strdup(stored->content_type);
    }
    object_info_clear(&file->info);
    object_info_copy(&file->info, stored);
    file->info.size_bytes = object_version_get_size(file->base);
    file->bare = FALSE;
    file->completed = file->entry != NULL;
}

/* A symbolic link is no file either, though a listing may show it as one. */
static gboolean
is_base(const ObjectInfo *known, const ObjectInfo *found)
{
    const AttributeDefaults defaults = {0};
    FileAttributes attributes;
    attributes_decode(found, &defaults, &attributes);
    return g_strcmp0(known->etag, found->etag) == 0 && found->metadata != NULL && S_ISREG(attributes.mode);
}

gboolean
object_file_complete_base(ObjectFile *file, Call *call, GError **error)
{
    g_auto(ObjectInfo) known = {0}, found = {0};
    g_autoptr(GError) failure = NULL;
    object_file_get_info(file, &known);
    if (!file->bare || !file->journalled || known.etag == NULL)
        return TRUE;
    if (known.metadata != NULL)
        object_info_copy(&found, &known);
    else if (!storage_stat_object(object_file_get_storage(file), call, file->container, file->key, &found,
                                  &failure) &&
             !error_is(failure, ERROR_NOT_FOUND)) {
        g_propagate_error(error, g_steal_pointer(&failure));
        return FALSE;
    }
    if (!is_base(&known, &found)) {
        g_set_error(error, STORAGEFS_ERROR, ERROR_CHANGED, "%s is not what it was when it was last seen",
                    file->key);
        return FALSE;
    }
    lock_acquire(&file->lock);
    take_base_details_locked(file, &found);
    lock_release(&file->lock);
    return TRUE;
}

void
object_file_fill_base_locked(const ObjectFile *file, ObjectInfo *out)
{
    object_info_copy(out, &file->info);
    g_clear_pointer(&out->key, g_free);
    out->size_bytes = object_version_get_size(file->base);
    if (file->bare || file->completed)
        g_clear_pointer(&out->metadata, g_hash_table_unref);
    else if (out->metadata == NULL)
        out->metadata = metadata_new();
}

void
object_file_complete_record_locked(ObjectFile *file, JournalRecord *record)
{
    if (!file->completed || !object_file_is_committed_locked(file))
        return;
    file->completed = FALSE;
    record->attributes = file->attributes;
    g_free(record->content_type);
    record->content_type = g_strdup(file->content_type);
    g_clear_pointer(&record->others, g_hash_table_unref);
    record->others = g_hash_table_ref(file->others);
}
