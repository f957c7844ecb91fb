/* The tree under test and its surroundings. */
#include "tests/model/model_world.h"

#include "drivers/memory/memory.h"
#include "src/object/object_store.h"
#include "tests/unit/folder_fixture.h"
#include "tests/unit/storage_fixture.h"

#include <stdarg.h>
#include <string.h>

#define PATIENCE_US (30 * G_USEC_PER_SEC)

static void
ignore_entry(gpointer data, Node *parent, const char *name)
{
}

static void
ignore_node(gpointer data, Node *node)
{
}

static char *
folder(ModelWorld *world, const char *name)
{
    return g_build_filename(world->directory, name, NULL);
}

static void
open_store(ModelWorld *world)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *state = folder(world, "state"), *staging = folder(world, "staging");
    g_autofree char *recovery = folder(world, "recovery"), *objects = folder(world, "objects");
    g_autofree char *journal = folder(world, "journal");
    gint64 memory = world->variant->memory_limit_bytes;
    ObjectStoreSettings settings = {.memory_limit_bytes = memory > 0 ? memory : 32 << 20,
                                    .staging_dir = staging,
                                    .recovery_dir = recovery,
                                    .objects_dir = objects,
                                    .cache_size_bytes = world->variant->cache_size_bytes,
                                    .journal_dir = world->variant->scope.journal ? journal : NULL};
    world->store = object_store_new(&settings, &error);
    g_assert_no_error(error);
    TreeSettings tree = {.uid = 1000, .gid = 1001, .umask = 022, .state_dir = state};
    TreeObserver observer = {ignore_entry, ignore_node, ignore_node, NULL};
    world->tree = tree_new(world->set, world->store, &tree);
    tree_set_observer(world->tree, &observer);
    if (world->variant->scope.journal)
        object_store_start_journal(world->store);
}

static Node *
look_up(ModelWorld *world, Node *parent, const char *name)
{
    g_autoptr(GError) error = NULL;
    TreeEntry entry = {0};
    gint64 valid_us;
    if (tree_lookup_ready(world->tree, parent, name, &entry, &valid_us) != TREE_ANSWERED)
        tree_lookup(world->tree, NULL, parent, name, &entry, &valid_us, &error);
    g_assert_no_error(error);
    return entry.node;
}

static void
find_bases(ModelWorld *world)
{
    Node *storage = look_up(world, tree_get_root(world->tree), "s");
    world->container = look_up(world, storage, "c");
    tree_forget(world->tree, storage, 1);
    for (guint i = 0; i < world->thread_count; i++) {
        ModelThread *thread = &world->threads[i];
        g_autofree char *name = g_strdup_printf("t%u", i);
        Node *storage_node = look_up(world, tree_get_root(world->tree), "s");
        thread->base = look_up(world, world->variant->scope.folders ? world->container : storage_node,
                               world->variant->scope.folders ? name : "c");
        tree_forget(world->tree, storage_node, 1);
    }
}

static void
lose_bases(ModelWorld *world)
{
    for (guint i = 0; i < world->thread_count; i++)
        tree_forget(world->tree, world->threads[i].base, 1);
    tree_forget(world->tree, world->container, 1);
}

static void
make_bases(ModelWorld *world)
{
    g_autoptr(GError) error = NULL;
    Node *storage = look_up(world, tree_get_root(world->tree), "s");
    Node *container = look_up(world, storage, "c");
    for (guint i = 0; i < world->thread_count && world->variant->scope.folders; i++) {
        g_autofree char *name = g_strdup_printf("t%u", i);
        TreeEntry entry = {0};
        tree_make_directory(world->tree, NULL, container, name, 0755, 1000, 1001, &entry, &error);
        g_assert_no_error(error);
        tree_forget(world->tree, entry.node, 1);
    }
    tree_forget(world->tree, container, 1);
    tree_forget(world->tree, storage, 1);
}

ModelWorld *
model_world_new(const ModelVariant *variant, guint threads)
{
    g_autoptr(GError) error = NULL;
    ModelWorld *world = g_new0(ModelWorld, 1);
    world->variant = variant;
    world->directory = g_dir_make_tmp("storagefs-model-XXXXXX", NULL);
    g_autofree char *state = folder(world, "state");
    g_autofree char *text = g_strdup_printf("[storage s]\ndriver = memory\nfolders = %s\ndurability = %s\n%s",
                                            variant->scope.folders ? "yes" : "no",
                                            variant->scope.journal ? "journal" : "storage", variant->keys);
    g_autoptr(Settings) settings = storage_fixture_settings(text);
    world->set = storage_set_new(settings, state, NULL, &error);
    g_assert_no_error(error);
    world->storage = storage_set_find(world->set, "s");
    world->memory = memory_get_store(storage_get_instance(world->storage));
    g_assert_true(storage_create_container(world->storage, NULL, "c", NULL));
    world->thread_count = threads;
    world->threads = g_new0(ModelThread, threads);
    for (guint i = 0; i < threads; i++) {
        ModelThread *thread = &world->threads[i];
        *thread = (ModelThread){.world = world, .number = i, .difference = g_string_new(NULL)};
        thread->prefix = g_strdup_printf(variant->scope.folders ? "t%u/" : "t%u-", i);
        model_state_init(&thread->state);
        thread->unlinked =
            g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)model_file_unref);
    }
    open_store(world);
    make_bases(world);
    find_bases(world);
    return world;
}

