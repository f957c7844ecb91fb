/* storage.h over the memory driver, which fails as told: retries, lost replies, conditions, containers,
 * health. */
#include "src/storage/storage.h"

#include "drivers/memory/memory.h"
#include "drivers/memory/memory_fault.h"
#include "src/base/lock.h"
#include "src/base/log.h"
#include "tests/unit/storage_fixture.h"

#include <string.h>

static void
test_transient_failures_are_repeated(StorageFixture *fixture, gconstpointer data)
{
    g_auto(ObjectInfo) info = {0};
    g_autofree char *etag = storage_fixture_put(fixture, "k", "text");
    storage_fixture_fail(fixture, MEMORY_STAT_OBJECT, 3, ERROR_UNAVAILABLE, FALSE);
    g_assert_true(storage_stat_object(fixture->storage, NULL, "c", "k", &info, NULL));
    g_assert_cmpuint(info.size_bytes, ==, 4);
    g_assert_cmpuint(storage_fixture_count(fixture, MEMORY_STAT_OBJECT), ==, 4);
    g_auto(StorageHealth) health = {0};
    storage_get_health(fixture->storage, &health);
    g_assert_cmpuint(health.retries, ==, 3);
    g_assert_cmpuint(health.failures, ==, 0);
    g_assert_cmpint(health.state, ==, STORAGE_UP);
    g_assert_cmpuint(health.body_bytes_sent, ==, 4);
}

static void
test_answers_are_not_repeated(StorageFixture *fixture, gconstpointer data)
{
    g_auto(ObjectInfo) info = {0};
    g_autoptr(GError) error = NULL;
    g_assert_false(storage_stat_object(fixture->storage, NULL, "c", "absent", &info, &error));
    g_assert_error(error, STORAGEFS_ERROR, ERROR_NOT_FOUND);
    g_assert_true(g_str_has_prefix(error->message, "s/c/absent: "));
    g_assert_cmpuint(storage_fixture_count(fixture, MEMORY_STAT_OBJECT), ==, 1);
    g_auto(StorageHealth) health = {0};
    storage_get_health(fixture->storage, &health);
    g_assert_cmpuint(health.failures, ==, 0);
    g_assert_null(health.last_error);
}

static void
test_deadline_ends_the_repetition(StorageFixture *fixture, gconstpointer data)
{
    g_auto(ObjectInfo) info = {0};
    g_autoptr(GError) error = NULL;
    g_autoptr(Call) call = call_new(300 * 1000);
    storage_fixture_fail(fixture, MEMORY_STAT_OBJECT, 0, ERROR_UNAVAILABLE, FALSE);
    g_assert_false(storage_stat_object(fixture->storage, call, "c", "k", &info, &error));
    g_assert_error(error, STORAGEFS_ERROR, ERROR_UNAVAILABLE);
    g_assert_cmpuint(storage_fixture_count(fixture, MEMORY_STAT_OBJECT), >, 1);
    g_auto(StorageHealth) health = {0};
    storage_get_health(fixture->storage, &health);
    g_assert_cmpint(health.state, ==, STORAGE_DOWN);
    g_assert_cmpuint(health.failures, ==, 1);
    g_assert_nonnull(health.last_error);
    /* The next answer shows that it is back. */
    memory_fault_clear(fixture->store);
    g_assert_false(storage_stat_object(fixture->storage, NULL, "c", "k", &info, NULL));
    g_auto(StorageHealth) healed = {0};
    storage_get_health(fixture->storage, &healed);
    g_assert_cmpint(healed.state, ==, STORAGE_UP);
}

static void
test_throttled_past_the_deadline(StorageFixture *fixture, gconstpointer data)
{
    const MemoryFault fault = {.operation = MEMORY_STAT_OBJECT,
                               .fails = TRUE,
                               .code = ERROR_THROTTLED,
                               .retry_after_us = 3600 * (gint64)G_USEC_PER_SEC};
    g_auto(ObjectInfo) info = {0};
    g_autoptr(GError) error = NULL;
    memory_fault_add(fixture->store, &fault);
    g_assert_false(storage_stat_object(fixture->storage, NULL, "c", "k", &info, &error));
    g_assert_error(error, STORAGEFS_ERROR, ERROR_THROTTLED);
    g_assert_cmpuint(storage_fixture_count(fixture, MEMORY_STAT_OBJECT), ==, 1);
}

