/* Nodes by (parent, name), in an intrusive hash table. Not locked. */
#pragma once

#include "src/tree/node.h"

typedef struct {
    Node **buckets;
    gsize bucket_count, count;
} NodeTable;

void node_table_init(NodeTable *table);
/* The Nodes themselves stay the caller's. */
void node_table_clear(NodeTable *table);
Node *node_table_find(const NodeTable *table, const Node *parent, const char *name); /* or NULL */
/* A Node whose inode number is the one its path has (node_hash_inode()); or NULL. */
Node *node_table_find_inode(const NodeTable *table, guint64 inode);
/* Of several with one name, which find() gives is open. */
void node_table_insert(NodeTable *table, Node *node);
void node_table_remove(NodeTable *table, Node *node);
/* `each` must not change the table. */
void node_table_foreach(const NodeTable *table, void (*each)(gpointer data, Node *node), gpointer data);
