/* -o OPTIONS of a mount: ours, the kernel's, and fstab's own. */
#pragma once

#include "src/base/error.h"

#include <glib.h>
#include <sys/types.h>

typedef struct {
    gboolean read_only, allow_other, default_permissions;
    gboolean nosuid, nodev, noexec;
    gboolean no_passthrough;
    uid_t uid;
    gid_t gid;
    mode_t umask;
} CliOptions;

/* The caller's ids, no umask option, nothing else. */
void cli_options_init(CliOptions *options);
/* Adds one comma-separated text; later words win. sloppy: unknown words are ignored (mount -s).
 * Fails: BAD_CONFIG naming the option, with the nearest right spelling. */
gboolean cli_options_parse(CliOptions *options, const char *text, gboolean sloppy, GError **error);
