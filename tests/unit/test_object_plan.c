/* Extents against a byte array, and plans against their promises: every byte once, no limit passed. */
#include "src/base/error.h"
#include "src/object/extent_map.h"
#include "src/object/upload_plan.h"
#include "tests/unit/storage_fixture.h"

#include <string.h>

#define MODEL_BYTES 4000u
#define KIB G_GUINT64_CONSTANT(1024)
#define MIB (KIB * 1024)
#define GIB (MIB * 1024)

typedef struct {
    Storage *storage;
    ObjectVersionTable *table;
} Versions;

static void
versions_init(Versions *versions)
{
    versions->storage = storage_fixture_memory(STORAGE_FIXTURE_KEYS);
    versions->table = object_version_table_new();
}

static void
versions_clear(Versions *versions)
{
    object_version_table_free(versions->table);
    storage_unref(versions->storage);
}

static ObjectVersion *
version_new(Versions *versions, const char *key, guint64 size_bytes)
{
    return object_version_get(versions->table, versions->storage, "c", key, "etag", size_bytes);
}

/* Where each byte comes from, written out. */
typedef struct {
    ExtentKind kind;
    ObjectVersion *version;
    guint64 source_offset;
} Origin;

typedef struct {
    Origin origins[MODEL_BYTES];
    guint64 size;
} Model;

static void
model_set(Model *model, const Extent *extent)
{
    for (guint64 i = model->size; i < extent->offset; i++)
        model->origins[i] = (Origin){EXTENT_ZERO, NULL, 0};
    for (guint64 i = 0; i < extent->length_bytes; i++)
        model->origins[extent->offset + i] =
            (Origin){extent->kind, extent->version, extent->version != NULL ? extent->source_offset + i : 0};
    model->size = MAX(model->size, extent->offset + extent->length_bytes);
}

static void
check_map(const ExtentMap *map, const Model *model)
{
    guint64 at = 0, local = 0;
    guint count = 0;
    Extent extent, before = {0};
    g_assert_cmpuint(extent_map_get_size(map), ==, model->size);
    for (; extent_map_find(map, at, &extent); at += extent.length_bytes, count++) {
        g_assert_cmpuint(extent.offset, ==, at);
        g_assert_cmpuint(extent.length_bytes, >, 0);
        for (guint64 i = 0; i < extent.length_bytes; i++) {
            const Origin *origin = &model->origins[at + i];
            g_assert_cmpint(extent.kind, ==, origin->kind);
            g_assert_true(extent.version == origin->version);
            g_assert_true(extent.version == NULL || extent.source_offset + i == origin->source_offset);
        }
        /* Neighbours that continue each other are one. */
        g_assert_false(
            count > 0 && before.kind == extent.kind && before.version == extent.version &&
            (extent.version == NULL || before.source_offset + before.length_bytes == extent.source_offset));
        local += extent.kind == EXTENT_LOCAL ? extent.length_bytes : 0;
        before = extent;
    }
    g_assert_cmpuint(at, ==, model->size);
    g_assert_cmpuint(count, ==, extent_map_get_count(map));
    g_assert_cmpuint(local, ==, extent_map_get_local_bytes(map));
}

static void
model_resize(Model *model, guint64 size)
{
    if (size > model->size)
        model_set(model, &(Extent){model->size, size - model->size, EXTENT_ZERO, NULL, 0});
    model->size = size;
}

static void
model_mark_local(Model *model, guint64 offset, guint64 length)
{
    for (guint64 i = offset; i < MIN(offset + length, model->size); i++) {
        if (model->origins[i].kind == EXTENT_VERSION)
            model->origins[i].kind = EXTENT_LOCAL;
    }
}

static void
model_rebase(Model *model, ObjectVersion *version)
{
    for (guint64 i = 0; i < model->size; i++) {
        model->origins[i].version = version;
        model->origins[i].source_offset = i;
    }
}

