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

static Node **
bucket_of(const NodeTable *table, const Node *parent, const char *name)
{
    guint64 hash = (guint64)(guintptr)parent * 0x9E3779B97F4A7C15u;
    for (const char *at = name; *at != '\0'; at++)
        hash = (hash ^ (guint8)*at) * 1099511628211u;
    hash ^= hash >> 32;
    return &table->buckets[hash & (table->bucket_count - 1)];
}

Node *
node_table_find(const NodeTable *table, const Node *parent, const char *name)
{
    Node *node = *bucket_of(table, parent, name);
    while (node != NULL && (node->parent != parent || strcmp(node->name, name) != 0))
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
