/* Random operations on the tree against the reference model: one thread with remounts and somebody else who
 * changes its names, and several threads beside another client. */
#include "tests/model/model_run.h"

#define SMALL_PARTS "minimum_part = 16K\npart_size = 64K\n"

static const ModelVariant VARIANTS[] = {
    {"flat", SMALL_PARTS, 0, 0, {.folders = FALSE}},
    {"folders", SMALL_PARTS "page_limit = 3\n", 0, 0, {.folders = TRUE}},
    {"flat-cached", SMALL_PARTS "etags = counter\n", 1 << 20, 0, {.folders = FALSE}},
    {"folders-listing", SMALL_PARTS "metadata_in_listings = yes\n", 0, 0, {.folders = TRUE}},
    {"folders-little-memory", SMALL_PARTS, 0, 1 << 20, {.folders = TRUE}},
    {"folders-poor",
     SMALL_PARTS "conditional_commit = no\nconditional_delete = no\ncopy_part = no\n",
     0,
     0,
     {.folders = TRUE}},
    {"flat-equal-parts", SMALL_PARTS "equal_parts = yes\n", 0, 0, {.folders = FALSE}},
    {"flat-journal", SMALL_PARTS, 0, 0, {.folders = FALSE, .journal = TRUE}},
    {"folders-journal", SMALL_PARTS "etags = counter\n", 0, 0, {.folders = TRUE, .journal = TRUE}},
    {"folders-journal-cached", SMALL_PARTS, 1 << 20, 0, {.folders = TRUE, .journal = TRUE}},
};

static char *
run_it(gconstpointer data, GArray *operations)
{
    return model_run(data, operations, NULL);
}

static void
run_seeds(const ModelRun *run, guint seeds)
{
    guint done = model_run_seeds(run, run_it, run, 1, seeds);
    model_run_count("random operations, in process", "operations", (guint64)done * run->count * run->threads);
}

static void
test_alone(gconstpointer data)
{
    ModelRun run = {.variant = data, .threads = 1, .count = 250, .alone = TRUE};
    run_seeds(&run, 8);
}

static void
test_threads(gconstpointer data)
{
    ModelRun run = {.variant = data, .threads = 4, .count = 120, .foreign = TRUE};
    run_seeds(&run, 3);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    model_run_share(2 * G_N_ELEMENTS(VARIANTS));
    for (guint i = 0; i < G_N_ELEMENTS(VARIANTS); i++) {
        g_autofree char *alone = g_strconcat("/model/alone/", VARIANTS[i].name, NULL);
        g_autofree char *threads = g_strconcat("/model/threads/", VARIANTS[i].name, NULL);
        g_test_add_data_func(alone, &VARIANTS[i], test_alone);
        g_test_add_data_func(threads, &VARIANTS[i], test_threads);
    }
    return g_test_run();
}
