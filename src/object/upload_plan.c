/* A free plan cuts runs of clean and changed bytes into parts; a plan that reuses sent parts, and one for a
 * service that wants equal parts, walks a fixed grid instead. */
#include "src/object/upload_plan.h"

#include "src/base/error.h"

#define NO_LIMIT_BYTES (G_GUINT64_CONSTANT(5) << 30)
/* Copies on the server run in parallel: a clean gigabyte is cut into pieces of this size, not copied in one.
 */
#define COPY_PIECE_BYTES (G_GUINT64_CONSTANT(128) << 20)
/* An object that would fit one PUT is edited by parts when the server can copy half of it, and at least so
 * much: less is sent again faster than the requests take. */
#define WORTH_COPYING_BYTES (G_GUINT64_CONSTANT(4) << 20)

/* A stretch of the object that is one thing: clean in one version, or (version NULL) to be sent. */
typedef struct {
    guint64 offset, length_bytes;
    ObjectVersion *version; /* borrowed from the map */
    guint64 source_offset;
} Run;

typedef struct {
    guint64 minimum_part, maximum_part, maximum_copy, maximum_put, preferred, copy_piece;
    guint maximum_parts;
    gboolean copies;
} Limits;

static void
limits_init(Limits *limits, const UploadPlanInput *input)
{
    const Capabilities *can = input->capabilities;
    limits->minimum_part = MAX(can->minimum_part_bytes, 1);
    limits->maximum_part = can->maximum_part_bytes > 0 ? can->maximum_part_bytes : NO_LIMIT_BYTES;
    limits->maximum_copy = can->maximum_copy_bytes > 0 ? can->maximum_copy_bytes : NO_LIMIT_BYTES;
    limits->maximum_put = can->maximum_put_bytes > 0 ? can->maximum_put_bytes : NO_LIMIT_BYTES;
    limits->maximum_parts = can->maximum_parts > 0 ? can->maximum_parts : 10000;
    limits->preferred = CLAMP(input->preferred_part_bytes, limits->minimum_part, limits->maximum_part);
    limits->copy_piece = MAX(COPY_PIECE_BYTES, 2 * limits->minimum_part);
    limits->copy_piece = MIN(limits->copy_piece, MIN(limits->maximum_part, limits->maximum_copy));
    limits->copies = can->copy_part;
}

static void
plan_part_clear(gpointer data)
{
    PlanPart *part = data;
    object_version_unref(part->version);
}

static GArray *
parts_new(void)
{
    GArray *parts = g_array_new(FALSE, FALSE, sizeof(PlanPart));
    g_array_set_clear_func(parts, plan_part_clear);
    return parts;
}

static void
add_part(GArray *parts, guint number, PlanPartKind kind, guint64 offset, guint64 length_bytes, const Run *run)
{
    PlanPart part = {number, kind, offset, length_bytes, NULL, 0};
    if (kind == PLAN_PART_COPIED) {
        part.version = object_version_ref(run->version);
        part.source_offset = run->source_offset + (offset - run->offset);
    }
    g_array_append_val(parts, part);
}

static guint64
end_of(const Run *run)
{
    return run->offset + run->length_bytes;
}

static gboolean
run_continues(const Run *left, const Run *right)
{
    return left->version == right->version &&
           (left->version == NULL || left->source_offset + left->length_bytes == right->source_offset);
}

static void
append_run(GArray *runs, const Run *run)
{
    Run *last = runs->len > 0 ? &g_array_index(runs, Run, runs->len - 1) : NULL;
    if (last != NULL && run_continues(last, run))
        last->length_bytes += run->length_bytes;
    else
        g_array_append_val(runs, *run);
}

static GArray *
collect_runs(const ExtentMap *map)
{
    GArray *runs = g_array_new(FALSE, FALSE, sizeof(Run));
    Extent extent;
    for (guint64 at = 0; extent_map_find(map, at, &extent); at += extent.length_bytes)
        append_run(runs, &(Run){extent.offset, extent.length_bytes, extent.version, extent.source_offset});
    return runs;
}

/* Clean runs too short for a part of their own are sent with their neighbours. */
static GArray *
demote_short_runs(GArray *runs, guint64 shortest, gboolean copies)
{
    GArray *kept = g_array_new(FALSE, FALSE, sizeof(Run));
    for (guint i = 0; i < runs->len; i++) {
        Run run = g_array_index(runs, Run, i);
        if (!copies || run.length_bytes < shortest)
            run.version = NULL;
        append_run(kept, &run);
    }
    return kept;
}

/* Grows each changed run that is too short for a part, and not the last, over the clean run behind it; what
 * would be left of that one must again be long enough, or it goes wholly. */
