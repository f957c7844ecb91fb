/* What all files of the tree share, see tree_core.h. */
#include "src/tree/tree_core.h"

#include "src/tree/containers.h"
#include "src/tree/files.h"
#include "src/tree/objects.h"
#include "src/tree/root.h"

#include <string.h>

typedef struct {
    enum { ANNOUNCE_ENTRY, ANNOUNCE_CONTENT, ANNOUNCE_ATTRIBUTES } what;
    Node *node; /* a reference */
    char *name;
} Announcement;

#define NS_PER_S 1000000000
/* What changes earlier is announced. */
#define ROOT_VALID_US (60 * G_USEC_PER_SEC)
/* A service's containers come and go seldom, and listings of one that is gone say so by themselves. */
#define CONTAINER_PATIENCE 10

void
tree_core_init_queues(Tree *tree)
{
    tree->announcements = g_array_new(FALSE, FALSE, sizeof(Announcement));
    tree->garbage = g_ptr_array_new_with_free_func((GDestroyNotify)storage_unref);
}

void
tree_core_clear_queues(Tree *tree)
{
    g_array_unref(tree->announcements);
    g_ptr_array_unref(tree->garbage);
}

gint64
tree_core_now(void)
{
    return g_get_monotonic_time();
}

const TreeOperations *
tree_core_operations(Node *node)
{
    switch ((NodeKind)node->kind) {
    case NODE_ROOT:
    case NODE_DEFAULT:
    case NODE_LINK:
        return &root_operations;
    case NODE_STORAGE:
        return &containers_operations;
    default:
        return node->is_in_files ? &files_operations : &objects_operations;
    }
}

Node *
tree_core_find_locked(Tree *tree, Node *parent, const char *name)
{
    return node_table_find(&tree->table, parent, name);
}

static NodeTable *
table_of(Tree *tree, const Node *node)
{
    return node->flags & NODE_DETACHED ? &tree->detached : &tree->table;
}

static gboolean
has_inode_locked(Tree *tree, guint64 inode) REQUIRES(tree->lock)
{
    return g_hash_table_contains(tree->odd_inodes, &inode) ||
           node_table_find_inode(&tree->table, inode) != NULL ||
           node_table_find_inode(&tree->detached, inode) != NULL;
}

/* Nodes are found by number through the table of their paths, but for those whose number is another one. */
static void
note_inode_locked(Tree *tree, Node *node) REQUIRES(tree->lock)
{
    if (node->inode != node_hash_inode(node->parent, node->name))
        g_hash_table_replace(tree->odd_inodes, &node->inode, node);
    else
        g_hash_table_remove(tree->odd_inodes, &node->inode);
}

/* A Node keeps its number when it is renamed, and while it is open without a name: the next one of the old
 * path needs another, or programs take both for one file. */
static void
number_locked(Tree *tree, Node *node) REQUIRES(tree->lock)
{
    while (has_inode_locked(tree, node->inode))
        node->inode++;
    note_inode_locked(tree, node);
}

Node *
tree_core_attach_locked(Tree *tree, Node *parent, const char *name, NodeKind kind)
{
    Node *node = node_new(parent, name, kind);
    node->flags |= parent->flags & NODE_DETACHED;
    number_locked(tree, node);
    node_table_insert(table_of(tree, node), node);
    return node;
}

static void
free_node_locked(Tree *tree, Node *node)
{
    node_table_remove(table_of(tree, node), node);
    g_hash_table_remove(tree->odd_inodes, &node->inode);
    if (node_is_directory(node))
        detail_cache_drop_all(&tree->details, node);
    if (node->kind == NODE_STORAGE && node->folder->storage != NULL)
        g_ptr_array_add(tree->garbage, g_steal_pointer(&node->folder->storage));
    node_free(node);
}

void
tree_core_collect_locked(Tree *tree, Node *node)
{
    while (node != NULL && node->parent != NULL && node_is_unused(node)) {
        Node *parent = node->parent;
        free_node_locked(tree, node);
        parent->refs--;
        node = parent;
    }
}

void
tree_core_detach_locked(Tree *tree, Node *node, guint32 flags)
{
    node_table_remove(table_of(tree, node), node);
    if (!(node->flags & NODE_DETACHED))
        detail_cache_drop(&tree->details, node->parent, node->name);
    node->flags |= (guint16)(NODE_DETACHED | flags);
    node_table_insert(&tree->detached, node);
    tree_core_collect_locked(tree, node);
}

