/* Extended attributes. */
#include "src/front/front_control.h"
#include "src/front/front_job.h"
#include "src/front/front_reply.h"

#include <errno.h>

/* Asked by the kernel and by tools for every file (access control lists, labels); they cost no job and no
 * request. ENOTSUP tells a program that no file of this device has them, as on every file system without: ls
 * and cp then stop asking, where ENODATA would cost them two requests for every name of a listing. */
static gboolean
is_never_ours(const char *name)
{
    return !g_str_has_prefix(name, "user.") && !g_str_has_prefix(name, "storagefs.");
}

static void
run_setxattr(FrontJob *job)
{
    g_autoptr(GError) error = NULL;
    if (tree_set_xattr(job->front->tree, job->call, job->node, job->name, job->data, job->data_bytes,
                       job->flags, &error))
        front_reply_ok(front_job_take_request(job));
    else
        front_job_fail(job, "set xattr", &error);
}

void
front_xattr_setxattr(fuse_req_t request, fuse_ino_t inode, const char *name, const char *value, size_t size,
                     int flags)
{
    if (front_control_owns(inode) || is_never_ours(name)) {
        front_reply_errno(request, ENOTSUP);
        return;
    }
    FrontJob *job = front_job_new(request, front_node_of(front_of(request), inode), run_setxattr);
    job->name = g_strdup(name);
    job->data = g_memdup2(value, size);
    job->data_bytes = size;
    job->flags = flags;
    front_job_dispatch(job);
}

static void
run_getxattr(FrontJob *job)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) value = NULL;
    if (tree_get_xattr(job->front->tree, job->call, job->node, job->name, &value, &error))
        front_reply_xattr(front_job_take_request(job), value, job->length_bytes);
    else
        front_job_fail(job, "get xattr", &error);
}

void
front_xattr_getxattr(fuse_req_t request, fuse_ino_t inode, const char *name, size_t size)
{
    if (front_control_owns(inode) || is_never_ours(name)) {
        front_reply_errno(request, is_never_ours(name) ? ENOTSUP : ENODATA);
        return;
    }
    FrontJob *job = front_job_new(request, front_node_of(front_of(request), inode), run_getxattr);
    job->name = g_strdup(name);
    job->length_bytes = size;
    front_job_dispatch(job);
}

static void
run_listxattr(FrontJob *job)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) names = NULL;
    if (tree_list_xattrs(job->front->tree, job->call, job->node, &names, &error))
        front_reply_xattr(front_job_take_request(job), names, job->length_bytes);
    else
        front_job_fail(job, "list xattrs of", &error);
}

void
front_xattr_listxattr(fuse_req_t request, fuse_ino_t inode, size_t size)
{
    if (front_control_owns(inode)) {
        g_autoptr(GBytes) none = g_bytes_new_static("", 0);
        front_reply_xattr(request, none, size);
        return;
    }
    FrontJob *job = front_job_new(request, front_node_of(front_of(request), inode), run_listxattr);
    job->length_bytes = size;
    front_job_dispatch(job);
}

static void
run_removexattr(FrontJob *job)
{
    g_autoptr(GError) error = NULL;
    if (tree_remove_xattr(job->front->tree, job->call, job->node, job->name, &error))
        front_reply_ok(front_job_take_request(job));
    else
        front_job_fail(job, "remove xattr", &error);
}

void
front_xattr_removexattr(fuse_req_t request, fuse_ino_t inode, const char *name)
{
    if (front_control_owns(inode) || is_never_ours(name)) {
        front_reply_errno(request, ENODATA);
        return;
    }
    FrontJob *job = front_job_new(request, front_node_of(front_of(request), inode), run_removexattr);
    job->name = g_strdup(name);
    front_job_dispatch(job);
}
