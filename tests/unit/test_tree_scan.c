/* Listings got by several requests at once, against the same listing done serially: order, completeness,
 * cost. A service, simulated here, answers the requests in any order.
 */
#include "src/tree/listing_scan.h"

#include <string.h>

/* Sorted keys, as a service holds them. */
typedef struct {
    GPtrArray *keys;
    const char *prefix;
    char delimiter;
    guint limit;
    gboolean ignores_after; /* starts at the first key whatever is asked */
    guint requests;
} Service;

static int
compare(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void
service_clear(Service *service)
{
    g_ptr_array_unref(service->keys);
}

/* Where the key is, or belongs. */
static guint
find_key(const Service *service, const char *key)
{
    guint low = 0, high = service->keys->len;
    while (low < high) {
        guint middle = (low + high) / 2;
        if (strcmp(g_ptr_array_index(service->keys, middle), key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The entry a key shows as: itself, or the prefix it is rolled up into. Caller frees. */
static char *
entry_of(const Service *service, const char *key)
{
    if (!g_str_has_prefix(key, service->prefix))
        return NULL;
    const char *rest = key + strlen(service->prefix);
    const char *cut = service->delimiter != 0 ? strchr(rest, service->delimiter) : NULL;
    return cut != NULL ? g_strndup(key, (gsize)(cut + 1 - key)) : g_strdup(key);
}

static void
add_entry(ListPage *page, const char *entry, gboolean prefix)
{
    char *text = g_string_chunk_insert(page->text, entry);
    ObjectInfo info = {.key = text};
    if (prefix)
        g_ptr_array_add(page->prefixes, text);
    else
        g_array_append_val(page->objects, info);
}

static void
service_list(Service *service, const char *after, const char *token, ListPage *page)
{
    const char *start = token != NULL ? token : service->ignores_after ? NULL : after;
    g_autofree char *last = g_strdup(start);
    guint count = 0;
    service->requests++;
    for (guint i = start != NULL ? find_key(service, start) : 0; i < service->keys->len; i++) {
        const char *key = g_ptr_array_index(service->keys, i);
        g_autofree char *entry = entry_of(service, key);
        if (entry == NULL || (last != NULL && strcmp(entry, last) <= 0))
            continue;
        if (count++ == service->limit) {
            page->next = g_string_chunk_insert(page->text, last);
            return;
        }
        add_entry(page, entry, strcmp(entry, key) != 0);
        g_free(last);
        last = g_steal_pointer(&entry);
    }
}

/* All entries in order, as one request after the other gives them; *out_requests may be NULL. */
static GPtrArray *
list_serially(Service *service, guint *out_requests)
{
    GPtrArray *entries = g_ptr_array_new_with_free_func(g_free);
    for (guint i = 0; i < service->keys->len; i++) {
        char *entry = entry_of(service, g_ptr_array_index(service->keys, i));
        gboolean again = entry != NULL && entries->len > 0 &&
                         strcmp(entry, g_ptr_array_index(entries, entries->len - 1)) == 0;
        if (entry == NULL || again)
            g_free(entry);
        else
            g_ptr_array_add(entries, entry);
    }
    if (out_requests != NULL)
        *out_requests = MAX((entries->len + service->limit - 1) / service->limit, 1);
    return entries;
}

/* A reader, what it has got so far, and the requests under way. */
typedef struct {
    Service *service;
    ListingScan *scan;
    GPtrArray *running; /* ListingSegment */
    GPtrArray *found;   /* char * */
    gboolean complete;
    gint64 known_at_us; /* of the last answer; each is one later */
    guint window, lanes, fail_percent, drop_percent, change_percent, rounds;
    guint held_most;
    GHashTable *made, *removed; /* entries whose keys came or went meanwhile */
} Reader;

static void
take_all(Reader *reader)
{
    g_auto(ListPage) page;
    list_page_init(&page);
    gboolean last = FALSE;
    gint64 known_at_us = 0;
    while (listing_scan_take(reader->scan, &page, &known_at_us, &last)) {
        g_assert_false(reader->complete);
        guint object = 0, prefix = 0;
        while (object < page.objects->len || prefix < page.prefixes->len) {
            const char *key =
                object < page.objects->len ? g_array_index(page.objects, ObjectInfo, object).key : NULL;
            const char *folder =
                prefix < page.prefixes->len ? g_ptr_array_index(page.prefixes, prefix) : NULL;
            gboolean is_object = folder == NULL || (key != NULL && strcmp(key, folder) < 0);
            if (is_object)
                g_assert_cmpint(g_array_index(page.objects, ObjectInfo, object).mtime_ns, ==, known_at_us);
            g_ptr_array_add(reader->found, g_strdup(is_object ? key : folder));
            object += is_object;
            prefix += !is_object;
        }
        reader->complete = last;
    }
}

static void
plan(Reader *reader)
{
    ListingSegment *segment = listing_scan_plan_front(reader->scan);
    if (segment != NULL)
        g_ptr_array_add(reader->running, segment);
    while ((segment = listing_scan_plan(reader->scan, reader->window, reader->lanes)) != NULL)
        g_ptr_array_add(reader->running, segment);
    g_assert_cmpuint(listing_scan_get_running(reader->scan), ==, reader->running->len);
    g_assert_cmpuint(reader->running->len, <=, reader->lanes + 1);
    reader->held_most = MAX(reader->held_most, listing_scan_get_held(reader->scan));
}

static gboolean
is_chance(guint percent)
{
    return (guint)g_test_rand_int_range(0, 100) < percent;
}

static void
answer(Reader *reader, guint index)
{
    ListingSegment *segment = g_ptr_array_remove_index(reader->running, index);
    if (is_chance(reader->fail_percent)) {
        listing_scan_fail(reader->scan, segment);
        return;
    }
    g_autofree char *after = NULL, *token = NULL;
    g_auto(ListPage) page;
    list_page_init(&page);
    listing_scan_get_start(segment, &after, &token);
    service_list(reader->service, token == NULL ? after : NULL, token, &page);
    g_autoptr(KeySample) sample = key_sample_new(&page, reader->service->prefix, reader->service->delimiter);
    /* However long it waits, it is known what time it is of. */
    gint64 known_at_us = ++reader->known_at_us;
    for (guint i = 0; i < page.objects->len; i++)
        g_array_index(page.objects, ObjectInfo, i).mtime_ns = known_at_us;
    listing_scan_deliver(reader->scan, segment, &page, sample, known_at_us);
}

/* A key comes or goes. */
static void
change(Reader *reader)
{
    GPtrArray *keys = reader->service->keys;
    if (keys->len == 0)
        return;
    guint index = (guint)g_test_rand_int_range(0, (gint32)keys->len);
    char *key = g_ptr_array_index(keys, index);
    g_autofree char *entry = entry_of(reader->service, key);
    if (entry == NULL)
        return;
    if (is_chance(50)) {
        g_hash_table_add(reader->removed, g_steal_pointer(&entry));
        g_ptr_array_remove_index(keys, index);
        return;
    }
    char *made = g_strdup_printf("%s%c", key, 'a' + g_test_rand_int_range(0, 26));
    guint place = find_key(reader->service, made);
    if (place < keys->len && strcmp(g_ptr_array_index(keys, place), made) == 0) {
        g_free(made);
        return;
    }
    g_hash_table_add(reader->made, entry_of(reader->service, made));
    g_ptr_array_insert(keys, (gint)place, made);
}

static void
reader_init(Reader *reader, Service *service, guint window, guint lanes)
{
    *reader = (Reader){.service = service,
                       .scan = listing_scan_new(TRUE),
                       .running = g_ptr_array_new(),
                       .found = g_ptr_array_new_with_free_func(g_free),
                       .window = window,
                       .lanes = lanes,
                       .made = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL),
                       .removed = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL)};
}

static void
reader_clear(Reader *reader)
{
    listing_scan_free(reader->scan);
    g_ptr_array_unref(reader->running);
    g_ptr_array_unref(reader->found);
    g_hash_table_unref(reader->made);
    g_hash_table_unref(reader->removed);
}

/* Answers in any order, until all is read. */
static void
read_all(Reader *reader)
{
    for (guint turns = 0; !reader->complete; turns++) {
        g_assert_cmpuint(turns, <, 1000000);
        plan(reader);
        g_assert_cmpuint(reader->running->len, >, 0);
        answer(reader, (guint)g_test_rand_int_range(0, (gint32)reader->running->len));
        if (is_chance(70) || reader->running->len == 0)
            take_all(reader);
        if (is_chance(reader->change_percent))
            change(reader);
        if (is_chance(reader->drop_percent))
            listing_scan_drop_pages(reader->scan);
    }
}

/* All requests under way take the same time. */
static void
read_in_rounds(Reader *reader)
{
    for (; !reader->complete; reader->rounds++) {
        plan(reader);
        g_assert_cmpuint(reader->running->len, >, 0);
        for (guint count = reader->running->len; count > 0; count--)
            answer(reader, 0);
        take_all(reader);
    }
}

static void
append_random(GString *key, guint kind)
{
    guint length = (guint)g_test_rand_int_range(1, 9);
    switch (kind) {
    case 0:
        g_string_append_printf(key, "f%06d", g_test_rand_int_range(0, 5000));
        break;
    case 1:
        g_string_append_printf(key, "IMG_%d.jpg", g_test_rand_int_range(0, 100000));
        break;
    case 2:
        for (guint i = 0; i < length; i++)
            g_string_append_c(key, (char)('a' + g_test_rand_int_range(0, 26)));
        break;
    case 3:
        g_string_append_printf(key, "%08x-%04x", (guint)g_test_rand_int(), g_test_rand_int_range(0, 65536));
        break;
    case 4:
        g_string_append_printf(key, "2026-%02d-%02dT%02d:%02d", g_test_rand_int_range(1, 13),
                               g_test_rand_int_range(1, 29), g_test_rand_int_range(0, 24),
                               g_test_rand_int_range(0, 60));
        break;
    case 5:
        for (guint i = 0; i < length; i++)
            g_string_append_c(key, (char)g_test_rand_int_range(1, 256));
        break;
    case 6:
        for (guint i = 0; i < length; i++)
            g_string_append_unichar(key, (gunichar)g_test_rand_int_range(0x4e00, 0x4f00));
        break;
    default:
        g_string_append_printf(key, "%c%d/%d", 'a' + g_test_rand_int_range(0, 3),
                               g_test_rand_int_range(0, 900), g_test_rand_int_range(0, 4));
    }
}

#define KINDS 9u

static void
service_init(Service *service, guint kind, guint count, guint limit)
{
    static const char *const prefixes[] = {"", "", "photos/", "x"};
    g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);
    *service = (Service){.keys = g_ptr_array_new_with_free_func(g_free),
                         .prefix = prefixes[g_test_rand_int_range(0, G_N_ELEMENTS(prefixes))],
                         .delimiter = is_chance(50) ? '/' : 0,
                         .limit = limit};
    for (guint i = 0; i < count; i++) {
        GString *key = g_string_new(is_chance(98) ? service->prefix : "other");
        append_random(key, kind < KINDS - 1 ? kind : (guint)g_test_rand_int_range(0, KINDS - 1));
        if (g_hash_table_contains(seen, key->str)) {
            g_string_free(key, TRUE);
            continue;
        }
        g_hash_table_add(seen, key->str);
        g_ptr_array_add(service->keys, g_string_free(key, FALSE));
    }
    g_ptr_array_sort(service->keys, compare);
}

static void
assert_same(GPtrArray *found, GPtrArray *wanted)
{
    for (guint i = 0; i < MIN(found->len, wanted->len); i++)
        g_assert_cmpstr(g_ptr_array_index(found, i), ==, g_ptr_array_index(wanted, i));
    g_assert_cmpuint(found->len, ==, wanted->len);
}

static guint
get_size(void)
{
    return (guint)(is_chance(30) ? g_test_rand_int_range(0, 30) : g_test_rand_int_range(0, 1500));
}

static void
check_same(guint fail_percent, guint drop_percent, gboolean ignores_after)
{
    for (guint run = 0; run < 40 * KINDS; run++) {
        Service service;
        Reader reader;
        guint serial;
        service_init(&service, run % KINDS, get_size(), (guint)g_test_rand_int_range(1, 40));
        service.ignores_after = ignores_after;
        g_autoptr(GPtrArray) wanted = list_serially(&service, &serial);
        reader_init(&reader, &service, (guint)g_test_rand_int_range(1, 65),
                    (guint)g_test_rand_int_range(1, 13));
        reader.fail_percent = fail_percent;
        reader.drop_percent = drop_percent;
        read_all(&reader);
        assert_same(reader.found, wanted);
        if (drop_percent == 0)
            g_assert_cmpuint(4 * service.requests, <=, 5 * (serial + 2));
        g_assert_cmpuint(reader.held_most, <=, reader.window + 1);
        reader_clear(&reader);
        service_clear(&service);
    }
}

static void
test_same_as_serial(void)
{
    check_same(0, 0, FALSE);
}

static void
test_failures(void)
{
    check_same(20, 0, FALSE);
}

static void
test_dropped_pages(void)
{
    check_same(5, 10, FALSE);
}

/* A service that does not go on from a key is listed serially, and nobody notices. */
static void
test_service_that_ignores_after(void)
{
    check_same(0, 0, TRUE);
    check_same(20, 5, TRUE);
}

/* What is there all the time is met once; what never was, never. */
static void
test_changes_meanwhile(void)
{
    for (guint run = 0; run < 10 * KINDS; run++) {
        Service service;
        Reader reader;
        service_init(&service, run % KINDS, get_size(), (guint)g_test_rand_int_range(10, 40));
        g_autoptr(GPtrArray) before = list_serially(&service, NULL);
        reader_init(&reader, &service, 32, 8);
        reader.change_percent = 60;
        read_all(&reader);
        g_autoptr(GHashTable) known = g_hash_table_new(g_str_hash, g_str_equal);
        g_autoptr(GHashTable) found = g_hash_table_new(g_str_hash, g_str_equal);
        for (guint i = 0; i < before->len; i++)
            g_hash_table_add(known, g_ptr_array_index(before, i));
        for (guint i = 0; i < reader.found->len; i++) {
            char *entry = g_ptr_array_index(reader.found, i);
            g_assert_true(g_hash_table_contains(known, entry) || g_hash_table_contains(reader.made, entry));
            g_assert_true(i == 0 || strcmp(g_ptr_array_index(reader.found, i - 1), entry) < 0);
            g_hash_table_add(found, entry);
        }
        for (guint i = 0; i < before->len; i++)
            g_assert_true(g_hash_table_contains(found, g_ptr_array_index(before, i)) ||
                          g_hash_table_contains(reader.removed, g_ptr_array_index(before, i)));
        reader_clear(&reader);
        service_clear(&service);
    }
}

static char *
make_name(guint kind, guint number)
{
    switch (kind) {
    case 0:
        return g_strdup_printf("f%06u", number);
    case 1:
        return g_strdup_printf("photos/IMG_%05u.jpg", number);
    case 2:
        return g_strdup_printf("%08x", number * 858993u);
    default:
        return g_strdup_printf("frame-%u.png", number);
    }
}

/* Names as programs make them are listed in far fewer round trips than pages. */
static void
test_round_trips(void)
{
    for (guint kind = 0; kind < 4; kind++) {
        Service service = {.keys = g_ptr_array_new_with_free_func(g_free), .prefix = "", .limit = 50};
        Reader reader;
        guint serial;
        for (guint number = 0; number < 5000; number++)
            g_ptr_array_add(service.keys, make_name(kind, number));
        g_ptr_array_sort(service.keys, compare);
        g_autoptr(GPtrArray) wanted = list_serially(&service, &serial);
        g_assert_cmpuint(serial, ==, 100);
        reader_init(&reader, &service, 64, 12);
        read_in_rounds(&reader);
        g_test_message("%u: %u round trips, %u requests", kind, reader.rounds, service.requests);
        assert_same(reader.found, wanted);
        g_assert_cmpuint(reader.rounds, <=, 33);
        g_assert_cmpuint(service.requests, <=, 127);
        reader_clear(&reader);
        service_clear(&service);
    }
}

static void
test_guesses(void)
{
    for (guint run = 0; run < 100 * KINDS; run++) {
        Service service;
        service_init(&service, run % KINDS, 300, 100);
        g_auto(ListPage) page;
        list_page_init(&page);
        service_list(&service, NULL, NULL, &page);
        g_autoptr(KeySample) sample = key_sample_new(&page, service.prefix, service.delimiter);
        const char *last = page.next;
        for (double pages = 0.5; sample != NULL && last != NULL && pages < 1000; pages *= 3) {
            g_autofree char *key = key_sample_ahead(sample, last, pages);
            if (key == NULL)
                continue;
            g_assert_cmpint(strcmp(key, last), >, 0);
            g_assert_true(g_str_has_prefix(key, service.prefix));
            g_assert_true(g_utf8_validate(key, -1, NULL));
            g_assert_true(service.delimiter == 0 ||
                          strchr(key + strlen(service.prefix), service.delimiter) == NULL);
            g_assert_cmpfloat(key_sample_distance(sample, last, key), >=, 0);
        }
        service_clear(&service);
    }
}

int
main(int argc, char *argv[])
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/tree/scan/same-as-serial", test_same_as_serial);
    g_test_add_func("/tree/scan/failures", test_failures);
    g_test_add_func("/tree/scan/dropped-pages", test_dropped_pages);
    g_test_add_func("/tree/scan/service-that-ignores-after", test_service_that_ignores_after);
    g_test_add_func("/tree/scan/changes-meanwhile", test_changes_meanwhile);
    g_test_add_func("/tree/scan/round-trips", test_round_trips);
    g_test_add_func("/tree/scan/guesses", test_guesses);
    return g_test_run();
}
