/* See memory_source.h. The caller of read() keeps inside size_bytes, as every ByteSource demands. */
#include "drivers/common/memory_source.h"

#include <string.h>

static gboolean
read_memory(gpointer data, guint64 offset, void *buffer, gsize length_bytes, GError **error)
{
    memcpy(buffer, (const char *)data + offset, length_bytes);
    return TRUE;
}

ByteSource
memory_source_make(const void *bytes, gsize length)
{
    return (ByteSource){.size_bytes = length, .read = read_memory, .data = (gpointer)bytes};
}
