/* storagefs uploads */
#include "src/cli/cli.h"
#include "src/cli/cli_control.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAXIMUM_NAMES 1000u
#define MAXIMUM_NAME_BYTES 200u

typedef struct {
    gboolean retry, drop;
    char *export_dir; /* NULL: no */
    const char *mount_point, *key;
} Wanted;

static const char *
get(JsonObject *upload, const char *name)
{
    return json_object_get_string_member_with_default(upload, name, "");
}

static char *
make_name(JsonObject *upload)
{
    return g_strjoin("/", get(upload, "storage"), get(upload, "container"), get(upload, "key"), NULL);
}

static void
print_upload(JsonObject *upload)
{
    g_autofree char *size = g_format_size_full((guint64)json_object_get_int_member(upload, "size_bytes"),
                                               G_FORMAT_SIZE_IEC_UNITS);
    g_autofree char *name = make_name(upload);
    gint64 attempts = json_object_get_int_member(upload, "attempts");
    printf("%-10s %10s  %s\n", get(upload, "state"), size, name);
    printf("           for %" G_GINT64_FORMAT " s, %" G_GINT64_FORMAT " attempts\n",
           json_object_get_int_member(upload, "age_s"), attempts);
    if (*get(upload, "last_error") != '\0')
        printf("           %s\n", get(upload, "last_error"));
    if (*get(upload, "recovery_path") != '\0')
        printf("           kept in %s\n", get(upload, "recovery_path"));
}

/* One part of a path, however strange the key. */
static char *
escape(const char *text)
{
    char *escaped = g_uri_escape_string(text, " +,@=()[]!~", TRUE);
    if (*escaped == '.' || *escaped == '\0') {
        char *dotless = g_strconcat("%2E", *escaped != '\0' ? escaped + 1 : "", NULL);
        g_free(escaped);
        escaped = dotless;
    }
    if (strlen(escaped) > MAXIMUM_NAME_BYTES)
        escaped[MAXIMUM_NAME_BYTES] = '\0';
    return escaped;
}

/* DIR/STORAGE/CONTAINER/KEY, with a number when that is there. */
static gboolean
export_upload(const Wanted *wanted, JsonObject *upload, GError **error)
{
    g_autofree char *storage = escape(get(upload, "storage")), *container = escape(get(upload, "container"));
    g_autofree char *key = escape(get(upload, "key"));
    g_autofree char *base = g_canonicalize_filename(wanted->export_dir, NULL);
    g_autofree char *folder = g_build_filename(base, storage, container, NULL);
    if (g_mkdir_with_parents(folder, 0700) != 0)
        return error_set_errno(error, errno, "directory %s", folder);
    for (guint number = 0; number < MAXIMUM_NAMES; number++) {
        g_autoptr(GError) failure = NULL;
        g_autofree char *path = number == 0 ? g_build_filename(folder, key, NULL)
                                            : g_strdup_printf("%s/%s.%u", folder, key, number);
        g_autofree char *command = g_strdup_printf("export %s\n%s", get(upload, "id"), path);
        if (cli_control_write(wanted->mount_point, "journal", command, &failure)) {
            printf("%s\n", path);
            return TRUE;
        }
        if (!error_is(failure, ERROR_EXISTS)) {
            g_propagate_error(error, g_steal_pointer(&failure));
            return FALSE;
        }
    }
    return error_set_errno(error, EEXIST, "%s/%s", folder, key);
}

static gboolean
command(const Wanted *wanted, JsonObject *upload, const char *verb, GError **error)
{
    g_autofree char *text = g_strdup_printf("%s %s", verb, get(upload, "id"));
    return cli_control_write(wanted->mount_point, "journal", text, error);
}

/* By name or number. */
static gboolean
is_named(const Wanted *wanted, JsonObject *upload)
{
    g_autofree char *name = make_name(upload);
    return strcmp(wanted->key, name) == 0 || strcmp(wanted->key, get(upload, "id")) == 0;
}

