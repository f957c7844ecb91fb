/* Key ↔ file name: a pure bijection between keys and canonical names.
 *
 * Flat layout: the whole key is one name. '/' is %2F; a name that is exactly "." or ".." is %2E, %2E%2E; a
 * literal '%' is %25 only where it would otherwise read as one of these escapes. Folder layout: one part of
 * the key at a time; empty parts ("a//b", leading '/'), "." and ".." parts, and an object `a` beside `a/...`
 * have escaped names of their own. Upper-case hexadecimal only. A spelling that object_name_from_key() never
 * makes does not exist.
 */
#pragma once

#include "src/base/error.h"

#include <glib.h>

#define OBJECT_NAME_MAX_BYTES 1024u

/* Flat. NULL when the name would be longer than OBJECT_NAME_MAX_BYTES. Caller frees. */
char *object_name_from_key(const char *key);
/* Flat. Fails: BAD_NAME (not canonical). */
gboolean object_name_to_key(const char *name, char **out_key, GError **error);

/* Folder layout, one level. `part`: what stands between two '/' of a key (may be empty). `is_folder`: the
 * part is followed by '/'. `beside_folder`: an object whose name a folder of the same level has: it gives
 * way. */
char *object_name_from_part(const char *part, gboolean is_folder, gboolean beside_folder);
/* Fails: BAD_NAME. *out_beside_folder: the name is the escaped one of an object that gives way. */
gboolean object_name_to_part(const char *name, char **out_part, gboolean *out_beside_folder, GError **error);
