/* Tries conditions on objects of our own, because a service that does not know a header ignores it silently.
 *
 * Order of steps: two PUTs if absent; PUT if the ETag is wrong, then right with and without quotes; a copy
 * whose source condition is wrong; a multi-part upload, with a copied part whose source condition is wrong,
 * committed if absent, if wrong, if right; a DELETE if wrong. Whatever happens, the objects are removed.
 */
#include "drivers/s3/s3_probe.h"

#include "drivers/common/memory_source.h"
#include "drivers/s3/s3_container.h"
#include "drivers/s3/s3_headers.h"
#include "drivers/s3/s3_multipart.h"
#include "drivers/s3/s3_object.h"
#include "src/base/error.h"

#include <string.h>

#define WRONG_ETAG "00000000000000000000000000000000"

typedef struct {
    S3 *s3;
    Call *call;
    const char *container;
    char *key, *copy_key;
    char *etag;         /* of the object at key */
    gboolean disturbed; /* a request was not answered: what was found holds until the next mount only */
} Probe;

static void
probe_clear(Probe *probe)
{
    g_free(probe->key);
    g_free(probe->copy_key);
    g_free(probe->etag);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Probe, probe_clear)

static void
learn(Probe *probe, S3Condition condition, gboolean works)
{
    s3_learned_set_support(probe->s3->learned, condition, works ? S3_SUPPORT_ATOMIC : S3_SUPPORT_NONE);
}

/* What became of a request with a condition. */
typedef enum { OUTCOME_DONE, OUTCOME_REFUSED, OUTCOME_FAILED } Outcome;

/* Without a reply, or with one that may be another the next time. */
static gboolean
is_no_answer(const S3Failure *failure)
{
    ErrorCode code = s3_error_classify(failure);
    return failure->status == 0 || code == ERROR_UNAVAILABLE || code == ERROR_THROTTLED;
}

static Outcome
judge(Probe *probe, gboolean done, const S3Request *request)
{
    probe->disturbed |= !done && is_no_answer(&request->failure);
    if (done)
        return OUTCOME_DONE;
    return request->failure.status == 412 || request->failure.status == 304 ? OUTCOME_REFUSED
                                                                            : OUTCOME_FAILED;
}

/* PUTs the probe object as it is; header may be NULL. */
static Outcome
put(Probe *probe, const char *header, const char *value, GError **error)
{
    static const char content[] = "storagefs looks what this service can do\n";
    ByteSource source = memory_source_make(content, strlen(content));
    g_auto(S3Request) request = {0};
    g_auto(HttpResponse) response = {0};
    s3_request_init(&request, "PUT", probe->container, probe->key);
    request.body = &source;
    request.checksum = TRUE;
    if (!s3_headers_add_new_object(probe->s3, &request, NULL, error))
        return OUTCOME_FAILED;
    if (header)
        s3_request_add_header(&request, header, value);
    gboolean done = s3_request_perform(probe->s3, &request, probe->call, &response, error);
    if (done) {
        g_free(probe->etag);
        probe->etag = s3_headers_dup_etag(http_response_get_header(&response, "etag"));
    }
    return judge(probe, done, &request);
}

static gboolean
has_ended(Probe *probe)
{
    return !call_check(probe->call, NULL);
}

/* TRUE: the probe object is there. */
static gboolean
probe_absent(Probe *probe, GError **error)
{
    g_autoptr(GError) why = NULL;
    if (probe->s3->options->preset->if_absent_header)
        return put(probe, NULL, NULL, error) == OUTCOME_DONE;
    Outcome first = put(probe, "If-None-Match", "*", &why);
    if (first != OUTCOME_DONE && error_is(why, ERROR_UNSUPPORTED)) {
        learn(probe, S3_CONDITION_WRITE_IF_ABSENT, FALSE);
        return put(probe, NULL, NULL, error) == OUTCOME_DONE;
    }
    if (first != OUTCOME_DONE) {
        g_propagate_error(error, g_steal_pointer(&why));
        return FALSE;
    }
    Outcome second = put(probe, "If-None-Match", "*", NULL);
    if (second != OUTCOME_FAILED)
        learn(probe, S3_CONDITION_WRITE_IF_ABSENT, second == OUTCOME_REFUSED);
    return TRUE;
}

