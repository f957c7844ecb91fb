/* Segments of a listing, see listing_scan.h. */
#include "src/tree/listing_scan.h"

#include <string.h>

/* How far behind the last segment's keys another one begins, in pages; they are long enough that their
 * boundaries cost little, and short enough that what is fetched ahead of the reader stays bounded. */
#define SEGMENT_PAGES 8.0
/* A segment with this much left is worth halving. */
#define HALVED_PAGES 5.0

typedef struct {
    ListPage page;
    gint64 known_at_us;
} HeldPage;

struct ListingSegment {
    ListingSegment *next;
    char *after;       /* has the keys behind this one; NULL from the start */
    char *token;       /* where its next page starts; NULL: behind `after` */
    char *last;        /* greatest key received, NULL none */
    char *taken_token; /* the same two of what was taken */
    char *taken_last;
    KeySample *sample;
    GQueue pages; /* of HeldPage *, received and not taken */
    gboolean fetching;
    gboolean proven; /* a page has come */
    gboolean ended;  /* the service has no more keys behind it */
    gboolean taken_end;
};

struct ListingScan {
    ListingSegment *first;
    guint held, running, full_pages, splits;
    gboolean can_split, stalled, told_last;
};

static ListingSegment *
segment_new(const char *after, KeySample *sample)
{
    ListingSegment *segment = g_new0(ListingSegment, 1);
    segment->after = g_strdup(after);
    segment->sample = sample != NULL ? key_sample_ref(sample) : NULL;
    g_queue_init(&segment->pages);
    return segment;
}

static void
page_free(gpointer data)
{
    HeldPage *held = data;
    list_page_clear(&held->page);
    g_free(held);
}

static void
segment_free(ListingSegment *segment)
{
    g_queue_clear_full(&segment->pages, page_free);
    g_clear_pointer(&segment->sample, key_sample_unref);
    g_free(segment->after);
    g_free(segment->token);
    g_free(segment->last);
    g_free(segment->taken_token);
    g_free(segment->taken_last);
    g_free(segment);
}

ListingScan *
listing_scan_new(gboolean can_split)
{
    ListingScan *scan = g_new0(ListingScan, 1);
    scan->can_split = can_split;
    scan->first = segment_new(NULL, NULL);
    return scan;
}

void
listing_scan_free(ListingScan *scan)
{
    while (scan->first != NULL) {
        ListingSegment *segment = scan->first;
        scan->first = segment->next;
        segment_free(segment);
    }
    g_free(scan);
}

guint
listing_scan_get_held(const ListingScan *scan)
{
    return scan->held;
}

guint
listing_scan_get_running(const ListingScan *scan)
{
    return scan->running;
}

static void
set_text(char **to, const char *text)
{
    char *copy = g_strdup(text);
    g_free(*to);
    *to = copy;
}

/* Its pages reach to where the next segment begins. */
static gboolean
has_crossed(const ListingSegment *segment)
{
    return segment->next != NULL && segment->last != NULL && strcmp(segment->last, segment->next->after) >= 0;
}

static gboolean
wants_page(const ListingSegment *segment)
{
    return !segment->fetching && !segment->ended && !has_crossed(segment);
}

static ListingSegment *
start(ListingScan *scan, ListingSegment *segment)
{
    segment->fetching = TRUE;
    scan->running++;
    return segment;
}

ListingSegment *
listing_scan_plan_front(ListingScan *scan)
{
    ListingSegment *front = scan->first;
    return front->pages.length == 0 && wants_page(front) ? start(scan, front) : NULL;
}

static const char *
get_reached(const ListingSegment *segment)
{
    return segment->last != NULL ? segment->last : segment->after;
}

