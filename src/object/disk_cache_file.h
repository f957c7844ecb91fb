/* One object's bytes in the disk cache: two files that its name, a digest of its identity, leads to.
 *
 *   ab/cdef...       the object's bytes where they are known, holes elsewhere; exactly as long as the object
 *   ab/cdef....map   a header (format, identity, all under a CRC-32C), then 8 bytes for each block of the
 * object: the block's CRC-32C, and a CRC-32C of that, the block's number and the header's random number;
 * zeros: the block is not there
 *
 * Nothing is synchronised to disk, because nothing is believed: a record that a power failure tore does not
 * fit its own CRC, one that came to disk before its block does not fit the block. Each block is compared with
 * its record the first time it is read in a process; what does not fit is forgotten. Thread-safe, reference
 * counted.
 */
#pragma once

#include <glib.h>

#define DISK_CACHE_FILE_BLOCK_BYTES 4096u

/* What an object's bytes depend on. */
typedef struct {
    const char *place; /* storage_get_place() */
    const char *container, *key, *etag;
    guint64 size_bytes; /* not 0 */
} DiskCacheObject;

typedef struct {
    guint8 bytes[16];
} DiskCacheName;

void disk_cache_file_name(const DiskCacheObject *object, DiskCacheName *out);

typedef struct DiskCacheFile DiskCacheFile;

/* folder_fd: the cache's directory. Fails: NOT_FOUND; PROTOCOL (damaged, another format or object, others may
 * read it): to be removed; NO_RESOURCES, IO. Blocks: for local disk. */
DiskCacheFile *disk_cache_file_open(int folder_fd, const DiskCacheName *name, const DiskCacheObject *object,
                                    GError **error);
/* New and empty, in the place of what has that name. Fails: NO_SPACE, NO_RESOURCES, IO ... */
DiskCacheFile *disk_cache_file_create(int folder_fd, const DiskCacheName *name, const DiskCacheObject *object,
                                      GError **error);
DiskCacheFile *disk_cache_file_ref(DiskCacheFile *file);
void disk_cache_file_unref(DiskCacheFile *file);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DiskCacheFile, disk_cache_file_unref)
/* Whoever has them open keeps them. Absent is success. */
void disk_cache_file_remove(int folder_fd, const DiskCacheName *name);

typedef enum {
    DISK_CACHE_READ,    /* the buffer is filled */
    DISK_CACHE_ABSENT,  /* at least one block is not there; this and below: the buffer may be overwritten */
    DISK_CACHE_DAMAGED, /* at least one block was not what it has been: it is absent now */
    DISK_CACHE_BROKEN   /* the disk fails, or the file was cut: to be removed */
} DiskCacheResult;

/* The range lies inside the object. Blocks: for local disk. */
DiskCacheResult disk_cache_file_read(DiskCacheFile *file, guint64 offset, gsize length_bytes, void *buffer);
/* Keeps the whole blocks of the range (the object's last one may be short) that are not known already. Fails:
 * NO_SPACE, IO ... */
gboolean disk_cache_file_write(DiskCacheFile *file, guint64 offset, gsize length_bytes, const void *data,
                               GError **error);
/* TRUE when every block of the range is there and was compared, or written, in this process. No I/O. */
gboolean disk_cache_file_knows(DiskCacheFile *file, guint64 offset, gsize length_bytes);
/* The same of the whole object. Such a file never changes any more. */
gboolean disk_cache_file_is_complete(DiskCacheFile *file);
/* For a file of which that was true, opened again in the same process. */
void disk_cache_file_set_complete(DiskCacheFile *file);
/* What both files take on disk. */
guint64 disk_cache_file_get_disk_bytes(DiskCacheFile *file);
/* A descriptor of its own for reading the bytes; the caller closes it. -1: there is none to be had. */
int disk_cache_file_open_data(DiskCacheFile *file);
