/* The walk from key to environment to preset. See s3_options.h. */
#include "drivers/s3/s3_options.h"

#include "drivers/common/digest.h"
#include "drivers/s3/s3_endpoint.h"
#include "drivers/s3/s3_keys.h"
#include "drivers/s3/s3_profiles.h"
#include "src/base/error.h"
#include "src/base/log.h"

#include <string.h>

#define MIB (1ull << 20)
#define GIB (1ull << 30)

static char *
dup_string(ConfigSection *section, const char *key)
{
    const char *text = config_section_get_string(section, key);
    return text && *text ? g_strdup(text) : NULL;
}

/* Index in words of a CHOICE; 0 is "auto". */
static guint
read_choice(ConfigSection *section, const char *key, const char *const *words)
{
    const char *text = config_section_get_string(section, key);
    for (guint i = 0; words[i]; i++) {
        if (g_strcmp0(words[i], text) == 0)
            return i;
    }
    return 0;
}

static gboolean
read_switch(ConfigSection *section, const char *key, gboolean preset)
{
    guint choice = read_choice(section, key, s3_keys_switch_words);
    return choice == 0 ? preset : choice == 1;
}

static guint64
read_number(ConfigSection *section, const char *key, guint64 preset, guint64 usual)
{
    if (config_section_is_set(section, key))
        return (guint64)config_section_get_integer(section, key);
    return preset ? preset : usual;
}

/* Takes both; the first that is there and not empty. */
static char *
take_first(char *a, char *b)
{
    gboolean use_a = a && *a;
    g_free(use_a ? b : a);
    return use_a ? a : b;
}

/* AWS's own variables and files speak of AWS: they do not choose the region or endpoint of another service.
 */
static void
read_aws_environment(S3Options *options, ConfigSection *section)
{
    options->region = dup_string(section, "region");
    options->endpoint = dup_string(section, "endpoint");
    if (strcmp(options->preset->name, "s3") != 0)
        return;
    const char *region = g_getenv("AWS_REGION"), *endpoint = g_getenv("AWS_ENDPOINT_URL_S3");
    if (!options->region)
        options->region = take_first(g_strdup(region ? region : g_getenv("AWS_DEFAULT_REGION")),
                                     s3_profiles_get(options->profile, "region"));
    if (!options->endpoint)
        options->endpoint = take_first(g_strdup(endpoint ? endpoint : g_getenv("AWS_ENDPOINT_URL")),
                                       s3_profiles_get(options->profile, "endpoint_url"));
    if (!options->ca_file)
        options->ca_file = g_strdup(g_getenv("AWS_CA_BUNDLE"));
}

static void
replace_endpoint(S3Options *options, char *endpoint)
{
    g_free(options->endpoint);
    options->endpoint = endpoint;
}

static gboolean
expand_account(S3Options *options, ConfigSection *section, GError **error)
{
    if (!strstr(options->endpoint, "{account}"))
        return TRUE;
    g_autofree char *account = dup_string(section, "account");
    if (!account)
        return config_section_fail(section, "account", error, "driver %s needs account = (or endpoint =)",
                                   options->preset->name);
    replace_endpoint(options, s3_endpoint_expand(options->endpoint, "account", account));
    return TRUE;
}

static gboolean
read_endpoint(S3Options *options, ConfigSection *section, GError **error)
{
    const S3Preset *preset = options->preset;
    read_aws_environment(options, section);
    if (!options->region)
        options->region = g_strdup(preset->region);
    if (!options->endpoint && !preset->endpoint)
        return config_section_fail(section, "endpoint", error, "driver %s needs endpoint =", preset->name);
    if (!options->endpoint)
        options->endpoint = g_strdup(preset->endpoint);
    else if (!strstr(options->endpoint, "://"))
        replace_endpoint(options, g_strconcat("https://", options->endpoint, NULL));
    if (!options->region)
        return config_section_fail(section, "region", error, "driver %s needs region =", preset->name);
    if (strcmp(preset->name, "s3") == 0 && g_str_has_prefix(options->region, "cn-") &&
        g_str_has_suffix(options->endpoint, "{region}.amazonaws.com"))
        replace_endpoint(options, g_strconcat(options->endpoint, ".cn", NULL));
    if (!expand_account(options, section, error))
        return FALSE;
    g_autofree char *example = s3_endpoint_expand(options->endpoint, "region", options->region);
    g_autoptr(GError) why = NULL;
    if (!s3_endpoint_check(example, &why))
        return config_section_fail(section, "endpoint", error, "%s", why->message);
    return TRUE;
}