static GArray *
grow_changed_runs(GArray *runs, guint64 shortest)
{
    GArray *grown = g_array_new(FALSE, FALSE, sizeof(Run));
    for (guint i = 0; i < runs->len; i++) {
        Run run = g_array_index(runs, Run, i);
        Run *last = grown->len > 0 ? &g_array_index(grown, Run, grown->len - 1) : NULL;
        if (run.version != NULL && last != NULL && last->version == NULL && last->length_bytes < shortest) {
            guint64 taken = shortest - last->length_bytes;
            if (run.length_bytes < taken + shortest)
                taken = run.length_bytes;
            last->length_bytes += taken;
            run.offset += taken;
            run.length_bytes -= taken;
            run.source_offset += taken;
        }
        if (run.length_bytes > 0)
            append_run(grown, &run);
    }
    return grown;
}

/* Cuts one run into equal pieces of at most `maximum` and, but for the object's end, at least `minimum`. */
static void
cut_run(GArray *parts, const Run *run, guint64 wanted, guint64 maximum)
{
    guint64 count = MAX(1, run->length_bytes / wanted);
    if ((run->length_bytes + count - 1) / count > maximum)
        count = (run->length_bytes + maximum - 1) / maximum;
    PlanPartKind kind = run->version != NULL ? PLAN_PART_COPIED : PLAN_PART_COMPOSED;
    guint64 done = 0;
    for (guint64 i = 0; i < count; i++) {
        guint64 length = (run->length_bytes - done) / (count - i);
        add_part(parts, parts->len + 1, kind, run->offset + done, length, run);
        done += length;
    }
}

static GArray *
cut_runs(GArray *runs, const Limits *limits, guint64 granularity)
{
    g_autoptr(GArray) demoted = demote_short_runs(runs, granularity, limits->copies);
    g_autoptr(GArray) grown = grow_changed_runs(demoted, granularity);
    GArray *parts = parts_new();
    for (guint i = 0; i < grown->len; i++) {
        const Run *run = &g_array_index(grown, Run, i);
        guint64 maximum =
            run->version != NULL ? MIN(limits->maximum_part, limits->maximum_copy) : limits->maximum_part;
        guint64 wanted = run->version != NULL ? limits->copy_piece : limits->preferred;
        cut_run(parts, run, MIN(MAX(wanted, granularity), maximum), maximum);
        if (parts->len > limits->maximum_parts)
            break;
    }
    return parts;
}

static gboolean
fail_too_large(guint64 size_bytes, GError **error)
{
    g_set_error(error, STORAGEFS_ERROR, ERROR_TOO_LARGE,
                "%" G_GUINT64_FORMAT " bytes are more than this storage takes in one object", size_bytes);
    return FALSE;
}

/* Coarser until the number of parts fits. */
static GArray *
cut_to_fit(GArray *runs, const Limits *limits, guint64 size_bytes)
{
    for (guint64 granularity = limits->minimum_part;; granularity *= 2) {
        GArray *parts = cut_runs(runs, limits, granularity);
        if (parts->len <= limits->maximum_parts)
            return parts;
        g_array_unref(parts);
        if (granularity > size_bytes || granularity > limits->maximum_part)
            return NULL;
    }
}

static gboolean
plan_free(GArray *runs, const Limits *limits, guint64 size_bytes, UploadPlan *out, GError **error)
{
    Limits without_copies = *limits;
    without_copies.copies = FALSE;
    GArray *parts = cut_to_fit(runs, limits, size_bytes);
    /* A service whose copies are much shorter than its parts. */
    if (parts == NULL)
        parts = cut_to_fit(runs, &without_copies, size_bytes);
    if (parts == NULL)
        return fail_too_large(size_bytes, error);
    *out = (UploadPlan){.kind = UPLOAD_PLAN_PARTS, .parts = parts};
    return TRUE;
}

static void
add_grid_part(GArray *parts, guint index, guint64 offset, guint64 length_bytes, const Run *run,
              const Limits *limits, gboolean merge)
{
    gboolean clean = run->version != NULL && limits->copies && length_bytes <= limits->maximum_copy &&
                     offset + length_bytes <= end_of(run);
    PlanPart *last = parts->len > 0 ? &g_array_index(parts, PlanPart, parts->len - 1) : NULL;
    guint64 source_offset = run->source_offset + (offset - run->offset);
    if (clean && merge && last != NULL && last->kind == PLAN_PART_COPIED && last->version == run->version &&
        last->source_offset + last->length_bytes == source_offset &&
        last->length_bytes + length_bytes <= limits->copy_piece)
        last->length_bytes += length_bytes;
    else
        add_part(parts, index + 1, clean ? PLAN_PART_COPIED : PLAN_PART_COMPOSED, offset, length_bytes, run);
}

/* Parts exactly where `layout` has them; clean neighbours become one copy unless parts must be equal. */
static GArray *
cut_grid(GArray *runs, const Limits *limits, const PartLayout *layout, guint64 size_bytes,
         const UploadPlanInput *input)
{
    GArray *parts = parts_new();
    guint at = 0;
    for (guint index = 0;; index++) {
        guint64 offset = part_layout_get_start(layout, index);
        if (offset >= size_bytes)
            return parts;
        guint64 length = MIN(part_layout_get_start(layout, index + 1), size_bytes) - offset;
        while (end_of(&g_array_index(runs, Run, at)) <= offset)
            at++;
        const Run *run = &g_array_index(runs, Run, at);
        if (input->sent_layout != NULL && input->is_sent(input->is_sent_data, index))
            add_part(parts, index + 1, PLAN_PART_SENT, offset, length, run);
        else
            add_grid_part(parts, index, offset, length, run, limits, !input->capabilities->equal_parts);
    }
}

