/* A ByteSource over memory, for requests whose body is a small document. */
#pragma once

#include "src/storage/driver.h"

/* bytes are borrowed for as long as the source is used. */
ByteSource memory_source_make(const void *bytes, gsize length);
