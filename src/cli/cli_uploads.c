/* storagefs uploads */
#include "src/cli/cli.h"
#include "src/cli/cli_control.h"

#include <stdio.h>
#include <stdlib.h>

static void
print_upload(JsonObject *upload)
{
    g_autofree char *size = g_format_size_full((guint64)json_object_get_int_member(upload, "size_bytes"),
                                               G_FORMAT_SIZE_IEC_UNITS);
    printf("%-10s %10s  %s/%s/%s\n", json_object_get_string_member(upload, "state"), size,
           json_object_get_string_member_with_default(upload, "storage", ""),
           json_object_get_string_member_with_default(upload, "container", ""),
           json_object_get_string_member_with_default(upload, "key", ""));
    const char *reason = json_object_get_string_member_with_default(upload, "last_error", NULL);
    const char *path = json_object_get_string_member_with_default(upload, "recovery_path", NULL);
    if (reason != NULL)
        printf("           %s\n", reason);
    if (path != NULL)
        printf("           kept in %s\n", path);
}

static int
run(int argc, char **argv)
{
    g_auto(GStrv) rest = NULL;
    int status;
    if (!cli_parse(&cli_uploads_command, NULL, argc, argv, 1, 1, &rest, &status))
        return status;
    g_autoptr(GError) error = NULL;
    g_autoptr(JsonNode) root = cli_control_read_status(rest[0], &error);
    if (root == NULL)
        return cli_fail(error);
    JsonArray *uploads = json_object_get_array_member(json_node_get_object(root), "uploads");
    for (guint i = 0; i < json_array_get_length(uploads); i++)
        print_upload(json_array_get_object_element(uploads, i));
    return EXIT_SUCCESS;
}

const CliCommand cli_uploads_command = {
    .name = "uploads",
    .arguments = "MNT",
    .summary = "Lists what is being stored, and what could not be",
    .help = "Bytes that could not be stored lie in the recovery directory, which the list names.\n",
    .run = run,
};
