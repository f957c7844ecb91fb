/* Whether the process that closes a descriptor has another one of the same file.
 *
 * A shell's `cmd > file` opens, duplicates and closes the file before anything is written: that close must
 * not store an empty object. The kernel takes the descriptor out of the table before it sends FLUSH, so what
 * /proc/PID/fdinfo still shows are the others.
 */
#pragma once

#include <glib.h>
#include <sys/types.h>

/* TRUE when a descriptor of process `pid` shows inode number `inode` on a file system that is not the root's
 * own number space: a wrong TRUE only postpones a publication to the last close. FALSE when /proc cannot be
 * read. */
gboolean front_descriptors_has_other(pid_t pid, guint64 inode);
