/* Tells the service manager how far the daemon is: datagrams to the socket that NOTIFY_SOCKET names.
 *
 * Spec: sd_notify(3). Without that variable nothing is sent.
 */
#pragma once

#include <glib.h>

/* Takes the variable out of the environment: no program that is started from here answers for the daemon.
 * Before any thread. */
void cli_ready_init(void);

/* The mount stands, and this process serves it; or it has begun to end. A failure is logged: the manager
 * then acts on its own time limits. Blocks: no. */
void cli_ready_tell_serving(void);
void cli_ready_tell_ending(void);
