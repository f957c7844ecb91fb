#include "src/cli/cli_daemon.h"

#include "src/base/log.h"
#include "src/cli/cli.h"
#include "src/cli/cli_ready.h"
#include "src/front/front.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* In the order they are made; freed in reverse. */
typedef struct {
    const CliDaemonOptions *options;
    char *mount_point; /* absolute, no links */
    Settings *settings;
    StorageSet *set;
    ObjectStore *store;
    Tree *tree;
    Front *front;
} Daemon;

/* When the mount ends while a storage does not answer, what is unpublished is saved after so long. */
#define DRAIN_US (600 * G_USEC_PER_SEC)

/* A read-only mount writes to no service, not even to try what it can do. */
static Settings *
load_settings(const Daemon *daemon, const char *path, GError **error)
{
    Settings *settings = settings_load(path, error);
    if (settings != NULL && daemon->options->options.read_only)
        settings_make_read_only(settings);
    return settings;
}

/* How long the daemon of the last mount may take to end. */
#define JOURNAL_WAIT_US (60 * G_USEC_PER_SEC)

static gboolean
check_journal(Daemon *daemon, const Settings *settings, GError **error)
{
    if (!settings_wants_journal(settings) || object_store_has_journal(daemon->store))
        return TRUE;
    g_set_error(error, STORAGEFS_ERROR, ERROR_BAD_CONFIG,
                "durability = journal: this mount began without a journal; unmount and mount again");
    return FALSE;
}

static gboolean
reload(gpointer data, GError **error)
{
    Daemon *daemon = data;
    g_autoptr(Settings) settings = load_settings(daemon, daemon->settings->path, error);
    if (settings == NULL || !check_journal(daemon, settings, error) ||
        !storage_set_reload(daemon->set, settings, error))
        return FALSE;
    log_set_level(settings->log_level);
    return TRUE;
}

static gboolean
make_store(Daemon *daemon, const char *state_dir, GError **error)
{
    const char *cache_dir = daemon->settings->cache_dir;
    g_autofree char *staging = g_build_filename(cache_dir ? cache_dir : state_dir, "staging", NULL);
    g_autofree char *objects = g_build_filename(cache_dir ? cache_dir : state_dir, "objects", NULL);
    g_autofree char *recovery = g_build_filename(state_dir, "recovery", NULL);
    g_autofree char *journal = g_build_filename(state_dir, "journal", NULL);
    /* Where it is not wanted any more, what it still has is stored all the same. */
    gboolean has_journal =
        settings_wants_journal(daemon->settings) || g_file_test(journal, G_FILE_TEST_IS_DIR);
    ObjectStoreSettings settings = {.memory_limit_bytes = daemon->settings->memory_limit_bytes,
                                    .staging_dir = staging,
                                    .recovery_dir = recovery,
                                    .objects_dir = objects,
                                    .cache_size_bytes = daemon->settings->cache_size_bytes,
                                    .journal_dir = has_journal ? journal : NULL,
                                    .journal_size_bytes = daemon->settings->journal_size_bytes,
                                    .journal_wait_us = JOURNAL_WAIT_US};
    daemon->store = object_store_new(&settings, error);
    return daemon->store != NULL;
}

static void
make_tree(Daemon *daemon, const char *state_dir)
{
    const CliOptions *options = &daemon->options->options;
    TreeSettings settings = {.uid = options->uid,
                             .gid = options->gid,
                             .umask = options->umask,
                             .read_only = options->read_only,
                             .state_dir = state_dir};
    daemon->tree = tree_new(daemon->set, daemon->store, &settings);
}

static gboolean
make_front(Daemon *daemon, GError **error)
{
    const CliOptions *options = &daemon->options->options;
    FrontOptions front = {.mount_point = daemon->mount_point,
                          .source = daemon->settings->path,
                          .uid = options->uid,
                          .gid = options->gid,
                          .read_only = options->read_only,
                          .allow_other = options->allow_other,
                          /* Others are let in only with their rights checked. */
                          .default_permissions = options->default_permissions || options->allow_other,
                          .nosuid = options->nosuid,
                          .nodev = options->nodev,
                          .noexec = options->noexec,
                          .passthrough = daemon->settings->passthrough && !options->no_passthrough,
                          .reload = reload,
                          .reload_data = daemon};
    daemon->front = front_new(daemon->set, daemon->store, daemon->tree, &front, error);
    return daemon->front != NULL;
}

static char *
find_state_dir(Daemon *daemon)
{
    if (daemon->settings->state_dir != NULL)
        return g_strdup(daemon->settings->state_dir);
    return storage_set_default_state_dir(daemon->settings->path, daemon->mount_point);
}

