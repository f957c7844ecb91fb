/* The tree used by many threads at once, as the kernel does: for ThreadSanitizer, and for what must hold at
 * the end. */
#include "tests/unit/tree_fixture.h"

#include <fcntl.h>
#include <string.h>

#define THREADS 6u
#define ROUNDS 60u
#define TURNS 150u
#define PATIENCE_US (20 * G_USEC_PER_SEC)
#define KEYS "freshness = 0.002\netags = counter\npage_limit = 7\nfolders = yes\n"

typedef struct {
    TreeFixture *fixture;
    guint number;
    Node *directory; /* shared by all */
    gint *running;   /* atomic, shared: threads at work */
    gint *moved;     /* atomic, shared: how often their directory was renamed */
} Worker;

static Node *
look_up(Worker *worker, const char *name)
{
    TreeEntry entry;
    gint64 valid_us;
    g_autoptr(GError) error = NULL;
    Tree *tree = worker->fixture->tree;
    if (tree_lookup_ready(tree, worker->directory, name, &entry, &valid_us) == TREE_ANSWERED)
        return entry.node;
    if (tree_lookup(tree, NULL, worker->directory, name, &entry, &valid_us, &error))
        return entry.node;
    g_assert_error(error, STORAGEFS_ERROR, ERROR_NOT_FOUND);
    return NULL;
}

static void
write_file(Worker *worker, const char *name)
{
    TreeEntry entry;
    FileHandle *handle = NULL;
    g_autoptr(GError) error = NULL;
    Tree *tree = worker->fixture->tree;
    if (!tree_create(tree, NULL, worker->directory, name, O_RDWR | O_CREAT, 0644, 0, 0, &entry, &handle,
                     &error))
        return;
    handle->operations->write(handle, NULL, 0, "hello", 5, NULL);
    handle->operations->flush(handle, NULL, TRUE, NULL);
    tree_release(tree, NULL, entry.node, handle);
    tree_forget(tree, entry.node, 1);
}

static void
read_file(Worker *worker, const char *name)
{
    Node *node = look_up(worker, name);
    FileHandle *handle = NULL;
    gboolean keep;
    if (node == NULL)
        return;
    if (tree_open(worker->fixture->tree, NULL, node, O_RDONLY, &handle, &keep, NULL)) {
        g_auto(ReadVector) vector;
        read_vector_init(&vector);
        handle->operations->read(handle, NULL, 0, 100, &vector, NULL);
        tree_release(worker->fixture->tree, NULL, node, handle);
    }
    struct stat attributes;
    gint64 valid_us;
    tree_stat(worker->fixture->tree, NULL, node, NULL, &attributes, &valid_us, NULL);
    tree_forget(worker->fixture->tree, node, 1);
}

static void
read_directory(Worker *worker)
{
    DirectoryHandle *handle = NULL;
    Tree *tree = worker->fixture->tree;
    guint64 offset = 0;
    gboolean end = FALSE;
    g_assert_true(tree_open_directory(tree, NULL, worker->directory, &handle, NULL));
    while (!end) {
        DirectoryItem item;
        TreeEntry entry;
        if (!tree_directory_next(tree, NULL, handle, offset, &item, &end, NULL))
            break;
        if (!end && tree_directory_take(tree, handle, &item, &entry))
            tree_forget(tree, entry.node, 1);
        offset = item.next_offset;
    }
    tree_close_directory(tree, handle);
}

static gpointer
run_worker(gpointer data)
{
    Worker *worker = data;
    Tree *tree = worker->fixture->tree;
    for (guint round = 0; round < ROUNDS; round++) {
        g_autofree char *own = g_strdup_printf("own-%u-%u", worker->number, round % 5);
        g_autofree char *other = g_strdup_printf("own-%u-%u", (worker->number + 1) % THREADS, round % 5);
        g_autofree char *shared = g_strdup_printf("shared-%u", round % 3);
        write_file(worker, round % 2 != 0 ? own : shared);
        read_file(worker, other);
        read_file(worker, shared);
        if (round % 7 == 0)
            read_directory(worker);
        if (round % 5 == 4)
            tree_unlink(tree, NULL, worker->directory, own, NULL);
        if (round % 11 == 10)
            tree_rename(tree, NULL, worker->directory, own, worker->directory, shared, 0, NULL);
        if (round % 13 == 12)
            tree_refresh(tree, "", NULL);
    }
    return NULL;
}

/* What reads ahead of its directory's reader holds the directory until its answer is there. */
static void
wait_for_nodes(Tree *tree, guint64 count)
{
    TreeStatistics statistics;
    gint64 deadline_us = g_get_monotonic_time() + PATIENCE_US;
    tree_get_statistics(tree, &statistics);
    while (statistics.nodes != count && g_get_monotonic_time() < deadline_us) {
        g_usleep(1000);
        tree_get_statistics(tree, &statistics);
    }
    g_assert_cmpuint(statistics.nodes, ==, count);
}

