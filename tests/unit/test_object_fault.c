/* The n-th call to the service fails, for n = 1, 2, ... until a run meets no failure: each run gives the
 * right bytes, or an error and nothing lost. */
#include "src/base/error.h"
#include "tests/unit/object_fixture.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#define KIB 1024u
#define SIZE (400 * KIB)

typedef struct {
    ErrorCode code;
    gboolean lost_reply;
} Kind;

static const Kind DENIED = {ERROR_DENIED, FALSE};
static const Kind DENIED_LATE = {ERROR_DENIED, TRUE};
static const Kind UNAVAILABLE = {ERROR_UNAVAILABLE, FALSE};
static const Kind UNAVAILABLE_LATE = {ERROR_UNAVAILABLE, TRUE};
static const Kind PROTOCOL = {ERROR_PROTOCOL, TRUE};

static const Kind *const KINDS[] = {&DENIED, &DENIED_LATE, &UNAVAILABLE, &UNAVAILABLE_LATE, &PROTOCOL};

/* What the run wrote or would have liked to. */
typedef struct {
    ObjectFixture *fixture;
    guint8 *before, *after;
    gsize before_size, after_size;
    guint round;
} Run;

typedef gboolean (*Scenario)(Run *run, FileHandle *handle, GError **error);

static gboolean
stored_equals(Run *run, const char *key, const guint8 *data, gsize length_bytes)
{
    g_autofree guint8 *buffer = g_malloc(2 * SIZE);
    gsize got = 0;
    if (!storage_read_object(run->fixture->base.storage, NULL, "c", key, 0, 2 * SIZE, NULL, buffer, &got,
                             NULL, NULL))
        return data == NULL;
    return data != NULL && got == length_bytes && memcmp(buffer, data, got) == 0;
}

static gboolean
write_forward(FileHandle *handle, const guint8 *data, gsize length_bytes, GError **error)
{
    for (gsize done = 0; done < length_bytes; done += 20 * KIB) {
        if (!handle->operations->write(handle, NULL, done, data + done, MIN(20 * KIB, length_bytes - done),
                                       error))
            return FALSE;
    }
    return TRUE;
}

static gboolean
stream_all(Run *run, FileHandle *handle, GError **error)
{
    return write_forward(handle, run->after, run->after_size, error) && object_fixture_flush(handle, error);
}

static gboolean
edit_middle(Run *run, FileHandle *handle, GError **error)
{
    memcpy(run->after, run->before, run->before_size);
    run->after_size = run->before_size;
    memset(run->after + 150 * KIB, 'x', 100);
    return handle->operations->write(handle, NULL, 150 * KIB, run->after + 150 * KIB, 100, error) &&
           object_fixture_flush(handle, error);
}

static gboolean
cut_and_grow(Run *run, FileHandle *handle, GError **error)
{
    memcpy(run->after, run->before, run->before_size);
    memset(run->after + 70 * KIB, 0, 230 * KIB);
    run->after_size = 300 * KIB;
    return handle->operations->truncate(handle, NULL, 70 * KIB, error) &&
           handle->operations->truncate(handle, NULL, 300 * KIB, error) &&
           object_fixture_flush(handle, error);
}

static gboolean
copy_inside(Run *run, FileHandle *handle, GError **error)
{
    guint64 copied = 0;
    memcpy(run->after, run->before, run->before_size);
    memcpy(run->after + run->before_size, run->before, 100 * KIB);
    run->after_size = run->before_size + 100 * KIB;
    return handle->operations->copy_range(handle, NULL, 0, handle, run->before_size, 100 * KIB, &copied,
                                          error) &&
           object_fixture_flush(handle, error);
}

/* What is read through the handle is what the user wrote, whatever the storage has. */
static void
check_local_view(Run *run, FileHandle *handle)
{
    g_autoptr(GBytes) bytes = NULL;
    g_autoptr(GError) error = NULL;
    if (!object_fixture_try_read(handle, 0, 2 * SIZE, &bytes, &error))
        return;
    g_assert_cmpmem(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes), run->after, run->after_size);
}

