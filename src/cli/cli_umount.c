/* storagefs umount */
#include "src/cli/cli.h"
#include "src/cli/cli_control.h"
#include "src/cli/cli_progress.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>

static gboolean
unmount(const char *mount_point, gboolean lazy, GError **error)
{
    if (umount2(mount_point, lazy ? MNT_DETACH : 0) == 0)
        return TRUE;
    if (errno == EBUSY) {
        g_set_error(
            error, STORAGEFS_ERROR, ERROR_NOT_PERMITTED,
            "%s is in use: close the programs that have files open there (fuser -vm %s shows them), or use "
            "--force",
            mount_point, mount_point);
        return FALSE;
    }
    int errnum = errno;
    const char *arguments[] = {"fusermount3", "-u", lazy ? "-z" : "-q", "--", mount_point, NULL};
    int status = -1;
    g_autofree char *said = NULL;
    if (g_spawn_sync(NULL, (char **)arguments, NULL, G_SPAWN_SEARCH_PATH | G_SPAWN_STDOUT_TO_DEV_NULL, NULL,
                     NULL, NULL, &said, &status, NULL) &&
        status == 0)
        return TRUE;
    g_strchomp(said != NULL ? said : (said = g_strdup("")));
    return error_set_errno(error, errnum, "cannot unmount %s%s%s", mount_point, *said != '\0' ? ": " : "",
                           said);
}

/* Whether the daemon lives, and its process, to be waited for; 0 when it cannot be named from here. */
static gboolean
find_daemon(const char *mount_point, gboolean *out_lives, pid_t *out_pid, GError **error)
{
    g_autoptr(GError) why = NULL;
    g_autoptr(JsonNode) root = cli_control_read_status(mount_point, &why);
    *out_lives = root != NULL;
    *out_pid = 0;
    if (root != NULL)
        *out_pid = cli_control_get_pid(root);
    else if (!error_is(why, ERROR_UNAVAILABLE)) {
        g_propagate_error(error, g_steal_pointer(&why));
        return FALSE;
    }
    return TRUE;
}

static int
run(int argc, char **argv)
{
    g_auto(GStrv) rest = NULL;
    gboolean force = FALSE;
    GOptionEntry entries[] = {{"force", 0, 0, G_OPTION_ARG_NONE, &force, NULL, NULL}, {NULL}};
    int status;
    if (!cli_parse(&cli_umount_command, entries, argc, argv, 1, 1, &rest, &status))
        return status;
    g_autoptr(GError) error = NULL;
    gboolean lives = FALSE;
    pid_t pid = 0;
    if (!find_daemon(rest[0], &lives, &pid, &error))
        return cli_fail(error);
    if (lives && !force && !cli_progress_wait(rest[0], &error)) {
        if (!error_is(error, ERROR_READ_ONLY))
            return cli_fail(error);
        cli_fail(error);
        g_clear_error(&error);
    }
    /* A daemon that does not hear of it only takes longer to end; one of a read-only mount stores nothing
     * anyway. */
    if (lives && force)
        (void)cli_control_write(rest[0], "journal", "leave", NULL);
    if (!unmount(rest[0], force || !lives, &error))
        return cli_fail(error);
    if (!force)
        cli_progress_wait_process(pid);
    return EXIT_SUCCESS;
}

const CliCommand cli_umount_command = {
    .name = "umount",
    .arguments = "[--force] MNT",
    .summary = "Waits for uploads, unmounts, and waits for the daemon to end",
    .help = "  --force  unmounts at once, also when files are open: the daemon stores what was written and "
            "ends by\n"
            "           itself; what waits in a journal is stored after the next mount\n",
    .run = run,
};
