/* What the files of the front share. Not for other layers. */
#pragma once

#define FUSE_USE_VERSION 312
#include <fuse_lowlevel.h>

#include "src/base/lock.h"
#include "src/front/front.h"

typedef struct FrontNotify FrontNotify;
typedef struct FrontInterrupt FrontInterrupt;
typedef struct FrontPassthrough FrontPassthrough;

struct Front {
    struct fuse_session *session;
    StorageSet *set;
    ObjectStore *store;
    Tree *tree;
    FrontOptions options; /* strings owned */
    FrontNotify *notify;
    FrontInterrupt *interrupt;
    FrontPassthrough *passthrough;
    Lock held_lock;
    GHashTable *held; /* of Node: GQueue of the FrontJobs in hand, see front_held.h */
    Lock reads_lock;
    GHashTable *reads; /* FrontJobs of the reads that run on lanes, see front_job.h */
    Lock reload_lock;
    char *reload_error;   /* why the last reload was refused, without secrets; NULL: it was not */
    WorkerPool *commands; /* runs what is written to .control and takes long */
    Lock handles_lock;
    GHashTable *handles; /* open ones, see front_handles.h */
    gint64 started_us;   /* monotonic */
    int inline_running;  /* atomic: local calls that run on the threads that read /dev/fuse */
    guint64 errors;      /* atomic: failures logged at level error or warning */
    guint64 failed_by_code[ERROR_CODE_COUNT]; /* atomic */
    int readdirplus, large_read_ahead;        /* atomic: fast paths in force, for status */
    gboolean direct_writes;                   /* the kernel drops old pages of what is written past them */
    gboolean takes_privileges;                /* set-user-id bits are ours to take off, not the kernel's: see
                                                 front_privileges.h */
};

/* Inode numbers below this are the control directory's and the root's; all others are Node addresses. */
#define FRONT_FIRST_NODE_INODE 4096u

static inline Node *
front_node_of(Front *front, fuse_ino_t inode)
{
    return inode == FUSE_ROOT_ID ? tree_get_root(front->tree) : (Node *)(gpointer)inode;
}

static inline fuse_ino_t
front_inode_of(Front *front, Node *node)
{
    return node == tree_get_root(front->tree) ? FUSE_ROOT_ID : (fuse_ino_t)(gpointer)node;
}

static inline Front *
front_of(fuse_req_t request)
{
    return fuse_req_userdata(request);
}

/* Handles are kept in fuse_file_info.fh. */
static inline FileHandle *
front_handle_of(const struct fuse_file_info *info)
{
    return info != NULL ? (FileHandle *)(gpointer)(gsize)info->fh : NULL;
}

/* The operations, by file. */
void front_node_lookup(fuse_req_t request, fuse_ino_t parent, const char *name);
void front_node_forget(fuse_req_t request, fuse_ino_t inode, guint64 count);
void front_node_forget_multi(fuse_req_t request, size_t count, struct fuse_forget_data *forgets);
void front_node_getattr(fuse_req_t request, fuse_ino_t inode, struct fuse_file_info *info);
void front_node_setattr(fuse_req_t request, fuse_ino_t inode, struct stat *attributes, int to_set,
                        struct fuse_file_info *info);
void front_node_readlink(fuse_req_t request, fuse_ino_t inode);
void front_node_statfs(fuse_req_t request, fuse_ino_t inode);

void front_xattr_setxattr(fuse_req_t request, fuse_ino_t inode, const char *name, const char *value,
                          size_t size, int flags);
void front_xattr_getxattr(fuse_req_t request, fuse_ino_t inode, const char *name, size_t size);
void front_xattr_listxattr(fuse_req_t request, fuse_ino_t inode, size_t size);
void front_xattr_removexattr(fuse_req_t request, fuse_ino_t inode, const char *name);

void front_change_mknod(fuse_req_t request, fuse_ino_t parent, const char *name, mode_t mode, dev_t device);
void front_change_mkdir(fuse_req_t request, fuse_ino_t parent, const char *name, mode_t mode);
void front_change_unlink(fuse_req_t request, fuse_ino_t parent, const char *name);
void front_change_rmdir(fuse_req_t request, fuse_ino_t parent, const char *name);
void front_change_symlink(fuse_req_t request, const char *target, fuse_ino_t parent, const char *name);
void front_change_rename(fuse_req_t request, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
                         const char *new_name, unsigned flags);
void front_change_link(fuse_req_t request, fuse_ino_t inode, fuse_ino_t new_parent, const char *new_name);

void front_dir_opendir(fuse_req_t request, fuse_ino_t inode, struct fuse_file_info *info);
void front_dir_readdir(fuse_req_t request, fuse_ino_t inode, size_t size, off_t offset,
                       struct fuse_file_info *info);
void front_dir_readdirplus(fuse_req_t request, fuse_ino_t inode, size_t size, off_t offset,
                           struct fuse_file_info *info);
void front_dir_releasedir(fuse_req_t request, fuse_ino_t inode, struct fuse_file_info *info);
void front_dir_fsyncdir(fuse_req_t request, fuse_ino_t inode, int data_only, struct fuse_file_info *info);

void front_file_create(fuse_req_t request, fuse_ino_t parent, const char *name, mode_t mode,
                       struct fuse_file_info *info);
void front_file_open(fuse_req_t request, fuse_ino_t inode, struct fuse_file_info *info);
void front_file_read(fuse_req_t request, fuse_ino_t inode, size_t size, off_t offset,
                     struct fuse_file_info *info);
void front_file_write(fuse_req_t request, fuse_ino_t inode, const char *data, size_t size, off_t offset,
                      struct fuse_file_info *info);
void front_file_flush(fuse_req_t request, fuse_ino_t inode, struct fuse_file_info *info);
void front_file_release(fuse_req_t request, fuse_ino_t inode, struct fuse_file_info *info);
void front_file_fsync(fuse_req_t request, fuse_ino_t inode, int data_only, struct fuse_file_info *info);
void front_file_fallocate(fuse_req_t request, fuse_ino_t inode, int mode, off_t offset, off_t length,
                          struct fuse_file_info *info);
void front_file_lseek(fuse_req_t request, fuse_ino_t inode, off_t offset, int whence,
                      struct fuse_file_info *info);
void front_file_copy_file_range(fuse_req_t request, fuse_ino_t inode_in, off_t offset_in,
                                struct fuse_file_info *info_in, fuse_ino_t inode_out, off_t offset_out,
                                struct fuse_file_info *info_out, size_t length, int flags);