static guint
count_parked(Run *run)
{
    guint parked = 0;
    g_autoptr(GPtrArray) list = object_store_list_uploads(run->fixture->store);
    for (guint i = 0; i < list->len; i++)
        parked += ((UploadStatus *)g_ptr_array_index(list, i))->state == UPLOAD_PARKED;
    return parked;
}

/* TRUE when the fault was met. */
static gboolean
run_once(Run *run, Scenario scenario, const Kind *kind, guint nth, gboolean create)
{
    ObjectFixture *fixture = run->fixture;
    g_autofree char *key = g_strdup_printf("object-%u", ++run->round);
    g_autoptr(GError) error = NULL;
    if (!create)
        object_fixture_put(fixture, key, run->before, run->before_size);
    FileHandle *handle = object_fixture_open(fixture, key, create);
    memory_fault_reset_counts(fixture->base.store);
    const MemoryFault fault = {.operation = MEMORY_ANY,
                               .nth = nth,
                               .times = 1,
                               .fails = TRUE,
                               .code = kind->code,
                               .lost_reply = kind->lost_reply};
    guint parked = count_parked(run);
    memory_fault_add(fixture->base.store, &fault);
    gboolean ok = scenario(run, handle, &error);
    gboolean met = memory_fault_get_count(fixture->base.store, MEMORY_ANY) >= nth;
    memory_fault_clear(fixture->base.store);
    check_local_view(run, handle);
    g_assert_true(ok || met);
    gboolean whole = stored_equals(run, key, run->after, run->after_size);
    g_assert_true(whole || (!ok && stored_equals(run, key, create ? NULL : run->before, run->before_size)));
    /* The service is well again: the next flush stores everything, or has said that somebody else won. */
    g_autoptr(GError) again = NULL;
    gboolean retried = object_fixture_flush(handle, &again);
    g_assert_true(retried || error_is(again, ERROR_CHANGED));
    object_fixture_close(handle);
    if (retried)
        g_assert_true(stored_equals(run, key, run->after, run->after_size));
    else
        g_assert_cmpuint(count_parked(run), ==, parked + 1);
    return met;
}

static void
run_scenario(ObjectFixture *fixture, Scenario scenario, gboolean create)
{
    Run run = {.fixture = fixture, .before_size = SIZE, .after_size = SIZE + 12345};
    run.before = object_fixture_pattern(1, 2 * SIZE);
    run.after = object_fixture_pattern(2, 2 * SIZE);
    fixture->keeps_uploads = TRUE;
    for (guint i = 0; i < G_N_ELEMENTS(KINDS); i++) {
        for (guint nth = 1; run_once(&run, scenario, KINDS[i], nth, create); nth++)
            g_assert_cmpuint(nth, <, 200);
    }
    g_free(run.before);
    g_free(run.after);
}

static void
test_stream(ObjectFixture *fixture, gconstpointer keys)
{
    run_scenario(fixture, stream_all, TRUE);
}

static void
test_edit(ObjectFixture *fixture, gconstpointer keys)
{
    run_scenario(fixture, edit_middle, FALSE);
}

static void
test_cut(ObjectFixture *fixture, gconstpointer keys)
{
    run_scenario(fixture, cut_and_grow, FALSE);
}

static void
test_copy(ObjectFixture *fixture, gconstpointer keys)
{
    run_scenario(fixture, copy_inside, FALSE);
}

/* A read gives the bytes or an error, and the next one is not harmed. */
static void
test_read(ObjectFixture *fixture, gconstpointer keys)
{
    gsize size = 5000 * KIB;
    g_autofree guint8 *data = object_fixture_pattern(1, size);
    object_fixture_put(fixture, "a", data, size);
    for (guint nth = 1; nth < 8; nth++) {
        const MemoryFault fault = {
            .operation = MEMORY_READ_OBJECT, .nth = nth, .times = 1, .fails = TRUE, .code = ERROR_DENIED};
        FileHandle *handle = object_fixture_open(fixture, "a", FALSE);
        memory_fault_add(fixture->base.store, &fault);
        for (guint64 at = 0; at < size; at += 100 * KIB) {
            g_autoptr(GBytes) bytes = NULL;
            g_autoptr(GError) error = NULL;
            if (!object_fixture_try_read(handle, at, 100 * KIB, &bytes, &error)) {
                g_assert_error(error, STORAGEFS_ERROR, ERROR_DENIED);
                bytes = object_fixture_read(handle, at, 100 * KIB);
            }
            g_assert_cmpmem(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes), data + at, 100 * KIB);
        }
        memory_fault_clear(fixture->base.store);
        object_fixture_close(handle);
    }
}

