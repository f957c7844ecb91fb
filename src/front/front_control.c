#include "src/front/front_control.h"

#include "src/base/log.h"
#include "src/front/front_metrics.h"
#include "src/front/front_notify.h"
#include "src/front/front_path.h"
#include "src/front/front_reply.h"
#include "src/front/front_status.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define CONTROL_DIRECTORY_INODE 2
#define CONTROL_FIRST_FILE_INODE 3
#define CONTROL_NAME ".control"
/* How long a storage may stand still while an upload is saved elsewhere. */
#define EXPORT_PATIENCE_US (60 * G_USEC_PER_SEC)
/* An upload's number, which may be a path, and a path. */
#define COMMAND_MAX 8400

typedef struct {
    const char *name;
    mode_t mode;
    GString *(*show)(Front *front);                                      /* NULL: write-only */
    gboolean (*command)(Front *front, const char *text, GError **error); /* NULL: read-only */
    gboolean is_unlisted; /* what a subcommand writes, not people */
    gboolean is_slow; /* the command may wait for a disk or a storage: not on a thread that reads /dev/fuse */
} ControlFile;

static GString *
show_default(Front *front)
{
    g_autofree char *name = storage_set_get_default_name(front->set);
    GString *text = g_string_new(name);
    if (name != NULL)
        g_string_append_c(text, '\n');
    return text;
}

static gboolean
command_default(Front *front, const char *name, GError **error)
{
    if (*name == '\0' || strpbrk(name, "/\n") != NULL) {
        g_set_error(error, STORAGEFS_ERROR, ERROR_BAD_ARGUMENT,
                    "default: write the name of one storage, on one line");
        return FALSE;
    }
    if (!storage_set_set_default(front->set, name, error))
        return FALSE;
    tree_storages_changed(front->tree);
    return TRUE;
}

/* write(2) has only an errno for whoever asked; the reason can be read in the status. */
static void
note_reload(Front *front, const GError *failure)
{
    char *told = failure != NULL ? log_mask_secrets(failure->message) : NULL;
    lock_acquire(&front->reload_lock);
    g_free(front->reload_error);
    front->reload_error = told;
    lock_release(&front->reload_lock);
}

static gboolean
command_reload(Front *front, const char *text, GError **error)
{
    g_autoptr(GError) failure = NULL;
    gboolean ok = front->options.reload(front->options.reload_data, &failure);
    note_reload(front, failure);
    if (!ok) {
        g_propagate_error(error, g_steal_pointer(&failure));
        return FALSE;
    }
    tree_storages_changed(front->tree);
    /* Who has written may look at once, and sees what waits where it is now. */
    front_notify_settle(front->notify);
    return TRUE;
}

/* An absolute path is one of this machine; what does not lead here is meant as one below MNT. */
static gboolean
command_refresh(Front *front, const char *path, GError **error)
{
    g_autofree char *below = *path == '/' ? front_path_below(path, front->options.mount_point) : NULL;
    if (!tree_refresh(front->tree, below != NULL ? below : path, error))
        return FALSE;
    /* Who has written may look at once. */
    front_notify_settle(front->notify);
    return TRUE;
}

static gboolean
fail_command(GError **error)
{
    g_set_error(error, STORAGEFS_ERROR, ERROR_BAD_ARGUMENT,
                "journal: write retry ID, drop ID, export ID and a path on the next line, hurry, or leave");
    return FALSE;
}

static gboolean
export_upload(Front *front, const char *rest, GError **error)
{
    g_auto(GStrv) lines = g_strsplit(rest, "\n", 2);
    if (g_strv_length(lines) != 2 || lines[1][0] != '/')
        return fail_command(error);
    g_autoptr(Call) call = call_new(EXPORT_PATIENCE_US);
    return object_store_export_upload(front->store, call, lines[0], lines[1], error);
}

static gboolean
command_journal(Front *front, const char *text, GError **error)
{
    if (strcmp(text, "leave") == 0) {
        object_store_leave_uploads(front->store);
        return TRUE;
    }
    if (strcmp(text, "hurry") == 0) {
        object_store_hurry_uploads(front->store);
        return TRUE;
    }
    const char *rest = strchr(text, ' ');
    if (rest == NULL)
        return fail_command(error);
    rest++;
    if (g_str_has_prefix(text, "export "))
        return export_upload(front, rest, error);
    if (strchr(rest, '\n') != NULL)
        return fail_command(error);
    if (g_str_has_prefix(text, "retry "))
        return object_store_retry_upload(front->store, rest, error);
    return g_str_has_prefix(text, "drop ") ? object_store_drop_upload(front->store, rest, error)
                                           : fail_command(error);
}

