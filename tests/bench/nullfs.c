/* nullfs SIZE MOUNTPOINT: what FUSE itself costs. Serves in the foreground until it is unmounted.
 *
 * One directory with "big", SIZE bytes of zeros, and any file that is created in it: what is written is
 * forgotten, only the name is kept until it is unlinked. There is one such name at a time. No locks: names
 * and size change in create, setattr and unlink only, which a benchmark does one after the other.
 */
#define FUSE_USE_VERSION FUSE_MAKE_VERSION(3, 14)

#include <errno.h>
#include <fuse_lowlevel.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { BIG = 2, NEW = 3 };
#define KNOWN_SECONDS 3600.0
#define ZEROS_BYTES (4U << 20)

static off_t big_bytes;
static char new_name[256];
static _Atomic off_t new_bytes;
static char *zeros;

static struct stat
stat_of(fuse_ino_t inode)
{
    struct stat status = {.st_ino = inode, .st_nlink = 1, .st_blksize = 1 << 20};
    status.st_mode = inode == FUSE_ROOT_ID ? S_IFDIR | 0777 : S_IFREG | 0666;
    status.st_size = inode == BIG ? big_bytes : inode == NEW ? new_bytes : 0;
    return status;
}

static struct fuse_entry_param
entry_of(fuse_ino_t inode)
{
    return (struct fuse_entry_param){.ino = inode,
                                     .generation = 1,
                                     .attr = stat_of(inode),
                                     .attr_timeout = KNOWN_SECONDS,
                                     .entry_timeout = KNOWN_SECONDS};
}

static void
null_init(void *unused, struct fuse_conn_info *connection)
{
    connection->max_background = 64;
}

static void
null_lookup(fuse_req_t request, fuse_ino_t parent, const char *name)
{
    fuse_ino_t inode = strcmp(name, "big") == 0 ? BIG : *new_name && strcmp(name, new_name) == 0 ? NEW : 0;
    struct fuse_entry_param entry = entry_of(inode);
    if (inode == 0)
        fuse_reply_err(request, ENOENT);
    else
        fuse_reply_entry(request, &entry);
}

static void
null_getattr(fuse_req_t request, fuse_ino_t inode, struct fuse_file_info *file)
{
    struct stat status = stat_of(inode);
    fuse_reply_attr(request, &status, KNOWN_SECONDS);
}

static void
null_setattr(fuse_req_t request, fuse_ino_t inode, struct stat *to, int which, struct fuse_file_info *file)
{
    if (inode == NEW && (which & FUSE_SET_ATTR_SIZE))
        new_bytes = to->st_size;
    null_getattr(request, inode, file);
}

static void
null_open(fuse_req_t request, fuse_ino_t inode, struct fuse_file_info *file)
{
    file->noflush = 1;
    fuse_reply_open(request, file);
}

static void
null_create(fuse_req_t request, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *file)
{
    snprintf(new_name, sizeof new_name, "%s", name);
    new_bytes = 0;
    struct fuse_entry_param entry = entry_of(NEW);
    file->noflush = 1;
    fuse_reply_create(request, &entry, file);
}

static void
null_unlink(fuse_req_t request, fuse_ino_t parent, const char *name)
{
    new_name[0] = 0;
    fuse_reply_err(request, 0);
}

static void
null_read(fuse_req_t request, fuse_ino_t inode, size_t size, off_t offset, struct fuse_file_info *file)
{
    off_t end = stat_of(inode).st_size;
    size_t left = offset < end ? (size_t)(end - offset) : 0;
    if (size > left)
        size = left;
    fuse_reply_buf(request, zeros, size < ZEROS_BYTES ? size : ZEROS_BYTES);
}

static void
null_write(fuse_req_t request, fuse_ino_t inode, const char *bytes, size_t size, off_t offset,
           struct fuse_file_info *file)
{
    off_t end = offset + (off_t)size;
    if (end > new_bytes)
        new_bytes = end;
    fuse_reply_write(request, size);
}

static void
null_release(fuse_req_t request, fuse_ino_t inode, struct fuse_file_info *file)
{
    fuse_reply_err(request, 0);
}

static const struct fuse_lowlevel_ops operations = {
    .init = null_init,
    .lookup = null_lookup,
    .getattr = null_getattr,
    .setattr = null_setattr,
    .open = null_open,
    .create = null_create,
    .unlink = null_unlink,
    .read = null_read,
    .write = null_write,
    .release = null_release,
};

int
main(int count, char **words)
{
    if (count != 3) {
        fputs("usage: nullfs SIZE MOUNTPOINT\n", stderr);
        return 2;
    }
    big_bytes = strtoll(words[1], NULL, 10);
    zeros = calloc(1, ZEROS_BYTES);
    struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
    if (fuse_opt_add_arg(&args, words[0]) || fuse_opt_add_arg(&args, "-ofsname=nullfs"))
        return 1;
    struct fuse_session *session = fuse_session_new(&args, &operations, sizeof operations, NULL);
    if (!zeros || !session || fuse_set_signal_handlers(session) || fuse_session_mount(session, words[2]))
        return 1;
    struct fuse_loop_config *config = fuse_loop_cfg_create();
    int result = fuse_session_loop_mt(session, config);
    fuse_loop_cfg_destroy(config);
    fuse_session_unmount(session);
    fuse_session_destroy(session);
    fuse_opt_free_args(&args);
    free(zeros);
    return result != 0;
}
