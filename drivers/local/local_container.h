/* The local driver's containers: the directories directly in the base; contracts in driver.h. */
#pragma once

#include "src/storage/driver.h"

gboolean local_container_list(DriverInstance *instance, Call *call, GArray **out_containers, GError **error);
gboolean local_container_stat(DriverInstance *instance, Call *call, const char *container, ContainerInfo *out,
                              GError **error);
gboolean local_container_create(DriverInstance *instance, Call *call, const char *container, GError **error);
gboolean local_container_delete(DriverInstance *instance, Call *call, const char *container, GError **error);
