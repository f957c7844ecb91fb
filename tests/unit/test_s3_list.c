/* Listings: both versions, encoding, order, and servers that lie. */
#include "drivers/s3/s3.h"
#include "drivers/s3/s3_list.h"
#include "drivers/s3/s3_request.h"
#include "tests/unit/s3_fixture.h"

#include <string.h>

#define LIST(inside) "<?xml version='1.0'?><ListBucketResult xmlns='http://x/'>" inside "</ListBucketResult>"
#define KEY(name)                                                                                            \
    "<Contents><Key>" name "</Key><LastModified>2009-10-12T17:50:30.000Z</LastModified><ETag>&quot;e&quot;"  \
    "</ETag><Size>5</Size><StorageClass>STANDARD</StorageClass></Contents>"
/* A printf format: changed at %s. */
#define NEW(name) "<Contents><Key>" name "</Key><LastModified>%s</LastModified><Size>5</Size></Contents>"
#define FOLDER(name) "<CommonPrefixes><Prefix>" name "</Prefix></CommonPrefixes>"
#define MORE "<IsTruncated>true</IsTruncated>"
#define TOKEN(text) MORE "<NextContinuationToken>" text "</NextContinuationToken>"

/* One page, judged. */
static gboolean
list(DriverInstance *instance, const ListQuery *query, ListPage *page, GError **error)
{
    list_page_init(page);
    return s3_driver.list_objects(instance, NULL, "bucket", query, page, error);
}

static const ObjectInfo *
get_object(const ListPage *page, guint i)
{
    g_assert_cmpuint(i, <, page->objects->len);
    return &g_array_index(page->objects, ObjectInfo, i);
}

static void
test_version_2(void)
{
    static const S3Reply replies[] = {
        {"continuation-token=t%2F1", "list-type=2", "200 OK", NULL, LIST(KEY("p/c"))},
        {"start-after=p%2F0", "list-type=2", "200 OK", NULL, LIST(KEY("p/a") FOLDER("p/b/") TOKEN("t/1"))},
        {0}};
    g_autoptr(RawServer) server = s3_fixture_serve(replies);
    DriverInstance *instance = s3_fixture_open_at(server, "wasabi", "");
    g_autoptr(GError) error = NULL;
    g_auto(ListPage) page = {0}, second = {0};
    ListQuery query = {.prefix = "p/", .delimiter = '/', .start_after = "p/0", .limit = 2};
    g_assert_true(list(instance, &query, &page, &error));
    g_assert_no_error(error);
    const ObjectInfo *object = get_object(&page, 0);
    g_assert_cmpstr(object->key, ==, "p/a");
    g_assert_cmpstr(object->etag, ==, "e");
    g_assert_cmpstr(object->storage_class, ==, "STANDARD");
    g_assert_cmpuint(object->size_bytes, ==, 5);
    g_assert_cmpint(object->mtime_ns, ==, G_GINT64_CONSTANT(1255369830000000000));
    g_assert_null(object->metadata);
    g_assert_cmpstr(g_ptr_array_index(page.prefixes, 0), ==, "p/b/");
    query.after_token = page.next;
    g_assert_true(list(instance, &query, &second, &error));
    g_assert_cmpstr(get_object(&second, 0)->key, ==, "p/c");
    g_assert_null(second.next);
    g_assert_cmpuint(
        raw_server_count(
            server, "delimiter=%2F&encoding-type=url&list-type=2&max-keys=2&prefix=p%2F&start-after=p%2F0"),
        ==, 1);
    instance->driver->close(instance);
}

