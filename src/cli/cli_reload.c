/* storagefs reload */
#include "src/cli/cli.h"
#include "src/cli/cli_control.h"

#include <stdlib.h>

/* What write(2) could not say. Caller frees. */
static char *
read_reason(const char *mount_point)
{
    g_autoptr(JsonNode) root = cli_control_read_status(mount_point, NULL);
    if (root == NULL)
        return NULL;
    return g_strdup(
        json_object_get_string_member_with_default(json_node_get_object(root), "reload_error", NULL));
}

static int
run(int argc, char **argv)
{
    g_auto(GStrv) rest = NULL;
    int status;
    if (!cli_parse(&cli_reload_command, NULL, argc, argv, 1, 1, &rest, &status))
        return status;
    g_autoptr(GError) error = NULL;
    if (!cli_control_may_write(rest[0], "reload", &error))
        return cli_fail(error);
    if (cli_control_write(rest[0], "reload", "1", &error))
        return EXIT_SUCCESS;
    g_autofree char *reason = read_reason(rest[0]);
    return cli_fail_text("%s; nothing was changed", reason != NULL ? reason : error->message);
}

const CliCommand cli_reload_command = {
    .name = "reload",
    .arguments = "MNT",
    .summary = "Re-reads the configuration of a mount",
    .help =
        "Storages appear, change, disappear without unmounting; open files stay where they are. A file with\n"
        "a mistake changes nothing; the reason is printed, and shown by status until a reload succeeds.\n",
    .run = run,
};
