/* Where there is no libFuzzer: feeds a target each file of the directories that are named, in order. */
#include "tests/fuzz/fuzz.h"

#include <stdio.h>

static guint
replay_file(const char *path)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *data = NULL;
    gsize length = 0;
    if (!g_file_get_contents(path, &data, &length, &error))
        g_error("%s", error->message);
    /* The last of these names the culprit. */
    printf("%s\n", path);
    fflush(stdout);
    LLVMFuzzerTestOneInput((const guint8 *)data, length);
    return 1;
}

static gint
compare_texts(gconstpointer a, gconstpointer b)
{
    return g_strcmp0(*(const char *const *)a, *(const char *const *)b);
}

static guint
replay_folder(const char *path)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GDir) dir = g_dir_open(path, 0, &error);
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    const char *name;
    guint count = 0;
    if (!dir)
        g_error("%s", error->message);
    while ((name = g_dir_read_name(dir)))
        g_ptr_array_add(names, g_build_filename(path, name, NULL));
    g_ptr_array_sort(names, compare_texts);
    for (guint i = 0; i < names->len; i++)
        count += replay_file(g_ptr_array_index(names, i));
    return count;
}

int
main(int argc, char **argv)
{
    guint count = 0;
    LLVMFuzzerInitialize(&argc, &argv);
    for (int i = 1; i < argc; i++) {
        if (g_file_test(argv[i], G_FILE_TEST_IS_DIR))
            count += replay_folder(argv[i]);
        else
            count += replay_file(argv[i]);
    }
    printf("%u inputs\n", count);
    /* A target without a corpus would seem to pass. */
    return count > 0 ? 0 : 1;
}
