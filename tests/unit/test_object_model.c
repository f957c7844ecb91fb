/* Open objects against a plain byte array: random writes, truncates, appends, copies, publications,
 * reopenings. */
#include "tests/unit/object_fixture.h"

#include <fcntl.h>
#include <string.h>

#define FILES 3
#define MAXIMUM_BYTES (400u << 10)
#define OPERATIONS 6000

typedef struct {
    guint8 *bytes;
    gsize size;
    gboolean exists; /* in the storage */
    char *key;
    FileHandle *handle, *reader; /* NULL: closed */
} Model;

typedef struct {
    ObjectFixture *fixture;
    Model files[FILES];
    GRand *rand;
    guint32 step;
} World;

static void
check_range(Model *m, FileHandle *handle, guint64 offset, gsize length)
{
    g_autoptr(GBytes) bytes = object_fixture_read(handle, offset, length);
    gsize expected = offset < m->size ? MIN(length, m->size - offset) : 0, got = 0;
    const void *data = g_bytes_get_data(bytes, &got);
    g_assert_cmpuint(got, ==, expected);
    g_assert_true(expected == 0 || memcmp(data, m->bytes + offset, expected) == 0);
}

static void
check_size(Model *m)
{
    FileAttributes attributes;
    object_file_get_attributes(object_file_of_handle(m->handle), &attributes);
    g_assert_cmpuint(attributes.size_bytes, ==, m->size);
}

static void
open_model(World *w, Model *m)
{
    if (m->handle == NULL)
        m->handle = object_fixture_open(w->fixture, m->key, !m->exists);
    if (m->reader == NULL)
        m->reader = object_file_open(object_file_of_handle(m->handle), O_RDONLY);
}

static void
close_model(World *w, Model *m, gboolean flush)
{
    GError *error = NULL;
    if (m->handle == NULL)
        return;
    if (flush)
        object_fixture_flush(m->handle, &error);
    g_assert_no_error(error);
    object_fixture_close(m->reader);
    object_fixture_close(m->handle);
    m->handle = m->reader = NULL;
    m->exists = TRUE;
    object_fixture_assert_stored(w->fixture, m->key, m->bytes, m->size);
}

static gsize
random_length(World *w)
{
    static const gsize LIMITS[] = {16, 5000, 40000, 150000};
    return 1 + (gsize)g_rand_int_range(w->rand, 0, (gint)LIMITS[g_rand_int_range(w->rand, 0, 4)]);
}

static guint64
random_offset(World *w, Model *m)
{
    gint kind = g_rand_int_range(w->rand, 0, 4);
    if (kind == 0)
        return m->size;
    if (kind == 1)
        return 0;
    return (guint64)g_rand_int_range(w->rand, 0, (gint)m->size + 3000);
}

static void
do_write(World *w, Model *m)
{
    guint64 wanted = random_offset(w, m), offset = MIN(wanted, MAXIMUM_BYTES - 1);
    gsize length = random_length(w);
    length = MIN(length, MAXIMUM_BYTES - offset);
    g_autofree guint8 *data = object_fixture_pattern(++w->step, length);
    object_fixture_write(m->handle, offset, data, length);
    if (offset > m->size)
        memset(m->bytes + m->size, 0, offset - m->size);
    memcpy(m->bytes + offset, data, length);
    m->size = MAX(m->size, offset + length);
}

/* Forward in small pieces, so that parts go out meanwhile. */
static void
do_stream(World *w, Model *m)
{
    gsize total = (gsize)g_rand_int_range(w->rand, 50000, 390000);
    guint64 at = g_rand_boolean(w->rand) ? 0 : MIN(m->size, MAXIMUM_BYTES - total);
    g_autofree guint8 *data = object_fixture_pattern(++w->step, total);
    for (gsize done = 0; done < total;) {
        gsize piece = MIN(total - done, 13000);
        object_fixture_write(m->handle, at + done, data + done, piece);
        done += piece;
    }
    memcpy(m->bytes + at, data, total);
    m->size = MAX(m->size, at + total);
}

