#include "src/object/read_window.h"

/* A step is kept when it makes a quarter more of it; half as much again is tried. */
#define GAIN_DIVISOR 4u
#define HOLD_EPOCHS 16u

static void
begin_epoch(ReadWindow *window, gint64 now_us)
{
    window->epoch_bytes = 0;
    window->epoch_start_us = now_us;
    window->waited = FALSE;
}

static void
try_larger(ReadWindow *window, guint64 rate)
{
    window->kept_bytes = window->size_bytes;
    window->kept_rate = rate;
    window->size_bytes = MIN(window->size_bytes + window->size_bytes / 2, READ_WINDOW_LAST_BYTES);
}

static void
end_epoch(ReadWindow *window, guint64 rate)
{
    gboolean trying = window->size_bytes > window->kept_bytes;
    gboolean gained = rate >= window->kept_rate + window->kept_rate / GAIN_DIVISOR;
    if (window->hold > 0) {
        window->hold--;
    } else if (trying && !gained) {
        window->size_bytes = window->kept_bytes;
        window->hold = HOLD_EPOCHS;
    } else if (window->waited && window->size_bytes < READ_WINDOW_LAST_BYTES) {
        try_larger(window, rate);
    }
}

void
read_window_note(ReadWindow *window, gsize length_bytes, gint64 now_us)
{
    window->run_bytes += length_bytes;
    if (window->size_bytes == 0)
        window->size_bytes = window->kept_bytes = READ_WINDOW_FIRST_BYTES;
    /* The first window is filled while it grows: its rate says nothing. */
    if (window->run_bytes < window->size_bytes) {
        begin_epoch(window, now_us);
        return;
    }
    window->epoch_bytes += length_bytes;
    if (window->epoch_bytes < 2 * window->size_bytes)
        return;
    gint64 took_us = MAX(now_us - window->epoch_start_us, 1);
    end_epoch(window, window->epoch_bytes * G_USEC_PER_SEC / (guint64)took_us);
    begin_epoch(window, now_us);
}

void
read_window_note_wait(ReadWindow *window)
{
    window->waited = TRUE;
}

guint64
read_window_get_bytes(const ReadWindow *window)
{
    return MIN(2 * window->run_bytes, window->size_bytes);
}
