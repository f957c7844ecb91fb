/* What is known of each S3 service, as data: the starting values for its driver name.
 *
 * Every value can be overridden by a configuration key (s3_keys.c), and what the endpoint itself tells or
 * shows wins over both where a preset says PROBE.
 */
#pragma once

#include <glib.h>

typedef enum {
    S3_ADDRESSING_PATH,   /* https://endpoint/container/key */
    S3_ADDRESSING_VIRTUAL /* https://container.endpoint/key; dotted names over TLS by path all the same */
} S3Addressing;

typedef enum { S3_SIGNATURE_V4, S3_SIGNATURE_V2, S3_SIGNATURE_NONE } S3Signature;

/* What CreateBucket says as LocationConstraint. */
typedef enum {
    S3_LOCATION_NONE,
    S3_LOCATION_REGION,
    S3_LOCATION_REGION_BUT_US_EAST_1 /* us-east-1 is the place without a constraint */
} S3Location;

typedef enum { S3_CHECKSUM_NONE, S3_CHECKSUM_MD5, S3_CHECKSUM_CRC32C } S3Checksum;

/* Conditions on writing requests: to be found out, on all that have them, on none. */
/* PUT: whole objects are written under conditions, of the rest it is not known. */
typedef enum { S3_CONDITIONS_PROBE, S3_CONDITIONS_YES, S3_CONDITIONS_NO, S3_CONDITIONS_PUT } S3Conditions;

/* Rules for container names: see s3_names.h. */
typedef enum {
    S3_NAMES_PLAIN,  /* 3-63 of a-z 0-9 . - */
    S3_NAMES_AWS,    /* the same without AWS's reserved prefixes and suffixes */
    S3_NAMES_MINIO,  /* no ".-" and "-." either */
    S3_NAMES_GCS,    /* _ too; up to 222 with dots */
    S3_NAMES_B2,     /* 6-63 letters, digits, - */
    S3_NAMES_HYPHEN, /* 3-63 of a-z 0-9 - */
    S3_NAMES_SERVER  /* 1-255 bytes without '/': the server decides */
} S3Names;

typedef struct {
    const char *name;          /* as in driver = NAME */
    const char *endpoint;      /* URL; {region} and {account} are replaced; NULL: must be configured */
    const char *region;        /* to sign with when none is configured; NULL: must be configured */
    const char *create_region; /* to sign CreateBucket with, NULL: as everything else */
    S3Addressing addressing;
    S3Signature signature;
    S3Location location;
    guint list_version; /* 1 or 2 */
    gboolean no_encoding_type, no_copy_part, metadata_in_listings;
    S3Conditions conditions;
    gboolean delete_if_etag; /* with conditions YES: DELETE has them too */
    S3Checksum checksum;
    guint maximum_parts;                            /* 0: 10,000 */
    guint64 minimum_part_bytes, maximum_copy_bytes; /* 0: 5 MiB, 5 GiB */
    gboolean equal_parts;
    /* User metadata as it is sent; 0: no limit beside the 2048 bytes of all together. */
    guint maximum_metadata_name_bytes, maximum_metadata_value_bytes, maximum_metadata_items;
    gboolean strict_keys;              /* refuses "//", "." and ".." parts */
    gboolean bare_etags;               /* a PUT takes If-Match without quotes; old releases only so */
    gboolean dashes_underscores;       /* metadata names come back with '_' turned into '-' */
    const char *if_absent_header;      /* instead of If-None-Match: *, or NULL */
    const char *copy_if_absent_header; /* on CopyObject, or NULL where it has none */
    S3Names names;
} S3Preset;

/* The preset of that driver name; NULL unknown. */
const S3Preset *s3_presets_find(const char *name);
/* All names, NULL-terminated. */
extern const char *const s3_presets_names[];
