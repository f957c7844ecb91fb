/* The connections of one HttpClient: see http_client.h. Everything that is the same for all requests of a
 * client (TLS, proxy, limits) is set here, once per connection. */
#include "src/storage/http_client.h"

#include "src/base/lock.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

struct HttpClient {
    char *ca_file, *proxy, *user_agent;
    gboolean verify_peer;
    guint maximum_connections;
    gint64 connect_timeout_us, stall_timeout_us;
    CURLSH *shared; /* name look-ups and TLS sessions, which all connections profit from */
    Lock shared_locks[CURL_LOCK_DATA_LAST];
    Lock lock;       /* guards what follows */
    GPtrArray *idle; /* of HttpConnection *, newest last */
    HttpCounters counters;
};

static void
start_libcurl(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

static void
connection_free(HttpConnection *connection)
{
    if (connection->easy)
        curl_easy_cleanup(connection->easy);
    if (connection->multi)
        curl_multi_cleanup(connection->multi);
    g_free(connection->origin);
    g_free(connection);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(HttpConnection, connection_free)

/* libcurl pairs each lock call with an unlock call of its own, which no static analysis can follow. */
static void
lock_shared(CURL *easy, curl_lock_data data, curl_lock_access access, void *client)
    LOCK_ANNOTATION(no_thread_safety_analysis)
{
    lock_acquire(&((HttpClient *)client)->shared_locks[data]);
}

static void
unlock_shared(CURL *easy, curl_lock_data data, void *client) LOCK_ANNOTATION(no_thread_safety_analysis)
{
    lock_release(&((HttpClient *)client)->shared_locks[data]);
}

static gboolean
check_ca_file(const char *path, GError **error)
{
    if (!path)
        return TRUE;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        g_set_error(error, STORAGEFS_ERROR, ERROR_BAD_CONFIG, "certificate file %s: %s", path,
                    g_strerror(errno));
        return FALSE;
    }
    close(fd);
    return TRUE;
}

static gboolean
check_proxy(const char *proxy, GError **error)
{
    if (!proxy || !*proxy)
        return TRUE;
    CURLU *url = curl_url();
    char *scheme = NULL;
    gboolean good =
        url && !curl_url_set(url, CURLUPART_URL, proxy, CURLU_DEFAULT_SCHEME | CURLU_NON_SUPPORT_SCHEME) &&
        !curl_url_get(url, CURLUPART_SCHEME, &scheme, CURLU_DEFAULT_SCHEME);
    static const char *const known[] = {"http", "https", "socks4", "socks4a", "socks5", "socks5h", NULL};
    good = good && g_strv_contains(known, scheme);
    curl_free(scheme);
    curl_url_cleanup(url);
    /* The text may hold a password, so it is not shown. */
    if (!good)
        g_set_error(error, STORAGEFS_ERROR, ERROR_BAD_CONFIG,
                    "proxy: not a URL such as http://host:port or socks5h://host:port");
    return good;
}

static gboolean
share_lookups(HttpClient *client, GError **error)
{
    client->shared = curl_share_init();
    if (!client->shared) {
        g_set_error(error, STORAGEFS_ERROR, ERROR_NO_RESOURCES, "HTTP client: out of memory");
        return FALSE;
    }
    curl_share_setopt(client->shared, CURLSHOPT_LOCKFUNC, lock_shared);
    curl_share_setopt(client->shared, CURLSHOPT_UNLOCKFUNC, unlock_shared);
    curl_share_setopt(client->shared, CURLSHOPT_USERDATA, client);
    curl_share_setopt(client->shared, CURLSHOPT_SHARE, CURL_LOCK_DATA_DNS);
    curl_share_setopt(client->shared, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION);
    return TRUE;
}

HttpClient *
http_client_new(const HttpSettings *settings, GError **error)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, start_libcurl);
    if (!check_ca_file(settings->ca_file, error) || !check_proxy(settings->proxy, error))
        return NULL;

    g_autoptr(HttpClient) client = g_new0(HttpClient, 1);
    client->ca_file = g_strdup(settings->ca_file);
    client->proxy = g_strdup(settings->proxy);
    client->user_agent = g_strdup(settings->user_agent);
    client->verify_peer = settings->verify_peer;
    client->maximum_connections = settings->maximum_connections;
    client->connect_timeout_us = settings->connect_timeout_us;
    client->stall_timeout_us = settings->stall_timeout_us;
    client->idle = g_ptr_array_new_with_free_func((GDestroyNotify)connection_free);
    lock_init(&client->lock);
    for (guint i = 0; i < G_N_ELEMENTS(client->shared_locks); i++)
        lock_init(&client->shared_locks[i]);
    return share_lookups(client, error) ? g_steal_pointer(&client) : NULL;
}

