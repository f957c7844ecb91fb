/* Lifetime of one page of a listing. */
#include "src/storage/driver.h"

/* Keys of a thousand entries fit a few of these. */
#define TEXT_BLOCK_BYTES (16u << 10)

void
list_page_init(ListPage *page)
{
    page->text = g_string_chunk_new(TEXT_BLOCK_BYTES);
    page->objects = g_array_new(FALSE, FALSE, sizeof(ObjectInfo));
    page->prefixes = g_ptr_array_new();
    page->next = NULL;
}

void
list_page_clear(ListPage *page)
{
    for (guint i = 0; page->objects && i < page->objects->len; i++)
        g_clear_pointer(&g_array_index(page->objects, ObjectInfo, i).metadata, g_hash_table_unref);
    g_clear_pointer(&page->objects, g_array_unref);
    g_clear_pointer(&page->prefixes, g_ptr_array_unref);
    g_clear_pointer(&page->text, g_string_chunk_free);
    page->next = NULL;
}
