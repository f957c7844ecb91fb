#include "src/front/front_interrupt.h"

#include "src/base/lock.h"
#include "src/front/front_job.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#define POLL_US (50 * 1000)
/* Reads that run longer than this are looked at, this often. */
#define READ_POLL_US (500 * 1000)

typedef struct {
    Call *call;
    pid_t pid;
} Watched;

struct FrontInterrupt {
    Front *front;
    int reading; /* atomic: reads are, or were lately, on lanes */
    Lock lock;
    Condition changed;
    GArray *watched; /* of Watched: interrupted, not cancelled yet */
    gboolean stopping;
    GThread *thread;
};

static gboolean
read_status(pid_t pid, char *text, gsize size)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/status", (int)pid);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return FALSE;
    gsize length = fread(text, 1, size - 1, file);
    fclose(file);
    text[length] = '\0';
    return length > 0;
}

static guint64
read_mask(const char *status, const char *field)
{
    const char *found = strstr(status, field);
    return found != NULL ? g_ascii_strtoull(found + strlen(field), NULL, 16) : 0;
}

gboolean
front_interrupt_is_fatal(pid_t pid)
{
    static const int fatal[] = {SIGKILL, SIGTERM, SIGINT, SIGHUP, SIGQUIT};
    char status[8192];
    if (!read_status(pid, status, sizeof status))
        return TRUE;
    guint64 pending = read_mask(status, "\nSigPnd:\t") | read_mask(status, "\nShdPnd:\t");
    pending &= ~(read_mask(status, "\nSigBlk:\t") | read_mask(status, "\nSigIgn:\t"));
    for (guint i = 0; i < G_N_ELEMENTS(fatal); i++)
        if (pending & (G_GUINT64_CONSTANT(1) << (fatal[i] - 1)))
            return TRUE;
    return strstr(status, "\nState:\tZ") != NULL || strstr(status, "\nState:\tX") != NULL;
}

/* Cancels the calls whose process got a fatal signal. /proc is read with the lock held: it waits for nothing.
 */
static void look_once_locked(FrontInterrupt *interrupt) REQUIRES(interrupt->lock);

static void
look_once_locked(FrontInterrupt *interrupt)
{
    for (guint i = 0; i < interrupt->watched->len;) {
        Watched *watched = &g_array_index(interrupt->watched, Watched, i);
        if (!front_interrupt_is_fatal(watched->pid)) {
            i++;
            continue;
        }
        g_autoptr(Call) call = watched->call;
        g_array_remove_index_fast(interrupt->watched, i);
        lock_release(&interrupt->lock);
        call_cancel(call);
        lock_acquire(&interrupt->lock);
    }
}

/* A read that comes after the flag was taken back finds it down and wakes this thread again. */
static void look_at_reads_locked(FrontInterrupt *interrupt) REQUIRES(interrupt->lock);

static void
look_at_reads_locked(FrontInterrupt *interrupt)
{
    if (!g_atomic_int_compare_and_exchange(&interrupt->reading, 1, 0))
        return;
    lock_release(&interrupt->lock);
    if (front_job_cancel_dead_reads(interrupt->front, READ_POLL_US))
        g_atomic_int_set(&interrupt->reading, 1);
    lock_acquire(&interrupt->lock);
}

static gint64
get_next_look_us(const FrontInterrupt *interrupt)
{
    if (interrupt->watched->len > 0)
        return g_get_monotonic_time() + POLL_US;
    return g_atomic_int_get(&interrupt->reading) ? g_get_monotonic_time() + READ_POLL_US : 0;
}

static gpointer
watch_thread(gpointer data)
{
    FrontInterrupt *interrupt = data;
    lock_acquire(&interrupt->lock);
    while (!interrupt->stopping) {
        look_once_locked(interrupt);
        look_at_reads_locked(interrupt);
        if (!interrupt->stopping)
            condition_wait(&interrupt->changed, &interrupt->lock, get_next_look_us(interrupt));
    }
    lock_release(&interrupt->lock);
    return NULL;
}

FrontInterrupt *
front_interrupt_new(Front *front)
{
    FrontInterrupt *interrupt = g_new0(FrontInterrupt, 1);
    interrupt->front = front;
    lock_init(&interrupt->lock);
    condition_init(&interrupt->changed);
    interrupt->watched = g_array_new(FALSE, FALSE, sizeof(Watched));
    interrupt->thread = g_thread_new("interrupt", watch_thread, interrupt);
    return interrupt;
}

void
front_interrupt_free(FrontInterrupt *interrupt)
{
    lock_acquire(&interrupt->lock);
    interrupt->stopping = TRUE;
    condition_wake_all(&interrupt->changed);
    lock_release(&interrupt->lock);
    g_thread_join(interrupt->thread);
    for (guint i = 0; i < interrupt->watched->len; i++)
        call_unref(g_array_index(interrupt->watched, Watched, i).call);
    g_array_unref(interrupt->watched);
    condition_clear(&interrupt->changed);
    lock_clear(&interrupt->lock);
    g_free(interrupt);
}

/* libfuse calls this with the request's lock held: fuse_req_interrupt_func() in unwatch waits for it. */
static void
interrupted(fuse_req_t request, void *data)
{
    Call *call = data;
    Front *front = front_of(request);
    FrontInterrupt *interrupt = front->interrupt;
    Watched watched = {.call = call_ref(call), .pid = fuse_req_ctx(request)->pid};
    lock_acquire(&interrupt->lock);
    g_array_append_val(interrupt->watched, watched);
    condition_wake_all(&interrupt->changed);
    lock_release(&interrupt->lock);
}

void
front_interrupt_note_read(FrontInterrupt *interrupt)
{
    if (!g_atomic_int_compare_and_exchange(&interrupt->reading, 0, 1))
        return;
    lock_acquire(&interrupt->lock);
    condition_wake_all(&interrupt->changed);
    lock_release(&interrupt->lock);
}

void
front_interrupt_watch(FrontInterrupt *interrupt, fuse_req_t request, Call *call)
{
    fuse_req_interrupt_func(request, interrupted, call);
}

void
front_interrupt_unwatch(FrontInterrupt *interrupt, fuse_req_t request, Call *call)
{
    fuse_req_interrupt_func(request, NULL, NULL);
    lock_acquire(&interrupt->lock);
    for (guint i = 0; i < interrupt->watched->len; i++) {
        if (g_array_index(interrupt->watched, Watched, i).call != call)
            continue;
        g_array_remove_index_fast(interrupt->watched, i);
        lock_release(&interrupt->lock);
        call_unref(call);
        return;
    }
    lock_release(&interrupt->lock);
}
