/* For which nodes requests are in our hands. The kernel keeps locks of these until they are answered: of the
 * directory that a name is looked up, made or removed in, of the pages that are read. A notification about
 * such a node would wait for those locks inside the kernel, where no signal ends the wait: were this process
 * killed then, its device would stay open, the requests unanswered, and whoever made them could never be
 * killed.
 */
#pragma once

#include "src/front/front_job.h"

void front_held_init(Front *front);
void front_held_clear(Front *front);
/* From the dispatch to a lane until the answer. What runs in line is answered before anything else can be
 * asked. */
void front_held_add(FrontJob *job);
void front_held_remove(FrontJob *job);
/* FALSE: none. *out_since_us: the start of the oldest one, monotonic. */
gboolean front_held_since(Front *front, Node *node, gint64 *out_since_us);
