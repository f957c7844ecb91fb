/* Listings of a memory store: prefix, delimiter, start and pages over the ordered keys. */
#pragma once

#include "src/storage/driver.h"

gboolean memory_list_objects(DriverInstance *instance, Call *call, const char *container,
                             const ListQuery *query, ListPage *out, GError **error);
