/* When each position that is fetched ahead of was last read, for all of one store: how many share the memory,
 * and whose blocks may go first. Thread-safe.
 *
 * A reader may pause for ever (less, a video player, a program in a debugger). It keeps what was fetched for
 * it while nobody needs the memory, and counts as a sharer again with its next read.
 */
#pragma once

#include <glib.h>

/* Who was not read for so long is paused. */
#define STREAM_CLOCK_PAUSE_US (2 * (gint64)G_USEC_PER_SEC)

typedef struct StreamClockSet StreamClockSet;
typedef struct StreamClock StreamClock; /* reference counted: its blocks outlive the position */

StreamClockSet *stream_clock_set_new(void);
/* Every clock has ended. */
void stream_clock_set_free(StreamClockSet *clocks);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(StreamClockSet, stream_clock_set_free)
/* Those that were read lately, at least 1. A little old: many ask. */
guint stream_clock_set_count_active(StreamClockSet *clocks, gint64 now_us);

StreamClock *stream_clock_new(StreamClockSet *clocks, gint64 now_us);
/* The position is given up: it counts no more and is paused. Gives back the caller's reference. */
void stream_clock_end(StreamClock *clock);
StreamClock *stream_clock_ref(StreamClock *clock); /* NULL stays NULL */
void stream_clock_unref(StreamClock *clock);
void stream_clock_touch(StreamClock *clock, gint64 now_us);
gboolean stream_clock_is_paused(const StreamClock *clock, gint64 now_us); /* NULL: FALSE */