static const ControlFile control_files[] = {
    {"default", S_IFREG | 0644, show_default, command_default},
    {"storages", S_IFREG | 0444, front_status_storages, NULL},
    {"status", S_IFREG | 0444, front_status_json, NULL},
    {"metrics", S_IFREG | 0444, front_metrics_text, NULL},
    {"uploads", S_IFREG | 0444, front_status_uploads, NULL},
    {"reload", S_IFREG | 0200, NULL, command_reload},
    {"refresh", S_IFREG | 0200, NULL, command_refresh, .is_slow = TRUE},
    {"journal", S_IFREG | 0200, NULL, command_journal, .is_unlisted = TRUE, .is_slow = TRUE},
};

gboolean
front_control_owns(fuse_ino_t inode)
{
    return inode != FUSE_ROOT_ID && inode < FRONT_FIRST_NODE_INODE;
}

static gboolean
is_in_control(fuse_ino_t parent, const char *name)
{
    return front_control_owns(parent) || (parent == FUSE_ROOT_ID && strcmp(name, CONTROL_NAME) == 0);
}

static const ControlFile *
file_of(fuse_ino_t inode)
{
    guint64 index = inode - CONTROL_FIRST_FILE_INODE;
    return index < G_N_ELEMENTS(control_files) ? &control_files[index] : NULL;
}

static fuse_ino_t
inode_of(const char *name)
{
    for (guint i = 0; i < G_N_ELEMENTS(control_files); i++)
        if (strcmp(control_files[i].name, name) == 0)
            return CONTROL_FIRST_FILE_INODE + i;
    return 0;
}

static gboolean
is_owner(fuse_req_t request)
{
    uid_t uid = fuse_req_ctx(request)->uid;
    return uid == 0 || uid == geteuid() || uid == front_of(request)->options.uid;
}

/* Where the kernel checks modes, it knows one owner: to our own user that one is shown, whoever uid= names.
 */
static struct stat
attributes_of(fuse_req_t request, fuse_ino_t inode)
{
    const ControlFile *file = file_of(inode);
    const FrontOptions *options = &front_of(request)->options;
    uid_t asks = fuse_req_ctx(request)->uid;
    return (struct stat){
        .st_ino = inode,
        .st_mode = file != NULL ? file->mode : S_IFDIR | 0555,
        .st_nlink = file != NULL ? 1 : 2,
        .st_uid = asks != 0 && asks == geteuid() ? asks : options->uid,
        .st_gid = options->gid,
        .st_blksize = 4096,
    };
}

gboolean
front_control_refuses(fuse_req_t request, fuse_ino_t parent, const char *name)
{
    gboolean is_control = is_in_control(parent, name);
    if (!is_control && (parent != FUSE_ROOT_ID || is_owner(request)))
        return FALSE;
    front_reply_errno(request, is_control ? EPERM : EACCES);
    return TRUE;
}

gboolean
front_control_lookup(fuse_req_t request, fuse_ino_t parent, const char *name)
{
    if (!is_in_control(parent, name))
        return FALSE;
    fuse_ino_t inode = parent == FUSE_ROOT_ID ? CONTROL_DIRECTORY_INODE : inode_of(name);
    if (inode == 0)
        front_reply_errno(request, ENOENT);
    else
        front_reply_fixed_entry(request, inode, attributes_of(request, inode));
    return TRUE;
}

gboolean
front_control_getattr(fuse_req_t request, fuse_ino_t inode)
{
    if (!front_control_owns(inode))
        return FALSE;
    struct stat attributes = attributes_of(request, inode);
    front_reply_attributes(request, &attributes, 0);
    return TRUE;
}

/* Shells truncate what they write to; there is nothing to change. */
gboolean
front_control_setattr(fuse_req_t request, fuse_ino_t inode)
{
    if (!front_control_owns(inode))
        return FALSE;
    if (!is_owner(request)) {
        front_reply_errno(request, EACCES);
        return TRUE;
    }
    return front_control_getattr(request, inode);
}

gboolean
front_control_opendir(fuse_req_t request, fuse_ino_t inode, struct fuse_file_info *info)
{
    if (!front_control_owns(inode))
        return FALSE;
    front_reply_opened(request, info);
    return TRUE;
}

/* The whole listing is far below one page. */
static void
list(fuse_req_t request, size_t size, off_t offset, gboolean plus)
{
    g_autofree char *bytes = g_malloc(MIN(size, 65536u));
    gsize room = MIN(size, 65536u), used = 0;
    for (guint i = (guint)MAX(offset, 0); i < G_N_ELEMENTS(control_files); i++) {
        struct fuse_entry_param param = {.attr = attributes_of(request, CONTROL_FIRST_FILE_INODE + i)};
        const char *name = control_files[i].name;
        if (control_files[i].is_unlisted)
            continue;
        gsize needed = plus ? fuse_add_direntry_plus(request, bytes + used, room - used, name, &param, i + 1)
                            : fuse_add_direntry(request, bytes + used, room - used, name, &param.attr, i + 1);
        if (needed > room - used)
            break;
        used += needed;
    }
    front_reply_data(request, bytes, used);
}