static void
test_mixed(TreeFixture *fixture, gconstpointer keys)
{
    GThread *threads[THREADS];
    Worker workers[THREADS];
    Node *directory = tree_fixture_mkdir(fixture, fixture->container, "d");
    for (guint i = 0; i < THREADS; i++) {
        workers[i] = (Worker){fixture, i, directory};
        threads[i] = g_thread_new("worker", run_worker, &workers[i]);
    }
    for (guint i = 0; i < THREADS; i++)
        g_thread_join(threads[i]);
    /* What is listed can be read; what was written last is whole. */
    g_autofree char *names = tree_fixture_list(fixture, directory);
    g_auto(GStrv) parts = g_strsplit(names, " ", -1);
    for (guint i = 0; parts[i] != NULL && parts[i][0] != '\0'; i++)
        tree_fixture_assert_content(fixture, directory, parts[i], "hello");
    tree_fixture_forget(fixture, directory);
    /* Nothing that was forgotten stays: the root is not counted, s and s/c have a look-up. */
    wait_for_nodes(fixture->tree, 2);
}

/* What asks a Node where it lies, each in its own way. */
static void
use_everything(Worker *worker, const char *name)
{
    Tree *tree = worker->fixture->tree;
    TreeEntry entry;
    g_autofree char *folder = g_strconcat(name, ".d", NULL), *link = g_strconcat(name, ".l", NULL);
    write_file(worker, name);
    read_file(worker, name);
    read_directory(worker);
    Node *node = look_up(worker, name);
    if (node != NULL) {
        tree_set_xattr(tree, NULL, node, "user.k", "v", 1, 0, NULL);
        tree_forget(tree, node, 1);
    }
    if (tree_make_directory(tree, NULL, worker->directory, folder, 0755, 0, 0, &entry, NULL))
        tree_forget(tree, entry.node, 1);
    if (tree_make_symlink(tree, NULL, worker->directory, link, "target", 0, 0, &entry, NULL))
        tree_forget(tree, entry.node, 1);
    g_assert_null(look_up(worker, "%2f"));
    tree_remove_directory(tree, NULL, worker->directory, folder, NULL);
    tree_rename(tree, NULL, worker->directory, name, worker->directory, link, 0, NULL);
    tree_unlink(tree, NULL, worker->directory, link, NULL);
}

static gpointer
use_moving(gpointer data)
{
    Worker *worker = data;
    g_autofree char *name = g_strdup_printf("own-%u", worker->number);
    gint64 deadline_us = g_get_monotonic_time() + PATIENCE_US;
    for (guint round = 0; round < TURNS || g_atomic_int_get(worker->moved) == 0; round++) {
        if (g_get_monotonic_time() >= deadline_us)
            break;
        use_everything(worker, name);
    }
    g_atomic_int_add(worker->running, -1);
    return NULL;
}

/* The directory of all those names moves to and fro meanwhile. */
static void
test_moving(TreeFixture *fixture, gconstpointer keys)
{
    GThread *threads[THREADS];
    Worker workers[THREADS];
    gint running = THREADS, moved = 0;
    Node *other = tree_fixture_mkdir(fixture, fixture->container, "other");
    Node *directory = tree_fixture_mkdir(fixture, fixture->container, "d");
    for (guint i = 0; i < THREADS; i++) {
        workers[i] = (Worker){fixture, i, directory, &running, &moved};
        threads[i] = g_thread_new("worker", use_moving, &workers[i]);
    }
    while (g_atomic_int_get(&running) > 0) {
        gboolean back = g_atomic_int_get(&moved) % 2 != 0;
        Node *from = back ? other : fixture->container, *to = back ? fixture->container : other;
        if (tree_rename(fixture->tree, NULL, from, "d", to, "d", 0, NULL))
            g_atomic_int_inc(&moved);
    }
    for (guint i = 0; i < THREADS; i++)
        g_thread_join(threads[i]);
    g_assert_cmpint(moved, >, 0);
    tree_fixture_forget(fixture, directory);
    tree_fixture_forget(fixture, other);
    wait_for_nodes(fixture->tree, 2);
}

/* Many threads look at many names of one directory at the same time: one listing serves them all. */
static gpointer
look_at_all(gpointer data)
{
    Worker *worker = data;
    for (guint i = 0; i < 50; i++) {
        g_autofree char *name = g_strdup_printf("missing-%u-%u", worker->number, i);
        g_assert_null(look_up(worker, name));
    }
    return NULL;
}

static void
test_one_listing(TreeFixture *fixture, gconstpointer keys)
{
    GThread *threads[THREADS];
    Worker workers[THREADS];
    MemoryFault slow = {.operation = MEMORY_LIST_OBJECTS, .delay_us = 50000};
    tree_fixture_store(fixture, "a", "content", NULL);
    g_free(tree_fixture_list(fixture, fixture->container));
    tree_fixture_grow_old(fixture);
    tree_fixture_assert_absent(fixture, fixture->container, "first");
    memory_fault_reset_counts(fixture->memory);
    memory_fault_add(fixture->memory, &slow);
    for (guint i = 0; i < THREADS; i++) {
        workers[i] = (Worker){fixture, i, fixture->container};
        threads[i] = g_thread_new("worker", look_at_all, &workers[i]);
    }
    for (guint i = 0; i < THREADS; i++)
        g_thread_join(threads[i]);
    tree_fixture_assert_requests(fixture, "list 1");
    memory_fault_clear(fixture->memory);
}

int
main(int argc, char *argv[])
{
    g_test_init(&argc, &argv, NULL);
    tree_fixture_add("/tree/threads/mixed", test_mixed, KEYS);
    tree_fixture_add("/tree/threads/moving", test_moving, KEYS);
    tree_fixture_add("/tree/threads/one-listing", test_one_listing, TREE_FIXTURE_FRESH);
    return g_test_run();
}