void
tree_core_move_locked(Tree *tree, Node *node, Node *parent, const char *name)
{
    Node *old_parent = node->parent;
    node_table_remove(&tree->table, node);
    detail_cache_move(&tree->details, old_parent, node->name, parent, name);
    parent->refs++;
    node_move(node, parent, name);
    node_table_insert(&tree->table, node);
    note_inode_locked(tree, node);
    tree_core_drop_locked(tree, old_parent);
}

Node *
tree_core_hold_locked(Node *node)
{
    node->refs++;
    return node;
}

void
tree_core_drop_locked(Tree *tree, Node *node)
{
    node->refs--;
    tree_core_collect_locked(tree, node);
}

void
tree_core_get_defaults(Tree *tree, AttributeDefaults *out)
{
    *out = (AttributeDefaults){.file_mode = 0666 & ~tree->settings.umask,
                               .folder_mode = 0777 & ~tree->settings.umask,
                               .uid = tree->settings.uid,
                               .gid = tree->settings.gid};
}

gint64
tree_core_get_freshness_us(Node *node)
{
    Storage *storage = node_get_storage(node);
    return storage != NULL ? storage_get_settings(storage)->freshness_us : G_USEC_PER_SEC;
}

gboolean
tree_core_is_dirty(Node *node)
{
    return node->kind == NODE_FILE && node->file != NULL && object_file_is_dirty(node->file);
}

/* The way to what only the journal has must not need the storage. */
static gboolean
leads_to_waiting(Node *node)
{
    gboolean is_way = (node->kind == NODE_CONTAINER || node->kind == NODE_FOLDER) && !node->is_in_files &&
                      !(node->flags & NODE_DETACHED);
    Node *root = node;
    while (root->parent != NULL)
        root = root->parent;
    return is_way && objects_journal_has_waiting(root->folder->tree, node);
}

/* What is doubted (known_at_us 0) has no time left, however young the clock is. */
static gint64
get_left_us(const Node *node, gint64 valid_us, gint64 now_us)
{
    return node->facts.known_at_us != 0 ? MAX(node->facts.known_at_us + valid_us - now_us, 0) : 0;
}

gint64
tree_core_get_valid_us(Node *node, gint64 now_us)
{
    gint64 freshness_us = tree_core_get_freshness_us(node);
    if (node->kind == NODE_ROOT || node->kind == NODE_STORAGE)
        return ROOT_VALID_US;
    if (node->kind == NODE_DEFAULT || node->kind == NODE_LINK)
        return 0;
    if (tree_core_is_dirty(node))
        return MAX(freshness_us, 1);
    if (node->kind == NODE_CONTAINER && !node->is_in_files)
        freshness_us *= CONTAINER_PATIENCE;
    gint64 left_us = get_left_us(node, freshness_us, now_us);
    return left_us == 0 && leads_to_waiting(node) ? MAX(freshness_us, 1) : left_us;
}

gboolean
tree_core_may_be_gone(Node *container, gint64 now_us)
{
    return container->kind == NODE_CONTAINER && !container->is_in_files &&
           get_left_us(container, tree_core_get_freshness_us(container), now_us) == 0 &&
           !leads_to_waiting(container);
}

gboolean
tree_core_has_attributes(Node *node)
{
    Storage *storage = node_get_storage(node);
    if (storage == NULL || node->facts.flags & FACT_EXACT || tree_core_is_dirty(node))
        return TRUE;
    return !storage_get_settings(storage)->exact_attributes;
}

void
tree_core_fill_stat_locked(Tree *tree, Node *node, struct stat *out)
{
    FileAttributes attributes;
    entry_facts_to_attributes(&node->facts, &attributes);
    if (node->kind == NODE_FILE && node->file != NULL) {
        object_file_get_attributes(node->file, &attributes);
        attributes.mode = S_IFREG | (attributes.mode & 07777);
    }
    memset(out, 0, sizeof *out);
    out->st_ino = node->inode;
    out->st_mode = attributes.mode;
    out->st_nlink = node->flags & NODE_UNLINKED ? 0 : 1;
    out->st_uid = attributes.uid;
    out->st_gid = attributes.gid;
    out->st_size = (off_t)MIN(attributes.size_bytes, (guint64)G_MAXINT64);
    out->st_blksize = 4096;
    out->st_blocks = (out->st_size + 511) / 512;
    gint64 seconds = attributes.mtime_ns / NS_PER_S, rest = attributes.mtime_ns % NS_PER_S;
    out->st_mtim.tv_sec = rest < 0 ? seconds - 1 : seconds;
    out->st_mtim.tv_nsec = rest < 0 ? rest + NS_PER_S : rest;
    out->st_atim = out->st_ctim = out->st_mtim;
}

