/* Sequences of operations from several threads, and the search for a short one that fails. */
#include "tests/model/model_run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATIENCE_US (20 * G_USEC_PER_SEC)
#define SHRINK_US (60 * G_USEC_PER_SEC)

typedef struct {
    const ModelRun *run;
    ModelThread *thread;
    GArray *operations;
} Work;

static void
name_operation(ModelThread *thread, guint number, const ModelOperation *operation)
{
    g_autofree char *text = model_operation_describe(operation);
    g_string_append_printf(thread->difference, "\n  at operation %u: %s", number, text);
}

static gboolean
has_met(const ModelRun *run, ModelWorld *world)
{
    return run->fault != NULL && memory_fault_get_count(world->memory, MEMORY_ANY) >= run->fault->nth;
}

static void
apply(Work *work, const ModelOperation *operation)
{
    ModelThread *thread = work->thread;
    ModelBefore before;
    if (work->run->fault == NULL) {
        model_apply(thread, operation);
        return;
    }
    model_before_init(&before, thread, operation);
    model_apply(thread, operation);
    if (thread->failed)
        memory_fault_clear(thread->world->memory);
    if (thread->failed && !model_differs(thread))
        model_check_failure(thread, &before, operation);
    else if (has_met(work->run, thread->world))
        model_forgive_unlinked(thread);
    model_before_clear(&before);
}

static gpointer
run_thread(gpointer data)
{
    Work *work = data;
    ModelThread *thread = work->thread;
    for (guint i = 0; i < work->operations->len; i++) {
        const ModelOperation *operation = &g_array_index(work->operations, ModelOperation, i);
        if (operation->thread != thread->number)
            continue;
        if (g_atomic_int_get(&thread->world->stop) != 0 || thread->failed)
            break;
        apply(work, operation);
        if (model_differs(thread))
            name_operation(thread, i, operation);
    }
    return NULL;
}

/* Another client of the store, with names of its own in the same container. */
static gpointer
run_foreigner(gpointer data)
{
    ModelWorld *world = data;
    for (guint round = 0; g_atomic_int_get(&world->stop) == 0; round++) {
        g_autofree char *key = g_strdup_printf("foreign-%u", round % 9);
        if (round % 3 == 2)
            model_world_delete(world, key);
        else
            model_world_store(world, key, key, strlen(key));
        g_usleep(300);
    }
    return NULL;
}

static void
run_threads(const ModelRun *run, ModelWorld *world, GArray *operations)
{
    g_autofree GThread **threads = g_new0(GThread *, run->threads);
    g_autofree Work *work = g_new0(Work, run->threads);
    gint finished = 0;
    for (guint i = 0; i < run->threads; i++)
        work[i] = (Work){run, &world->threads[i], operations};
    if (run->threads == 1) {
        run_thread(&work[0]);
        return;
    }
    GThread *foreigner = run->foreign ? g_thread_new("foreigner", run_foreigner, world) : NULL;
    for (guint i = 0; i < run->threads; i++)
        threads[i] = g_thread_new("model", run_thread, &work[i]);
    for (guint i = 0; i < run->threads; i++)
        g_thread_join(threads[i]);
    finished = g_atomic_int_get(&world->stop);
    g_atomic_int_set(&world->stop, 1);
    if (foreigner != NULL)
        g_thread_join(foreigner);
    g_atomic_int_set(&world->stop, finished);
}

/* What reads ahead of a reader holds its Nodes until the answer is there. */
static void
check_nodes(ModelWorld *world)
{
    guint64 expected = 2 + (world->variant->scope.folders ? world->thread_count : 0);
    gint64 end_us = g_get_monotonic_time() + PATIENCE_US;
    TreeStatistics statistics;
    for (;;) {
        tree_get_statistics(world->tree, &statistics);
        if (statistics.nodes == expected)
            return;
        if (g_get_monotonic_time() > end_us)
            break;
        g_usleep(1000);
    }
    model_differ(&world->threads[0], "%" G_GUINT64_FORMAT " nodes are left, not %" G_GUINT64_FORMAT,
                 statistics.nodes, expected);
}

/* A reply that got lost, or an abort that was refused, may leave one. */
static void
check_uploads(const ModelRun *run, ModelWorld *world)
{
    guint allowed = run->fault != NULL && (run->fault->lost_reply || run->fault->code == ERROR_DENIED);
    gint64 end_us = g_get_monotonic_time() + PATIENCE_US;
    while (model_world_count_uploads(world) > allowed && g_get_monotonic_time() < end_us)
        g_usleep(1000);
    if (model_world_count_uploads(world) > allowed)
        model_differ(&world->threads[0], "%u unfinished uploads are left", model_world_count_uploads(world));
}

static void
check_end(const ModelRun *run, ModelWorld *world)
{
    if (!model_world_settle(world))
        model_differ(&world->threads[0], "uploads do not end");
    if (model_world_count_open(world) > 0)
        model_differ(&world->threads[0], "%u files stay open", model_world_count_open(world));
    for (guint i = 0; i < world->thread_count; i++)
        model_check_store(&world->threads[i]);
    for (guint i = 0; i < world->thread_count; i++)
        model_check_tree(&world->threads[i]);
    check_uploads(run, world);
    check_nodes(world);
    if (g_atomic_int_get(&world->stop) != 0)
        return;
    model_world_remount(world);
    for (guint i = 0; i < world->thread_count; i++)
        model_check_tree(&world->threads[i]);
}

