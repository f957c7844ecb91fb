/* Renaming inside one storage, also between its containers: the kernel's rename, and the sidecar with it. */
#pragma once

#include "drivers/local/local_instance.h"

/* flags: 0, RENAME_NOREPLACE or RENAME_EXCHANGE. flat: only objects have names, missing directories of the
 * target are made, emptied ones of the source removed. Fails: NOT_FOUND, EXISTS, NOT_EMPTY, IS_FOLDER,
 * NOT_FOLDER, BAD_NAME (target), OTHER_STORAGE (a mount point between the two). */
gboolean local_rename(const LocalInstance *local, const char *container, const char *key,
                      const char *to_container, const char *to_key, unsigned flags, gboolean flat,
                      GError **error);
