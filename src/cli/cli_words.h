/* The words of a command line, taken apart as getopt(3) does, for parsers that do not. */
#pragma once

#include <glib.h>

/* argv with every short option that takes a value in a word of its own, and the value in the next:
 * "-foro" → "-f", "-o", "ro". What is no option, an unknown one, or comes after "--" stays as it is.
 *
 * entries  GLib's option table, NULL: no options
 * Returns a NULL-terminated array. Caller frees.
 */
char **cli_words_separate(int argc, char **argv, const GOptionEntry *entries);
