/* Entry point. The order of start and end of a mount is src/cli/cli_daemon.c's. */
#include "src/cli/cli.h"

#include <locale.h>

int
main(int argc, char **argv)
{
    setlocale(LC_CTYPE, "");
    return cli_run(argc, argv);
}