/* Version 1 goes on from the greatest entry, be it an object or a prefix. */
static void
test_version_1(void)
{
    static const S3Reply replies[] = {
        {"marker=a%2F&", NULL, "200 OK", NULL, LIST(KEY("b") MORE)},
        {"marker=b&", NULL, "200 OK", NULL, LIST("<IsTruncated>false</IsTruncated>")},
        {NULL, NULL, "200 OK", NULL, LIST(KEY("a-") FOLDER("a/") MORE)},
        {0}};
    g_autoptr(RawServer) server = s3_fixture_serve(replies);
    DriverInstance *instance = s3_fixture_open_at(server, "ceph", "");
    g_autoptr(GError) error = NULL;
    g_auto(ListPage) page = {0}, second = {0}, third = {0};
    ListQuery query = {.prefix = "", .delimiter = '/'};
    g_assert_true(list(instance, &query, &page, &error));
    query.after_token = page.next;
    g_assert_true(list(instance, &query, &second, &error));
    query.after_token = second.next;
    g_assert_true(list(instance, &query, &third, &error));
    g_assert_no_error(error);
    g_assert_null(third.next);
    g_assert_cmpuint(raw_server_count(server, "list-type"), ==, 0);
    instance->driver->close(instance);
}

#define UUID "0d8f1f5e-6a1b-4a7c-9d3e-1f2a3b4c5d6"

/* A probe's objects are left out, whoever runs it; what one left behind is the user's to see, and so is what
 * only begins as they do. */
static void
test_probes(void)
{
    S3Reply replies[] = {{.status = "200 OK", .times = 1}, {.status = "200 OK"}, {0}};
    g_autoptr(RawServer) server = s3_fixture_serve(replies);
    DriverInstance *instance = s3_fixture_open_at(server, "s3_other", "");
    g_autoptr(GDateTime) date = g_date_time_new_now_utc();
    g_autofree char *now = g_date_time_format(date, "%Y-%m-%dT%H:%M:%S.000Z");
    const char *probe = ((S3 *)instance)->probe_key;
    g_autofree char *others = g_strdup_printf(
        NEW(S3_PROBE_PREFIX UUID "1") NEW(S3_PROBE_PREFIX UUID "1-copy") NEW(S3_PROBE_PREFIX UUID "1-cover")
            KEY(S3_PROBE_PREFIX UUID "2") NEW(S3_PROBE_PREFIX "notes"),
        now, now, now, now);
    g_autofree char *body = g_strconcat("<ListBucketResult>", others, KEY("a"), "</ListBucketResult>", NULL);
    g_autofree char *own = g_strdup_printf(LIST(KEY("%s") KEY("%s-copy")), probe, probe);
    replies[0].body = body;
    replies[1].body = own;
    g_autoptr(GError) error = NULL;
    g_auto(ListPage) page = {0}, second = {0};
    ListQuery query = {.prefix = ""};
    g_assert_true(list(instance, &query, &page, &error));
    g_assert_no_error(error);
    g_assert_cmpuint(page.objects->len, ==, 4);
    g_assert_cmpstr(get_object(&page, 0)->key, ==, S3_PROBE_PREFIX UUID "1-cover");
    g_assert_cmpstr(get_object(&page, 1)->key, ==, S3_PROBE_PREFIX UUID "2");
    g_assert_cmpstr(get_object(&page, 2)->key, ==, S3_PROBE_PREFIX "notes");
    g_assert_cmpstr(get_object(&page, 3)->key, ==, "a");
    g_assert_true(list(instance, &query, &second, &error));
    g_assert_cmpuint(second.objects->len, ==, 0);
    instance->driver->close(instance);
}

/* Decoded only where the reply says so. */
static void
test_encoding(void)
{
    static const S3Reply replies[] = {
        {.status = "200 OK",
         .body = LIST("<EncodingType>url</EncodingType>" KEY("a+b%2Bc%01") KEY("a%25+%C3%A9")),
         .times = 1},
        {.status = "200 OK", .body = LIST(KEY("a+b%20")), .times = 1},
        {0}};
    g_autoptr(RawServer) server = s3_fixture_serve(replies);
    DriverInstance *instance = s3_fixture_open_at(server, "s3_other", "");
    g_autoptr(GError) error = NULL;
    g_auto(ListPage) page = {0}, plain = {0};
    ListQuery query = {.prefix = ""};
    g_assert_true(list(instance, &query, &page, &error));
    g_assert_no_error(error);
    g_assert_cmpstr(get_object(&page, 0)->key, ==, "a b+c\x01");
    g_assert_cmpstr(get_object(&page, 1)->key, ==, "a% \xc3\xa9");
    g_assert_true(list(instance, &query, &plain, &error));
    g_assert_cmpstr(get_object(&plain, 0)->key, ==, "a+b%20");
    instance->driver->close(instance);
    g_assert_null(s3_list_decode_key("%"));
    g_assert_null(s3_list_decode_key("%4"));
    g_assert_null(s3_list_decode_key("%zz"));
    g_assert_null(s3_list_decode_key("a%00"));
}

