/* The configuration keys of an S3 storage. "auto" is what the preset says. */
#include "drivers/s3/s3_keys.h"

#define GIB (1ll << 30)
#define TIB (1ll << 40)

const char *const s3_keys_addressing_words[] = {"auto", "path", "virtual", NULL};
const char *const s3_keys_signature_words[] = {"auto", "v4", "v2", "none", NULL};
const char *const s3_keys_list_words[] = {"auto", "1", "2", NULL};
const char *const s3_keys_switch_words[] = {"auto", "yes", "no", NULL};
const char *const s3_keys_condition_words[] = {"auto", "probe", "yes", "no", NULL};
const char *const s3_keys_checksum_words[] = {"auto", "none", "md5", "crc32c", NULL};
const char *const s3_keys_name_words[] = {"strict", "server", NULL};
const char *const s3_keys_encryption_words[] = {"none", "s3", "kms", "customer", NULL};

const ConfigKey s3_keys_table[] = {
    {"endpoint", CONFIG_URL, .help = "URL of the service; preset's own where it has one"},
    {"account", CONFIG_STRING, .help = "account id that is part of the endpoint (r2)"},
    {"project_id", CONFIG_STRING, .help = "project of new and listed containers (gcs)"},
    {"region", CONFIG_STRING, .help = "region to sign for"},
    {"access_key_id", CONFIG_STRING, .help = "access key; without it the environment, profiles and roles"},
    {"secret_access_key", CONFIG_SECRET, .help = "secret of the access key"},
    {"session_token", CONFIG_SECRET, .help = "token of temporary keys"},
    {"profile", CONFIG_STRING, .help = "profile of the shared files ~/.aws/config and ~/.aws/credentials"},
    {"role_arn", CONFIG_STRING, .help = "role to assume with the credentials found"},
    {"role_session_name", CONFIG_STRING, "storagefs", .help = "name of the session of that role"},
    {"role_external_id", CONFIG_STRING, .help = "external id that the role asks for"},
    {"role_duration", CONFIG_DURATION, "1h", 900ll * G_USEC_PER_SEC, 43200ll * G_USEC_PER_SEC,
     .help = "how long the role's credentials last"},
    {"web_identity_token_file", CONFIG_PATH, .help = "token to assume role_arn with, instead of keys"},
    {"addressing", CONFIG_CHOICE, "auto", .choices = s3_keys_addressing_words,
     .help = "container in the path or in the host name"},
    {"signature", CONFIG_CHOICE, "auto", .choices = s3_keys_signature_words,
     .help = "none: anonymous access"},
    {"list_version", CONFIG_CHOICE, "auto", .choices = s3_keys_list_words,
     .help = "ListObjects or ListObjectsV2"},
    {"encoding_type", CONFIG_CHOICE, "auto", .choices = s3_keys_switch_words,
     .help = "ask for percent-encoded keys in listings"},
    {"metadata_in_listings", CONFIG_CHOICE, "auto", .choices = s3_keys_switch_words,
     .help = "ask for metadata in listings (MinIO)"},
    {"copy_part", CONFIG_CHOICE, "auto", .choices = s3_keys_switch_words, .help = "UploadPartCopy works"},
    {"conditional_writes", CONFIG_CHOICE, "auto", .choices = s3_keys_condition_words,
     .help = "If-Match and If-None-Match on writes: find out, all work, none"},
    {"checksum", CONFIG_CHOICE, "auto", .choices = s3_keys_checksum_words,
     .help = "checksum sent with uploads"},
    {"sign_payload", CONFIG_CHOICE, "auto", .choices = s3_keys_switch_words,
     .help = "sign the SHA-256 of what is sent; auto: only without TLS"},
    {"equal_parts", CONFIG_CHOICE, "auto", .choices = s3_keys_switch_words,
     .help = "all parts but the last must be equally long"},
    {"part_limit", CONFIG_INTEGER, NULL, 2, 100000, .help = "most parts of one object"},
    {"minimum_part_size", CONFIG_SIZE, NULL, 1, 5 * GIB, .help = "smallest part but the last, bytes"},
    {"maximum_put_size", CONFIG_SIZE, NULL, 1, 5 * TIB, .help = "largest object in one request, bytes"},
    {"maximum_copy_size", CONFIG_SIZE, NULL, 1, 50 * TIB, .help = "largest copy in one request, bytes"},
    {"location_constraint", CONFIG_STRING, .help = "where new containers are made"},
    {"name_check", CONFIG_CHOICE, "strict", .choices = s3_keys_name_words,
     .help = "check container names here, or leave it to the server"},
    {"storage_class", CONFIG_STRING, .help = "class of new objects, such as STANDARD_IA"},
    {"acl", CONFIG_STRING, .help = "canned ACL of new objects, such as public-read"},
    {"requester_pays", CONFIG_BOOLEAN, "no", .help = "agree to pay for requests"},
    {"encryption", CONFIG_CHOICE, "none", .choices = s3_keys_encryption_words,
     .help = "server-side encryption: with the service's key, a KMS key, or customer_key"},
    {"kms_key_id", CONFIG_STRING, .help = "key for encryption = kms; the account's default without it"},
    {"bucket_key", CONFIG_BOOLEAN, "no", .help = "use a bucket key with KMS"},
    {"customer_key", CONFIG_SECRET, .help = "32 bytes in base64 for encryption = customer"},
    {"url_lifetime", CONFIG_DURATION, "1h", G_USEC_PER_SEC, 604800ll * G_USEC_PER_SEC,
     .help = "how long signed URLs work"},
    {"ca_file", CONFIG_PATH, .help = "PEM file of the authorities to trust"},
    {"verify_tls", CONFIG_BOOLEAN, "yes", .help = "check the server's certificate"},
    {"proxy", CONFIG_URL, .help = "URL of a proxy; empty: none, not the environment's either"},
    {"connect_timeout", CONFIG_DURATION, "10s", G_USEC_PER_SEC, 600ll * G_USEC_PER_SEC,
     .help = "for one attempt to connect"},
    {"stall_timeout", CONFIG_DURATION, "30s", G_USEC_PER_SEC, 3600ll * G_USEC_PER_SEC,
     .help = "give up a transfer in which nothing moves, or next to nothing"},
    {.name = NULL}};
