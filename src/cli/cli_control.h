/* The client's side of MNT/.control. */
#pragma once

#include "src/base/error.h"

#include <glib.h>
#include <json-glib/json-glib.h>

/* What a control file says. Fails: NOT_FOUND (no storagefs mount there), TOO_LARGE, IO. Caller frees. */
char *cli_control_read(const char *mount_point, const char *name, GError **error);
/* Whether this process may write to it. Fails: NOT_FOUND (no storagefs mount there), READ_ONLY (a mount -o ro
 * cannot be steered), DENIED, IO. */
gboolean cli_control_may_write(const char *mount_point, const char *name, GError **error);
/* Writes `text` by one write(2); its errno becomes the error. Fails: as above, too. */
gboolean cli_control_write(const char *mount_point, const char *name, const char *text, GError **error);
/* `status`, parsed; the root is an object of the shape of cli_status_shape.h. Fails: as above, and PROTOCOL.
 * Caller unrefs. */
JsonNode *cli_control_read_status(const char *mount_point, GError **error);
/* The daemon's process as this process can name it; 0: it runs in another pid namespace, where the number in
 * the status stands for nobody or for somebody else. */
pid_t cli_control_get_pid(JsonNode *status);
