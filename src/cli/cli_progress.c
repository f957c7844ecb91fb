#include "src/cli/cli_progress.h"

#include "src/cli/cli_control.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define POLL_US (100 * 1000)
#define BAR_WIDTH 40
/* The kernel tells the daemon of the end only when no other mount namespace (of a container, of unshare)
 * still has a copy of the mount. A daemon that does not hear of it is told by a signal. */
#define PATIENCE_MS 2000

typedef struct {
    guint count;
    guint64 size_bytes, sent_bytes;
    const char *last_error; /* of one that has failed and waits; NULL none; borrowed from the status */
} Pending;

static Pending
sum_pending(JsonNode *root)
{
    Pending pending = {0};
    JsonArray *uploads = json_object_get_array_member(json_node_get_object(root), "uploads");
    for (guint i = 0; i < json_array_get_length(uploads); i++) {
        JsonObject *upload = json_array_get_object_element(uploads, i);
        const char *state = json_object_get_string_member(upload, "state");
        if (strcmp(state, "publishing") != 0 && strcmp(state, "waiting") != 0)
            continue;
        pending.count++;
        if (strcmp(state, "waiting") == 0)
            pending.last_error =
                json_object_get_string_member_with_default(upload, "last_error", pending.last_error);
        pending.size_bytes += (guint64)json_object_get_int_member(upload, "size_bytes");
        pending.sent_bytes += (guint64)json_object_get_int_member(upload, "sent_bytes");
    }
    return pending;
}

static void
draw(const Pending *pending)
{
    if (!isatty(STDERR_FILENO))
        return;
    guint64 total = MAX(pending->size_bytes, 1);
    int filled = (int)(BAR_WIDTH * MIN(pending->sent_bytes, total) / total);
    fprintf(stderr, "\r[%.*s%*s] %3d %%, %u to go ", filled, "########################################",
            BAR_WIDTH - filled, "", filled * 100 / BAR_WIDTH, pending->count);
}

static gboolean
is_read_only(JsonNode *root)
{
    return json_object_get_boolean_member_with_default(json_node_get_object(root), "read_only", FALSE);
}

static gboolean
fail_read_only(const char *mount_point, guint count, GError **error)
{
    g_set_error(error, STORAGEFS_ERROR, ERROR_READ_ONLY,
                "%s is mounted read-only: %u wait in the journal until the next mount that is not",
                mount_point, count);
    return FALSE;
}

gboolean
cli_progress_wait(const char *mount_point, GError **error)
{
    gboolean drawn = FALSE, told = FALSE;
    /* What waits after a failure is tried now; whoever may not say so waits a little longer. */
    (void)cli_control_write(mount_point, "journal", "hurry", NULL);
    for (;;) {
        g_autoptr(JsonNode) root = cli_control_read_status(mount_point, error);
        if (root == NULL)
            return FALSE;
        Pending pending = sum_pending(root);
        if (pending.count == 0)
            break;
        if (is_read_only(root))
            return fail_read_only(mount_point, pending.count, error);
        draw(&pending);
        drawn = TRUE;
        if (pending.last_error != NULL && !told) {
            fprintf(stderr, "%s%u wait in the journal, and are tried again: %s\n",
                    isatty(STDERR_FILENO) ? "\r\033[K" : "", pending.count, pending.last_error);
            told = TRUE;
        }
        g_usleep(POLL_US);
    }
    if (drawn && isatty(STDERR_FILENO))
        fputs("\r\033[K", stderr);
    return TRUE;
}

void
cli_progress_wait_process(pid_t pid)
{
    if (pid <= 0)
        return;
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (fd < 0)
        return;
    struct pollfd ended = {.fd = fd, .events = POLLIN};
    if (poll(&ended, 1, PATIENCE_MS) == 0)
        (void)syscall(SYS_pidfd_send_signal, fd, SIGTERM, NULL, 0);
    while (poll(&ended, 1, -1) < 0)
        ;
    close(fd);
}
