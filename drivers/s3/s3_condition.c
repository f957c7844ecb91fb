/* See s3_condition.h. */
#include "drivers/s3/s3_condition.h"

#include "drivers/s3/s3_headers.h"
#include "src/base/error.h"

#include <string.h>

#define IF_MATCH "If-Match"
#define IF_NONE_MATCH "If-None-Match"

/* One attempt to write under one condition. */
typedef struct {
    S3 *s3;
    S3Request *request;
    S3WriteKind kind;
    S3Condition condition;
    const char *if_etag; /* NULL: if absent */
} Conditional;

static S3Condition
find_condition(S3WriteKind kind, const char *if_etag)
{
    switch (kind) {
    case S3_WRITE_PUT:
        return if_etag ? S3_CONDITION_WRITE_IF_ETAG : S3_CONDITION_WRITE_IF_ABSENT;
    case S3_WRITE_COMMIT:
        return if_etag ? S3_CONDITION_COMMIT_IF_ETAG : S3_CONDITION_COMMIT_IF_ABSENT;
    case S3_WRITE_COPY:
        return if_etag ? S3_CONDITION_COPY_IF_ETAG : S3_CONDITION_COPY_IF_ABSENT;
    case S3_WRITE_DELETE:
    default:
        return S3_CONDITION_DELETE_IF_ETAG;
    }
}

/* The service's own spelling of "only if absent", or NULL. */
static const char *
own_absent_header(const Conditional *write)
{
    const S3Preset *preset = write->s3->options->preset;
    if (write->kind == S3_WRITE_PUT)
        return preset->if_absent_header;
    return write->kind == S3_WRITE_COPY ? preset->copy_if_absent_header : NULL;
}

static void
remove_header(const Conditional *write)
{
    const char *own = own_absent_header(write);
    g_autofree char *own_name = own ? g_strndup(own, strcspn(own, ":")) : NULL;
    s3_request_remove_header(write->request, IF_MATCH);
    s3_request_remove_header(write->request, IF_NONE_MATCH);
    if (own_name)
        s3_request_remove_header(write->request, own_name);
}

static void
add_header(const Conditional *write, gboolean with_quotes)
{
    remove_header(write);
    if (!write->if_etag && own_absent_header(write)) {
        g_ptr_array_add(write->request->headers, g_strdup(own_absent_header(write)));
    } else if (!write->if_etag) {
        s3_request_add_header(write->request, IF_NONE_MATCH, "*");
    } else {
        g_autofree char *value =
            with_quotes ? s3_headers_quote_etag(write->if_etag) : g_strdup(write->if_etag);
        s3_request_add_header(write->request, IF_MATCH, value);
    }
}

static gboolean
is_refused_condition(const S3Request *request)
{
    return request->failure.status == 412 || request->failure.status == 304;
}

static gboolean
is_not_implemented(const S3Request *request)
{
    return request->failure.status == 501 || s3_error_has_code(&request->failure, "NotImplemented");
}

/* The ETag that is there now; NULL when that cannot be known. */
static char *
fetch_etag(S3 *s3, const S3Request *about, Call *call)
{
    g_auto(S3Request) head = {0};
    g_auto(HttpResponse) response = {0};
    s3_request_init(&head, "HEAD", about->container, about->key);
    s3_headers_add_access(s3, &head);
    s3_headers_add_customer_key(s3, &head);
    if (!s3_request_perform(s3, &head, call, &response, NULL))
        return NULL;
    return s3_headers_dup_etag(http_response_get_header(&response, "etag"));
}

static gboolean
is_current(const Conditional *write, Call *call)
{
    g_autofree char *current = fetch_etag(write->s3, write->request, call);
    return g_strcmp0(current, write->if_etag) == 0;
}

/* After a 412 to an ETag that the object has: either its quotes are to blame, where it is not known how the
 * service compares, and the write without them is checked like the first; or it had another one meanwhile; or
 * nothing pleases the service in this container, and having looked must do. */
static gboolean
write_as_looked(const Conditional *write, Call *call, HttpResponse *out, GError **error)
{
    S3Learned *learned = write->s3->learned;
    S3Quotes quotes = s3_learned_get_quotes(learned);
    if (!is_current(write, call))
        return FALSE;
    g_clear_error(error);
    add_header(write, quotes == S3_QUOTES_YES);
    if (s3_request_perform(write->s3, write->request, call, out, error)) {
        if (quotes == S3_QUOTES_UNKNOWN)
            s3_learned_set_quotes(learned, S3_QUOTES_NO);
        return TRUE;
    }
    if (write->kind == S3_WRITE_COPY || !is_refused_condition(write->request) || !is_current(write, call))
        return FALSE;
    g_clear_error(error);
    remove_header(write);
    if (!s3_request_perform(write->s3, write->request, call, out, error))
        return FALSE;
    s3_learned_set_blind(learned, write->request->container);
    return TRUE;
}

