#include "src/object/attempt.h"

#include "src/storage/storage.h"

Attempt *
attempt_new(const Attempt *values)
{
    Attempt *attempt = g_new(Attempt, 1);
    *attempt = *values;
    attempt->references = 1;
    attempt->if_etag = g_strdup(values->if_etag);
    attempt->content_type = g_strdup(values->content_type);
    attempt->metadata = values->metadata != NULL ? g_hash_table_ref(values->metadata) : metadata_new();
    return attempt;
}

Attempt *
attempt_ref(Attempt *attempt)
{
    g_atomic_int_inc(&attempt->references);
    return attempt;
}

void
attempt_unref(Attempt *attempt)
{
    if (attempt == NULL || !g_atomic_int_dec_and_test(&attempt->references))
        return;
    g_free(attempt->if_etag);
    g_free(attempt->content_type);
    g_hash_table_unref(attempt->metadata);
    g_free(attempt);
}

static void
unref_attempt(gpointer data)
{
    attempt_unref(data);
}

GPtrArray *
attempt_list_new(void)
{
    return g_ptr_array_new_with_free_func(unref_attempt);
}

static gboolean
equal_metadata(Metadata *a, Metadata *b)
{
    GHashTableIter iter;
    gpointer name = NULL, value = NULL;
    if (g_hash_table_size(a) != g_hash_table_size(b))
        return FALSE;
    g_hash_table_iter_init(&iter, a);
    while (g_hash_table_iter_next(&iter, &name, &value)) {
        if (g_strcmp0(g_hash_table_lookup(b, name), value) != 0)
            return FALSE;
    }
    return TRUE;
}

gboolean
attempt_equal(const Attempt *a, const Attempt *b)
{
    return a->size_bytes == b->size_bytes && a->is_new == b->is_new && a->has_time == b->has_time &&
           g_strcmp0(a->if_etag, b->if_etag) == 0 && g_strcmp0(a->content_type, b->content_type) == 0 &&
           equal_metadata(a->metadata, b->metadata);
}

gboolean
attempt_matches(const Attempt *attempt, const ObjectInfo *found)
{
    const WriteOptions options = {
        .metadata = attempt->metadata, .if_etag = attempt->if_etag, .if_absent = attempt->is_new};
    return storage_holds_write(found, attempt->size_bytes, &options);
}
