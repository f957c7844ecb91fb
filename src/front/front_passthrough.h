/* FUSE passthrough: the kernel reads and writes an open file's bytes in a file of ours itself, and the daemon
 * sees neither. Only opens whose handle offers a descriptor (FileHandleOperations.get_backing_fd) are passed
 * through.
 *
 * It needs Linux 6.9 and CAP_SYS_ADMIN, and a file system below that is no stacked one itself (overlayfs,
 * another passthrough mount). Where any of this is missing, files are served by the daemon, and
 * front_passthrough_get_reason() says why.
 *
 * The kernel's rule: at one time an inode is passed through to one file, by every open of it, or its pages
 * are cached, by every open of it; a reply that breaks it makes open(2) fail with EIO. So what the first open
 * of a Node was answered holds for the later ones, until the last is released. The kernel lets an open file
 * go before it sends RELEASE: what is counted here never falls short of what the kernel has.
 *
 * Facts of the kernel that its documentation does not name: each passed-through open opens the backing file
 * again, with the program's own flags and the daemon's rights. write(2) and mmap(2) through it make the
 * kernel ask for size and times at the next stat(2); stores to mapped pages do not.
 */
#pragma once

#include "src/front/front_internal.h"

/* wanted: the configuration allows it. */
FrontPassthrough *front_passthrough_new(gboolean wanted);
void front_passthrough_free(FrontPassthrough *passthrough);

/* Instead of fuse_session_mount(), where libfuse itself has no passthrough (before 3.17): a device of our
 * own, on which replies can be amended. FALSE: not wanted, not possible, or not needed; mount as usual. */
gboolean front_passthrough_mount(Front *front);
/* After fuse_session_mount(): replies can be amended here, too, for what this libfuse leaves out of them. */
void front_passthrough_amend_mounted(Front *front);
/* The end of a mount made by it, at any time and more than once. FALSE: it was not made by it. */
gboolean front_passthrough_unmount(Front *front);
/* In the init operation: asks the kernel for it. */
void front_passthrough_negotiate(Front *front, struct fuse_conn_info *connection);
/* In the init operation, after it, where libfuse (before 3.17) cannot ask by itself: asks the kernel to leave
 * set-user-id bits to us (front_privileges.h). FALSE: it does not offer that. */
gboolean front_passthrough_take_privileges(void);

/* Decides on the open of `handle` on `node` and amends the reply to it, which must be the next thing that
 * this thread sends. 0, or the errno to answer instead: ESTALE when the open files of this Node are passed
 * through to another file (the kernel looks the name up again), EINVAL for an O_DIRECT that the file below
 * does not have. After 0 front_passthrough_leave() must follow. Blocks: no. */
int front_passthrough_join(Front *front, Node *node, FileHandle *handle, struct fuse_file_info *info);
/* Before the handle is closed, while the Node is referenced. */
void front_passthrough_leave(Front *front, Node *node, const FileHandle *handle);

/* How long the kernel may keep attributes of the node that are good for valid_us by themselves: 0 while it
 * may change them unseen. */
gint64 front_passthrough_limit_us(Front *front, Node *node, gint64 valid_us);

/* For status: why files are not passed through, a static text; NULL: they are. */
const char *front_passthrough_get_reason(FrontPassthrough *passthrough);

typedef struct {
    guint64 opens;    /* passed through since the start */
    guint64 refusals; /* opens that the kernel would not pass through to their file */
} PassthroughStatistics;
void front_passthrough_get_statistics(FrontPassthrough *passthrough, PassthroughStatistics *out);
