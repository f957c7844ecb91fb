/* What the driver makes of replies: refusals, redirects, clocks, expired tokens, and everything hostile. */
#include "drivers/s3/s3.h"
#include "drivers/s3/s3_error.h"
#include "tests/unit/s3_fixture.h"
#include "tests/unit/storage_fixture.h"

#include <string.h>

#define ERROR_BODY(code) "<?xml version=\"1.0\"?><Error><Code>" code "</Code><Message>m</Message></Error>"

typedef struct {
    RawServer *server;
    DriverInstance *instance;
} Scene;

static void
scene_clear(Scene *scene)
{
    scene->instance->driver->close(scene->instance);
    raw_server_free(scene->server);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Scene, scene_clear)

static Scene
make_scene(const S3Reply *replies, const char *driver, const char *keys)
{
    RawServer *server = s3_fixture_serve(replies);
    return (Scene){server, s3_fixture_open_at(server, driver, keys)};
}

static ErrorCode
stat_fails_with(Scene *scene, GError **error)
{
    g_auto(ObjectInfo) info = {0};
    g_clear_error(error);
    g_assert_false(s3_driver.stat_object(scene->instance, NULL, "bucket", "key", &info, error));
    return (ErrorCode)(*error)->code;
}

static gboolean
write_text(Scene *scene, const WriteOptions *options, ObjectInfo *out, GError **error)
{
    ByteSource source = storage_fixture_text("text");
    return s3_driver.write_object(scene->instance, NULL, "bucket", "key", &source, options, out, error);
}

static void
test_codes(void)
{
    static const struct {
        const char *status, *body;
        ErrorCode code;
    } cases[] = {
        {"404 Not Found", ERROR_BODY("NoSuchBucket"), ERROR_NOT_FOUND},
        {"409 Conflict", ERROR_BODY("BucketNotEmpty"), ERROR_NOT_EMPTY},
        {"403 Forbidden", ERROR_BODY("QuotaExceeded"), ERROR_NO_SPACE},
        {"403 Forbidden", ERROR_BODY("InvalidAccessKeyId"), ERROR_DENIED},
        {"400 Bad Request", ERROR_BODY("EntityTooLarge"), ERROR_TOO_LARGE},
        {"400 Bad Request", ERROR_BODY("KeyTooLongError"), ERROR_NAME_TOO_LONG},
        {"400 Bad Request", ERROR_BODY("RequestTimeout"), ERROR_UNAVAILABLE},
        {"400 Bad Request", ERROR_BODY("Unheard"), ERROR_PROTOCOL},
        {"503 Slow", ERROR_BODY("SlowDown"), ERROR_THROTTLED},
        {"503 Slow", "", ERROR_UNAVAILABLE},
        {"429 Too Many", "", ERROR_THROTTLED},
        {"500 Oops", "<html>", ERROR_UNAVAILABLE},
        {"501 No", "", ERROR_UNSUPPORTED},
        {"507 Full", "", ERROR_NO_SPACE},
        {"302 Found", "", ERROR_PROTOCOL},
        {"200 OK", ERROR_BODY("InternalError"), ERROR_PROTOCOL},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        const S3Reply replies[] = {{.status = cases[i].status, .body = cases[i].body}, {0}};
        g_autoptr(GError) error = NULL;
        g_auto(Scene) scene = make_scene(replies, "s3_other", "");
        g_auto(ListPage) page = {0};
        ListQuery query = {.prefix = ""};
        list_page_init(&page);
        g_assert_false(s3_driver.list_objects(scene.instance, NULL, "bucket", &query, &page, &error));
        g_test_message("%s", error->message);
        g_assert_error(error, STORAGEFS_ERROR, (gint)cases[i].code);
        g_assert_nonnull(strstr(error->message, "http://127.0.0.1:"));
        g_assert_null(strpbrk(error->message, "\r\n"));
    }
}

static void
test_retry_after(void)
{
    static const S3Reply replies[] = {{.status = "503 Slow", .headers = "Retry-After: 7\r\n"}, {0}};
    g_autoptr(GError) error = NULL;
    g_auto(Scene) scene = make_scene(replies, "s3_other", "");
    g_assert_cmpint(stat_fails_with(&scene, &error), ==, ERROR_UNAVAILABLE);
    g_assert_cmpint(error_get_retry_after_us(error), ==, 7 * G_USEC_PER_SEC);
}