/* A new segment between this one and the next, NULL when there is no good place. */
static ListingSegment *
split(ListingScan *scan, ListingSegment *segment, double pages)
{
    const char *reached = get_reached(segment);
    g_autofree char *after = key_sample_ahead(segment->sample, reached, pages + (segment->fetching ? 1 : 0));
    if (after == NULL || (segment->next != NULL && strcmp(after, segment->next->after) >= 0))
        return NULL;
    ListingSegment *behind = segment_new(after, segment->sample);
    behind->next = segment->next;
    segment->next = behind;
    scan->splits++;
    return start(scan, behind);
}

static double
get_left(const ListingSegment *segment)
{
    if (segment->ended || segment->sample == NULL || get_reached(segment) == NULL || has_crossed(segment))
        return 0;
    if (segment->next == NULL)
        return G_MAXDOUBLE;
    return key_sample_distance(segment->sample, get_reached(segment), segment->next->after);
}

/* The longest segment of known length is halved, else another one is begun at the end. */
static ListingSegment *
plan_split(ListingScan *scan)
{
    ListingSegment *longest = NULL, *last = scan->first;
    double most = HALVED_PAGES;
    for (ListingSegment *at = scan->first; at != NULL; at = at->next) {
        double left = get_left(at);
        if (at->next != NULL && left >= most) {
            longest = at;
            most = left;
        }
        last = at;
    }
    if (longest != NULL)
        return split(scan, longest, MIN(most / 2, SEGMENT_PAGES));
    return get_left(last) > 0 ? split(scan, last, SEGMENT_PAGES) : NULL;
}

ListingSegment *
listing_scan_plan(ListingScan *scan, guint window, guint lanes)
{
    ListingSegment *front = scan->first;
    if (scan->stalled || scan->running >= lanes || window == 0)
        return NULL;
    /* Whatever else fills the window, the reader's next page comes first. */
    if (wants_page(front) && front->pages.length < 2)
        return start(scan, front);
    if (scan->held + scan->running >= window)
        return NULL;
    for (ListingSegment *at = scan->first; at != NULL; at = at->next)
        if (wants_page(at))
            return start(scan, at);
    /* One at the first full page, then as many as the bound in the header allows. */
    gboolean allowed = scan->can_split && scan->full_pages > 0 && scan->splits <= (scan->full_pages + 2) / 4;
    return allowed ? plan_split(scan) : NULL;
}

void
listing_scan_get_start(const ListingSegment *segment, char **out_after, char **out_token)
{
    *out_after = g_strdup(segment->after);
    *out_token = g_strdup(segment->token);
}

static void
unlink_segment(ListingScan *scan, ListingSegment *before, ListingSegment *segment)
{
    before->next = segment->next;
    scan->held -= segment->pages.length;
    segment_free(segment);
}

gboolean
listing_scan_fail(ListingScan *scan, ListingSegment *segment)
{
    segment->fetching = FALSE;
    scan->running--;
    scan->stalled = TRUE;
    if (segment->proven || segment == scan->first)
        return FALSE;
    ListingSegment *before = scan->first;
    while (before->next != segment)
        before = before->next;
    unlink_segment(scan, before, segment);
    scan->can_split = scan->stalled = FALSE;
    return TRUE;
}

static const char *
get_greatest(const ListPage *page)
{
    guint objects = page->objects->len, prefixes = page->prefixes->len;
    const char *key = objects > 0 ? g_array_index(page->objects, ObjectInfo, objects - 1).key : NULL;
    const char *prefix = prefixes > 0 ? g_ptr_array_index(page->prefixes, prefixes - 1) : NULL;
    if (key == NULL || prefix == NULL)
        return key != NULL ? key : prefix;
    return strcmp(key, prefix) > 0 ? key : prefix;
}

static gboolean
begins_behind(const ListPage *page, const char *after)
{
    gboolean object =
        page->objects->len == 0 || strcmp(g_array_index(page->objects, ObjectInfo, 0).key, after) > 0;
    return object && (page->prefixes->len == 0 || strcmp(g_ptr_array_index(page->prefixes, 0), after) > 0);
}