static Extent
random_extent(ObjectVersion **versions)
{
    guint64 offset = (guint64)g_test_rand_int_range(0, MODEL_BYTES - 600);
    guint64 length = (guint64)g_test_rand_int_range(0, 600);
    gint kind = g_test_rand_int_range(0, 4);
    if (kind == 0)
        return (Extent){offset, length, EXTENT_ZERO, NULL, 0};
    if (kind == 1)
        return (Extent){offset, length, EXTENT_LOCAL, NULL, 0};
    /* Often where its neighbour comes from too. */
    guint64 source = g_test_rand_bit() ? offset : (guint64)g_test_rand_int_range(0, 1000);
    return (Extent){offset, length, EXTENT_VERSION, versions[kind - 2], source};
}

static void
step(ExtentMap *map, Model *model, ObjectVersion **versions)
{
    Extent extent = random_extent(versions);
    switch (g_test_rand_int_range(0, 12)) {
    case 0:
        extent_map_resize(map, extent.offset);
        model_resize(model, extent.offset);
        break;
    case 1:
        extent_map_mark_local(map, extent.offset, extent.length_bytes);
        model_mark_local(model, extent.offset, extent.length_bytes);
        break;
    case 2:
        if (g_test_rand_int_range(0, 10) == 0) {
            extent_map_rebase(map, versions[0]);
            model_rebase(model, versions[0]);
        }
        break;
    default:
        if (extent.length_bytes > 0)
            model_set(model, &extent);
        extent_map_set(map, &extent);
    }
}

static void
test_extents(void)
{
    Versions versions;
    versions_init(&versions);
    ObjectVersion *two[2] = {version_new(&versions, "a", 10000), version_new(&versions, "b", 10000)};
    g_autofree Model *model = g_new0(Model, 1);
    ExtentMap *map = extent_map_new();
    for (guint i = 0; i < 20000; i++) {
        step(map, model, two);
        check_map(map, model);
    }
    extent_map_free(map);
    object_version_unref(two[0]);
    object_version_unref(two[1]);
    versions_clear(&versions);
}

typedef struct {
    Capabilities can;
    guint64 preferred;
    gboolean sent[64];
    PartLayout layout;
} PlanCase;

static gboolean
is_sent(gconstpointer data, guint index)
{
    const PlanCase *c = data;
    return index < G_N_ELEMENTS(c->sent) && c->sent[index];
}

static void
check_copied(const ExtentMap *map, const PlanPart *part)
{
    Extent extent;
    for (guint64 done = 0; done < part->length_bytes; done += extent.length_bytes) {
        g_assert_true(extent_map_slice(map, part->offset + done, part->length_bytes - done, &extent));
        g_assert_true(extent.version == part->version);
        g_assert_cmpuint(extent.source_offset, ==, part->source_offset + done);
    }
}

static void
check_parts(const ExtentMap *map, const PlanCase *c, const UploadPlan *plan)
{
    guint64 at = 0;
    guint number = 0;
    for (guint i = 0; i < plan->parts->len; i++) {
        const PlanPart *part = &g_array_index(plan->parts, PlanPart, i);
        gboolean last = i + 1 == plan->parts->len;
        g_assert_cmpuint(part->offset, ==, at);
        g_assert_cmpuint(part->number, >, number);
        g_assert_cmpuint(part->length_bytes, <=, c->can.maximum_part_bytes);
        g_assert_true(last || part->length_bytes >= c->can.minimum_part_bytes);
        if (part->kind == PLAN_PART_COPIED) {
            g_assert_true(c->can.copy_part);
            g_assert_cmpuint(part->length_bytes, <=, c->can.maximum_copy_bytes);
            check_copied(map, part);
        }
        if (part->kind == PLAN_PART_SENT) {
            g_assert_true(is_sent(c, part->number - 1));
            g_assert_cmpuint(part->offset, ==, part_layout_get_start(&c->layout, part->number - 1));
            g_assert_cmpuint(part->length_bytes, ==,
                             part_layout_get_start(&c->layout, part->number) - part->offset);
        }
        if (c->can.equal_parts && !last)
            g_assert_cmpuint(part->length_bytes, ==, g_array_index(plan->parts, PlanPart, 0).length_bytes);
        at += part->length_bytes;
        number = part->number;
    }
    g_assert_cmpuint(at, ==, extent_map_get_size(map));
    g_assert_cmpuint(number, <=, c->can.maximum_parts);
}

