/* The only caller of fuse_reply_*: every request is answered by exactly one of these. A reply that the kernel
 * does not take (the process was killed) gives back what it carried: lookups are forgotten, handles released.
 */
#pragma once

#include "src/front/front_internal.h"

void front_reply_errno(fuse_req_t request, int errnum);
/* Replies with the errno of *error, counts and logs the failure, frees *error. subject: the path below MNT;
 * name: the entry in it, or NULL. */
void front_reply_failure(fuse_req_t request, const char *what, const char *subject, const char *name,
                         GError **error);
void front_reply_none(fuse_req_t request);
void front_reply_ok(fuse_req_t request);
void front_reply_entry(fuse_req_t request, const TreeEntry *entry);
/* An entry that is no Node (.control); the kernel keeps nothing of it. */
void front_reply_fixed_entry(fuse_req_t request, fuse_ino_t inode, struct stat attributes);
/* An absence the kernel may keep for valid_us. */
void front_reply_absent(fuse_req_t request, gint64 valid_us);
void front_reply_attributes(fuse_req_t request, const struct stat *attributes, gint64 valid_us);
void front_reply_text(fuse_req_t request, const char *target);
/* Takes the handle: releases it on `node` when the kernel does not want it. */
void front_reply_open(fuse_req_t request, Node *node, FileHandle *handle, struct fuse_file_info *info);
void front_reply_create(fuse_req_t request, const TreeEntry *entry, FileHandle *handle,
                        struct fuse_file_info *info);
/* TRUE when the kernel took it. */
gboolean front_reply_opened(fuse_req_t request, const struct fuse_file_info *info);
void front_reply_data(fuse_req_t request, const void *data, gsize length_bytes);
void front_reply_vector(fuse_req_t request, const ReadVector *vector);
void front_reply_written(fuse_req_t request, gsize length_bytes);
void front_reply_offset(fuse_req_t request, guint64 offset);
void front_reply_statfs(fuse_req_t request, const struct statvfs *statistics);
/* size 0 asks for the length alone. */
void front_reply_xattr(fuse_req_t request, GBytes *value, gsize size);
