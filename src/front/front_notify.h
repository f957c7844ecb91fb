/* Tells the kernel what to forget, from a thread of its own. A notification waits for the kernel's locks, so
 * that about a node is kept back while requests for it are in our hands (front_held.h). One of attributes
 * alone waits for nothing, and is sent at once. */
#pragma once

#include "src/front/front_internal.h"

FrontNotify *front_notify_new(Front *front);
/* Waits until the kernel has been told all that is queued now and need not wait for a request in hand, for a
 * second at most. Not while serving a request that the kernel holds locks for. */
void front_notify_settle(FrontNotify *notify);
/* A request has been answered: what waited for it may be sent. */
void front_notify_look_again(FrontNotify *notify);
/* From now on nothing is sent; ends the thread. Before the session is destroyed. */
void front_notify_free(FrontNotify *notify);
/* The observer for the tree. */
TreeObserver front_notify_get_observer(FrontNotify *notify);
