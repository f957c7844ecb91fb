/* The daemon: everything a mount consists of, in the order of its layers. */
#pragma once

#include "src/cli/cli_options.h"

#include <glib.h>

typedef struct {
    const char *config_path; /* NULL: where settings_load() looks */
    const char *mount_point;
    const char *const *accept_moved; /* NULL-terminated, or NULL */
    gboolean foreground;
    CliOptions options;
} CliDaemonOptions;

/* Mounts and serves: in the foreground until unmounted, else in a process of its own, when it returns as soon
 * as the mount answers. Reasons of failure go to stderr. Returns the exit status. */
int cli_daemon_start(const CliDaemonOptions *options);