/* Signed anew for the region that the reply names, once; later requests know it. */
static void
test_region(void)
{
    static const S3Reply replies[] = {
        {"/us-east-1/s3/", NULL, "400 Bad Request", NULL,
         "<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-west-3</Region></Error>"},
        {"/eu-west-3/s3/", NULL, "200 OK", "ETag: \"e\"\r\n", "12345"},
        {0}};
    g_autoptr(GError) error = NULL;
    g_auto(Scene) scene = make_scene(replies, "s3", "");
    for (int i = 0; i < 2; i++) {
        g_assert_true(write_text(&scene, NULL, NULL, &error));
        g_assert_no_error(error);
    }
    g_assert_cmpuint(raw_server_count(scene.server, "PUT /bucket/key"), ==, 3);
}

/* HEAD has no body: the header tells. */
static void
test_region_of_head(void)
{
    static const S3Reply replies[] = {
        {"/us-east-1/s3/", NULL, "301 Moved", "x-amz-bucket-region: eu-west-3\r\n"},
        {"/eu-west-3/s3/", NULL, "200 OK", NULL, "12345"},
        {0}};
    g_autoptr(GError) error = NULL;
    g_auto(ObjectInfo) info = {0};
    g_auto(Scene) scene = make_scene(replies, "s3", "");
    g_assert_true(s3_driver.stat_object(scene.instance, NULL, "bucket", "key", &info, &error));
    g_assert_cmpuint(info.size_bytes, ==, 5);
}

static void
test_region_loop(void)
{
    static const S3Reply replies[] = {
        {"/us-east-1/s3/", NULL, "301 Moved", "x-amz-bucket-region: eu-west-3\r\n"},
        {"/eu-west-3/s3/", NULL, "301 Moved", "x-amz-bucket-region: us-east-1\r\n"},
        {0}};
    g_autoptr(GError) error = NULL;
    g_auto(Scene) scene = make_scene(replies, "s3", "");
    g_assert_cmpint(stat_fails_with(&scene, &error), ==, ERROR_PROTOCOL);
    g_assert_cmpuint(raw_server_count(scene.server, "HEAD"), ==, 2);
}

/* What is to be written does not go to a host that a reply made up. */
static void
test_foreign_redirect(void)
{
    static const S3Reply replies[] = {
        {.status = "307 Temporary Redirect", .headers = "Location: http://evil.example/bucket/key\r\n"}, {0}};
    g_autoptr(GError) error = NULL;
    g_auto(Scene) scene = make_scene(replies, "s3", "");
    g_assert_cmpint(stat_fails_with(&scene, &error), ==, ERROR_PROTOCOL);
    g_assert_cmpuint(raw_server_count(scene.server, "HEAD"), ==, 1);
}

/* A reply's region becomes a part of the host, where the endpoint has one: one label, not more. */
static void
test_region_that_is_a_domain(void)
{
    static const S3Reply replies[] = {{"/1/s3/", NULL, "301 Moved", "x-amz-bucket-region: 1.invalid\r\n"},
                                      {0}};
    g_autoptr(GError) error = NULL;
    Scene scene = {s3_fixture_serve(replies), NULL};
    g_autofree char *keys =
        g_strdup_printf("endpoint = http://127.0.0.{region}:%u\nregion = 1\naccess_key_id = AK\n"
                        "secret_access_key = SECRET\naddressing = path\n",
                        raw_server_get_port(scene.server));
    scene.instance = s3_fixture_open("s3_other", keys, &error);
    g_assert_no_error(error);
    g_assert_cmpint(stat_fails_with(&scene, &error), ==, ERROR_PROTOCOL);
    g_assert_cmpuint(raw_server_count(scene.server, "HEAD"), ==, 1);
    scene_clear(&scene);
}

