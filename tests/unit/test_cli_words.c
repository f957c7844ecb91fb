/* Words of a command line, apart as GLib wants them. */
#include "src/cli/cli_words.h"

static const GOptionEntry entries[] = {
    {"config", 'c', 0, G_OPTION_ARG_FILENAME, NULL, NULL, NULL},
    {"foreground", 'f', 0, G_OPTION_ARG_NONE, NULL, NULL, NULL},
    {"options", 'o', 0, G_OPTION_ARG_STRING_ARRAY, NULL, NULL, NULL},
    {NULL},
};

static void
assert_separated(const char *words, const char *expected)
{
    g_auto(GStrv) given = g_strsplit(words, " ", -1);
    g_auto(GStrv) separated = cli_words_separate((int)g_strv_length(given), given, entries);
    g_autofree char *found = g_strjoinv(" ", separated);
    g_assert_cmpstr(found, ==, expected);
}

static void
test_separate(void)
{
    assert_separated("mount -oro MNT", "mount -o ro MNT");
    assert_separated("mount -cFILE -foro MNT", "mount -c FILE -f -o ro MNT");
    assert_separated("mount -fo ro MNT", "mount -f -o ro MNT");
    assert_separated("mount -o ro -f", "mount -o ro -f");
    assert_separated("mount -o=ro", "mount -o =ro");
    assert_separated("-oro", "-oro"); /* the program's own name */
}

static void
test_as_it_is(void)
{
    assert_separated("mount -o -oro -oro", "mount -o -oro -o ro");
    assert_separated("mount --options -oro --config -cx -cx", "mount --options -oro --config -cx -c x");
    assert_separated("mount --options=x -oro", "mount --options=x -o ro");
    assert_separated("mount -- -oro", "mount -- -oro");
    assert_separated("mount -xoro - -f -o", "mount -xoro - -f -o");
    g_auto(GStrv) none = cli_words_separate(0, NULL, NULL);
    g_assert_cmpuint(g_strv_length(none), ==, 0);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/cli/words/separate", test_separate);
    g_test_add_func("/cli/words/as-it-is", test_as_it_is);
    return g_test_run();
}
