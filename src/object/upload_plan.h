/* How an open object becomes an object of the storage: one PUT, one copy on the server, or a list of parts.
 * Pure: extents and limits in, a plan out; nothing is sent here.
 *
 * Parts are composed (sent from here), copied on the server from a version, or were sent while writing went
 * on. Clean ranges are copied where that is allowed and a part of its own is worth it; what is changed is
 * grown over its clean neighbours to the smallest part the service takes.
 */
#pragma once

#include "src/object/extent_map.h"
#include "src/object/part_layout.h"

#include <glib.h>

typedef enum { UPLOAD_PLAN_PUT, UPLOAD_PLAN_COPY, UPLOAD_PLAN_PARTS } UploadPlanKind;
typedef enum { PLAN_PART_COMPOSED, PLAN_PART_COPIED, PLAN_PART_SENT } PlanPartKind;

typedef struct {
    guint number; /* ascending, from 1, not always without gaps */
    PlanPartKind kind;
    guint64 offset, length_bytes;
    ObjectVersion *version; /* COPIED: a reference */
    guint64 source_offset;
} PlanPart;

typedef struct {
    UploadPlanKind kind;
    gboolean uses_sent;    /* parts follow the layout of the upload that has begun */
    GArray *parts;         /* of PlanPart, by offset; PARTS only */
    ObjectVersion *source; /* COPY only: a reference */
} UploadPlan;

typedef struct {
    const Capabilities *capabilities;
    guint64 preferred_part_bytes;
    const PartLayout *sent_layout; /* NULL: nothing was sent yet */
    /* TRUE when part `index` of that layout was sent whole and not changed since. */
    gboolean (*is_sent)(gconstpointer data, guint index);
    gconstpointer is_sent_data;
} UploadPlanInput;

/* Fails: TOO_LARGE. */
gboolean upload_plan_make(const ExtentMap *map, const UploadPlanInput *input, UploadPlan *out,
                          GError **error);
void upload_plan_clear(UploadPlan *plan);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(UploadPlan, upload_plan_clear)
