/* What changes names: mkdir, rmdir, unlink, symlink, rename; and what is not offered: link, mknod of devices.
 */
#include "src/front/front_control.h"
#include "src/front/front_job.h"
#include "src/front/front_reply.h"

#include <errno.h>

static FrontJob *
entry_job(fuse_req_t request, fuse_ino_t parent, const char *name, FrontRun run)
{
    FrontJob *job = front_job_new(request, front_node_of(front_of(request), parent), run);
    job->name = g_strdup(name);
    return job;
}

static void
run_mkdir(FrontJob *job)
{
    g_autoptr(GError) error = NULL;
    TreeEntry entry;
    if (tree_make_directory(job->front->tree, job->call, job->node, job->name, job->mode, job->uid, job->gid,
                            &entry, &error))
        front_reply_entry(front_job_take_request(job), &entry);
    else
        front_job_fail(job, "mkdir", &error);
}

void
front_change_mkdir(fuse_req_t request, fuse_ino_t parent, const char *name, mode_t mode)
{
    if (front_control_refuses(request, parent, name))
        return;
    FrontJob *job = entry_job(request, parent, name, run_mkdir);
    job->mode = mode;
    front_job_dispatch(job);
}

static void
run_rmdir(FrontJob *job)
{
    g_autoptr(GError) error = NULL;
    if (tree_remove_directory(job->front->tree, job->call, job->node, job->name, &error))
        front_reply_ok(front_job_take_request(job));
    else
        front_job_fail(job, "rmdir", &error);
}

void
front_change_rmdir(fuse_req_t request, fuse_ino_t parent, const char *name)
{
    if (!front_control_refuses(request, parent, name))
        front_job_dispatch(entry_job(request, parent, name, run_rmdir));
}

static void
run_unlink(FrontJob *job)
{
    g_autoptr(GError) error = NULL;
    if (tree_unlink(job->front->tree, job->call, job->node, job->name, &error))
        front_reply_ok(front_job_take_request(job));
    else
        front_job_fail(job, "unlink", &error);
}

void
front_change_unlink(fuse_req_t request, fuse_ino_t parent, const char *name)
{
    if (!front_control_refuses(request, parent, name))
        front_job_dispatch(entry_job(request, parent, name, run_unlink));
}

static void
run_symlink(FrontJob *job)
{
    g_autoptr(GError) error = NULL;
    TreeEntry entry;
    if (tree_make_symlink(job->front->tree, job->call, job->node, job->name, job->data, job->uid, job->gid,
                          &entry, &error))
        front_reply_entry(front_job_take_request(job), &entry);
    else
        front_job_fail(job, "symlink", &error);
}

void
front_change_symlink(fuse_req_t request, const char *target, fuse_ino_t parent, const char *name)
{
    if (front_control_refuses(request, parent, name))
        return;
    FrontJob *job = entry_job(request, parent, name, run_symlink);
    job->data = g_strdup(target);
    front_job_dispatch(job);
}

static void
run_rename(FrontJob *job)
{
    g_autoptr(GError) error = NULL;
    if (tree_rename(job->front->tree, job->call, job->node, job->name, job->other_node, job->other_name,
                    (unsigned)job->flags, &error))
        front_reply_ok(front_job_take_request(job));
    else
        front_job_fail(job, "rename", &error);
}

void
front_change_rename(fuse_req_t request, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
                    const char *new_name, unsigned flags)
{
    if (front_control_refuses(request, parent, name) || front_control_refuses(request, new_parent, new_name))
        return;
    FrontJob *job = entry_job(request, parent, name, run_rename);
    front_job_set_other(job, front_node_of(job->front, new_parent));
    job->other_name = g_strdup(new_name);
    job->flags = (int)flags;
    front_job_dispatch(job);
}

void
front_change_link(fuse_req_t request, fuse_ino_t inode, fuse_ino_t new_parent, const char *new_name)
{
    front_reply_errno(request, EPERM);
}

static void
run_mknod(FrontJob *job)
{
    g_autoptr(GError) error = NULL;
    TreeEntry entry;
    FileHandle *handle;
    if (!tree_create(job->front->tree, job->call, job->node, job->name, O_WRONLY | O_CREAT | O_EXCL,
                     job->mode, job->uid, job->gid, &entry, &handle, &error)) {
        front_job_fail(job, "create", &error);
        return;
    }
    if (handle->operations->flush(handle, job->call, TRUE, &error)) {
        tree_release(job->front->tree, job->call, entry.node, handle);
        front_reply_entry(front_job_take_request(job), &entry);
        return;
    }
    tree_release(job->front->tree, job->call, entry.node, handle);
    tree_forget(job->front->tree, entry.node, 1);
    front_job_fail(job, "create", &error);
}

void
front_change_mknod(fuse_req_t request, fuse_ino_t parent, const char *name, mode_t mode, dev_t device)
{
    if (front_control_refuses(request, parent, name))
        return;
    if (!S_ISREG(mode)) {
        front_reply_errno(request, EPERM);
        return;
    }
    FrontJob *job = entry_job(request, parent, name, run_mknod);
    job->mode = mode;
    front_job_dispatch(job);
}
