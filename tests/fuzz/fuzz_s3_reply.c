/* Every other operation of the S3 driver against replies from the input: right outputs, or an error.
 *
 * The first byte of an input chooses the operation, replies follow. Errors, redirects, clocks, expired keys
 * and errors inside 200 all come this way.
 */
#include "drivers/common/memory_source.h"
#include "drivers/s3/s3.h"
#include "tests/fuzz/fuzz_service.h"

#include <string.h>

#define KEYS "endpoint = http://127.0.0.1:1\naccess_key_id = AK\nsecret_access_key = SECRET\n"
#define RANGE_OFFSET 3u
#define RANGE_BYTES 10u

void
fuzz_begin(void)
{
    fuzz_service_begin();
}

static void
check_info(const ObjectInfo *info)
{
    g_assert_true(!info->etag || *info->etag);
    g_assert_cmpuint(info->size_bytes, <=, G_MAXINT64);
    if (!info->metadata)
        return;
    GHashTableIter iter;
    gpointer name, value;
    g_hash_table_iter_init(&iter, info->metadata);
    while (g_hash_table_iter_next(&iter, &name, &value)) {
        g_assert_cmpstr(name, !=, "");
        fuzz_check_utf8(name);
        fuzz_check_utf8(value);
    }
}

static gboolean
read_range(DriverInstance *s3, GError **error)
{
    g_auto(ObjectInfo) info = {0};
    g_autofree guint8 *buffer = g_malloc(RANGE_BYTES);
    gsize length = 0;
    if (!s3_driver.read_object(s3, NULL, "c", "k", RANGE_OFFSET, RANGE_BYTES, "etag", buffer, &length, &info,
                               error))
        return FALSE;
    g_assert_cmpuint(length, <=, RANGE_BYTES);
    /* Short only at the end of the object. */
    g_assert_true(length == RANGE_BYTES || info.size_bytes <= RANGE_OFFSET + length);
    check_info(&info);
    return TRUE;
}

static gboolean
stat_object(DriverInstance *s3, GError **error)
{
    g_auto(ObjectInfo) info = {0};
    if (!s3_driver.stat_object(s3, NULL, "c", "k", &info, error))
        return FALSE;
    check_info(&info);
    return TRUE;
}

static gboolean
write_object(DriverInstance *s3, GError **error)
{
    g_auto(ObjectInfo) info = {0};
    ByteSource source = memory_source_make("bytes", 5);
    WriteOptions options = {.if_etag = "etag"};
    if (!s3_driver.write_object(s3, NULL, "c", "k", &source, &options, &info, error))
        return FALSE;
    check_info(&info);
    return TRUE;
}

static gboolean
copy_object(DriverInstance *s3, GError **error)
{
    g_auto(ObjectInfo) info = {0};
    CopySource source = {"c", "from", "etag"};
    if (!s3_driver.copy_object(s3, NULL, &source, "c", "k", NULL, &info, error))
        return FALSE;
    check_info(&info);
    return TRUE;
}

static gboolean
set_metadata(DriverInstance *s3, GError **error)
{
    g_auto(ObjectInfo) info = {0};
    g_autoptr(GHashTable) metadata = metadata_new();
    if (!s3_driver.set_metadata(s3, NULL, "c", "k", "etag", "text/plain", metadata, &info, error))
        return FALSE;
    check_info(&info);
    return TRUE;
}

static gboolean
put_parts(DriverInstance *s3, const char *id, UploadPart *parts, GError **error)
{
    ByteSource body = memory_source_make("bytes", 5);
    CopySource source = {"c", "from", "etag"};
    if (!s3_driver.put_part(s3, NULL, "c", "k", id, 1, &body, &parts[0], error) ||
        !s3_driver.copy_part(s3, NULL, "c", "k", id, 2, &source, 0, 5, &parts[1], error))
        return FALSE;
    return TRUE;
}

static gboolean
upload(DriverInstance *s3, GError **error)
{
    g_auto(ObjectInfo) info = {0};
    g_autofree char *id = NULL;
    UploadPart parts[2] = {0};
    WriteOptions options = {0};
    if (!s3_driver.begin_upload(s3, NULL, "c", "k", &options, &id, error))
        return FALSE;
    g_assert_cmpstr(id, !=, "");
    gboolean good =
        put_parts(s3, id, parts, error) &&
        s3_driver.commit_upload(s3, NULL, "c", "k", id, parts, G_N_ELEMENTS(parts), &options, &info, error);
    for (guint i = 0; i < G_N_ELEMENTS(parts); i++)
        upload_part_clear(&parts[i]);
    if (!good)
        (void)s3_driver.abort_upload(s3, NULL, "c", "k", id, NULL);
    return good;
}

static gboolean
delete_object(DriverInstance *s3, GError **error)
{
    return s3_driver.delete_object(s3, NULL, "c", "k", "etag", error);
}

static gboolean
create_container(DriverInstance *s3, GError **error)
{
    return s3_driver.create_container(s3, NULL, "container", error);
}

static gboolean
delete_container(DriverInstance *s3, GError **error)
{
    return s3_driver.delete_container(s3, NULL, "container", error);
}

static gboolean
list_containers(DriverInstance *s3, GError **error)
{
    GArray *found = NULL;
    if (!s3_driver.list_containers(s3, NULL, &found, error))
        return FALSE;
    for (guint i = 0; i < found->len; i++)
        g_assert_cmpstr(g_array_index(found, ContainerInfo, i).name, !=, "");
    g_array_unref(found);
    return TRUE;
}

static gboolean
probe(DriverInstance *s3, GError **error)
{
    Capabilities found;
    return s3_driver.probe(s3, NULL, "container", &found, error);
}

void
fuzz_one(FuzzInput *input)
{
    static gboolean (*const operations[])(DriverInstance *, GError **) = {
        read_range,    stat_object,      write_object,     copy_object,     set_metadata, upload,
        delete_object, create_container, delete_container, list_containers, probe};
    g_autoptr(GError) error = NULL;
    guint8 operation = fuzz_take_byte(input) % G_N_ELEMENTS(operations);
    S3 *s3 = fuzz_service_open("s3", KEYS, input);
    if (!operations[operation](&s3->base, &error))
        fuzz_check_line(error);
    fuzz_service_close(s3);
}
