/* storagefs sync */
#include "src/cli/cli.h"
#include "src/cli/cli_progress.h"

#include <stdlib.h>

static int
run(int argc, char **argv)
{
    g_auto(GStrv) rest = NULL;
    int status;
    if (!cli_parse(&cli_sync_command, NULL, argc, argv, 1, 1, &rest, &status))
        return status;
    g_autoptr(GError) error = NULL;
    return cli_progress_wait(rest[0], &error) ? EXIT_SUCCESS : cli_fail(error);
}

const CliCommand cli_sync_command = {
    .name = "sync",
    .arguments = "MNT",
    .summary = "Waits until everything that was closed is in the storages",
    .help = "On a terminal a bar shows the progress. What programs still have open for writing is not waited "
            "for.\n",
    .run = run,
};
