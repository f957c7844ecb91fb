#include "src/object/disk_cache_file.h"

#include "src/base/crc32c.h"
#include "src/base/error.h"
#include "src/base/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOCK DISK_CACHE_FILE_BLOCK_BYTES
/* Blocks that are compared, or written, in one step. */
#define STEP_BLOCKS 256u
#define CHUNK_BLOCKS 4096u
#define MAXIMUM_TEXT_BYTES (16u << 10)
#define FORMAT 1u
#define NAME_LENGTH 34

static const char MAGIC[8] = {'s', 'f', 's', 'c', 'a', 'c', 'h', 'e'};

typedef struct {
    char magic[8];
    guint32 format, block_bytes;
    guint64 size_bytes, random;
    guint32 text_bytes; /* place, container, key, etag, each with its NUL, follow */
    guint32 crc;        /* of all this with 0 here, and the text */
} Header;

/* Which blocks of 16 MiB are known: only what is touched takes memory. */
typedef struct {
    gint64 index;
    guint8 bits[CHUNK_BLOCKS / 8];
} Chunk;

struct DiskCacheFile {
    gint references;
    int data_fd, map_fd;
    guint64 size_bytes, blocks, random;
    off_t records_at;
    Lock lock; /* a leaf; guards what follows */
    GHashTable *chunks;
    guint64 known_blocks;
    gboolean complete; /* then chunks are not looked at */
};

static void
add_text(GString *text, const char *word)
{
    g_string_append_len(text, word, (gssize)strlen(word) + 1);
}

static GString *
describe(const DiskCacheObject *object)
{
    GString *text = g_string_new(NULL);
    add_text(text, object->place);
    add_text(text, object->container);
    add_text(text, object->key);
    add_text(text, object->etag);
    return text;
}

void
disk_cache_file_name(const DiskCacheObject *object, DiskCacheName *out)
{
    guint8 digest[32];
    gsize length = sizeof digest;
    GString *text = describe(object);
    g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA256);
    g_checksum_update(sum, (const guchar *)&object->size_bytes, sizeof object->size_bytes);
    g_checksum_update(sum, (const guchar *)text->str, (gssize)text->len);
    g_checksum_get_digest(sum, digest, &length);
    memcpy(out->bytes, digest, sizeof out->bytes);
    g_string_free(text, TRUE);
}

/* "ab/" and the other 30 digits. */
static void
print_name(const DiskCacheName *name, char out[NAME_LENGTH])
{
    char *at = out;
    for (guint i = 0; i < sizeof name->bytes; i++) {
        at += g_snprintf(at, 3, "%02x", name->bytes[i]);
        if (i == 0)
            *at++ = '/';
    }
}

static void
print_map_name(const DiskCacheName *name, char out[NAME_LENGTH + 4])
{
    print_name(name, out);
    memcpy(out + NAME_LENGTH - 1, ".map", 5);
}

