/* What of the journal's size an ObjectFile uses: taken before bytes are written, settled when they are. */
#include "src/base/error.h"
#include "src/object/object_file_state.h"

gboolean
object_file_take_space(ObjectFile *file, Call *call, guint64 bytes, GError **error)
{
    if (!object_file_uses_journal(file))
        return TRUE;
    if (!journal_take_space(file->store->journal, call, bytes, error)) {
        g_autofree char *name = object_file_describe(file);
        g_prefix_error(error, "%s: ", name);
        return FALSE;
    }
    lock_acquire(&file->lock);
    file->journal_bytes += bytes;
    lock_release(&file->lock);
    return TRUE;
}

void
object_file_settle_space_locked(ObjectFile *file)
{
    gboolean counts = (file->journalled || file->entry != NULL) && !file->dropped &&
                      object_file_needs_publication_locked(file);
    guint64 bytes = counts ? extent_map_get_local_bytes(file->extents) : 0;
    if (bytes > file->journal_bytes)
        journal_use_space(file->store->journal, bytes - file->journal_bytes);
    else if (bytes < file->journal_bytes)
        journal_give_space(file->store->journal, file->journal_bytes - bytes);
    file->journal_bytes = bytes;
}
