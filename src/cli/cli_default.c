/* storagefs default */
#include "src/cli/cli.h"
#include "src/cli/cli_control.h"

#include <stdio.h>
#include <stdlib.h>

static int
run(int argc, char **argv)
{
    g_auto(GStrv) rest = NULL;
    int status;
    if (!cli_parse(&cli_default_command, NULL, argc, argv, 1, 2, &rest, &status))
        return status;
    g_autoptr(GError) error = NULL;
    if (rest[1] == NULL) {
        g_autofree char *name = cli_control_read(rest[0], "default", &error);
        if (name == NULL)
            return cli_fail(error);
        fputs(name, stdout);
        return EXIT_SUCCESS;
    }
    if (cli_control_write(rest[0], "default", rest[1], &error))
        return EXIT_SUCCESS;
    if (error_is(error, ERROR_NOT_FOUND)) {
        g_autofree char *storages = cli_control_read(rest[0], "storages", NULL);
        if (storages != NULL)
            return cli_fail_text("there is no storage '%s' in %s; the default is as it was", rest[1],
                                 rest[0]);
    }
    return cli_fail(error);
}

const CliCommand cli_default_command = {
    .name = "default",
    .arguments = "MNT [NAME]",
    .summary = "Prints the name of the default storage, or makes NAME the default",
    .help = "The choice is kept over a remount, until `default =` of the configuration is edited.\n",
    .run = run,
};
