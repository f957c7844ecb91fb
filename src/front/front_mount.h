/* The mount point itself: checks, a dead mount left by a crash, the kernel's read-ahead. */
#pragma once

#include <glib.h>

/* TRUE when the mount point answers, or was dead and has been unmounted. Fails: IO. */
gboolean front_mount_clear_dead(const char *mount_point, GError **error);
/* Fails: NOT_FOUND, NOT_FOLDER, DENIED, EXISTS (already a storagefs mount). */
gboolean front_mount_check(const char *mount_point, GError **error);
/* Raises the kernel's read-ahead of this mount (root only): TRUE when it is in force. */
gboolean front_mount_raise_read_ahead(const char *mount_point, guint kibibytes);