void
http_client_free(HttpClient *client)
{
    if (!client)
        return;
    g_ptr_array_unref(client->idle);
    if (client->shared)
        curl_share_cleanup(client->shared);
    for (guint i = 0; i < G_N_ELEMENTS(client->shared_locks); i++)
        lock_clear(&client->shared_locks[i]);
    lock_clear(&client->lock);
    g_free(client->ca_file);
    g_free(client->proxy);
    g_free(client->user_agent);
    g_free(client);
}

static void
set_security(CURL *easy, HttpClient *client)
{
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, client->verify_peer ? 1L : 0L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, client->verify_peer ? 2L : 0L);
    if (client->ca_file) {
        curl_easy_setopt(easy, CURLOPT_CAINFO, client->ca_file);
        curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
    }
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
}

static void
set_transport(CURL *easy, HttpClient *client)
{
    curl_easy_setopt(easy, CURLOPT_SHARE, client->shared);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_TCP_NODELAY, 1L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPIDLE, 30L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPINTVL, 10L);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)(client->connect_timeout_us / 1000));
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    /* Otherwise a cancelled request would wait for a name look-up that hangs. */
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
    if (client->proxy)
        curl_easy_setopt(easy, CURLOPT_PROXY, client->proxy);
    curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
}

static HttpConnection *
connection_new(HttpClient *client, const char *origin, GError **error)
{
    g_autoptr(HttpConnection) connection = g_new0(HttpConnection, 1);
    G_STATIC_ASSERT(sizeof connection->message >= CURL_ERROR_SIZE);
    connection->easy = curl_easy_init();
    connection->multi = curl_multi_init();
    connection->origin = g_strdup(origin);
    if (!connection->easy || !connection->multi ||
        curl_easy_setopt(connection->easy, CURLOPT_PROTOCOLS_STR, "http,https") != CURLE_OK) {
        g_set_error(error, STORAGEFS_ERROR, ERROR_NO_RESOURCES, "%s: no connection handle can be made",
                    origin);
        return NULL;
    }
    curl_multi_setopt(connection->multi, CURLMOPT_MAXCONNECTS, 1L);
    curl_easy_setopt(connection->easy, CURLOPT_ERRORBUFFER, connection->message);
    curl_easy_setopt(connection->easy, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(connection->easy, CURLOPT_HTTP_CONTENT_DECODING, 0L);
    curl_easy_setopt(connection->easy, CURLOPT_USERAGENT, client->user_agent);
    set_security(connection->easy, client);
    set_transport(connection->easy, client);
    return g_steal_pointer(&connection);
}

static HttpConnection *
take_idle(HttpClient *client, const char *origin)
{
    HttpConnection *found = NULL;
    lock_acquire(&client->lock);
    for (guint i = client->idle->len; i > 0 && !found; i--) {
        HttpConnection *connection = g_ptr_array_index(client->idle, i - 1);
        if (strcmp(connection->origin, origin) == 0)
            found = g_ptr_array_steal_index(client->idle, i - 1);
    }
    lock_release(&client->lock);
    return found;
}

HttpConnection *
http_client_take(HttpClient *client, const char *origin, GError **error)
{
    HttpConnection *connection = take_idle(client, origin);
    return connection ? connection : connection_new(client, origin, error);
}

void
http_client_give(HttpClient *client, HttpConnection *connection, const HttpCounters *done)
{
    HttpConnection *surplus = NULL;
    lock_acquire(&client->lock);
    client->counters.requests += done->requests;
    client->counters.body_bytes_sent += done->body_bytes_sent;
    client->counters.body_bytes_received += done->body_bytes_received;
    client->counters.failures += done->failures;
    client->counters.connections_opened += done->connections_opened;
    g_ptr_array_add(client->idle, connection);
    if (client->idle->len > MAX(client->maximum_connections, 1))
        surplus = g_ptr_array_steal_index(client->idle, 0);
    lock_release(&client->lock);
    if (surplus)
        connection_free(surplus);
}

gint64
http_client_get_stall_timeout_us(HttpClient *client)
{
    return client->stall_timeout_us;
}

void
http_client_get_counters(HttpClient *client, HttpCounters *out)
{
    lock_acquire(&client->lock);
    *out = client->counters;
    lock_release(&client->lock);
}
