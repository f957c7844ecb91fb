/* Whole objects written, so that a lost reply is neither a failure nor a second write.
 *
 * A request whose reply was lost may have been carried out. Repeating it is harmless without a condition;
 * with one, the repetition would be refused by our own first success. So what is stored is looked at: our
 * size, our metadata, another ETag than the one to be replaced, and it counts as done.
 */
#include "src/storage/retry.h"
#include "src/storage/storage_private.h"

#include <string.h>

static gboolean
holds_metadata(const ObjectInfo *found, Metadata *wanted)
{
    GHashTableIter iter;
    gpointer name, value;
    if (!wanted)
        return TRUE;
    g_hash_table_iter_init(&iter, wanted);
    while (g_hash_table_iter_next(&iter, &name, &value)) {
        if (!found->metadata || g_strcmp0(g_hash_table_lookup(found->metadata, name), value) != 0)
            return FALSE;
    }
    return TRUE;
}

static gboolean
is_ours(const ObjectInfo *found, const StorageExpectation *expected)
{
    const WriteOptions *options = expected->options;
    if (!expected->any_size && found->size_bytes != expected->size_bytes)
        return FALSE;
    if (!options)
        return TRUE;
    return holds_metadata(found, options->metadata) &&
           (!options->if_etag || g_strcmp0(found->etag, options->if_etag) != 0);
}

/* Before a repetition there must be something that the object before could not have had by chance. */
static gboolean
is_telling(const StorageExpectation *expected)
{
    const WriteOptions *options = expected->options;
    return storage_has_condition(options) ||
           (options && options->metadata && g_hash_table_size(options->metadata) > 0);
}

/* FALSE: nothing is known, the failure is in attempt->failure. */
static gboolean
look_up(StorageAttempt *attempt, const StorageExpectation *expected, ObjectInfo *out_info, gboolean *out_done)
{
    const Driver *driver = attempt->storage->settings->driver;
    g_auto(ObjectInfo) found = {0};
    g_autoptr(GError) failure = NULL;
    atomic_fetch_add_explicit(&attempt->storage->requests, 1, memory_order_relaxed);
    if (driver->stat_object(attempt->storage->instance, attempt->call, attempt->container, attempt->key,
                            &found, &failure)) {
        *out_done = is_ours(&found, expected);
        if (*out_done) {
            *out_info = found;
            found = (ObjectInfo){0};
        }
        return TRUE;
    }
    *out_done = FALSE;
    if (error_is(failure, ERROR_NOT_FOUND))
        return TRUE;
    g_clear_error(&attempt->failure);
    attempt->failure = g_steal_pointer(&failure);
    return FALSE;
}

static gboolean
is_refusal(const GError *failure)
{
    return error_is(failure, ERROR_NOT_FOUND) || error_is(failure, ERROR_CHANGED) ||
           error_is(failure, ERROR_EXISTS);
}

/* One round: looks when the last one left a doubt, else does it. TRUE: done; else attempt->failure is set. */
static gboolean
try_once(StorageAttempt *attempt, const StorageExpectation *expected, StorageWriteStep step, gpointer data,
         gboolean *unsure, ObjectInfo *out_info)
{
    gboolean done = FALSE;
    if (*unsure && is_telling(expected)) {
        if (!look_up(attempt, expected, out_info, &done))
            return FALSE;
        if (done)
            return TRUE;
    }
    if (step(data, out_info, &attempt->failure))
        return TRUE;
    if (*unsure && is_refusal(attempt->failure) && look_up(attempt, expected, out_info, &done) && done)
        return TRUE;
    *unsure = *unsure || retry_may_have_happened(attempt->failure);
    return FALSE;
}

gboolean
storage_write_surely(StorageAttempt *attempt, const StorageExpectation *expected, StorageWriteStep step,
                     gpointer data, ObjectInfo *out_info, GError **error)
{
    gboolean unsure = FALSE;
    while (!try_once(attempt, expected, step, data, &unsure, out_info)) {
        if (!storage_attempt_again(attempt, error))
            return FALSE;
    }
    return storage_attempt_done(attempt);
}

