/* The driver of all services that speak S3: driver = s3, or one of the presets in s3_presets.c. */
#pragma once

#include "src/storage/driver.h"

extern const Driver s3_driver;
