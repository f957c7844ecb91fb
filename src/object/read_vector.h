/* The bytes a read gives: pieces of blocks somebody else owns, so that they reach the kernel with one copy.
 *
 * Filled by FileHandleOperations.read, sent by the front, then cleared, which drops the references.
 */
#pragma once

#include <glib.h>
#include <sys/uio.h>

#define READ_VECTOR_MAX_PIECES 64u

typedef void (*ReadVectorRelease)(gpointer owner);

typedef struct {
    struct iovec pieces[READ_VECTOR_MAX_PIECES];
    gpointer owners[READ_VECTOR_MAX_PIECES];
    ReadVectorRelease releases[READ_VECTOR_MAX_PIECES];
    guint count;
    gsize length_bytes;
} ReadVector;

void read_vector_init(ReadVector *vector);
/* Takes one reference of `owner`, given back by release(owner) (NULL: nothing to give back). FALSE when full:
 * the piece is not taken and a short read is sent. */
gboolean read_vector_add(ReadVector *vector, const void *data, gsize length_bytes, gpointer owner,
                         ReadVectorRelease release);
/* Adds `length` bytes of fresh memory, for the caller to fill; NULL when full. */
void *read_vector_add_buffer(ReadVector *vector, gsize length_bytes);
/* Drops what lies past `length_bytes`. */
void read_vector_truncate(ReadVector *vector, gsize length_bytes);
void read_vector_clear(ReadVector *vector);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(ReadVector, read_vector_clear)
