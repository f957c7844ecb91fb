/* Pieces of memory with their owners, in the order in which they are sent. */
#include "src/object/read_vector.h"

void
read_vector_init(ReadVector *vector)
{
    vector->count = 0;
    vector->length_bytes = 0;
}

gboolean
read_vector_add(ReadVector *vector, const void *data, gsize length_bytes, gpointer owner,
                ReadVectorRelease release)
{
    if (vector->count == READ_VECTOR_MAX_PIECES)
        return FALSE;
    guint i = vector->count++;
    vector->pieces[i].iov_base = (void *)data;
    vector->pieces[i].iov_len = length_bytes;
    vector->owners[i] = owner;
    vector->releases[i] = release;
    vector->length_bytes += length_bytes;
    return TRUE;
}

void *
read_vector_add_buffer(ReadVector *vector, gsize length_bytes)
{
    if (vector->count == READ_VECTOR_MAX_PIECES)
        return NULL;
    void *buffer = g_malloc(length_bytes);
    read_vector_add(vector, buffer, length_bytes, buffer, g_free);
    return buffer;
}

static void
drop_last(ReadVector *vector)
{
    guint i = --vector->count;
    vector->length_bytes -= vector->pieces[i].iov_len;
    if (vector->releases[i] != NULL)
        vector->releases[i](vector->owners[i]);
}

void
read_vector_truncate(ReadVector *vector, gsize length_bytes)
{
    while (vector->count > 0) {
        struct iovec *last = &vector->pieces[vector->count - 1];
        gsize before = vector->length_bytes - last->iov_len;
        if (before < length_bytes) {
            if (vector->length_bytes > length_bytes) {
                last->iov_len = length_bytes - before;
                vector->length_bytes = length_bytes;
            }
            return;
        }
        drop_last(vector);
    }
}

void
read_vector_clear(ReadVector *vector)
{
    while (vector->count > 0)
        drop_last(vector);
}
