#include "src/cli/cli.h"

#include "src/base/config.h"
#include "src/base/log.h"
#include "src/cli/cli_helper.h"
#include "src/cli/cli_words.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

static const CliCommand *const commands[] = {
    &cli_mount_command, &cli_umount_command,  &cli_default_command, &cli_status_command,
    &cli_sync_command,  &cli_uploads_command, &cli_check_command,   &cli_reload_command,
};

static void
print_usage(FILE *out)
{
    fputs("storagefs " STORAGEFS_VERSION ": many object storages as one file system\n\nusage:\n", out);
    for (guint i = 0; i < G_N_ELEMENTS(commands); i++)
        fprintf(out, "  storagefs %s %s\n", commands[i]->name, commands[i]->arguments);
    fputs("  storagefs --help | -h | --version | -V\n\n", out);
    for (guint i = 0; i < G_N_ELEMENTS(commands); i++)
        fprintf(out, "  %-8s %s\n", commands[i]->name, commands[i]->summary);
    fputs("\nstoragefs SUBCOMMAND --help says more. The configuration: storagefs.conf(5).\n", out);
}

static void
print_command_help(const CliCommand *command)
{
    printf("usage: storagefs %s %s\n\n%s.\n\n%s", command->name, command->arguments, command->summary,
           command->help);
}

void
cli_protect_memory(void)
{
    prctl(PR_SET_DUMPABLE, 0);
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
}

int
cli_fail(const GError *error)
{
    g_autofree char *text = log_mask_secrets(error->message);
    fprintf(stderr, "storagefs: %s\n", text);
    return EXIT_FAILURE;
}

int
cli_fail_text(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *raw = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    g_autofree char *text = log_mask_secrets(raw);
    fprintf(stderr, "storagefs: %s\n", text);
    return EXIT_FAILURE;
}

gboolean
cli_is_help(const char *word)
{
    return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

gboolean
cli_print_version(const char *word)
{
    if (strcmp(word, "--version") != 0 && strcmp(word, "-V") != 0)
        return FALSE;
    puts("storagefs " STORAGEFS_VERSION);
    return TRUE;
}

gboolean
cli_parse(const CliCommand *command, GOptionEntry *entries, int argc, char **argv, guint minimum,
          guint maximum, char ***out_rest, int *out_status)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (!cli_is_help(argv[i]))
            continue;
        print_command_help(command);
        *out_status = EXIT_SUCCESS;
        return FALSE;
    }
    g_auto(GStrv) rest = NULL;
    GOptionEntry rest_entry[] = {
        {G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &rest, NULL, NULL},
        {NULL},
    };
    g_autoptr(GOptionContext) context = g_option_context_new(NULL);
    g_option_context_set_help_enabled(context, FALSE);
    if (entries != NULL)
        g_option_context_add_main_entries(context, entries, NULL);
    g_option_context_add_main_entries(context, rest_entry, NULL);
    g_autoptr(GError) error = NULL;
    g_auto(GStrv) words = cli_words_separate(argc, argv, entries);
    gboolean parsed = g_option_context_parse_strv(context, &words, &error);
    guint count = rest != NULL ? g_strv_length(rest) : 0;
    gboolean is_empty = rest != NULL && g_strv_contains((const char *const *)rest, "");
    if (parsed && count >= minimum && count <= maximum && !is_empty) {
        *out_rest = rest != NULL ? g_steal_pointer(&rest) : g_new0(char *, 1);
        return TRUE;
    }
    cli_fail_text("%s: %s\nusage: storagefs %s %s", command->name,
                  !parsed           ? error->message
                  : is_empty        ? "an argument is empty"
                  : count < minimum ? "an argument is missing"
                                    : "too many arguments",
                  command->name, command->arguments);
    *out_status = 2;
    return FALSE;
}

static int
unknown_command(const char *word)
{
    const char *names[G_N_ELEMENTS(commands) + 1] = {NULL};
    for (guint i = 0; i < G_N_ELEMENTS(commands); i++)
        names[i] = commands[i]->name;
    const char *near = config_nearest(word, names);
    cli_fail_text("unknown subcommand '%s'%s%s%s; storagefs --help lists them", word,
                  near != NULL ? ", did you mean '" : "", near != NULL ? near : "", near != NULL ? "'" : "");
    return 2;
}

int
cli_run(int argc, char **argv)
{
    g_autofree char *name = g_path_get_basename(argc > 0 ? argv[0] : "storagefs");
    if (strcmp(name, "mount.storagefs") == 0)
        return cli_helper_run(argc, argv);
    if (argc < 2) {
        print_usage(stderr);
        return 2;
    }
    if (cli_print_version(argv[1]))
        return EXIT_SUCCESS;
    if (cli_is_help(argv[1])) {
        print_usage(stdout);
        return EXIT_SUCCESS;
    }
    for (guint i = 0; i < G_N_ELEMENTS(commands); i++)
        if (strcmp(argv[1], commands[i]->name) == 0)
            return commands[i]->run(argc - 1, argv + 1);
    return unknown_command(argv[1]);
}