static void
random_case(PlanCase *c, guint64 size)
{
    *c = (PlanCase){.can = {.copy_object = g_test_rand_bit(),
                            .copy_part = g_test_rand_int_range(0, 4) > 0,
                            .multipart = TRUE,
                            .equal_parts = g_test_rand_int_range(0, 4) == 0,
                            .minimum_part_bytes = (guint64)g_test_rand_int_range(1, 50),
                            .maximum_put_bytes = (guint64)g_test_rand_int_range(20, 1500),
                            .maximum_parts = (guint)g_test_rand_int_range(2, 40)}};
    c->can.maximum_part_bytes = c->can.minimum_part_bytes * 2 + (guint64)g_test_rand_int_range(0, 3000);
    c->can.maximum_copy_bytes = c->can.minimum_part_bytes * 2 + (guint64)g_test_rand_int_range(0, 3000);
    c->preferred = (guint64)g_test_rand_int_range(1, 400);
    part_layout_init(&c->layout, &c->can, c->preferred);
    /* Only whole parts were sent. */
    for (guint i = 0; i < G_N_ELEMENTS(c->sent); i++)
        c->sent[i] = part_layout_get_start(&c->layout, i + 1) <= size && g_test_rand_bit();
}

static void
check_case(const ExtentMap *map, PlanCase *c, gboolean begun)
{
    g_auto(UploadPlan) plan = {0};
    g_autoptr(GError) error = NULL;
    guint64 size = extent_map_get_size(map);
    UploadPlanInput input = {&c->can, c->preferred, begun ? &c->layout : NULL, is_sent, c};
    if (!upload_plan_make(map, &input, &plan, &error)) {
        g_assert_error(error, STORAGEFS_ERROR, ERROR_TOO_LARGE);
        /* Half of what parts can hold always fits. */
        g_assert_cmpuint(size * 2, >, c->can.maximum_part_bytes / 2 * c->can.maximum_parts);
        return;
    }
    if (plan.kind == UPLOAD_PLAN_PARTS)
        check_parts(map, c, &plan);
    else if (plan.kind == UPLOAD_PLAN_PUT)
        g_assert_cmpuint(size, <=, c->can.maximum_put_bytes);
    else
        g_assert_cmpuint(object_version_get_size(plan.source), ==, size);
}

static void
test_random_plans(void)
{
    Versions versions;
    versions_init(&versions);
    ObjectVersion *two[2] = {version_new(&versions, "a", 10000), version_new(&versions, "b", 10000)};
    g_autofree Model *model = g_new0(Model, 1);
    for (guint round = 0; round < 3000; round++) {
        PlanCase c;
        g_autoptr(ExtentMap) map = extent_map_new();
        for (gint steps = g_test_rand_int_range(1, 20); steps > 0; steps--)
            step(map, model, two);
        random_case(&c, extent_map_get_size(map));
        check_case(map, &c, g_test_rand_bit());
    }
    object_version_unref(two[0]);
    object_version_unref(two[1]);
    versions_clear(&versions);
}

static const Capabilities S3 = {.copy_object = TRUE,
                                .copy_part = TRUE,
                                .multipart = TRUE,
                                .minimum_part_bytes = 5 * MIB,
                                .maximum_part_bytes = 5 * GIB,
                                .maximum_put_bytes = 5 * GIB,
                                .maximum_copy_bytes = 5 * GIB,
                                .maximum_object_bytes = 5 * 1024 * GIB,
                                .maximum_parts = 10000};

static guint
count_parts(const UploadPlan *plan, PlanPartKind kind, guint64 *out_bytes)
{
    guint count = 0;
    *out_bytes = 0;
    for (guint i = 0; i < plan->parts->len; i++) {
        const PlanPart *part = &g_array_index(plan->parts, PlanPart, i);
        count += part->kind == kind;
        *out_bytes += part->kind == kind ? part->length_bytes : 0;
    }
    return count;
}

