/* Reads far apart, each of exactly its pages, and those a constant distance apart (a column of a table, one
 * band of an image) before they are asked for.
 *
 * After three reads at equal distances the next two are fetched, and twice as many with each that was
 * right, up to READ_STRIDE_MOST; what breaks the pattern ends it. So no more is fetched in vain than was
 * fetched of use. Their memory is a budget of its own (ObjectStore's), because nobody takes it back from an
 * idle reader: without it nothing is fetched ahead. Thread-safe.
 */
#pragma once

#include "src/base/call.h"
#include "src/object/object_store.h"
#include "src/object/object_version.h"
#include "src/object/read_vector.h"

#include <glib.h>

#define READ_STRIDE_MOST 16u

typedef struct ReadStride ReadStride;

ReadStride *read_stride_new(ObjectStore *store);
/* Ends what it fetches ahead. */
void read_stride_free(ReadStride *stride);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ReadStride, read_stride_free)

/* As read_ahead_read(). */
gboolean read_stride_read(ReadStride *stride, Call *call, ObjectVersion *version, guint64 offset,
                          gsize length_bytes, ReadVector *out, GError **error);