static void
test_clock(void)
{
    static const S3Reply replies[] = {
        {"X-Amz-Date: 2049", NULL, "200 OK", NULL, "12345"},
        {"x-amz-date: 2049", NULL, "200 OK", NULL, "12345"},
        {NULL, NULL, "403 Forbidden", "Date: Fri, 01 Jan 2049 12:00:00 GMT\r\n"},
        {0}};
    g_autoptr(GError) error = NULL;
    g_auto(ObjectInfo) info = {0}, again = {0};
    g_auto(Scene) scene = make_scene(replies, "s3_other", "");
    g_assert_true(s3_driver.stat_object(scene.instance, NULL, "bucket", "key", &info, &error));
    g_assert_true(s3_driver.stat_object(scene.instance, NULL, "bucket", "key", &again, &error));
    g_assert_no_error(error);
    g_assert_cmpuint(raw_server_count(scene.server, "HEAD"), ==, 3);
}

/* Given up after one new try. */
static void
test_expired(void)
{
    static const S3Reply replies[] = {{.status = "400 Bad Request", .body = ERROR_BODY("ExpiredToken")}, {0}};
    g_autoptr(GError) error = NULL;
    g_auto(Scene) scene = make_scene(replies, "s3_other", "session_token = tokentoken\n");
    g_assert_false(write_text(&scene, NULL, NULL, &error));
    g_assert_error(error, STORAGEFS_ERROR, ERROR_DENIED);
    g_assert_cmpuint(raw_server_count(scene.server, "PUT"), ==, 2);
}

static gboolean
commit(Scene *scene, const WriteOptions *options, ObjectInfo *out, GError **error)
{
    UploadPart part = {.number = 1, .etag = (char *)"e1", .size_bytes = 5};
    return s3_driver.commit_upload(scene->instance, NULL, "bucket", "key", "id", &part, 1, options, out,
                                   error);
}

static void
test_error_in_success(void)
{
    static const S3Reply replies[] = {
        {.status = "200 OK", .body = "   \n\n " ERROR_BODY("InternalError"), .times = 1},
        {.status = "200 OK",
         .body = " <CompleteMultipartUploadResult><ETag></ETag></CompleteMultipartUploadResult>",
         .times = 1},
        {.status = "200 OK", .body = "<html>welcome</html>"},
        {0}};
    g_autoptr(GError) error = NULL;
    g_auto(ObjectInfo) info = {0};
    g_auto(Scene) scene = make_scene(replies, "s3_other", "");
    g_assert_false(commit(&scene, NULL, &info, &error));
    g_assert_error(error, STORAGEFS_ERROR, ERROR_UNAVAILABLE);
    g_clear_error(&error);
    g_assert_true(commit(&scene, NULL, &info, &error));
    g_assert_null(info.etag);
    g_assert_cmpuint(info.size_bytes, ==, 5);
    g_assert_false(commit(&scene, NULL, &info, &error));
    g_assert_error(error, STORAGEFS_ERROR, ERROR_PROTOCOL);
}

/* RGW 16: If-Match is compared with the ETag without quotes. Found out once. */
static void
assert_bare_etag(const char *preset, guint times_quoted)
{
    static const S3Reply replies[] = {
        {"If-Match: \"abc\"", NULL, "412 Precondition Failed", NULL, ERROR_BODY("PreconditionFailed")},
        {"If-Match: abc\r\n", NULL, "200 OK", "ETag: \"def\"\r\n"},
        {"HEAD ", NULL, "200 OK", "ETag: \"abc\"\r\n"},
        {NULL, NULL, "412 Precondition Failed", NULL, ERROR_BODY("PreconditionFailed")},
        {0}};
    g_autoptr(GError) error = NULL;
    g_auto(ObjectInfo) info = {0};
    g_auto(Scene) scene = make_scene(replies, preset, "");
    WriteOptions right = {.if_etag = "abc"}, wrong = {.if_etag = "stale"};
    g_assert_true(write_text(&scene, &right, &info, &error));
    g_assert_cmpstr(info.etag, ==, "def");
    g_assert_true(write_text(&scene, &right, NULL, &error));
    g_assert_no_error(error);
    g_assert_cmpuint(raw_server_count(scene.server, "If-Match: \"abc\""), ==, times_quoted);
    g_assert_false(write_text(&scene, &wrong, NULL, &error));
    g_assert_error(error, STORAGEFS_ERROR, ERROR_CHANGED);
}

