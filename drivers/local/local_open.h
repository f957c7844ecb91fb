/* Opens regular files only: whoever can make a FIFO, socket or device in the base cannot make a reader hang.
 */
#pragma once

#include "drivers/local/local_instance.h"

/* flags: open(2)'s; O_NONBLOCK, O_NOCTTY and O_CLOEXEC are added, no link is followed. make_parents: missing
 * directories are made when O_CREAT is given. out_info (may be NULL) is the file's fstat.
 * Fails: NOT_FOUND, EXISTS, IS_FOLDER, NOT_FOLDER, LOOP (a link), NOT_PERMITTED (any other kind of file),
 * DENIED. */
gboolean local_open_regular(const LocalInstance *local, const char *container, const char *key, int flags,
                            mode_t mode, gboolean make_parents, int *out_fd, struct stat *out_info,
                            GError **error);
