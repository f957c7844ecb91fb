#include "src/cli/cli_ready.h"

#include "src/base/log.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static char *address; /* NULL: nobody asked; written before threads start */

void
cli_ready_init(void)
{
    address = g_strdup(g_getenv("NOTIFY_SOCKET"));
    g_unsetenv("NOTIFY_SOCKET");
}

/* '@' stands for the NUL that begins an abstract address. */
static gboolean
make_address(struct sockaddr_un *out, socklen_t *out_length)
{
    gsize length = strlen(address);
    if ((address[0] != '/' && address[0] != '@') || length < 2 || length >= sizeof out->sun_path)
        return FALSE;
    out->sun_family = AF_UNIX;
    memcpy(out->sun_path, address, length);
    if (address[0] == '@')
        out->sun_path[0] = '\0';
    *out_length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
    return TRUE;
}

static void
tell(const char *text)
{
    struct sockaddr_un to = {0};
    socklen_t length = 0;
    if (address == NULL)
        return;
    if (!make_address(&to, &length)) {
        log_warning("NOTIFY_SOCKET is not the address of a socket: the service manager is not told");
        return;
    }
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || sendto(fd, text, strlen(text), MSG_NOSIGNAL, (const struct sockaddr *)&to, length) < 0)
        log_warning("the service manager is not told: %s", g_strerror(errno));
    if (fd >= 0)
        close(fd);
}

void
cli_ready_tell_serving(void)
{
    g_autofree char *text = g_strdup_printf("READY=1\nMAINPID=%d", (int)getpid());
    tell(text);
}

void
cli_ready_tell_ending(void)
{
    tell("STOPPING=1");
}
