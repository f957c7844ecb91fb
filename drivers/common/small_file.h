/* Small text files that other programs keep: tokens, key files. */
#pragma once

#include <glib.h>

/* The whole regular file, NUL-terminated; caller frees. Fails: NOT_FOUND, DENIED, TOO_LARGE (over
 * maximum_bytes), IO. Blocks: local disk. */
gboolean small_file_read(const char *path, gsize maximum_bytes, char **out_text, GError **error);