/* A dead mount cannot be resolved, so it is cleared first. */
static gboolean
resolve_mount_point(Daemon *daemon, GError **error)
{
    const char *given = daemon->options->mount_point;
    g_autofree char *absolute = g_canonicalize_filename(given, NULL);
    if (!front_clear_dead_mount(absolute, error))
        return FALSE;
    char *resolved = realpath(given, NULL);
    if (resolved == NULL)
        return error_set_errno(error, errno, "mount point %s", given);
    daemon->mount_point = g_strdup(resolved);
    free(resolved);
    return TRUE;
}

static gboolean
daemon_make(Daemon *daemon, GError **error)
{
    daemon->settings = load_settings(daemon, daemon->options->config_path, error);
    if (daemon->settings == NULL || !resolve_mount_point(daemon, error))
        return FALSE;
    log_set_level(daemon->settings->log_level);
    g_autofree char *state_dir = find_state_dir(daemon);
    daemon->set = storage_set_new(daemon->settings, state_dir, daemon->options->accept_moved, error);
    if (daemon->set == NULL || !make_store(daemon, state_dir, error))
        return FALSE;
    make_tree(daemon, state_dir);
    return make_front(daemon, error);
}

static void
drain(ObjectStore *store)
{
    g_autoptr(Call) call = call_new(DRAIN_US);
    g_autoptr(GError) error = NULL;
    if (!object_store_drain(store, call, &error))
        log_error("unmount: %s", error->message);
    object_store_end_journal(store, call);
}

static void
daemon_clear(Daemon *daemon)
{
    g_clear_pointer(&daemon->front, front_free);
    if (daemon->store != NULL)
        drain(daemon->store);
    g_clear_pointer(&daemon->tree, tree_free);
    g_clear_pointer(&daemon->store, object_store_free);
    g_clear_pointer(&daemon->set, storage_set_free);
    g_clear_pointer(&daemon->settings, settings_free);
    g_clear_pointer(&daemon->mount_point, g_free);
}

/* Only the thread in front_run() takes them, and it lets them in itself. */
static void
block_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
}

/* Files kept open by programs are descriptors here on local storages. */
static void
raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static void
leave_terminal(void)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 0; null >= 0 && fd <= 2; fd++)
        dup2(null, fd);
    if (null > 2)
        close(null);
    if (chdir("/") != 0)
        log_warning("chdir /: %s", g_strerror(errno));
}

/* started_fd: gets one byte when the mount stands; -1 in the foreground. */
static int
serve(const CliDaemonOptions *options, int started_fd)
{
    Daemon daemon = {.options = options};
    g_autoptr(GError) error = NULL;
    block_signals();
    raise_descriptor_limit();
    umask(0);
    if (!daemon_make(&daemon, &error)) {
        daemon_clear(&daemon);
        return cli_fail(error);
    }
    if (started_fd >= 0) {
        log_open(TRUE, daemon.settings->log_level);
        leave_terminal();
        if (write(started_fd, "", 1) != 1)
            log_warning("the process that started the mount is gone");
        close(started_fd);
    }
    storage_set_connect(daemon.set);
    /* What a journal has stays there: a read-only mount stores nothing. */
    if (!options->options.read_only)
        object_store_start_journal(daemon.store);
    log_info("mounted %s at %s", daemon.settings->path, daemon.mount_point);
    cli_ready_tell_serving();
    gboolean served = front_run(daemon.front, &error);
    if (!served)
        log_error("%s", error->message);
    cli_ready_tell_ending();
    log_info("unmounting %s", daemon.mount_point);
    daemon_clear(&daemon);
    return served ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* The daemon has mounted when it sends its byte; the mount answers when statting it returns. */
static int
await_mount(const char *mount_point, pid_t child, int started_fd)
{
    char byte;
    ssize_t got;
    do
        got = read(started_fd, &byte, 1);
    while (got < 0 && errno == EINTR);
    close(started_fd);
    if (got == 1) {
        struct stat attributes;
        if (stat(mount_point, &attributes) == 0)
            return EXIT_SUCCESS;
        return cli_fail_text("%s does not answer: %s", mount_point, g_strerror(errno));
    }
    int status = 0;
    if (waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) != 0)
        return WEXITSTATUS(status);
    return cli_fail_text("the daemon ended before %s was mounted", mount_point);
}

static int
start_in_background(const CliDaemonOptions *options)
{
    int pipe_fds[2];
    if (pipe2(pipe_fds, O_CLOEXEC) != 0)
        return cli_fail_text("pipe: %s", g_strerror(errno));
    pid_t child = fork();
    if (child < 0)
        return cli_fail_text("fork: %s", g_strerror(errno));
    if (child > 0) {
        close(pipe_fds[1]);
        return await_mount(options->mount_point, child, pipe_fds[0]);
    }
    close(pipe_fds[0]);
    setsid();
    return serve(options, pipe_fds[1]);
}

int
cli_daemon_start(const CliDaemonOptions *options)
{
    cli_protect_memory();
    cli_ready_init();
    if (!options->foreground)
        return start_in_background(options);
    log_open(FALSE, LOG_LEVEL_INFO);
    return serve(options, -1);
}
