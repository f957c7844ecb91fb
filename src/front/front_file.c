/* create, open, read, write, flush, release, fsync, fallocate, lseek, copy_file_range. */
#include "src/front/front_control.h"
#include "src/front/front_descriptors.h"
#include "src/front/front_handles.h"
#include "src/front/front_job.h"
#include "src/front/front_privileges.h"
#include "src/front/front_reply.h"

#include <errno.h>
#include <fcntl.h>

static void
set_open_flags(Front *front, struct fuse_file_info *info, gboolean keep_cache)
{
    info->keep_cache = keep_cache;
    info->direct_io = front_handles_go_past_pages(front, info->flags);
#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 15)
    info->parallel_direct_writes = 1;
#endif
    info->noflush = (info->flags & (O_ACCMODE | O_CREAT | O_TRUNC)) == O_RDONLY;
}

static void
run_create(FrontJob *job)
{
    g_autoptr(GError) error = NULL;
    TreeEntry entry;
    FileHandle *handle;
    if (!tree_create(job->front->tree, job->call, job->node, job->name, job->info.flags, job->mode, job->uid,
                     job->gid, &entry, &handle, &error)) {
        front_job_fail(job, "create", &error);
        return;
    }
    set_open_flags(job->front, &job->info, FALSE);
    front_reply_create(front_job_take_request(job), &entry, handle, &job->info);
}

void
front_file_create(fuse_req_t request, fuse_ino_t parent, const char *name, mode_t mode,
                  struct fuse_file_info *info)
{
    if (front_control_create(request, parent, name, info))
        return;
    Front *front = front_of(request);
    Node *node = front_node_of(front, parent);
    const struct fuse_ctx *context = fuse_req_ctx(request);
    TreeEntry entry;
    FileHandle *handle;
    if (tree_create_ready(front->tree, node, name, info->flags, mode, context->uid, context->gid, &entry,
                          &handle) == TREE_ANSWERED) {
        set_open_flags(front, info, FALSE);
        front_reply_create(request, &entry, handle, info);
        return;
    }
    FrontJob *job = front_job_new(request, node, run_create);
    job->name = g_strdup(name);
    job->mode = mode;
    job->info = *info;
    front_job_dispatch(job);
}

static void
run_open(FrontJob *job)
{
    g_autoptr(GError) error = NULL;
    FileHandle *handle;
    gboolean keep_cache = FALSE;
    if (!tree_open(job->front->tree, job->call, job->node, job->info.flags, &handle, &keep_cache, &error)) {
        /* The name was there when the kernel looked. At ESTALE it looks again, and with O_CREAT creates. */
        if (error_is(error, ERROR_NOT_FOUND) || error_is(error, ERROR_CHANGED))
            front_reply_errno(front_job_take_request(job), ESTALE);
        else
            front_job_fail(job, "open", &error);
        return;
    }
    if (job->flags && !front_privileges_end(job, handle, &error)) {
        tree_release(job->front->tree, job->call, job->node, handle);
        front_job_fail(job, "open", &error);
        return;
    }
    set_open_flags(job->front, &job->info, keep_cache);
    front_reply_open(front_job_take_request(job), job->node, handle, &job->info);
}

void
front_file_open(fuse_req_t request, fuse_ino_t inode, struct fuse_file_info *info)
{
    if (front_control_open(request, inode, info))
        return;
    Front *front = front_of(request);
    Node *node = front_node_of(front, inode);
    FileHandle *handle;
    gboolean keep_cache = FALSE;
    gboolean ends_privileges = front_privileges_end_at_open(request, info->flags);
    if (!ends_privileges && tree_open_ready(front->tree, node, info->flags, &handle, &keep_cache)) {
        set_open_flags(front, info, keep_cache);
        front_reply_open(request, node, handle, info);
        return;
    }
    FrontJob *job = front_job_new(request, node, run_open);
    job->info = *info;
    job->flags = ends_privileges;
    front_job_dispatch(job);
}

static FrontJob *
handle_job(fuse_req_t request, fuse_ino_t inode, const struct fuse_file_info *info, FrontRun run)
{
    FrontJob *job = front_job_new(request, front_node_of(front_of(request), inode), run);
    job->handle = front_handle_of(info);
    return job;
}

static void
run_read(FrontJob *job)
{
    g_autoptr(GError) error = NULL;
    g_auto(ReadVector) vector;
    read_vector_init(&vector);
    if (job->handle->operations->read(job->handle, job->call, job->offset, job->length_bytes, &vector,
                                      &error))
        front_reply_vector(front_job_take_request(job), &vector);
    else
        front_job_fail(job, "read", &error);
}

