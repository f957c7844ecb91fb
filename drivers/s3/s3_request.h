/* One request to the service: built, signed, sent, judged.
 *
 * The only repeats a driver makes are made here, each at most once for a request: for the right region or
 * endpoint when the reply names it, with the service's clock when ours is off, with new credentials when they
 * have expired.
 */
#pragma once

#include "drivers/common/digest.h"
#include "drivers/s3/s3_credential_store.h"
#include "drivers/s3/s3_error.h"
#include "drivers/s3/s3_learned.h"
#include "drivers/s3/s3_options.h"
#include "src/storage/driver.h"
#include "src/storage/http.h"

#include <glib.h>

/* An opened S3 storage. Its parts are thread-safe, the struct itself does not change. */
typedef struct {
    DriverInstance base;
    S3Options *options;
    HttpClient *http, *direct; /* direct: for the machine's own addresses */
    S3CredentialStore *credentials;
    S3Learned *learned;
    char *probe_key; /* S3_PROBE_PREFIX and a UUID: the probe's objects, unique to this instance */
} S3;

/* Before the UUID in the keys of every instance's probe; "-copy" may follow. */
#define S3_PROBE_PREFIX ".storagefs-probe-"

typedef struct {
    const char *method, *container, *key; /* container NULL: the service; key NULL: the container. Borrowed */
    GArray *parameters;                   /* see s3_sign.h */
    GPtrArray *headers;                   /* "Name: value" */
    const ByteSource *body;               /* NULL none */
    void *buffer;                         /* see HttpRequest */
    gsize buffer_bytes, maximum_bytes;
    gboolean works_long;       /* see HttpRequest: a copy, of which some services tell the progress */
    gboolean checksum;         /* send the preset's checksum of the body */
    gboolean error_in_success; /* a 2xx may hold an <Error> */
    const char *region;        /* to sign for, NULL: as learned */
    ErrorCode changed_code;    /* what 412 means: CHANGED or EXISTS */
    ErrorCode missing_code;    /* what NoSuchKey means: NOT_FOUND or CHANGED */
    ErrorCode
        conflict_code; /* what ConditionalRequestConflict means: UNAVAILABLE (again), or that it is lost */
    S3Failure failure; /* set when the service refused */
    DigestSet digests; /* of the body, as far as they were sent */
} S3Request;

/* On an uninitialised struct; texts are borrowed. */
void s3_request_init(S3Request *request, const char *method, const char *container, const char *key);
void s3_request_clear(S3Request *request);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(S3Request, s3_request_clear)

void s3_request_add_parameter(S3Request *request, const char *name, const char *value);
void s3_request_add_header(S3Request *request, const char *name, const char *value);
void s3_request_remove_header(S3Request *request, const char *name);

/* TRUE for 2xx that is no error inside. FALSE: request->failure tells what the service said, if it said
 * anything. May be called again with the same request. Blocks: yes. */
gboolean s3_request_perform(S3 *s3, S3Request *request, Call *call, HttpResponse *out, GError **error);
/* The same for replies of which nothing is wanted. */
gboolean s3_request_run(S3 *s3, S3Request *request, Call *call, GError **error);

/* "s3 METHOD URL" of the request without its parameters, for messages. Caller frees. */
char *s3_request_describe(S3 *s3, const S3Request *request);
/* A PROTOCOL error about the reply to `request`. Always FALSE. */
gboolean s3_request_fail(S3 *s3, const S3Request *request, GError **error, const char *format, ...)
    G_GNUC_PRINTF(4, 5);
/* A signed URL for GET, valid for lifetime_s. Credentials must be there already. Fails: DENIED. */
gboolean s3_request_sign_url(S3 *s3, const char *container, const char *key, guint lifetime_s, char **out_url,
                             GError **error);