static gboolean
perform_with_header(const Conditional *write, Call *call, HttpResponse *out, GError **error)
{
    S3 *s3 = write->s3;
    S3Request *request = write->request;
    S3Quotes quotes = s3_learned_get_quotes(s3->learned);
    g_autoptr(GError) why = NULL;
    gboolean bare = quotes == S3_QUOTES_NO || (quotes == S3_QUOTES_UNKNOWN && write->kind == S3_WRITE_PUT &&
                                               s3->options->preset->bare_etags);
    add_header(write, !bare);
    if (s3_request_perform(s3, request, call, out, &why))
        return TRUE;
    gboolean refused = is_refused_condition(request);
    if (refused && write->if_etag && write_as_looked(write, call, out, &why))
        return TRUE;
    /* A copy may have been refused for its source. */
    if (refused && write->kind != S3_WRITE_COPY)
        s3_learned_set_support(s3->learned, write->condition, S3_SUPPORT_ATOMIC);
    g_propagate_error(error, g_steal_pointer(&why));
    return FALSE;
}

/* Then a 412 speaks of the source: the target was looked at just before. */
static gboolean
has_source_condition(const S3Request *request)
{
    for (guint i = 0; i < request->headers->len; i++) {
        if (g_str_has_prefix(g_ptr_array_index(request->headers, i), "x-amz-copy-source-if-match:"))
            return TRUE;
    }
    return FALSE;
}

/* Where a copy's condition may be ignored, look first. */
static gboolean
look_first(const Conditional *write, Call *call, GError **error)
{
    g_autofree char *current = fetch_etag(write->s3, write->request, call);
    if (write->if_etag && g_strcmp0(current, write->if_etag) != 0) {
        g_set_error(error, STORAGEFS_ERROR, ERROR_CHANGED, "%s is not the version that was to be replaced",
                    write->request->key);
        return FALSE;
    }
    if (!write->if_etag && current) {
        g_set_error(error, STORAGEFS_ERROR, ERROR_EXISTS, "%s is there already", write->request->key);
        return FALSE;
    }
    return TRUE;
}

gboolean
s3_condition_perform(S3 *s3, S3Request *request, S3WriteKind kind, const WriteOptions *options, Call *call,
                     HttpResponse *out, GError **error)
{
    const char *if_etag = options ? options->if_etag : NULL;
    if (!if_etag && !(options && options->if_absent))
        return s3_request_perform(s3, request, call, out, error);

    Conditional write = {s3, request, kind, find_condition(kind, if_etag), if_etag};
    S3Support support = s3_learned_get_support(s3->learned, write.condition);
    gboolean blind = if_etag && s3_learned_is_blind(s3->learned, request->container);
    gboolean unsure = kind == S3_WRITE_COPY ? support != S3_SUPPORT_ATOMIC : blind;
    if (unsure && !look_first(&write, call, error))
        return FALSE;
    if (support == S3_SUPPORT_NONE || (blind && kind != S3_WRITE_COPY))
        return s3_request_perform(s3, request, call, out, error);

    request->changed_code = if_etag || has_source_condition(request) ? ERROR_CHANGED : ERROR_EXISTS;
    /* Complete that lost a race has also lost its parts: there is nothing to repeat. */
    if (kind == S3_WRITE_COMMIT)
        request->conflict_code = request->changed_code;
    /* The version to replace is gone: AWS says 404, others 412. */
    request->missing_code = if_etag ? ERROR_CHANGED : ERROR_NOT_FOUND;
    g_autoptr(GError) why = NULL;
    if (perform_with_header(&write, call, out, &why))
        return TRUE;
    if (support == S3_SUPPORT_MAYBE && is_not_implemented(request)) {
        s3_learned_set_support(s3->learned, write.condition, S3_SUPPORT_NONE);
        remove_header(&write);
        return s3_request_perform(s3, request, call, out, error);
    }
    g_propagate_error(error, g_steal_pointer(&why));
    return FALSE;
}
