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
/* Whether a redirect to `host` ("host:port") may be followed: signed requests, and what is written, go there.
 * Only to the configured host, and to those that the same service has for its other regions: what the
 * configured endpoint's {region} makes, or the rule of a service that is known (s3_presets.c, Amazon's
 * partitions) when the configured host itself follows it. How many labels two names share says nothing about
 * whose they are. */
gboolean s3_endpoint_may_follow(const S3Options *options, const char *host);
/* Whether the endpoint's host has the service's suffix: what stands behind the last {...}, or else
 * behind the first label. A guess about what stands there, not about whom to trust. */
gboolean s3_endpoint_is_at_service(const char *endpoint, const char *service);

/* container NULL: the service itself. key NULL: the container itself. host: overrides the endpoint's (learned
 * from a redirect), NULL not. */
void s3_endpoint_build(const S3Options *options, const char *region, const char *host, const char *container,
                       const char *key, S3Address *out);
/* "/container/key" encoded: what version 2 signs and what x-amz-copy-source names. Caller frees. */
char *s3_endpoint_resource(const char *container, const char *key);
