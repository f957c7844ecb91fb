/* The chain of credentials, each source against a server that a test scripts; and the store that keeps them
 * fresh. */
#include "drivers/s3/s3.h"
#include "drivers/s3/s3_credential_store.h"
#include "src/base/error.h"
#include "tests/unit/s3_fixture.h"
#include "tests/unit/storage_fixture.h"

#include <glib/gstdio.h>
#include <string.h>

#define JSON(id, expires)                                                                                    \
    "{\"Version\": 1, \"AccessKeyId\": \"" id "\", \"SecretAccessKey\": \"secret\", \"Token\": \"token\", "  \
    "\"Expiration\": \"" expires "\"}"
#define STS(action, id)                                                                                      \
    "<" action "Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><" action                       \
    "Result><Credentials>"                                                                                   \
    "<AccessKeyId>" id "</AccessKeyId><SecretAccessKey>secret</SecretAccessKey><SessionToken>token"          \
    "</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></" action "Result></" action \
    "Response>"

static const char *const variables[] = {"AWS_ACCESS_KEY_ID",
                                        "AWS_SECRET_ACCESS_KEY",
                                        "AWS_SESSION_TOKEN",
                                        "AWS_PROFILE",
                                        "AWS_ROLE_ARN",
                                        "AWS_WEB_IDENTITY_TOKEN_FILE",
                                        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
                                        "AWS_CONTAINER_AUTHORIZATION_TOKEN",
                                        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
                                        "AWS_EC2_METADATA_SERVICE_ENDPOINT",
                                        "AWS_ENDPOINT_URL_STS",
                                        "AWS_ENDPOINT_URL_SSO",
                                        "AWS_ENDPOINT_URL_SSO_OIDC"};

typedef struct {
    RawServer *server;
    S3Options options;
    S3CredentialSource source;
} Chain;

static void
set_up(Chain *chain, gconstpointer data)
{
    HttpSettings settings = HTTP_SETTINGS_DEFAULT;
    settings.proxy = "";
    for (gsize i = 0; i < G_N_ELEMENTS(variables); i++)
        g_unsetenv(variables[i]);
    g_setenv("AWS_EC2_METADATA_DISABLED", "true", TRUE);
    chain->options = (S3Options){.preset = s3_presets_find("s3"), .region = (char *)"us-east-1"};
    chain->source = (S3CredentialSource){&chain->options, http_client_new(&settings, NULL),
                                         http_client_new(&settings, NULL)};
}

static void
tear_down(Chain *chain, gconstpointer data)
{
    g_autofree char *remove = g_strdup_printf("rm -rf '%s/.aws'", s3_fixture_home());
    g_assert_true(g_spawn_command_line_sync(remove, NULL, NULL, NULL, NULL));
    http_client_free(chain->source.http);
    http_client_free(chain->source.direct);
    g_clear_pointer(&chain->server, raw_server_free);
}

static void
serve(Chain *chain, const S3Reply *replies, const char *variable, const char *path)
{
    chain->server = s3_fixture_serve(replies);
    g_autofree char *url = g_strdup_printf("http://127.0.0.1:%u%s", raw_server_get_port(chain->server), path);
    g_setenv(variable, url, TRUE);
}

/* Writes HOME/.aws/NAME. */
static char *
write_home(const char *name, const char *text)
{
    char *path = g_build_filename(s3_fixture_home(), ".aws", name, NULL);
    g_autofree char *folder = g_path_get_dirname(path);
    g_assert_cmpint(g_mkdir_with_parents(folder, 0700), ==, 0);
    g_assert_true(g_file_set_contents(path, text, -1, NULL));
    return path;
}

static void
expect(Chain *chain, const char *id, const char *token)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(S3Credentials) found = NULL;
    s3_credential_chain_fetch(&chain->source, NULL, &found, &error);
    g_assert_no_error(error);
    g_assert_cmpstr(found->access_key_id, ==, id);
    g_assert_cmpstr(found->session_token, ==, token);
}

