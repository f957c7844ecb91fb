/* Hash table by (parent, name), see node_table.h. */
#include "src/tree/node_table.h"

#include <string.h>

#define FIRST_BUCKETS 1024u

void
node_table_init(NodeTable *table)
{
    table->buckets = g_new0(Node *, FIRST_BUCKETS);
    table->bucket_count = FIRST_BUCKETS;
    table->count = 0;
}

void
node_table_clear(NodeTable *table)
{
    g_clear_pointer(&table->buckets, g_free);
    table->bucket_count = table->count = 0;
}

/* By the inode number of the path, so that it can be found by that, too. */
static Node **
bucket_of_inode(const NodeTable *table, guint64 inode)
{
    return &table->buckets[(inode ^ inode >> 32) & (table->bucket_count - 1)];
}

static Node **
bucket_of(const NodeTable *table, const Node *parent, const char *name)
{
    return bucket_of_inode(table, node_hash_inode(parent, name));
}

Node *
node_table_find(const NodeTable *table, const Node *parent, const char *name)
{
    Node *node = *bucket_of(table, parent, name);
    while (node != NULL && (node->parent != parent || strcmp(node->name, name) != 0))
        node = node->next;
    return node;
}

Node *
node_table_find_inode(const NodeTable *table, guint64 inode)
{
    Node *node = *bucket_of_inode(table, inode);
    while (node != NULL && (node->inode != inode || node_hash_inode(node->parent, node->name) != inode))
        node = node->next;
    return node;
}

static void
link_node(NodeTable *table, Node *node)
{
    Node **bucket = bucket_of(table, node->parent, node->name);
    node->next = *bucket;
    *bucket = node;
}

static void
grow(NodeTable *table)
{
    Node **old = table->buckets;
    gsize old_count = table->bucket_count;
    table->bucket_count *= 2;
    table->buckets = g_new0(Node *, table->bucket_count);
    for (gsize i = 0; i < old_count; i++) {
        for (Node *node = old[i]; node != NULL;) {
            Node *next = node->next;
            link_node(table, node);
            node = next;
        }
    }
    g_free(old);
}

void
node_table_insert(NodeTable *table, Node *node)
{
    if (table->count >= table->bucket_count)
        grow(table);
    link_node(table, node);
    table->count++;
}

void
node_table_remove(NodeTable *table, Node *node)
{
    Node **at = bucket_of(table, node->parent, node->name);
    while (*at != NULL && *at != node)
        at = &(*at)->next;
    if (*at == NULL)
        return;
    *at = node->next;
    node->next = NULL;
    table->count--;
}

void
node_table_foreach(const NodeTable *table, void (*each)(gpointer data, Node *node), gpointer data)
{
    for (gsize i = 0; i < table->bucket_count; i++)
        for (Node *node = table->buckets[i]; node != NULL; node = node->next)
            each(data, node);
}
