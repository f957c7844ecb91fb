#include "tests/contract/contract.h"

#include <pthread.h>

#define RACERS 8

static void
test_if_absent(void)
{
    GError *error = NULL;
    const WriteOptions options = {.if_absent = TRUE};
    if (contract.can.write_if_absent != CONDITION_ATOMIC || contract.is_mock) {
        g_test_skip("if_absent is not atomic here");
        return;
    }
    g_assert_true(contract_try_put("new", "one", 3, &options, &error));
    g_assert_false(contract_try_put("new", "two", 3, &options, &error));
    contract_assert_code(&error, ERROR_EXISTS);
    contract_assert_content("new", "one", 3);
}

static void
test_if_etag(void)
{
    GError *error = NULL;
    if (contract.can.write_if_etag != CONDITION_ATOMIC || contract.is_mock) {
        g_test_skip("if_etag is not atomic here");
        return;
    }
    g_autofree char *first = contract_put("held", "one", 3, NULL);
    WriteOptions options = {.if_etag = first};
    g_autofree char *second = contract_put("held", "two", 3, &options);
    g_assert_false(contract_try_put("held", "three", 5, &options, &error));
    contract_assert_code(&error, ERROR_CHANGED);
    contract_assert_content("held", "two", 3);
    g_assert_false(contract_try_put("never", "x", 1, &options, &error));
    g_assert_true(error_is(error, ERROR_CHANGED) || error_is(error, ERROR_NOT_FOUND));
    g_clear_error(&error);
    contract_assert_absent("never");
}

static void
test_delete_if_etag(void)
{
    GError *error = NULL;
    if (contract.can.delete_if_etag != CONDITION_ATOMIC) {
        g_test_skip("deletes take no condition here");
        return;
    }
    g_autofree char *old = contract_put("guarded", "one", 3, NULL);
    g_autofree char *now = contract_put("guarded", "other", 5, NULL);
    g_assert_false(
        contract.driver->delete_object(contract.instance, NULL, contract.container, "guarded", old, &error));
    contract_assert_code(&error, ERROR_CHANGED);
    contract_assert_content("guarded", "other", 5);
    g_assert_true(
        contract.driver->delete_object(contract.instance, NULL, contract.container, "guarded", now, &error));
    contract_assert_absent("guarded");
}

typedef struct {
    pthread_barrier_t *start;
    const WriteOptions *options;
    char text;
    gboolean won;
    GError *error;
} Racer;

static void *
race(void *data)
{
    Racer *racer = data;
    pthread_barrier_wait(racer->start);
    racer->won = contract_try_put("raced", &racer->text, 1, racer->options, &racer->error);
    return NULL;
}

/* Exactly one of the racers wins, its byte is there, and the others were told so. */
static void
run_race(const WriteOptions *options, ErrorCode lost)
{
    pthread_barrier_t start;
    pthread_t threads[RACERS];
    Racer racers[RACERS];
    guint winners = 0;
    char text = '\0';
    pthread_barrier_init(&start, NULL, RACERS);
    for (guint i = 0; i < RACERS; i++) {
        racers[i] = (Racer){.start = &start, .options = options, .text = (char)('A' + i)};
        g_assert_cmpint(pthread_create(&threads[i], NULL, race, &racers[i]), ==, 0);
    }
    for (guint i = 0; i < RACERS; i++) {
        pthread_join(threads[i], NULL);
        winners += racers[i].won;
        if (racers[i].won)
            text = racers[i].text;
        else if (error_is_transient(racers[i].error))
            g_clear_error(&racers[i].error);
        else
            contract_assert_code(&racers[i].error, lost);
    }
    pthread_barrier_destroy(&start);
    g_assert_cmpuint(winners, ==, 1);
    contract_assert_content("raced", &text, 1);
}

static void
test_race_absent(void)
{
    const WriteOptions options = {.if_absent = TRUE};
    if (contract.can.write_if_absent != CONDITION_ATOMIC || contract.is_mock) {
        g_test_skip("if_absent is not atomic here");
        return;
    }
    run_race(&options, ERROR_EXISTS);
}

static void
test_race_etag(void)
{
    if (contract.can.write_if_etag != CONDITION_ATOMIC || contract.is_mock) {
        g_test_skip("if_etag is not atomic here");
        return;
    }
    g_autofree char *etag = contract_put("raced", "?", 1, NULL);
    const WriteOptions options = {.if_etag = etag};
    run_race(&options, ERROR_CHANGED);
}

void
contract_add_conditions(void)
{
    contract_add("/conditions/if-absent", test_if_absent);
    contract_add("/conditions/if-etag", test_if_etag);
    contract_add("/conditions/delete-if-etag", test_delete_if_etag);
    contract_add("/conditions/race-absent", test_race_absent);
    contract_add("/conditions/race-etag", test_race_etag);
}
