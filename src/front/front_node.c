/* lookup, forget, getattr, setattr, readlink, statfs. */
#include "src/front/front_control.h"
#include "src/front/front_job.h"
#include "src/front/front_passthrough.h"
#include "src/front/front_privileges.h"
#include "src/front/front_reply.h"

#include <errno.h>

static void
run_lookup(FrontJob *job)
{
    g_autoptr(GError) error = NULL;
    TreeEntry entry;
    gint64 absent_valid_us = 0;
    if (tree_lookup(job->front->tree, job->call, job->node, job->name, &entry, &absent_valid_us, &error))
        front_reply_entry(front_job_take_request(job), &entry);
    else if (error_is(error, ERROR_NOT_FOUND))
        front_reply_absent(front_job_take_request(job), absent_valid_us);
    else
        front_job_fail(job, "lookup", &error);
}

void
front_node_lookup(fuse_req_t request, fuse_ino_t parent, const char *name)
{
    Front *front = front_of(request);
    if (front_control_lookup(request, parent, name))
        return;
    Node *node = front_node_of(front, parent);
    TreeEntry entry;
    gint64 absent_valid_us = 0;
    switch (tree_lookup_ready(front->tree, node, name, &entry, &absent_valid_us)) {
    case TREE_ANSWERED:
        front_reply_entry(request, &entry);
        return;
    case TREE_ABSENT:
        front_reply_absent(request, absent_valid_us);
        return;
    case TREE_WOULD_WAIT:
        break;
    }
    FrontJob *job = front_job_new(request, node, run_lookup);
    job->name = g_strdup(name);
    front_job_dispatch(job);
}

static void
forget(Front *front, fuse_ino_t inode, guint64 count)
{
    if (inode >= FRONT_FIRST_NODE_INODE)
        tree_forget(front->tree, front_node_of(front, inode), count);
}

void
front_node_forget(fuse_req_t request, fuse_ino_t inode, guint64 count)
{
    forget(front_of(request), inode, count);
    front_reply_none(request);
}

void
front_node_forget_multi(fuse_req_t request, size_t count, struct fuse_forget_data *forgets)
{
    for (size_t i = 0; i < count; i++)
        forget(front_of(request), forgets[i].ino, forgets[i].nlookup);
    front_reply_none(request);
}

static void
reply_attributes(Front *front, fuse_req_t request, Node *node, const struct stat *attributes, gint64 valid_us)
{
    front_reply_attributes(request, attributes, front_passthrough_limit_us(front, node, valid_us));
}

static void
run_getattr(FrontJob *job)
{
    g_autoptr(GError) error = NULL;
    struct stat attributes;
    gint64 valid_us = 0;
    if (tree_stat(job->front->tree, job->call, job->node, job->handle, &attributes, &valid_us, &error))
        reply_attributes(job->front, front_job_take_request(job), job->node, &attributes, valid_us);
    else
        front_job_fail(job, "stat", &error);
}

void
front_node_getattr(fuse_req_t request, fuse_ino_t inode, struct fuse_file_info *info)
{
    Front *front = front_of(request);
    if (front_control_getattr(request, inode))
        return;
    Node *node = front_node_of(front, inode);
    FileHandle *handle = front_handle_of(info);
    struct stat attributes;
    gint64 valid_us = 0;
    if (tree_stat_ready(front->tree, node, handle, &attributes, &valid_us)) {
        reply_attributes(front, request, node, &attributes, valid_us);
        return;
    }
    FrontJob *job = front_job_new(request, node, run_getattr);
    job->handle = handle;
    front_job_dispatch(job);
}

static unsigned
valid_bits(int to_set)
{
    unsigned valid = 0;
    if (to_set & FUSE_SET_ATTR_MODE)
        valid |= FILE_SET_MODE;
    if (to_set & FUSE_SET_ATTR_UID)
        valid |= FILE_SET_UID;
    if (to_set & FUSE_SET_ATTR_GID)
        valid |= FILE_SET_GID;
    if (to_set & FUSE_SET_ATTR_SIZE)
        valid |= FILE_SET_SIZE;
    if (to_set & (FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_MTIME))
        valid |= FILE_SET_TIMES;
    return valid;
}

static struct timespec
time_to_set(int to_set, int bit, int now_bit, struct timespec time)
{
    if (to_set & now_bit)
        return (struct timespec){.tv_nsec = UTIME_NOW};
    if (to_set & bit)
        return time;
    return (struct timespec){.tv_nsec = UTIME_OMIT};
}

static void
run_setattr(FrontJob *job)
{
    g_autoptr(GError) error = NULL;
    struct stat attributes;
    gint64 valid_us = 0;
    if (job->flags && !front_privileges_add_to_setattr(job, &error)) {
        front_job_fail(job, "set attributes of", &error);
        return;
    }
    if (tree_set_attributes(job->front->tree, job->call, job->node, job->handle, job->valid, &job->attributes,
                            job->times, &attributes, &valid_us, &error))
        reply_attributes(job->front, front_job_take_request(job), job->node, &attributes, valid_us);
    else
        front_job_fail(job, "set attributes of", &error);
}

void
front_node_setattr(fuse_req_t request, fuse_ino_t inode, struct stat *attributes, int to_set,
                   struct fuse_file_info *info)
{
    if (front_control_setattr(request, inode))
        return;
    FrontJob *job = front_job_new(request, front_node_of(front_of(request), inode), run_setattr);
    job->handle = front_handle_of(info);
    job->valid = valid_bits(to_set);
    job->flags = front_privileges_end_at_setattr(job->front, request, to_set);
    job->attributes = *attributes;
    job->times[0] = time_to_set(to_set, FUSE_SET_ATTR_ATIME, FUSE_SET_ATTR_ATIME_NOW, attributes->st_atim);
    job->times[1] = time_to_set(to_set, FUSE_SET_ATTR_MTIME, FUSE_SET_ATTR_MTIME_NOW, attributes->st_mtim);
    front_job_dispatch(job);
}

static void
run_readlink(FrontJob *job)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *target = NULL;
    if (tree_read_symlink(job->front->tree, job->call, job->node, &target, &error))
        front_reply_text(front_job_take_request(job), target);
    else
        front_job_fail(job, "read link", &error);
}

void
front_node_readlink(fuse_req_t request, fuse_ino_t inode)
{
    if (front_control_owns(inode)) {
        front_reply_errno(request, EINVAL);
        return;
    }
    front_job_dispatch(front_job_new(request, front_node_of(front_of(request), inode), run_readlink));
}

static void
run_statfs(FrontJob *job)
{
    g_autoptr(GError) error = NULL;
    struct statvfs statistics;
    if (tree_stat_filesystem(job->front->tree, job->node, &statistics, &error))
        front_reply_statfs(front_job_take_request(job), &statistics);
    else
        front_job_fail(job, "statfs", &error);
}

void
front_node_statfs(fuse_req_t request, fuse_ino_t inode)
{
    Front *front = front_of(request);
    Node *node = front_control_owns(inode) ? tree_get_root(front->tree) : front_node_of(front, inode);
    front_job_dispatch(front_job_new(request, node, run_statfs));
}
