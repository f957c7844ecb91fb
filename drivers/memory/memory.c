#include "drivers/memory/memory.h"

#include "drivers/memory/memory_fault.h"
#include "drivers/memory/memory_list.h"
#include "drivers/memory/memory_object.h"
#include "drivers/memory/memory_upload.h"

#include <string.h>

#define MAXIMUM_CONTAINER_NAME_BYTES 255
#define TIB (G_GINT64_CONSTANT(1) << 40)

static const char *const etag_kinds[] = {"content", "counter", NULL};

static const char *const promises[] = {"no", "maybe", "yes", NULL};

static const ConfigKey keys[] = {
    {.name = "store",
     .type = CONFIG_STRING,
     .default_text = "",
     .help = "storages of one process that give the same name share their containers; empty: its own"},
    {.name = "capacity",
     .type = CONFIG_SIZE,
     .default_text = "1G",
     .maximum = TIB,
     .help = "bytes that all objects and unfinished uploads may take together"},
    {.name = "etags",
     .type = CONFIG_CHOICE,
     .default_text = "content",
     .choices = etag_kinds,
     .help = "content: MD5 of the bytes; counter: another ETag for each write"},
    {.name = "page_limit",
     .type = CONFIG_INTEGER,
     .default_text = "1000",
     .minimum = 1,
     .maximum = 1000000,
     .help = "entries in one page of a listing at most"},
    {.name = "minimum_part",
     .type = CONFIG_SIZE,
     .default_text = "5M",
     .maximum = TIB,
     .help = "bytes that each part but the last must have"},
    {.name = "maximum_part",
     .type = CONFIG_SIZE,
     .default_text = "5G",
     .minimum = 1,
     .maximum = TIB,
     .help = "bytes that a part may have"},
    {.name = "maximum_parts",
     .type = CONFIG_INTEGER,
     .default_text = "10000",
     .minimum = 1,
     .maximum = 1000000,
     .help = "parts that an object may have"},
    {.name = "maximum_put",
     .type = CONFIG_SIZE,
     .default_text = "5G",
     .minimum = 1,
     .maximum = TIB,
     .help = "bytes that one write may store"},
    {.name = "maximum_copy",
     .type = CONFIG_SIZE,
     .default_text = "5G",
     .minimum = 1,
     .maximum = TIB,
     .help = "bytes that one copy may copy"},
    {.name = "conditional_write",
     .type = CONFIG_CHOICE,
     .default_text = "yes",
     .choices = promises,
     .help = "writes and copies honour their conditions; maybe: without promising it; no: ignores them"},
    {.name = "conditional_commit",
     .type = CONFIG_BOOLEAN,
     .default_text = "yes",
     .help = "the commit of a multi-part upload honours its conditions; no: ignores them"},
    {.name = "conditional_delete",
     .type = CONFIG_BOOLEAN,
     .default_text = "yes",
     .help = "deletes honour their condition; no: ignores it"},
    {.name = "copy_object", .type = CONFIG_BOOLEAN, .default_text = "yes", .help = "offers whole copies"},
    {.name = "copy_part", .type = CONFIG_BOOLEAN, .default_text = "yes", .help = "offers copies into parts"},
    {.name = "copy_checks_source",
     .type = CONFIG_BOOLEAN,
     .default_text = "yes",
     .help = "copies refuse a source that has changed; no: copies whatever is there"},
    {.name = "multipart", .type = CONFIG_BOOLEAN, .default_text = "yes", .help = "offers multi-part uploads"},
    {.name = "equal_parts",
     .type = CONFIG_BOOLEAN,
     .default_text = "no",
     .help = "all parts but the last must be equally long"},
    {.name = "set_metadata",
     .type = CONFIG_BOOLEAN,
     .default_text = "yes",
     .help = "offers later changes of metadata"},
    {.name = "metadata_in_listings",
     .type = CONFIG_BOOLEAN,
     .default_text = "no",
     .help = "listings carry metadata and content type when asked to"},
    {.name = "list_start_after",
     .type = CONFIG_BOOLEAN,
     .default_text = "yes",
     .help = "listings can begin behind a key"},
    {NULL},
};

static const Capabilities capabilities = {
    .ranges = TRUE,
    .copy_object = TRUE,
    .copy_part = TRUE,
    .multipart = TRUE,
    .set_metadata = TRUE,
    .copy_checks_source = TRUE,
    .list_start_after = TRUE,
    .write_if_absent = CONDITION_ATOMIC,
    .write_if_etag = CONDITION_ATOMIC,
    .commit_if_absent = CONDITION_ATOMIC,
    .commit_if_etag = CONDITION_ATOMIC,
    .delete_if_etag = CONDITION_ATOMIC,
    .minimum_part_bytes = 5 << 20,
    .maximum_part_bytes = G_GUINT64_CONSTANT(5) << 30,
    .maximum_put_bytes = G_GUINT64_CONSTANT(5) << 30,
    .maximum_copy_bytes = G_GUINT64_CONSTANT(5) << 30,
    .maximum_object_bytes = TIB,
    .maximum_parts = 10000,
    .list_page_limit = 1000,
    .maximum_key_bytes = MEMORY_OBJECT_MAXIMUM_KEY_BYTES,
    .maximum_metadata_bytes = 2048,
};

