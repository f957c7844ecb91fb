/* How far a position fetches ahead: the window's growth over lines of different kinds, by a clock of our own;
 * and who counts as a reader. */
#include "src/object/read_window.h"
#include "src/object/stream_clock.h"

#define MIB (1024u * 1024u)
#define SECOND ((gint64)G_USEC_PER_SEC)

/* Reads `count` MiB. The line gives bytes_a_second at most, and a window per latency_us. */
static gint64
read_over(ReadWindow *window, guint count, guint64 bytes_a_second, gint64 latency_us, gint64 now_us)
{
    for (guint i = 0; i < count; i++) {
        guint64 flying = MAX(read_window_get_bytes(window), MIB);
        gint64 by_latency_us = (gint64)(MIB * (guint64)latency_us / flying);
        gint64 by_line_us = (gint64)(MIB * (guint64)SECOND / bytes_a_second);
        now_us += MAX(by_latency_us, by_line_us);
        read_window_note_wait(window);
        read_window_note(window, MIB, now_us);
    }
    return now_us;
}

static void
test_doubles_with_what_was_read(void)
{
    ReadWindow window = {0};
    g_assert_cmpuint(read_window_get_bytes(&window), ==, 0);
    read_window_note(&window, MIB, 1);
    g_assert_cmpuint(read_window_get_bytes(&window), ==, 2 * MIB);
    read_window_note(&window, MIB, 2);
    g_assert_cmpuint(read_window_get_bytes(&window), ==, 4 * MIB);
    read_over(&window, 10, 1000 * MIB, 1000, 3);
    g_assert_cmpuint(read_window_get_bytes(&window), ==, READ_WINDOW_FIRST_BYTES);
}

/* A hundred milliseconds and a line that is never full: more in flight is faster. */
static void
test_grows_over_a_long_line(void)
{
    ReadWindow window = {0};
    read_over(&window, 4000, 100000ull * MIB, SECOND / 10, 1);
    g_assert_cmpuint(read_window_get_bytes(&window), >=, READ_WINDOW_LAST_BYTES / 4 * 3);
}

/* A full line gains nothing: the step is taken back, and the next one is not tried for a while. */
static void
test_stays_where_the_line_is_full(void)
{
    ReadWindow window = {0};
    guint larger = 0;
    gint64 now_us = 1;
    for (guint i = 0; i < 4000; i++) {
        now_us = read_over(&window, 1, 100 * MIB, 1000, now_us);
        larger += read_window_get_bytes(&window) > READ_WINDOW_FIRST_BYTES;
        g_assert_cmpuint(read_window_get_bytes(&window), <=, READ_WINDOW_FIRST_BYTES * 3 / 2);
    }
    g_assert_cmpuint(larger, >, 0);
    g_assert_cmpuint(larger, <, 4000 / 8);
}

/* A reader who never waits is slower than what is fetched: nothing to gain. */
static void
test_stays_for_a_slow_reader(void)
{
    ReadWindow window = {0};
    for (guint i = 0; i < 1000; i++)
        read_window_note(&window, MIB, 1 + i * (SECOND / 10));
    g_assert_cmpuint(read_window_get_bytes(&window), ==, READ_WINDOW_FIRST_BYTES);
}

static void
test_who_pauses_does_not_count(void)
{
    g_autoptr(StreamClockSet) clocks = stream_clock_set_new();
    gint64 now_us = 100 * SECOND;
    g_assert_cmpuint(stream_clock_set_count_active(clocks, now_us), ==, 1);
    StreamClock *first = stream_clock_new(clocks, now_us), *second = stream_clock_new(clocks, now_us);
    g_assert_cmpuint(stream_clock_set_count_active(clocks, now_us), ==, 2);
    now_us += STREAM_CLOCK_PAUSE_US;
    stream_clock_touch(second, now_us);
    g_assert_true(stream_clock_is_paused(first, now_us));
    g_assert_false(stream_clock_is_paused(second, now_us));
    g_assert_cmpuint(stream_clock_set_count_active(clocks, now_us), ==, 1);
    now_us += SECOND;
    stream_clock_touch(first, now_us);
    g_assert_cmpuint(stream_clock_set_count_active(clocks, now_us), ==, 2);
    StreamClock *kept = stream_clock_ref(first);
    stream_clock_end(first);
    stream_clock_end(second);
    g_assert_true(stream_clock_is_paused(kept, now_us));
    stream_clock_unref(kept);
    g_assert_false(stream_clock_is_paused(NULL, now_us));
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/object/window/doubles", test_doubles_with_what_was_read);
    g_test_add_func("/object/window/long-line", test_grows_over_a_long_line);
    g_test_add_func("/object/window/full-line", test_stays_where_the_line_is_full);
    g_test_add_func("/object/window/slow-reader", test_stays_for_a_slow_reader);
    g_test_add_func("/object/window/pause", test_who_pauses_does_not_count);
    return g_test_run();
}
