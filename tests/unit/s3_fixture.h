/* An S3 storage against a server whose replies a test writes down. */
#pragma once

#include "src/storage/driver.h"
#include "tests/unit/raw_server.h"

/* One scripted reply: for requests whose head holds both texts (NULL: any). The first that fits and is not
 * used up answers; none is a 404 without a body. */
typedef struct {
    const char *needle, *also;
    const char *status;  /* "200 OK" */
    const char *headers; /* "A: b\r\n", or NULL */
    const char *body;    /* NULL: none */
    guint times;         /* how often it answers; 0: always */
} S3Reply;

/* Forgets what the environment says of AWS; HOME becomes an empty directory, which goes at exit if it is
 * empty again. Before anything else; frees nothing. */
void s3_fixture_isolate(void);
/* The directory that is HOME now. */
const char *s3_fixture_home(void);

/* Serves `replies`, ended by status NULL, until the next call. */
RawServer *s3_fixture_serve(const S3Reply *replies);
/* Opens driver `name`; keys are further lines of configuration. */
DriverInstance *s3_fixture_open(const char *name, const char *keys, GError **error);
/* The same against the server, with keys AK and SECRET, which must succeed. */
DriverInstance *s3_fixture_open_at(RawServer *server, const char *name, const char *keys);
