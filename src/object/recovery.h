/* The recovery directory: what could not be published, as plain files that anybody can copy back.
 *
 *   DIR/STORAGE/CONTAINER/NAME          the content; NAME is the escaped key, a time and a number
 *   DIR/STORAGE/CONTAINER/NAME.info     JSON: storage, container, key, error, time, size, and the ranges that
 * hold content, when the rest could not be fetched any more
 *
 * Nothing here is ever deleted but by recovery_drop().
 */
#pragma once

#include "src/object/object_file_state.h"

/* Saves the content of `file`, whose token the caller has, and logs where; failure (may be NULL) is why. What
 * is only remote is fetched when it still can be. FALSE when even this failed: logged too. Blocks: yes. */
gboolean recovery_save(ObjectFile *file, const GError *failure);
/* Appends what lies there as UploadStatus, PARKED. Unreadable entries are left out. */
void recovery_list(const char *folder, GPtrArray *out);

/* What recovery_list() gives as ids. */
gboolean recovery_is_id(const char *id);
/* Removes a saved file. Fails: NOT_FOUND, IO. */
gboolean recovery_drop(const char *folder, const char *id, GError **error);
/* Copies its content to `fd`. */
gboolean recovery_export(const char *folder, const char *id, int fd, GError **error);
