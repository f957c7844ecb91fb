#include "src/front/front_passthrough.h"

#include "src/base/log.h"
#include "src/front/front_mount.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/fuse.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <unistd.h>

/* Since 3.17 libfuse itself asks the kernel for passthrough and puts the id into the reply. */
#define LIBFUSE_HAS_PASSTHROUGH (FUSE_VERSION >= FUSE_MAKE_VERSION(3, 17))

/* Ours: backing files lie on file systems of depth 0 only. With 2, those on overlayfs could be passed
 * through, but then this mount could not be a layer of an overlayfs. */
#define STACK_DEPTH 1

/* Of Linux 6.9; named here because the headers may be older than the kernel. Ids are made and given back by
 * the device's own calls with every libfuse: its functions want a request, which a release at the end of the
 * mount does not have, and print each refusal to stderr. */
typedef struct {
    gint32 fd;
    guint32 flags;
    guint64 padding;
} BackingMap;
#define BACKING_OPEN _IOW(229, 1, BackingMap)
#define BACKING_CLOSE _IOW(229, 2, guint32)

/* The open handles of one Node: all are passed through to one file, or none is. */
typedef struct {
    gint32 id; /* the kernel's; 0: not passed through */
    dev_t device;
    ino_t inode;
    guint handles, writers;
} OpenNode;

struct FrontPassthrough {
    Lock lock;
    GHashTable *nodes;       /* Node * → OpenNode *, while something is open */
    GHashTable *refused;     /* dev_t as guint64 *: file systems that are stacked themselves */
    const char *reason;      /* atomic; NULL: in force */
    gboolean wanted;         /* and allowed to us */
    int own_device;          /* of a mount made by front_passthrough_mount(); -1 none */
    int written_nodes;       /* atomic: passed through and open for writing */
    guint64 opens, refusals; /* atomic */
};

static gboolean
has_admin_capability(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3] = {0};
    return syscall(SYS_capget, &header, sets) == 0 && (sets[0].effective & (1u << CAP_SYS_ADMIN)) != 0;
}

FrontPassthrough *
front_passthrough_new(gboolean wanted)
{
    FrontPassthrough *passthrough = g_new0(FrontPassthrough, 1);
    lock_init(&passthrough->lock);
    passthrough->nodes = g_hash_table_new_full(NULL, NULL, NULL, g_free);
    passthrough->refused = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
    passthrough->own_device = -1;
    passthrough->wanted = wanted && has_admin_capability();
    passthrough->reason = !wanted                ? "it is switched off"
                          : !passthrough->wanted ? "it needs root (CAP_SYS_ADMIN)"
                                                 : "the kernel does not offer it (Linux 6.9 does)";
    return passthrough;
}

void
front_passthrough_free(FrontPassthrough *passthrough)
{
    g_hash_table_unref(passthrough->nodes);
    g_hash_table_unref(passthrough->refused);
    lock_clear(&passthrough->lock);
    g_free(passthrough);
}

const char *
front_passthrough_get_reason(FrontPassthrough *passthrough)
{
    return g_atomic_pointer_get(&passthrough->reason);
}

void
front_passthrough_get_statistics(FrontPassthrough *passthrough, PassthroughStatistics *out)
{
    out->opens = __atomic_load_n(&passthrough->opens, __ATOMIC_RELAXED);
    out->refusals = __atomic_load_n(&passthrough->refusals, __ATOMIC_RELAXED);
}

#if LIBFUSE_HAS_PASSTHROUGH

gboolean
front_passthrough_mount(Front *front)
{
    return FALSE;
}

gboolean
front_passthrough_unmount(Front *front)
{
    return FALSE;
}

void
front_passthrough_amend_mounted(Front *front)
{
}

void
front_passthrough_negotiate(Front *front, struct fuse_conn_info *connection)
{
    FrontPassthrough *passthrough = front->passthrough;
    if (!passthrough->wanted || !fuse_set_feature_flag(connection, FUSE_CAP_PASSTHROUGH))
        return;
    connection->max_backing_stack_depth = STACK_DEPTH - 1; /* theirs */
    g_atomic_pointer_set(&passthrough->reason, NULL);
}

gboolean
front_passthrough_take_privileges(void)
{
    return FALSE;
}

static void
amend_reply(struct fuse_file_info *info, gint32 id)
{
    info->backing_id = id;
}

#else

