/* Waiting for uploads, with a progress bar on a terminal. */
#pragma once

#include "src/base/error.h"

#include <glib.h>

/* Waits until nothing that programs have closed is still on its way, or waits in the journal. Fails as
 * cli_control_read_status(), and READ_ONLY: what waits in the journal of a mount -o ro does not leave it. */
gboolean cli_progress_wait(const char *mount_point, GError **error);
/* After the unmount: waits until the daemon `pid` has ended, and helps when it does not notice; 0: nothing.
 */
void cli_progress_wait_process(pid_t pid);