static gboolean
read_all(int fd, void *buffer, gsize length_bytes, off_t offset)
{
    guint8 *at = buffer;
    while (length_bytes > 0) {
        ssize_t got = pread(fd, at, length_bytes, offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return FALSE;
        at += got;
        offset += got;
        length_bytes -= (gsize)got;
    }
    return TRUE;
}

static gboolean
write_all(int fd, const void *data, gsize length_bytes, off_t offset)
{
    const guint8 *at = data;
    while (length_bytes > 0) {
        ssize_t written = pwrite(fd, at, length_bytes, offset);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return FALSE;
        at += written;
        offset += written;
        length_bytes -= (gsize)written;
    }
    return TRUE;
}

static guint32
header_crc(const Header *header, const char *text)
{
    Header copy = *header;
    copy.crc = 0;
    return crc32c_append(crc32c_append(0, &copy, sizeof copy), text, header->text_bytes);
}

static guint64
make_record(const DiskCacheFile *file, guint64 index, guint32 crc)
{
    guint64 parts[3] = {file->random, index, crc};
    return ((guint64)crc32c_append(0, parts, sizeof parts) << 32) | crc;
}

static off_t
record_offset(const DiskCacheFile *file, guint64 index)
{
    return file->records_at + (off_t)(index * sizeof(guint64));
}

static DiskCacheFile *
file_new(int data_fd, int map_fd, guint64 size_bytes, guint64 random, gsize text_bytes)
{
    DiskCacheFile *file = g_new0(DiskCacheFile, 1);
    file->references = 1;
    file->data_fd = data_fd;
    file->map_fd = map_fd;
    file->size_bytes = size_bytes;
    file->blocks = (size_bytes + BLOCK - 1) / BLOCK;
    file->random = random;
    file->records_at = (off_t)((sizeof(Header) + text_bytes + 7) / 8 * 8);
    lock_init(&file->lock);
    file->chunks = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
    return file;
}

DiskCacheFile *
disk_cache_file_ref(DiskCacheFile *file)
{
    g_atomic_int_inc(&file->references);
    return file;
}

void
disk_cache_file_unref(DiskCacheFile *file)
{
    if (file == NULL || !g_atomic_int_dec_and_test(&file->references))
        return;
    close(file->data_fd);
    close(file->map_fd);
    g_hash_table_unref(file->chunks);
    lock_clear(&file->lock);
    g_free(file);
}

static gboolean
fail(GError **error, ErrorCode code, const char *why)
{
    g_set_error(error, STORAGEFS_ERROR, code, "disk cache: %s", why);
    return FALSE;
}

static gboolean
fail_errno(GError **error, const char *what)
{
    return error_set_errno(error, errno, "disk cache: %s", what);
}

/* A file of ours that nobody else can have put something into. */
static int
open_private(int folder_fd, const char *name, guint64 *out_size_bytes, GError **error)
{
    struct stat status;
    int fd = openat(folder_fd, name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) {
        if (errno == ELOOP || errno == EISDIR || errno == ENXIO)
            fail(error, ERROR_PROTOCOL, "something else has the name of a file");
        else
            fail_errno(error, "open");
        return -1;
    }
    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode) || status.st_uid != geteuid() ||
        (status.st_mode & 077) != 0 || status.st_nlink != 1) {
        fail(error, ERROR_PROTOCOL, "a file is not, or not only, ours");
        close(fd);
        return -1;
    }
    *out_size_bytes = (guint64)status.st_size;
    return fd;
}

static gboolean
check_header(int map_fd, guint64 map_bytes, const DiskCacheObject *object, Header *header, GError **error)
{
    GString *text = describe(object);
    gsize wanted_bytes = text->len;
    g_autofree char *wanted = g_string_free(text, FALSE);
    g_autofree char *found = NULL;
    if (!read_all(map_fd, header, sizeof *header, 0) || memcmp(header->magic, MAGIC, sizeof MAGIC) != 0 ||
        header->format != FORMAT || header->block_bytes != BLOCK || header->text_bytes != wanted_bytes ||
        header->size_bytes != object->size_bytes)
        return fail(error, ERROR_PROTOCOL, "a map has another format or object");
    found = g_malloc(wanted_bytes);
    if (!read_all(map_fd, found, wanted_bytes, sizeof *header) || memcmp(found, wanted, wanted_bytes) != 0 ||
        header_crc(header, found) != header->crc)
        return fail(error, ERROR_PROTOCOL, "the header of a map is damaged");
    guint64 blocks = (header->size_bytes + BLOCK - 1) / BLOCK;
    if (map_bytes != (sizeof *header + wanted_bytes + 7) / 8 * 8 + blocks * sizeof(guint64))
        return fail(error, ERROR_PROTOCOL, "a map is not as long as it was");
    return TRUE;
}

