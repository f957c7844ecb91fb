#include "src/cli/cli_helper.h"

#include "src/cli/cli.h"
#include "src/cli/cli_daemon.h"
#include "src/cli/cli_words.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* mount(8): 1 is a wrong call, 32 a failed mount. */
#define MOUNT_USAGE 1
#define MOUNT_FAILED 32

typedef struct {
    gboolean fake, sloppy;
    GPtrArray *option_texts; /* borrowed words */
    GPtrArray *rest;
} HelperWords;

#define USAGE "usage: mount.storagefs CONFIGURATION MNT [-sfnvrw] [-o OPTIONS]"

#define FLAGS "sfnvwr"

static const GOptionEntry known_options[] = {
    {"options", 'o', 0, G_OPTION_ARG_STRING, NULL, NULL, NULL},
    {"types", 't', 0, G_OPTION_ARG_STRING, NULL, NULL, NULL},
    {"namespace", 'N', 0, G_OPTION_ARG_STRING, NULL, NULL, NULL},
    {"sloppy", 's', 0, G_OPTION_ARG_NONE, NULL, NULL, NULL},
    {"fake", 'f', 0, G_OPTION_ARG_NONE, NULL, NULL, NULL},
    {"no-mtab", 'n', 0, G_OPTION_ARG_NONE, NULL, NULL, NULL},
    {"verbose", 'v', 0, G_OPTION_ARG_NONE, NULL, NULL, NULL},
    {"read-write", 'w', 0, G_OPTION_ARG_NONE, NULL, NULL, NULL},
    {"read-only", 'r', 0, G_OPTION_ARG_NONE, NULL, NULL, NULL},
    {NULL},
};

static gboolean
parse_words(HelperWords *words, char **argv)
{
    for (int i = 1; argv[i] != NULL; i++) {
        if (argv[i][0] != '-') {
            g_ptr_array_add(words->rest, argv[i]);
        } else if (strcmp(argv[i], "-o") == 0 || strcmp(argv[i], "-t") == 0 || strcmp(argv[i], "-N") == 0) {
            if (argv[i + 1] == NULL)
                return FALSE;
            i++;
            if (argv[i - 1][1] == 'o')
                g_ptr_array_add(words->option_texts, argv[i]);
        } else if (strspn(argv[i] + 1, FLAGS) == strlen(argv[i] + 1)) {
            words->fake |= strchr(argv[i], 'f') != NULL;
            words->sloppy |= strchr(argv[i], 's') != NULL;
            if (strchr(argv[i], 'r') != NULL)
                g_ptr_array_add(words->option_texts, (char *)"ro");
        } else {
            return FALSE;
        }
    }
    return words->rest->len == 2;
}

int
cli_helper_run(int argc, char **argv)
{
    g_auto(GStrv) separated = cli_words_separate(argc, argv, known_options);
    g_autoptr(GPtrArray) option_texts = g_ptr_array_new(), rest = g_ptr_array_new();
    if (argc > 1 && cli_print_version(argv[1]))
        return EXIT_SUCCESS;
    if (argc > 1 && cli_is_help(argv[1])) {
        puts(USAGE);
        return EXIT_SUCCESS;
    }
    HelperWords words = {.option_texts = option_texts, .rest = rest};
    if (!parse_words(&words, separated)) {
        cli_fail_text(USAGE);
        return MOUNT_USAGE;
    }
    CliDaemonOptions options = {.config_path = rest->pdata[0], .mount_point = rest->pdata[1]};
    cli_options_init(&options.options);
    g_autoptr(GError) error = NULL;
    for (guint i = 0; i < option_texts->len; i++) {
        if (!cli_options_parse(&options.options, option_texts->pdata[i], words.sloppy, &error)) {
            cli_fail(error);
            return MOUNT_USAGE;
        }
    }
    if (words.fake)
        return EXIT_SUCCESS;
    return cli_daemon_start(&options) == EXIT_SUCCESS ? EXIT_SUCCESS : MOUNT_FAILED;
}
