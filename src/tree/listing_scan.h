/* How the pages of one listing are got: one after the other, or, where a service goes on from any key,
 * several parts of the key space side by side. Pages are given out in the order of their keys, no key twice.
 *
 * A scan is a chain of segments. Each has the keys behind `after` up to the next one's, and is listed page by
 * page. A segment that turns out long is split at a guessed key (key_sample.h). Each split costs at most one
 * request more than listing serially, so there are at most 2 and a quarter of the full pages received: with
 * them a listing of P pages takes no more than 1.25 * (P + 2) requests. A segment's first page has to prove
 * that the service does go on from a key; where it fails, the segment before takes its keys back.
 *
 * No I/O; the tree's lock protects every ListScan. Whoever fetches a page:
 *     segment = list_scan_plan(...); lock released; list by list_segment's after and token; lock taken;
 *     list_scan_deliver() or list_scan_fail()
 * and everybody may list_scan_take() what is next in order.
 */
#pragma once

#include "src/storage/driver.h"
#include "src/tree/key_sample.h"

#include <glib.h>

typedef struct ListScan ListScan;
typedef struct ListSegment ListSegment;

/* can_split: the service goes on from any key. */
ListScan *list_scan_new(gboolean can_split);
void list_scan_free(ListScan *scan);

/* The request that the reader at the front waits for; NULL: it is under way, or there is none. Also after a
 * failure. The segment is the caller's to fetch. */
ListSegment *list_scan_plan_front(ListScan *scan);
/* A request worth making ahead, for at most `window` pages received or under way, `lanes` requests at once;
 * NULL none. After a failure none before the front has gone on. */
ListSegment *list_scan_plan(ListScan *scan, guint window, guint lanes);
/* Where it is to be listed from: both NULL from the start. Caller frees. */
void list_segment_get_start(const ListSegment *segment, char **out_after, char **out_token);

/* Takes the page (left empty) and a reference of the sample, which may be NULL. A first page that does not
 * begin behind `after` counts as failed. */
void list_scan_deliver(ListScan *scan, ListSegment *segment, ListPage *page, KeySample *sample);
/* The request failed. TRUE: its keys will be listed with those before them, so that nobody needs to know. */
gboolean list_scan_fail(ListScan *scan, ListSegment *segment);

/* The next page in order, when it is there; it is the caller's. *out_last: no other comes. */
gboolean list_scan_take(ListScan *scan, ListPage *out, gboolean *out_last);
/* Nobody reads on: gives up what was fetched ahead. */
void list_scan_drop_pages(ListScan *scan);
/* Pages that wait to be taken, requests under way. */
guint list_scan_get_held(const ListScan *scan);
guint list_scan_get_running(const ListScan *scan);
