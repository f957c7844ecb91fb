/* Runs sequences, and makes one that fails short.
 *
 *     STORAGEFS_MODEL_SEED=7       this seed only
 *     STORAGEFS_MODEL_SECONDS=60   the whole program for so long, with one seed after the other; from
 *                                  STORAGEFS_MODEL_SEED on, if that is set too
 */
#pragma once

#include "tests/model/model_world.h"

typedef struct {
    const ModelVariant *variant;
    guint threads, count;     /* operations of each thread */
    gboolean alone;           /* may remount, and somebody else may change its names; one thread, no fault */
    gboolean foreign;         /* names of its own are made and removed by another client meanwhile */
    const MemoryFault *fault; /* one thread; the run ends with the operation that reports it */
} ModelRun;

/* NULL: no difference; else what and where, the caller frees. *out_met (may be NULL): a call was hit. */
char *model_run(const ModelRun *run, GArray *operations, gboolean *out_met);

/* Whether a sequence fails; the caller frees what is returned. */
typedef char *(*ModelTry)(gconstpointer data, GArray *operations);
/* How many calls of model_run_seeds() share the seconds. */
void model_run_share(guint calls);
/* Seeds from `first` on, `seeds` of them or as the environment says; how many it was. What fails is made
 * short, printed, and fails the test. */
guint model_run_seeds(const ModelRun *run, ModelTry try, gconstpointer data, guint32 first, guint seeds);
/* For scripts/soak: adds to what was done, in the file STORAGEFS_TEST_FIGURES if that is set. */
void model_run_count(const char *part, const char *what, guint64 number);
/* The same for one sequence. TRUE: no difference. */
gboolean model_run_one(const ModelRun *run, ModelTry try, gconstpointer data, guint32 seed);

/* model_fault.c. Before an operation: what is the case. */
typedef struct {
    ModelState model;
    GHashTable *store;
    GHashTable *touched; /* set of paths; what is below counts, too */
} ModelBefore;
void model_before_init(ModelBefore *before, ModelThread *thread, const ModelOperation *operation);
void model_before_clear(ModelBefore *before);
/* The fault may have hit the deletion of an object that was unlinked while it was open: no close tells that,
 * and the object stays. The store is put right; once, as there is one fault. */
void model_forgive_unlinked(ModelThread *thread);
/* The operation reported the fault, and the service is well again: what is stored is what was, or what should
 * be, and the tree shows that. */
void model_check_failure(ModelThread *thread, ModelBefore *before, const ModelOperation *operation);