void
front_file_read(fuse_req_t request, fuse_ino_t inode, size_t size, off_t offset, struct fuse_file_info *info)
{
    if (front_control_read(request, inode, size, offset, info))
        return;
    FileHandle *handle = front_handle_of(info);
    g_auto(ReadVector) vector;
    read_vector_init(&vector);
    if (handle->operations->read_ready(handle, (guint64)offset, size, &vector)) {
        front_reply_vector(request, &vector);
        return;
    }
    FrontJob *job = handle_job(request, inode, info, run_read);
    job->is_read = TRUE;
    job->offset = (guint64)offset;
    job->length_bytes = size;
    front_job_dispatch(job);
}

/* O_SYNC, O_DSYNC and RWF_DSYNC: for what goes through its pages the kernel sends an fsync after the write.
 */
static gboolean
must_sync(Front *front, const FileHandle *handle, const struct fuse_file_info *info)
{
    return (info->flags & O_DSYNC) != 0 && !info->writepage &&
           front_handles_go_past_pages(front, handle->flags);
}

static void
run_write(FrontJob *job)
{
    g_autoptr(GError) error = NULL;
    const FileHandleOperations *operations = job->handle->operations;
    if ((!job->flags || front_privileges_end(job, job->handle, &error)) &&
        operations->write(job->handle, job->call, job->offset, job->data, job->data_bytes, &error) &&
        (!must_sync(job->front, job->handle, &job->info) ||
         operations->sync(job->handle, job->call, (job->info.flags & O_SYNC) != O_SYNC, &error)))
        front_reply_written(front_job_take_request(job), job->data_bytes);
    else
        front_job_fail(job, "write", &error);
}

static void
write_in_line(fuse_req_t request, Node *node, FileHandle *handle, const char *data, gsize size,
              guint64 offset)
{
    Front *front = front_of(request);
    g_autoptr(GError) error = NULL;
    g_autoptr(Call) call = tree_new_call(front->tree, node);
    if (handle->operations->write(handle, call, offset, data, size, &error)) {
        front_reply_written(request, size);
        return;
    }
    g_autofree char *subject = tree_describe(front->tree, node);
    front_reply_failure(request, "write", subject, NULL, &error);
}

/* The kernel's size may be old where others append too; pages that it writes back have their place. */
static guint64
place_of_write(const struct fuse_file_info *info, off_t offset)
{
    return (info->flags & O_APPEND) != 0 && !info->writepage ? FILE_HANDLE_APPEND : (guint64)offset;
}

void
front_file_write(fuse_req_t request, fuse_ino_t inode, const char *data, size_t size, off_t offset,
                 struct fuse_file_info *info)
{
    if (front_control_write(request, inode, data, size, info))
        return;
    Front *front = front_of(request);
    Node *node = front_node_of(front, inode);
    FileHandle *handle = front_handle_of(info);
    guint64 at = place_of_write(info, offset);
    gboolean ends_privileges = front_privileges_end_at_write(request, node, handle, info->writepage);
    gboolean only_writes = !ends_privileges && !must_sync(front, handle, info);
    if (only_writes && handle->operations->write_is_ready(handle, size)) {
        write_in_line(request, node, handle, data, size, at);
        return;
    }
    if (only_writes && front_job_enter_inline(front, node)) {
        write_in_line(request, node, handle, data, size, at);
        front_job_leave_inline(front);
        return;
    }
    FrontJob *job = handle_job(request, inode, info, run_write);
    job->data = g_memdup2(data, size);
    job->data_bytes = size;
    job->info = *info;
    job->offset = at;
    job->flags = ends_privileges;
    front_job_dispatch(job);
}

static void
run_flush(FrontJob *job)
{
    g_autoptr(GError) error = NULL;
    if (job->handle->operations->flush(job->handle, job->call, job->flags == 0, &error))
        front_reply_ok(front_job_take_request(job));
    else
        front_job_fail(job, "close", &error);
}

void
front_file_flush(fuse_req_t request, fuse_ino_t inode, struct fuse_file_info *info)
{
    FileHandle *handle = front_control_owns(inode) ? NULL : front_handle_of(info);
    if (handle == NULL || handle->operations->is_idle(handle)) {
        front_reply_ok(request);
        return;
    }
    FrontJob *job = handle_job(request, inode, info, run_flush);
    struct stat attributes;
    gint64 valid_us;
    job->flags = tree_stat_ready(job->front->tree, job->node, handle, &attributes, &valid_us) &&
                 attributes.st_size == 0 &&
                 front_descriptors_has_other(fuse_req_ctx(request)->pid, attributes.st_ino);
    front_job_dispatch(job);
}