static ConditionSupport
read_condition(ConfigSection *section, const char *key)
{
    return config_section_get_boolean(section, key) ? CONDITION_ATOMIC : CONDITION_NONE;
}

/* In the order of the promises. */
static ConditionSupport
read_promise(ConfigSection *section, const char *key)
{
    const char *promise = config_section_get_string(section, key);
    ConditionSupport support = CONDITION_NONE;
    for (guint i = 0; promises[i] != NULL; i++)
        if (g_str_equal(promise, promises[i]))
            support = (ConditionSupport)i;
    return support;
}

static void
read_abilities(ConfigSection *section, Capabilities *can)
{
    can->copy_object = config_section_get_boolean(section, "copy_object");
    can->copy_part = config_section_get_boolean(section, "copy_part");
    can->copy_checks_source = config_section_get_boolean(section, "copy_checks_source");
    can->multipart = config_section_get_boolean(section, "multipart");
    can->equal_parts = config_section_get_boolean(section, "equal_parts");
    can->set_metadata = config_section_get_boolean(section, "set_metadata");
    can->metadata_in_listings = config_section_get_boolean(section, "metadata_in_listings");
    can->list_start_after = config_section_get_boolean(section, "list_start_after");
    can->write_if_absent = can->write_if_etag = read_promise(section, "conditional_write");
    can->commit_if_absent = can->commit_if_etag = read_condition(section, "conditional_commit");
    can->delete_if_etag = read_condition(section, "conditional_delete");
}

static void
read_limits(ConfigSection *section, Capabilities *can)
{
    can->minimum_part_bytes = (guint64)config_section_get_integer(section, "minimum_part");
    can->maximum_part_bytes = (guint64)config_section_get_integer(section, "maximum_part");
    can->maximum_put_bytes = (guint64)config_section_get_integer(section, "maximum_put");
    can->maximum_copy_bytes = (guint64)config_section_get_integer(section, "maximum_copy");
    can->maximum_parts = (guint)config_section_get_integer(section, "maximum_parts");
    can->list_page_limit = (guint)config_section_get_integer(section, "page_limit");
}

static DriverInstance *
open_memory(const char *driver_name, ConfigSection *section, GError **error)
{
    MemoryInstance *memory = g_new0(MemoryInstance, 1);
    memory->base.driver = &memory_driver;
    memory->capabilities = capabilities;
    read_abilities(section, &memory->capabilities);
    read_limits(section, &memory->capabilities);
    memory->counted_etags = g_str_equal(config_section_get_string(section, "etags"), "counter");
    /* A counter begins anew with the daemon; what the bytes say is true for ever. */
    memory->capabilities.lasting_etags = !memory->counted_etags;
    memory->store = memory_store_open(config_section_get_string(section, "store"),
                                      (guint64)config_section_get_integer(section, "capacity"));
    return &memory->base;
}

static void
close_memory(DriverInstance *instance)
{
    MemoryInstance *memory = (MemoryInstance *)instance;
    memory_store_close(memory->store);
    g_free(memory);
}

MemoryStore *
memory_get_store(DriverInstance *instance)
{
    return ((MemoryInstance *)instance)->store;
}

static char *
describe_place(DriverInstance *instance)
{
    return g_strdup_printf("memory %s", memory_get_store(instance)->name);
}

static void
get_capabilities(DriverInstance *instance, Capabilities *out)
{
    *out = ((MemoryInstance *)instance)->capabilities;
}

static gboolean
probe(DriverInstance *instance, Call *call, const char *writable_container, Capabilities *out, GError **error)
{
    MemoryHit hit;
    if (!memory_fault_enter(memory_get_store(instance), MEMORY_PROBE, writable_container, call, &hit,
                            error) ||
        !memory_fault_leave(&hit, error))
        return FALSE;
    get_capabilities(instance, out);
    return TRUE;
}

static gboolean
fail_name(const char *what, const char *name, const char *why, GError **error)
{
    g_set_error(error, STORAGEFS_ERROR, ERROR_BAD_NAME, "%s '%s' %s", what, name, why);
    return FALSE;
}

static gboolean
check_container_name(DriverInstance *instance, const char *name, GError **error)
{
    if (*name == '\0' || g_str_equal(name, ".") || g_str_equal(name, ".."))
        return fail_name("container", name, "is no name", error);
    if (strchr(name, '/') != NULL)
        return fail_name("container", name, "holds a '/'", error);
    if (strlen(name) > MAXIMUM_CONTAINER_NAME_BYTES)
        return fail_name("container", name, "is longer than 255 bytes", error);
    return TRUE;
}

static gboolean
check_key(DriverInstance *instance, const char *key, GError **error)
{
    return memory_object_check_key(key, error);
}