static void
test_minio_metadata(void)
{
    static const S3Reply replies[] = {
        {"metadata=true", NULL, "200 OK", NULL,
         LIST("<Contents><Key>a</Key><Size>1</Size><UserMetadata><X-Amz-Meta-Mtime>12.5</X-Amz-Meta-Mtime>"
              "<content-type>image/png</content-type><X-Amz-Other>n</X-Amz-Other></UserMetadata></"
              "Contents>" KEY("b"))},
        {NULL, NULL, "200 OK", NULL, LIST(KEY("b"))},
        {0}};
    g_autoptr(RawServer) server = s3_fixture_serve(replies);
    DriverInstance *instance = s3_fixture_open_at(server, "minio", "");
    g_autoptr(GError) error = NULL;
    g_auto(ListPage) page = {0}, without = {0};
    ListQuery query = {.prefix = "", .want_metadata = TRUE};
    g_assert_true(list(instance, &query, &page, &error));
    g_assert_no_error(error);
    const ObjectInfo *object = get_object(&page, 0);
    g_assert_cmpuint(g_hash_table_size(object->metadata), ==, 1);
    g_assert_cmpstr(g_hash_table_lookup(object->metadata, "mtime"), ==, "12.5");
    g_assert_cmpstr(object->content_type, ==, "image/png");
    /* What is not told is not known to be empty. */
    g_assert_null(get_object(&page, 1)->metadata);
    query.want_metadata = FALSE;
    g_assert_true(list(instance, &query, &without, &error));
    instance->driver->close(instance);
}

static void
test_lies(void)
{
    static const char *const bodies[] = {
        "not xml",
        "<html/>",
        LIST(KEY("p/b") KEY("p/a")),
        LIST(KEY("p/a") KEY("p/a")),
        LIST(KEY("q")),
        LIST(KEY("")),
        LIST("<Contents><Size>5</Size></Contents>"),
        LIST("<Contents><Key>p/a</Key></Contents>"),
        LIST("<Contents><Key>p/a</Key><Size>-1</Size></Contents>"),
        LIST("<Contents><Key>p/a</Key><Size>99999999999999999999</Size></Contents>"),
        LIST(FOLDER("p/b/") FOLDER("p/a/")),
        LIST(FOLDER("p/b")),
        LIST(FOLDER("x/")),
        LIST(KEY("p/a") MORE),
        LIST(KEY("p/0")),
        LIST("<EncodingType>url</EncodingType>" KEY("p/%0")),
        LIST("<EncodingType>url</EncodingType>" KEY("p/a%00")),
        LIST(KEY("p/a") "<IsTruncated>true"),
    };
    for (gsize i = 0; i < G_N_ELEMENTS(bodies); i++) {
        const S3Reply replies[] = {{.status = "200 OK", .body = bodies[i]}, {0}};
        g_autoptr(RawServer) server = s3_fixture_serve(replies);
        DriverInstance *instance = s3_fixture_open_at(server, "s3", "");
        g_autoptr(GError) error = NULL;
        g_auto(ListPage) page = {0};
        ListQuery query = {.prefix = "p/", .delimiter = '/', .start_after = "p/0"};
        g_assert_false(list(instance, &query, &page, &error));
        g_test_message("%s", error ? error->message : bodies[i]);
        g_assert_error(error, STORAGEFS_ERROR, ERROR_PROTOCOL);
        g_assert_nonnull(strstr(error->message, "http://127.0.0.1:"));
        g_assert_cmpuint(page.objects->len, ==, 0);
        instance->driver->close(instance);
    }
}

