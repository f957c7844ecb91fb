/* Random operations while the n-th call to the service fails, for n = 1, 2, ... until a run meets no failure:
 * the result is right, or the call failed and nothing is lost. */
#include "tests/model/model_run.h"

#define KEYS "minimum_part = 16K\npart_size = 64K\n"
#define MAXIMUM_CALLS 3000u

static const ModelVariant VARIANTS[] = {
    {"flat", KEYS, 0, 0, {.folders = FALSE}},
    {"folders", KEYS, 0, 0, {.folders = TRUE}},
    {"flat-cached", KEYS "etags = counter\n", 1 << 20, 0, {.folders = FALSE}},
    {"folders-journal", KEYS, 0, 0, {.folders = TRUE, .journal = TRUE}},
};

static const struct {
    const char *name;
    ErrorCode code;
    gboolean lost_reply;
} KINDS[] = {
    {"denied", ERROR_DENIED, FALSE},
    {"protocol-late", ERROR_PROTOCOL, TRUE},
    {"unavailable", ERROR_UNAVAILABLE, FALSE},
    {"unavailable-late", ERROR_UNAVAILABLE, TRUE},
};

typedef struct {
    ModelRun run;
    guint kind;
} Faults;

static guint64 faults_met, operations_done;

static char *
run_all(gconstpointer data, GArray *operations)
{
    const Faults *faults = data;
    gboolean met = TRUE;
    for (guint nth = 1; met; nth++) {
        const MemoryFault fault = {.operation = MEMORY_ANY,
                                   .nth = nth,
                                   .times = 1,
                                   .fails = TRUE,
                                   .code = KINDS[faults->kind].code,
                                   .lost_reply = KINDS[faults->kind].lost_reply};
        ModelRun run = faults->run;
        run.fault = &fault;
        g_autofree char *difference = model_run(&run, operations, &met);
        faults_met += met;
        operations_done += operations->len;
        if (difference != NULL)
            return g_strdup_printf("call %u is %s: %s", nth, KINDS[faults->kind].name, difference);
        g_assert_cmpuint(nth, <, MAXIMUM_CALLS);
    }
    return NULL;
}

static void
test_faults(gconstpointer data)
{
    for (guint kind = 0; kind < G_N_ELEMENTS(KINDS) && !g_test_failed(); kind++) {
        Faults faults = {{.variant = data, .threads = 1, .count = 40}, kind};
        model_run_seeds(&faults.run, run_all, &faults, 100 * kind + 1, 2);
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    model_run_share(G_N_ELEMENTS(KINDS) * G_N_ELEMENTS(VARIANTS));
    for (guint i = 0; i < G_N_ELEMENTS(VARIANTS); i++) {
        g_autofree char *path = g_strconcat("/model/faults/", VARIANTS[i].name, NULL);
        g_test_add_data_func(path, &VARIANTS[i], test_faults);
    }
    int status = g_test_run();
    model_run_count("operations under faults, in process", "operations", operations_done);
    model_run_count("operations under faults, in process", "faults", faults_met);
    return status;
}
