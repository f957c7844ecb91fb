/* Tells the kernel what to forget, from a thread of its own: a notification waits for the kernel's locks,
 * which a request that is being served may hold. */
#pragma once

#include "src/front/front_internal.h"

FrontNotify *front_notify_new(Front *front);
/* From now on nothing is sent; ends the thread. Before the session is destroyed. */
void front_notify_free(FrontNotify *notify);
/* The observer that queues. */
TreeObserver front_notify_get_observer(FrontNotify *notify);
