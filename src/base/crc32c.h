/* CRC-32C (Castagnoli), by the processor's instruction where it has one. Spec: RFC 3720, appendix B.4. */
#pragma once

#include <glib.h>

/* Of `data` appended to what has the CRC `crc`; 0 to begin. */
guint32 crc32c_append(guint32 crc, const void *data, gsize length_bytes);
