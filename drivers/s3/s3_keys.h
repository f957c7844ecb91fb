/* The configuration keys that every S3 preset has, and the words of their choices. */
#pragma once

#include "src/base/config.h"

extern const ConfigKey s3_keys_table[];

/* NULL-terminated; the order is that of the enumerations in s3_presets.h, after "auto" where that is the
 * first. */
extern const char *const s3_keys_addressing_words[];
extern const char *const s3_keys_signature_words[];
extern const char *const s3_keys_list_words[];
extern const char *const s3_keys_switch_words[];
extern const char *const s3_keys_condition_words[];
extern const char *const s3_keys_checksum_words[];
extern const char *const s3_keys_name_words[];
extern const char *const s3_keys_encryption_words[];
