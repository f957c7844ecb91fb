/* What a service's refusal means: its <Code>, or without a body its status, as one of our codes. Pure. */
#pragma once

#include "src/base/error.h"
#include "src/storage/http.h"

#include <glib.h>

/* One refusal, taken from a reply. */
typedef struct {
    int status;
    char *code, *message; /* of the body's <Error>; NULL none */
    char *region;         /* the right one, where the reply names it */
    char *host;           /* the right endpoint, where the reply names it */
    char *request_id;
    gint64 retry_after_us;
    gint64 server_time_s; /* of the Date header, 0 unknown */
    gboolean not_xml;     /* a body that should have been XML and was not */
} S3Failure;

void s3_error_failure_clear(S3Failure *failure);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(S3Failure, s3_error_failure_clear)

/* Texts are short, without control characters, and without secrets, which services like to tell back. */
/* Reads a reply that is a refusal: by its status, or by an <Error> inside a 200. out is overwritten. */
void s3_error_read(const HttpResponse *response, S3Failure *out);
/* TRUE when a 2xx reply's body is an <Error> document after all. */
gboolean s3_error_is_inside(const HttpResponse *response);

/* TRUE when `failure` has that <Code>. */
gboolean s3_error_has_code(const S3Failure *failure, const char *code);
ErrorCode s3_error_classify(const S3Failure *failure);
/* Sets *error: "SUBJECT: STATUS CODE: message (request ID)". Always FALSE. */
gboolean s3_error_set(GError **error, ErrorCode code, const S3Failure *failure, const char *subject);