/* Where the preset knows it is not even tried. */
static void
test_bare_etag(void)
{
    assert_bare_etag("s3_other", 1);
    assert_bare_etag("ceph", 0);
}

static void
test_condition_codes(void)
{
    static const struct {
        const char *status, *body;
        gboolean absent, on_commit;
        ErrorCode code;
    } cases[] = {
        {"412 No", ERROR_BODY("PreconditionFailed"), TRUE, FALSE, ERROR_EXISTS},
        {"304 Not Modified", NULL, TRUE, FALSE, ERROR_EXISTS},
        {"404 No", ERROR_BODY("NoSuchKey"), FALSE, FALSE, ERROR_CHANGED},
        {"404 No", ERROR_BODY("NoSuchBucket"), FALSE, FALSE, ERROR_NOT_FOUND},
        {"409 No", ERROR_BODY("ConditionalRequestConflict"), FALSE, FALSE, ERROR_UNAVAILABLE},
        {"409 No", ERROR_BODY("ConditionalRequestConflict"), FALSE, TRUE, ERROR_CHANGED},
        {"409 No", ERROR_BODY("ConcurrentModification"), FALSE, FALSE, ERROR_CHANGED},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        const S3Reply replies[] = {
            {"HEAD ", NULL, "404 No"}, {.status = cases[i].status, .body = cases[i].body}, {0}};
        g_autoptr(GError) error = NULL;
        g_auto(Scene) scene = make_scene(replies, "s3", "");
        WriteOptions options = {.if_absent = cases[i].absent, .if_etag = cases[i].absent ? NULL : "abc"};
        g_test_message("case %" G_GSIZE_FORMAT, i);
        if (cases[i].on_commit)
            g_assert_false(commit(&scene, &options, NULL, &error));
        else
            g_assert_false(write_text(&scene, &options, NULL, &error));
        g_assert_error(error, STORAGEFS_ERROR, (gint)cases[i].code);
    }
}

/* A service that says 501 to the condition gets the write without it, from then on at once. */
static void
test_condition_unsupported(void)
{
    static const S3Reply replies[] = {
        {"If-None-Match: *", NULL, "501 Not Implemented", NULL, ERROR_BODY("NotImplemented")},
        {"PUT ", NULL, "200 OK", "ETag: \"e\"\r\n"},
        {0}};
    g_autoptr(GError) error = NULL;
    g_auto(Scene) scene = make_scene(replies, "s3_other", "");
    WriteOptions options = {.if_absent = TRUE};
    g_assert_true(write_text(&scene, &options, NULL, &error));
    g_assert_true(write_text(&scene, &options, NULL, &error));
    g_assert_no_error(error);
    g_assert_cmpuint(raw_server_count(scene.server, "PUT "), ==, 3);
    Capabilities can;
    s3_driver.get_capabilities(scene.instance, &can);
    g_assert_cmpint(can.write_if_absent, ==, CONDITION_NONE);
}

