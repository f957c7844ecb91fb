/* The disk cache's files, damaged at will: refused, absent, or the right bytes; never others.
 *
 * An object of three blocks is kept; then the input says what becomes of its two files.
 */
#include "src/base/crc32c.h"
#include "src/base/error.h"
#include "src/object/disk_cache_file.h"
#include "tests/fuzz/fuzz.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define BLOCK DISK_CACHE_FILE_BLOCK_BYTES
#define SIZE (2 * BLOCK + 100)
/* Fields of the map's header: see disk_cache_file.c. */
#define CRC_AT 36u
#define TEXT_AT 40u

static const DiskCacheObject object = {"place", "container", "key", "etag", SIZE};
static guint8 content[SIZE];
static int folder_fd;
static DiskCacheName name;
static char *paths[2];

void
fuzz_begin(void)
{
    GString *text = g_string_new(NULL);
    folder_fd = open(fuzz_folder(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    disk_cache_file_name(&object, &name);
    for (guint i = 0; i < sizeof name.bytes; i++)
        g_string_append_printf(text, "%02x%s", name.bytes[i], i == 0 ? "/" : "");
    paths[0] = fuzz_path(text->str);
    paths[1] = g_strconcat(paths[0], ".map", NULL);
    g_string_free(text, TRUE);
    for (guint i = 0; i < SIZE; i++)
        content[i] = (guint8)(i * 7 + i / 251);
}

static void
keep(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(DiskCacheFile) file = disk_cache_file_create(folder_fd, &name, &object, &error);
    g_assert_no_error(error);
    g_assert_true(disk_cache_file_write(file, 0, SIZE, content, &error));
}

/* So that a changed header is not refused for its checksum alone. */
static void
correct_checksum(void)
{
    guint8 header[TEXT_AT + 64] = {0};
    int fd = open(paths[1], O_RDWR | O_CLOEXEC);
    gsize text_bytes = sizeof "place" + sizeof "container" + sizeof "key" + sizeof "etag";
    if (pread(fd, header, sizeof header, 0) >= (gssize)(TEXT_AT + text_bytes)) {
        memset(header + CRC_AT, 0, 4);
        guint32 crc = crc32c_append(0, header, TEXT_AT + text_bytes);
        g_assert_cmpint(pwrite(fd, &crc, sizeof crc, CRC_AT), ==, sizeof crc);
    }
    close(fd);
}

/* Which file, then how: cut or grown, else bytes put somewhere. */
static void
damage(FuzzInput *input)
{
    while (fuzz_left(input) > 0) {
        guint8 what = fuzz_take_byte(input);
        guint at = fuzz_take_byte(input) | (guint)fuzz_take_byte(input) << 8;
        int fd = open(paths[what & 1], O_RDWR | O_CLOEXEC);
        guint8 length = fuzz_take_byte(input) & 15, bytes[16];
        for (guint i = 0; i < length; i++)
            bytes[i] = fuzz_take_byte(input);
        if ((what & 6) == 6)
            g_assert_cmpint(ftruncate(fd, at), ==, 0);
        else
            g_assert_cmpint(pwrite(fd, bytes, length, at), ==, length);
        close(fd);
        if ((what & 8) != 0)
            correct_checksum();
    }
}

static void
read_back(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(DiskCacheFile) file = disk_cache_file_open(folder_fd, &name, &object, &error);
    guint8 buffer[SIZE];
    if (!file) {
        fuzz_check_error(error);
        g_assert_true(g_error_matches(error, STORAGEFS_ERROR, ERROR_PROTOCOL));
        return;
    }
    for (guint64 at = 0; at < SIZE; at += BLOCK) {
        gsize length = MIN(BLOCK, SIZE - at);
        if (disk_cache_file_read(file, at, length, buffer) == DISK_CACHE_READ)
            g_assert_cmpmem(buffer, length, content + at, length);
    }
    if (disk_cache_file_read(file, 1, SIZE - 2, buffer) == DISK_CACHE_READ)
        g_assert_cmpmem(buffer, SIZE - 2, content + 1, SIZE - 2);
    /* What was forgotten can be kept again. */
    if (disk_cache_file_write(file, 0, SIZE, content, NULL) &&
        disk_cache_file_read(file, 0, SIZE, buffer) == DISK_CACHE_READ)
        g_assert_cmpmem(buffer, SIZE, content, SIZE);
}

void
fuzz_one(FuzzInput *input)
{
    keep();
    damage(input);
    read_back();
}
