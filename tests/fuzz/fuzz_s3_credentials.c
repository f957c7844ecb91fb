/* Credentials: AWS's shared files, the JSON and XML of everybody who hands keys out, the cache of SSO.
 *
 * The first byte of an input chooses the source; then comes a file (config, or the SSO cache), ended by 0x1e,
 * and replies. What is found can be signed with.
 */
#include "drivers/common/digest.h"
#include "tests/fuzz/fuzz_service.h"

#include <glib/gstdio.h>
#include <string.h>

#define KEYS                                                                                                 \
    "endpoint = http://127.0.0.1:1\naccess_key_id = AK\nsecret_access_key = SECRET\nrole_arn = arn:x\n"

void
fuzz_begin(void)
{
    g_autofree char *cache = fuzz_path(".aws/sso/cache");
    g_autofree char *file = fuzz_path(".aws/config");
    fuzz_service_begin();
    g_assert_cmpint(g_mkdir_with_parents(cache, 0700), ==, 0);
    g_setenv("AWS_CONFIG_FILE", file, TRUE);
    g_setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:1/", TRUE);
    g_setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1", TRUE);
}

static void
check_profile(S3Profile *profile)
{
    GHashTableIter iter;
    gpointer name, value;
    g_hash_table_iter_init(&iter, profile);
    while (g_hash_table_iter_next(&iter, &name, &value)) {
        g_assert_null(strpbrk(name, "=\n"));
        g_assert_null(strchr(value, '\n'));
    }
}

static void
read_profiles(const guint8 *file, gsize length)
{
    fuzz_write(".aws/config", file, length);
    g_autoptr(GHashTable) profile = s3_profiles_load(NULL);
    g_autoptr(GHashTable) other = s3_profiles_load("other");
    g_autoptr(GHashTable) session = s3_profiles_load_sso_session("session");
    g_autofree char *value = s3_profiles_get(NULL, "region");
    if (profile)
        check_profile(profile);
    if (session)
        check_profile(session);
    g_assert_true(profile || !value);
}

static gboolean
fetch_sso(const S3CredentialSource *source, const guint8 *file, gsize length, S3Credentials **out,
          GError **error)
{
    static const char *const values[][2] = {{"sso_start_url", "start"},
                                            {"sso_region", "eu-west-1"},
                                            {"sso_account_id", "1"},
                                            {"sso_role_name", "role"}};
    g_autoptr(GHashTable) profile = g_hash_table_new(g_str_hash, g_str_equal);
    g_autofree char *hash = digest_sha1_hex("start", 5);
    g_autofree char *name = g_strconcat(".aws/sso/cache/", hash, ".json", NULL);
    fuzz_write(name, file, length);
    for (gsize i = 0; i < G_N_ELEMENTS(values); i++)
        g_hash_table_insert(profile, (gpointer)values[i][0], (gpointer)values[i][1]);
    return s3_credential_sso_fetch(source, NULL, profile, out, error);
}

static gboolean
fetch_role(const S3CredentialSource *source, gboolean by_token, S3Credentials **out, GError **error)
{
    g_autoptr(S3Credentials) base = s3_credentials_new("AK", "SECRET", NULL, 0);
    g_autofree char *token = fuzz_path("token");
    S3Role role = {.role_arn = "arn:x", .session_name = "s", .token_file = token};
    fuzz_write("token", "token", 5);
    if (by_token)
        return s3_credential_sts_web_identity(source, NULL, &role, out, error);
    return s3_credential_sts_assume(source, NULL, &role, base, out, error);
}

/* `choice` of the sources; what is found is whole. */
static void
fetch(S3 *s3, guint choice, const guint8 *file, gsize length)
{
    S3CredentialSource source = {s3->options, s3->http, s3->direct};
    g_autoptr(GError) error = NULL;
    g_autoptr(S3Credentials) found = NULL;
    gboolean good = TRUE;
    switch (choice) {
    case 0:
        found = s3_credential_source_from_json((const char *)file, length, "input", &error);
        good = found != NULL;
        break;
    case 1:
        good = fetch_sso(&source, file, length, &found, &error);
        break;
    case 2:
    case 3:
        good = fetch_role(&source, choice == 3, &found, &error);
        break;
    case 4:
        good = s3_credential_remote_container(&source, NULL, &found, &error);
        break;
    default:
        good = s3_credential_remote_instance(&source, NULL, &found, &error);
    }
    if (!good)
        fuzz_check_line(error);
    if (found) {
        g_assert_nonnull(found->access_key_id);
        g_assert_nonnull(found->secret_access_key);
        (void)s3_credentials_get_remaining_s(found);
    }
}

void
fuzz_one(FuzzInput *input)
{
    gsize length = 0;
    guint choice = fuzz_take_byte(input) % 7;
    const guint8 *file = fuzz_take_bytes(input, FUZZ_SEPARATOR, &length);
    if (choice == 6) {
        read_profiles(file, length);
        return;
    }
    S3 *s3 = fuzz_service_open("s3", KEYS, input);
    fetch(s3, choice, file, length);
    fuzz_service_close(s3);
}
