/* A tree over memory storages, or other ones by configuration text, as the daemon makes it.
 *
 * What it prints and asks is by paths of names below one directory, so that tests read like a shell.
 */
#pragma once

#include "drivers/memory/memory_fault.h"
#include "src/tree/tree.h"

/* A minute: nothing grows old while a test runs. */
#define TREE_FIXTURE_FRESH "freshness = 60\n"

typedef struct {
    char *directory; /* private: state, staging, recovery, and `data` for local storages */
    StorageSet *set;
    ObjectStore *store;
    Tree *tree;
    Storage *storage;    /* "s" */
    MemoryStore *memory; /* behind it; NULL when it is no memory storage */
    Node *container;     /* s/c, one lookup */
    GString *announced;  /* "entry NAME", "content NAME", "attributes NAME" since the last look */
    Lock announced_lock;
} TreeFixture;

/* Registers a test on "[storage s]\ndriver = memory\n" and `keys` with the container "c". */
void tree_fixture_add(const char *path, void (*test)(TreeFixture *fixture, gconstpointer keys),
                      const char *keys);
/* text: a whole configuration; "%s" stands for the fixture's directory. Containers are not made. */
void tree_fixture_open(TreeFixture *fixture, const char *text);
/* "s" is a local storage; gives its container "c", one lookup. Its files lie in `directory`/local/data/c. */
Node *tree_fixture_open_local(TreeFixture *fixture, const char *keys);
void tree_fixture_close(TreeFixture *fixture);
/* The tree is unmounted and made again; the storages stay. */
void tree_fixture_remount(TreeFixture *fixture);

/* A Node with one lookup more; the path is from `parent` down. Must be there. */
Node *tree_fixture_lookup(TreeFixture *fixture, Node *parent, const char *path);
void tree_fixture_forget(TreeFixture *fixture, Node *node);
void tree_fixture_assert_absent(TreeFixture *fixture, Node *parent, const char *path);
struct stat tree_fixture_stat(TreeFixture *fixture, Node *parent, const char *path);
/* Names of a directory with a space between, as they come; "." and ".." left out. Caller frees. */
char *tree_fixture_list(TreeFixture *fixture, Node *directory);
void tree_fixture_assert_list(TreeFixture *fixture, Node *directory, const char *names);

/* Opens (creating with O_CREAT) and keeps it open. */
FileHandle *tree_fixture_open_file(TreeFixture *fixture, Node *parent, const char *name, int flags,
                                   Node **out_node);
void tree_fixture_put(FileHandle *handle, const char *text);
void tree_fixture_assert_reads(FileHandle *handle, const char *text);
/* flush and release; must succeed. Forgets the node. */
void tree_fixture_close_file(TreeFixture *fixture, Node *node, FileHandle *handle);
/* The whole way: create or truncate, write, close. */
void tree_fixture_write(TreeFixture *fixture, Node *parent, const char *name, const char *text);
void tree_fixture_assert_content(TreeFixture *fixture, Node *parent, const char *name, const char *text);
Node *tree_fixture_mkdir(TreeFixture *fixture, Node *parent, const char *name);
void tree_fixture_assert_code(gboolean ok, GError *error, ErrorCode code);

/* Behind the tree's back: objects of container "c". */
void tree_fixture_store(TreeFixture *fixture, const char *key, const char *text, Metadata *metadata);
void tree_fixture_delete(TreeFixture *fixture, const char *key);
gboolean tree_fixture_has(TreeFixture *fixture, const char *key);
void tree_fixture_assert_stored(TreeFixture *fixture, const char *key, const char *text);
/* Requests since the last call, such as "list 1 stat 2"; caller frees. */
char *tree_fixture_take_requests(TreeFixture *fixture);
void tree_fixture_assert_requests(TreeFixture *fixture, const char *requests);
/* What was announced since the last call. */
void tree_fixture_assert_announced(TreeFixture *fixture, const char *announced);
/* Everything known is old. */
void tree_fixture_grow_old(TreeFixture *fixture);
