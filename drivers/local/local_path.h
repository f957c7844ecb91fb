/* Names → descriptors, never outside the base directory, also while others swap directories and links.
 *
 * Linux's openat2 resolves below one O_PATH descriptor of the base: no "..", no absolute link, no link at all
 * below the container; the container itself may be a link that stays inside the base. Where openat2 is
 * missing each part is opened by itself with O_NOFOLLOW. No descriptor outlives an operation but the base's.
 *
 * All functions return a descriptor (close-on-exec) or a negative errno. Keys have been checked by
 * local_names. Blocks: on the disk.
 */
#pragma once

#include "drivers/local/local_base.h"

#include <glib.h>
#include <sys/types.h>

typedef struct {
    LocalBase *base;
    gboolean walks;     /* without openat2 */
    mode_t folder_mode; /* of directories that are made on the way */
} LocalRoot;

/* Takes hold of the base and finds out whether openat2 can be used. 0 or a negative errno: see
 * local_base_new(). A base that is missing is no failure here; everything below fails with -EIO then. */
int local_path_init(LocalRoot *root, const char *base);
void local_path_clear(LocalRoot *root);

/* The container as a directory. flags: O_PATH or O_RDONLY. Not a directory, or a link that leaves the base:
 * -ENOENT. */
int local_path_open_container(const LocalRoot *root, const char *container, int flags);

/* The entry itself: the last part is not followed either (with O_PATH a link is opened as such). key "" is
 * the container; a trailing '/' asks for a directory. */
int local_path_open(const LocalRoot *root, const char *container, const char *key, int flags, mode_t mode);

/* The directory that holds the key's last part (O_PATH), which is stored in *out_leaf (caller frees). makes:
 * its missing directories are made. A file where a directory must be is -ENOTDIR. */
int local_path_open_parent(const LocalRoot *root, const char *container, const char *key, gboolean makes,
                           char **out_leaf);

/* A link whose target is looked at: the descriptor (O_PATH) of what it leads to inside the base. */
int local_path_open_target(const LocalRoot *root, const char *container, const char *key);

/* Removes the directories above `key` that are empty, from the inside, up to the container. */
void local_path_prune(const LocalRoot *root, const char *container, const char *key);
/* As open_parent with makes, without opening: 0 or a negative errno. */
int local_path_make_parents(const LocalRoot *root, const char *container, const char *key);

/* "/proc/self/fd/N": the way to reach an O_PATH descriptor's file itself with calls that take paths only. */
#define LOCAL_PATH_PROC_BYTES 32
void local_path_format_proc(int fd, char text[LOCAL_PATH_PROC_BYTES]);
