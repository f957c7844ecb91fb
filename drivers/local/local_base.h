/* The base directory, which may be missing, appear, and be replaced (moved away and made anew, mounted over)
 * while the storage is in use.
 *
 * One descriptor (O_PATH) of it is held, whose number never changes: what it stands for is exchanged by
 * dup3(2), and a system call that began with the old directory ends with it, because the kernel holds its own
 * reference. While the directory is missing the descriptor stands for nothing that has entries. Files that
 * are open stay where they are. Thread-safe. Blocks: on the disk.
 */
#pragma once

#include <glib.h>

typedef struct LocalBase LocalBase;

/* path: absolute, as configured. A directory that is missing or cannot be reached is none of its failures.
 * NULL with the negative errno in *out_error: -ENOTDIR (it is something else), or out of descriptors. */
LocalBase *local_base_new(const char *path, int *out_error);
void local_base_free(LocalBase *base);

/* Where it is: without links as far as it exists when it is asked for. Caller frees. */
char *local_base_find_place(LocalBase *base);

/* The descriptor, borrowed; negative: -EIO, the directory is missing. Looks whether the path names another
 * directory now, once a second, and each time while it is missing. */
int local_base_use(LocalBase *base);
/* The same, but looks each time, and tells why. Fails: UNAVAILABLE. */
gboolean local_base_check(LocalBase *base, GError **error);
