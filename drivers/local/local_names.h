/* Which names a local storage takes: pure functions. */
#pragma once

#include <glib.h>

#define LOCAL_NAMES_MAXIMUM_PART_BYTES 255
#define LOCAL_NAMES_MAXIMUM_KEY_BYTES 3800 /* with container and '/' below PATH_MAX */

/* A container to be made. Fails: BAD_NAME ("", ".", "..", '/', '\'), NAME_TOO_LONG
 * (over 255 bytes). */
gboolean local_names_check_container(const char *name, GError **error);
/* Could be one directory entry: what any container that is looked up must be. */
gboolean local_names_is_entry(const char *name);

/* A key to be made. folders: a key may end in '/'. Fails: NAME_TOO_LONG, BAD_NAME ("//", leading or trailing
 * '/', "." and
 * ".." parts, parts over 255 bytes, anything below ".lock" or ".hash"). */
gboolean local_names_check_key(const char *key, gboolean folders, GError **error);
/* A key that may exist and be shown: as above, "" allowed, a trailing '/' allowed. */
gboolean local_names_is_reachable(const char *key);

/* ".lock" and ".hash": as directories they belong to other programs and are not shown. */
gboolean local_names_is_hidden(const char *name);

/* Splits a key into its folder ("" or without trailing '/') and its last part; a trailing '/' is ignored.
 * Caller frees both. */
void local_names_split(const char *key, char **out_folder, char **out_leaf);