static void *
cancel_when_repeated(void *data)
{
    gpointer *both = data;
    while (memory_fault_get_count(both[0], MEMORY_STAT_OBJECT) < 2)
        g_usleep(100);
    call_cancel(both[1]);
    return NULL;
}

static void
test_cancel_ends_the_wait(StorageFixture *fixture, gconstpointer data)
{
    g_auto(ObjectInfo) info = {0};
    g_autoptr(GError) error = NULL;
    g_autoptr(Call) call = call_new(0);
    pthread_t thread;
    gpointer both[] = {fixture->store, call};
    storage_fixture_fail(fixture, MEMORY_STAT_OBJECT, 0, ERROR_UNAVAILABLE, FALSE);
    g_assert_cmpint(pthread_create(&thread, NULL, cancel_when_repeated, both), ==, 0);
    g_assert_false(storage_stat_object(fixture->storage, call, "c", "k", &info, &error));
    g_assert_error(error, STORAGEFS_ERROR, ERROR_CANCELLED);
    pthread_join(thread, NULL);
}

/* A driver that fails in the middle of its first page. */
static guint half_pages;

static gboolean
list_half(DriverInstance *instance, Call *call, const char *container, const ListQuery *query, ListPage *out,
          GError **error)
{
    ObjectInfo info = {.key = g_string_chunk_insert(out->text, "k"), .metadata = metadata_new()};
    g_array_append_val(out->objects, info);
    if (half_pages++ > 0)
        return TRUE;
    g_set_error(error, STORAGEFS_ERROR, ERROR_UNAVAILABLE, "reset");
    return FALSE;
}

static gboolean
list_standing_still(DriverInstance *instance, Call *call, const char *container, const ListQuery *query,
                    ListPage *out, GError **error)
{
    out->next = g_string_chunk_insert(out->text, "token");
    return TRUE;
}

static Storage *
open_with_listing(Driver *driver)
{
    g_autoptr(Settings) settings = storage_fixture_settings("[storage s]\ndriver = memory\n");
    StorageSettings *storage = g_ptr_array_index(settings->storages, 0);
    GError *error = NULL;
    storage->driver = driver;
    Storage *opened = storage_new(storage, &error);
    g_assert_no_error(error);
    return opened;
}

static void
test_pages_are_not_told_twice(void)
{
    static Driver driver;
    driver = memory_driver;
    driver.list_objects = list_half;
    g_autoptr(Storage) storage = open_with_listing(&driver);
    const ListQuery query = {.prefix = ""};
    g_auto(ListPage) page = {0};
    list_page_init(&page);
    half_pages = 0;
    g_assert_true(storage_list_objects(storage, NULL, "c", &query, &page, NULL));
    g_assert_cmpuint(page.objects->len, ==, 1);
}

static void
test_pages_that_stand_still(void)
{
    static Driver driver;
    driver = memory_driver;
    driver.list_objects = list_standing_still;
    g_autoptr(Storage) storage = open_with_listing(&driver);
    const ListQuery query = {.prefix = "", .after_token = "token"};
    g_auto(ListPage) page = {0};
    g_autoptr(GError) error = NULL;
    list_page_init(&page);
    g_assert_false(storage_list_objects(storage, NULL, "c", &query, &page, &error));
    g_assert_error(error, STORAGEFS_ERROR, ERROR_PROTOCOL);
}