static void
probe_etag(Probe *probe)
{
    g_autofree char *wrong = s3_headers_quote_etag(WRONG_ETAG);
    g_autoptr(GError) why = NULL;
    Outcome refused = put(probe, "If-Match", wrong, &why);
    if (refused != OUTCOME_REFUSED) {
        if (refused == OUTCOME_DONE || error_is(why, ERROR_UNSUPPORTED))
            learn(probe, S3_CONDITION_WRITE_IF_ETAG, FALSE);
        return;
    }
    g_autofree char *quoted = s3_headers_quote_etag(probe->etag ? probe->etag : "");
    g_autofree char *bare = g_strdup(probe->etag ? probe->etag : "");
    if (put(probe, "If-Match", quoted, NULL) == OUTCOME_DONE) {
        s3_learned_set_quotes(probe->s3->learned, S3_QUOTES_YES);
        learn(probe, S3_CONDITION_WRITE_IF_ETAG, TRUE);
    } else if (put(probe, "If-Match", bare, NULL) == OUTCOME_DONE) {
        s3_learned_set_quotes(probe->s3->learned, S3_QUOTES_NO);
        learn(probe, S3_CONDITION_WRITE_IF_ETAG, TRUE);
    }
}

/* TRUE: copies work. */
static gboolean
probe_copy(Probe *probe)
{
    g_auto(S3Request) request = {0};
    g_auto(HttpResponse) response = {0};
    CopySource source = {probe->container, probe->key, WRONG_ETAG};
    s3_request_init(&request, "PUT", probe->container, probe->copy_key);
    request.error_in_success = TRUE;
    s3_headers_add_copy_source(probe->s3, &request, &source);
    if (!s3_headers_add_new_object(probe->s3, &request, NULL, NULL))
        return TRUE;
    gboolean done = s3_request_perform(probe->s3, &request, probe->call, &response, NULL);
    Outcome outcome = judge(probe, done, &request);
    if (outcome != OUTCOME_FAILED) {
        s3_learned_set_support(probe->s3->learned, S3_CONDITION_COPY_SOURCE,
                               outcome == OUTCOME_REFUSED ? S3_SUPPORT_ATOMIC : S3_SUPPORT_MAYBE);
        return TRUE;
    }
    return s3_error_classify(&request.failure) != ERROR_UNSUPPORTED;
}

/* One part copied from the probe object, under a condition that does not hold. */
static gboolean
probe_copy_part(Probe *probe, const char *upload_id)
{
    g_auto(S3Request) request = {0};
    g_auto(HttpResponse) response = {0};
    CopySource source = {probe->container, probe->key, WRONG_ETAG};
    s3_request_init(&request, "PUT", probe->container, probe->key);
    request.error_in_success = TRUE;
    s3_request_add_parameter(&request, "partNumber", "1");
    s3_request_add_parameter(&request, "uploadId", upload_id);
    s3_headers_add_access(probe->s3, &request);
    s3_headers_add_customer_key(probe->s3, &request);
    s3_headers_add_copy_source(probe->s3, &request, &source);
    gboolean done = s3_request_perform(probe->s3, &request, probe->call, &response, NULL);
    Outcome outcome = judge(probe, done, &request);
    if (outcome != OUTCOME_FAILED) {
        s3_learned_set_support(probe->s3->learned, S3_CONDITION_COPY_PART_SOURCE,
                               outcome == OUTCOME_REFUSED ? S3_SUPPORT_ATOMIC : S3_SUPPORT_MAYBE);
        return TRUE;
    }
    return s3_error_classify(&request.failure) != ERROR_UNSUPPORTED;
}

static Outcome
commit(Probe *probe, const char *upload_id, const UploadPart *part, const char *if_etag)
{
    WriteOptions options = {.if_etag = if_etag, .if_absent = !if_etag};
    g_autoptr(GError) why = NULL;
    g_auto(ObjectInfo) info = {0};
    if (s3_multipart_commit(&probe->s3->base, probe->call, probe->container, probe->key, upload_id, part, 1,
                            &options, &info, &why))
        return OUTCOME_DONE;
    probe->disturbed |= error_is_transient(why) || error_is(why, ERROR_CANCELLED);
    return error_is(why, ERROR_CHANGED) || error_is(why, ERROR_EXISTS) ? OUTCOME_REFUSED : OUTCOME_FAILED;
}

