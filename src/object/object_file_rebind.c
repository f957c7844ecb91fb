/* The configuration was read again, and the storage of a name is another Storage: with other settings,
 * perhaps other secrets, at the same place. What waits in the journal goes on with that one.
 */
#include "src/object/object_file_state.h"

Storage *
object_file_get_storage(const ObjectFile *file)
{
    return __atomic_load_n(&file->storage, __ATOMIC_ACQUIRE);
}

gboolean
object_file_is_journalled(ObjectFile *file)
{
    return object_file_uses_journal(file);
}

/* Reads of what is stored need the new secrets too. */
static void
rebind_versions_locked(ObjectFile *file, Storage *before, Storage *storage)
{
    Extent extent;
    if (file->base != NULL)
        object_version_rebind(file->base, before, storage);
    for (guint64 at = 0; extent_map_find(file->extents, at, &extent); at += extent.length_bytes)
        if (extent.version != NULL)
            object_version_rebind(extent.version, before, storage);
}

static void
rebind_locked(ObjectFile *file, Storage *storage)
{
    Storage *before = file->storage;
    if (file->former_storages == NULL)
        file->former_storages = g_ptr_array_new_with_free_func((GDestroyNotify)storage_unref);
    g_ptr_array_add(file->former_storages, before);
    g_atomic_pointer_set(&file->storage, storage_ref(storage));
    rebind_versions_locked(file, before, storage);
    /* Its parts may have another size now. What is committed is not sent while it is written, so that no part
     * has gone out yet. */
    file->layout_known = FALSE;
    if (file->entry != NULL)
        journal_entry_rebind(file->entry, storage);
}

void
object_file_rebind(ObjectFile *file, Storage *storage)
{
    if (object_file_get_storage(file) == storage || !object_file_begin_change(file, NULL, NULL))
        return;
    lock_acquire(&file->lock);
    if (file->storage != storage)
        rebind_locked(file, storage);
    object_file_end_change_locked(file);
    lock_release(&file->lock);
}
