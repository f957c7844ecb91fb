/* File attributes ↔ what is stored with an object. Pure functions.
 *
 * Written: `mtime` (decimal seconds, or seconds and exactly nine digits), `mode` (decimal st_mode with type
 * bits), `uid`, `gid` as user metadata, which s3fs and rclone read too. Read also: every other spelling of
 * shared attribute names (rclone, s3fs, gcsfuse, geesefs, gsutil, blobfuse2), first hit wins. What does not
 * parse counts as absent and is kept as it is. Spec: the writers' own sources, listed in attributes.c.
 */
#pragma once

#include "src/storage/driver.h"

#include <glib.h>
#include <sys/stat.h>

/* As mtime_ns to be encoded: no time is stored, the service's own counts. */
#define ATTRIBUTES_NO_TIME G_MININT64

typedef struct {
    guint64 size_bytes;
    gint64 mtime_ns;
    mode_t mode; /* type and permission bits */
    uid_t uid;
    gid_t gid;
} FileAttributes;

/* What an object without the metadata gets. */
typedef struct {
    mode_t file_mode, folder_mode; /* permission bits */
    uid_t uid;
    gid_t gid;
} AttributeDefaults;

/* metadata of info NULL (not known): size, service's time, defaults. A key that ends in '/' with size 0, or
 * one of the folder marks, is a folder. A symlink is as large as its target. */
void attributes_decode(const ObjectInfo *info, const AttributeDefaults *defaults, FileAttributes *out);

/* The metadata to store: `others` (may be NULL) without any spelling of ours, plus ours. New reference. */
Metadata *attributes_encode(const FileAttributes *attributes, Metadata *others);

/* Removes what describes content that is being replaced (rclone's checksum). */
void attributes_forget_content(Metadata *metadata);

/* TRUE for the names of the tables above: they are not offered as user.* xattrs. */
gboolean attributes_is_reserved(const char *metadata_name);

/* A symlink whose target stands in metadata rather than in the body (geesefs, old gcsfuse): the target, else
 * NULL. Borrowed. */
const char *attributes_get_symlink_target(const ObjectInfo *info);

/* Content type for a new object by the name's extension, never NULL; constant. */
const char *attributes_guess_content_type(const char *key);