static char *
expect_failure(Chain *chain, ErrorCode code)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(S3Credentials) found = NULL;
    g_assert_false(s3_credential_chain_fetch(&chain->source, NULL, &found, &error));
    g_assert_error(error, STORAGEFS_ERROR, (gint)code);
    return g_strdup(error->message);
}

static void
test_order(Chain *chain, gconstpointer data)
{
    g_autofree char *nothing = expect_failure(chain, ERROR_DENIED);
    g_assert_nonnull(strstr(nothing, "access_key_id"));
    g_autofree char *file =
        write_home("credentials", "# mine\n[default]\naws_access_key_id = FILE\n"
                                  "aws_secret_access_key=s # comment\ns3 =\n  x = y\n"
                                  "[other]\naws_access_key_id=OTHER\naws_secret_access_key=s\n"
                                  "aws_session_token = t\n");
    g_autofree char *config =
        write_home("config", "[profile   third]\naws_access_key_id=THIRD\naws_secret_access_key=s\n");
    expect(chain, "FILE", NULL);
    g_setenv("AWS_PROFILE", "other", TRUE);
    expect(chain, "OTHER", "t");
    g_setenv("AWS_ACCESS_KEY_ID", "ENV", TRUE);
    g_setenv("AWS_SECRET_ACCESS_KEY", "s", TRUE);
    expect(chain, "ENV", NULL);
    chain->options.profile = (char *)"third";
    expect(chain, "THIRD", NULL);
    chain->options.profile = (char *)"absent";
    g_autofree char *absent = expect_failure(chain, ERROR_DENIED);
    g_assert_nonnull(strstr(absent, "profile absent"));
    chain->options.profile = NULL;
    chain->options.access_key_id = (char *)"CONFIG";
    chain->options.secret_access_key = (char *)"s";
    expect(chain, "CONFIG", NULL);
}

static void
test_container(Chain *chain, gconstpointer data)
{
    static const S3Reply replies[] = {
        {"GET /creds ", "Authorization: from-file\r\n", "200 OK", NULL, JSON("BOX", "2099-01-01T00:00:00Z")},
        {0}};
    serve(chain, replies, "AWS_CONTAINER_CREDENTIALS_FULL_URI", "/creds");
    g_autofree char *token = write_home("token", "from-file\n");
    g_setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "from-variable", TRUE);
    g_setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", token, TRUE);
    expect(chain, "BOX", "token");
    g_setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://example.com/creds", TRUE);
    g_free(expect_failure(chain, ERROR_BAD_CONFIG));
}

static void
test_instance(Chain *chain, gconstpointer data)
{
    static const S3Reply replies[] = {
        {"PUT /latest/api/token ", "X-aws-ec2-metadata-token-ttl-seconds: 21600\r\n", "200 OK", NULL,
         "v2token"},
        {"GET /latest/meta-data/iam/security-credentials/ ", "X-aws-ec2-metadata-token: v2token\r\n",
         "200 OK", NULL, "role 1\n"},
        {"GET /latest/meta-data/iam/security-credentials/role%201 ", "X-aws-ec2-metadata-token: v2token\r\n",
         "200 OK", NULL, JSON("INSTANCE", "2099-01-01T00:00:00Z")},
        {0}};
    serve(chain, replies, "AWS_EC2_METADATA_SERVICE_ENDPOINT", "/");
    g_free(expect_failure(chain, ERROR_DENIED));
    g_unsetenv("AWS_EC2_METADATA_DISABLED");
    expect(chain, "INSTANCE", "token");
}

static void
test_web_identity(Chain *chain, gconstpointer data)
{
    static const S3Reply replies[] = {{"POST / ", "application/x-www-form-urlencoded", "200 OK", NULL,
                                       STS("AssumeRoleWithWebIdentity", "WEB")},
                                      {0}};
    serve(chain, replies, "AWS_ENDPOINT_URL_STS", "");
    g_autofree char *token = write_home("jwt", "a.b.c\n");
    g_setenv("AWS_WEB_IDENTITY_TOKEN_FILE", token, TRUE);
    g_setenv("AWS_ROLE_ARN", "arn:aws:iam::1:role/r", TRUE);
    expect(chain, "WEB", "token");
    g_assert_cmpuint(raw_server_count(chain->server, "Authorization"), ==, 0);
    g_setenv("AWS_WEB_IDENTITY_TOKEN_FILE", "/nonexistent/token", TRUE);
    g_free(expect_failure(chain, ERROR_NOT_FOUND));
}

