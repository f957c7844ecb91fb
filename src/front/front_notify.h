/* Tells the kernel what to forget, from a thread of its own: a notification waits for the kernel's locks,
 * which a request that is being served may hold. */
#pragma once

#include "src/front/front_internal.h"

FrontNotify *front_notify_new(Front *front);
/* Waits until the kernel has been told all that is queued now, for a second at most: a look-up that hangs
 * keeps the kernel's lock of its directory. Not while serving a request that the kernel holds locks for. */
void front_notify_settle(FrontNotify *notify);
/* From now on nothing is sent; ends the thread. Before the session is destroyed. */
void front_notify_free(FrontNotify *notify);
/* The observer that queues. */
TreeObserver front_notify_get_observer(FrontNotify *notify);
