/* Waiting for uploads, with a progress bar on a terminal. */
#pragma once

#include "src/base/error.h"

#include <glib.h>

/* Waits until nothing that programs have closed is still on its way. Fails as cli_control_read_status(). */
gboolean cli_progress_wait(const char *mount_point, GError **error);
/* Waits until process `pid` has ended; TRUE at once when it is 0. */
void cli_progress_wait_process(pid_t pid);
