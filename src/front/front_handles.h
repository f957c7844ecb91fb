/* The handles the kernel holds. When a mount ends while programs have files open, the kernel never releases
 * them: they are closed here, so that what was written is stored.
 */
#pragma once

#include "src/front/front_internal.h"

void front_handles_init(Front *front);
/* Whether reads and writes of a file that is opened with these flags do not touch the page cache: O_DIRECT,
 * and what is only written, where the kernel then drops what the cache has of it. Pages of it would be one
 * more copy of each byte, and the new version's readers do not get to see them. */
gboolean front_handles_go_past_pages(const Front *front, int flags);
/* node is referenced while the handle is open. front_passthrough_join() comes first. */
void front_handles_add(Front *front, Node *node, FileHandle *handle);
/* Closes the handle (tree_release). */
void front_handles_release(Front *front, Call *call, Node *node, FileHandle *handle);
void front_handles_add_directory(Front *front, DirectoryHandle *handle);
void front_handles_release_directory(Front *front, DirectoryHandle *handle);
/* Closes all that are still open. No request runs any more. */
void front_handles_release_all(Front *front);
void front_handles_clear(Front *front);