DiskCacheFile *
disk_cache_file_open(int folder_fd, const DiskCacheName *name, const DiskCacheObject *object, GError **error)
{
    char data_name[NAME_LENGTH], map_name[NAME_LENGTH + 4];
    guint64 data_bytes = 0, map_bytes = 0;
    Header header;
    print_name(name, data_name);
    print_map_name(name, map_name);
    int data_fd = open_private(folder_fd, data_name, &data_bytes, error);
    if (data_fd < 0)
        return NULL;
    int map_fd = open_private(folder_fd, map_name, &map_bytes, error);
    if (map_fd < 0) {
        close(data_fd);
        return NULL;
    }
    if (check_header(map_fd, map_bytes, object, &header, error) &&
        (data_bytes == object->size_bytes || fail(error, ERROR_PROTOCOL, "a file is not as long as it was")))
        return file_new(data_fd, map_fd, object->size_bytes, header.random, header.text_bytes);
    close(data_fd);
    close(map_fd);
    return NULL;
}

void
disk_cache_file_remove(int folder_fd, const DiskCacheName *name)
{
    char data_name[NAME_LENGTH], map_name[NAME_LENGTH + 4];
    print_name(name, data_name);
    print_map_name(name, map_name);
    unlinkat(folder_fd, data_name, 0);
    unlinkat(folder_fd, map_name, 0);
}

static int
create_private(int folder_fd, const char *name)
{
    int flags = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    int fd = openat(folder_fd, name, flags, 0600);
    if (fd >= 0 || errno != ENOENT)
        return fd;
    char shard[3] = {name[0], name[1], '\0'};
    if (mkdirat(folder_fd, shard, 0700) != 0 && errno != EEXIST)
        return -1;
    return openat(folder_fd, name, flags, 0600);
}

static gboolean
write_header(DiskCacheFile *file, const GString *text, GError **error)
{
    Header header = {.format = FORMAT,
                     .block_bytes = BLOCK,
                     .size_bytes = file->size_bytes,
                     .random = file->random,
                     .text_bytes = (guint32)text->len};
    memcpy(header.magic, MAGIC, sizeof MAGIC);
    header.crc = header_crc(&header, text->str);
    if (ftruncate(file->data_fd, (off_t)file->size_bytes) != 0 ||
        ftruncate(file->map_fd, record_offset(file, file->blocks)) != 0 ||
        !write_all(file->map_fd, text->str, text->len, sizeof header) ||
        !write_all(file->map_fd, &header, sizeof header, 0))
        return fail_errno(error, "write");
    return TRUE;
}

static DiskCacheFile *
create_files(int folder_fd, const DiskCacheName *name, const DiskCacheObject *object, const GString *text,
             GError **error)
{
    char data_name[NAME_LENGTH], map_name[NAME_LENGTH + 4];
    print_name(name, data_name);
    print_map_name(name, map_name);
    int data_fd = create_private(folder_fd, data_name);
    if (data_fd < 0) {
        fail_errno(error, "create");
        return NULL;
    }
    int map_fd = create_private(folder_fd, map_name);
    if (map_fd < 0) {
        fail_errno(error, "create");
        close(data_fd);
        return NULL;
    }
    guint64 random = ((guint64)g_random_int() << 32) | g_random_int();
    g_autoptr(DiskCacheFile) file = file_new(data_fd, map_fd, object->size_bytes, random, text->len);
    return write_header(file, text, error) ? g_steal_pointer(&file) : NULL;
}

DiskCacheFile *
disk_cache_file_create(int folder_fd, const DiskCacheName *name, const DiskCacheObject *object,
                       GError **error)
{
    g_autoptr(GError) local_error = NULL;
    GString *text = describe(object);
    DiskCacheFile *file = NULL;
    disk_cache_file_remove(folder_fd, name);
    if (text->len > MAXIMUM_TEXT_BYTES)
        fail(&local_error, ERROR_TOO_LARGE, "a name is too long");
    else
        file = create_files(folder_fd, name, object, text, &local_error);
    g_string_free(text, TRUE);
    if (file == NULL) {
        disk_cache_file_remove(folder_fd, name);
        g_propagate_error(error, g_steal_pointer(&local_error));
    }
    return file;
}

