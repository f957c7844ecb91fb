/* See s3_container.h. */
#include "drivers/s3/s3_container.h"

#include "drivers/common/memory_source.h"
#include "drivers/common/xml.h"
#include "drivers/s3/s3_headers.h"
#include "drivers/s3/s3_names.h"
#include "src/base/error.h"

#include <string.h>

/* An account may have many thousands of containers, of 63 bytes each. */
#define MAX_LIST_BYTES (16u << 20)
#define MAX_LIST_PAGES 1000u

static void
clear_container(gpointer data)
{
    g_free(((ContainerInfo *)data)->name);
}

static int
compare_containers(gconstpointer a, gconstpointer b)
{
    return strcmp(((const ContainerInfo *)a)->name, ((const ContainerInfo *)b)->name);
}

static void
add_project(const S3 *s3, S3Request *request)
{
    if (s3->options->project_id)
        s3_request_add_header(request, "x-amz-project-id", s3->options->project_id);
}

static gboolean
read_containers(S3 *s3, const S3Request *request, const XmlNode *root, GArray *found, GError **error)
{
    const XmlNode *list = xml_find(root, "Buckets");
    if (strcmp(root->name, "ListAllMyBucketsResult") != 0)
        return s3_request_fail(s3, request, error, "not a list of containers but <%.40s>", root->name);
    for (const XmlNode *bucket = list ? list->first_child : NULL; bucket; bucket = bucket->next) {
        const char *name = xml_get_text(bucket, "Name"), *created = xml_get_text(bucket, "CreationDate");
        if (!name || !*name || strlen(name) > 255 || strchr(name, '/'))
            return s3_request_fail(s3, request, error, "a container without a valid name");
        ContainerInfo info = {.name = g_strdup(name)};
        if (created)
            (void)http_parse_date(created, &info.created_ns);
        g_array_append_val(found, info);
    }
    return TRUE;
}

/* One page; *token is where the next one starts, or NULL. */
static gboolean
list_page(S3 *s3, Call *call, char **token, GArray *found, GError **error)
{
    g_auto(S3Request) request = {0};
    g_auto(HttpResponse) response = {0};
    s3_request_init(&request, "GET", NULL, NULL);
    request.maximum_bytes = MAX_LIST_BYTES;
    add_project(s3, &request);
    if (*token)
        s3_request_add_parameter(&request, "continuation-token", *token);
    if (!s3_request_perform(s3, &request, call, &response, error))
        return FALSE;
    g_autoptr(XmlDocument) document = xml_parse((const char *)response.body->data, response.body->len, error);
    if (!document) {
        g_autofree char *subject = s3_request_describe(s3, &request);
        g_prefix_error(error, "%s: ", subject);
        return FALSE;
    }
    if (!read_containers(s3, &request, xml_get_root(document), found, error))
        return FALSE;
    const char *next = xml_get_text(xml_get_root(document), "ContinuationToken");
    if (next && *next && g_strcmp0(next, *token) == 0)
        return s3_request_fail(s3, &request, error, "the listing does not advance");
    g_free(*token);
    *token = next && *next ? g_strdup(next) : NULL;
    return TRUE;
}

gboolean
s3_container_list(DriverInstance *instance, Call *call, GArray **out_containers, GError **error)
{
    S3 *s3 = (S3 *)instance;
    g_autofree char *token = NULL;
    g_autoptr(GArray) found = g_array_new(FALSE, FALSE, sizeof(ContainerInfo));
    g_array_set_clear_func(found, clear_container);
    for (guint page = 0; page == 0 || (token && page < MAX_LIST_PAGES); page++) {
        if (!list_page(s3, call, &token, found, error))
            return FALSE;
    }
    g_array_sort(found, compare_containers);
    *out_containers = g_steal_pointer(&found);
    return TRUE;
}

/* A 403 to HEAD has no body. It can mean "yes, but not for you", or that nothing we sign is accepted: a
 * listing of one key tells which. */
static gboolean
explain_denial(S3 *s3, Call *call, const char *container, GError **error)
{
    g_auto(S3Request) request = {0};
    g_autoptr(GError) why = NULL;
    s3_request_init(&request, "GET", container, NULL);
    s3_request_add_parameter(&request, "max-keys", "1");
    s3_headers_add_access(s3, &request);
    if (s3_request_run(s3, &request, call, &why) || s3_error_has_code(&request.failure, "AccessDenied"))
        return TRUE;
    g_propagate_error(error, g_steal_pointer(&why));
    return FALSE;
}

gboolean
s3_container_stat(DriverInstance *instance, Call *call, const char *container, ContainerInfo *out,
                  GError **error)
{
    S3 *s3 = (S3 *)instance;
    g_auto(S3Request) request = {0};
    g_autoptr(GError) why = NULL;
    s3_request_init(&request, "HEAD", container, NULL);
    s3_headers_add_access(s3, &request);
    gboolean found = s3_request_run(s3, &request, call, &why);
    if (!found && request.failure.status == 403 && !explain_denial(s3, call, container, error))
        return FALSE;
    if (!found && request.failure.status != 403) {
        g_propagate_error(error, g_steal_pointer(&why));
        return FALSE;
    }
    *out = (ContainerInfo){.name = g_strdup(container)};
    return TRUE;
}

static gboolean
put_container(S3 *s3, Call *call, const char *container, GError **error)
{
    g_auto(S3Request) request = {0};
    g_autoptr(GString) body = g_string_new(NULL);
    if (s3->options->location_constraint) {
        g_string_append(body, "<CreateBucketConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
                              "<LocationConstraint>");
        xml_append_escaped(body, s3->options->location_constraint);
        g_string_append(body, "</LocationConstraint></CreateBucketConfiguration>");
    }
    ByteSource source = memory_source_make(body->str, body->len);
    s3_request_init(&request, "PUT", container, NULL);
    add_project(s3, &request);
    request.body = body->len ? &source : NULL;
    request.region = s3->options->preset->create_region;
    return s3_request_run(s3, &request, call, error);
}

/* Looks first: some services answer 200 to making one's own container again, and reset its rights by that. */
gboolean
s3_container_create(DriverInstance *instance, Call *call, const char *container, GError **error)
{
    S3 *s3 = (S3 *)instance;
    g_auto(S3Request) head = {0};
    g_autoptr(GError) why = NULL;
    if (!s3_names_check_container(s3->options, container, error))
        return FALSE;
    s3_request_init(&head, "HEAD", container, NULL);
    if (s3_request_run(s3, &head, call, &why)) {
        g_set_error(error, STORAGEFS_ERROR, ERROR_EXISTS, "container %s is there already", container);
        return FALSE;
    }
    if (head.failure.status == 404 || head.failure.status == 403)
        return put_container(s3, call, container, error);
    g_propagate_error(error, g_steal_pointer(&why));
    return FALSE;
}

gboolean
s3_container_delete(DriverInstance *instance, Call *call, const char *container, GError **error)
{
    S3 *s3 = (S3 *)instance;
    g_auto(S3Request) request = {0};
    s3_request_init(&request, "DELETE", container, NULL);
    return s3_request_run(s3, &request, call, error);
}
