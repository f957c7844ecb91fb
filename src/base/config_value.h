/* One value of the configuration: text → checked value by its ConfigKey. Private to src/base. */
#pragma once

#include "src/base/config.h"

typedef struct {
    char *text;     /* STRING SECRET URL CHOICE PATH; NULL: no value */
    gint64 integer; /* INTEGER SIZE DURATION OCTAL, BOOLEAN as 0 or 1 */
    char **list;    /* LIST; NULL is empty */
} ConfigValue;

/* `text` without a comment behind it, where a value of this type cannot hold " #". Caller frees. */
char *config_value_without_comment(ConfigType type, const char *text);
/* directory: absolute, what a relative PATH starts from. Fails: BAD_CONFIG, "KEY: ..." with the value (never
 * a secret's), the reason, the remedy and the key's help. */
gboolean config_value_parse(const ConfigKey *key, const char *written, const char *directory,
                            ConfigValue *out, GError **error);
/* What of a value of this type may not be shown: all of a SECRET, and the password in a URL, or the user who
 * stands there alone. NULL: it holds no secret. Caller frees. */
char *config_value_dup_secret(ConfigType type, const ConfigValue *value);
void config_value_clear(ConfigValue *value);
gboolean config_value_equal(const ConfigValue *a, const ConfigValue *b);
