/* Entry point: prints what the program is until a subcommand is chosen. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void
print_usage(FILE *out)
{
    fputs("usage: storagefs SUBCOMMAND [OPTIONS]\n", out);
}

int
main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        puts("storagefs " STORAGEFS_VERSION);
        return EXIT_SUCCESS;
    }
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        print_usage(stdout);
        return EXIT_SUCCESS;
    }
    print_usage(stderr);
    return EXIT_FAILURE;
}
