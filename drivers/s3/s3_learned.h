/* What one endpoint taught us since it was opened: regions of containers, its clock, which conditions it
 * honours, whether its ETags are MD5.
 *
 * Starts with the preset's values. Thread-safe; every function is quick.
 */
#pragma once

#include "drivers/s3/s3_options.h"
#include "drivers/s3/s3_sign.h"
#include "src/storage/driver.h"

#include <glib.h>

typedef struct S3Learned S3Learned;

S3Learned *s3_learned_new(const S3Options *options);
void s3_learned_free(S3Learned *learned);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(S3Learned, s3_learned_free)

/* Where requests about a container (NULL: the service) go: region to sign for, and host of the endpoint when
 * it is not the configured one, else NULL. Caller frees both. */
void s3_learned_get_place(S3Learned *learned, const char *container, char **out_region, char **out_host);
/* host may be NULL: the configured one. */
void s3_learned_set_place(S3Learned *learned, const char *container, const char *region, const char *host);

/* Seconds since the epoch, as the service sees it. */
gint64 s3_learned_get_time_s(S3Learned *learned);
/* TRUE when the service's clock differs so much from what we took it to be that signatures fail. */
gboolean s3_learned_set_server_time(S3Learned *learned, gint64 server_time_s);

/* s3_sign_derive_key() for service s3, remembered for the day. */
void s3_learned_derive_key(S3Learned *learned, const S3Signer *signer, gint64 time_s, const char *region,
                           guint8 out[S3_SIGN_KEY_BYTES]);

/* Requests that may carry a condition. */
typedef enum {
    S3_CONDITION_WRITE_IF_ABSENT,
    S3_CONDITION_WRITE_IF_ETAG,
    S3_CONDITION_COMMIT_IF_ABSENT,
    S3_CONDITION_COMMIT_IF_ETAG,
    S3_CONDITION_COPY_IF_ABSENT,
    S3_CONDITION_COPY_IF_ETAG,
    S3_CONDITION_DELETE_IF_ETAG,
    S3_CONDITION_COPY_SOURCE,
    S3_CONDITION_COPY_PART_SOURCE,
    S3_CONDITION_COUNT
} S3Condition;
/* MAYBE: sent, but the service may ignore it. NONE: not sent any more. */
typedef enum { S3_SUPPORT_MAYBE, S3_SUPPORT_ATOMIC, S3_SUPPORT_NONE } S3Support;

S3Support s3_learned_get_support(S3Learned *learned, S3Condition condition);
void s3_learned_set_support(S3Learned *learned, S3Condition condition, S3Support support);

/* TRUE for a container whose writes the service refuses whenever they name a version, the right one too (RGW
 * with versioning): there, looking first has to do. */
gboolean s3_learned_is_blind(S3Learned *learned, const char *container);
void s3_learned_set_blind(S3Learned *learned, const char *container);

/* How If-Match on a write wants its ETag. RGW 16 compares the header with the ETag without quotes. */
typedef enum { S3_QUOTES_UNKNOWN, S3_QUOTES_YES, S3_QUOTES_NO } S3Quotes;
S3Quotes s3_learned_get_quotes(S3Learned *learned);
void s3_learned_set_quotes(S3Learned *learned, S3Quotes quotes);

/* What is known of ETags that look like an MD5; not kept from mount to mount. */
gboolean s3_learned_may_be_md5(S3Learned *learned);
/* One was the MD5 of its object, or was not; the latter counts only while none ever was. */
void s3_learned_set_md5(S3Learned *learned, gboolean is_md5);
/* Notes bytes that do not fit what is told of them, by any text that stands for them. TRUE: noted before. */
gboolean s3_learned_note_differing(S3Learned *learned, const char *bytes);

/* Says that every condition was tried and answered, so that what is known may be kept. */
void s3_learned_set_tried(S3Learned *learned);
/* Driver.dump_learned, Driver.take_learned. */
char *s3_learned_dump(S3Learned *learned);
gboolean s3_learned_take(S3Learned *learned, const char *text);

void s3_learned_set_copies(S3Learned *learned, gboolean copy_object, gboolean copy_part);
void s3_learned_get_capabilities(S3Learned *learned, Capabilities *out);
