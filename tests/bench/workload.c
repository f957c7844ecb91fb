/* workload: the loops that a benchmark times, free of anything else that could be slow.
 *
 *   workload read BLOCK FILE...              every file from its begin to its end, one thread for each
 *   workload random BLOCK COUNT THREADS FILE COUNT reads at random offsets, all threads together
 *   workload write BLOCK BYTES FILE          writes a new file and closes it
 *   workload create SIZE COUNT THREADS DIR   DIR/f000000 and on: open with O_EXCL, write SIZE bytes, close
 *   workload small SIZE COUNT THREADS DIR    the same files: open, read to the end, close
 *   workload touch BYTES                     takes so much memory, writes to it and gives it back
 *
 * A FILE or DIR that begins with http:// is an object or a bucket of the benchmark's own server, and the same
 * is done with bare requests: what a file system over that server could reach at the most.
 *
 * Prints {"seconds": S, "done": N, "bytes": B}, N counting files or reads. Exit code 1, and no output, if any
 * call failed or any file had another size than was said. Sizes are in bytes.
 */
#include "workload_http.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MAX_THREADS 256

typedef struct {
    size_t size; /* of a block, or of a small file */
    long count;
    int thread_count;
    const char *place; /* FILE or DIR */
    char **files;      /* of read, one for each thread */
    void (*work)(int thread);
} Job;

static Job job;
static atomic_long next_item, done, bytes;

static void
fail(const char *what, const char *name)
{
    fprintf(stderr, "workload: %s %s: %s\n", what, name, errno ? strerror(errno) : "wrong size");
    exit(1);
}

static char *
new_buffer(size_t size)
{
    void *buffer = NULL;
    if (posix_memalign(&buffer, 4096, size < 4096 ? 4096 : size))
        fail("memory for", job.place);
    /* Not zero, and not the same all over, so that nothing on the way can be clever about it. */
    uint64_t state = 88172645463325252U ^ (uint64_t)(uintptr_t)buffer;
    for (size_t i = 0; i < size; i++) {
        state ^= state << 13, state ^= state >> 7, state ^= state << 17;
        ((char *)buffer)[i] = (char)state;
    }
    return buffer;
}

static int
open_or_fail(const char *name, int flags)
{
    int descriptor = open(name, flags | O_CLOEXEC, 0644);
    if (descriptor < 0)
        fail("open", name);
    return descriptor;
}

static void
close_or_fail(int descriptor, const char *name)
{
    if (close(descriptor))
        fail("close", name);
}

/* Reads to the end of the file; returns how much there was. */
static long
read_all(int descriptor, char *buffer, size_t size, const char *name)
{
    long total = 0;
    ssize_t got;
    while ((got = read(descriptor, buffer, size)) > 0)
        total += got;
    if (got < 0)
        fail("read", name);
    return total;
}

static void
write_all(int descriptor, const char *buffer, size_t size, const char *name)
{
    while (size > 0) {
        ssize_t put = write(descriptor, buffer, size);
        if (put < 0)
            fail("write", name);
        buffer += put;
        size -= (size_t)put;
    }
}

static void
read_stream(int thread)
{
    const char *name = job.files[thread];
    char *buffer = new_buffer(job.size);
    struct stat status;
    int descriptor = open_or_fail(name, O_RDONLY);
    long got = read_all(descriptor, buffer, job.size, name);
    errno = 0;
    if (fstat(descriptor, &status) || status.st_size != got)
        fail("read", name);
    close_or_fail(descriptor, name);
    bytes += got;
    done++;
    free(buffer);
}

static void
read_random(int thread)
{
    char *buffer = new_buffer(job.size);
    struct stat status;
    uint64_t state = 0x9e3779b97f4a7c15U * (uint64_t)(thread + 1);
    int descriptor = open_or_fail(job.place, O_RDONLY);
    if (fstat(descriptor, &status) || (size_t)status.st_size < job.size)
        fail("size of", job.place);
    uint64_t blocks = (uint64_t)status.st_size / job.size;
    posix_fadvise(descriptor, 0, 0, POSIX_FADV_RANDOM);
    while (next_item++ < job.count) {
        state ^= state << 13, state ^= state >> 7, state ^= state << 17;
        errno = 0;
        if (pread(descriptor, buffer, job.size, (off_t)(state % blocks * job.size)) != (ssize_t)job.size)
            fail("read", job.place);
        bytes += (long)job.size;
        done++;
    }
    close_or_fail(descriptor, job.place);
    free(buffer);
}

static void
write_stream(int thread)
{
    char *buffer = new_buffer(job.size);
    int descriptor = open_or_fail(job.place, O_WRONLY | O_CREAT | O_EXCL);
    for (long left = job.count; left > 0;) {
        size_t size = left < (long)job.size ? (size_t)left : job.size;
        write_all(descriptor, buffer, size, job.place);
        left -= (long)size;
    }
    close_or_fail(descriptor, job.place);
    bytes += job.count;
    done++;
    free(buffer);
}

static void
create_small(int thread)
{
    char name[4096], *buffer = new_buffer(job.size);
    long item;
    while ((item = next_item++) < job.count) {
        snprintf(name, sizeof name, "%s/f%06ld", job.place, item);
        int descriptor = open_or_fail(name, O_WRONLY | O_CREAT | O_EXCL);
        write_all(descriptor, buffer, job.size, name);
        close_or_fail(descriptor, name);
        bytes += (long)job.size;
        done++;
    }
    free(buffer);
}

