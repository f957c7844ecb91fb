/* The directory of a disk cache: one process at a time has it, and finds by it what the last one left.
 *
 * A process that ends in order writes the list of its files, under a CRC-32C; the next one takes it, so that
 * the list is there only while it is true. Without it the directory is scanned.
 */
#pragma once

#include "src/object/disk_cache_file.h"

#include <glib.h>

typedef struct {
    DiskCacheName name;
    guint64 disk_bytes;
} DiskCacheRecord;

/* path: a private directory that is there. Returns a descriptor that keeps other processes out while it is
 * open; -1 with *out_taken TRUE and no error: another one has it. Fails: NOT_FOUND, DENIED, IO. */
int disk_cache_folder_open(const char *path, gboolean *out_taken, GError **error);

/* Both give DiskCacheRecords, the least recently used first; the caller unrefs. */
/* NULL: there is no list, or it cannot be believed. */
GArray *disk_cache_folder_take_list(int folder_fd);
/* Removes files without a partner. Ends early when *stop (atomic) is not 0. Blocks: long. */
GArray *disk_cache_folder_scan(int folder_fd, gint *stop);

/* Fails: NO_SPACE, IO: then the next process scans. */
gboolean disk_cache_folder_leave_list(int folder_fd, const GArray *records, GError **error);

/* How much more may be written: the last twentieth of the file system, at most 1 GiB, is left to others, so
 * it can be negative. G_MAXINT64: not known. */
gint64 disk_cache_folder_get_room(int folder_fd);
