/* Mounting, capabilities, threads, and the table of operations. Implements front.h. */
#include "src/front/front_handles.h"
#include "src/front/front_held.h"
#include "src/front/front_interrupt.h"
#include "src/front/front_job.h"
#include "src/front/front_mount.h"
#include "src/front/front_notify.h"
#include "src/front/front_passthrough.h"
#include "src/front/front_privileges.h"

#include "src/base/log.h"

#include <errno.h>
#include <signal.h>
#include <unistd.h>

/* Threads that read /dev/fuse. They start on demand; local calls that run in line are far fewer. libfuse ends
 * one as soon as more are idle, and making them anew in each burst costs more than keeping them. */
#define READER_THREADS_MAX 32
#define READER_THREADS_IDLE 16
/* Reads ahead and direct I/O that the kernel may have in flight: its default of 12 caps read-ahead at 1.5
 * MiB. */
#define BACKGROUND_MAX 128
#define READ_AHEAD_KIB 1024
/* Newer libfuse takes the kernel's limit, which the administrator may have raised without bound. */
#define REQUEST_BYTES_MAX (1u << 20)
/* Linux 6.6: a write past the page cache (FOPEN_DIRECT_IO) drops the pages that others have read. */
#define DROPS_WRITTEN_PAGES 39

/* One capability. libfuse 3.17 keeps them in a wider word, behind functions. */
static void
set_wanted(struct fuse_conn_info *connection, guint64 capability, gboolean wanted)
{
#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 17)
    if (wanted)
        fuse_set_feature_flag(connection, capability);
    else
        fuse_unset_feature_flag(connection, capability);
#else
    if (!wanted)
        connection->want &= ~(unsigned)capability;
    else if (connection->capable & capability)
        connection->want |= (unsigned)capability;
#endif
}

static gboolean
is_wanted(struct fuse_conn_info *connection, guint64 capability)
{
#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 17)
    return fuse_get_feature_flag(connection, capability);
#else
    return (connection->want & capability) != 0;
#endif
}

/* Splice, writeback_cache and cached directories are measured losses; locks are the kernel's own; the first
 * version of leaving set-user-id bits to us says nothing about who writes (front_privileges.h has the
 * second). */
static void
front_init(void *data, struct fuse_conn_info *connection)
{
    static const guint64 wanted[] = {
        FUSE_CAP_ASYNC_READ,  FUSE_CAP_ATOMIC_O_TRUNC,   FUSE_CAP_PARALLEL_DIROPS, FUSE_CAP_ASYNC_DIO,
        FUSE_CAP_READDIRPLUS, FUSE_CAP_READDIRPLUS_AUTO, FUSE_CAP_AUTO_INVAL_DATA};
    static const guint64 refused[] = {FUSE_CAP_SPLICE_READ,     FUSE_CAP_SPLICE_WRITE,   FUSE_CAP_SPLICE_MOVE,
                                      FUSE_CAP_WRITEBACK_CACHE, FUSE_CAP_POSIX_LOCKS,    FUSE_CAP_FLOCK_LOCKS,
                                      FUSE_CAP_CACHE_SYMLINKS,  FUSE_CAP_HANDLE_KILLPRIV};
    Front *front = data;
    for (guint i = 0; i < G_N_ELEMENTS(wanted); i++)
        set_wanted(connection, wanted[i], TRUE);
    for (guint i = 0; i < G_N_ELEMENTS(refused); i++)
        set_wanted(connection, refused[i], FALSE);
    connection->max_write = MIN(connection->max_write, REQUEST_BYTES_MAX);
    connection->max_background = BACKGROUND_MAX;
    connection->congestion_threshold = BACKGROUND_MAX * 3 / 4;
    /* The kernel cuts what was raised before this answer down to it. */
    connection->max_readahead = READ_AHEAD_KIB << 10;
    connection->time_gran = 1;
    front->direct_writes = connection->proto_minor >= DROPS_WRITTEN_PAGES;
    front->readdirplus = is_wanted(connection, FUSE_CAP_READDIRPLUS);
    front_passthrough_negotiate(front, connection);
    front_privileges_negotiate(front, connection);
}