static void
do_truncate(World *w, Model *m)
{
    GError *error = NULL;
    gsize grown = m->size + random_length(w);
    gsize size = g_rand_boolean(w->rand) ? (gsize)g_rand_int_range(w->rand, 0, (gint)m->size + 1)
                                         : MIN(grown, MAXIMUM_BYTES);
    m->handle->operations->truncate(m->handle, NULL, size, &error);
    g_assert_no_error(error);
    if (size > m->size)
        memset(m->bytes + m->size, 0, size - m->size);
    m->size = size;
}

static void
do_copy(World *w, Model *from, Model *to)
{
    GError *error = NULL;
    guint64 copied = 0, from_offset = (guint64)g_rand_int_range(w->rand, 0, (gint)from->size + 1);
    guint64 wanted = random_offset(w, to), to_offset = MIN(wanted, MAXIMUM_BYTES - 1);
    gsize length = g_rand_boolean(w->rand) ? from->size : random_length(w);
    length = MIN(length, MAXIMUM_BYTES - to_offset);
    gsize expected = MIN(length, from->size - from_offset);
    gboolean overlaps =
        from == to && from_offset < to_offset + expected && to_offset < from_offset + expected;
    gboolean ok = from->handle->operations->copy_range(from->handle, NULL, from_offset, to->handle, to_offset,
                                                       length, &copied, &error);
    if (overlaps) {
        g_assert_error(error, STORAGEFS_ERROR, ERROR_BAD_ARGUMENT);
        g_clear_error(&error);
        return;
    }
    g_assert_no_error(error);
    g_assert_true(ok);
    g_assert_cmpuint(copied, ==, expected);
    if (copied == 0)
        return;
    if (to_offset > to->size)
        memset(to->bytes + to->size, 0, to_offset - to->size);
    memmove(to->bytes + to_offset, from->bytes + from_offset, copied);
    to->size = MAX(to->size, to_offset + copied);
}

static void
do_flush(World *w, Model *m)
{
    GError *error = NULL;
    object_fixture_flush(m->handle, &error);
    g_assert_no_error(error);
    m->exists = TRUE;
    object_fixture_assert_stored(w->fixture, m->key, m->bytes, m->size);
}

/* A copy whose source was overwritten before it was published is refused (CHANGED) by design: publish first.
 */
static void
settle_all(World *w)
{
    for (guint i = 0; i < FILES; i++)
        do_flush(w, &w->files[i]);
}

static void
do_step(World *w)
{
    Model *m = &w->files[g_rand_int_range(w->rand, 0, FILES)];
    Model *other = &w->files[g_rand_int_range(w->rand, 0, FILES)];
    open_model(w, m);
    open_model(w, other);
    switch (g_rand_int_range(w->rand, 0, 20)) {
    case 0:
        do_truncate(w, m);
        break;
    case 1:
        do_flush(w, m);
        break;
    case 2:
        close_model(w, m, g_rand_boolean(w->rand));
        break;
    case 3:
        do_stream(w, m);
        break;
    case 4:
        for (guint i = 0; i < FILES; i++)
            open_model(w, &w->files[i]);
        settle_all(w);
        do_copy(w, other, m);
        do_flush(w, m);
        break;
    case 5:
    case 6:
    case 7:
    case 8:
        do_write(w, m);
        break;
    default:
        check_range(m, g_rand_boolean(w->rand) ? m->handle : m->reader, random_offset(w, m),
                    random_length(w));
    }
    if (m->handle != NULL)
        check_size(m);
}

static void
test_random(ObjectFixture *fixture, gconstpointer keys)
{
    World w = {.fixture = fixture, .rand = g_rand_new_with_seed((guint32)g_test_rand_int())};
    for (guint i = 0; i < FILES; i++) {
        w.files[i].bytes = g_malloc0(2 * MAXIMUM_BYTES);
        w.files[i].key = g_strdup_printf("file-%u", i);
    }
    for (guint i = 0; i < OPERATIONS; i++)
        do_step(&w);
    for (guint i = 0; i < FILES; i++) {
        open_model(&w, &w.files[i]);
        check_range(&w.files[i], w.files[i].reader, 0, MAXIMUM_BYTES);
    }
    settle_all(&w);
    for (guint i = 0; i < FILES; i++) {
        close_model(&w, &w.files[i], TRUE);
        g_free(w.files[i].bytes);
        g_free(w.files[i].key);
    }
    g_rand_free(w.rand);
}