static void
test_role(Chain *chain, gconstpointer data)
{
    static const S3Reply replies[] = {
        {"Credential=BASE/", "/us-east-1/sts/aws4_request", "200 OK", NULL, STS("AssumeRole", "ROLE")},
        {"Credential=ROLE/", "security-token", "200 OK", NULL, STS("AssumeRole", "SECOND")},
        {NULL, NULL, "403 Forbidden", NULL,
         "<ErrorResponse><Error><Code>AccessDenied</Code><Message>not you</Message></Error></ErrorResponse>"},
        {0}};
    serve(chain, replies, "AWS_ENDPOINT_URL_STS", "");
    g_autofree char *file =
        write_home("config", "[profile base]\naws_access_key_id=BASE\naws_secret_access_key=s\n"
                             "[profile one]\nrole_arn=arn:1\nsource_profile=base\n"
                             "[profile two]\nrole_arn=arn:2\nsource_profile=one\nexternal_id=x\n"
                             "[profile circle]\nrole_arn=arn:3\nsource_profile=round\n"
                             "[profile round]\nrole_arn=arn:3\nsource_profile=circle\n"
                             "[profile env]\nrole_arn=arn:4\ncredential_source=Environment\n");
    chain->options.profile = (char *)"one";
    expect(chain, "ROLE", "token");
    chain->options.profile = (char *)"two";
    expect(chain, "SECOND", "token");
    chain->options.profile = (char *)"circle";
    g_free(expect_failure(chain, ERROR_BAD_CONFIG));
    g_setenv("AWS_ACCESS_KEY_ID", "STRANGER", TRUE);
    g_setenv("AWS_SECRET_ACCESS_KEY", "s", TRUE);
    chain->options.profile = (char *)"env";
    g_autofree char *denied = expect_failure(chain, ERROR_DENIED);
    g_assert_nonnull(strstr(denied, "not you"));
    chain->options.profile = (char *)"base";
    chain->options.role_arn = (char *)"arn:5";
    expect(chain, "ROLE", "token");
}

static void
test_process(Chain *chain, gconstpointer data)
{
    g_autofree char *json = write_home("out.json", JSON("PROCESS", "2099-01-01T00:00:00Z"));
    g_autofree char *config = g_strdup_printf("[profile good]\ncredential_process = cat \"%s\"\n"
                                              "[profile bad]\ncredential_process = false\n"
                                              "[profile none]\ncredential_process = /nonexistent/program\n"
                                              "[profile text]\ncredential_process = echo hello\n"
                                              "[profile endless]\ncredential_process = yes\n",
                                              json);
    g_autofree char *file = write_home("config", config);
    static const struct {
        const char *profile;
        ErrorCode code;
    } cases[] = {{"bad", ERROR_DENIED},
                 {"none", ERROR_BAD_CONFIG},
                 {"text", ERROR_PROTOCOL},
                 {"endless", ERROR_PROTOCOL}};
    chain->options.profile = (char *)"good";
    expect(chain, "PROCESS", "token");
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        chain->options.profile = (char *)cases[i].profile;
        g_free(expect_failure(chain, cases[i].code));
    }
}

/* A command that never ends is ended with the call. */
static void
test_process_hangs(Chain *chain, gconstpointer data)
{
    g_autofree char *file = write_home("config", "[default]\ncredential_process = sleep 1000\n");
    g_autoptr(Call) call = call_new(200 * 1000);
    g_autoptr(GError) error = NULL;
    g_autoptr(S3Credentials) found = NULL;
    g_assert_false(s3_credential_chain_fetch(&chain->source, call, &found, &error));
    g_assert_error(error, STORAGEFS_ERROR, ERROR_TIMEOUT);
}

