/* MNT/.control/: a directory of small files that show and steer the daemon. Hidden from MNT's listing.
 *
 *   default   read, write   the default storage's name; writing another name switches
 *   storages  read          a line per storage: name, driver, state, what it is
 *   status    read          JSON: everything `storagefs status` shows
 *   metrics   read          Prometheus text
 *   uploads   read          what is being stored, waits or could not be stored
 *   journal   write         what becomes of what waits: retry, drop, export, hurry, leave
 *   reload    write         re-reads the configuration
 *   refresh   write         a path, absolute or below MNT: forget what is cached about it
 *
 * Only the owner of the mount may write, and make links in MNT, which choose the default: root, the daemon's
 * user, and the one of uid=. A bad write fails at write(2) and changes nothing.
 * Each function answers the request and returns TRUE when it concerns the control directory.
 */
#pragma once

#include "src/front/front_internal.h"

gboolean front_control_owns(fuse_ino_t inode);
/* Changes of names: EPERM for those in .control, and of .control itself; EACCES in MNT for all but the owner.
 */
gboolean front_control_refuses(fuse_req_t request, fuse_ino_t parent, const char *name);

gboolean front_control_lookup(fuse_req_t request, fuse_ino_t parent, const char *name);
gboolean front_control_getattr(fuse_req_t request, fuse_ino_t inode);
gboolean front_control_setattr(fuse_req_t request, fuse_ino_t inode);
gboolean front_control_opendir(fuse_req_t request, fuse_ino_t inode, struct fuse_file_info *info);
gboolean front_control_readdir(fuse_req_t request, fuse_ino_t inode, size_t size, off_t offset);
gboolean front_control_readdirplus(fuse_req_t request, fuse_ino_t inode, size_t size, off_t offset);
gboolean front_control_create(fuse_req_t request, fuse_ino_t parent, const char *name,
                              struct fuse_file_info *info);
gboolean front_control_open(fuse_req_t request, fuse_ino_t inode, struct fuse_file_info *info);
gboolean front_control_read(fuse_req_t request, fuse_ino_t inode, size_t size, off_t offset,
                            struct fuse_file_info *info);
gboolean front_control_write(fuse_req_t request, fuse_ino_t inode, const char *data, size_t size,
                             struct fuse_file_info *info);
gboolean front_control_release(fuse_req_t request, fuse_ino_t inode, struct fuse_file_info *info);
