/* One listing of one directory: pages as they came, and what was made or removed here since.
 *
 * Shared by all who read the directory meanwhile, and by look-ups, which a fresh listing answers as far as it
 * reaches. A directory keeps its newest one; older ones live while somebody reads them, and hear of changes
 * too. Entries lie in the byte order of their keys. Not locked: the tree's lock protects every Listing.
 * Fetching pages is objects_pages.c's.
 */
#pragma once

#include "src/tree/entry_list.h"
#include "src/tree/listing_scan.h"
#include "src/tree/node.h"

#include <glib.h>

typedef enum {
    LISTING_PLAIN,  /* containers, files of a file system: names are names */
    LISTING_FLAT,   /* keys */
    LISTING_FOLDERS /* parts of keys */
} ListingNames;

struct Listing {
    Listing *next;       /* older ones of the same directory */
    FolderState *folder; /* whose it is; NULL once the directory is gone */
    guint refs;
    ListingNames names;
    EntryList entries;
    guint settled; /* entries before this have their final names */
    guint pages;
    gint64 started_us; /* 0: expired */
    gboolean complete;
    ListingScan *scan;   /* where its pages come from; NULL: from nowhere, or it is complete */
    gboolean settling;   /* somebody asks about what listing_get_unsettled() gave */
    gboolean unreleased; /* the last page's entries have not got their names yet */
    guint readers;       /* open directories that read it, look-ups that wait for many pages */
    guint read_entries;  /* how far the first of them has come */
    guint window, window_entries, plan_entries; /* objects_pages.c's: how much is fetched ahead */
    EntryFacts marker;   /* the directory's own marker object, when a page had it (flags & FACT_MARKER) */
    GHashTable *changes; /* name → ListChange */
    GPtrArray *added;    /* keys of changes, in order of their making */
    guint last_stat, stat_run, ahead_until; /* objects_ahead.c's */
};

/* What is fetched for readers alone goes with the last of them. end: TRUE when more was being fetched ahead.
 */
void listing_begin_reading(Listing *listing);
gboolean listing_end_reading(Listing *listing);

/* Becomes the newest of `folder` (may be NULL: private). One reference for the caller. */
Listing *listing_new(FolderState *folder, ListingNames names, gint64 now_us);
Listing *listing_ref(Listing *listing);
void listing_unref(Listing *listing);
/* The newest of its directory again (while that is there), in place of what could not be fetched. The caller
 * has a reference. */
void listing_bring_back(Listing *listing);
/* The directory goes away. */
void listing_chain_forget(Listing **chain);
/* The newest answers no look-ups any more; who reads it goes on. */
void listing_chain_expire(Listing *chain);
/* Nor is any name it holds; or one name alone. */
void listing_chain_doubt(Listing *chain);
void listing_doubt_name(Listing *newest, const char *name);
gboolean listing_is_expired(const Listing *listing);

/* Adds one page of a prefix; last: no other comes. `older` (may be NULL): attributes it has of unchanged
 * versions are taken over. Returns how many keys have no name because it would be too long.
 * listing_release_page() shows the page. */
guint listing_append_page(Listing *listing, const ListPage *page, gboolean last, const char *prefix,
                          const AttributeDefaults *defaults, Listing *older, gint64 known_at_us);
/* Adds one name of a PLAIN listing. */
void listing_append_name(Listing *listing, const char *name, const EntryFacts *facts);
/* Complete now. sort: names came in any order (one that is not sorted answers no look-ups). */
void listing_finish(Listing *listing, gboolean sort);

/* Objects whose folder of the same name, if there is one, comes on a later page although other entries lie
 * between: their parts (strings, caller frees the array). listing_settle() takes the answer. */
GPtrArray *listing_get_unsettled(Listing *listing);
void listing_settle(Listing *listing, const char *part, gboolean beside);

typedef enum { LISTING_PRESENT, LISTING_ABSENT, LISTING_UNKNOWN } ListingAnswer;
/* UNKNOWN: it does not reach there. *out: borrowed. */
ListingAnswer listing_lookup(Listing *listing, const char *name, EntryFacts **out);
/* Index of the name among the entries, -1 when it is not one of them. */
gint64 listing_index(Listing *listing, const char *name);

/* A listed name's facts became better known; nothing happens when it is not listed. */
void listing_learn(Listing *listing, const char *name, const EntryFacts *facts);
/* The entries of all pages so far have their final names. */
void listing_release_page(Listing *listing);

/* A name was made or removed here; on the whole chain. */
void listing_note_present(Listing *chain, const char *name, const EntryFacts *facts);
void listing_note_absent(Listing *chain, const char *name);

typedef enum { LISTING_ITEM, LISTING_NEEDS_PAGE, LISTING_END } ListingStep;
/* The first item at or after *position (0 starts), which moves past it. *out_name: caller frees. */
ListingStep listing_next(Listing *listing, guint64 *position, char **out_name, EntryFacts **out_facts);