static void
close_store(ModelWorld *world)
{
    g_autoptr(Call) call = call_new(PATIENCE_US);
    lose_bases(world);
    object_store_drain(world->store, call, NULL);
    object_store_end_journal(world->store, call);
    g_clear_pointer(&world->tree, tree_free);
    g_clear_pointer(&world->store, object_store_free);
}

void
model_world_remount(ModelWorld *world)
{
    close_store(world);
    open_store(world);
    find_bases(world);
}

void
model_world_free(ModelWorld *world)
{
    /* A difference was found that leaves files open: those stay, and their store with them. */
    if (model_world_count_open(world) > 0)
        return;
    close_store(world);
    for (guint i = 0; i < world->thread_count; i++) {
        model_state_clear(&world->threads[i].state);
        g_hash_table_unref(world->threads[i].unlinked);
        g_string_free(world->threads[i].difference, TRUE);
        g_free(world->threads[i].prefix);
    }
    g_free(world->threads);
    storage_unref(world->storage);
    storage_set_free(world->set);
    folder_fixture_remove(world->directory);
    g_free(world->directory);
    g_free(world);
}

guint
model_world_count_open(ModelWorld *world)
{
    ObjectStoreStatistics statistics;
    g_autoptr(Call) call = call_new(PATIENCE_US);
    if (!world->variant->scope.journal)
        object_store_drain(world->store, call, NULL);
    object_store_get_statistics(world->store, &statistics);
    return world->variant->scope.journal ? 0 : statistics.open_files;
}

/* TRUE when nothing is under way but what conflicts parked. */
static gboolean
is_settled(ModelWorld *world)
{
    guint parked = 0;
    g_autoptr(GPtrArray) uploads = object_store_list_uploads(world->store);
    for (guint i = 0; i < uploads->len; i++) {
        const UploadStatus *upload = uploads->pdata[i];
        parked += upload->state == UPLOAD_PARKED;
        if (upload->state == UPLOAD_PARKED && world->variant->scope.journal && upload->id != NULL)
            object_store_retry_upload(world->store, upload->id, NULL);
    }
    return uploads->len == parked && (parked == world->parked || world->may_park);
}

gboolean
model_world_settle(ModelWorld *world)
{
    gint64 end_us = g_get_monotonic_time() + PATIENCE_US;
    while (!is_settled(world)) {
        object_store_hurry_uploads(world->store);
        if (g_get_monotonic_time() > end_us)
            return FALSE;
        g_usleep(500);
    }
    return TRUE;
}

typedef struct {
    const char *prefix;
    GHashTable *dump;
} Dumping;

static gboolean
dump_one(gpointer key, gpointer value, gpointer data)
{
    Dumping *dumping = data;
    MemoryObject *object = value;
    if (g_str_has_prefix(key, dumping->prefix))
        g_hash_table_insert(dumping->dump, g_strdup(key),
                            g_bytes_new(object->blob->bytes, object->blob->size_bytes));
    return FALSE;
}

GHashTable *
model_world_dump(ModelWorld *world, const char *prefix)
{
    Dumping dumping = {prefix,
                       g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_bytes_unref)};
    lock_acquire(&world->memory->lock);
    MemoryContainer *container = memory_store_get_container_locked(world->memory, "c", NULL);
    g_tree_foreach(container->objects, dump_one, &dumping);
    lock_release(&world->memory->lock);
    return dumping.dump;
}

guint
model_world_count_uploads(ModelWorld *world)
{
    lock_acquire(&world->memory->lock);
    MemoryContainer *container = memory_store_get_container_locked(world->memory, "c", NULL);
    guint count = g_hash_table_size(container->uploads);
    lock_release(&world->memory->lock);
    return count;
}

static gboolean
read_source(gpointer data, guint64 offset, void *buffer, gsize length_bytes, GError **error)
{
    memcpy(buffer, (const guint8 *)data + offset, length_bytes);
    return TRUE;
}

void
model_world_store(ModelWorld *world, const char *key, const void *data, gsize length)
{
    g_autoptr(GError) error = NULL;
    ByteSource source = {length, read_source, (gpointer)data};
    WriteOptions options = {0};
    storage_write_object(world->storage, NULL, "c", key, &source, &options, NULL, &error);
    g_assert_no_error(error);
}

void
model_world_delete(ModelWorld *world, const char *key)
{
    g_autoptr(GError) error = NULL;
    storage_delete_object(world->storage, NULL, "c", key, NULL, &error);
    g_assert_no_error(error);
}

char *
model_thread_key(ModelThread *thread, const char *path)
{
    gboolean escaped = !thread->world->variant->scope.folders && strcmp(path, "a%2Fb") == 0;
    return g_strconcat(thread->prefix, escaped ? "a/b" : path, NULL);
}

void
model_differ(ModelThread *thread, const char *format, ...)
{
    if (thread->difference->len > 0)
        return;
    va_list arguments;
    va_start(arguments, format);
    g_string_vprintf(thread->difference, format, arguments);
    va_end(arguments);
    g_atomic_int_set(&thread->world->stop, 1);
}

gboolean
model_differs(ModelThread *thread)
{
    return thread->difference->len > 0;
}
