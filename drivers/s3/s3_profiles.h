/* AWS's shared files: ~/.aws/config and ~/.aws/credentials, or where AWS_CONFIG_FILE and
 * AWS_SHARED_CREDENTIALS_FILE point. Read anew each time, because other programs renew them. Blocks: local
 * files.
 */
#pragma once

#include <glib.h>

/* One profile or section: key → value, from both files; the credentials file wins. */
typedef GHashTable S3Profile;

/* name NULL: AWS_PROFILE, else "default". NULL when neither file has it. Free with g_hash_table_unref(). */
S3Profile *s3_profiles_load(const char *name);
/* The [sso-session NAME] section of the config file; NULL absent. */
S3Profile *s3_profiles_load_sso_session(const char *name);
/* One value of one profile; NULL absent. Caller frees. */
char *s3_profiles_get(const char *name, const char *key);
/* AWS's name of the profile meant by `name`. Borrowed. */
const char *s3_profiles_resolve_name(const char *name);
