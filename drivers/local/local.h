/* The local driver: containers are the directories of a base directory, objects are the files below them. */
#pragma once

#include "src/storage/driver.h"

extern const Driver local_driver;

/* From now on the instance resolves names as on a kernel without openat2: for tests. Before any use. */
void local_disable_openat2(DriverInstance *instance);