static void
test_full_disk(ObjectFixture *fixture, gconstpointer keys)
{
    GError *error = NULL;
    gsize size = 100 * KIB;
    g_autofree guint8 *data = object_fixture_pattern(1, size);
    FileHandle *handle = object_fixture_open(fixture, "a", TRUE);
    g_autofree char *staging = g_build_filename(fixture->folder, "staging", NULL);
    g_autofree char *away = g_build_filename(fixture->folder, "away", NULL);
    g_assert_cmpint(rename(staging, away), ==, 0);
    g_assert_false(handle->operations->write(handle, NULL, 0, data, size, &error));
    g_assert_error(error, STORAGEFS_ERROR, ERROR_NOT_FOUND);
    g_clear_error(&error);
    g_assert_cmpint(rename(away, staging), ==, 0);
    object_fixture_write(handle, 0, data, size);
    object_fixture_flush(handle, &error);
    g_assert_no_error(error);
    object_fixture_close(handle);
    object_fixture_assert_stored(fixture, "a", data, size);
}

/* Files have at most so many bytes, as on a file system that is full: a longer write is carried out in part.
 */
static void
limit_files(rlim_t bytes)
{
    struct rlimit limit;
    signal(SIGXFSZ, SIG_IGN);
    g_assert_cmpint(getrlimit(RLIMIT_FSIZE, &limit), ==, 0);
    limit.rlim_cur = bytes < limit.rlim_max ? bytes : limit.rlim_max;
    g_assert_cmpint(setrlimit(RLIMIT_FSIZE, &limit), ==, 0);
}

/* The next publication stores what is read, and both are what was there before with this change. */
static void
check_untorn(ObjectFixture *fixture, FileHandle *handle, guint8 *data)
{
    memset(data + 390 * KIB, 'x', 100);
    object_fixture_write(handle, 390 * KIB, data + 390 * KIB, 100);
    object_fixture_flush_and_close(handle);
    object_fixture_assert_stored(fixture, "a", data, SIZE);
}

static void
assert_reads(FileHandle *handle, const guint8 *data, gsize length_bytes)
{
    g_autoptr(GBytes) bytes = object_fixture_read(handle, 0, length_bytes);
    g_assert_cmpmem(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes), data, length_bytes);
}

static void
test_torn_write(ObjectFixture *fixture, gconstpointer keys)
{
    g_autoptr(GError) error = NULL;
    g_autofree guint8 *before = object_fixture_pattern(1, SIZE), *after = object_fixture_pattern(2, SIZE);
    FileHandle *handle = object_fixture_open(fixture, "a", TRUE);
    object_fixture_write(handle, 0, before, SIZE);
    g_assert_true(object_fixture_flush(handle, NULL));
    limit_files(100 * KIB);
    g_assert_false(handle->operations->write(handle, NULL, 0, after, 200 * KIB, &error));
    limit_files(RLIM_INFINITY);
    g_assert_error(error, STORAGEFS_ERROR, ERROR_TOO_LARGE);
    assert_reads(handle, before, SIZE);
    check_untorn(fixture, handle, before);
}

static void
test_torn_copy(ObjectFixture *fixture, gconstpointer keys)
{
    g_autoptr(GError) error = NULL;
    guint64 copied = 0;
    g_autofree guint8 *before = object_fixture_pattern(1, SIZE), *after = object_fixture_pattern(2, SIZE);
    FileHandle *handle = object_fixture_open(fixture, "a", TRUE);
    FileHandle *from = object_fixture_open(fixture, "b", TRUE);
    object_fixture_write(handle, 0, before, SIZE);
    g_assert_true(object_fixture_flush(handle, NULL));
    object_fixture_write(from, 0, after, SIZE);
    limit_files(100 * KIB);
    g_assert_false(handle->operations->copy_range(from, NULL, 0, handle, 0, 200 * KIB, &copied, &error));
    limit_files(RLIM_INFINITY);
    g_assert_error(error, STORAGEFS_ERROR, ERROR_TOO_LARGE);
    assert_reads(handle, before, SIZE);
    check_untorn(fixture, handle, before);
    object_fixture_flush_and_close(from);
}