static void
test_lying_ranges(void)
{
    static const struct {
        S3Reply reply;
        gboolean good;
        gsize length;
    } cases[] = {
        {{NULL, NULL, "206 Partial", "Content-Range: bytes 2-5/10\r\n", "2345"}, TRUE, 4},
        {{NULL, NULL, "206 Partial", "Content-Range: bytes 2-4/5\r\n", "234"}, TRUE, 3},
        {{NULL, NULL, "416 No", "Content-Range: bytes */2\r\n", ERROR_BODY("InvalidRange")}, TRUE, 0},
        {{NULL, NULL, "200 OK", NULL, ""}, TRUE, 0},
        {{NULL, NULL, "200 OK", NULL, "0123456789"}, FALSE, 0},
        {{NULL, NULL, "200 OK", NULL, "2345"}, FALSE, 0},
        {{NULL, NULL, "200 OK", "Content-Range: bytes 2-5/10\r\n", "2345"}, FALSE, 0},
        {{NULL, NULL, "206 Partial", NULL, "2345"}, FALSE, 0},
        {{NULL, NULL, "206 Partial", "Content-Range: bytes 0-3/10\r\n", "0123"}, FALSE, 0},
        {{NULL, NULL, "206 Partial", "Content-Range: bytes 2-5/10\r\n", "234"}, FALSE, 0},
        {{NULL, NULL, "206 Partial", "Content-Range: bytes 2-4/10\r\n", "234"}, FALSE, 0},
        {{NULL, NULL, "206 Partial", "Content-Range: bytes 2-6/10\r\n", "23456"}, FALSE, 0},
        {{NULL, NULL, "206 Partial", "Content-Range: bytes 2-5/*\r\n", "2345"}, FALSE, 0},
        {{NULL, NULL, "206 Partial", "Content-Range: bytes 2--5/10\r\n", "2345"}, FALSE, 0},
        {{NULL, NULL, "206 Partial", "Content-Range: bytes 2-5/99999999999999999999\r\n", "2345"}, FALSE, 0},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        const S3Reply replies[] = {cases[i].reply, {0}};
        g_autoptr(GError) error = NULL;
        g_auto(Scene) scene = make_scene(replies, "s3_other", "");
        char buffer[4];
        gsize length = 77;
        g_test_message("case %" G_GSIZE_FORMAT, i);
        gboolean good = s3_driver.read_object(scene.instance, NULL, "bucket", "key", 2, sizeof buffer, NULL,
                                              buffer, &length, NULL, &error);
        g_assert_cmpint(good, ==, cases[i].good);
        g_assert_cmpuint(length, ==, good ? cases[i].length : 77);
        if (!good)
            g_assert_error(error, STORAGEFS_ERROR, ERROR_PROTOCOL);
    }
}

/* A server that ignores If-Match. */
static void
test_other_version(void)
{
    static const S3Reply replies[] = {
        {NULL, NULL, "206 Partial", "ETag: \"new\"\r\nContent-Range: bytes 0-3/4\r\n", "2345"}, {0}};
    g_autoptr(GError) error = NULL;
    g_auto(Scene) scene = make_scene(replies, "s3_other", "");
    char buffer[4];
    gsize length = 0;
    g_assert_false(s3_driver.read_object(scene.instance, NULL, "bucket", "key", 0, sizeof buffer, "old",
                                         buffer, &length, NULL, &error));
    g_assert_error(error, STORAGEFS_ERROR, ERROR_CHANGED);
}

static void
test_hostile_heads(void)
{
    static const char *const lengths[] = {
        "Content-Length: -5\r\n", "Content-Length: 99999999999999999999\r\n", "Content-Length: 5x\r\n",
        "Transfer-Encoding: chunked\r\nX-Content-Length: 1\r\n"};
    for (gsize i = 0; i < G_N_ELEMENTS(lengths); i++) {
        const S3Reply replies[] = {{.status = "200 OK", .headers = lengths[i]}, {0}};
        g_autoptr(GError) error = NULL;
        g_auto(Scene) scene = make_scene(replies, "s3_other", "");
        ErrorCode code = stat_fails_with(&scene, &error);
        g_test_message("%s", error->message);
        g_assert_true(code == ERROR_PROTOCOL || code == ERROR_UNAVAILABLE);
    }
}

/* A header that would end early, or carry a second one, is refused before anything is sent. */
static void
test_injection(void)
{
    static const S3Reply replies[] = {{.status = "200 OK"}, {0}};
    g_autoptr(GError) error = NULL;
    g_auto(Scene) scene = make_scene(replies, "s3_other", "");
    WriteOptions options = {.content_type = "text/plain\r\nX-Evil: 1"};
    g_assert_false(write_text(&scene, &options, NULL, &error));
    g_assert_error(error, STORAGEFS_ERROR, ERROR_BAD_ARGUMENT);
    g_clear_error(&error);
    g_autoptr(GHashTable) metadata = metadata_new();
    g_hash_table_insert(metadata, g_strdup("a: b\r\nx-evil"), g_strdup("v"));
    WriteOptions other = {.metadata = metadata};
    g_assert_false(write_text(&scene, &other, NULL, &error));
    g_assert_error(error, STORAGEFS_ERROR, ERROR_BAD_NAME);
    g_assert_cmpuint(raw_server_count(scene.server, "PUT"), ==, 0);
}