/* Without a name, whatever is parked; only retry is for what waits, too. */
static gboolean
is_meant(const Wanted *wanted, JsonObject *upload)
{
    gboolean parked = strcmp(get(upload, "state"), "parked") == 0;
    gboolean waiting = strcmp(get(upload, "state"), "waiting") == 0;
    gboolean recovered = g_str_has_prefix(get(upload, "id"), "recovery/");
    if (*get(upload, "id") == '\0')
        return FALSE;
    if (wanted->key != NULL)
        return is_named(wanted, upload);
    return wanted->retry ? (parked || waiting) && !recovered : parked;
}

static gboolean
handle(const Wanted *wanted, JsonObject *upload, GError **error)
{
    gboolean ok = TRUE;
    if (wanted->export_dir != NULL)
        ok = export_upload(wanted, upload, error);
    else if (wanted->retry)
        ok = command(wanted, upload, "retry", error);
    else if (wanted->drop)
        ok = command(wanted, upload, "drop", error);
    if (!ok) {
        g_autofree char *name = make_name(upload);
        g_prefix_error(error, "%s: ", name);
    }
    return ok;
}

static int
end(const Wanted *wanted, guint done)
{
    if (done == 0 && wanted->key != NULL)
        return cli_fail_text("%s: nothing waits or is parked under this name", wanted->key);
    return EXIT_SUCCESS;
}

static int
handle_all(const Wanted *wanted, JsonArray *uploads)
{
    guint done = 0;
    for (guint i = 0; i < json_array_get_length(uploads); i++) {
        JsonObject *upload = json_array_get_object_element(uploads, i);
        g_autoptr(GError) error = NULL;
        if (!is_meant(wanted, upload))
            continue;
        if (!handle(wanted, upload, &error))
            return cli_fail(error);
        done++;
    }
    return end(wanted, done);
}

static int
print_all(const Wanted *wanted, JsonArray *uploads)
{
    guint done = 0;
    for (guint i = 0; i < json_array_get_length(uploads); i++) {
        JsonObject *upload = json_array_get_object_element(uploads, i);
        if (wanted->key != NULL && !is_named(wanted, upload))
            continue;
        print_upload(upload);
        done++;
    }
    return end(wanted, done);
}

static int
run(int argc, char **argv)
{
    g_auto(GStrv) rest = NULL;
    g_autofree char *export_dir = NULL;
    Wanted wanted = {0};
    GOptionEntry entries[] = {{"retry", 0, 0, G_OPTION_ARG_NONE, &wanted.retry, NULL, NULL},
                              {"export", 0, 0, G_OPTION_ARG_FILENAME, &export_dir, NULL, NULL},
                              {"drop", 0, 0, G_OPTION_ARG_NONE, &wanted.drop, NULL, NULL},
                              {NULL}};
    int status;
    if (!cli_parse(&cli_uploads_command, entries, argc, argv, 1, 2, &rest, &status))
        return status;
    if (wanted.retry + wanted.drop + (export_dir != NULL) > 1)
        return cli_fail_text("--retry, --export and --drop exclude each other");
    wanted.export_dir = export_dir;
    wanted.mount_point = rest[0];
    wanted.key = rest[1];
    g_autoptr(GError) error = NULL;
    g_autoptr(JsonNode) root = cli_control_read_status(rest[0], &error);
    if (root == NULL)
        return cli_fail(error);
    JsonArray *uploads = json_object_get_array_member(json_node_get_object(root), "uploads");
    gboolean acts = wanted.retry || wanted.drop || export_dir != NULL;
    return acts ? handle_all(&wanted, uploads) : print_all(&wanted, uploads);
}

const CliCommand cli_uploads_command = {
    .name = "uploads",
    .arguments = "[--retry|--export DIR|--drop] MNT [KEY]",
    .summary = "Lists what is being stored or waits, and what could not be; tries, saves or drops it",
    .help =
        "  --retry       tries what waits or is parked in the journal again, now\n"
        "  --export DIR  writes the whole content to new files DIR/STORAGE/CONTAINER/KEY\n"
        "  --drop        gives up what is parked: its bytes are gone, the name shows what the storage has\n"
        "\n"
        "KEY is STORAGE/CONTAINER/KEY as the list has it, or the number of an upload in status --json; "
        "without\n"
        "it everything that is parked is meant.\n",
    .run = run,
};
