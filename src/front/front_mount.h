/* The mount point itself: checks, a dead mount left by a crash, the kernel's read-ahead. */
#pragma once

#include "src/front/front.h"

#include <glib.h>

/* TRUE when the mount point answers, or was dead and has been unmounted. Fails: IO. */
gboolean front_mount_clear_dead(const char *mount_point, GError **error);
/* Fails: NOT_FOUND, NOT_FOLDER, DENIED, EXISTS (already a storagefs mount). */
gboolean front_mount_check(const char *mount_point, GError **error);
/* Raises the kernel's read-ahead of this mount (root only). Once it is mounted and before it is served; the
 * answer to INIT must allow as much, or cuts it down again. TRUE when the kernel has taken it. */
gboolean front_mount_raise_read_ahead(const char *mount_point, guint kibibytes);
/* What fuse_session_mount() does for root, with a device that is ours: mounts by mount(2) and gives the
 * descriptor of /dev/fuse, -1 when any of it fails. Nothing is logged: libfuse's own way says why. */
int front_mount_open_device(const FrontOptions *options);
/* Its end: nothing is read from or written to the device any more (the descriptor stays, and leads nowhere),
 * requests that wait fail, and the mount is taken off if it is still there. */
void front_mount_end(const char *mount_point, int device);
