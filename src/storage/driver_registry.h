/* The list of drivers and of the names that choose them. One line per driver in driver_registry.c. */
#pragma once

#include "src/storage/driver.h"

/* The driver that answers to driver = NAME (its own name or one of its presets); NULL unknown. */
const Driver *driver_registry_find(const char *name);
/* All names that driver_registry_find() knows, sorted, NULL-terminated; borrowed. For "did you mean". */
const char *const *driver_registry_get_names(void);