static void
test_plain_write_is_repeated_without_a_look(StorageFixture *fixture, gconstpointer data)
{
    g_autoptr(GHashTable) metadata = metadata_new();
    g_hash_table_insert(metadata, g_strdup("mtime"), g_strdup("1.5"));
    const WriteOptions options = {.metadata = metadata};
    GError *error = NULL;
    storage_fixture_fail(fixture, MEMORY_WRITE_OBJECT, 1, ERROR_UNAVAILABLE, TRUE);
    storage_fixture_write(fixture, "k", "text", &options, NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(storage_fixture_count(fixture, MEMORY_WRITE_OBJECT), ==, 2);
    g_assert_cmpuint(storage_fixture_count(fixture, MEMORY_STAT_OBJECT), ==, 0);
    storage_fixture_assert_holds(fixture, "k", "text");
}

static void
test_lost_reply_of_a_new_object(StorageFixture *fixture, gconstpointer data)
{
    const WriteOptions options = {.if_absent = TRUE};
    g_auto(ObjectInfo) info = {0};
    GError *error = NULL;
    storage_fixture_fail(fixture, MEMORY_WRITE_OBJECT, 1, ERROR_UNAVAILABLE, TRUE);
    storage_fixture_write(fixture, "k", "text", &options, &info, &error);
    g_assert_no_error(error);
    g_assert_nonnull(info.etag);
    g_assert_cmpuint(info.size_bytes, ==, 4);
    g_assert_cmpuint(storage_fixture_count(fixture, MEMORY_WRITE_OBJECT), ==, 1);
}

static void
test_lost_request_of_a_new_object(StorageFixture *fixture, gconstpointer data)
{
    const WriteOptions options = {.if_absent = TRUE};
    GError *error = NULL;
    storage_fixture_fail(fixture, MEMORY_WRITE_OBJECT, 1, ERROR_TIMEOUT, FALSE);
    storage_fixture_write(fixture, "k", "text", &options, NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(storage_fixture_count(fixture, MEMORY_WRITE_OBJECT), ==, 2);
    storage_fixture_assert_holds(fixture, "k", "text");
}

/* The look after the lost reply fails too, so it is repeated, not the write. */
static void
test_look_that_fails(StorageFixture *fixture, gconstpointer data)
{
    const WriteOptions options = {.if_absent = TRUE};
    GError *error = NULL;
    storage_fixture_fail(fixture, MEMORY_WRITE_OBJECT, 1, ERROR_UNAVAILABLE, TRUE);
    storage_fixture_fail(fixture, MEMORY_STAT_OBJECT, 2, ERROR_UNAVAILABLE, FALSE);
    storage_fixture_write(fixture, "k", "text", &options, NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(storage_fixture_count(fixture, MEMORY_WRITE_OBJECT), ==, 1);
    g_assert_cmpuint(storage_fixture_count(fixture, MEMORY_STAT_OBJECT), ==, 3);
}

static void
test_other_object_is_not_taken_for_ours(StorageFixture *fixture, gconstpointer data)
{
    g_autoptr(GHashTable) metadata = metadata_new();
    g_hash_table_insert(metadata, g_strdup("mtime"), g_strdup("1.5"));
    const WriteOptions options = {.if_absent = TRUE, .metadata = metadata};
    g_autoptr(GError) error = NULL;
    /* As long as ours, but written by somebody else. */
    g_autofree char *etag = storage_fixture_put(fixture, "k", "that");
    storage_fixture_fail(fixture, MEMORY_WRITE_OBJECT, 1, ERROR_UNAVAILABLE, FALSE);
    g_assert_false(storage_fixture_write(fixture, "k", "ours", &options, NULL, &error));
    g_assert_error(error, STORAGEFS_ERROR, ERROR_EXISTS);
    storage_fixture_assert_holds(fixture, "k", "that");
}

static void
test_lost_reply_of_a_replacement(StorageFixture *fixture, gconstpointer data)
{
    g_autofree char *etag = storage_fixture_put(fixture, "k", "old!");
    const WriteOptions options = {.if_etag = etag};
    g_auto(ObjectInfo) info = {0};
    GError *error = NULL;
    memory_fault_reset_counts(fixture->store);
    storage_fixture_fail(fixture, MEMORY_WRITE_OBJECT, 1, ERROR_UNAVAILABLE, TRUE);
    storage_fixture_write(fixture, "k", "new!", &options, &info, &error);
    g_assert_no_error(error);
    g_assert_cmpstr(info.etag, !=, etag);
    g_assert_cmpuint(storage_fixture_count(fixture, MEMORY_WRITE_OBJECT), ==, 1);
    storage_fixture_assert_holds(fixture, "k", "new!");
}

static void
test_lost_request_of_a_replacement(StorageFixture *fixture, gconstpointer data)
{
    /* As long as the new one, and without anything else to tell them apart. */
    g_autofree char *etag = storage_fixture_put(fixture, "k", "old!");
    const WriteOptions options = {.if_etag = etag};
    GError *error = NULL;
    storage_fixture_fail(fixture, MEMORY_WRITE_OBJECT, 1, ERROR_UNAVAILABLE, FALSE);
    storage_fixture_write(fixture, "k", "new!", &options, NULL, &error);
    g_assert_no_error(error);
    storage_fixture_assert_holds(fixture, "k", "new!");
}

static void
test_lost_update_is_refused(StorageFixture *fixture, gconstpointer data)
{
    g_autofree char *old = storage_fixture_put(fixture, "k", "old");
    g_autofree char *theirs = storage_fixture_put(fixture, "k", "theirs");
    const WriteOptions options = {.if_etag = old};
    g_autoptr(GError) error = NULL;
    g_assert_false(storage_fixture_write(fixture, "k", "ours", &options, NULL, &error));
    g_assert_error(error, STORAGEFS_ERROR, ERROR_CHANGED);
    storage_fixture_assert_holds(fixture, "k", "theirs");
}

static void
test_conditions_best_effort(StorageFixture *fixture, gconstpointer data)
{
    g_autofree char *old = storage_fixture_put(fixture, "k", "old");
    g_autofree char *theirs = storage_fixture_put(fixture, "k", "theirs");
    const WriteOptions stale = {.if_etag = old}, fresh = {.if_etag = theirs}, absent = {.if_absent = TRUE};
    g_autoptr(GError) error = NULL;
    g_assert_false(storage_fixture_write(fixture, "k", "ours", &stale, NULL, &error));
    g_assert_error(error, STORAGEFS_ERROR, ERROR_CHANGED);
    g_clear_error(&error);
    g_assert_false(storage_fixture_write(fixture, "k", "ours", &absent, NULL, &error));
    g_assert_error(error, STORAGEFS_ERROR, ERROR_EXISTS);
    g_clear_error(&error);
    g_assert_false(storage_fixture_write(fixture, "gone", "ours", &stale, NULL, &error));
    g_assert_error(error, STORAGEFS_ERROR, ERROR_CHANGED);
    g_clear_error(&error);
    g_assert_false(storage_delete_object(fixture->storage, NULL, "c", "k", old, &error));
    g_assert_error(error, STORAGEFS_ERROR, ERROR_CHANGED);
    g_assert_true(storage_fixture_write(fixture, "new", "ours", &absent, NULL, NULL));
    g_assert_true(storage_fixture_write(fixture, "k", "ours", &fresh, NULL, NULL));
    storage_fixture_assert_holds(fixture, "k", "ours");
}

/* Some services answer the second delete with "not that version". */
static void
test_lost_reply_of_a_delete(StorageFixture *fixture, gconstpointer data)
{
    const MemoryFault second = {
        .operation = MEMORY_DELETE_OBJECT, .nth = 2, .times = 1, .fails = TRUE, .code = ERROR_CHANGED};
    g_autofree char *etag = storage_fixture_put(fixture, "k", "text");
    GError *error = NULL;
    storage_fixture_fail(fixture, MEMORY_DELETE_OBJECT, 1, ERROR_UNAVAILABLE, TRUE);
    memory_fault_add(fixture->store, &second);
    storage_delete_object(fixture->storage, NULL, "c", "k", etag, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(storage_fixture_count(fixture, MEMORY_DELETE_OBJECT), ==, 2);
}

static void
test_lost_replies_of_containers(StorageFixture *fixture, gconstpointer data)
{
    GError *error = NULL;
    storage_fixture_fail(fixture, MEMORY_CREATE_CONTAINER, 1, ERROR_UNAVAILABLE, TRUE);
    storage_create_container(fixture->storage, NULL, "d", &error);
    g_assert_no_error(error);
    g_assert_cmpuint(storage_fixture_count(fixture, MEMORY_CREATE_CONTAINER), ==, 1);
    storage_fixture_fail(fixture, MEMORY_DELETE_CONTAINER, 1, ERROR_UNAVAILABLE, TRUE);
    storage_delete_container(fixture->storage, NULL, "d", &error);
    g_assert_no_error(error);
    g_assert_false(storage_create_container(fixture->storage, NULL, "c", &error));
    g_assert_error(error, STORAGEFS_ERROR, ERROR_EXISTS);
    g_clear_error(&error);
    g_assert_false(storage_delete_container(fixture->storage, NULL, "absent", &error));
    g_assert_error(error, STORAGEFS_ERROR, ERROR_NOT_FOUND);
    g_clear_error(&error);
}

/* One part with the text; gives what the commit gave. */
static gboolean
upload_text(StorageFixture *fixture, const char *key, const char *text, const WriteOptions *options,
            ObjectInfo *out, GError **error)
{
    g_autofree char *id = NULL;
    UploadPart part = {0};
    ByteSource source = storage_fixture_text(text);
    g_assert_true(storage_begin_upload(fixture->storage, NULL, "c", key, options, &id, NULL));
    g_assert_true(storage_put_part(fixture->storage, NULL, "c", key, id, 1, &source, &part, NULL));
    gboolean good = storage_commit_upload(fixture->storage, NULL, "c", key, id, &part, 1, options,
                                          strlen(text), out, error);
    upload_part_clear(&part);
    return good;
}

static void
test_lost_reply_of_a_commit(StorageFixture *fixture, gconstpointer data)
{
    g_autofree char *old = storage_fixture_put(fixture, "k", "old!");
    const WriteOptions conditions[] = {{0}, {.if_etag = old}};
    /* The first commits without a word that could tell ours from what was there: only the repetition can. */
    for (guint i = 0; i < G_N_ELEMENTS(conditions); i++) {
        g_autofree char *key = i ? g_strdup("k") : g_strdup("plain");
        g_autofree char *before = i ? NULL : storage_fixture_put(fixture, key, "olds");
        g_auto(ObjectInfo) info = {0};
        GError *error = NULL;
        storage_fixture_fail(fixture, MEMORY_COMMIT_UPLOAD, 1, ERROR_UNAVAILABLE, TRUE);
        upload_text(fixture, key, "new!", &conditions[i], &info, &error);
        g_assert_no_error(error);
        g_assert_nonnull(info.etag);
        g_assert_cmpuint(info.size_bytes, ==, 4);
        storage_fixture_assert_holds(fixture, key, "new!");
    }
}

static void
test_lost_request_of_a_commit(StorageFixture *fixture, gconstpointer data)
{
    /* What was there has the same length, and must not be taken for what is to be. */
    g_autofree char *old = storage_fixture_put(fixture, "k", "old!");
    GError *error = NULL;
    storage_fixture_fail(fixture, MEMORY_COMMIT_UPLOAD, 1, ERROR_UNAVAILABLE, FALSE);
    upload_text(fixture, "k", "new!", NULL, NULL, &error);
    g_assert_no_error(error);
    storage_fixture_assert_holds(fixture, "k", "new!");
}

static void
test_commit_of_a_lost_update(StorageFixture *fixture, gconstpointer data)
{
    g_autofree char *old = storage_fixture_put(fixture, "k", "old");
    g_autofree char *theirs = storage_fixture_put(fixture, "k", "theirs");
    const WriteOptions options = {.if_etag = old};
    g_autoptr(GError) error = NULL;
    g_assert_false(upload_text(fixture, "k", "ours", &options, NULL, &error));
    g_assert_error(error, STORAGEFS_ERROR, ERROR_CHANGED);
    storage_fixture_assert_holds(fixture, "k", "theirs");
}

static void
assert_read_only(gboolean done, GError **error)
{
    g_assert_false(done);
    g_assert_error(*error, STORAGEFS_ERROR, ERROR_READ_ONLY);
    g_clear_error(error);
}

static void
test_read_only(StorageFixture *fixture, gconstpointer data)
{
    Storage *storage = fixture->storage;
    const CopySource source = {.container = "c", .key = "k"};
    const ByteSource bytes = storage_fixture_text("x");
    g_autofree char *id = NULL;
    UploadPart part = {0};
    GError *error = NULL;
    assert_read_only(storage_create_container(storage, NULL, "c", &error), &error);
    assert_read_only(storage_delete_container(storage, NULL, "c", &error), &error);
    assert_read_only(storage_write_object(storage, NULL, "c", "k", &bytes, NULL, NULL, &error), &error);
    assert_read_only(storage_delete_object(storage, NULL, "c", "k", NULL, &error), &error);
    assert_read_only(storage_copy_object(storage, NULL, &source, 1, "c", "l", NULL, NULL, &error), &error);
    assert_read_only(storage_set_metadata(storage, NULL, "c", "k", NULL, NULL, NULL, NULL, &error), &error);
    assert_read_only(storage_begin_upload(storage, NULL, "c", "k", NULL, &id, &error), &error);
    assert_read_only(storage_put_part(storage, NULL, "c", "k", "u", 1, &bytes, &part, &error), &error);
    assert_read_only(storage_copy_part(storage, NULL, "c", "k", "u", 1, &source, 0, 1, &part, &error),
                     &error);
    assert_read_only(storage_commit_upload(storage, NULL, "c", "k", "u", &part, 1, NULL, 1, NULL, &error),
                     &error);
    assert_read_only(storage_abort_upload(storage, NULL, "c", "k", "u", &error), &error);
    g_assert_cmpuint(storage_fixture_count(fixture, MEMORY_ANY), ==, 0);
}

static void
test_unsupported(StorageFixture *fixture, gconstpointer data)
{
    const CopySource source = {.container = "c", .key = "k"};
    g_autoptr(GError) error = NULL;
    g_autofree char *url = NULL;
    g_assert_false(storage_copy_object(fixture->storage, NULL, &source, 1, "c", "l", NULL, NULL, &error));
    g_assert_error(error, STORAGEFS_ERROR, ERROR_UNSUPPORTED);
    g_clear_error(&error);
    g_assert_false(storage_sign_url(fixture->storage, "c", "k", &url, &error));
    g_assert_error(error, STORAGEFS_ERROR, ERROR_UNSUPPORTED);
    g_assert_null(storage_get_files(fixture->storage));
}

/* A storage, and the lock that its pusher holds as long as it holds a reference of its own. */
typedef struct {
    Storage *storage;
    Lock pushing;
} LastHolder;

static void
drop_last_reference(gpointer data)
{
    LastHolder *holder = data;
    lock_acquire(&holder->pushing);
    lock_release(&holder->pushing);
    storage_unref(holder->storage);
}

static void
test_last_reference_goes_in_a_lane(void)
{
    LastHolder holder = {.storage = storage_fixture_memory("store = last\n")};
    lock_init(&holder.pushing);
    lock_acquire(&holder.pushing);
    storage_ref(holder.storage);
    worker_pool_push(storage_get_lane(holder.storage, STORAGE_LANE_CALLS), drop_last_reference, &holder);
    storage_unref(holder.storage);
    lock_release(&holder.pushing);
    while (memory_store_find("last"))
        g_usleep(100);
    lock_clear(&holder.pushing);
}

/* An abort that an outage spoils is repeated when the storage answers again, by itself. */
static void
test_discard_after_an_outage(StorageFixture *fixture, gconstpointer keys)
{
    Storage *storage = fixture->storage;
    ByteSource source = storage_fixture_text("part");
    g_autofree char *id = NULL;
    g_autoptr(GError) error = NULL;
    ContainerInfo info = {0};
    UploadPart part = {0};
    g_assert_true(storage_begin_upload(storage, NULL, "c", "k", NULL, &id, NULL));
    storage_fixture_fail(fixture, MEMORY_ABORT_UPLOAD, 0, ERROR_UNAVAILABLE, FALSE);
    storage_discard_upload(storage, "c", "k", id);
    g_assert_true(storage_put_part(storage, NULL, "c", "k", id, 1, &source, &part, NULL));
    upload_part_clear(&part);
    guint64 tries = storage_fixture_count(fixture, MEMORY_ABORT_UPLOAD);
    while (storage_fixture_count(fixture, MEMORY_ABORT_UPLOAD) == tries)
        g_usleep(1000);
    memory_fault_clear(fixture->store);
    g_assert_true(storage_stat_container(storage, NULL, "c", &info, NULL));
    g_free(info.name);
    while (storage_put_part(storage, NULL, "c", "k", id, 1, &source, &part, &error))
        upload_part_clear(&part);
    g_assert_error(error, STORAGEFS_ERROR, ERROR_NOT_FOUND);
}

/* Nobody waits for a storage that does not come back. */
static void
test_free_with_an_upload_to_discard(StorageFixture *fixture, gconstpointer keys)
{
    g_autofree char *id = NULL;
    g_assert_true(storage_begin_upload(fixture->storage, NULL, "c", "k", NULL, &id, NULL));
    storage_fixture_fail(fixture, MEMORY_ABORT_UPLOAD, 0, ERROR_UNAVAILABLE, FALSE);
    storage_discard_upload(fixture->storage, "c", "k", id);
}

/* Whatever a driver says: what storage.c hands up holds no secret. */
static void
test_no_secret_in_errors(StorageFixture *fixture, gconstpointer keys)
{
    g_autoptr(GError) error = NULL;
    g_auto(StorageHealth) health = {0};
    ObjectInfo info = {0};
    log_add_secret("sekret/sekret");
    storage_fixture_fail(fixture, MEMORY_STAT_OBJECT, 1, ERROR_DENIED, FALSE);
    g_assert_false(storage_stat_object(fixture->storage, NULL, "c", "sekret/sekret", &info, &error));
    g_assert_error(error, STORAGEFS_ERROR, ERROR_DENIED);
    storage_get_health(fixture->storage, &health);
    g_assert_null(strstr(error->message, "sekret"));
    g_assert_null(strstr(health.last_error, "sekret"));
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    storage_fixture_add("/storage-operations/transient-failures-are-repeated",
                        test_transient_failures_are_repeated, NULL);
    storage_fixture_add("/storage-operations/answers-are-not-repeated", test_answers_are_not_repeated, NULL);
    storage_fixture_add("/storage-operations/deadline-ends-the-repetition", test_deadline_ends_the_repetition,
                        NULL);
    storage_fixture_add("/storage-operations/throttled-past-the-deadline", test_throttled_past_the_deadline,
                        NULL);
    storage_fixture_add("/storage-operations/cancel-ends-the-wait", test_cancel_ends_the_wait, NULL);
    g_test_add_func("/storage-operations/pages-are-not-told-twice", test_pages_are_not_told_twice);
    g_test_add_func("/storage-operations/pages-that-stand-still", test_pages_that_stand_still);
    storage_fixture_add("/storage-operations/plain-write-is-repeated-without-a-look",
                        test_plain_write_is_repeated_without_a_look, NULL);
    storage_fixture_add("/storage-operations/lost-reply-of-a-new-object", test_lost_reply_of_a_new_object,
                        NULL);
    storage_fixture_add("/storage-operations/lost-request-of-a-new-object", test_lost_request_of_a_new_object,
                        NULL);
    storage_fixture_add("/storage-operations/look-that-fails", test_look_that_fails, NULL);
    storage_fixture_add("/storage-operations/other-object-is-not-taken-for-ours",
                        test_other_object_is_not_taken_for_ours, NULL);
    storage_fixture_add("/storage-operations/lost-reply-of-a-replacement", test_lost_reply_of_a_replacement,
                        NULL);
    storage_fixture_add("/storage-operations/lost-request-of-a-replacement",
                        test_lost_request_of_a_replacement, NULL);
    storage_fixture_add("/storage-operations/lost-update-is-refused", test_lost_update_is_refused, NULL);
    storage_fixture_add("/storage-operations/conditions-best-effort", test_conditions_best_effort,
                        STORAGE_FIXTURE_KEYS
                        "conditional_write = no\nconditional_commit = no\nconditional_delete = no\n");
    storage_fixture_add("/storage-operations/lost-reply-of-a-delete", test_lost_reply_of_a_delete, NULL);
    storage_fixture_add("/storage-operations/lost-replies-of-containers", test_lost_replies_of_containers,
                        NULL);
    storage_fixture_add("/storage-operations/lost-reply-of-a-commit", test_lost_reply_of_a_commit, NULL);
    storage_fixture_add("/storage-operations/lost-request-of-a-commit", test_lost_request_of_a_commit, NULL);
    storage_fixture_add("/storage-operations/commit-of-a-lost-update", test_commit_of_a_lost_update, NULL);
    storage_fixture_add("/storage-operations/commit-best-effort", test_commit_of_a_lost_update,
                        STORAGE_FIXTURE_KEYS "conditional_commit = no\n");
    storage_fixture_add("/storage-operations/discard-after-an-outage", test_discard_after_an_outage,
                        STORAGE_FIXTURE_KEYS "timeout = 1s\n");
    storage_fixture_add("/storage-operations/free-with-an-upload-to-discard",
                        test_free_with_an_upload_to_discard, STORAGE_FIXTURE_KEYS "timeout = 1s\n");
    storage_fixture_add("/storage-operations/no-secret-in-errors", test_no_secret_in_errors, NULL);
    storage_fixture_add("/storage-operations/read-only", test_read_only, "read_only = yes\n");
    storage_fixture_add("/storage-operations/unsupported", test_unsupported, "copy_object = no\n");
    g_test_add_func("/storage-operations/last-reference-goes-in-a-lane", test_last_reference_goes_in_a_lane);
    return g_test_run();
}
