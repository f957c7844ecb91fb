/* What a probe finds out is kept as a text, and taken over by the next instance at the same place. */
#include "tests/unit/s3_fixture.h"

#include "src/base/error.h"

#include <string.h>

#define PROBED "conditional_writes = probe\naddressing = path\n"
#define ETAG "ETag: \"0123456789abcdef0123456789abcdef\"\r\n"
/* A service that says of every condition that it does not have it, and has no multi-part uploads. */
#define WITHOUT_CONDITIONS                                                                                   \
    {.needle = "If-None-Match", .status = "501 Not Implemented"},                                            \
        {.needle = "If-Match", .status = "501 Not Implemented"},                                             \
        {.needle = "copy-source", .status = "501 Not Implemented"},                                          \
    {                                                                                                        \
        .needle = "?uploads", .status = "501 Not Implemented"                                                \
    }
#define ALL_ELSE                                                                                             \
    {.needle = "PUT ", .status = "200 OK", .headers = ETAG}, {.needle = "HEAD ", .status = "200 OK"},        \
        {.needle = "DELETE ", .status = "204 No Content"},                                                   \
    {                                                                                                        \
        .status = NULL                                                                                       \
    }

static char *
probe_and_dump(DriverInstance *instance, Capabilities *out)
{
    GError *error = NULL;
    instance->driver->probe(instance, NULL, "box", out, &error);
    g_assert_no_error(error);
    return instance->driver->dump_learned(instance);
}

static void
assert_taken(RawServer *server, const char *keys, const char *text, gboolean taken)
{
    DriverInstance *instance = s3_fixture_open_at(server, "s3", keys);
    Capabilities before, after;
    instance->driver->get_capabilities(instance, &before);
    g_assert_cmpint(instance->driver->take_learned(instance, text), ==, taken);
    instance->driver->get_capabilities(instance, &after);
    g_assert_cmpint(after.write_if_etag, ==, taken ? CONDITION_NONE : before.write_if_etag);
    g_assert_cmpint(after.write_if_absent, ==, taken ? CONDITION_NONE : before.write_if_absent);
    instance->driver->close(instance);
}

static void
test_kept(void)
{
    static const S3Reply replies[] = {WITHOUT_CONDITIONS, ALL_ELSE};
    g_autoptr(RawServer) server = s3_fixture_serve(replies);
    DriverInstance *instance = s3_fixture_open_at(server, "s3", PROBED);
    Capabilities can;
    g_assert_null(instance->driver->dump_learned(instance));
    g_autofree char *text = probe_and_dump(instance, &can);
    g_assert_nonnull(text);
    g_assert_cmpint(can.write_if_etag, ==, CONDITION_NONE);
    instance->driver->close(instance);

    assert_taken(server, PROBED, text, TRUE);
    /* Who writes down what the service does is not told otherwise. */
    assert_taken(server, "conditional_writes = yes\naddressing = path\n", text, FALSE);
    g_autofree char *longer = g_strconcat(text, "0", NULL);
    assert_taken(server, PROBED, longer, FALSE);
    text[strlen(text) - 1] = '2';
    assert_taken(server, PROBED, text, FALSE);
    assert_taken(server, PROBED, "", FALSE);
}

/* What an outage made of a probe holds for this mount only. */
static void
test_disturbed(void)
{
    static const S3Reply replies[] = {
        {.needle = "DELETE ", .also = "If-Match", .status = "503 Slow Down"}, WITHOUT_CONDITIONS, ALL_ELSE};
    g_autoptr(RawServer) server = s3_fixture_serve(replies);
    DriverInstance *instance = s3_fixture_open_at(server, "s3", PROBED);
    Capabilities can;
    g_assert_null(probe_and_dump(instance, &can));
    g_assert_cmpint(can.write_if_etag, ==, CONDITION_NONE);
    instance->driver->close(instance);
}

int
main(int argc, char **argv)
{
    s3_fixture_isolate();
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/s3/probe/kept", test_kept);
    g_test_add_func("/s3/probe/disturbed", test_disturbed);
    return g_test_run();
}