static char *
take_difference(ModelWorld *world)
{
    for (guint i = 0; i < world->thread_count; i++) {
        if (model_differs(&world->threads[i]))
            return g_strdup(world->threads[i].difference->str);
    }
    return NULL;
}

char *
model_run(const ModelRun *run, GArray *operations, gboolean *out_met)
{
    ModelWorld *world = model_world_new(run->variant, run->threads);
    ModelThread *first = &world->threads[0];
    memory_fault_reset_counts(world->memory);
    if (run->fault != NULL) {
        memory_fault_add(world->memory, run->fault);
        first->may_fail = run->fault->code != ERROR_UNAVAILABLE;
        first->allowed_code = run->fault->code;
    }
    run_threads(run, world, operations);
    guint64 calls = memory_fault_get_count(world->memory, MEMORY_ANY);
    memory_fault_clear(world->memory);
    gboolean failed = first->failed, may_have_failed = first->may_fail;
    first->may_fail = FALSE;
    for (guint i = 0; i < world->thread_count; i++)
        model_close_slots(&world->threads[i]);
    first->may_fail = may_have_failed;
    if (run->fault != NULL && calls >= run->fault->nth && !failed)
        model_forgive_unlinked(first);
    first->may_fail = FALSE;
    char *difference = take_difference(world);
    if (difference == NULL && !failed) {
        check_end(run, world);
        difference = take_difference(world);
    }
    model_world_free(world);
    if (out_met != NULL)
        *out_met = run->fault != NULL && calls >= run->fault->nth;
    return difference;
}

static GArray *
leave_out(GArray *operations, guint from, guint count)
{
    GArray *rest = g_array_new(FALSE, FALSE, sizeof(ModelOperation));
    g_array_append_vals(rest, operations->data, from);
    if (from + count < operations->len)
        g_array_append_vals(rest, &g_array_index(operations, ModelOperation, from + count),
                            operations->len - from - count);
    return rest;
}

/* With threads, what fails does not fail always. */
static char *
try_often(const ModelRun *run, ModelTry try, gconstpointer data, GArray *operations)
{
    char *difference = NULL;
    for (guint i = 0; i < (run->threads > 1 ? 4 : 1) && difference == NULL; i++)
        difference = try(data, operations);
    return difference;
}

/* Takes operations and *difference, and gives shorter ones. */
static GArray *
shrink(const ModelRun *run, ModelTry try, gconstpointer data, GArray *operations, char **difference)
{
    gint64 end_us = g_get_monotonic_time() + SHRINK_US;
    for (guint chunk = MAX(1, operations->len / 2); chunk > 0; chunk /= 2) {
        guint from = 0;
        while (from < operations->len && g_get_monotonic_time() < end_us) {
            GArray *rest = leave_out(operations, from, MIN(chunk, operations->len - from));
            char *again = try_often(run, try, data, rest);
            if (again == NULL) {
                g_array_unref(rest);
                from += chunk;
                continue;
            }
            g_array_unref(operations);
            g_free(*difference);
            operations = rest;
            *difference = again;
        }
    }
    return operations;
}

static void
report(const ModelRun *run, guint32 seed, GArray *operations, const char *difference)
{
    g_printerr("%s, seed %u: %s\nthe shortest sequence found has %u operations:\n", run->variant->name, seed,
               difference, operations->len);
    for (guint i = 0; i < operations->len; i++) {
        g_autofree char *text = model_operation_describe(&g_array_index(operations, ModelOperation, i));
        g_printerr("  %s\n", text);
    }
    g_test_fail_printf("%s, seed %u: %s", run->variant->name, seed, difference);
}

gboolean
model_run_one(const ModelRun *run, ModelTry try, gconstpointer data, guint32 seed)
{
    ModelScope scope = run->variant->scope;
    scope.alone = run->alone;
    GArray *operations = model_operation_random(seed, run->threads, run->count, &scope);
    char *difference = try(data, operations);
    gboolean ok = difference == NULL;
    if (!ok) {
        g_printerr("%s, seed %u: %s\nlooking for a shorter sequence\n", run->variant->name, seed, difference);
        operations = shrink(run, try, data, operations, &difference);
        report(run, seed, operations, difference);
    }
    g_array_unref(operations);
    g_free(difference);
    return ok;
}

static guint shares = 1;

void
model_run_share(guint calls)
{
    shares = calls;
}

guint
model_run_seeds(const ModelRun *run, ModelTry try, gconstpointer data, guint32 first, guint seeds)
{
    const char *seed = g_getenv("STORAGEFS_MODEL_SEED"), *seconds = g_getenv("STORAGEFS_MODEL_SECONDS");
    gint64 end_us = g_get_monotonic_time() + (seconds != NULL ? atoll(seconds) * G_USEC_PER_SEC / shares : 0);
    if (seed != NULL) {
        first = (guint32)strtoul(seed, NULL, 10);
        seeds = 1;
    }
    guint done = 0;
    while (done < seeds || g_get_monotonic_time() < end_us) {
        if (!model_run_one(run, try, data, first + done++))
            return done;
    }
    g_test_message("%s: seeds %u to %u, %u operations", run->variant->name, first, first + done - 1,
                   done * run->count * run->threads);
    return done;
}

void
model_run_count(const char *part, const char *what, guint64 number)
{
    const char *path = g_getenv("STORAGEFS_TEST_FIGURES");
    FILE *file = path != NULL ? fopen(path, "ae") : NULL;
    if (file == NULL)
        return;
    fprintf(file, "{\"part\": \"%s\", \"%s\": %" G_GUINT64_FORMAT "}\n", part, what, number);
    fclose(file);
}
