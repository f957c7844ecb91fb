/* credential_process: a command that prints JSON. It runs without a shell, with its own time limit. */
#include "drivers/common/json_text.h"
#include "drivers/s3/s3_credential_source.h"
#include "src/base/error.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_OUTPUT_BYTES (64u << 10)
#define POLL_MS 50

typedef struct {
    GPid pid;
    int out_fd;
} Child;

static gboolean
start(const char *command, Child *out, GError **error)
{
    g_auto(GStrv) arguments = NULL;
    g_autoptr(GError) why = NULL;
    GSpawnFlags flags = G_SPAWN_SEARCH_PATH | G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_STDERR_TO_DEV_NULL;
    if (g_shell_parse_argv(command, NULL, &arguments, &why) &&
        g_spawn_async_with_pipes(NULL, arguments, NULL, flags, NULL, NULL, &out->pid, NULL, &out->out_fd,
                                 NULL, &why))
        return TRUE;
    g_set_error(error, STORAGEFS_ERROR, ERROR_BAD_CONFIG, "credential_process: %s", why->message);
    return FALSE;
}

/* Everything the child prints, until it closes its output. */
static gboolean
collect(const Child *child, Call *call, GByteArray *output, GError **error)
{
    guint8 chunk[4096];
    while (output->len <= MAX_OUTPUT_BYTES) {
        struct pollfd ready = {.fd = child->out_fd, .events = POLLIN};
        if (!call_check(call, error))
            return FALSE;
        if (poll(&ready, 1, POLL_MS) <= 0)
            continue;
        ssize_t got = read(child->out_fd, chunk, sizeof chunk);
        if (got < 0 && errno != EINTR)
            return error_set_errno(error, errno, "credential_process");
        if (got == 0)
            return TRUE;
        if (got > 0)
            g_byte_array_append(output, chunk, (guint)got);
    }
    g_set_error(error, STORAGEFS_ERROR, ERROR_PROTOCOL, "credential_process printed too much");
    return FALSE;
}

static gboolean
wait_for_end(const Child *child, Call *call, int *out_status, GError **error)
{
    while (waitpid(child->pid, out_status, WNOHANG) == 0) {
        if (!call_sleep(call, POLL_MS * 1000 / 10, error))
            return FALSE;
    }
    return TRUE;
}

static gboolean
finish(const Child *child, Call *call, gboolean collected, GError **error)
{
    int status = 0;
    (void)close(child->out_fd);
    if (!collected || !wait_for_end(child, call, &status, error)) {
        (void)kill(child->pid, SIGKILL);
        (void)waitpid(child->pid, &status, 0);
        return FALSE;
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return TRUE;
    g_set_error(error, STORAGEFS_ERROR, ERROR_DENIED, "credential_process failed (%s %d)",
                WIFEXITED(status) ? "exit code" : "signal",
                WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
    return FALSE;
}

gboolean
s3_credential_process_fetch(const char *command, Call *call, S3Credentials **out, GError **error)
{
    Child child = {0};
    g_autoptr(GByteArray) output = g_byte_array_new();
    if (!start(command, &child, error))
        return FALSE;
    gboolean collected = collect(&child, call, output, error);
    if (!finish(&child, call, collected, error))
        return FALSE;
    S3Credentials *found =
        s3_credential_source_from_json((const char *)output->data, output->len, "credential_process", error);
    if (found)
        *out = found;
    return found != NULL;
}