static const struct fuse_lowlevel_ops operations = {
    .init = front_init,
    .lookup = front_node_lookup,
    .forget = front_node_forget,
    .forget_multi = front_node_forget_multi,
    .getattr = front_node_getattr,
    .setattr = front_node_setattr,
    .readlink = front_node_readlink,
    .statfs = front_node_statfs,
    .setxattr = front_xattr_setxattr,
    .getxattr = front_xattr_getxattr,
    .listxattr = front_xattr_listxattr,
    .removexattr = front_xattr_removexattr,
    .mknod = front_change_mknod,
    .mkdir = front_change_mkdir,
    .unlink = front_change_unlink,
    .rmdir = front_change_rmdir,
    .symlink = front_change_symlink,
    .rename = front_change_rename,
    .link = front_change_link,
    .opendir = front_dir_opendir,
    .readdir = front_dir_readdir,
    .readdirplus = front_dir_readdirplus,
    .releasedir = front_dir_releasedir,
    .fsyncdir = front_dir_fsyncdir,
    .create = front_file_create,
    .open = front_file_open,
    .read = front_file_read,
    .write = front_file_write,
    .flush = front_file_flush,
    .release = front_file_release,
    .fsync = front_file_fsync,
    .fallocate = front_file_fallocate,
    .lseek = front_file_lseek,
    .copy_file_range = front_file_copy_file_range,
};

/* A comma would end the option's value. */
static char *
escape_option(const char *value)
{
    GString *out = g_string_new(NULL);
    for (const char *c = value; *c != '\0'; c++) {
        if (*c == ',' || *c == '\\')
            g_string_append_c(out, '\\');
        g_string_append_c(out, *c);
    }
    return g_string_free(out, FALSE);
}

static struct fuse_session *
make_session(Front *front)
{
    const FrontOptions *options = &front->options;
    g_autofree char *source = escape_option(options->source);
    g_autofree char *mount_options = g_strconcat(
        "fsname=", source, ",subtype=storagefs", options->read_only ? ",ro" : "",
        options->allow_other ? ",allow_other" : "",
        options->default_permissions ? ",default_permissions" : "", options->nosuid ? ",nosuid" : "",
        options->nodev ? ",nodev" : "", options->noexec ? ",noexec" : "", NULL);
    const char *words[] = {"storagefs", "-o", mount_options, NULL};
    struct fuse_args arguments = FUSE_ARGS_INIT(3, (char **)words);
    struct fuse_session *session = fuse_session_new(&arguments, &operations, sizeof operations, front);
    fuse_opt_free_args(&arguments);
    return session;
}

/* libfuse has one code for all; what fusermount3 knows it has printed itself. */
static const char *
mount_hint(const FrontOptions *options)
{
    if (geteuid() == 0)
        return "is /dev/fuse there and usable?";
    if (options->allow_other)
        return "has /etc/fuse.conf a line user_allow_other?";
    return "is /dev/fuse there and usable, and may you write to the directory?";
}

static gboolean
mount_session(Front *front, GError **error)
{
    const char *mount_point = front->options.mount_point;
    if (!front_mount_check(mount_point, error))
        return FALSE;
    front->session = make_session(front);
    errno = 0;
    if (front->session != NULL && front_passthrough_mount(front))
        return TRUE;
    if (front->session != NULL && fuse_session_mount(front->session, mount_point) == 0) {
        front_passthrough_amend_mounted(front);
        return TRUE;
    }
    if (front->session != NULL)
        fuse_session_destroy(front->session);
    front->session = NULL;
    g_set_error(error, STORAGEFS_ERROR, errno == EACCES || errno == EPERM ? ERROR_DENIED : ERROR_IO,
                "cannot mount at %s%s%s: %s", mount_point, errno != 0 ? ": " : "",
                errno != 0 ? g_strerror(errno) : "", mount_hint(&front->options));
    return FALSE;
}

