#include "src/front/front_privileges.h"

#include "src/front/front_handles.h"
#include "src/front/front_notify.h"
#include "src/front/front_passthrough.h"

#include <fcntl.h>

void
front_privileges_negotiate(Front *front, struct fuse_conn_info *connection)
{
#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 17)
    front->takes_privileges = fuse_set_feature_flag(connection, FUSE_CAP_HANDLE_KILLPRIV_V2);
#else
    front->takes_privileges = front_passthrough_take_privileges();
#endif
}

/* CAP_FSETID, which keeps the bits, is not told: root has it as a rule. */
static gboolean
is_root(fuse_req_t request)
{
    return fuse_req_ctx(request)->uid == 0;
}

gboolean
front_privileges_end_at_setattr(Front *front, fuse_req_t request, int to_set)
{
    const int sets = FUSE_SET_ATTR_MODE | FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID | FUSE_SET_ATTR_SIZE |
                     FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_ATIME_NOW |
                     FUSE_SET_ATTR_MTIME_NOW;
    if (!front->takes_privileges || (to_set & FUSE_SET_ATTR_MODE) != 0)
        return FALSE;
    return (to_set & sets) == 0 || (to_set & (FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID)) != 0 ||
           ((to_set & FUSE_SET_ATTR_SIZE) != 0 && !is_root(request));
}

gboolean
front_privileges_end_at_open(fuse_req_t request, int flags)
{
    return (flags & O_TRUNC) != 0 && !is_root(request);
}

/* Without the group's right to execute, the set-group-id bit means something else. */
static mode_t
bits_of(const struct stat *attributes)
{
    mode_t mode = attributes->st_mode;
    if (!S_ISREG(mode))
        return 0;
    return (mode & S_ISUID) | ((mode & S_IXGRP) != 0 ? mode & S_ISGID : 0);
}

gboolean
front_privileges_end_at_write(fuse_req_t request, Node *node, FileHandle *handle, gboolean writepage)
{
    Front *front = front_of(request);
    struct stat now;
    gint64 ignored;
    if (writepage || is_root(request) || !front_handles_go_past_pages(front, handle->flags))
        return FALSE;
    return !tree_stat_ready(front->tree, node, handle, &now, &ignored) || bits_of(&now) != 0;
}

gboolean
front_privileges_add_to_setattr(FrontJob *job, GError **error)
{
    struct stat now;
    gint64 ignored;
    if (!tree_stat(job->front->tree, job->call, job->node, job->handle, &now, &ignored, error))
        return FALSE;
    if (bits_of(&now) != 0) {
        job->valid |= FILE_SET_MODE;
        job->attributes.st_mode = now.st_mode & ~bits_of(&now);
    }
    return TRUE;
}

gboolean
front_privileges_end(FrontJob *job, FileHandle *handle, GError **error)
{
    Front *front = job->front;
    struct stat now, after;
    gint64 ignored;
    if (!tree_stat(front->tree, job->call, job->node, handle, &now, &ignored, error))
        return FALSE;
    if (bits_of(&now) == 0)
        return TRUE;
    now.st_mode &= ~bits_of(&now);
    if (!tree_set_attributes(front->tree, job->call, job->node, handle, FILE_SET_MODE, &now, NULL, &after,
                             &ignored, error))
        return FALSE;
    /* The kernel would execute the file with the bits that it knows. */
    TreeObserver observer = front_notify_get_observer(front->notify);
    observer.attributes_changed(observer.data, job->node);
    return TRUE;
}
