#include "drivers/local/local.h"

#include "drivers/local/local_container.h"
#include "drivers/local/local_files.h"
#include "drivers/local/local_instance.h"
#include "drivers/local/local_list.h"
#include "drivers/local/local_names.h"
#include "drivers/local/local_object.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_FILE_MODE 0664 /* what libcloud gives its files, whatever the umask */
#define MAXIMUM_METADATA_NAME_BYTES 250

static const char *const sidecar_kinds[] = {"none", "xattr", "sqlalchemy-file", NULL};

static const ConfigKey keys[] = {
    {.name = "path",
     .type = CONFIG_PATH,
     .required = TRUE,
     .help = "the base directory: each directory in it is a container"},
    {.name = "create_path",
     .type = CONFIG_BOOLEAN,
     .default_text = "no",
     .help = "makes the base directory when it is missing"},
    {.name = "umask",
     .type = CONFIG_OCTAL,
     .default_text = "022",
     .maximum = 0777,
     .help = "bits taken from 0777 of directories and, when written, from 0664 of files that storagefs makes "
             "itself"},
    {.name = "sidecar",
     .type = CONFIG_CHOICE,
     .default_text = "none",
     .choices = sidecar_kinds,
     .help =
         "where user metadata lies: none, xattr: the file's own user. attributes; sqlalchemy-file: a file "
         "NAME.metadata.json beside it"},
    {.name = "libcloud_lock",
     .type = CONFIG_BOOLEAN,
     .default_text = "no",
     .help = "takes Libcloud's lock around whole-object writes and deletes"},
    {.name = "libcloud_path",
     .type = CONFIG_STRING,
     .help = "the base directory as the Python side spells it, for the lock; default: as in path"},
    {NULL},
};

static const Capabilities capabilities = {
    .ranges = TRUE,
    .copy_object = TRUE,
    .set_metadata = TRUE,
    .metadata_in_listings = TRUE,
    .copy_checks_source = TRUE,
    .list_start_after = TRUE,
    .write_if_absent = CONDITION_ATOMIC,
    .maximum_put_bytes = G_MAXINT64,
    .maximum_copy_bytes = G_MAXINT64,
    .maximum_object_bytes = G_MAXINT64,
    .list_page_limit = 100000,
    .maximum_key_bytes = LOCAL_NAMES_MAXIMUM_KEY_BYTES,
    .maximum_metadata_bytes = 64 << 10,
};

static gboolean
open_base(LocalInstance *local, ConfigSection *section, GError **error)
{
    const char *path = config_section_get_string(section, "path");
    if (config_section_get_boolean(section, "create_path") &&
        g_mkdir_with_parents(path, (int)local->root.folder_mode) != 0)
        return config_section_fail(section, "path", error, "'%s' cannot be made: %s", path,
                                   g_strerror(errno));
    int result = local_path_init(&local->root, path);
    if (result == -ENOTDIR)
        return config_section_fail(section, "path", error, "'%s' is no directory: name one", path);
    if (result < 0)
        return config_section_fail(section, "path", error, "'%s' cannot be opened: %s", path,
                                   g_strerror(-result));
    return TRUE;
}

static char *
find_lock_path(ConfigSection *section)
{
    if (!config_section_get_boolean(section, "libcloud_lock"))
        return NULL;
    const char *spelt = config_section_get_string(section, "libcloud_path");
    return g_strdup(spelt != NULL ? spelt : config_section_get_string(section, "path"));
}

static DriverInstance *
open_local(const char *driver_name, ConfigSection *section, GError **error)
{
    LocalInstance *local = g_new0(LocalInstance, 1);
    mode_t mask = (mode_t)config_section_get_integer(section, "umask");
    local->base.driver = &local_driver;
    local->root = (LocalRoot){.folder_mode = 0777 & ~mask};
    local->file_mode =
        config_section_is_set(section, "umask") ? DEFAULT_FILE_MODE & ~mask : DEFAULT_FILE_MODE;
    local->folders = config_section_get_boolean(section, "folders");
    local->sidecar = g_str_equal(config_section_get_string(section, "sidecar"), "sqlalchemy-file");
    if (!open_base(local, section, error)) {
        g_free(local);
        return NULL;
    }
    local->path = local_base_find_place(local->root.base);
    local->lock_path = find_lock_path(section);
    return &local->base;
}

static void
close_local(DriverInstance *instance)
{
    LocalInstance *local = (LocalInstance *)instance;
    local_path_clear(&local->root);
    g_free(local->path);
    g_free(local->lock_path);
    g_free(local);
}

void
local_disable_openat2(DriverInstance *instance)
{
    ((LocalInstance *)instance)->root.walks = TRUE;
}

static char *
describe_place(DriverInstance *instance)
{
    return g_strdup_printf("local %s", ((LocalInstance *)instance)->path);
}

static void
get_capabilities(DriverInstance *instance, Capabilities *out)
{
    *out = capabilities;
}

static gboolean
probe(DriverInstance *instance, Call *call, const char *writable_container, Capabilities *out, GError **error)
{
    LocalInstance *local = (LocalInstance *)instance;
    if (!call_check(call, error) || !local_base_check(local->root.base, error))
        return FALSE;
    int fd = openat(local_base_use(local->root.base), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return error_set_errno(error, errno, "base directory '%s'", local->path);
    close(fd);
    get_capabilities(instance, out);
    return TRUE;
}

static gboolean
check_container_name(DriverInstance *instance, const char *name, GError **error)
{
    return local_names_check_container(name, error);
}

static gboolean
check_key(DriverInstance *instance, const char *key, GError **error)
{
    return local_names_check_key(key, ((LocalInstance *)instance)->folders, error);
}

static gboolean
check_metadata_name(DriverInstance *instance, const char *name, GError **error)
{
    const char *why = NULL;
    if (*name == '\0' || strlen(name) > MAXIMUM_METADATA_NAME_BYTES)
        why = "must have 1 to 250 bytes";
    else if (!g_utf8_validate(name, -1, NULL))
        why = "is no UTF-8 text";
    else if (g_str_equal(name, "mime_type"))
        why = "stands for the content type";
    if (why != NULL)
        g_set_error(error, STORAGEFS_ERROR, ERROR_BAD_NAME, "metadata name '%s' %s", name, why);
    return why == NULL;
}

const Driver local_driver = {
    .name = "local",
    .description = "a directory of this machine: containers are its directories, objects their files",
    .keys = keys,
    .capabilities = &capabilities,
    .open = open_local,
    .close = close_local,
    .describe_place = describe_place,
    .probe = probe,
    .get_capabilities = get_capabilities,
    .check_container_name = check_container_name,
    .check_key = check_key,
    .check_metadata_name = check_metadata_name,
    .list_containers = local_container_list,
    .stat_container = local_container_stat,
    .create_container = local_container_create,
    .delete_container = local_container_delete,
    .list_objects = local_list_objects,
    .stat_object = local_object_stat,
    .read_object = local_object_read,
    .write_object = local_object_write,
    .delete_object = local_object_delete,
    .copy_object = local_object_copy,
    .set_metadata = local_object_set_metadata,
    .files = &local_files_operations,
};