static gboolean
check_metadata_name(DriverInstance *instance, const char *name, GError **error)
{
    if (*name == '\0')
        return fail_name("metadata name", name, "is empty", error);
    for (const char *at = name; *at != '\0'; at++) {
        if (!g_ascii_isgraph(*at) || g_ascii_isupper(*at) || *at == ':')
            return fail_name("metadata name", name, "may hold lower-case letters, digits and signs but ':'",
                             error);
    }
    return TRUE;
}

static void
clear_container(gpointer data)
{
    g_free(((ContainerInfo *)data)->name);
}

static gboolean
append_container(gpointer name, gpointer value, gpointer data)
{
    const MemoryContainer *container = value;
    ContainerInfo info = {.name = g_strdup(name), .created_ns = container->created_ns};
    g_array_append_val((GArray *)data, info);
    return FALSE;
}

static gboolean
list_containers(DriverInstance *instance, Call *call, GArray **out_containers, GError **error)
{
    MemoryStore *store = memory_get_store(instance);
    MemoryHit hit;
    if (!memory_fault_enter(store, MEMORY_LIST_CONTAINERS, NULL, call, &hit, error) ||
        !memory_fault_leave(&hit, error))
        return FALSE;
    GArray *found = g_array_new(FALSE, FALSE, sizeof(ContainerInfo));
    g_array_set_clear_func(found, clear_container);
    lock_acquire(&store->lock);
    g_tree_foreach(store->containers, append_container, found);
    lock_release(&store->lock);
    *out_containers = found;
    return TRUE;
}

static gboolean
stat_container(DriverInstance *instance, Call *call, const char *container, ContainerInfo *out,
               GError **error)
{
    MemoryStore *store = memory_get_store(instance);
    MemoryHit hit;
    gint64 created_ns = 0;
    if (!memory_fault_enter(store, MEMORY_STAT_CONTAINER, container, call, &hit, error))
        return FALSE;
    lock_acquire(&store->lock);
    MemoryContainer *found = memory_store_get_container_locked(store, container, error);
    if (found != NULL)
        created_ns = found->created_ns;
    lock_release(&store->lock);
    if (found == NULL || !memory_fault_leave(&hit, error))
        return FALSE;
    *out = (ContainerInfo){.name = g_strdup(container), .created_ns = created_ns};
    return TRUE;
}

static gboolean
create_container(DriverInstance *instance, Call *call, const char *container, GError **error)
{
    MemoryStore *store = memory_get_store(instance);
    MemoryHit hit;
    if (!memory_fault_enter(store, MEMORY_CREATE_CONTAINER, container, call, &hit, error) ||
        !check_container_name(instance, container, error))
        return FALSE;
    lock_acquire(&store->lock);
    gboolean absent = g_tree_lookup(store->containers, container) == NULL;
    if (absent)
        memory_store_add_container_locked(store, container);
    lock_release(&store->lock);
    if (!absent)
        g_set_error(error, STORAGEFS_ERROR, ERROR_EXISTS, "container '%s' exists", container);
    return absent && memory_fault_leave(&hit, error);
}

static gboolean
delete_container(DriverInstance *instance, Call *call, const char *container, GError **error)
{
    MemoryStore *store = memory_get_store(instance);
    MemoryHit hit;
    if (!memory_fault_enter(store, MEMORY_DELETE_CONTAINER, container, call, &hit, error))
        return FALSE;
    lock_acquire(&store->lock);
    MemoryContainer *found = memory_store_get_container_locked(store, container, error);
    gboolean empty = found != NULL && g_tree_nnodes(found->objects) == 0;
    if (empty)
        g_tree_remove(store->containers, container);
    lock_release(&store->lock);
    if (found != NULL && !empty)
        g_set_error(error, STORAGEFS_ERROR, ERROR_NOT_EMPTY, "container '%s' holds objects", container);
    return empty && memory_fault_leave(&hit, error);
}

const Driver memory_driver = {
    .name = "memory",
    .description = "objects in the memory of this process, gone when it ends: for tests",
    .keys = keys,
    .capabilities = &capabilities,
    .open = open_memory,
    .close = close_memory,
    .describe_place = describe_place,
    .probe = probe,
    .get_capabilities = get_capabilities,
    .check_container_name = check_container_name,
    .check_key = check_key,
    .check_metadata_name = check_metadata_name,
    .list_containers = list_containers,
    .stat_container = stat_container,
    .create_container = create_container,
    .delete_container = delete_container,
    .list_objects = memory_list_objects,
    .stat_object = memory_object_stat,
    .read_object = memory_object_read,
    .write_object = memory_object_write,
    .delete_object = memory_object_delete,
    .copy_object = memory_object_copy,
    .set_metadata = memory_object_set_metadata,
    .begin_upload = memory_upload_begin,
    .put_part = memory_upload_put_part,
    .copy_part = memory_upload_copy_part,
    .commit_upload = memory_upload_commit,
    .abort_upload = memory_upload_abort,
};