void
tree_core_fill_entry_locked(Tree *tree, Node *node, TreeEntry *out)
{
    node->lookups++;
    out->node = node;
    tree_core_fill_stat_locked(tree, node, &out->stat);
    out->entry_valid_us = tree_core_get_valid_us(node, tree_core_now());
    /* A file system's container is looked up by name alone: its attributes are the directory's own. */
    gboolean known = tree_core_has_attributes(node) && !(node->kind == NODE_CONTAINER && node->is_in_files);
    out->attributes_valid_us = known ? out->entry_valid_us : 0;
}

void
tree_core_confirm_locked(Node *directory, gint64 now_us)
{
    for (; directory != NULL && directory->kind >= NODE_CONTAINER; directory = directory->parent)
        directory->facts.known_at_us = MAX(directory->facts.known_at_us, now_us);
}

void
tree_core_note_version_locked(Node *node)
{
    node->flags &= (guint16) ~(NODE_PAGES | NODE_RENEWED);
    if (node->lookups > 0)
        node->flags |= NODE_STALE;
}

/* The kernel drops its pages when it gets the answer, and until then another open may be answered: all of
 * them drop the pages. */
gboolean
tree_core_open_pages_locked(Node *node, gboolean *out_stale)
{
    gboolean keeps = (node->flags & NODE_PAGES) != 0;
    *out_stale = (node->flags & NODE_STALE) != 0;
    node->flags |= *out_stale ? NODE_RENEWED : NODE_PAGES;
    return keeps;
}

void
tree_core_close_pages_locked(Node *node)
{
    if (!(node->flags & NODE_RENEWED))
        return;
    node->flags &= (guint16) ~(NODE_STALE | NODE_RENEWED);
    node->flags |= NODE_PAGES;
}

void
tree_core_drop_attributes(Tree *tree, Node *node)
{
    lock_acquire(&tree->lock);
    TreeObserver observer = tree->observer;
    gboolean has_observer = tree->has_observer;
    lock_release(&tree->lock);
    if (has_observer)
        observer.attributes_changed(observer.data, node);
}

static void
announce_locked(Tree *tree, Announcement announcement)
{
    if (!tree->has_observer) {
        g_free(announcement.name);
        return;
    }
    tree_core_hold_locked(announcement.node);
    g_array_append_val(tree->announcements, announcement);
}

void
tree_core_announce_entry_locked(Tree *tree, Node *parent, const char *name)
{
    announce_locked(tree, (Announcement){ANNOUNCE_ENTRY, parent, g_strdup(name)});
}

void
tree_core_announce_content_locked(Tree *tree, Node *node)
{
    announce_locked(tree, (Announcement){ANNOUNCE_CONTENT, node, NULL});
}

void
tree_core_announce_attributes_locked(Tree *tree, Node *node)
{
    announce_locked(tree, (Announcement){ANNOUNCE_ATTRIBUTES, node, NULL});
}

static void
give_out(const TreeObserver *observer, const Announcement *announcement)
{
    if (announcement->what == ANNOUNCE_ENTRY)
        observer->entry_changed(observer->data, announcement->node, announcement->name);
    else if (announcement->what == ANNOUNCE_CONTENT)
        observer->content_changed(observer->data, announcement->node);
    else
        observer->attributes_changed(observer->data, announcement->node);
}

static void
give_out_all(Tree *tree, const TreeObserver *observer, gboolean has_observer, GArray *queue)
{
    for (guint i = 0; i < queue->len; i++) {
        Announcement *announcement = &g_array_index(queue, Announcement, i);
        if (has_observer)
            give_out(observer, announcement);
        g_free(announcement->name);
        tree_node_unref(tree, announcement->node);
    }
}

