/* What config_section.c needs of a ConfigFile beside config.h. Private to src/base. */
#pragma once

#include "src/base/config.h"

/* Keys of one section in file order, NULL-terminated; NULL for an absent section. Borrowed. */
const char *const *config_file_get_keys(ConfigFile *file, const char *section);
/* The value with its escapes resolved (\s \n \t \r \\). The key must be there. Fails: BAD_CONFIG. */
gboolean config_file_get_text(ConfigFile *file, const char *section, const char *key, char **out_text,
                              GError **error);
/* "FILE:LINE" of the key, else of the section, else "FILE". Caller frees. */
char *config_file_make_place(ConfigFile *file, const char *section, const char *key);
/* Where the file is; absolute, borrowed. */
const char *config_file_get_directory(ConfigFile *file);
gboolean config_file_is_readable_by_others(ConfigFile *file);
