/* What an endpoint can do. Contract: Driver.probe. */
#pragma once

#include "src/storage/driver.h"

gboolean s3_probe_run(DriverInstance *instance, Call *call, const char *writable_container, Capabilities *out,
                      GError **error);
