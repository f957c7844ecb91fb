#include "src/front/front_reply.h"

#include "src/base/log.h"
#include "src/front/front_handles.h"
#include "src/front/front_passthrough.h"

#include <errno.h>

void
front_reply_errno(fuse_req_t request, int errnum)
{
    fuse_reply_err(request, errnum);
}

void
front_reply_none(fuse_req_t request)
{
    fuse_reply_none(request);
}

void
front_reply_ok(fuse_req_t request)
{
    fuse_reply_err(request, 0);
}

/* Answers that programs ask for all the time are no news; what the user must act on is. */
static LogLevel
failure_level(const GError *error)
{
    static const ErrorCode ordinary[] = {
        ERROR_NOT_FOUND, ERROR_EXISTS,       ERROR_NOT_EMPTY,     ERROR_BAD_NAME,      ERROR_READ_ONLY,
        ERROR_CANCELLED, ERROR_UNSUPPORTED,  ERROR_BAD_ARGUMENT,  ERROR_IS_FOLDER,     ERROR_NOT_FOLDER,
        ERROR_LOOP,      ERROR_NO_ATTRIBUTE, ERROR_NOT_PERMITTED, ERROR_OTHER_STORAGE, ERROR_NAME_TOO_LONG,
    };
    for (guint i = 0; i < G_N_ELEMENTS(ordinary); i++)
        if (error_is(error, ordinary[i]))
            return LOG_LEVEL_DEBUG;
    return LOG_LEVEL_ERROR;
}

static void
count_failure(Front *front, const GError *error, LogLevel level)
{
    if (error->domain == STORAGEFS_ERROR && error->code >= 0 && error->code < ERROR_CODE_COUNT)
        __atomic_add_fetch(&front->failed_by_code[error->code], 1, __ATOMIC_RELAXED);
    if (level == LOG_LEVEL_ERROR)
        __atomic_add_fetch(&front->errors, 1, __ATOMIC_RELAXED);
}

void
front_reply_failure(fuse_req_t request, const char *what, const char *subject, const char *name,
                    GError **error)
{
    LogLevel level = failure_level(*error);
    count_failure(front_of(request), *error, level);
    if (log_is_enabled(level))
        log_message(level, "%s %s%s%s: %s", what, subject, name != NULL ? "/" : "", name != NULL ? name : "",
                    (*error)->message);
    int errnum = error_to_errno(*error);
    g_clear_error(error);
    fuse_reply_err(request, errnum);
}

static double
seconds(gint64 valid_us)
{
    return (double)valid_us / G_USEC_PER_SEC;
}

static struct fuse_entry_param
entry_param(Front *front, const TreeEntry *entry)
{
    return (struct fuse_entry_param){
        .ino = front_inode_of(front, entry->node),
        .attr = entry->stat,
        .attr_timeout = seconds(front_passthrough_limit_us(front, entry->node, entry->attributes_valid_us)),
        .entry_timeout = seconds(entry->entry_valid_us),
    };
}

void
front_reply_entry(fuse_req_t request, const TreeEntry *entry)
{
    Front *front = front_of(request);
    struct fuse_entry_param param = entry_param(front, entry);
    if (fuse_reply_entry(request, &param) == -ENOENT)
        tree_forget(front->tree, entry->node, 1);
}

void
front_reply_fixed_entry(fuse_req_t request, fuse_ino_t inode, struct stat attributes)
{
    struct fuse_entry_param param = {.ino = inode, .attr = attributes};
    fuse_reply_entry(request, &param);
}

void
front_reply_absent(fuse_req_t request, gint64 valid_us)
{
    if (valid_us <= 0) {
        fuse_reply_err(request, ENOENT);
        return;
    }
    struct fuse_entry_param param = {.ino = 0, .entry_timeout = seconds(valid_us)};
    fuse_reply_entry(request, &param);
}

void
front_reply_attributes(fuse_req_t request, const struct stat *attributes, gint64 valid_us)
{
    fuse_reply_attr(request, attributes, seconds(valid_us));
}

void
front_reply_text(fuse_req_t request, const char *target)
{
    fuse_reply_readlink(request, target);
}

/* One that the kernel was never to have. */
static void
close_handle(Front *front, Node *node, FileHandle *handle)
{
    g_autoptr(Call) call = tree_new_call(front->tree, node);
    tree_release(front->tree, call, node, handle);
}

static void
release_handle(Front *front, Node *node, FileHandle *handle)
{
    g_autoptr(Call) call = tree_new_call(front->tree, node);
    front_handles_release(front, call, node, handle);
}

void
front_reply_open(fuse_req_t request, Node *node, FileHandle *handle, struct fuse_file_info *info)
{
    Front *front = front_of(request);
    info->fh = (guint64)(gsize)handle;
    int errnum = front_passthrough_join(front, node, handle, info);
    if (errnum != 0) {
        close_handle(front, node, handle);
        fuse_reply_err(request, errnum);
        return;
    }
    front_handles_add(front, node, handle);
    if (fuse_reply_open(request, info) == -ENOENT)
        release_handle(front, node, handle);
}

void
front_reply_create(fuse_req_t request, const TreeEntry *entry, FileHandle *handle,
                   struct fuse_file_info *info)
{
    Front *front = front_of(request);
    info->fh = (guint64)(gsize)handle;
    int errnum = front_passthrough_join(front, entry->node, handle, info);
    if (errnum != 0) {
        close_handle(front, entry->node, handle);
        tree_forget(front->tree, entry->node, 1);
        fuse_reply_err(request, errnum);
        return;
    }
    struct fuse_entry_param param = entry_param(front, entry);
    front_handles_add(front, entry->node, handle);
    if (fuse_reply_create(request, &param, info) == -ENOENT) {
        release_handle(front, entry->node, handle);
        tree_forget(front->tree, entry->node, 1);
    }
}

gboolean
front_reply_opened(fuse_req_t request, const struct fuse_file_info *info)
{
    return fuse_reply_open(request, info) != -ENOENT;
}

void
front_reply_data(fuse_req_t request, const void *data, gsize length_bytes)
{
    fuse_reply_buf(request, data, length_bytes);
}

void
front_reply_vector(fuse_req_t request, const ReadVector *vector)
{
    fuse_reply_iov(request, vector->pieces, (int)vector->count);
}

void
front_reply_written(fuse_req_t request, gsize length_bytes)
{
    fuse_reply_write(request, length_bytes);
}

void
front_reply_offset(fuse_req_t request, guint64 offset)
{
    fuse_reply_lseek(request, (off_t)offset);
}

void
front_reply_statfs(fuse_req_t request, const struct statvfs *statistics)
{
    fuse_reply_statfs(request, statistics);
}

void
front_reply_xattr(fuse_req_t request, GBytes *value, gsize size)
{
    gsize length;
    const void *data = g_bytes_get_data(value, &length);
    if (size == 0)
        fuse_reply_xattr(request, length);
    else if (length > size)
        fuse_reply_err(request, ERANGE);
    else
        fuse_reply_buf(request, data, length);
}
