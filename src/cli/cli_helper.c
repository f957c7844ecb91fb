#include "src/cli/cli_helper.h"

#include "src/cli/cli.h"
#include "src/cli/cli_daemon.h"

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

static gboolean
parse_words(HelperWords *words, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (argv[i][0] != '-') {
            g_ptr_array_add(words->rest, argv[i]);
        } else if (strcmp(argv[i], "-o") == 0 || strcmp(argv[i], "-t") == 0 || strcmp(argv[i], "-N") == 0) {
            if (i + 1 >= argc)
                return FALSE;
            i++;
            if (argv[i - 1][1] == 'o')
                g_ptr_array_add(words->option_texts, argv[i]);
        } else if (strspn(argv[i] + 1, "sfnvwr") == strlen(argv[i] + 1)) {
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
    g_autoptr(GPtrArray) option_texts = g_ptr_array_new(), rest = g_ptr_array_new();
    HelperWords words = {.option_texts = option_texts, .rest = rest};
    if (!parse_words(&words, argc, argv)) {
        cli_fail_text("usage: mount.storagefs CONFIGURATION MNT [-sfnv] [-o OPTIONS]");
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
