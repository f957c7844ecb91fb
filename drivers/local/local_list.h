/* Listing objects: a walk over the directories of a container in the byte order of the keys.
 *
 * A directory takes its place as "name/". Directories ".lock" and ".hash" are skipped, links to directories,
 * dangling links and links out of the base too; every other entry that is no directory counts. Empty
 * directories are invisible in the flat layout and the object "dir/" in the folder layout. A page begins with
 * a fresh walk that leaves out all directories which end before it.
 */
#pragma once

#include "src/storage/driver.h"

gboolean local_list_objects(DriverInstance *instance, Call *call, const char *container,
                            const ListQuery *query, ListPage *out, GError **error);
