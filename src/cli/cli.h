/* What the subcommands share: their descriptors, and messages to the user. */
#pragma once

#include "src/base/error.h"

#include <glib.h>

/* One subcommand; each cli_NAME.c ends with its descriptor. */
typedef struct {
    const char *name;
    const char *arguments; /* as shown after the name in the usage line */
    const char *summary;   /* one line */
    const char *help;      /* what --help says below the usage */
    /* argv[0] is the subcommand's name. Returns the exit status. */
    int (*run)(int argc, char **argv);
} CliCommand;

extern const CliCommand cli_mount_command, cli_umount_command, cli_default_command, cli_status_command,
    cli_sync_command, cli_uploads_command, cli_check_command, cli_reload_command;

/* Runs `storagefs ...` or, by the name it was called by, mount.storagefs. Returns the exit status. */
int cli_run(int argc, char **argv);

/* Parses argv by `entries` (glib's option table); *out_rest gets the words that are no options,
 * NULL-terminated, between minimum and maximum of them, none empty. --help prints and sets *out_status to 0.
 * Returns FALSE with *out_status set when the command is over. */
gboolean cli_parse(const CliCommand *command, GOptionEntry *entries, int argc, char **argv, guint minimum,
                   guint maximum, char ***out_rest, int *out_status);

/* --help or -h. */
gboolean cli_is_help(const char *word);
/* Whether the word is --version or -V, which is then answered. */
gboolean cli_print_version(const char *word);

/* Before secrets are read: no core file, and no look into memory by the user's other processes. */
void cli_protect_memory(void);

/* "storagefs: message" on stderr, without secrets. Returns EXIT_FAILURE. */
int cli_fail(const GError *error);
int cli_fail_text(const char *format, ...) G_GNUC_PRINTF(1, 2);
