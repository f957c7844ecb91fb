/* Entries in blocks, see entry_list.h. */
#include "src/tree/entry_list.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_CAPACITY 4u
/* Of texts that come one by one. */
#define TEXT_BLOCK_BYTES 512u

void
entry_list_init(EntryList *list)
{
    *list = (EntryList){.blocks = g_ptr_array_new_with_free_func(g_free),
                        .texts = g_ptr_array_new_with_free_func(g_free)};
}

void
entry_list_clear(EntryList *list)
{
    for (guint i = 0; i < list->count; i++)
        entry_facts_clear(&entry_list_get(list, i)->facts);
    g_clear_pointer(&list->blocks, g_ptr_array_unref);
    g_clear_pointer(&list->texts, g_ptr_array_unref);
}

void
entry_list_reserve_text(EntryList *list, gsize bytes)
{
    if (bytes <= list->text_bytes)
        return;
    list->text = g_malloc(bytes);
    list->text_bytes = bytes;
    g_ptr_array_add(list->texts, list->text);
}

static const char *
add_text(EntryList *list, const char *text)
{
    gsize bytes = strlen(text) + 1;
    if (bytes > list->text_bytes)
        entry_list_reserve_text(list, MAX(bytes, TEXT_BLOCK_BYTES));
    char *copy = list->text;
    memcpy(copy, text, bytes);
    list->text += bytes;
    list->text_bytes -= bytes;
    return copy;
}

static ListEntry *
add_entry(EntryList *list)
{
    guint place = list->count % ENTRY_LIST_BLOCK;
    if (place == 0) {
        /* Who fills one block fills another. */
        list->capacity = list->count == 0 ? FIRST_CAPACITY : ENTRY_LIST_BLOCK;
        g_ptr_array_add(list->blocks, g_new(ListEntry, list->capacity));
    } else if (place == list->capacity) {
        gpointer *last = &list->blocks->pdata[list->blocks->len - 1];
        list->capacity *= 2;
        *last = g_renew(ListEntry, *last, list->capacity);
    }
    list->count++;
    return entry_list_get(list, list->count - 1);
}

void
entry_list_append(EntryList *list, const char *part, EntryFacts *facts)
{
    ListEntry *entry = add_entry(list);
    entry->part = add_text(list, part);
    entry->facts = *facts;
    *facts = (EntryFacts){0};
}

static int
compare_entries(gconstpointer a, gconstpointer b)
{
    return strcmp(((const ListEntry *)a)->part, ((const ListEntry *)b)->part);
}

void
entry_list_sort(EntryList *list)
{
    if (list->count == 0)
        return;
    g_autofree ListEntry *flat = g_new(ListEntry, list->count);
    for (guint i = 0; i < list->count; i++)
        flat[i] = *entry_list_get(list, i);
    qsort(flat, list->count, sizeof *flat, compare_entries);
    for (guint i = 0; i < list->count; i++)
        *entry_list_get(list, i) = flat[i];
}
