/* contract_suite DRIVER [KEY=VALUE]... [FLAG]: the driver contract, tried on one storage.
 *
 * FLAG is without-openat2 (local) or mock (moto: it cannot route keys with control characters, and checks a
 * condition and stores in two steps).
 * The configuration is made of the arguments (local gets a temporary base directory), or, when
 * STORAGEFS_CONTRACT_CONFIG names a file, it is that file's one [storage NAME] section: for endpoints that
 * the caller has started.
 */
#include "drivers/local/local.h"
#include "tests/contract/contract.h"

#include "tests/unit/folder_fixture.h"

#include <glib/gstdio.h>
#include <string.h>

static char *
write_config(const char *folder, int argc, char **argv)
{
    g_autoptr(GString) text = g_string_new("[storage contract]\n");
    char *path = g_build_filename(folder, "storagefs.conf", NULL);
    GError *error = NULL;
    g_string_append_printf(text, "driver = %s\n", argv[1]);
    if (g_str_equal(argv[1], "local"))
        g_string_append_printf(text, "path = %s/base\ncreate_path = yes\n", folder);
    for (int i = 2; i < argc; i++) {
        if (strchr(argv[i], '=') != NULL)
            g_string_append_printf(text, "%s\n", argv[i]);
    }
    /* It may hold a secret. */
    g_file_set_contents_full(path, text->str, -1, G_FILE_SET_CONTENTS_NONE, 0600, &error);
    g_assert_no_error(error);
    return path;
}

static void
add_tests(void)
{
    contract_add_containers();
    contract_add_objects();
    contract_add_metadata();
    contract_add_list();
    contract_add_conditions();
    contract_add_copies();
    contract_add_multipart();
    contract_add_calls();
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    const char *given = g_getenv("STORAGEFS_CONTRACT_CONFIG");
    if (argc < 2 && given == NULL)
        g_error("usage: contract_suite DRIVER [KEY=VALUE]... [FLAG]");
    g_autofree char *folder = g_dir_make_tmp("storagefs-contract-XXXXXX", NULL);
    g_autofree char *config = given != NULL ? g_strdup(given) : write_config(folder, argc, argv);
    contract_open(config);
    const char *flag = argc > 2 ? argv[argc - 1] : "";
    if (g_str_equal(flag, "without-openat2"))
        local_disable_openat2(contract.instance);
    contract.is_mock = g_str_equal(flag, "mock");
    add_tests();
    int status = g_test_run();
    contract_close();
    folder_fixture_remove(folder);
    return status;
}
