/* A part's copy from a service that compares the ETag of its source in its own way: 412 although it is the
 * version that was asked for. It is repeated without the condition, and the source looked at before and
 * after. */
#include "tests/unit/s3_fixture.h"

#include "src/base/error.h"

#define ETAG(value) "ETag: \"" value "\"\r\n"
#define CONDITION "x-amz-copy-source-if-match:"
#define REFUSAL                                                                                              \
    {                                                                                                        \
        .needle = CONDITION, .status = "412 Precondition Failed"                                             \
    }
#define COPIED                                                                                               \
    {                                                                                                        \
        .needle = "x-amz-copy-source-range:", .status = "200 OK",                                            \
        .body = "<CopyPartResult><ETag>\"part\"</ETag></CopyPartResult>"                                     \
    }

/* Copies bytes 0..9 of version `wanted`. requests: how many had the range; looks: HEADs. */
static void
copy(const S3Reply *replies, const ErrorCode *code, guint requests, guint looks)
{
    g_autoptr(RawServer) server = s3_fixture_serve(replies);
    DriverInstance *instance =
        s3_fixture_open_at(server, "s3", "addressing = path\nconditional_writes = yes\n");
    CopySource source = {"box", "source", "wanted"};
    UploadPart part = {0};
    GError *error = NULL;
    gboolean ok =
        instance->driver->copy_part(instance, NULL, "box", "target", "id", 1, &source, 0, 10, &part, &error);
    if (code) {
        g_assert_error(error, STORAGEFS_ERROR, (int)*code);
        g_clear_error(&error);
    } else {
        g_assert_no_error(error);
        g_assert_true(ok);
        g_assert_cmpstr(part.etag, ==, "part");
    }
    g_assert_cmpuint(raw_server_count(server, "x-amz-copy-source-range:"), ==, requests);
    g_assert_cmpuint(raw_server_count(server, CONDITION), ==, 1);
    g_assert_cmpuint(raw_server_count(server, "HEAD "), ==, looks);
    upload_part_clear(&part);
    instance->driver->close(instance);
}

static void
test_repeated_without_the_condition(void)
{
    static const S3Reply replies[] = {REFUSAL,
                                      COPIED,
                                      {.needle = "HEAD ", .status = "200 OK", .headers = ETAG("wanted")},
                                      {.status = NULL}};
    copy(replies, NULL, 2, 2);
}

/* Honest as well: another version is there. */
static void
test_replaced_before(void)
{
    static const ErrorCode changed = ERROR_CHANGED;
    static const S3Reply replies[] = {
        REFUSAL, COPIED, {.needle = "HEAD ", .status = "200 OK", .headers = ETAG("other")}, {.status = NULL}};
    copy(replies, &changed, 1, 1);
}

static void
test_replaced_meanwhile(void)
{
    static const ErrorCode changed = ERROR_CHANGED;
    static const S3Reply replies[] = {
        REFUSAL,
        COPIED,
        {.needle = "HEAD ", .status = "200 OK", .headers = ETAG("wanted"), .times = 1},
        {.needle = "HEAD ", .status = "200 OK", .headers = ETAG("other")},
        {.status = NULL}};
    copy(replies, &changed, 2, 2);
}

static void
test_taken_at_once(void)
{
    static const S3Reply replies[] = {COPIED, {.status = NULL}};
    copy(replies, NULL, 1, 0);
}

int
main(int argc, char **argv)
{
    s3_fixture_isolate();
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/s3/copy/taken-at-once", test_taken_at_once);
    g_test_add_func("/s3/copy/repeated-without-the-condition", test_repeated_without_the_condition);
    g_test_add_func("/s3/copy/replaced-before", test_replaced_before);
    g_test_add_func("/s3/copy/replaced-meanwhile", test_replaced_meanwhile);
    return g_test_run();
}
