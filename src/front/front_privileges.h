/* Set-user-id and set-group-id bits, which a file loses when somebody who is not root changes it.
 *
 * Where the kernel leaves them to us (FUSE_HANDLE_KILLPRIV_V2) it no longer asks for security.capability
 * before every write(2), which costs as much as the write itself; before a write that takes the bits off it
 * sends a SETATTR that sets nothing. Two changes it always leaves to the file system, and says so to the
 * daemon in flags that libfuse does not hand on: open(2) with O_TRUNC, and writes past the page cache
 * (front_handles_go_past_pages). security.capability itself is taken off by the file system below; object
 * services have none.
 */
#pragma once

#include "src/front/front_job.h"

/* In the init operation: whether the kernel leaves the bits to us. */
void front_privileges_negotiate(Front *front, struct fuse_conn_info *connection);
/* Whether a SETATTR of these FUSE_SET_ATTR_* bits takes them off. */
gboolean front_privileges_end_at_setattr(Front *front, fuse_req_t request, int to_set);
/* Whether an open with these flags takes them off, although the kernel does nothing about it. */
gboolean front_privileges_end_at_open(fuse_req_t request, int flags);
/* The same for a write(2) through this handle. writepage: it is the kernel that writes mapped pages back. */
gboolean front_privileges_end_at_write(fuse_req_t request, Node *node, FileHandle *handle,
                                       gboolean writepage);

/* Adds a change of mode to the SETATTR, when there are bits to take off. Blocks: yes. */
gboolean front_privileges_add_to_setattr(FrontJob *job, GError **error);
/* Takes the bits off the job's node now and has the kernel forget them. handle: of an open file. Blocks: yes.
 */
gboolean front_privileges_end(FrontJob *job, FileHandle *handle, GError **error);
