/* The memory driver: an object service inside the process.
 *
 * It is the reference of driver.h's contracts, and the service that the tests of the layers above run on: its
 * keys take single abilities away, memory_fault.h makes it fail, wait and count.
 */
#pragma once

#include "drivers/memory/memory_store.h"
#include "src/storage/driver.h"

extern const Driver memory_driver;

/* The service behind an open instance; borrowed. */
MemoryStore *memory_get_store(DriverInstance *instance);
