/* Paths that programs write to us, made paths below the mount. */
#pragma once

#include <glib.h>

/* What of `path` lies below the mount point, such as "storage/container": "" for the mount point itself, NULL
 * when the path does not lead there. Symbolic links in front of the mount point are followed; the mount is
 * not looked into, as whoever asks may be serving it. Caller frees.
 *
 * path, mount_point  absolute, the latter without links
 * Blocks: on the file systems in front of the mount point.
 */
char *front_path_below(const char *path, const char *mount_point);
