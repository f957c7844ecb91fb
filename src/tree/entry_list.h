/* The names of one listing, in the order they were added, and what is known of each: millions of them, so
 * they lie in blocks without room to spare, and their texts one behind the other.
 */
#pragma once

#include "src/tree/entry_facts.h"

#include <glib.h>

#define ENTRY_LIST_BLOCK 256u

typedef struct {
    const char *part; /* the key without the directory's prefix and without a folder's '/' */
    EntryFacts facts;
} ListEntry;

typedef struct {
    guint count;
    guint capacity;    /* of the last block */
    GPtrArray *blocks; /* of ListEntry[]: ENTRY_LIST_BLOCK each, the last one may be shorter */
    GPtrArray *texts;
    char *text; /* where the next one goes */
    gsize text_bytes;
} EntryList;

void entry_list_init(EntryList *list);
void entry_list_clear(EntryList *list);
/* So many bytes of text (with the NULs) are about to come: they get a block of just that size. */
void entry_list_reserve_text(EntryList *list, gsize bytes);
/* part is copied, facts are taken. Entries of a last block that is not full move. */
void entry_list_append(EntryList *list, const char *part, EntryFacts *facts);
/* By the bytes of `part`; every entry moves. */
void entry_list_sort(EntryList *list);

static inline ListEntry *
entry_list_get(const EntryList *list, guint index)
{
    return (ListEntry *)list->blocks->pdata[index / ENTRY_LIST_BLOCK] + index % ENTRY_LIST_BLOCK;
}