static void
read_small(int thread)
{
    size_t size = job.size < 65536 ? 65536 : job.size;
    char name[4096], *buffer = new_buffer(size);
    long item;
    while ((item = next_item++) < job.count) {
        snprintf(name, sizeof name, "%s/f%06ld", job.place, item);
        int descriptor = open_or_fail(name, O_RDONLY);
        errno = 0;
        if (read_all(descriptor, buffer, size, name) != (long)job.size)
            fail("read", name);
        close_or_fail(descriptor, name);
        bytes += (long)job.size;
        done++;
    }
    free(buffer);
}

/* The same on the server itself. */

static void
get_stream(int thread)
{
    const char *place = job.files[thread];
    char *buffer = new_buffer(job.size);
    HttpConnection *connection = workload_http_connect(place);
    bytes += workload_http_get(connection, place, 0, 0, buffer, job.size);
    done++;
    workload_http_close(connection);
    free(buffer);
}

static void
get_random(int thread)
{
    char *buffer = new_buffer(job.size);
    HttpConnection *connection = workload_http_connect(job.place);
    uint64_t state = 0x9e3779b97f4a7c15U * (uint64_t)(thread + 1);
    uint64_t blocks = (uint64_t)workload_http_size(connection, job.place) / job.size;
    while (next_item++ < job.count) {
        state ^= state << 13, state ^= state >> 7, state ^= state << 17;
        bytes += workload_http_get(connection, job.place, (long)(state % blocks * job.size), (long)job.size,
                                   buffer, job.size);
        done++;
    }
    workload_http_close(connection);
    free(buffer);
}

static void
put_stream(int thread)
{
    char *buffer = new_buffer(job.size);
    HttpConnection *connection = workload_http_connect(job.place);
    workload_http_put(connection, job.place, buffer, job.size, job.count);
    bytes += job.count;
    done++;
    workload_http_close(connection);
    free(buffer);
}

static void
exchange_small(bool puts)
{
    char place[4096], *buffer = new_buffer(job.size);
    HttpConnection *connection = workload_http_connect(job.place);
    long item;
    while ((item = next_item++) < job.count) {
        snprintf(place, sizeof place, "%s/f%06ld", job.place, item);
        if (puts)
            workload_http_put(connection, place, buffer, job.size, (long)job.size);
        else
            workload_http_get(connection, place, 0, 0, buffer, job.size);
        bytes += (long)job.size;
        done++;
    }
    workload_http_close(connection);
    free(buffer);
}

static void
put_small(int thread)
{
    exchange_small(true);
}

static void
get_small(int thread)
{
    exchange_small(false);
}

static void
touch_memory(int thread)
{
    char *memory = mmap(NULL, job.size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        fail("memory for", job.place);
    for (size_t at = 0; at < job.size; at += 4096)
        ((volatile char *)memory)[at] = 1;
    munmap(memory, job.size);
    bytes += (long)job.size;
}

static void *
run_thread(void *thread)
{
    job.work((int)(intptr_t)thread);
    return NULL;
}

static double
now_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static int
usage(void)
{
    fputs("usage: workload read BLOCK FILE... | random BLOCK COUNT THREADS FILE | write BLOCK BYTES FILE |\n"
          "       create SIZE COUNT THREADS DIR | small SIZE COUNT THREADS DIR | touch BYTES\n",
          stderr);
    return 2;
}

static const struct {
    const char *name;
    void (*on_files)(int thread), (*on_server)(int thread);
} works[] = {{"read", read_stream, get_stream},   {"random", read_random, get_random},
             {"write", write_stream, put_stream}, {"create", create_small, put_small},
             {"small", read_small, get_small},    {"touch", touch_memory, NULL}};

/* Where the words of each begin: BLOCK FILE... | BLOCK BYTES FILE | BYTES | SIZE COUNT THREADS PLACE. */
static bool
parse_words(const char *name, int count, char **words)
{
    job = (Job){.size = strtoul(words[2], NULL, 10), .thread_count = 1, .place = name};
    if (strcmp(name, "touch") == 0)
        return count == 3;
    if (strcmp(name, "read") == 0) {
        job.files = words + 3;
        job.thread_count = count - 3;
        job.place = words[3];
        return count > 3;
    }
    if (count < 5)
        return false;
    job.count = strtol(words[3], NULL, 10);
    job.place = words[count - 1];
    if (strcmp(name, "write") == 0)
        return count == 5;
    job.thread_count = (int)strtol(words[4], NULL, 10);
    return count == 6;
}

static bool
parse(int count, char **words)
{
    if (count < 3 || !parse_words(words[1], count, words))
        return false;
    for (size_t i = 0; i < sizeof works / sizeof works[0]; i++)
        if (strcmp(works[i].name, words[1]) == 0)
            job.work = workload_http_is_place(job.place) ? works[i].on_server : works[i].on_files;
    return job.work && job.size > 0 && job.thread_count >= 1 && job.thread_count <= MAX_THREADS;
}

int
main(int count, char **words)
{
    if (!parse(count, words))
        return usage();
    pthread_t threads[MAX_THREADS];
    double begin = now_seconds();
    for (int i = 0; i < job.thread_count; i++)
        if ((errno = pthread_create(&threads[i], NULL, run_thread, (void *)(intptr_t)i)))
            fail("thread for", job.place);
    for (int i = 0; i < job.thread_count; i++)
        pthread_join(threads[i], NULL);
    printf("{\"seconds\": %.6f, \"done\": %ld, \"bytes\": %ld}\n", now_seconds() - begin, (long)done,
           (long)bytes);
    return 0;
}