/* A preset's addressing holds for the service's own hosts; another endpoint is asked by path, because its
 * name service and certificate seldom know host names of containers. */
/* A preset that names its service's hosts speaks for those alone: behind another endpoint stands another
 * service. */
static gboolean
is_at_preset_service(const S3Options *options)
{
    g_autofree char *host = s3_endpoint_dup_host(options->endpoint);
    return s3_endpoint_is_at_service(options->endpoint, options->preset->endpoint) ||
           g_str_has_suffix(host, ".amazonaws.com.cn");
}

static S3Conditions
choose_conditions(const S3Options *options, ConfigSection *section)
{
    guint choice = read_choice(section, "conditional_writes", s3_keys_condition_words);
    if (choice > 0)
        return (S3Conditions)(choice - 1);
    if (options->preset->endpoint && !is_at_preset_service(options))
        return S3_CONDITIONS_PROBE;
    return options->preset->conditions;
}

static S3Addressing
choose_addressing(const S3Options *options, ConfigSection *section)
{
    guint choice = read_choice(section, "addressing", s3_keys_addressing_words);
    if (choice > 0)
        return choice == 1 ? S3_ADDRESSING_PATH : S3_ADDRESSING_VIRTUAL;
    if (!options->preset->endpoint)
        return S3_ADDRESSING_PATH;
    return is_at_preset_service(options) ? options->preset->addressing : S3_ADDRESSING_PATH;
}

static void
read_protocol(S3Options *options, ConfigSection *section)
{
    const S3Preset *preset = options->preset;
    guint signature = read_choice(section, "signature", s3_keys_signature_words);
    guint list = read_choice(section, "list_version", s3_keys_list_words);
    guint checksum = read_choice(section, "checksum", s3_keys_checksum_words);
    options->addressing = choose_addressing(options, section);
    options->signature = signature ? (S3Signature)(signature - 1) : preset->signature;
    options->list_version = list ? list : preset->list_version;
    options->conditions = choose_conditions(options, section);
    options->checksum = checksum ? (S3Checksum)(checksum - 1) : preset->checksum;
    options->encoding_type = read_switch(section, "encoding_type", !preset->no_encoding_type);
    options->metadata_in_listings =
        read_switch(section, "metadata_in_listings", preset->metadata_in_listings);
    options->copy_part = read_switch(section, "copy_part", !preset->no_copy_part);
    options->equal_parts = read_switch(section, "equal_parts", preset->equal_parts);
    options->sign_payload = read_switch(section, "sign_payload", !s3_endpoint_is_tls(options->endpoint));
    options->server_checks_names = read_choice(section, "name_check", s3_keys_name_words) == 1;
    options->maximum_parts = (guint)read_number(section, "part_limit", preset->maximum_parts, 10000);
    options->minimum_part_bytes =
        read_number(section, "minimum_part_size", preset->minimum_part_bytes, 5 * MIB);
    options->maximum_put_bytes = read_number(section, "maximum_put_size", 0, 5 * GIB);
    options->maximum_copy_bytes =
        read_number(section, "maximum_copy_size", preset->maximum_copy_bytes, 5 * GIB);

    options->location_constraint = dup_string(section, "location_constraint");
    gboolean with_region =
        preset->location == S3_LOCATION_REGION ||
        (preset->location == S3_LOCATION_REGION_BUT_US_EAST_1 && strcmp(options->region, "us-east-1") != 0);
    if (!options->location_constraint && with_region)
        options->location_constraint = g_strdup(options->region);
}

