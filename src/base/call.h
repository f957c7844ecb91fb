/* One operation on its way down: deadline, cancellation, request number.
 *
 * The front makes a Call for each kernel request (FUSE_INTERRUPT cancels it); background work makes its own.
 * Everything that waits takes the Call and stops when it ends. Reference counted, because the thread that
 * cancels is another one. A NULL Call never ends.
 */
#pragma once

#include <glib.h>

typedef struct Call Call;

/* timeout_us from now, 0 for no deadline. */
Call *call_new(gint64 timeout_us);
Call *call_ref(Call *call);
void call_unref(Call *call);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Call, call_unref)

/* A call that ends with `parent` (cancellation and deadline, whichever deadline is earlier). */
Call *call_new_child(Call *parent, gint64 timeout_us);
/* A call that is cancelled with `parent` but has no deadline: for work of many requests, each of which gets
 * the storage's whole time, and may stand still no longer than the parent had. */
Call *call_new_without_deadline(Call *parent);

/* Marks the call cancelled and runs every wake function. From any thread, any number of times. */
void call_cancel(Call *call);
gboolean call_is_cancelled(Call *call);

/* Monotonic microseconds; 0 when there is no deadline. */
gint64 call_get_deadline_us(Call *call);
/* How long one request may stand still: the timeout that the call, or the first of its parents, was made
 * with; 0 when that had none. */
gint64 call_get_patience_us(Call *call);
/* Never negative; G_MAXINT64 when there is no deadline. */
gint64 call_get_remaining_us(Call *call);
/* Process-wide unique number for log lines; 0 for NULL. */
guint64 call_get_number(Call *call);

/* FALSE with CANCELLED or TIMEOUT when the call has ended. */
gboolean call_check(Call *call, GError **error);

/* Sleeps up to delay_us. Fails: CANCELLED, TIMEOUT (the deadline would pass first: fails at the deadline). */
gboolean call_sleep(Call *call, gint64 delay_us, GError **error);

/* Registers a function that call_cancel() runs (once, with no lock of the caller's held; at once when already
 * cancelled). It must be quick and must not touch the Call. call_remove_wake() returns only when the function
 * is not running any more. Returns an id > 0; 0 for a NULL call, which call_remove_wake() accepts. */
typedef void (*CallWake)(gpointer data);
guint call_add_wake(Call *call, CallWake wake, gpointer data);
void call_remove_wake(Call *call, guint id);
