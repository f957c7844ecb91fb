/* One listing of one directory, see listing.h. Filling it is at the top, asking it below. */
#include "src/tree/listing.h"

#include "src/tree/object_name.h"

#include <string.h>

/* Positions of names made here, behind every entry. */
#define ADDED_POSITION (1ull << 40)

typedef struct {
    char *name; /* the table's key */
    gboolean present;
    gboolean is_added; /* stands in Listing.added */
    EntryFacts facts;
} ListChange;

static void
free_change(gpointer data)
{
    ListChange *change = data;
    entry_facts_clear(&change->facts);
    g_free(change);
}

Listing *
listing_new(FolderState *folder, ListingNames names, gint64 now_us)
{
    Listing *listing = g_new0(Listing, 1);
    listing->refs = 1;
    listing->names = names;
    listing->started_us = now_us;
    entry_list_init(&listing->entries);
    listing->changes = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, free_change);
    listing->added = g_ptr_array_new();
    if (folder == NULL)
        return listing;
    Listing *older = folder->listings;
    listing->folder = folder;
    listing->next = older;
    folder->listings = listing_ref(listing);
    if (older != NULL)
        listing_unref(older);
    return listing;
}

Listing *
listing_ref(Listing *listing)
{
    listing->refs++;
    return listing;
}

static void
leave_chain(Listing *listing)
{
    if (listing->folder == NULL)
        return;
    Listing **at = &listing->folder->listings;
    while (*at != NULL && *at != listing)
        at = &(*at)->next;
    if (*at == listing)
        *at = listing->next;
}

void
listing_bring_back(Listing *listing)
{
    FolderState *folder = listing->folder;
    if (folder == NULL || folder->listings == listing)
        return;
    leave_chain(listing);
    Listing *newest = folder->listings;
    listing->next = newest;
    folder->listings = listing_ref(listing);
    if (newest != NULL)
        listing_unref(newest);
}

void
listing_begin_reading(Listing *listing)
{
    listing->readers++;
}

gboolean
listing_end_reading(Listing *listing)
{
    if (--listing->readers > 0)
        return FALSE;
    gboolean was_ahead = listing->window > 0;
    listing->window = listing->window_entries = listing->plan_entries = listing->read_entries = 0;
    if (listing->scan != NULL)
        listing_scan_drop_pages(listing->scan);
    return was_ahead;
}

void
listing_unref(Listing *listing)
{
    if (--listing->refs > 0)
        return;
    leave_chain(listing);
    entry_list_clear(&listing->entries);
    g_ptr_array_unref(listing->added);
    g_hash_table_unref(listing->changes);
    entry_facts_clear(&listing->marker);
    g_clear_pointer(&listing->scan, listing_scan_free);
    g_free(listing);
}

void
listing_chain_forget(Listing **chain)
{
    Listing *newest = *chain;
    for (Listing *at = newest; at != NULL; at = at->next)
        at->folder = NULL;
    *chain = NULL;
    if (newest != NULL)
        listing_unref(newest);
}

void
listing_chain_expire(Listing *chain)
{
    if (chain != NULL)
        chain->started_us = 0;
}

gboolean
listing_is_expired(const Listing *listing)
{
    return listing->started_us == 0;
}

void
listing_chain_doubt(Listing *chain)
{
    listing_chain_expire(chain);
    if (chain == NULL)
        return;
    for (guint i = 0; i < chain->entries.count; i++)
        entry_list_get(&chain->entries, i)->facts.known_at_us = 0;
    GHashTableIter iter;
    gpointer change;
    g_hash_table_iter_init(&iter, chain->changes);
    while (g_hash_table_iter_next(&iter, NULL, &change))
        ((ListChange *)change)->facts.known_at_us = 0;
}