gboolean
front_control_readdir(fuse_req_t request, fuse_ino_t inode, size_t size, off_t offset)
{
    if (!front_control_owns(inode))
        return FALSE;
    list(request, size, offset, FALSE);
    return TRUE;
}

gboolean
front_control_readdirplus(fuse_req_t request, fuse_ino_t inode, size_t size, off_t offset)
{
    if (!front_control_owns(inode))
        return FALSE;
    list(request, size, offset, TRUE);
    return TRUE;
}

gboolean
front_control_create(fuse_req_t request, fuse_ino_t parent, const char *name, struct fuse_file_info *info)
{
    return front_control_refuses(request, parent, name);
}

static int
open_error(fuse_req_t request, const ControlFile *file, int flags)
{
    gboolean reads = (flags & O_ACCMODE) != O_WRONLY, writes = (flags & O_ACCMODE) != O_RDONLY;
    if (file == NULL)
        return EISDIR;
    if ((reads && file->show == NULL) || (writes && file->command == NULL))
        return EACCES;
    return writes && !is_owner(request) ? EACCES : 0;
}

gboolean
front_control_open(fuse_req_t request, fuse_ino_t inode, struct fuse_file_info *info)
{
    if (!front_control_owns(inode))
        return FALSE;
    const ControlFile *file = file_of(inode);
    int errnum = open_error(request, file, info->flags);
    if (errnum != 0) {
        front_reply_errno(request, errnum);
        return TRUE;
    }
    /* What a reader sees is made once, so that it is of one piece. Sizes are not known before: direct I/O. */
    GString *text =
        (info->flags & O_ACCMODE) != O_WRONLY ? file->show(front_of(request)) : g_string_new(NULL);
    info->fh = (guint64)(gsize)text;
    info->direct_io = 1;
    info->noflush = 1;
    if (!front_reply_opened(request, info))
        g_string_free(text, TRUE);
    return TRUE;
}

gboolean
front_control_read(fuse_req_t request, fuse_ino_t inode, size_t size, off_t offset,
                   struct fuse_file_info *info)
{
    if (!front_control_owns(inode))
        return FALSE;
    const GString *text = (const GString *)(gpointer)(gsize)info->fh;
    gsize start = MIN((gsize)offset, text->len), length = MIN(size, text->len - start);
    /* A copy: once the kernel has it, the reader may close, and release the text, before the reply returns.
     */
    g_autofree char *bytes = g_memdup2(text->str + start, length);
    front_reply_data(request, bytes, length);
    return TRUE;
}

typedef struct {
    fuse_req_t request;
    const ControlFile *file;
    char *text;
    size_t size;
} SlowCommand;

static void
run_command(fuse_req_t request, const ControlFile *file, const char *text, size_t size)
{
    g_autoptr(GError) error = NULL;
    if (file->command(front_of(request), text, &error))
        front_reply_written(request, size);
    else
        front_reply_failure(request, "write", CONTROL_NAME, file->name, &error);
}

static void
run_slow(gpointer data)
{
    SlowCommand *command = data;
    run_command(command->request, command->file, command->text, command->size);
    g_free(command->text);
    g_free(command);
}

gboolean
front_control_write(fuse_req_t request, fuse_ino_t inode, const char *data, size_t size,
                    struct fuse_file_info *info)
{
    if (!front_control_owns(inode))
        return FALSE;
    const ControlFile *file = file_of(inode);
    if (!is_owner(request)) {
        front_reply_errno(request, EACCES);
        return TRUE;
    }
    if (size > COMMAND_MAX || memchr(data, '\0', size) != NULL) {
        front_reply_errno(request, EINVAL);
        return TRUE;
    }
    g_autofree char *text = g_strndup(data, size);
    gsize length = strlen(text);
    if (length > 0 && text[length - 1] == '\n')
        text[length - 1] = '\0';
    if (file->is_slow) {
        SlowCommand *command = g_new(SlowCommand, 1);
        *command = (SlowCommand){request, file, g_steal_pointer(&text), size};
        worker_pool_push(front_of(request)->commands, run_slow, command);
    } else {
        run_command(request, file, text, size);
    }
    return TRUE;
}

gboolean
front_control_release(fuse_req_t request, fuse_ino_t inode, struct fuse_file_info *info)
{
    if (!front_control_owns(inode))
        return FALSE;
    g_string_free((GString *)(gpointer)(gsize)info->fh, TRUE);
    front_reply_ok(request);
    return TRUE;
}
