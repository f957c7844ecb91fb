/* What the commands rely on in a status that was read: another version's, or what only looks like a mount,
 * may say anything. Pure.
 */
#pragma once

#include <glib.h>
#include <json-glib/json-glib.h>

/* TRUE: the lists and sections that the commands read are there, each text of them is a text or null, each
 * number a number. */
gboolean cli_status_shape_check(JsonObject *status);