static gboolean
read_identity(S3Options *options, ConfigSection *section, GError **error)
{
    options->access_key_id = dup_string(section, "access_key_id");
    options->secret_access_key = dup_string(section, "secret_access_key");
    options->session_token = dup_string(section, "session_token");
    options->role_arn = dup_string(section, "role_arn");
    options->role_session_name = dup_string(section, "role_session_name");
    options->role_external_id = dup_string(section, "role_external_id");
    options->web_identity_token_file = dup_string(section, "web_identity_token_file");
    options->role_duration_s = config_section_get_integer(section, "role_duration") / G_USEC_PER_SEC;
    if (!options->access_key_id != !options->secret_access_key)
        return config_section_fail(section, options->access_key_id ? "access_key_id" : "secret_access_key",
                                   error, "access_key_id and secret_access_key go together");
    if (options->access_key_id && options->profile)
        return config_section_fail(section, "profile", error, "give a profile or an access key, not both");
    if (options->web_identity_token_file && !options->role_arn)
        return config_section_fail(section, "web_identity_token_file", error, "it needs role_arn =");
    if (options->secret_access_key)
        log_add_secret(options->secret_access_key);
    if (options->session_token)
        log_add_secret(options->session_token);
    return TRUE;
}

static gboolean
read_customer_key(S3Options *options, ConfigSection *section, GError **error)
{
    gsize length = 0;
    const char *text = config_section_get_string(section, "customer_key");
    g_autofree guchar *key = text ? g_base64_decode(text, &length) : NULL;
    if (length != 32)
        return config_section_fail(section, "customer_key", error,
                                   "encryption = customer needs customer_key = 32 bytes in base64");
    log_add_secret(text);
    options->customer_key_base64 = g_base64_encode(key, length);
    options->customer_key_md5_base64 = digest_md5_base64(key, length);
    return TRUE;
}

static gboolean
read_objects(S3Options *options, ConfigSection *section, GError **error)
{
    options->storage_class = dup_string(section, "storage_class");
    options->acl = dup_string(section, "acl");
    options->requester_pays = config_section_get_boolean(section, "requester_pays");
    options->encryption = (S3Encryption)read_choice(section, "encryption", s3_keys_encryption_words);
    options->kms_key_id = dup_string(section, "kms_key_id");
    options->project_id = dup_string(section, "project_id");
    options->bucket_key = config_section_get_boolean(section, "bucket_key");
    options->url_lifetime_s = (guint)(config_section_get_integer(section, "url_lifetime") / G_USEC_PER_SEC);
    if (options->encryption != S3_ENCRYPTION_CUSTOMER)
        return TRUE;
    if (!s3_endpoint_is_tls(options->endpoint))
        return config_section_fail(section, "encryption", error,
                                   "encryption = customer sends the key along and needs an https endpoint");
    return read_customer_key(options, section, error);
}

S3Options *
s3_options_read(const char *driver_name, ConfigSection *section, GError **error)
{
    g_autoptr(S3Options) options = g_new0(S3Options, 1);
    options->preset = s3_presets_find(driver_name);
    options->profile = dup_string(section, "profile");
    options->ca_file = dup_string(section, "ca_file");
    options->proxy = g_strdup(config_section_get_string(section, "proxy"));
    if (!read_endpoint(options, section, error) || !read_identity(options, section, error) ||
        !read_objects(options, section, error))
        return NULL;
    read_protocol(options, section);
    options->http = HTTP_SETTINGS_DEFAULT;
    options->http.ca_file = options->ca_file;
    options->http.proxy = options->proxy;
    options->http.verify_peer = config_section_get_boolean(section, "verify_tls");
    options->http.connect_timeout_us = config_section_get_integer(section, "connect_timeout");
    options->http.stall_timeout_us = config_section_get_integer(section, "stall_timeout");
    return g_steal_pointer(&options);
}

void
s3_options_free(S3Options *options)
{
    char *texts[] = {options->endpoint,
                     options->region,
                     options->location_constraint,
                     options->access_key_id,
                     options->secret_access_key,
                     options->session_token,
                     options->profile,
                     options->role_arn,
                     options->role_session_name,
                     options->role_external_id,
                     options->web_identity_token_file,
                     options->storage_class,
                     options->acl,
                     options->project_id,
                     options->kms_key_id,
                     options->customer_key_base64,
                     options->customer_key_md5_base64,
                     options->ca_file,
                     options->proxy};
    for (gsize i = 0; i < G_N_ELEMENTS(texts); i++)
        g_free(texts[i]);
    g_free(options);
}