/* Walks on while `replies` lead on, at most so many pages; the last error or NULL. */
static GError *
walk(const char *driver, const S3Reply *replies, guint limit, guint *out_pages)
{
    g_autoptr(RawServer) server = s3_fixture_serve(replies);
    DriverInstance *instance = s3_fixture_open_at(server, driver, "");
    g_autofree char *token = NULL;
    GError *error = NULL;
    for (*out_pages = 0; *out_pages < limit && !error && (token || *out_pages == 0); (*out_pages)++) {
        g_auto(ListPage) page = {0};
        ListQuery query = {.prefix = "", .after_token = token};
        if (!list(instance, &query, &page, &error))
            break;
        g_free(token);
        token = g_strdup(page.next);
    }
    instance->driver->close(instance);
    return error;
}

static void
test_loops(void)
{
    static const S3Reply same_token[] = {{.status = "200 OK", .body = LIST(TOKEN("t"))}, {0}};
    static const S3Reply same_keys[] = {{"token=t2", NULL, "200 OK", NULL, LIST(KEY("a") TOKEN("t1"))},
                                        {NULL, NULL, "200 OK", NULL, LIST(KEY("a") TOKEN("t2"))},
                                        {0}};
    static const S3Reply empty_pages[] = {{"token=t2", NULL, "200 OK", NULL, LIST(TOKEN("t1"))},
                                          {NULL, NULL, "200 OK", NULL, LIST(TOKEN("t2"))},
                                          {0}};
    static const S3Reply same_marker[] = {{.status = "200 OK", .body = LIST(KEY("a") MORE)}, {0}};
    static const struct {
        const char *driver;
        const S3Reply *replies;
    } cases[] = {{"s3", same_token}, {"s3", same_keys}, {"s3", empty_pages}, {"ceph", same_marker}};
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        guint pages = 0;
        g_autoptr(GError) error = walk(cases[i].driver, cases[i].replies, 2000, &pages);
        g_assert_error(error, STORAGEFS_ERROR, ERROR_PROTOCOL);
        g_assert_cmpuint(pages, <=, 1002);
    }
}

/* A body without end is cut off. */
static void
test_endless(void)
{
    g_autofree char *body = g_strnfill((16 << 20) + 1, ' ');
    const S3Reply replies[] = {{.status = "200 OK", .body = body}, {0}};
    guint pages = 0;
    g_autoptr(GError) error = walk("s3", replies, 1, &pages);
    g_assert_error(error, STORAGEFS_ERROR, ERROR_PROTOCOL);
}

static void
test_wrong_token(void)
{
    static const S3Reply replies[] = {{0}};
    g_autoptr(RawServer) server = s3_fixture_serve(replies);
    DriverInstance *instance = s3_fixture_open_at(server, "s3", "");
    g_autoptr(GError) error = NULL;
    g_auto(ListPage) page = {0};
    ListQuery query = {.prefix = "", .after_token = "x"};
    g_assert_false(list(instance, &query, &page, &error));
    g_assert_error(error, STORAGEFS_ERROR, ERROR_BAD_ARGUMENT);
    instance->driver->close(instance);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    s3_fixture_isolate();
    g_test_add_func("/s3/list/version-2", test_version_2);
    g_test_add_func("/s3/list/version-1", test_version_1);
    g_test_add_func("/s3/list/probes", test_probes);
    g_test_add_func("/s3/list/encoding", test_encoding);
    g_test_add_func("/s3/list/minio-metadata", test_minio_metadata);
    g_test_add_func("/s3/list/lies", test_lies);
    g_test_add_func("/s3/list/loops", test_loops);
    g_test_add_func("/s3/list/endless", test_endless);
    g_test_add_func("/s3/list/wrong-token", test_wrong_token);
    return g_test_run();
}