static void
test_sso(Chain *chain, gconstpointer data)
{
    static const S3Reply replies[] = {
        {"GET /federation/credentials?role_name=my%20role&account_id=123 ",
         "x-amz-sso_bearer_token: ", "200 OK", NULL,
         "{\"roleCredentials\": {\"accessKeyId\": \"SSO\", \"secretAccessKey\": \"s\", \"sessionToken\": "
         "\"token\", \"expiration\": 4070908800000}}"},
        {"POST /token ", "application/json", "200 OK", NULL,
         "{\"accessToken\": \"fresh\", \"expiresIn\": 3600, \"refreshToken\": \"next\"}"},
        {0}};
    serve(chain, replies, "AWS_ENDPOINT_URL_SSO", "");
    g_setenv("AWS_ENDPOINT_URL_SSO_OIDC", g_getenv("AWS_ENDPOINT_URL_SSO"), TRUE);
    g_autofree char *file =
        write_home("config", "[default]\nsso_session = dev\nsso_account_id = 123\nsso_role_name = my role\n"
                             "[sso-session dev]\nsso_region = eu-west-1\nsso_start_url = https://x/start\n");
    g_autofree char *nobody = expect_failure(chain, ERROR_DENIED);
    g_assert_nonnull(strstr(nobody, "aws sso login"));
    /* SHA-1 of "dev". */
    g_autofree char *cache =
        write_home("sso/cache/34c6fceca75e456f25e7e99531e2425c6c1de443.json",
                   "{\"accessToken\": \"valid\", \"expiresAt\": \"2099-01-01T00:00:00Z\"}");
    expect(chain, "SSO", "token");
    g_assert_cmpuint(raw_server_count(chain->server, "x-amz-sso_bearer_token: valid"), ==, 1);
    g_free(
        write_home("sso/cache/34c6fceca75e456f25e7e99531e2425c6c1de443.json",
                   "{\"accessToken\": \"old\", \"expiresAt\": \"2001-01-01T00:00:00Z\", \"clientId\": \"c\", "
                   "\"clientSecret\": \"d\", \"refreshToken\": \"r\", \"region\": \"eu-west-1\"}"));
    expect(chain, "SSO", "token");
    g_assert_cmpuint(raw_server_count(chain->server, "x-amz-sso_bearer_token: fresh"), ==, 1);
    g_autofree char *written = NULL;
    g_assert_true(g_file_get_contents(cache, &written, NULL, NULL));
    g_assert_nonnull(strstr(written, "\"refreshToken\":\"next\""));
    g_assert_nonnull(strstr(written, "\"region\":\"eu-west-1\""));
}

static void
test_damaged(Chain *chain, gconstpointer data)
{
    static const S3Reply replies[] = {{NULL, NULL, "200 OK", NULL, "{\"AccessKeyId\": 5}"}, {0}};
    serve(chain, replies, "AWS_CONTAINER_CREDENTIALS_FULL_URI", "/");
    g_free(expect_failure(chain, ERROR_PROTOCOL));
}

/* Kept while valid; renewed ahead of time, but not at every request; the old ones serve while a renewal
 * fails. */
static void
test_store(Chain *chain, gconstpointer data)
{
    gint64 soon_s = g_get_real_time() / G_USEC_PER_SEC + 120;
    g_autoptr(GDateTime) soon = g_date_time_new_from_unix_utc(soon_s);
    g_autofree char *expires = g_date_time_format(soon, "%Y-%m-%dT%H:%M:%SZ");
    g_autofree char *first = g_strdup_printf(
        "{\"AccessKeyId\": \"FIRST\", \"SecretAccessKey\": \"secret\", \"Expiration\": \"%s\"}", expires);
    const S3Reply replies[] = {{.status = "200 OK", .body = first, .times = 1},
                               {.status = "500 Oops", .times = 1},
                               {.status = "200 OK", .body = JSON("LAST", "2099-01-01T00:00:00Z")},
                               {0}};
    serve(chain, replies, "AWS_CONTAINER_CREDENTIALS_FULL_URI", "/");
    g_autoptr(S3CredentialStore) store = s3_credential_store_new(&chain->source);
    g_assert_null(s3_credential_store_get(store));
    static const char *const expected[] = {"FIRST", "FIRST", "FIRST", "LAST", "LAST"};
    static const guint requests[] = {1, 1, 2, 3, 3};
    for (gsize i = 0; i < G_N_ELEMENTS(expected); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(S3Credentials) found = NULL;
        s3_credential_store_fetch(store, NULL, &found, &error);
        g_assert_no_error(error);
        g_assert_cmpstr(found->access_key_id, ==, expected[i]);
        g_assert_cmpuint(raw_server_count(chain->server, "GET "), ==, requests[i]);
        if (i == 1)
            s3_credential_store_end_pause(store);
        if (i == 2)
            s3_credential_store_reject(store, found);
    }
}

