/* Taking names away: objects, folders, whole containers. */
#pragma once

#include "drivers/local/local_instance.h"

/* An object by its key, with its sidecar; absent is success, so is a folder that holds something. The flat
 * layout prunes. */
gboolean local_remove_object(const LocalInstance *local, const char *container, const char *key,
                             GError **error);
/* The entry itself: a file, a link, anything but a directory; its sidecar first. Fails: NOT_FOUND, IS_FOLDER.
 */
gboolean local_remove_file(const LocalInstance *local, const char *container, const char *key, gboolean prune,
                           GError **error);
/* An empty directory. Fails: NOT_FOUND, NOT_EMPTY, NOT_FOLDER. */
gboolean local_remove_folder(const LocalInstance *local, const char *container, const char *key,
                             GError **error);
/* A container without objects: its empty directories, ".lock" and ".hash" with what is in them, itself.
 * Fails: NOT_FOUND, NOT_EMPTY, NOT_PERMITTED (it is a link). */
gboolean local_remove_container(const LocalInstance *local, const char *container, GError **error);
