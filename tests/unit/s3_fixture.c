/* See s3_fixture.h. */
#include "tests/unit/s3_fixture.h"

#include "src/base/lock.h"
#include "tests/unit/storage_fixture.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_REPLIES 32u

static const S3Reply *script;
static guint used[MAX_REPLIES];
static pthread_mutex_t script_mutex = PTHREAD_MUTEX_INITIALIZER;
static char *home;

static void
remove_home(void)
{
    (void)rmdir(home);
}

void
s3_fixture_isolate(void)
{
    g_auto(GStrv) names = g_listenv();
    for (guint i = 0; names[i]; i++) {
        if (g_str_has_prefix(names[i], "AWS_"))
            g_unsetenv(names[i]);
    }
    home = g_dir_make_tmp("storagefs-s3-XXXXXX", NULL);
    g_setenv("HOME", home, TRUE);
    atexit(remove_home);
    g_setenv("AWS_EC2_METADATA_DISABLED", "true", TRUE);
}

const char *
s3_fixture_home(void)
{
    return home;
}

static const S3Reply *
choose(const char *head)
{
    static const S3Reply missing = {.status = "404 Not Found"};
    const S3Reply *found = NULL;
    pthread_mutex_lock(&script_mutex);
    for (guint i = 0; !found && script[i].status; i++) {
        const S3Reply *reply = &script[i];
        gboolean fits =
            (!reply->needle || strstr(head, reply->needle)) && (!reply->also || strstr(head, reply->also));
        if (fits && (reply->times == 0 || used[i] < reply->times)) {
            used[i]++;
            found = reply;
        }
    }
    pthread_mutex_unlock(&script_mutex);
    return found ? found : &missing;
}

static gboolean
answer(RawServer *server, int fd, const char *head, GByteArray *body)
{
    const S3Reply *reply = choose(head);
    const char *text = reply->body ? reply->body : "";
    gboolean is_head = g_str_has_prefix(head, "HEAD ");
    gboolean own_length = reply->headers && strstr(reply->headers, "Content-Length");
    g_autoptr(GString) out = g_string_new(NULL);
    g_string_append_printf(out, "HTTP/1.1 %s\r\n%s", reply->status, reply->headers ? reply->headers : "");
    if (!own_length && !g_str_has_prefix(reply->status, "304"))
        g_string_append_printf(out, "Content-Length: %" G_GSIZE_FORMAT "\r\n", strlen(text));
    g_string_append(out, "\r\n");
    if (!is_head)
        g_string_append(out, text);
    return raw_server_send(fd, out->str, (gssize)out->len);
}

RawServer *
s3_fixture_serve(const S3Reply *replies)
{
    script = replies;
    memset(used, 0, sizeof used);
    return raw_server_new(answer);
}

DriverInstance *
s3_fixture_open(const char *name, const char *keys, GError **error)
{
    g_autofree char *text = g_strdup_printf("[storage s]\ndriver = %s\n%s\n", name, keys);
    g_autoptr(Settings) settings = storage_fixture_load(text, error);
    if (!settings)
        return NULL;
    const StorageSettings *storage = g_ptr_array_index(settings->storages, 0);
    return storage->driver->open(storage->driver_name, storage->section, error);
}

DriverInstance *
s3_fixture_open_at(RawServer *server, const char *name, const char *keys)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *text =
        g_strdup_printf("endpoint = http://127.0.0.1:%u\naccess_key_id = AK\nsecret_access_key = SECRET\n%s",
                        raw_server_get_port(server), keys);
    DriverInstance *instance = s3_fixture_open(name, text, &error);
    g_assert_no_error(error);
    return instance;
}
