/* Where a request goes: URL, Host header and path by endpoint, region and addressing. Pure. */
#pragma once

#include "drivers/s3/s3_options.h"

#include <glib.h>

typedef struct {
    char *origin; /* "https://host:port" */
    char *host;   /* as the Host header says it */
    char *path;   /* encoded, from the root */
} S3Address;

void s3_endpoint_address_clear(S3Address *address);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(S3Address, s3_endpoint_address_clear)

/* Scheme and host are there, nothing else but a path and a port. Fails: BAD_ARGUMENT with the reason. */
gboolean s3_endpoint_check(const char *endpoint, GError **error);
gboolean s3_endpoint_is_tls(const char *endpoint);
/* Without scheme and path: a private copy of "host:port". */
char *s3_endpoint_dup_host(const char *endpoint);
/* "{name}" in `pattern` replaced by `value`. Caller frees. */
char *s3_endpoint_expand(const char *pattern, const char *name, const char *value);
/* TRUE when both hosts lie in the same domain (its last two labels), so that a redirect may be believed. */
gboolean s3_endpoint_same_domain(const char *host_a, const char *host_b);

/* container NULL: the service itself. key NULL: the container itself. host: overrides the endpoint's (learned
 * from a redirect), NULL not. */
void s3_endpoint_build(const S3Options *options, const char *region, const char *host, const char *container,
                       const char *key, S3Address *out);
/* "/container/key" encoded: what version 2 signs and what x-amz-copy-source names. Caller frees. */
char *s3_endpoint_resource(const char *container, const char *key);
