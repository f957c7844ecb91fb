/* What must hold of a text before json-glib may see it: its parser recurses without a limit, and takes
 * comments and other things that JSON does not have. Pure.
 */
#pragma once

#include <glib.h>

#define JSON_SHAPE_MAX_DEPTH 64u

/* FALSE: nested deeper than JSON_SHAPE_MAX_DEPTH, or outside of its strings stands what no JSON text has
 * there. TRUE does not say that it is well-formed. */
gboolean json_shape_check(const char *text, gsize length_bytes);
