/* The texts of .control: status (JSON), storages, uploads (lines of tab-separated fields)).
 * Made when read; no I/O but the recovery directory's listing; no secret. */
#pragma once

#include "src/front/front_internal.h"

GString *front_status_json(Front *front);
GString *front_status_storages(Front *front);
GString *front_status_uploads(Front *front);