static gboolean
refuse(Storage *storage, const char *container, const char *key, ErrorCode code, const char *why,
       GError **error)
{
    g_set_error(error, STORAGEFS_ERROR, (int)code, "%s/%s/%s: %s", storage->settings->name, container, key,
                why);
    return FALSE;
}

gboolean
storage_check_condition(Storage *storage, Call *call, const char *container, const char *key,
                        const WriteOptions *options, GError **error)
{
    g_auto(ObjectInfo) found = {0};
    g_autoptr(GError) failure = NULL;
    gboolean exists = storage_stat_object(storage, call, container, key, &found, &failure);
    if (!exists && !error_is(failure, ERROR_NOT_FOUND)) {
        g_propagate_error(error, g_steal_pointer(&failure));
        return FALSE;
    }
    if (exists && options->if_absent)
        return refuse(storage, container, key, ERROR_EXISTS, "the object exists", error);
    if (options->if_etag && !exists)
        return refuse(storage, container, key, ERROR_CHANGED, "the object was deleted meanwhile", error);
    if (options->if_etag && g_strcmp0(found.etag, options->if_etag) != 0)
        return refuse(storage, container, key, ERROR_CHANGED, "the object was replaced meanwhile", error);
    return TRUE;
}

typedef struct {
    StorageAttempt *attempt;
    const ByteSource *source;
    const WriteOptions *options;
} WriteJob;

static gboolean
write_step(gpointer data, ObjectInfo *out_info, GError **failure)
{
    WriteJob *job = data;
    StorageAttempt *attempt = job->attempt;
    return attempt->storage->settings->driver->write_object(attempt->storage->instance, attempt->call,
                                                            attempt->container, attempt->key, job->source,
                                                            job->options, out_info, failure);
}

gboolean
storage_prepare_condition(Storage *storage, Call *call, const char *container, const char *key,
                          gboolean commit, WriteOptions *options, GError **error)
{
    Capabilities can;
    if (!storage_has_condition(options))
        return TRUE;
    storage_await_capabilities(storage, call, &can);
    ConditionSupport absent = commit ? can.commit_if_absent : can.write_if_absent;
    ConditionSupport etag = commit ? can.commit_if_etag : can.write_if_etag;
    ConditionSupport support = options->if_absent ? absent : etag;
    if (support == CONDITION_ATOMIC)
        return TRUE;
    if (!storage_check_condition(storage, call, container, key, options, error))
        return FALSE;
    if (support == CONDITION_MAYBE) {
        storage_note_unsure_write(storage, container);
        return TRUE;
    }
    options->if_absent = FALSE;
    options->if_etag = NULL;
    return TRUE;
}

gboolean
storage_write_object(Storage *storage, Call *call, const char *container, const char *key,
                     const ByteSource *source, const WriteOptions *options, ObjectInfo *out_info,
                     GError **error)
{
    g_auto(ObjectInfo) written = {0};
    WriteOptions effective = options ? *options : (WriteOptions){0};
    StorageExpectation expected = {.size_bytes = source->size_bytes, .options = options};
    StorageAttempt attempt;
    if (!storage_check_writable(storage, error) ||
        !storage_prepare_condition(storage, call, container, key, FALSE, &effective, error) ||
        !storage_attempt_begin(&attempt, storage, call, container, key, error))
        return FALSE;
    /* Without a condition the same bytes twice are no harm, and no look is needed. */
    if (!storage_has_condition(options))
        expected.options = NULL;
    WriteJob job = {.attempt = &attempt, .source = source, .options = &effective};
    if (!storage_write_surely(&attempt, &expected, write_step, &job, &written, error))
        return FALSE;
    atomic_fetch_add_explicit(&storage->body_bytes_sent, source->size_bytes, memory_order_relaxed);
    if (out_info) {
        *out_info = written;
        written = (ObjectInfo){0};
    }
    return TRUE;
}

gboolean
storage_holds_write(const ObjectInfo *found, guint64 size_bytes, const WriteOptions *options)
{
    const StorageExpectation expected = {.size_bytes = size_bytes, .options = options};
    return is_telling(&expected) && is_ours(found, &expected);
}
