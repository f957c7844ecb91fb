/* Opening and closing, and the table. The files beside it do the work: see README.md. */
#include "drivers/s3/s3.h"

#include "drivers/s3/s3_container.h"
#include "drivers/s3/s3_copy.h"
#include "drivers/s3/s3_endpoint.h"
#include "drivers/s3/s3_keys.h"
#include "drivers/s3/s3_list.h"
#include "drivers/s3/s3_metadata.h"
#include "drivers/s3/s3_multipart.h"
#include "drivers/s3/s3_names.h"
#include "drivers/s3/s3_object.h"
#include "drivers/s3/s3_probe.h"
#include "drivers/s3/s3_request.h"
#include "src/base/error.h"

#define MIB (1ull << 20)
#define GIB (1ull << 30)
#define TIB (1ull << 40)

static void
s3_close(DriverInstance *instance)
{
    S3 *s3 = (S3 *)instance;
    g_clear_pointer(&s3->credentials, s3_credential_store_free);
    g_clear_pointer(&s3->learned, s3_learned_free);
    g_clear_pointer(&s3->direct, http_client_free);
    g_clear_pointer(&s3->http, http_client_free);
    g_clear_pointer(&s3->options, s3_options_free);
    g_free(s3->probe_key);
    g_free(s3);
}

static gboolean
open_clients(S3 *s3, ConfigSection *section, GError **error)
{
    HttpSettings own = HTTP_SETTINGS_DEFAULT;
    g_autoptr(GError) why = NULL;
    own.proxy = "";
    own.connect_timeout_us = G_USEC_PER_SEC;
    own.stall_timeout_us = 5 * G_USEC_PER_SEC;
    own.maximum_connections = 1;
    s3->http = http_client_new(&s3->options->http, &why);
    if (!s3->http)
        return config_section_fail(section, s3->options->ca_file ? "ca_file" : "proxy", error, "%s",
                                   why->message);
    s3->direct = http_client_new(&own, error);
    return s3->direct != NULL;
}

static DriverInstance *
s3_open(const char *driver_name, ConfigSection *section, GError **error)
{
    S3 *s3 = g_new0(S3, 1);
    s3->base.driver = &s3_driver;
    s3->options = s3_options_read(driver_name, section, error);
    if (!s3->options || !open_clients(s3, section, error)) {
        s3_close(&s3->base);
        return NULL;
    }
    S3CredentialSource source = {s3->options, s3->http, s3->direct};
    s3->credentials = s3_credential_store_new(&source);
    s3->learned = s3_learned_new(s3->options);
    g_autofree char *random = g_uuid_string_random();
    s3->probe_key = g_strconcat(S3_PROBE_PREFIX, random, NULL);
    return &s3->base;
}

static char *
s3_describe_place(DriverInstance *instance)
{
    const S3Options *options = ((S3 *)instance)->options;
    g_autofree char *endpoint = s3_endpoint_expand(options->endpoint, "region", options->region);
    const char *who = options->access_key_id ? options->access_key_id : options->profile;
    if (options->signature == S3_SIGNATURE_NONE)
        who = "anonymous";
    return g_strconcat("s3 ", endpoint, who ? " as " : "", who, NULL);
}

static void
s3_get_capabilities(DriverInstance *instance, Capabilities *out)
{
    s3_learned_get_capabilities(((S3 *)instance)->learned, out);
}

static char *
s3_dump_learned(DriverInstance *instance)
{
    return s3_learned_dump(((S3 *)instance)->learned);
}

static gboolean
s3_take_learned(DriverInstance *instance, const char *text)
{
    return s3_learned_take(((S3 *)instance)->learned, text);
}

static gboolean
s3_check_container_name(DriverInstance *instance, const char *name, GError **error)
{
    return s3_names_check_container(((S3 *)instance)->options, name, error);
}

static gboolean
s3_check_key(DriverInstance *instance, const char *key, GError **error)
{
    return s3_names_check_key(((S3 *)instance)->options, key, error);
}

static gboolean
s3_check_metadata_name(DriverInstance *instance, const char *name, GError **error)
{
    return s3_names_check_metadata(((S3 *)instance)->options, name, error);
}

static gboolean
s3_check_metadata(DriverInstance *instance, Metadata *metadata, GError **error)
{
    g_autoptr(GPtrArray) headers = g_ptr_array_new_with_free_func(g_free);
    return s3_metadata_append_headers(metadata, ((S3 *)instance)->options->preset, headers, error);
}

static const Capabilities usual = {.ranges = TRUE,
                                   .copy_object = TRUE,
                                   .copy_part = TRUE,
                                   .multipart = TRUE,
                                   .set_metadata = TRUE,
                                   .sign_url = TRUE,
                                   .list_start_after = TRUE,
                                   .lasting_etags = TRUE,
                                   .minimum_part_bytes = 5 * MIB,
                                   .maximum_part_bytes = 5 * GIB,
                                   .maximum_put_bytes = 5 * GIB,
                                   .maximum_copy_bytes = 5 * GIB,
                                   .maximum_object_bytes = 50 * TIB,
                                   .maximum_parts = 10000,
                                   .list_page_limit = 1000,
                                   .maximum_key_bytes = 1024,
                                   .maximum_metadata_bytes = S3_METADATA_MAXIMUM_BYTES};

const Driver s3_driver = {.name = "s3",
                          .description =
                              "Amazon S3, and with other names all that speak it: MinIO, Ceph, ...",
                          .presets = s3_presets_names,
                          .keys = s3_keys_table,
                          .capabilities = &usual,
                          .open = s3_open,
                          .close = s3_close,
                          .describe_place = s3_describe_place,
                          .probe = s3_probe_run,
                          .dump_learned = s3_dump_learned,
                          .take_learned = s3_take_learned,
                          .get_capabilities = s3_get_capabilities,
                          .check_container_name = s3_check_container_name,
                          .check_key = s3_check_key,
                          .check_metadata_name = s3_check_metadata_name,
                          .check_metadata = s3_check_metadata,
                          .list_containers = s3_container_list,
                          .stat_container = s3_container_stat,
                          .create_container = s3_container_create,
                          .delete_container = s3_container_delete,
                          .list_objects = s3_list_objects,
                          .stat_object = s3_object_stat,
                          .read_object = s3_object_read,
                          .write_object = s3_object_write,
                          .delete_object = s3_object_delete,
                          .copy_object = s3_copy_object,
                          .set_metadata = s3_copy_set_metadata,
                          .begin_upload = s3_multipart_begin,
                          .put_part = s3_multipart_put_part,
                          .copy_part = s3_multipart_copy_part,
                          .commit_upload = s3_multipart_commit,
                          .abort_upload = s3_multipart_abort,
                          .sign_url = s3_object_sign_url};