static gboolean
plan_equal(GArray *runs, const Limits *limits, guint64 size_bytes, const UploadPlanInput *input,
           UploadPlan *out, GError **error)
{
    PartLayout layout;
    UploadPlanInput fresh = {.capabilities = input->capabilities};
    guint64 smallest = (size_bytes + limits->maximum_parts - 1) / limits->maximum_parts;
    part_layout_init(&layout, input->capabilities, MAX(limits->preferred, smallest));
    if (!part_layout_fits(&layout, size_bytes))
        return fail_too_large(size_bytes, error);
    *out =
        (UploadPlan){.kind = UPLOAD_PLAN_PARTS, .parts = cut_grid(runs, limits, &layout, size_bytes, &fresh)};
    return TRUE;
}

/* The version of which the object is a plain copy, else NULL. */
static ObjectVersion *
find_whole_source(GArray *runs, guint64 size_bytes, const Capabilities *can)
{
    const Run *run = &g_array_index(runs, Run, 0);
    gboolean whole = can->copy_object && runs->len == 1 && run->version != NULL && run->source_offset == 0 &&
                     object_version_get_size(run->version) == size_bytes;
    return whole ? run->version : NULL;
}

static gboolean
plan_parts(GArray *runs, const Limits *limits, guint64 size_bytes, const UploadPlanInput *input,
           UploadPlan *out, GError **error)
{
    if (input->sent_layout != NULL && part_layout_fits(input->sent_layout, size_bytes)) {
        GArray *parts = cut_grid(runs, limits, input->sent_layout, size_bytes, input);
        *out = (UploadPlan){.kind = UPLOAD_PLAN_PARTS, .uses_sent = TRUE, .parts = parts};
        return TRUE;
    }
    if (input->capabilities->equal_parts)
        return plan_equal(runs, limits, size_bytes, input, out, error);
    return plan_free(runs, limits, size_bytes, out, error);
}

static guint64
count_copied_bytes(const UploadPlan *plan)
{
    guint64 bytes = 0;
    for (guint i = 0; i < plan->parts->len; i++) {
        const PlanPart *part = &g_array_index(plan->parts, PlanPart, i);
        bytes += part->kind == PLAN_PART_COPIED ? part->length_bytes : 0;
    }
    return bytes;
}

static gboolean
is_single_part(const UploadPlan *plan)
{
    return plan->parts->len == 1 && g_array_index(plan->parts, PlanPart, 0).kind == PLAN_PART_COMPOSED;
}

static gboolean
is_better_as_put(const UploadPlan *plan, const Limits *limits, guint64 size_bytes)
{
    if (size_bytes > limits->maximum_put)
        return FALSE;
    guint64 copied = count_copied_bytes(plan);
    return is_single_part(plan) ||
           (size_bytes <= limits->preferred && (copied < WORTH_COPYING_BYTES || copied < size_bytes / 2));
}

static gboolean
plan_sending(GArray *runs, const Limits *limits, guint64 size_bytes, const UploadPlanInput *input,
             UploadPlan *out, GError **error)
{
    gboolean may_put = size_bytes <= limits->maximum_put;
    gboolean small = size_bytes <= MIN(limits->preferred, WORTH_COPYING_BYTES);
    if (may_put && (small || !input->capabilities->multipart)) {
        *out = (UploadPlan){.kind = UPLOAD_PLAN_PUT};
        return TRUE;
    }
    if (!input->capabilities->multipart)
        return fail_too_large(size_bytes, error);
    if (!plan_parts(runs, limits, size_bytes, input, out, error))
        return FALSE;
    if (is_better_as_put(out, limits, size_bytes)) {
        upload_plan_clear(out);
        *out = (UploadPlan){.kind = UPLOAD_PLAN_PUT};
    }
    return TRUE;
}

gboolean
upload_plan_make(const ExtentMap *map, const UploadPlanInput *input, UploadPlan *out, GError **error)
{
    const Capabilities *can = input->capabilities;
    guint64 size_bytes = extent_map_get_size(map);
    g_autoptr(GArray) runs = collect_runs(map);
    Limits limits;
    limits_init(&limits, input);
    if (can->maximum_object_bytes > 0 && size_bytes > can->maximum_object_bytes)
        return fail_too_large(size_bytes, error);
    ObjectVersion *source = size_bytes > 0 ? find_whole_source(runs, size_bytes, can) : NULL;
    if (source != NULL) {
        *out = (UploadPlan){.kind = UPLOAD_PLAN_COPY, .source = object_version_ref(source)};
        return TRUE;
    }
    return plan_sending(runs, &limits, size_bytes, input, out, error);
}

void
upload_plan_clear(UploadPlan *plan)
{
    g_clear_pointer(&plan->parts, g_array_unref);
    g_clear_pointer(&plan->source, object_version_unref);
}