void
listing_scan_deliver(ListingScan *scan, ListingSegment *segment, ListPage *page, KeySample *sample,
                     gint64 known_at_us)
{
    if (!segment->proven && segment->after != NULL && !begins_behind(page, segment->after)) {
        listing_scan_fail(scan, segment);
        return;
    }
    segment->fetching = scan->stalled = FALSE;
    scan->running--;
    segment->proven = TRUE;
    segment->ended = page->next == NULL;
    set_text(&segment->token, page->next);
    if (get_greatest(page) != NULL)
        set_text(&segment->last, get_greatest(page));
    /* One that reaches over the boundary is a full one only in part. */
    scan->full_pages += page->next != NULL && !has_crossed(segment);
    if (sample != NULL) {
        g_clear_pointer(&segment->sample, key_sample_unref);
        segment->sample = key_sample_ref(sample);
    }
    HeldPage *held = g_new(HeldPage, 1);
    *held = (HeldPage){*page, known_at_us};
    list_page_init(page);
    g_queue_push_tail(&segment->pages, held);
    scan->held++;
}

/* Leaves out what the next segment has. */
static void
trim(ListPage *page, const char *after)
{
    guint objects = page->objects->len, prefixes = page->prefixes->len;
    while (objects > 0 && strcmp(g_array_index(page->objects, ObjectInfo, objects - 1).key, after) > 0)
        g_clear_pointer(&g_array_index(page->objects, ObjectInfo, --objects).metadata, g_hash_table_unref);
    g_array_set_size(page->objects, objects);
    while (prefixes > 0 && strcmp(g_ptr_array_index(page->prefixes, prefixes - 1), after) > 0)
        prefixes--;
    g_ptr_array_set_size(page->prefixes, (gint)prefixes);
}

/* All of it was taken. What follows must have proven itself: else its keys come back to this one. */
static gboolean
is_over(const ListingSegment *segment)
{
    if (segment->pages.length > 0 || segment->fetching || (segment->next != NULL && !segment->next->proven))
        return FALSE;
    return segment->ended || has_crossed(segment);
}

/* Only the newest page can reach over the boundary. */
static gboolean
is_ready(const ListingSegment *front)
{
    return front->pages.length > 1 || !has_crossed(front) || front->next->proven;
}

static void
take_page(ListingScan *scan, ListingSegment *front, ListPage *out, gint64 *out_known_at_us)
{
    g_autofree HeldPage *held = g_queue_pop_head(&front->pages);
    ListPage *page = &held->page;
    scan->held--;
    set_text(&front->taken_token, page->next);
    front->taken_end = page->next == NULL;
    if (get_greatest(page) != NULL)
        set_text(&front->taken_last, get_greatest(page));
    if (front->next != NULL)
        trim(page, front->next->after);
    list_page_clear(out);
    *out = *page;
    *out_known_at_us = held->known_at_us;
}

gboolean
listing_scan_take(ListingScan *scan, ListPage *out, gint64 *out_known_at_us, gboolean *out_last)
{
    *out_known_at_us = 0;
    while (is_over(scan->first) && scan->first->next != NULL) {
        ListingSegment *over = scan->first;
        scan->first = over->next;
        segment_free(over);
    }
    ListingSegment *front = scan->first;
    gboolean has_page = front->pages.length > 0 && is_ready(front);
    if (has_page)
        take_page(scan, front, out, out_known_at_us);
    *out_last = is_over(front) && front->next == NULL;
    /* The last segment may have gone back after its keys had all been taken: then an empty page ends it. */
    gboolean news = has_page || (*out_last && !scan->told_last);
    scan->told_last |= *out_last;
    return news;
}

void
listing_scan_drop_pages(ListingScan *scan)
{
    for (ListingSegment *at = scan->first; at != NULL; at = at->next) {
        if (at->fetching || at->pages.length == 0)
            continue;
        scan->held -= at->pages.length;
        g_queue_clear_full(&at->pages, page_free);
        set_text(&at->token, at->taken_token);
        set_text(&at->last, at->taken_last);
        at->ended = at->taken_end;
    }
}