static Chunk *
get_chunk_locked(DiskCacheFile *file, guint64 block, gboolean create)
{
    gint64 index = (gint64)(block / CHUNK_BLOCKS);
    Chunk *chunk = g_hash_table_lookup(file->chunks, &index);
    if (chunk == NULL && create) {
        chunk = g_new0(Chunk, 1);
        chunk->index = index;
        g_hash_table_insert(file->chunks, &chunk->index, chunk);
    }
    return chunk;
}

static gboolean
is_known_locked(DiskCacheFile *file, guint64 block)
{
    if (file->complete)
        return TRUE;
    Chunk *chunk = get_chunk_locked(file, block, FALSE);
    guint64 bit = block % CHUNK_BLOCKS;
    return chunk != NULL && (chunk->bits[bit / 8] & (1u << bit % 8)) != 0;
}

static void
set_known(DiskCacheFile *file, guint64 first, guint64 end)
{
    lock_acquire(&file->lock);
    for (guint64 block = first; block < end; block++) {
        if (is_known_locked(file, block))
            continue;
        guint64 bit = block % CHUNK_BLOCKS;
        get_chunk_locked(file, block, TRUE)->bits[bit / 8] |= (guint8)(1u << bit % 8);
        file->known_blocks++;
    }
    if (file->known_blocks == file->blocks && !file->complete) {
        file->complete = TRUE;
        g_hash_table_remove_all(file->chunks);
    }
    lock_release(&file->lock);
}

static gboolean
knows(DiskCacheFile *file, guint64 first, guint64 end)
{
    lock_acquire(&file->lock);
    gboolean known = TRUE;
    for (guint64 block = first; block < end && known && !file->complete; block++)
        known = is_known_locked(file, block);
    lock_release(&file->lock);
    return known;
}

gboolean
disk_cache_file_knows(DiskCacheFile *file, guint64 offset, gsize length_bytes)
{
    return knows(file, offset / BLOCK, (offset + length_bytes + BLOCK - 1) / BLOCK);
}

gboolean
disk_cache_file_is_complete(DiskCacheFile *file)
{
    lock_acquire(&file->lock);
    gboolean complete = file->complete;
    lock_release(&file->lock);
    return complete;
}

void
disk_cache_file_set_complete(DiskCacheFile *file)
{
    lock_acquire(&file->lock);
    file->complete = TRUE;
    file->known_blocks = file->blocks;
    g_hash_table_remove_all(file->chunks);
    lock_release(&file->lock);
}

/* Bytes of the blocks first .. end. */
static gsize
span_bytes(const DiskCacheFile *file, guint64 first, guint64 end)
{
    return (gsize)(MIN(end * BLOCK, file->size_bytes) - first * BLOCK);
}

/* A writer that is at it meanwhile leaves either nothing or the same bytes again. */
static DiskCacheResult
compare(DiskCacheFile *file, guint64 first, guint64 end, const guint64 *records, const guint8 *data)
{
    DiskCacheResult result = DISK_CACHE_READ;
    for (guint64 block = first; block < end; block++) {
        guint32 crc = crc32c_append(0, data + (block - first) * BLOCK, span_bytes(file, block, block + 1));
        if (crc == (guint32)records[block - first])
            continue;
        const guint64 none = 0;
        result = write_all(file->map_fd, &none, sizeof none, record_offset(file, block)) ? DISK_CACHE_DAMAGED
                                                                                         : DISK_CACHE_BROKEN;
    }
    return result;
}

