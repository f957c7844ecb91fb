/* How far to fetch ahead of one position: pure arithmetic, no lock, no clock of its own.
 *
 * The window doubles with what was read up to READ_WINDOW_FIRST_BYTES, which is enough where a request is
 * answered in milliseconds. Further it grows by steps, and keeps a step only if the bytes came faster with
 * it: over a long line they do, while a server or a line that is busy gains nothing from more requests.
 */
#pragma once

#include <glib.h>

#define READ_WINDOW_FIRST_BYTES (16u << 20)
#define READ_WINDOW_LAST_BYTES (128u << 20)

typedef struct {
    guint64 run_bytes;              /* read in this direction without a break */
    guint64 size_bytes, kept_bytes; /* the window that is tried, and the one to go back to */
    guint64 epoch_bytes;            /* read since it is tried */
    gint64 epoch_start_us;
    guint64 kept_rate; /* bytes a second with kept_bytes */
    guint hold;        /* epochs until the next step is tried */
    gboolean waited;   /* the reader waited for bytes during this epoch */
} ReadWindow;

/* {0} is the window of a position nobody has read at. */
void read_window_note(ReadWindow *window, gsize length_bytes, gint64 now_us);
/* The reader had to wait for what it read last. */
void read_window_note_wait(ReadWindow *window);
guint64 read_window_get_bytes(const ReadWindow *window);