static void
run_release(FrontJob *job)
{
    front_handles_release(job->front, job->call, job->node, job->handle);
    front_reply_ok(front_job_take_request(job));
}

void
front_file_release(fuse_req_t request, fuse_ino_t inode, struct fuse_file_info *info)
{
    if (front_control_release(request, inode, info))
        return;
    FileHandle *handle = front_handle_of(info);
    if (handle->operations->is_idle(handle)) {
        Front *front = front_of(request);
        Node *node = front_node_of(front, inode);
        /* Whoever unlinks it at this moment makes this close delete its object: never without a deadline. */
        g_autoptr(Call) call = tree_new_call(front->tree, node);
        front_handles_release(front, call, node, handle);
        front_reply_ok(request);
        return;
    }
    front_job_dispatch(handle_job(request, inode, info, run_release));
}

static void
run_fsync(FrontJob *job)
{
    g_autoptr(GError) error = NULL;
    if (job->handle->operations->sync(job->handle, job->call, job->flags != 0, &error))
        front_reply_ok(front_job_take_request(job));
    else
        front_job_fail(job, "fsync", &error);
}

void
front_file_fsync(fuse_req_t request, fuse_ino_t inode, int data_only, struct fuse_file_info *info)
{
    if (front_control_owns(inode)) {
        front_reply_ok(request);
        return;
    }
    FrontJob *job = handle_job(request, inode, info, run_fsync);
    job->flags = data_only;
    front_job_dispatch(job);
}

static void
run_fallocate(FrontJob *job)
{
    g_autoptr(GError) error = NULL;
    if (job->handle->operations->allocate(job->handle, job->call, job->flags, job->offset, job->length_bytes,
                                          &error))
        front_reply_ok(front_job_take_request(job));
    else
        front_job_fail(job, "fallocate", &error);
}

void
front_file_fallocate(fuse_req_t request, fuse_ino_t inode, int mode, off_t offset, off_t length,
                     struct fuse_file_info *info)
{
    if (front_control_owns(inode)) {
        front_reply_errno(request, ENOTSUP);
        return;
    }
    FrontJob *job = handle_job(request, inode, info, run_fallocate);
    job->flags = mode;
    job->offset = (guint64)offset;
    job->length_bytes = (gsize)length;
    front_job_dispatch(job);
}

static void
run_lseek(FrontJob *job)
{
    g_autoptr(GError) error = NULL;
    guint64 found = 0;
    if (!job->handle->operations->seek(job->handle, job->call, job->offset, job->flags, &found, &error))
        front_job_fail(job, "seek", &error);
    else if (found == G_MAXUINT64)
        front_reply_errno(front_job_take_request(job), ENXIO);
    else
        front_reply_offset(front_job_take_request(job), found);
}

void
front_file_lseek(fuse_req_t request, fuse_ino_t inode, off_t offset, int whence, struct fuse_file_info *info)
{
    if (front_control_owns(inode)) {
        front_reply_errno(request, EINVAL);
        return;
    }
    FrontJob *job = handle_job(request, inode, info, run_lseek);
    job->offset = (guint64)offset;
    job->flags = whence;
    front_job_dispatch(job);
}

static void
run_copy_file_range(FrontJob *job)
{
    g_autoptr(GError) error = NULL;
    guint64 copied = 0;
    if (job->handle->operations->copy_range(job->handle, job->call, job->offset, job->other_handle,
                                            job->other_offset, job->length_bytes, &copied, &error))
        front_reply_written(front_job_take_request(job), copied);
    else
        front_job_fail(job, "copy_file_range", &error);
}

void
front_file_copy_file_range(fuse_req_t request, fuse_ino_t inode_in, off_t offset_in,
                           struct fuse_file_info *info_in, fuse_ino_t inode_out, off_t offset_out,
                           struct fuse_file_info *info_out, size_t length, int flags)
{
    if (front_control_owns(inode_in) || front_control_owns(inode_out) || flags != 0) {
        front_reply_errno(request, EINVAL);
        return;
    }
    FileHandle *from = front_handle_of(info_in), *to = front_handle_of(info_out);
    if (from->storage != to->storage || from->operations != to->operations) {
        front_reply_errno(request, EXDEV);
        return;
    }
    FrontJob *job = handle_job(request, inode_out, info_in, run_copy_file_range);
    job->other_handle = to;
    job->offset = (guint64)offset_in;
    job->other_offset = (guint64)offset_out;
    job->length_bytes = length;
    front_job_dispatch(job);
}