static void
test_large_metadata(void)
{
    static const S3Reply replies[] = {{.status = "200 OK"}, {0}};
    g_autoptr(GError) error = NULL;
    g_auto(Scene) scene = make_scene(replies, "s3_other", "");
    g_autoptr(GHashTable) metadata = metadata_new();
    g_hash_table_insert(metadata, g_strdup("a"), g_strnfill(2048, 'x'));
    WriteOptions options = {.metadata = metadata};
    g_assert_false(write_text(&scene, &options, NULL, &error));
    g_assert_error(error, STORAGEFS_ERROR, ERROR_TOO_LARGE);
}

static gboolean
write_metadata(Scene *scene, const char *name, gsize value_bytes, GError **error)
{
    g_autoptr(GHashTable) metadata = metadata_new();
    g_hash_table_insert(metadata, g_strdup(name), g_strnfill(value_bytes, 'x'));
    WriteOptions options = {.metadata = metadata};
    return s3_driver.check_metadata(scene->instance, metadata, error) &&
           write_text(scene, &options, NULL, error);
}

/* Swift counts names, values and items too; what is over its limits is never sent. */
static void
test_metadata_limits(void)
{
    static const S3Reply replies[] = {{.status = "200 OK", .headers = "ETag: \"e\"\r\n"}, {0}};
    g_autofree char *name = g_strnfill(129, 'n');
    g_auto(Scene) scene = make_scene(replies, "swift_s3", "");
    g_autoptr(GHashTable) many = metadata_new();
    g_autoptr(GError) error = NULL;
    g_assert_true(write_metadata(&scene, name + 1, 256, &error));
    g_assert_no_error(error);
    g_assert_false(write_metadata(&scene, name + 1, 257, &error));
    g_assert_error(error, STORAGEFS_ERROR, ERROR_TOO_LARGE);
    g_clear_error(&error);
    g_assert_false(write_metadata(&scene, name, 1, &error));
    g_assert_error(error, STORAGEFS_ERROR, ERROR_TOO_LARGE);
    g_clear_error(&error);
    for (guint i = 0; i < 90; i++)
        g_hash_table_insert(many, g_strdup_printf("n%u", i), g_strdup("x"));
    g_assert_true(s3_driver.check_metadata(scene.instance, many, &error));
    g_hash_table_insert(many, g_strdup("n90"), g_strdup("x"));
    g_assert_false(s3_driver.check_metadata(scene.instance, many, &error));
    g_assert_error(error, STORAGEFS_ERROR, ERROR_TOO_LARGE);
    g_assert_cmpuint(raw_server_count(scene.server, "PUT "), ==, 1);
}

/* In a container where the service refuses the right version, too, looking has to do: the first write finds
 * out, later ones look first. Another version than the one that is there stays refused. */
static void
test_blind_conditions(void)
{
    static const S3Reply replies[] = {{"If-Match: ", NULL, "412 No", NULL, ERROR_BODY("PreconditionFailed")},
                                      {"HEAD ", NULL, "200 OK", "ETag: \"abc\"\r\nContent-Length: 4\r\n"},
                                      {"PUT ", NULL, "200 OK", "ETag: \"def\"\r\n"},
                                      {0}};
    g_autoptr(GError) error = NULL;
    g_auto(Scene) scene = make_scene(replies, "s3_other", "");
    WriteOptions right = {.if_etag = "abc"}, wrong = {.if_etag = "stale"};
    g_assert_false(write_text(&scene, &wrong, NULL, &error));
    g_assert_error(error, STORAGEFS_ERROR, ERROR_CHANGED);
    g_clear_error(&error);
    g_assert_cmpuint(raw_server_count(scene.server, "PUT "), ==, 1);
    g_assert_true(write_text(&scene, &right, NULL, &error));
    g_assert_cmpuint(raw_server_count(scene.server, "PUT "), ==, 4);
    g_assert_cmpuint(raw_server_count(scene.server, "If-Match: "), ==, 3);
    g_assert_true(write_text(&scene, &right, NULL, &error));
    g_assert_no_error(error);
    g_assert_cmpuint(raw_server_count(scene.server, "PUT "), ==, 5);
    g_assert_cmpuint(raw_server_count(scene.server, "If-Match: "), ==, 3);
    g_assert_false(write_text(&scene, &wrong, NULL, &error));
    g_assert_error(error, STORAGEFS_ERROR, ERROR_CHANGED);
    g_assert_cmpuint(raw_server_count(scene.server, "PUT "), ==, 5);
}

