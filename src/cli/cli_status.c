/* storagefs status */
#include "src/cli/cli.h"
#include "src/cli/cli_control.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WATCH_US G_USEC_PER_SEC

static const char *
text_of(JsonObject *object, const char *name)
{
    return json_object_get_string_member_with_default(object, name, "-");
}

static void
print_storage(JsonObject *storage, const char *default_name)
{
    const char *name = text_of(storage, "name");
    printf("%c %-20s %-10s %s\n", strcmp(name, default_name) == 0 ? '*' : ' ', name,
           text_of(storage, "state"), text_of(storage, "place"));
    const char *reason = json_object_get_string_member_with_default(storage, "last_error", NULL);
    if (reason != NULL)
        printf("    last error %" G_GINT64_FORMAT " s ago: %s\n",
               json_object_get_int_member_with_default(storage, "last_error_age_s", 0), reason);
}

static char *
size_of(JsonObject *object, const char *name)
{
    return g_format_size_full((guint64)json_object_get_int_member_with_default(object, name, 0),
                              G_FORMAT_SIZE_IEC_UNITS);
}

/* Nothing where cache_size is 0. */
static void
print_disk_cache(JsonObject *cache)
{
    const char *reason = json_object_get_string_member_with_default(cache, "reason", NULL);
    g_autofree char *used = size_of(cache, "used_bytes");
    g_autofree char *limit = size_of(cache, "limit_bytes");
    if (json_object_get_boolean_member_with_default(cache, "on", FALSE))
        printf("disk cache %s of %s, %" G_GINT64_FORMAT " hits, %" G_GINT64_FORMAT " misses\n", used, limit,
               json_object_get_int_member_with_default(cache, "hits", 0),
               json_object_get_int_member_with_default(cache, "misses", 0));
    else if (reason != NULL)
        printf("disk cache off: %s\n", reason);
}

static void
print_status(JsonObject *status)
{
    const char *default_name = text_of(status, "default");
    printf("storagefs %s at %s, default %s\n\n", text_of(status, "version"), text_of(status, "mount_point"),
           default_name);
    const char *refused = json_object_get_string_member_with_default(status, "reload_error", NULL);
    if (refused != NULL)
        printf("the last reload changed nothing: %s\n\n", refused);
    JsonArray *storages = json_object_get_array_member(status, "storages");
    for (guint i = 0; i < json_array_get_length(storages); i++)
        print_storage(json_array_get_object_element(storages, i), default_name);
    JsonObject *paths = json_object_get_object_member(status, "fast_paths");
    if (json_object_get_boolean_member_with_default(paths, "passthrough", FALSE))
        printf("\npassthrough on");
    else
        printf("\npassthrough off: %s", text_of(paths, "passthrough_off_because"));
    JsonObject *memory = json_object_get_object_member(status, "memory");
    g_autofree char *used = size_of(memory, "used_bytes");
    g_autofree char *limit = size_of(memory, "limit_bytes");
    printf("\n%u uploads, buffers %s of %s, %" G_GINT64_FORMAT " errors logged\n",
           json_array_get_length(json_object_get_array_member(status, "uploads")), used, limit,
           json_object_get_int_member(json_object_get_object_member(status, "errors"), "logged"));
    print_disk_cache(json_object_get_object_member(status, "disk_cache"));
}

/* As the daemon wrote it, but for a process number that means nothing here. */
static gboolean
show_json(const char *mount_point, GError **error)
{
    g_autoptr(JsonNode) root = cli_control_read_status(mount_point, error);
    if (root == NULL)
        return FALSE;
    if (cli_control_get_pid(root) == 0)
        json_object_remove_member(json_node_get_object(root), "pid");
    g_autofree char *text = json_to_string(root, TRUE);
    puts(text);
    return TRUE;
}

static gboolean
show(const char *mount_point, gboolean json, GError **error)
{
    if (json)
        return show_json(mount_point, error);
    g_autoptr(JsonNode) root = cli_control_read_status(mount_point, error);
    if (root != NULL)
        print_status(json_node_get_object(root));
    return root != NULL;
}

static int
run(int argc, char **argv)
{
    g_auto(GStrv) rest = NULL;
    gboolean json = FALSE, watch = FALSE;
    GOptionEntry entries[] = {
        {"json", 0, 0, G_OPTION_ARG_NONE, &json, NULL, NULL},
        {"watch", 0, 0, G_OPTION_ARG_NONE, &watch, NULL, NULL},
        {NULL},
    };
    int status;
    if (!cli_parse(&cli_status_command, entries, argc, argv, 1, 1, &rest, &status))
        return status;
    g_autoptr(GError) error = NULL;
    while (show(rest[0], json, &error)) {
        if (!watch)
            return EXIT_SUCCESS;
        fflush(stdout);
        g_usleep(WATCH_US);
        fputs("\033[H\033[2J", stdout);
    }
    return cli_fail(error);
}

const CliCommand cli_status_command = {
    .name = "status",
    .arguments = "MNT [--json|--watch]",
    .summary = "Shows the storages, the default, uploads, caches and errors of a mount",
    .help = "  --json   everything, as JSON\n"
            "  --watch  again every second\n",
    .run = run,
};