static void
unmount_session(Front *front)
{
    if (!front_passthrough_unmount(front))
        fuse_session_unmount(front->session);
}

Front *
front_new(StorageSet *set, ObjectStore *store, Tree *tree, const FrontOptions *options, GError **error)
{
    Front *front = g_new0(Front, 1);
    front->set = set;
    front->store = store;
    front->tree = tree;
    front->options = *options;
    front->options.mount_point = g_strdup(options->mount_point);
    front->options.source = g_strdup(options->source);
    front_handles_init(front);
    front_job_init(front);
    front_held_init(front);
    front->passthrough = front_passthrough_new(options->passthrough);
    lock_init(&front->reload_lock);
    front->commands = worker_pool_new("control", 4);
    front->started_us = g_get_monotonic_time();
    if (!mount_session(front, error)) {
        front_free(front);
        return NULL;
    }
    front->interrupt = front_interrupt_new(front);
    front->notify = front_notify_new(front);
    TreeObserver observer = front_notify_get_observer(front->notify);
    tree_set_observer(tree, &observer);
    return front;
}

/* The signals were blocked before any thread started: only this thread takes them, and only here. */
static void
let_signals_in(gboolean in)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    pthread_sigmask(in ? SIG_UNBLOCK : SIG_BLOCK, &set, NULL);
}

gboolean
front_run(Front *front, GError **error)
{
    if (fuse_set_signal_handlers(front->session) != 0)
        return error_set_errno(error, errno, "signal handlers");
    struct fuse_loop_config *config = fuse_loop_cfg_create();
    fuse_loop_cfg_set_max_threads(config, READER_THREADS_MAX);
    fuse_loop_cfg_set_idle_threads(config, READER_THREADS_IDLE);
    gboolean raised = front_mount_raise_read_ahead(front->options.mount_point, READ_AHEAD_KIB);
    g_atomic_int_set(&front->large_read_ahead, raised);
    let_signals_in(TRUE);
    int result = fuse_session_loop_mt(front->session, config);
    let_signals_in(FALSE);
    fuse_loop_cfg_destroy(config);
    unmount_session(front);
    fuse_remove_signal_handlers(front->session);
    /* What read() says when the unmount met a request on its way to us, in place of ENODEV: a file's release,
     * which nobody waits for. */
    if (result < 0 && result != -ECONNABORTED)
        return error_set_errno(error, -result, "the session at %s ended", front->options.mount_point);
    return TRUE;
}

/* Requests that run on a lane still use the session: they end first. */
static void
drain_lanes(Front *front)
{
    g_autoptr(GPtrArray) storages = storage_set_list(front->set);
    for (guint i = 0; i < storages->len; i++)
        worker_pool_drain(storage_get_lane(storages->pdata[i], STORAGE_LANE_CALLS));
}

void
front_free(Front *front)
{
    if (front->session != NULL) {
        front_job_cancel_reads(front);
        worker_pool_drain(front->commands);
        drain_lanes(front);
        front_handles_release_all(front);
        tree_set_observer(front->tree, NULL);
        front_notify_free(front->notify);
        unmount_session(front);
        fuse_session_destroy(front->session);
        front_interrupt_free(front->interrupt);
    }
    worker_pool_free(front->commands);
    front_handles_clear(front);
    front_held_clear(front);
    front_job_clear(front);
    front_passthrough_free(front->passthrough);
    lock_clear(&front->reload_lock);
    g_free(front->reload_error);
    g_free((char *)front->options.mount_point);
    g_free((char *)front->options.source);
    g_free(front);
}

gboolean
front_clear_dead_mount(const char *mount_point, GError **error)
{
    return front_mount_clear_dead(mount_point, error);
}
