/* See fuzz_service.h. */
#include "tests/fuzz/fuzz_service.h"

#include "drivers/s3/s3.h"
#include "src/base/error.h"
#include "src/storage/settings.h"

#include <glib/gstdio.h>
#include <string.h>

#define MAXIMUM_HEADERS 256u
#define MAXIMUM_HEADER_BYTES (16u << 10)
#define DEFAULT_BODY_BYTES (1u << 20)
#define MAXIMUM_ERROR_BODY_BYTES (64u << 10)

static FuzzInput *replies;

gboolean __wrap_http_perform(HttpClient *client, const HttpRequest *request, Call *call, HttpResponse *out,
                             GError **error);

void
fuzz_service_begin(void)
{
    g_auto(GStrv) names = g_listenv();
    for (guint i = 0; names[i]; i++) {
        if (g_str_has_prefix(names[i], "AWS_"))
            g_unsetenv(names[i]);
    }
    g_setenv("HOME", fuzz_folder(), TRUE);
}

/* What http_transfer.c would not have kept is left out here too. */
static GHashTable *
take_headers(FuzzInput *reply)
{
    GHashTable *headers = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    while (fuzz_left(reply) > 0) {
        g_autofree char *line = fuzz_take_text(reply, '\n');
        char *colon = strchr(line, ':');
        if (!*line)
            break;
        if (!colon || colon == line || strlen(line) > MAXIMUM_HEADER_BYTES ||
            g_hash_table_size(headers) >= MAXIMUM_HEADERS)
            continue;
        *colon = 0;
        g_strstrip(line);
        g_hash_table_replace(headers, g_ascii_strdown(line, -1), g_strdup(g_strstrip(colon + 1)));
    }
    return headers;
}

static gboolean
place_body(const HttpRequest *request, const FuzzInput *reply, HttpResponse *response)
{
    gsize length = fuzz_left(reply);
    gboolean failed = response->status >= 300;
    gsize limit = request->maximum_bytes ? request->maximum_bytes : DEFAULT_BODY_BYTES;
    response->body = g_byte_array_new();
    if (request->buffer && (response->status == 200 || response->status == 206)) {
        response->buffer_length_bytes = MIN(length, request->buffer_bytes);
        response->truncated = length > request->buffer_bytes;
        if (response->buffer_length_bytes > 0)
            memcpy(request->buffer, reply->at, response->buffer_length_bytes);
        length = 0;
    }
    if (length > limit && !failed)
        return FALSE;
    if (strcmp(request->method, "HEAD") != 0)
        g_byte_array_append(response->body, reply->at,
                            (guint)MIN(length, failed ? MAXIMUM_ERROR_BODY_BYTES : limit));
    /* NUL past the end, as http.h says. */
    g_byte_array_append(response->body, (const guint8 *)"", 1);
    g_byte_array_set_size(response->body, response->body->len - 1);
    return TRUE;
}

gboolean
__wrap_http_perform(HttpClient *client, const HttpRequest *request, Call *call, HttpResponse *out,
                    GError **error)
{
    gsize length = 0;
    g_assert_nonnull(replies);
    gboolean last = fuzz_left(replies) == 0;
    const guint8 *bytes = fuzz_take_bytes(replies, FUZZ_SEPARATOR, &length);
    FuzzInput reply = {bytes, bytes + length};
    g_autofree char *status = fuzz_take_text(&reply, '\n');
    guint64 number = 0;
    if (last || !g_ascii_string_to_unsigned(status, 10, 200, 599, &number, NULL)) {
        g_set_error(error, STORAGEFS_ERROR, ERROR_UNAVAILABLE, "no reply");
        return FALSE;
    }
    HttpResponse response = {.status = (int)number, .headers = take_headers(&reply)};
    if (!place_body(request, &reply, &response)) {
        http_response_clear(&response);
        g_set_error(error, STORAGEFS_ERROR, ERROR_PROTOCOL, "the body of the reply is longer than it may be");
        return FALSE;
    }
    *out = response;
    return TRUE;
}

static Settings *
load(const char *driver_name, const char *keys)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *path = fuzz_path("service.conf");
    g_autofree char *text = g_strdup_printf("[storage s]\ndriver = %s\n%s", driver_name, keys);
    fuzz_write("service.conf", text, strlen(text));
    Settings *settings = settings_load(path, &error);
    g_assert_no_error(error);
    return settings;
}

S3 *
fuzz_service_open(const char *driver_name, const char *keys, FuzzInput *input)
{
    g_autoptr(GError) error = NULL;
    static GHashTable *known;
    g_autofree char *name = g_strconcat(driver_name, "\n", keys, NULL);
    if (!known)
        known = g_hash_table_new(g_str_hash, g_str_equal);
    Settings *settings = g_hash_table_lookup(known, name);
    if (!settings) {
        settings = load(driver_name, keys);
        g_hash_table_insert(known, g_steal_pointer(&name), settings);
    }
    const StorageSettings *storage = g_ptr_array_index(settings->storages, 0);
    DriverInstance *instance = storage->driver->open(storage->driver_name, storage->section, &error);
    g_assert_no_error(error);
    replies = input;
    return (S3 *)instance;
}

void
fuzz_service_close(S3 *s3)
{
    replies = NULL;
    s3_driver.close(&s3->base);
}