#define INIT_WANTS_PASSTHROUGH (1u << 5) /* FUSE_PASSTHROUGH, bit 37, of the upper word */
#define OPEN_IS_PASSED (1u << 7)         /* FOPEN_PASSTHROUGH */

/* What to put into the next reply that this thread sends: the callers reply at once. */
static __thread gint32 reply_id;
static __thread gboolean reply_is_init;
/* What the kernel offered in the INIT request that this thread reads: the lower word and the upper one. */
static __thread guint32 offered_low, offered;
static __thread gboolean init_passes_files, init_takes_privileges;

/* The fields after flags2 are unnamed in older headers; the first is max_stack_depth. */
static void
amend_init(void *reply, gsize length_bytes)
{
    struct fuse_init_out init = {0};
    gsize known_bytes = MIN(length_bytes, sizeof init); /* an old kernel takes less */
    const guint32 depth = STACK_DEPTH;
    const gsize depth_offset = offsetof(struct fuse_init_out, flags2) + sizeof init.flags2;
    memcpy(&init, reply, known_bytes);
    /* libfuse 3.14 knows it and leaves it out. Without it the kernel looks up one name of a directory at a
     * time. */
    init.flags |= offered_low & FUSE_PARALLEL_DIROPS;
    if (init_takes_privileges)
        init.flags |= FUSE_HANDLE_KILLPRIV_V2;
    if (init_passes_files) {
        init.flags |= FUSE_INIT_EXT;
        init.flags2 |= INIT_WANTS_PASSTHROUGH;
        memcpy((guint8 *)&init + depth_offset, &depth, sizeof depth);
    }
    memcpy(reply, &init, known_bytes);
}

/* The reply to OPEN is a fuse_open_out, that to CREATE ends with one; its last word is the id. */
static void
amend_open(void *reply, gsize length_bytes, gint32 id)
{
    struct fuse_open_out open;
    g_assert(length_bytes >= sizeof open);
    guint8 *at = (guint8 *)reply + length_bytes - sizeof open;
    memcpy(&open, at, sizeof open);
    open.open_flags |= OPEN_IS_PASSED;
    memcpy(at, &open, sizeof open);
    memcpy(at + sizeof open - sizeof id, &id, sizeof id);
}

static ssize_t
write_reply(int fd, struct iovec *pieces, int count, void *data)
{
    if (G_UNLIKELY(count > 1 && (reply_is_init || reply_id != 0))) {
        struct iovec *reply = &pieces[count - 1];
        if (reply_is_init)
            amend_init(reply->iov_base, reply->iov_len);
        else
            amend_open(reply->iov_base, reply->iov_len, reply_id);
        reply_is_init = FALSE;
        reply_id = 0;
    }
    return writev(fd, pieces, count);
}

static ssize_t
read_request(int fd, void *buffer, size_t size, void *data)
{
    ssize_t length = read(fd, buffer, size);
    const struct fuse_in_header *header = buffer;
    const struct fuse_init_in *init = (const struct fuse_init_in *)(header + 1);
    if (length > 0 && G_UNLIKELY(header->opcode == FUSE_INIT)) {
        gsize bytes = (gsize)length - sizeof *header;
        offered_low = bytes >= offsetof(struct fuse_init_in, flags) + sizeof init->flags ? init->flags : 0;
        offered = bytes >= sizeof *init && (offered_low & FUSE_INIT_EXT) != 0 ? init->flags2 : 0;
    }
    return length;
}

static gboolean
amend_replies(Front *front, int device)
{
    static const struct fuse_custom_io io = {.writev = write_reply, .read = read_request};
    return fuse_session_custom_io(front->session, &io, device) == 0;
}

void
front_passthrough_amend_mounted(Front *front)
{
    if (!amend_replies(front, fuse_session_fd(front->session)))
        log_warning(
            "libfuse does not let us amend replies: the names of a directory are looked up one by one");
}

gboolean
front_passthrough_mount(Front *front)
{
    FrontPassthrough *passthrough = front->passthrough;
    if (!passthrough->wanted)
        return FALSE;
    int device = front_mount_open_device(&front->options);
    if (device < 0) {
        g_atomic_pointer_set(&passthrough->reason, "mount(2) does not let us");
        return FALSE;
    }
    if (!amend_replies(front, device)) {
        front_mount_end(front->options.mount_point, device);
        close(device);
        g_atomic_pointer_set(&passthrough->reason, "libfuse does not let us amend replies");
        return FALSE;
    }
    passthrough->own_device = device;
    return TRUE;
}

