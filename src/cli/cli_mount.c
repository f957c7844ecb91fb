/* storagefs mount */
#include "src/cli/cli.h"
#include "src/cli/cli_daemon.h"

#include <stdlib.h>

static int
run(int argc, char **argv)
{
    g_autofree char *config_path = NULL;
    g_auto(GStrv) option_texts = NULL, accept_moved = NULL, rest = NULL;
    gboolean foreground = FALSE;
    GOptionEntry entries[] = {
        {"config", 'c', 0, G_OPTION_ARG_FILENAME, &config_path, NULL, NULL},
        {"foreground", 'f', 0, G_OPTION_ARG_NONE, &foreground, NULL, NULL},
        {"options", 'o', 0, G_OPTION_ARG_STRING_ARRAY, &option_texts, NULL, NULL},
        {"accept-moved", 0, 0, G_OPTION_ARG_STRING_ARRAY, &accept_moved, NULL, NULL},
        {NULL},
    };
    int status;
    if (!cli_parse(&cli_mount_command, entries, argc, argv, 1, 1, &rest, &status))
        return status;
    CliDaemonOptions options = {.config_path = config_path,
                                .mount_point = rest[0],
                                .accept_moved = (const char *const *)accept_moved,
                                .foreground = foreground};
    cli_options_init(&options.options);
    g_autoptr(GError) error = NULL;
    for (guint i = 0; option_texts != NULL && option_texts[i] != NULL; i++)
        if (!cli_options_parse(&options.options, option_texts[i], FALSE, &error))
            return cli_fail(error);
    return cli_daemon_start(&options);
}

const CliCommand cli_mount_command = {
    .name = "mount",
    .arguments = "[-c FILE] [-f] [-o OPTIONS] [--accept-moved NAME] MNT",
    .summary = "Mounts the storages of a configuration at the directory MNT",
    .help =
        "  -c FILE              the configuration (else $XDG_CONFIG_HOME/storagefs/storagefs.conf,\n"
        "                       else /etc/storagefs/storagefs.conf)\n"
        "  -f                   stay in the foreground, log to stderr\n"
        "  -o OPTIONS           ro, allow_other, default_permissions, uid=, gid=, umask=, nosuid, nodev,\n"
        "                       noexec, nopassthrough, and what fstab has of its own; separated by commas.\n"
        "                       Not sync, dirsync: what is written is safe when close or fsync returns\n"
        "  --accept-moved NAME  the storage NAME may point to another place than before\n"
        "\n"
        "Returns when the mount answers: 0, or non-zero with the reason on stderr.\n",
    .run = run,
};
