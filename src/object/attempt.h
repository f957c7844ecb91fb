/* What one publication stores: enough to recognise it on the service when nobody knows whether it was carried
 * out. Immutable and counted: an ObjectFile, its doubts and the records of the journal share it.
 */
#pragma once

#include "src/object/attributes.h"

#include <glib.h>

/* Of an attempt that was made by a process that is gone. */
#define ATTEMPT_BEFORE G_MAXUINT64

typedef struct {
    gint references;
    guint64 size_bytes;
    guint64 changes; /* of the file, then; what is in a record does not have it: ATTEMPT_BEFORE */
    gboolean is_new; /* was to be stored only if there was nothing */
    gboolean has_time;
    char *if_etag; /* of what it was to replace; NULL: of anything */
    char *content_type;
    Metadata *metadata; /* never NULL */
} Attempt;

/* Strings are copied, metadata gets a reference; NULL is none. */
Attempt *attempt_new(const Attempt *values);
Attempt *attempt_ref(Attempt *attempt);
void attempt_unref(Attempt *attempt);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Attempt, attempt_unref)

/* An empty list of Attempt, which are unreferenced with it. */
GPtrArray *attempt_list_new(void);
/* The same but for `changes`: on the service they cannot be told apart. */
gboolean attempt_equal(const Attempt *a, const Attempt *b);
/* What the service has may be what this attempt stored. */
gboolean attempt_matches(const Attempt *attempt, const ObjectInfo *found);