/* At most STEP_BLOCKS whole blocks. */
static DiskCacheResult
read_compared(DiskCacheFile *file, guint64 first, guint64 end, guint8 *buffer)
{
    guint64 records[STEP_BLOCKS];
    if (!read_all(file->map_fd, records, (gsize)(end - first) * sizeof *records, record_offset(file, first)))
        return DISK_CACHE_BROKEN;
    for (guint64 block = first; block < end; block++) {
        guint64 record = records[block - first];
        if (record == 0 || record != make_record(file, block, (guint32)record))
            return DISK_CACHE_ABSENT;
    }
    if (!read_all(file->data_fd, buffer, span_bytes(file, first, end), (off_t)(first * BLOCK)))
        return DISK_CACHE_BROKEN;
    DiskCacheResult result = compare(file, first, end, records, buffer);
    if (result == DISK_CACHE_READ)
        set_known(file, first, end);
    return result;
}

static DiskCacheResult
read_step(DiskCacheFile *file, guint64 offset, gsize length_bytes, guint8 *buffer)
{
    guint64 first = offset / BLOCK, end = (offset + length_bytes + BLOCK - 1) / BLOCK;
    if (knows(file, first, end))
        return read_all(file->data_fd, buffer, length_bytes, (off_t)offset) ? DISK_CACHE_READ
                                                                            : DISK_CACHE_BROKEN;
    gsize span = span_bytes(file, first, end);
    if (span == length_bytes)
        return read_compared(file, first, end, buffer);
    g_autofree guint8 *blocks = g_malloc(span);
    DiskCacheResult result = read_compared(file, first, end, blocks);
    if (result == DISK_CACHE_READ)
        memcpy(buffer, blocks + (offset - first * BLOCK), length_bytes);
    return result;
}

DiskCacheResult
disk_cache_file_read(DiskCacheFile *file, guint64 offset, gsize length_bytes, void *buffer)
{
    guint8 *at = buffer;
    DiskCacheResult result = DISK_CACHE_READ;
    while (length_bytes > 0 && result == DISK_CACHE_READ) {
        gsize step = (gsize)MIN(length_bytes, STEP_BLOCKS * (guint64)BLOCK - offset % BLOCK);
        result = read_step(file, offset, step, at);
        at += step;
        offset += step;
        length_bytes -= step;
    }
    return result;
}

static gboolean
write_step(DiskCacheFile *file, guint64 first, guint64 end, const guint8 *data, GError **error)
{
    guint64 records[STEP_BLOCKS];
    gsize span = span_bytes(file, first, end);
    if (knows(file, first, end))
        return TRUE;
    for (guint64 block = first; block < end; block++) {
        const guint8 *bytes = data + (block - first) * BLOCK;
        guint32 crc = crc32c_append(0, bytes, span_bytes(file, block, block + 1));
        records[block - first] = make_record(file, block, crc);
    }
    if (!write_all(file->data_fd, data, span, (off_t)(first * BLOCK)) ||
        !write_all(file->map_fd, records, (gsize)(end - first) * sizeof *records, record_offset(file, first)))
        return fail_errno(error, "write");
    set_known(file, first, end);
    return TRUE;
}

gboolean
disk_cache_file_write(DiskCacheFile *file, guint64 offset, gsize length_bytes, const void *data,
                      GError **error)
{
    guint64 last = offset + length_bytes;
    guint64 first = (offset + BLOCK - 1) / BLOCK;
    guint64 end = last == file->size_bytes ? file->blocks : last / BLOCK;
    while (first < end) {
        guint64 step_end = MIN(end, first + STEP_BLOCKS);
        if (!write_step(file, first, step_end, (const guint8 *)data + (first * BLOCK - offset), error))
            return FALSE;
        first = step_end;
    }
    return TRUE;
}

guint64
disk_cache_file_get_disk_bytes(DiskCacheFile *file)
{
    struct stat data, map;
    if (fstat(file->data_fd, &data) != 0 || fstat(file->map_fd, &map) != 0)
        return 0;
    return ((guint64)data.st_blocks + (guint64)map.st_blocks) * 512;
}

int
disk_cache_file_open_data(DiskCacheFile *file)
{
    char path[32];
    g_snprintf(path, sizeof path, "/proc/self/fd/%d", file->data_fd);
    return open(path, O_RDONLY | O_CLOEXEC | O_NOATIME);
}