gboolean
front_passthrough_unmount(Front *front)
{
    int device = front->passthrough->own_device;
    if (device < 0)
        return FALSE;
    front_mount_end(front->options.mount_point, device);
    return TRUE;
}

void
front_passthrough_negotiate(Front *front, struct fuse_conn_info *connection)
{
    FrontPassthrough *passthrough = front->passthrough;
    reply_is_init = TRUE;
    init_passes_files = passthrough->own_device >= 0 && (offered & INIT_WANTS_PASSTHROUGH) != 0;
    if (!init_passes_files)
        return;
    g_atomic_pointer_set(&passthrough->reason, NULL);
}

/* Nothing is offered where replies cannot be amended: requests are not seen there either. */
gboolean
front_passthrough_take_privileges(void)
{
    init_takes_privileges = (offered_low & FUSE_HANDLE_KILLPRIV_V2) != 0;
    return init_takes_privileges;
}

static void
amend_reply(struct fuse_file_info *info, gint32 id)
{
    reply_id = id;
}

#endif

/* The file that a handle offers. */
typedef struct {
    int fd; /* borrowed; -1 none */
    dev_t device;
    ino_t inode;
    gboolean is_writer;
    gboolean lacks_direct; /* O_DIRECT goes with each open to the file, and one that fails there is EIO */
} Offer;

static gboolean
is_writer(const FileHandle *handle)
{
    return (handle->flags & O_ACCMODE) != O_RDONLY;
}

static gboolean
lacks_direct(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_DIRECT) != 0)
        return TRUE;
    fcntl(fd, F_SETFL, flags);
    return FALSE;
}

static void
take_offer(FileHandle *handle, Offer *out)
{
    struct stat attributes = {0};
    const FileHandleOperations *operations = handle->operations;
    int fd = operations->get_backing_fd != NULL ? operations->get_backing_fd(handle) : -1;
    if (fd >= 0 && fstat(fd, &attributes) != 0)
        fd = -1;
    *out = (Offer){.fd = fd,
                   .device = attributes.st_dev,
                   .inode = attributes.st_ino,
                   .is_writer = is_writer(handle),
                   .lacks_direct = (handle->flags & O_DIRECT) != 0 && fd >= 0 && lacks_direct(fd)};
}

/* 0 and errno when the kernel refuses. It keeps the descriptor's open file: one that may write would keep
 * programs below from executing the file for as long as any reader here has it open. */
static gint32
make_id(Front *front, const Offer *offer)
{
    char path[32];
    int reader = -1;
    if (offer->is_writer) {
        g_snprintf(path, sizeof path, "/proc/self/fd/%d", offer->fd);
        reader = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    }
    BackingMap map = {.fd = reader >= 0 ? reader : offer->fd};
    int id = ioctl(fuse_session_fd(front->session), BACKING_OPEN, &map);
    int errnum = errno;
    if (reader >= 0)
        close(reader);
    errno = errnum;
    return MAX(id, 0);
}

static void
give_id_back(Front *front, gint32 id)
{
    guint32 value = (guint32)id;
    if (id != 0)
        ioctl(fuse_session_fd(front->session), BACKING_CLOSE, &value);
}

/* What can be learned from a refusal, so that not every open asks in vain. */
static void
note_refusal(FrontPassthrough *passthrough, dev_t device, int errnum)
{
    __atomic_add_fetch(&passthrough->refusals, 1, __ATOMIC_RELAXED);
    if (errnum == ELOOP) {
        guint64 key = device;
        lock_acquire(&passthrough->lock);
        gboolean is_new = g_hash_table_add(passthrough->refused, g_memdup2(&key, sizeof key));
        lock_release(&passthrough->lock);
        if (is_new)
            log_info("files on device %u:%u are not passed through: their file system lies on another one",
                     major(device), minor(device));
    } else if (errnum == EPERM || errnum == EOPNOTSUPP || errnum == ENOTTY) {
        g_atomic_pointer_set(&passthrough->reason, "the kernel refuses it");
        log_info("passthrough is off: the kernel refuses it: %s", g_strerror(errnum));
    }
}

/* 0: this file is not passed through. */
static gint32
try_offer(Front *front, const Offer *offer)
{
    FrontPassthrough *passthrough = front->passthrough;
    guint64 device = offer->device;
    lock_acquire(&passthrough->lock);
    gboolean is_refused = g_hash_table_contains(passthrough->refused, &device);
    lock_release(&passthrough->lock);
    if (offer->fd < 0 || offer->lacks_direct || is_refused)
        return 0;
    gint32 id = make_id(front, offer);
    if (id == 0)
        note_refusal(passthrough, offer->device, errno);
    return id;
}