/* Through the driver: the service says that they expired, new ones are fetched, and the request is sent
 * again. */
static void
test_expired_token(Chain *chain, gconstpointer data)
{
    static const S3Reply replies[] = {
        {"GET /creds", NULL, "200 OK", NULL, JSON("OLD", "2099-01-01T00:00:00Z"), 1},
        {"GET /creds", NULL, "200 OK", NULL, JSON("NEW", "2099-01-01T00:00:00Z")},
        {"Credential=OLD/", NULL, "400 Bad Request", NULL, "<Error><Code>ExpiredToken</Code></Error>"},
        {"Credential=NEW/", NULL, "200 OK", "ETag: \"e\"\r\n"},
        {0}};
    serve(chain, replies, "AWS_CONTAINER_CREDENTIALS_FULL_URI", "/creds");
    g_autoptr(GError) error = NULL;
    g_autofree char *keys =
        g_strdup_printf("endpoint = http://127.0.0.1:%u", raw_server_get_port(chain->server));
    DriverInstance *instance = s3_fixture_open("s3", keys, &error);
    g_assert_no_error(error);
    ByteSource body = storage_fixture_text("x");
    g_assert_true(s3_driver.write_object(instance, NULL, "bucket", "key", &body, NULL, NULL, &error));
    g_assert_no_error(error);
    s3_driver.close(instance);
}

typedef struct {
    S3CredentialStore *store;
    pthread_t thread;
} Client;

static void *
fetch_many(void *data)
{
    Client *client = data;
    for (int i = 0; i < 50; i++) {
        g_autoptr(S3Credentials) found = NULL;
        g_assert_true(s3_credential_store_fetch(client->store, NULL, &found, NULL));
        if (i % 10 == 9)
            s3_credential_store_reject(client->store, found);
    }
    return NULL;
}

static void
test_threads(Chain *chain, gconstpointer data)
{
    static const S3Reply replies[] = {{.status = "200 OK", .body = JSON("ANY", "2099-01-01T00:00:00Z")}, {0}};
    Client clients[4];
    serve(chain, replies, "AWS_CONTAINER_CREDENTIALS_FULL_URI", "/");
    g_autoptr(S3CredentialStore) store = s3_credential_store_new(&chain->source);
    for (gsize i = 0; i < G_N_ELEMENTS(clients); i++) {
        clients[i].store = store;
        g_assert_cmpint(pthread_create(&clients[i].thread, NULL, fetch_many, &clients[i]), ==, 0);
    }
    for (gsize i = 0; i < G_N_ELEMENTS(clients); i++)
        pthread_join(clients[i].thread, NULL);
    g_assert_cmpuint(raw_server_count(chain->server, "GET "), <=, 20);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    s3_fixture_isolate();
#define ADD(name, function) g_test_add("/s3/credentials/" name, Chain, NULL, set_up, function, tear_down)
    ADD("order", test_order);
    ADD("container", test_container);
    ADD("instance", test_instance);
    ADD("web-identity", test_web_identity);
    ADD("role", test_role);
    ADD("process", test_process);
    ADD("process-hangs", test_process_hangs);
    ADD("sso", test_sso);
    ADD("damaged", test_damaged);
    ADD("store", test_store);
    ADD("expired-token", test_expired_token);
    ADD("threads", test_threads);
    return g_test_run();
}
