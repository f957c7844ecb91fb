/* FUSE_INTERRUPT: a signal reached the process that waits for a request.
 *
 * The kernel sends one INTERRUPT at the first signal of any kind and, once a request has been read, waits for
 * its answer even if the process is being killed. So a fatal signal must end the call, while a harmless one
 * (a timer, a child, a runtime's preemption) must not: EINTR would break programs that rely on SA_RESTART. An
 * interrupted call is therefore watched: /proc says which signals are pending, until it ends or one of them
 * is fatal. For reads ahead the kernel sends no INTERRUPT at all; those that take long are looked at too.
 */
#pragma once

#include "src/front/front_internal.h"

FrontInterrupt *front_interrupt_new(Front *front);
void front_interrupt_free(FrontInterrupt *interrupt);

/* From now on an interrupt of `request` by a fatal signal cancels `call`. */
void front_interrupt_watch(FrontInterrupt *interrupt, fuse_req_t request, Call *call);
/* After this the request may be replied to. Also for requests that are not watched. */
void front_interrupt_unwatch(FrontInterrupt *interrupt, fuse_req_t request, Call *call);

/* A read went to a lane: from now on it is looked at whether those who wait for reads are still there. */
void front_interrupt_note_read(FrontInterrupt *interrupt);

/* TRUE when the process is gone, or one of its pending signals ends a wait: KILL, TERM, INT, HUP, QUIT. Reads
 * /proc/PID/status. */
gboolean front_interrupt_is_fatal(pid_t pid);
