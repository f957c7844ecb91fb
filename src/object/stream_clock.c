#include "src/object/stream_clock.h"

#include "src/base/lock.h"

#include <stdatomic.h>

/* How long a count holds. */
#define COUNT_US (100 * 1000)

struct StreamClock {
    atomic_uint references;
    _Atomic gint64 read_at_us; /* 0: ended */
    StreamClockSet *clocks;
    GList link;
};

struct StreamClockSet {
    Lock lock; /* a leaf */
    GQueue all;
    guint active;
    gint64 counted_at_us;
};

StreamClockSet *
stream_clock_set_new(void)
{
    StreamClockSet *clocks = g_new0(StreamClockSet, 1);
    lock_init(&clocks->lock);
    g_queue_init(&clocks->all);
    return clocks;
}

void
stream_clock_set_free(StreamClockSet *clocks)
{
    if (clocks == NULL)
        return;
    g_assert(clocks->all.length == 0);
    lock_clear(&clocks->lock);
    g_free(clocks);
}

guint
stream_clock_set_count_active(StreamClockSet *clocks, gint64 now_us)
{
    lock_acquire(&clocks->lock);
    if (now_us >= clocks->counted_at_us + COUNT_US) {
        clocks->active = 0;
        for (const GList *item = clocks->all.head; item != NULL; item = item->next)
            clocks->active += !stream_clock_is_paused(item->data, now_us);
        clocks->counted_at_us = now_us;
    }
    guint active = MAX(clocks->active, 1);
    lock_release(&clocks->lock);
    return active;
}

StreamClock *
stream_clock_new(StreamClockSet *clocks, gint64 now_us)
{
    StreamClock *clock = g_new0(StreamClock, 1);
    atomic_init(&clock->references, 1);
    atomic_init(&clock->read_at_us, now_us);
    clock->clocks = clocks;
    clock->link.data = clock;
    lock_acquire(&clocks->lock);
    g_queue_push_tail_link(&clocks->all, &clock->link);
    clocks->counted_at_us = 0;
    lock_release(&clocks->lock);
    return clock;
}

void
stream_clock_end(StreamClock *clock)
{
    if (clock == NULL)
        return;
    StreamClockSet *clocks = clock->clocks;
    lock_acquire(&clocks->lock);
    g_queue_unlink(&clocks->all, &clock->link);
    clocks->counted_at_us = 0;
    lock_release(&clocks->lock);
    atomic_store_explicit(&clock->read_at_us, 0, memory_order_relaxed);
    stream_clock_unref(clock);
}

StreamClock *
stream_clock_ref(StreamClock *clock)
{
    if (clock != NULL)
        atomic_fetch_add_explicit(&clock->references, 1, memory_order_relaxed);
    return clock;
}

void
stream_clock_unref(StreamClock *clock)
{
    if (clock != NULL && atomic_fetch_sub_explicit(&clock->references, 1, memory_order_acq_rel) == 1)
        g_free(clock);
}

void
stream_clock_touch(StreamClock *clock, gint64 now_us)
{
    atomic_store_explicit(&clock->read_at_us, now_us, memory_order_relaxed);
}

gboolean
stream_clock_is_paused(const StreamClock *clock, gint64 now_us)
{
    return clock != NULL &&
           now_us - atomic_load_explicit(&clock->read_at_us, memory_order_relaxed) >= STREAM_CLOCK_PAUSE_US;
}