static int
check_offer(const OpenNode *open, const Offer *offer)
{
    if (open->id == 0)
        return 0;
    if (offer->fd < 0 || open->device != offer->device || open->inode != offer->inode)
        return ESTALE;
    return offer->lacks_direct ? EINVAL : 0;
}

static gboolean
knows_node(FrontPassthrough *passthrough, Node *node)
{
    lock_acquire(&passthrough->lock);
    gboolean known = g_hash_table_contains(passthrough->nodes, node);
    lock_release(&passthrough->lock);
    return known;
}

static OpenNode *
insert_node_locked(FrontPassthrough *passthrough, Node *node, const Offer *offer, gint32 *new_id)
    REQUIRES(passthrough->lock)
{
    OpenNode *open = g_new(OpenNode, 1);
    *open = (OpenNode){.id = *new_id, .device = offer->device, .inode = offer->inode};
    *new_id = 0;
    g_hash_table_insert(passthrough->nodes, node, open);
    return open;
}

/* 0 or an errno. new_id: what a Node that nobody has open gets (another thread may have been faster); NULL:
 * such a Node is ENOENT. *out_id 0: not passed through. */
static int
add_handle(FrontPassthrough *passthrough, Node *node, const Offer *offer, gint32 *new_id, gint32 *out_id)
{
    lock_acquire(&passthrough->lock);
    OpenNode *open = g_hash_table_lookup(passthrough->nodes, node);
    if (open == NULL && new_id != NULL)
        open = insert_node_locked(passthrough, node, offer, new_id);
    int errnum = open != NULL ? check_offer(open, offer) : ENOENT;
    if (errnum == 0) {
        open->handles++;
        *out_id = open->id;
        if (open->id != 0 && offer->is_writer && open->writers++ == 0)
            g_atomic_int_inc(&passthrough->written_nodes);
    }
    lock_release(&passthrough->lock);
    return errnum;
}

int
front_passthrough_join(Front *front, Node *node, FileHandle *handle, struct fuse_file_info *info)
{
    FrontPassthrough *passthrough = front->passthrough;
    gint32 new_id = 0, id = 0;
    Offer offer;
    if (front_passthrough_get_reason(passthrough) != NULL && !knows_node(passthrough, node))
        return 0;
    take_offer(handle, &offer);
    int errnum = add_handle(passthrough, node, &offer, NULL, &id);
    if (errnum == ENOENT) {
        new_id = try_offer(front, &offer);
        errnum = add_handle(passthrough, node, &offer, &new_id, &id);
        give_id_back(front, new_id);
    }
    if (errnum != 0 || id == 0)
        return errnum;
    __atomic_add_fetch(&passthrough->opens, 1, __ATOMIC_RELAXED);
    info->keep_cache = 0;
    info->direct_io = 0;
    amend_reply(info, id);
    return 0;
}

/* Nothing is stale now: attributes that the kernel got while there were writers were good for no time. */
void
front_passthrough_leave(Front *front, Node *node, const FileHandle *handle)
{
    FrontPassthrough *passthrough = front->passthrough;
    gint32 unused = 0;
    lock_acquire(&passthrough->lock);
    OpenNode *open = g_hash_table_lookup(passthrough->nodes, node);
    if (open != NULL && open->id != 0 && is_writer(handle) && --open->writers == 0)
        g_atomic_int_add(&passthrough->written_nodes, -1);
    if (open != NULL && --open->handles == 0) {
        unused = open->id;
        g_hash_table_remove(passthrough->nodes, node);
    }
    lock_release(&passthrough->lock);
    if (unused != 0)
        give_id_back(front, unused);
}

gint64
front_passthrough_limit_us(Front *front, Node *node, gint64 valid_us)
{
    FrontPassthrough *passthrough = front->passthrough;
    if (g_atomic_int_get(&passthrough->written_nodes) == 0)
        return valid_us;
    lock_acquire(&passthrough->lock);
    const OpenNode *open = g_hash_table_lookup(passthrough->nodes, node);
    gboolean is_written = open != NULL && open->writers > 0;
    lock_release(&passthrough->lock);
    return is_written ? 0 : valid_us;
}