void
tree_core_flush(Tree *tree)
{
    g_autoptr(GArray) queue = NULL;
    GPtrArray *garbage = NULL;
    lock_acquire(&tree->lock);
    TreeObserver observer = tree->observer;
    gboolean has_observer = tree->has_observer;
    if (tree->announcements->len > 0) {
        queue = tree->announcements;
        tree->announcements = g_array_new(FALSE, FALSE, sizeof(Announcement));
    }
    if (tree->garbage->len > 0) {
        garbage = tree->garbage;
        tree->garbage = g_ptr_array_new_with_free_func((GDestroyNotify)storage_unref);
    }
    lock_release(&tree->lock);
    if (queue != NULL)
        give_out_all(tree, &observer, has_observer, queue);
    g_clear_pointer(&garbage, g_ptr_array_unref);
}

static void
wake_waiters(gpointer data)
{
    Tree *tree = data;
    lock_acquire(&tree->lock);
    condition_wake_all(&tree->changed);
    lock_release(&tree->lock);
}

gboolean
tree_core_wait_locked(Tree *tree, Call *call, GError **error)
{
    guint64 seen = tree->wakes;
    gboolean in_time = TRUE;
    lock_release(&tree->lock);
    guint wake = call_add_wake(call, wake_waiters, tree);
    lock_acquire(&tree->lock);
    while (tree->wakes == seen && in_time && !call_is_cancelled(call))
        in_time = condition_wait(&tree->changed, &tree->lock, call_get_deadline_us(call));
    lock_release(&tree->lock);
    call_remove_wake(call, wake);
    gboolean ok = call_check(call, error);
    lock_acquire(&tree->lock);
    return ok;
}

void
tree_core_wake_locked(Tree *tree)
{
    tree->wakes++;
    condition_wake_all(&tree->changed);
}

gboolean
tree_core_begin_task_locked(Tree *tree)
{
    if (tree->closing)
        return FALSE;
    tree->tasks++;
    return TRUE;
}

void
tree_core_end_task(Tree *tree)
{
    lock_acquire(&tree->lock);
    tree->tasks--;
    tree_core_wake_locked(tree);
    lock_release(&tree->lock);
}

gboolean
tree_core_fail(Tree *tree, Node *node, ErrorCode code, const char *why, GError **error)
{
    g_autofree char *path = tree_describe(tree, node);
    g_set_error(error, STORAGEFS_ERROR, (int)code, "%s %s", path, why);
    return FALSE;
}

gboolean
tree_core_refuse_name(Node *parent, const char *name, GError **error)
{
    const char *refusal = tree_core_operations(parent)->refusal;
    g_set_error(error, STORAGEFS_ERROR, ERROR_NOT_PERMITTED, "%s%s%s: %s", parent->name,
                parent->name[0] != '\0' ? "/" : "", name,
                refusal != NULL ? refusal : "its directory does not offer this");
    return FALSE;
}

gint64
tree_core_absent_valid_us(Tree *tree, Node *parent)
{
    lock_acquire(&tree->lock);
    gint64 freshness_us = tree_core_get_freshness_us(parent);
    lock_release(&tree->lock);
    return freshness_us;
}

Storage *
tree_core_ref_storage(Tree *tree, Node *node)
{
    lock_acquire(&tree->lock);
    Storage *storage = node_get_storage(node);
    if (storage != NULL)
        storage_ref(storage);
    lock_release(&tree->lock);
    return storage;
}

Node *
tree_core_ref_parent(Tree *tree, Node *node)
{
    lock_acquire(&tree->lock);
    Node *parent = tree_core_hold_locked(node->parent);
    lock_release(&tree->lock);
    return parent;
}

gboolean
tree_core_same_storage(Tree *tree, Node *a, Node *b)
{
    lock_acquire(&tree->lock);
    gboolean same = node_get_storage(a) == node_get_storage(b);
    lock_release(&tree->lock);
    return same;
}

gboolean
tree_core_check_writable(Tree *tree, Node *node, GError **error)
{
    g_autoptr(Storage) storage = tree_core_ref_storage(tree, node);
    if (!tree->settings.read_only && (storage == NULL || !storage_get_settings(storage)->read_only))
        return TRUE;
    g_set_error(error, STORAGEFS_ERROR, ERROR_READ_ONLY, "%s is mounted read-only",
                storage != NULL ? storage_get_name(storage) : "the file system");
    return FALSE;
}