static guint64
get_sent_bytes(ObjectFixture *fixture)
{
    g_autoptr(GPtrArray) list = object_store_list_uploads(fixture->store);
    return list->len > 0 ? ((UploadStatus *)g_ptr_array_index(list, 0))->sent_bytes : 0;
}

/* Bytes that nobody has stored yet are what the parts that went out while writing must agree with. */
static void
test_torn_stream(ObjectFixture *fixture, gconstpointer keys)
{
    g_autoptr(GError) error = NULL;
    g_autofree guint8 *data = object_fixture_pattern(1, SIZE), *after = object_fixture_pattern(2, SIZE);
    FileHandle *handle = object_fixture_open(fixture, "a", TRUE);
    object_fixture_write_forward(handle, data, SIZE, 20 * KIB);
    while (get_sent_bytes(fixture) < 5 * 64 * KIB)
        g_thread_yield();
    limit_files(100 * KIB);
    g_assert_false(handle->operations->write(handle, NULL, 0, after, 200 * KIB, &error));
    limit_files(RLIM_INFINITY);
    g_autoptr(GBytes) bytes = object_fixture_read(handle, 0, SIZE);
    object_fixture_flush_and_close(handle);
    object_fixture_assert_stored(fixture, "a", g_bytes_get_data(bytes, NULL), SIZE);
}

/* Another client deletes what was copied, before the copy is stored: as when it replaces it. */
static void
copy_what_goes(ObjectFixture *fixture, guint head)
{
    g_autoptr(GError) error = NULL;
    guint64 copied = 0;
    g_autofree guint8 *data = object_fixture_pattern(1, SIZE);
    object_fixture_put(fixture, "b", data, SIZE);
    FileHandle *from = object_fixture_open(fixture, "b", FALSE);
    FileHandle *to = object_fixture_open(fixture, "a", TRUE);
    object_fixture_write(to, 0, data, head);
    g_assert_true(from->operations->copy_range(from, NULL, 0, to, head, SIZE, &copied, NULL));
    g_assert_true(storage_delete_object(fixture->base.storage, NULL, "c", "b", NULL, NULL));
    g_assert_false(object_fixture_flush(to, &error));
    g_assert_error(error, STORAGEFS_ERROR, ERROR_CHANGED);
    object_fixture_close(to);
    object_fixture_close(from);
}

static void
test_copied_source_is_gone(ObjectFixture *fixture, gconstpointer keys)
{
    copy_what_goes(fixture, 0);
    copy_what_goes(fixture, 100);
    copy_what_goes(fixture, 64 * KIB);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    object_fixture_add("/object/fault/stream", test_stream, NULL);
    object_fixture_add("/object/fault/edit", test_edit, NULL);
    object_fixture_add("/object/fault/edit-by-put", test_edit,
                       "etags = counter\npart_size = 16M\ntimeout = 1\n");
    object_fixture_add("/object/fault/cut", test_cut, NULL);
    object_fixture_add("/object/fault/copy", test_copy, NULL);
    object_fixture_add("/object/fault/copy-unchecked", test_copy,
                       OBJECT_FIXTURE_KEYS "copy_checks_source = no\nconditional_commit = no\n");
    object_fixture_add("/object/fault/read", test_read, NULL);
    object_fixture_add("/object/fault/staging", test_full_disk, NULL);
    object_fixture_add("/object/fault/copied-source-gone", test_copied_source_is_gone,
                       OBJECT_FIXTURE_KEYS "copy_checks_source = no\n");
    object_fixture_add("/object/fault/torn-write", test_torn_write, NULL);
    object_fixture_add("/object/fault/torn-copy", test_torn_copy, NULL);
    object_fixture_add("/object/fault/torn-stream", test_torn_stream, NULL);
    return g_test_run();
}
