/* Containers: list, look, make, delete. Contracts: the same names in Driver. */
#pragma once

#include "src/storage/driver.h"

gboolean s3_container_list(DriverInstance *instance, Call *call, GArray **out_containers, GError **error);
gboolean s3_container_stat(DriverInstance *instance, Call *call, const char *container, ContainerInfo *out,
                           GError **error);
gboolean s3_container_create(DriverInstance *instance, Call *call, const char *container, GError **error);
gboolean s3_container_delete(DriverInstance *instance, Call *call, const char *container, GError **error);