/* Over plain HTTP the payload's hash is signed. */
static void
test_payload_hash(void)
{
    static const S3Reply replies[] = {{.status = "200 OK", .headers = "ETag: \"e\"\r\n"}, {0}};
    g_autoptr(GError) error = NULL;
    g_auto(Scene) scene =
        make_scene(replies, "s3", "storage_class = STANDARD_IA\nrequester_pays = yes\nencryption = s3\n");
    g_assert_true(write_text(&scene, NULL, NULL, &error));
    g_assert_cmpuint(
        raw_server_count(
            scene.server,
            "x-amz-content-sha256: 982d9e3eb996f559e633f4d194def3761d909f5a3b647d1a851fead67c32c9d1"),
        ==, 1);
    g_assert_cmpuint(raw_server_count(scene.server, "x-amz-checksum-crc32c: "), ==, 1);
    g_assert_cmpuint(raw_server_count(scene.server, "x-amz-storage-class: STANDARD_IA"), ==, 1);
    g_assert_cmpuint(raw_server_count(scene.server, "x-amz-request-payer: requester"), ==, 1);
    g_assert_cmpuint(raw_server_count(scene.server, "x-amz-server-side-encryption: AES256"), ==, 1);
    g_assert_cmpuint(
        raw_server_count(
            scene.server,
            "SignedHeaders=content-type;host;x-amz-checksum-crc32c;x-amz-content-sha256;x-amz-date;x-amz-"
            "request-payer;x-amz-server-side-encryption;x-amz-storage-class"),
        ==, 1);
}

/* A service of version 2 sees nothing of version 4. */
static void
test_version_2(void)
{
    static const S3Reply replies[] = {{.status = "200 OK", .headers = "ETag: \"e\"\r\n"}, {0}};
    g_autoptr(GError) error = NULL;
    ContainerInfo info = {0};
    g_auto(Scene) scene = make_scene(replies, "aurora", "");
    g_assert_true(s3_driver.stat_container(scene.instance, NULL, "bucket", &info, &error));
    g_assert_true(write_text(&scene, NULL, NULL, &error));
    g_assert_no_error(error);
    g_free(info.name);
    g_assert_cmpuint(raw_server_count(scene.server, "Authorization: AWS AK:"), ==, 2);
    g_assert_cmpuint(raw_server_count(scene.server, "AWS4-HMAC-SHA256"), ==, 0);
    g_assert_cmpuint(raw_server_count(scene.server, "x-amz-content-sha256"), ==, 0);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    s3_fixture_isolate();
    g_test_add_func("/s3/request/codes", test_codes);
    g_test_add_func("/s3/request/retry-after", test_retry_after);
    g_test_add_func("/s3/request/region", test_region);
    g_test_add_func("/s3/request/region-of-head", test_region_of_head);
    g_test_add_func("/s3/request/region-loop", test_region_loop);
    g_test_add_func("/s3/request/foreign-redirect", test_foreign_redirect);
    g_test_add_func("/s3/request/region-that-is-a-domain", test_region_that_is_a_domain);
    g_test_add_func("/s3/request/clock", test_clock);
    g_test_add_func("/s3/request/expired", test_expired);
    g_test_add_func("/s3/request/error-in-success", test_error_in_success);
    g_test_add_func("/s3/request/bare-etag", test_bare_etag);
    g_test_add_func("/s3/request/condition-codes", test_condition_codes);
    g_test_add_func("/s3/request/condition-unsupported", test_condition_unsupported);
    g_test_add_func("/s3/request/lying-ranges", test_lying_ranges);
    g_test_add_func("/s3/request/other-version", test_other_version);
    g_test_add_func("/s3/request/hostile-heads", test_hostile_heads);
    g_test_add_func("/s3/request/injection", test_injection);
    g_test_add_func("/s3/request/large-metadata", test_large_metadata);
    g_test_add_func("/s3/request/metadata-limits", test_metadata_limits);
    g_test_add_func("/s3/request/blind-conditions", test_blind_conditions);
    g_test_add_func("/s3/request/payload-hash", test_payload_hash);
    g_test_add_func("/s3/request/version-2", test_version_2);
    return g_test_run();
}