/* Readers of other threads while one writes and publishes: every read is one of the states that were written.
 */
#define SLOTS 8
#define SLOT_BYTES 32768u

typedef struct {
    FileHandle *handle;
    gint *stop;
    guint reads;
} Reader;

static gpointer
read_states(gpointer data)
{
    Reader *reader = data;
    guint slot = 0;
    while (!g_atomic_int_get(reader->stop) || reader->reads == 0) {
        slot = (slot + 1) % SLOTS;
        g_autoptr(GBytes) bytes = object_fixture_read(reader->handle, slot * SLOT_BYTES, SLOT_BYTES);
        gsize length = 0;
        const guint8 *data_read = g_bytes_get_data(bytes, &length);
        g_assert_cmpuint(length, ==, SLOT_BYTES);
        /* Every byte of a slot carries the slot's number: nothing of another place or of a hole. */
        for (gsize i = 0; i < length; i++)
            g_assert_cmpuint(data_read[i] % SLOTS, ==, slot);
        reader->reads++;
    }
    return NULL;
}

static void
fill_slot(guint8 *data, guint slot, guint round)
{
    memset(data, (int)((round % 25 + 1) * SLOTS + slot), SLOT_BYTES);
}

static void
test_concurrent(ObjectFixture *fixture, gconstpointer keys)
{
    g_autofree guint8 *data = g_malloc(SLOT_BYTES);
    FileHandle *writer = object_fixture_open(fixture, "shared", TRUE);
    gboolean remote = keys != NULL;
    Reader readers[3];
    GThread *threads[3];
    gint stop = 0;
    for (guint slot = 0; slot < SLOTS; slot++) {
        fill_slot(data, slot, 0);
        object_fixture_write(writer, slot * SLOT_BYTES, data, SLOT_BYTES);
    }
    if (remote) {
        /* Read from the storage, whose versions the writer replaces under the readers. */
        object_fixture_close(writer);
        writer = object_fixture_open(fixture, "shared", FALSE);
    }
    for (guint i = 0; i < 3; i++) {
        readers[i] = (Reader){object_file_open(object_file_of_handle(writer), O_RDONLY), &stop, 0};
        threads[i] = g_thread_new("reader", read_states, &readers[i]);
    }
    for (guint round = 1; round < 120; round++) {
        GError *error = NULL;
        guint slot = (round * 5) % SLOTS;
        fill_slot(data, slot, round);
        object_fixture_write(writer, slot * SLOT_BYTES, data, SLOT_BYTES);
        if (round % 4 == 0)
            object_fixture_flush(writer, &error);
        g_assert_no_error(error);
    }
    g_atomic_int_set(&stop, 1);
    for (guint i = 0; i < 3; i++) {
        g_thread_join(threads[i]);
        object_fixture_close(readers[i].handle);
    }
    object_fixture_close(writer);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    object_fixture_add("/object/model/random", test_random, NULL);
    object_fixture_add("/object/model/random-equal-parts", test_random,
                       OBJECT_FIXTURE_KEYS "equal_parts = yes\n");
    object_fixture_add("/object/model/random-few-parts", test_random,
                       OBJECT_FIXTURE_KEYS "maximum_parts = 5\n");
    object_fixture_add("/object/model/random-no-copy", test_random,
                       OBJECT_FIXTURE_KEYS "copy_part = no\ncopy_object = no\n");
    object_fixture_add("/object/model/random-unchecked-copy", test_random,
                       OBJECT_FIXTURE_KEYS "copy_checks_source = no\n");
    object_fixture_add("/object/model/random-no-multipart", test_random,
                       OBJECT_FIXTURE_KEYS "multipart = no\n");
    object_fixture_add("/object/model/concurrent", test_concurrent, NULL);
    object_fixture_add("/object/model/concurrent-remote", test_concurrent, OBJECT_FIXTURE_KEYS);
    return g_test_run();
}
