/* What renames of folders are under way: one small file each, durable before the first copy, gone after the
 * last delete. After a crash they are listed, and objects_move.c finishes them.
 */
#pragma once

#include "src/base/error.h"

#include <glib.h>

typedef struct {
    char *path; /* of the record */
    char *storage, *from_container, *from_prefix, *to_container, *to_prefix;
} RenameRecord;

void rename_journal_record_free(RenameRecord *record);

/* Makes the directory. state_dir NULL: nothing is written and *out_path is NULL. */
gboolean rename_journal_begin(const char *state_dir, const RenameRecord *record, char **out_path,
                              GError **error);
/* path may be NULL. */
void rename_journal_end(const char *path);
/* RenameRecord * freed with the array; what cannot be read is logged and left. Never NULL. */
GPtrArray *rename_journal_list(const char *state_dir);
