/* .control/metrics: Prometheus exposition format 0.0.4. Made when read; no I/O. */
#pragma once

#include "src/front/front_internal.h"

GString *front_metrics_text(Front *front);
