/* An S3 storage whose service is the input: http_perform() is replaced by the linker (--wrap), and each call
 * of it takes the next reply from the input, as far as http.h lets a reply come.
 *
 *   STATUS\n NAME: VALUE\n ... \n BODY, and a byte 0x1e behind it where another reply follows
 *
 * When there are no more replies, the service is UNAVAILABLE.
 */
#pragma once

#include "drivers/s3/s3_request.h"
#include "tests/fuzz/fuzz.h"

/* Bytes that separate replies, and whatever else an input has before them. */
#define FUZZ_SEPARATOR '\x1e'

/* In fuzz_begin(): without AWS's variables, and with a HOME below fuzz_folder(). */
void fuzz_service_begin(void);
/* A storage for one input (close it by its driver), and where its replies come from. */
S3 *fuzz_service_open(const char *driver_name, const char *keys, FuzzInput *input);
void fuzz_service_close(S3 *s3);