void
listing_doubt_name(Listing *newest, const char *name)
{
    EntryFacts *facts = NULL;
    if (newest == NULL || listing_lookup(newest, name, &facts) != LISTING_PRESENT)
        return;
    facts->known_at_us = 0;
    facts->flags &= (guint8)~FACT_EXACT;
}

/* As the keys sort: a folder has its '/'. */
static int
compare_parts(const char *a, gboolean a_prefix, const char *b, gboolean b_prefix)
{
    while (*a != '\0' && *a == *b) {
        a++;
        b++;
    }
    int left = *a != '\0' ? (guint8)*a : a_prefix ? '/' : -1;
    int right = *b != '\0' ? (guint8)*b : b_prefix ? '/' : -1;
    return left - right;
}

static gboolean
is_prefix(const ListEntry *entry)
{
    return (entry->facts.flags & FACT_PREFIX) != 0;
}

static ListEntry *
get_entry(Listing *listing, guint index)
{
    return entry_list_get(&listing->entries, index);
}

/* Its index, -1 when it is not there. */
static gint64
find_index(Listing *listing, const char *part, gboolean prefix)
{
    guint low = 0, high = listing->entries.count;
    while (low < high) {
        guint middle = low + (high - low) / 2;
        ListEntry *entry = get_entry(listing, middle);
        int order = compare_parts(entry->part, is_prefix(entry), part, prefix);
        if (order == 0)
            return middle;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return -1;
}

static ListEntry *
find_entry(Listing *listing, const char *part, gboolean prefix)
{
    gint64 index = find_index(listing, part, prefix);
    return index >= 0 ? get_entry(listing, (guint)index) : NULL;
}

static gboolean
covers(Listing *listing, const char *part, gboolean prefix)
{
    if (listing->complete)
        return TRUE;
    if (listing->entries.count == 0)
        return FALSE;
    ListEntry *last = get_entry(listing, listing->entries.count - 1);
    return compare_parts(part, prefix, last->part, is_prefix(last)) <= 0;
}

static void
inherit(EntryFacts *facts, Listing *older, const char *part)
{
    ListEntry *known = older != NULL ? find_entry(older, part, (facts->flags & FACT_PREFIX) != 0) : NULL;
    if (known == NULL || !(known->facts.flags & FACT_EXACT) || facts->flags & FACT_EXACT)
        return;
    if (facts->kind != NODE_FOLDER && !version_tag_equal(&known->facts.tag, &facts->tag))
        return;
    guint8 flags = facts->flags;
    gint64 known_at_us = facts->known_at_us;
    entry_facts_copy(facts, &known->facts);
    facts->flags =
        flags | (known->facts.flags & (FACT_EXACT | FACT_MARKER | FACT_MARKER_ASKED | FACT_BARE_MARK));
    facts->known_at_us = known_at_us;
}

/* Takes facts. A key out of order would break every search: it is left out, as a repeated one is. */
static void
append(Listing *listing, const char *part, EntryFacts *facts)
{
    gboolean prefix = (facts->flags & FACT_PREFIX) != 0;
    if (listing->entries.count > 0) {
        ListEntry *last = get_entry(listing, listing->entries.count - 1);
        if (compare_parts(last->part, is_prefix(last), part, prefix) >= 0) {
            entry_facts_clear(facts);
            return;
        }
    }
    ListEntry *object = prefix ? find_entry(listing, part, FALSE) : NULL;
    if (object != NULL)
        object->facts.flags |= FACT_BESIDE;
    entry_list_append(&listing->entries, part, facts);
}

typedef struct {
    Listing *listing, *older;
    const char *prefix;
    const AttributeDefaults *defaults;
    gint64 known_at_us;
    guint long_names;
} PageReader;

static void
count_long_name(PageReader *reader, const char *part, gboolean prefix)
{
    if (strlen(part) * 3 + 3 <= OBJECT_NAME_MAX_BYTES)
        return;
    g_autofree char *name = reader->listing->names == LISTING_FLAT
                                ? object_name_from_key(part)
                                : object_name_from_part(part, prefix, FALSE);
    reader->long_names += name == NULL;
}

static void
add_object(PageReader *reader, const ObjectInfo *info)
{
    gboolean in_folders = reader->listing->names == LISTING_FOLDERS;
    const char *part = info->key + strlen(reader->prefix);
    EntryFacts facts = {0};
    entry_facts_from_info(&facts, info, reader->defaults, in_folders, reader->known_at_us);
    if (*part == '\0' && info->size_bytes == 0) {
        facts.kind = NODE_FOLDER;
        facts.flags |= FACT_MARKER | FACT_MARKER_ASKED;
        entry_facts_clear(&reader->listing->marker);
        reader->listing->marker = facts;
        return;
    }
    if (*part == '\0')
        facts.flags |= FACT_BESIDE;
    else if (in_folders && facts.kind == NODE_FOLDER)
        facts.flags |= FACT_BARE_MARK;
    inherit(&facts, reader->older, part);
    count_long_name(reader, part, FALSE);
    append(reader->listing, part, &facts);
}

static void
add_prefix(PageReader *reader, const char *key)
{
    const char *rest = key + strlen(reader->prefix);
    gsize length = strlen(rest);
    if (length == 0)
        return;
    g_autofree char *part = g_strndup(rest, length - 1);
    EntryFacts facts = {0};
    entry_facts_from_folder(&facts, reader->defaults, reader->known_at_us);
    facts.flags |= FACT_PREFIX;
    inherit(&facts, reader->older, part);
    count_long_name(reader, part, TRUE);
    append(reader->listing, part, &facts);
}

/* The last object of a page may turn out to have a folder's name on the next one. */
void
listing_release_page(Listing *listing)
{
    listing->unreleased = FALSE;
    listing->settled = listing->entries.count;
    if (listing->names != LISTING_FOLDERS || listing->complete || listing->settled == 0)
        return;
    if (!is_prefix(get_entry(listing, listing->settled - 1)))
        listing->settled--;
}

static gsize
get_part_bytes(const char *key, gsize prefix_length)
{
    gsize length = strlen(key);
    return length > prefix_length ? length - prefix_length : 0;
}

/* Of the parts of all keys; a folder's part has a NUL where the key has its '/'. */
static gsize
get_text_bytes(const ListPage *page, gsize prefix_length)
{
    gsize bytes = 0;
    for (guint i = 0; i < page->objects->len; i++)
        bytes += get_part_bytes(g_array_index(page->objects, ObjectInfo, i).key, prefix_length) + 1;
    for (guint i = 0; i < page->prefixes->len; i++)
        bytes += get_part_bytes(g_ptr_array_index(page->prefixes, i), prefix_length);
    return bytes;
}

guint
listing_append_page(Listing *listing, const ListPage *page, gboolean last, const char *prefix,
                    const AttributeDefaults *defaults, Listing *older, gint64 known_at_us)
{
    PageReader reader = {.listing = listing,
                         .older = older,
                         .prefix = prefix,
                         .defaults = defaults,
                         .known_at_us = known_at_us};
    entry_list_reserve_text(&listing->entries, get_text_bytes(page, strlen(prefix)));
    guint object = 0, folder = 0;
    while (object < page->objects->len || folder < page->prefixes->len) {
        const ObjectInfo *info =
            object < page->objects->len ? &g_array_index(page->objects, ObjectInfo, object) : NULL;
        const char *key = folder < page->prefixes->len ? g_ptr_array_index(page->prefixes, folder) : NULL;
        gboolean is_object = info != NULL && (key == NULL || strcmp(info->key, key) <= 0);
        if (is_object && g_str_has_prefix(info->key, prefix))
            add_object(&reader, info);
        else if (!is_object && key != NULL && g_str_has_prefix(key, prefix))
            add_prefix(&reader, key);
        object += is_object;
        folder += !is_object;
    }
    listing->complete = last;
    listing->unreleased = TRUE;
    listing->pages++;
    return reader.long_names;
}

void
listing_append_name(Listing *listing, const char *name, const EntryFacts *facts)
{
    EntryFacts copy = {0};
    entry_facts_copy(&copy, facts);
    entry_list_append(&listing->entries, name, &copy);
}

void
listing_finish(Listing *listing, gboolean sort)
{
    if (sort)
        entry_list_sort(&listing->entries);
    listing->complete = TRUE;
    listing->pages++;
    listing->settled = listing->entries.count;
}

GPtrArray *
listing_get_unsettled(Listing *listing)
{
    GPtrArray *parts = g_ptr_array_new_with_free_func(g_free);
    if (listing->names != LISTING_FOLDERS || listing->complete || listing->entries.count == 0)
        return parts;
    const char *last = get_entry(listing, listing->entries.count - 1)->part;
    for (gsize i = 1; last[i] != '\0'; i++) {
        if ((guint8)last[i] >= '/')
            continue;
        g_autofree char *part = g_strndup(last, i);
        ListEntry *entry = find_entry(listing, part, FALSE);
        if (entry != NULL && !(entry->facts.flags & (FACT_BESIDE | FACT_PROBED)))
            g_ptr_array_add(parts, g_steal_pointer(&part));
    }
    return parts;
}

void
listing_settle(Listing *listing, const char *part, gboolean beside)
{
    ListEntry *entry = find_entry(listing, part, FALSE);
    if (entry != NULL)
        entry->facts.flags |= FACT_PROBED | (beside ? FACT_BESIDE : 0);
}

static ListingAnswer
lookup_single(Listing *listing, const char *part, EntryFacts **out)
{
    ListEntry *entry = find_entry(listing, part, FALSE);
    if (entry == NULL)
        return covers(listing, part, FALSE) ? LISTING_ABSENT : LISTING_UNKNOWN;
    *out = &entry->facts;
    return LISTING_PRESENT;
}

static ListingAnswer
lookup_in_folders(Listing *listing, const char *part, gboolean beside, EntryFacts **out)
{
    ListEntry *folder = find_entry(listing, part, TRUE);
    ListEntry *object = part[0] != '\0' || beside ? find_entry(listing, part, FALSE) : NULL;
    gboolean is_beside = object != NULL && object->facts.flags & FACT_BESIDE;
    ListEntry *found = beside           ? (is_beside ? object : NULL)
                       : folder != NULL ? folder
                       : is_beside      ? NULL
                                        : object;
    gboolean reaches = covers(listing, part, TRUE);
    if (found != NULL && (found == folder || is_beside || reaches)) {
        *out = &found->facts;
        return LISTING_PRESENT;
    }
    return reaches ? LISTING_ABSENT : LISTING_UNKNOWN;
}

ListingAnswer
listing_lookup(Listing *listing, const char *name, EntryFacts **out)
{
    ListChange *change = g_hash_table_lookup(listing->changes, name);
    if (change != NULL) {
        if (change->present)
            *out = &change->facts;
        return change->present ? LISTING_PRESENT : LISTING_ABSENT;
    }
    if (listing->names == LISTING_PLAIN)
        return lookup_single(listing, name, out);
    g_autofree char *part = NULL;
    gboolean beside = FALSE;
    if (listing->names == LISTING_FLAT)
        return object_name_to_key(name, &part, NULL) ? lookup_single(listing, part, out) : LISTING_ABSENT;
    if (!object_name_to_part(name, &part, &beside, NULL))
        return LISTING_ABSENT;
    return lookup_in_folders(listing, part, beside, out);
}

gint64
listing_index(Listing *listing, const char *name)
{
    EntryFacts *facts = NULL;
    if (g_hash_table_contains(listing->changes, name) || listing->entries.count == 0 ||
        listing_lookup(listing, name, &facts) != LISTING_PRESENT)
        return -1;
    ListEntry *entry = (ListEntry *)(void *)((char *)facts - G_STRUCT_OFFSET(ListEntry, facts));
    return find_index(listing, entry->part, is_prefix(entry));
}

/* A listed name that is only changed keeps its place, so that no reader meets it twice. */
static gboolean
update_in_place(Listing *listing, const char *name, const EntryFacts *facts)
{
    gint64 index = listing_index(listing, name);
    if (index < 0)
        return FALSE;
    ListEntry *entry = get_entry(listing, (guint)index);
    guint8 flags = entry->facts.flags & (FACT_PREFIX | FACT_BESIDE | FACT_PROBED | FACT_ASKING);
    entry_facts_copy(&entry->facts, facts);
    entry->facts.flags = (guint8)((facts->flags & ~(FACT_PREFIX | FACT_BESIDE | FACT_PROBED)) | flags);
    return TRUE;
}

void
listing_learn(Listing *listing, const char *name, const EntryFacts *facts)
{
    update_in_place(listing, name, facts);
}

static void
note(Listing *listing, const char *name, const EntryFacts *facts)
{
    ListChange *change = g_hash_table_lookup(listing->changes, name);
    if (change == NULL && facts != NULL && update_in_place(listing, name, facts))
        return;
    if (change == NULL) {
        change = g_new0(ListChange, 1);
        change->name = g_strdup(name);
        g_hash_table_insert(listing->changes, change->name, change);
    }
    change->present = facts != NULL;
    if (facts == NULL)
        return;
    entry_facts_copy(&change->facts, facts);
    if (!change->is_added)
        g_ptr_array_add(listing->added, change->name);
    change->is_added = TRUE;
}

void
listing_note_present(Listing *chain, const char *name, const EntryFacts *facts)
{
    for (; chain != NULL; chain = chain->next)
        note(chain, name, facts);
}

void
listing_note_absent(Listing *chain, const char *name)
{
    for (; chain != NULL; chain = chain->next)
        note(chain, name, NULL);
}

static char *
make_name(Listing *listing, const ListEntry *entry)
{
    if (listing->names == LISTING_PLAIN)
        return g_strdup(entry->part);
    if (listing->names == LISTING_FLAT)
        return object_name_from_key(entry->part);
    return object_name_from_part(entry->part, is_prefix(entry), (entry->facts.flags & FACT_BESIDE) != 0);
}

static gboolean
next_entry(Listing *listing, guint64 *position, char **out_name, EntryFacts **out_facts)
{
    while (*position < listing->settled) {
        ListEntry *entry = get_entry(listing, (guint)(*position)++);
        g_autofree char *name = make_name(listing, entry);
        if (name == NULL || g_hash_table_contains(listing->changes, name))
            continue;
        *out_name = g_steal_pointer(&name);
        *out_facts = &entry->facts;
        return TRUE;
    }
    return FALSE;
}

static gboolean
next_added(Listing *listing, guint64 *position, char **out_name, EntryFacts **out_facts)
{
    *position = MAX(*position, ADDED_POSITION);
    while (*position - ADDED_POSITION < listing->added->len) {
        const char *name = g_ptr_array_index(listing->added, (guint)((*position)++ - ADDED_POSITION));
        ListChange *change = g_hash_table_lookup(listing->changes, name);
        if (!change->present)
            continue;
        *out_name = g_strdup(name);
        *out_facts = &change->facts;
        return TRUE;
    }
    return FALSE;
}

ListingStep
listing_next(Listing *listing, guint64 *position, char **out_name, EntryFacts **out_facts)
{
    if (*position < ADDED_POSITION) {
        if (next_entry(listing, position, out_name, out_facts))
            return LISTING_ITEM;
        if (!listing->complete)
            return LISTING_NEEDS_PAGE;
    }
    return next_added(listing, position, out_name, out_facts) ? LISTING_ITEM : LISTING_END;
}