static void
probe_commit_conditions(Probe *probe, const char *upload_id, const UploadPart *part)
{
    S3Learned *learned = probe->s3->learned;
    Outcome absent = commit(probe, upload_id, part, NULL);
    if (absent == OUTCOME_FAILED)
        return;
    learn(probe, S3_CONDITION_COMMIT_IF_ABSENT, absent == OUTCOME_REFUSED);
    /* Written in spite of the condition: the upload is used up, and what knows the one header not, will not
     * know the other. */
    gboolean wrong_refused =
        absent == OUTCOME_REFUSED && commit(probe, upload_id, part, WRONG_ETAG) == OUTCOME_REFUSED;
    gboolean right_done =
        wrong_refused && probe->etag && commit(probe, upload_id, part, probe->etag) == OUTCOME_DONE;
    if (s3_learned_get_support(learned, S3_CONDITION_COMMIT_IF_ETAG) != S3_SUPPORT_NONE)
        learn(probe, S3_CONDITION_COMMIT_IF_ETAG, right_done);
}

static void
probe_multipart(Probe *probe, gboolean copies)
{
    static const char content[] = "part";
    DriverInstance *instance = &probe->s3->base;
    ByteSource source = memory_source_make(content, strlen(content));
    g_autofree char *upload_id = NULL;
    UploadPart part = {0};
    g_autoptr(GError) why = NULL;
    if (!s3_multipart_begin(instance, probe->call, probe->container, probe->key, NULL, &upload_id, &why)) {
        probe->disturbed |= error_is_transient(why) || error_is(why, ERROR_CANCELLED);
        return;
    }
    gboolean copies_parts = copies && probe_copy_part(probe, upload_id);
    s3_learned_set_copies(probe->s3->learned, copies, copies_parts);
    if (s3_multipart_put_part(instance, probe->call, probe->container, probe->key, upload_id, 1, &source,
                              &part, &why)) {
        probe_commit_conditions(probe, upload_id, &part);
        upload_part_clear(&part);
    }
    probe->disturbed |= error_is_transient(why) || error_is(why, ERROR_CANCELLED);
    (void)s3_multipart_abort(instance, probe->call, probe->container, probe->key, upload_id, NULL);
}

static void
probe_delete(Probe *probe)
{
    g_auto(S3Request) request = {0};
    g_auto(HttpResponse) response = {0};
    g_autofree char *wrong = s3_headers_quote_etag(WRONG_ETAG);
    s3_request_init(&request, "DELETE", probe->container, probe->key);
    s3_request_add_header(&request, "If-Match", wrong);
    gboolean done = s3_request_perform(probe->s3, &request, probe->call, &response, NULL);
    if (judge(probe, done, &request) != OUTCOME_FAILED)
        learn(probe, S3_CONDITION_DELETE_IF_ETAG, !done);
}

static void
probe_conditions(S3 *s3, Call *call, const char *container)
{
    g_auto(Probe) probe = {.s3 = s3,
                           .call = call,
                           .container = container,
                           .key = g_strdup(s3->probe_key),
                           .copy_key = g_strconcat(s3->probe_key, "-copy", NULL)};
    /* Where nothing may be written nothing has to be known. */
    if (probe_absent(&probe, NULL)) {
        probe_etag(&probe);
        gboolean copies = probe_copy(&probe);
        if (!has_ended(&probe))
            probe_multipart(&probe, copies);
        probe_delete(&probe);
        if (!probe.disturbed && !has_ended(&probe))
            s3_learned_set_tried(s3->learned);
    }
    /* Also when the call has ended: nothing of ours is left behind. */
    g_autoptr(Call) cleaning = call_new(10 * G_USEC_PER_SEC);
    (void)s3_object_delete(&s3->base, cleaning, container, probe.key, NULL, NULL);
    (void)s3_object_delete(&s3->base, cleaning, container, probe.copy_key, NULL, NULL);
}

gboolean
s3_probe_run(DriverInstance *instance, Call *call, const char *writable_container, Capabilities *out,
             GError **error)
{
    S3 *s3 = (S3 *)instance;
    if (writable_container) {
        ContainerInfo info = {0};
        if (!s3_container_stat(instance, call, writable_container, &info, error))
            return FALSE;
        g_free(info.name);
        if (s3->options->conditions == S3_CONDITIONS_PROBE || s3->options->conditions == S3_CONDITIONS_PUT)
            probe_conditions(s3, call, writable_container);
    } else {
        g_autoptr(GArray) containers = NULL;
        if (!s3_container_list(instance, call, &containers, error))
            return FALSE;
    }
    s3_learned_get_capabilities(s3->learned, out);
    return TRUE;
}
