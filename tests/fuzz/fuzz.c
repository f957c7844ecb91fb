/* See fuzz.h. */
#include "tests/fuzz/fuzz.h"

#include "src/base/error.h"
#include "src/base/log.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A path or a key of the largest size, each byte as \xHH, and what is said of it. */
#define MAXIMUM_MESSAGE_BYTES (64u << 10)

static char *folder;

static void
remove_tree(const char *path)
{
    g_autoptr(GDir) dir = g_file_test(path, G_FILE_TEST_IS_SYMLINK) ? NULL : g_dir_open(path, 0, NULL);
    const char *name;
    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *below = g_build_filename(path, name, NULL);
        remove_tree(below);
    }
    g_remove(path);
}

static void
remove_folder(void)
{
    remove_tree(folder);
}

/* A fatal log line is a trap, which libFuzzer would die of without saying at which input. */
static void
on_trap(int number)
{
    abort();
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
    /* What is logged about hostile input is no news here. */
    log_set_level(LOG_LEVEL_ERROR);
    g_log_set_always_fatal(G_LOG_LEVEL_CRITICAL | G_LOG_LEVEL_WARNING | G_LOG_FATAL_MASK);
    signal(SIGTRAP, on_trap);
    fuzz_begin();
    return 0;
}

int
LLVMFuzzerTestOneInput(const guint8 *data, gsize size)
{
    /* An exact copy, so that a byte too far is seen. */
    g_autofree guint8 *copy = g_malloc(MAX(size, 1));
    if (size > 0)
        memcpy(copy, data, size);
    FuzzInput input = {copy, copy + size};
    fuzz_one(&input);
    return 0;
}

gsize
fuzz_left(const FuzzInput *input)
{
    return (gsize)(input->end - input->at);
}

guint8
fuzz_take_byte(FuzzInput *input)
{
    return input->at < input->end ? *input->at++ : 0;
}

guint64
fuzz_take_number(FuzzInput *input)
{
    guint64 value = 0;
    for (guint i = 0; i < 8; i++)
        value |= (guint64)fuzz_take_byte(input) << (8 * i);
    return value;
}

const guint8 *
fuzz_take_bytes(FuzzInput *input, char separator, gsize *out_length)
{
    const guint8 *start = input->at;
    gsize left = fuzz_left(input);
    const guint8 *found = left > 0 ? memchr(start, separator, left) : NULL;
    *out_length = found ? (gsize)(found - start) : left;
    input->at = found ? found + 1 : input->end;
    return start;
}

char *
fuzz_take_text(FuzzInput *input, char separator)
{
    gsize length = 0;
    const guint8 *bytes = fuzz_take_bytes(input, separator, &length);
    return length > 0 ? g_strndup((const char *)bytes, length) : g_strdup("");
}

const char *
fuzz_folder(void)
{
    if (!folder) {
        gboolean in_memory = g_access("/dev/shm", 7) == 0;
        g_autofree char *pattern =
            g_build_filename(in_memory ? "/dev/shm" : g_get_tmp_dir(), "storagefs-fuzz-XXXXXX", NULL);
        folder = g_strdup(g_mkdtemp(pattern));
        g_assert_nonnull(folder);
        atexit(remove_folder);
    }
    return folder;
}

char *
fuzz_path(const char *name)
{
    return g_build_filename(fuzz_folder(), name, NULL);
}

void
fuzz_write(const char *name, gconstpointer data, gsize length_bytes)
{
    g_autofree char *path = fuzz_path(name);
    /* In place: GLib's own way does not cut what was longer. */
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(write(fd, data, length_bytes), ==, (gssize)length_bytes);
    close(fd);
}

void
fuzz_check_error(const GError *error)
{
    g_assert_nonnull(error);
    g_assert_true(error->domain == STORAGEFS_ERROR);
    g_assert_cmpint(error->code, >=, 0);
    g_assert_cmpint(error->code, <, ERROR_CODE_COUNT);
    g_assert_cmpstr(error->message, !=, "");
    g_assert_cmpuint(strlen(error->message), <, MAXIMUM_MESSAGE_BYTES);
}

void
fuzz_check_line(const GError *error)
{
    fuzz_check_error(error);
    g_assert_null(strchr(error->message, '\n'));
}

void
fuzz_check_utf8(const char *text)
{
    g_assert_true(g_utf8_validate(text, -1, NULL));
}
