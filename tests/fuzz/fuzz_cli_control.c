/* The status of a mount, as the commands read it: what is not of its shape is refused, and of what is
 * accepted each command prints what it prints. The first byte chooses the command. */
#include "src/cli/cli.h"
#include "src/cli/cli_control.h"
#include "tests/fuzz/fuzz.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void
fuzz_begin(void)
{
    g_autofree char *control = fuzz_path(".control");
    g_assert_cmpint(g_mkdir(control, 0700), ==, 0);
    int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
    g_assert_cmpint(nowhere, >=, 0);
    g_assert_cmpint(dup2(nowhere, STDOUT_FILENO), ==, STDOUT_FILENO);
}

static int
run(const CliCommand *command, const char *option)
{
    char *arguments[] = {(char *)command->name, (char *)fuzz_folder(), (char *)option, NULL};
    return command->run(option != NULL ? 3 : 2, arguments);
}

void
fuzz_one(FuzzInput *input)
{
    g_autoptr(GError) error = NULL;
    guint choice = fuzz_take_byte(input) % 4;
    fuzz_write(".control/status", input->at, fuzz_left(input));
    g_autoptr(JsonNode) root = cli_control_read_status(fuzz_folder(), &error);
    if (root == NULL) {
        fuzz_check_line(error);
        return;
    }
    (void)cli_control_get_pid(root);
    int status = choice == 0   ? run(&cli_status_command, NULL)
                 : choice == 1 ? run(&cli_status_command, "--json")
                 : choice == 2 ? run(&cli_uploads_command, NULL)
                               : run(&cli_uploads_command, "s/c/k");
    g_assert_cmpint(status, ==, EXIT_SUCCESS);
}
