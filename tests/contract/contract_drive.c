/* contract_drive CONFIG OPERATION [ARGUMENT]...: one operation of a driver, for tests in other languages.
 *
 *     containers | create CONTAINER | drop CONTAINER
 *     list CONTAINER [PREFIX] | stat CONTAINER KEY | get CONTAINER KEY | delete CONTAINER KEY
 *     put CONTAINER KEY FILE [NAME=VALUE]... | set CONTAINER KEY [NAME=VALUE]...
 *     rename CONTAINER KEY KEY
 *
 * Answers on standard output; on failure the error's name and message on standard error, and 1.
 */
#include "tests/contract/contract.h"

#include <stdio.h>
#include <string.h>

typedef struct {
    const char *name;
    int arguments; /* at least so many */
    gboolean (*run)(char **arguments, GError **error);
} Operation;

static gboolean
run_containers(char **arguments, GError **error)
{
    g_autoptr(GArray) containers = NULL;
    if (!contract.driver->list_containers(contract.instance, NULL, &containers, error))
        return FALSE;
    for (guint i = 0; i < containers->len; i++)
        printf("%s\n", g_array_index(containers, ContainerInfo, i).name);
    return TRUE;
}

static gboolean
run_create(char **arguments, GError **error)
{
    return contract.driver->create_container(contract.instance, NULL, arguments[0], error);
}

static gboolean
run_drop(char **arguments, GError **error)
{
    return contract.driver->delete_container(contract.instance, NULL, arguments[0], error);
}

static gboolean
run_list(char **arguments, GError **error)
{
    ListQuery query = {.prefix = arguments[1] != NULL ? arguments[1] : ""};
    g_autofree char *token = NULL;
    do {
        g_auto(ListPage) page;
        list_page_init(&page);
        query.after_token = token;
        if (!contract.driver->list_objects(contract.instance, NULL, arguments[0], &query, &page, error))
            return FALSE;
        for (guint i = 0; i < page.objects->len; i++)
            printf("%s\n", g_array_index(page.objects, ObjectInfo, i).key);
        char *next = g_strdup(page.next);
        g_free(token);
        token = next;
    } while (token != NULL);
    return TRUE;
}

static gint
compare(gconstpointer a, gconstpointer b)
{
    return strcmp(a, b);
}

static gboolean
run_stat(char **arguments, GError **error)
{
    g_auto(ObjectInfo) info = {NULL};
    if (!contract.driver->stat_object(contract.instance, NULL, arguments[0], arguments[1], &info, error))
        return FALSE;
    printf("size=%" G_GUINT64_FORMAT "\n", info.size_bytes);
    if (info.content_type != NULL)
        printf("content_type=%s\n", info.content_type);
    g_autoptr(GList) names = g_list_sort(g_hash_table_get_keys(info.metadata), compare);
    for (GList *name = names; name != NULL; name = name->next)
        printf("%s=%s\n", (char *)name->data, (char *)g_hash_table_lookup(info.metadata, name->data));
    return TRUE;
}

static gboolean
run_get(char **arguments, GError **error)
{
    g_auto(ObjectInfo) info = {NULL};
    gsize length = 0;
    if (!contract.driver->stat_object(contract.instance, NULL, arguments[0], arguments[1], &info, error))
        return FALSE;
    g_autofree guint8 *bytes = g_malloc(info.size_bytes + 1);
    if (!contract.driver->read_object(contract.instance, NULL, arguments[0], arguments[1], 0,
                                      info.size_bytes + 1, info.etag, bytes, &length, NULL, error))
        return FALSE;
    return fwrite(bytes, 1, length, stdout) == length;
}

/* NAME=VALUE arguments; NULL when there are none. */
static Metadata *
parse_metadata(char **arguments)
{
    Metadata *metadata = *arguments != NULL ? metadata_new() : NULL;
    for (; *arguments != NULL; arguments++) {
        char *equals = strchr(*arguments, '=');
        if (equals == NULL)
            g_error("'%s' is not NAME=VALUE", *arguments);
        g_hash_table_insert(metadata, g_strndup(*arguments, (gsize)(equals - *arguments)),
                            g_strdup(equals + 1));
    }
    return metadata;
}

static gboolean
run_put(char **arguments, GError **error)
{
    g_autofree char *bytes = NULL;
    gsize length = 0;
    g_autoptr(GHashTable) metadata = parse_metadata(arguments + 3);
    if (!g_file_get_contents(arguments[2], &bytes, &length, error))
        return FALSE;
    const ByteSource source = contract_source(bytes, length);
    const WriteOptions options = {.metadata = metadata};
    return contract.driver->write_object(contract.instance, NULL, arguments[0], arguments[1], &source,
                                         &options, NULL, error);
}

static gboolean
run_set(char **arguments, GError **error)
{
    g_autoptr(GHashTable) metadata = parse_metadata(arguments + 2);
    return contract.driver->set_metadata(contract.instance, NULL, arguments[0], arguments[1], NULL, NULL,
                                         metadata, NULL, error);
}

static gboolean
run_delete(char **arguments, GError **error)
{
    return contract.driver->delete_object(contract.instance, NULL, arguments[0], arguments[1], NULL, error);
}

static gboolean
run_rename(char **arguments, GError **error)
{
    return contract.driver->files->rename_file(contract.instance, arguments[0], arguments[1], arguments[0],
                                               arguments[2], 0, TRUE, error);
}

static const Operation operations[] = {
    {"containers", 0, run_containers},
    {"create", 1, run_create},
    {"drop", 1, run_drop},
    {"list", 1, run_list},
    {"stat", 2, run_stat},
    {"get", 2, run_get},
    {"put", 3, run_put},
    {"set", 2, run_set},
    {"delete", 2, run_delete},
    {"rename", 3, run_rename},
};

static gboolean
run(const char *name, char **arguments, GError **error)
{
    for (guint i = 0; i < G_N_ELEMENTS(operations); i++) {
        const Operation *operation = &operations[i];
        if (g_str_equal(operation->name, name) && (int)g_strv_length(arguments) >= operation->arguments)
            return operation->run(arguments, error);
    }
    g_error("'%s' is no operation, or has too few arguments", name);
}

int
main(int argc, char **argv)
{
    g_autoptr(GError) error = NULL;
    if (argc < 3)
        g_error("usage: contract_drive CONFIG OPERATION [ARGUMENT]...");
    contract_open_storage(argv[1]);
    gboolean done = run(argv[2], argv + 3, &error);
    if (!done)
        fprintf(stderr, "%s: %s\n", error != NULL ? error_code_name(error->code) : "unknown",
                error != NULL ? error->message : "");
    contract.driver->close(contract.instance);
    return done ? 0 : 1;
}
