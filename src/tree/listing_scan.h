/* How the pages of one listing are got: one after the other, or, where a service goes on from any key,
 * several parts of the key space side by side. Pages are given out in the order of their keys, no key twice.
 *
 * A scan is a chain of segments. Each has the keys behind `after` up to the next one's, and is listed page by
 * page. A segment that turns out long is split at a guessed key (key_sample.h). Each split costs at most one
 * request more than listing serially, so there are at most 2 and a quarter of the full pages received: with
 * them a listing of P pages takes no more than 1.25 * (P + 2) requests. A segment's first page has to prove
 * that the service does go on from a key; where it fails, the segment before takes its keys back.
 *
 * No I/O; the tree's lock protects every ListingScan. Whoever fetches a page plans it (listing_scan_plan()),
 * asks for it with the lock released, and delivers it or lets it fail; everybody may take what is next in
 * order.
 */
#pragma once

#include "src/storage/driver.h"
#include "src/tree/key_sample.h"

#include <glib.h>

typedef struct ListingScan ListingScan;
typedef struct ListingSegment ListingSegment;

/* can_split: the service goes on from any key. */
ListingScan *listing_scan_new(gboolean can_split);
void listing_scan_free(ListingScan *scan);

/* The request that the reader at the front waits for; NULL: it is under way, or there is none. Also after a
 * failure. The segment is the caller's to fetch. */
ListingSegment *listing_scan_plan_front(ListingScan *scan);
/* A request worth making ahead, for at most `window` pages received or under way, `lanes` requests at once;
 * NULL none. After a failure none before the front has gone on. */
ListingSegment *listing_scan_plan(ListingScan *scan, guint window, guint lanes);
/* Where it is to be listed from: both NULL from the start. Caller frees. */
void listing_scan_get_start(const ListingSegment *segment, char **out_after, char **out_token);

/* Takes the page (left empty) and a reference of the sample, which may be NULL. known_at_us: the time that
 * what it says holds for. A first page that does not begin behind `after` counts as failed. */
void listing_scan_deliver(ListingScan *scan, ListingSegment *segment, ListPage *page, KeySample *sample,
                          gint64 known_at_us);
/* The request failed. TRUE: its keys will be listed with those before them, so that nobody needs to know. */
gboolean listing_scan_fail(ListingScan *scan, ListingSegment *segment);

/* The next page in order, when it is there; it is the caller's. *out_known_at_us: as it was delivered,
 * however long it has waited for those before it; 0 for an empty one that only ends the listing. *out_last:
 * no other comes. */
gboolean listing_scan_take(ListingScan *scan, ListPage *out, gint64 *out_known_at_us, gboolean *out_last);
/* Nobody reads on: gives up what was fetched ahead. */
void listing_scan_drop_pages(ListingScan *scan);
/* Pages that wait to be taken, requests under way. */
guint listing_scan_get_held(const ListingScan *scan);
guint listing_scan_get_running(const ListingScan *scan);
