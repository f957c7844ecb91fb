/* storagefs check */
#include "src/cli/cli.h"
#include "src/storage/storage.h"

#include <stdio.h>
#include <stdlib.h>

static const char *
yes(gboolean able)
{
    return able ? "yes" : "no";
}

static const char *
condition(ConditionSupport support)
{
    static const char *const words[] = {[CONDITION_NONE] = "best effort (look, then write)",
                                        [CONDITION_MAYBE] = "not known (look, then write with the condition)",
                                        [CONDITION_ATOMIC] = "atomic"};
    return words[support];
}

static void
print_capabilities(Storage *storage)
{
    Capabilities able;
    storage_get_capabilities(storage, &able);
    printf("  create only if absent     %s\n", condition(able.write_if_absent));
    printf("  replace only if unchanged %s\n", condition(able.write_if_etag));
    printf("  multi-part uploads        %s", yes(able.multipart));
    if (able.multipart)
        printf("; create only if absent: %s, replace only if unchanged: %s", condition(able.commit_if_absent),
               condition(able.commit_if_etag));
    printf("\n  copies on the server      %s; of parts: %s\n", yes(able.copy_object), yes(able.copy_part));
    printf("  metadata in listings      %s\n  signed URLs               %s\n", yes(able.metadata_in_listings),
           yes(able.sign_url));
}

/* Whatever answers 200 to everything is no object storage yet: a listing is what every mount begins with. */
static gboolean
try_listing(Storage *storage, Call *call, GArray *containers, GError **error)
{
    ListQuery query = {.prefix = "", .limit = 1};
    if (containers->len == 0 || storage_is_file_system(storage))
        return TRUE;
    g_auto(ListPage) page;
    list_page_init(&page);
    const char *name = g_array_index(containers, ContainerInfo, 0).name;
    return storage_list_objects(storage, call, name, &query, &page, error);
}

static gboolean
print_containers(Storage *storage, Call *call, GError **error)
{
    g_autoptr(GArray) containers = NULL;
    if (!storage_list_containers(storage, call, &containers, error))
        return FALSE;
    if (!try_listing(storage, call, containers, error))
        return FALSE;
    printf("  containers                %u\n", containers->len);
    return TRUE;
}

static gboolean
check_storage(const StorageSettings *settings, GError **error)
{
    g_autoptr(Storage) storage = storage_new(settings, error);
    if (storage == NULL)
        return FALSE;
    printf("%s: %s\n", settings->name, storage_get_place(storage));
    printf("  durability                %s\n", settings->journal ? "journal" : "storage");
    g_autoptr(Call) call = storage_new_call(storage);
    storage_connect(storage);
    if (!storage_wait_connected(storage, call, error) || !print_containers(storage, call, error))
        return FALSE;
    storage_try_conditions(storage, call);
    if (storage_is_file_system(storage))
        printf("  used in place, as the file system that it is\n");
    else
        print_capabilities(storage);
    return TRUE;
}

static int
run(int argc, char **argv)
{
    g_autofree char *config_path = NULL;
    g_auto(GStrv) rest = NULL;
    GOptionEntry entries[] = {{"config", 'c', 0, G_OPTION_ARG_FILENAME, &config_path, NULL, NULL}, {NULL}};
    int status;
    if (!cli_parse(&cli_check_command, entries, argc, argv, 0, 0, &rest, &status))
        return status;
    cli_protect_memory();
    g_autoptr(GError) error = NULL;
    g_autoptr(Settings) settings = settings_load(config_path, &error);
    if (settings == NULL)
        return cli_fail(error);
    printf("%s: %u storages\n", settings->path, settings->storages->len);
    status = EXIT_SUCCESS;
    for (guint i = 0; i < settings->storages->len; i++) {
        g_autoptr(GError) why = NULL;
        if (!check_storage(settings->storages->pdata[i], &why)) {
            fflush(stdout);
            g_prefix_error(&why, "%s: ", ((StorageSettings *)settings->storages->pdata[i])->name);
            status = cli_fail(why);
        }
    }
    return status;
}

const CliCommand cli_check_command = {
    .name = "check",
    .arguments = "[-c FILE]",
    .summary = "Reads a configuration, connects to every storage, and prints what each can do",
    .help =
        "Where a container may be written to, conditional writes are tried on objects of our own, which are\n"
        "removed again. Returns 0 when every storage answers.\n",
    .run = run,
};