/* A 4 KiB edit anywhere in a large object sends one part of the smallest size. */
static void
test_small_edit(void)
{
    static const guint64 SIZES[] = {1 * GIB, 20 * MIB, 300 * GIB};
    Versions versions;
    versions_init(&versions);
    for (guint i = 0; i < 300; i++) {
        guint64 size = SIZES[i % 3], bytes = 0;
        guint64 offset = (guint64)(g_test_rand_double() * (double)(size - 4096));
        ObjectVersion *version = version_new(&versions, "a", size);
        g_autoptr(ExtentMap) map = extent_map_new();
        g_auto(UploadPlan) plan = {0};
        UploadPlanInput input = {.capabilities = &S3, .preferred_part_bytes = 16 * MIB};
        extent_map_set(map, &(Extent){0, size, EXTENT_VERSION, version, 0});
        extent_map_set(map, &(Extent){offset, 4096, EXTENT_LOCAL, NULL, 0});
        g_assert_true(upload_plan_make(map, &input, &plan, NULL));
        g_assert_cmpint(plan.kind, ==, UPLOAD_PLAN_PARTS);
        g_assert_cmpuint(count_parts(&plan, PLAN_PART_COMPOSED, &bytes), <=, 2);
        g_assert_cmpuint(bytes, <=, 20 * MIB);
        g_assert_cmpuint(plan.parts->len, <=, 10000);
        object_version_unref(version);
    }
    versions_clear(&versions);
}

static void
test_whole_copy(void)
{
    Versions versions;
    versions_init(&versions);
    ObjectVersion *version = version_new(&versions, "a", 40 * GIB);
    ExtentMap *map = extent_map_new();
    UploadPlan plan = {0};
    UploadPlanInput input = {.capabilities = &S3, .preferred_part_bytes = 16 * MIB};
    extent_map_set(map, &(Extent){0, 10 * GIB, EXTENT_VERSION, version, 0});
    extent_map_set(map, &(Extent){10 * GIB, 30 * GIB, EXTENT_VERSION, version, 10 * GIB});
    g_assert_true(upload_plan_make(map, &input, &plan, NULL));
    g_assert_cmpint(plan.kind, ==, UPLOAD_PLAN_COPY);
    g_assert_true(plan.source == version);
    upload_plan_clear(&plan);
    /* One byte more, and it is a copy of parts and one short part. */
    extent_map_set(map, &(Extent){40 * GIB, 1, EXTENT_LOCAL, NULL, 0});
    g_assert_true(upload_plan_make(map, &input, &plan, NULL));
    guint64 bytes = 0;
    g_assert_cmpuint(count_parts(&plan, PLAN_PART_COMPOSED, &bytes), ==, 1);
    g_assert_cmpuint(bytes, ==, 1);
    upload_plan_clear(&plan);
    extent_map_free(map);
    object_version_unref(version);
    versions_clear(&versions);
}

static void
test_layout(void)
{
    PartLayout layout;
    Capabilities can = S3;
    part_layout_init(&layout, &can, 16 * MIB);
    for (guint i = 0; i < 10001; i++) {
        guint64 start = part_layout_get_start(&layout, i), next = part_layout_get_start(&layout, i + 1);
        g_assert_cmpuint(next, >, start);
        g_assert_cmpuint(next - start, <=, can.maximum_part_bytes);
        g_assert_cmpuint(part_layout_find(&layout, start), ==, i);
        g_assert_cmpuint(part_layout_find(&layout, next - 1), ==, i);
    }
    g_assert_true(part_layout_fits(&layout, can.maximum_object_bytes));
    g_assert_cmpuint(part_layout_get_start(&layout, 1), ==, 16 * MIB);
    can.equal_parts = TRUE;
    part_layout_init(&layout, &can, 16 * MIB);
    g_assert_cmpuint(part_layout_get_start(&layout, 9999), ==, 9999 * 16 * MIB);
    g_assert_false(part_layout_fits(&layout, can.maximum_object_bytes));
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/object/extents", test_extents);
    g_test_add_func("/object/plan/random", test_random_plans);
    g_test_add_func("/object/plan/small-edit", test_small_edit);
    g_test_add_func("/object/plan/whole-copy", test_whole_copy);
    g_test_add_func("/object/plan/layout", test_layout);
    return g_test_run();
}
