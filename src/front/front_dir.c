/* opendir, readdir(plus), releasedir. The buffer is filled with what is there; only an empty one waits. */
#include "src/front/front_control.h"
#include "src/front/front_handles.h"
#include "src/front/front_job.h"
#include "src/front/front_passthrough.h"
#include "src/front/front_reply.h"

#include <errno.h>

/* The kernel asks for at most a few pages; a larger size is a request we need not believe. */
#define BUFFER_MAX (1u << 20)

static DirectoryHandle *
directory_of(const struct fuse_file_info *info)
{
    return (DirectoryHandle *)(gpointer)(gsize)info->fh;
}

static void
run_opendir(FrontJob *job)
{
    g_autoptr(GError) error = NULL;
    DirectoryHandle *handle;
    if (!tree_open_directory(job->front->tree, job->call, job->node, &handle, &error)) {
        front_job_fail(job, "opendir", &error);
        return;
    }
    job->info.fh = (guint64)(gsize)handle;
    front_handles_add_directory(job->front, handle);
    if (!front_reply_opened(front_job_take_request(job), &job->info))
        front_handles_release_directory(job->front, handle);
}

void
front_dir_opendir(fuse_req_t request, fuse_ino_t inode, struct fuse_file_info *info)
{
    if (front_control_opendir(request, inode, info))
        return;
    FrontJob *job = front_job_new(request, front_node_of(front_of(request), inode), run_opendir);
    job->info = *info;
    front_job_dispatch(job);
}

typedef struct {
    char *bytes;
    gsize size, used;
} DirectoryBuffer;

static gboolean
add_item(DirectoryBuffer *buffer, fuse_req_t request, const DirectoryItem *item)
{
    struct stat attributes = {.st_ino = item->inode, .st_mode = item->type};
    gsize needed = fuse_add_direntry(request, buffer->bytes + buffer->used, buffer->size - buffer->used,
                                     item->name, &attributes, (off_t)item->next_offset);
    if (needed > buffer->size - buffer->used)
        return FALSE;
    buffer->used += needed;
    return TRUE;
}

/* A name without attributes (nodeid 0) makes the kernel look it up when somebody asks. */
static gboolean
add_item_plus(DirectoryBuffer *buffer, fuse_req_t request, DirectoryHandle *handle, const DirectoryItem *item)
{
    Front *front = front_of(request);
    gsize left = buffer->size - buffer->used;
    if (fuse_add_direntry_plus(request, NULL, 0, item->name, NULL, 0) > left)
        return FALSE;
    TreeEntry entry;
    struct fuse_entry_param param = {.attr = {.st_ino = item->inode, .st_mode = item->type}};
    if (tree_directory_take(front->tree, handle, item, &entry)) {
        param.ino = front_inode_of(front, entry.node);
        param.attr = entry.stat;
        param.attr_timeout =
            (double)front_passthrough_limit_us(front, entry.node, entry.attributes_valid_us) / G_USEC_PER_SEC;
        param.entry_timeout = (double)entry.entry_valid_us / G_USEC_PER_SEC;
    }
    buffer->used += fuse_add_direntry_plus(request, buffer->bytes + buffer->used, left, item->name, &param,
                                           (off_t)item->next_offset);
    return TRUE;
}

/* Adds items from *offset on that are there without waiting. FALSE: the next one must be waited for. */
static gboolean
fill_ready(DirectoryBuffer *buffer, fuse_req_t request, DirectoryHandle *handle, guint64 *offset,
           gboolean plus)
{
    Front *front = front_of(request);
    DirectoryItem item;
    gboolean end = FALSE;
    while (tree_directory_next_ready(front->tree, handle, *offset, &item, &end)) {
        if (end || !(plus ? add_item_plus(buffer, request, handle, &item) : add_item(buffer, request, &item)))
            return TRUE;
        *offset = item.next_offset;
    }
    return FALSE;
}

/* "." and ".." alone are no answer: the kernel asks for attributes in the first request of a directory, and
 * again only once somebody has used those of the last one, so a whole page of names would come without. */
static gboolean
is_enough(guint64 offset)
{
    return offset > TREE_FIRST_OFFSET;
}

static void
run_readdir(FrontJob *job)
{
    g_autoptr(GError) error = NULL;
    DirectoryBuffer buffer = {.bytes = g_malloc(job->length_bytes), .size = job->length_bytes};
    g_autofree char *bytes = buffer.bytes;
    DirectoryItem item;
    gboolean end = FALSE, filled = FALSE;
    do {
        if (!tree_directory_next(job->front->tree, job->call, job->directory, job->offset, &item, &end,
                                 &error)) {
            front_job_fail(job, "readdir", &error);
            return;
        }
        if (!end)
            filled = fill_ready(&buffer, job->request, job->directory, &job->offset, job->flags != 0);
    } while (!end && !filled && !is_enough(job->offset));
    front_reply_data(front_job_take_request(job), bytes, buffer.used);
}

static void
read_directory(fuse_req_t request, fuse_ino_t inode, size_t size, off_t offset, struct fuse_file_info *info,
               gboolean plus)
{
    DirectoryHandle *handle = directory_of(info);
    DirectoryBuffer buffer = {.size = MIN(size, BUFFER_MAX)};
    g_autofree char *bytes = buffer.bytes = g_malloc(buffer.size);
    guint64 next = (guint64)offset;
    if (fill_ready(&buffer, request, handle, &next, plus) || (buffer.used > 0 && is_enough(next))) {
        front_reply_data(request, bytes, buffer.used);
        return;
    }
    FrontJob *job = front_job_new(request, front_node_of(front_of(request), inode), run_readdir);
    job->directory = handle;
    job->offset = (guint64)offset;
    job->length_bytes = buffer.size;
    job->flags = plus;
    front_job_dispatch(job);
}

void
front_dir_readdir(fuse_req_t request, fuse_ino_t inode, size_t size, off_t offset,
                  struct fuse_file_info *info)
{
    if (!front_control_readdir(request, inode, size, offset))
        read_directory(request, inode, size, offset, info, FALSE);
}

void
front_dir_readdirplus(fuse_req_t request, fuse_ino_t inode, size_t size, off_t offset,
                      struct fuse_file_info *info)
{
    if (!front_control_readdirplus(request, inode, size, offset))
        read_directory(request, inode, size, offset, info, TRUE);
}

void
front_dir_releasedir(fuse_req_t request, fuse_ino_t inode, struct fuse_file_info *info)
{
    if (!front_control_owns(inode))
        front_handles_release_directory(front_of(request), directory_of(info));
    front_reply_ok(request);
}

/* A change of names is in the storage when its call returns. */
void
front_dir_fsyncdir(fuse_req_t request, fuse_ino_t inode, int data_only, struct fuse_file_info *info)
{
    front_reply_ok(request);
}
