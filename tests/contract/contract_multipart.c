#include "tests/contract/contract.h"

#include <string.h>

#define KEY "dir/multi"

/* An upload that the test is about to make; parts[i] is number i + 1. */
typedef struct {
    char *id;
    gsize part_bytes;
    UploadPart parts[3];
} Upload;

static gboolean
skips(void)
{
    if (contract.can.multipart)
        return FALSE;
    g_test_skip("no multi-part");
    return TRUE;
}

static void
begin(Upload *upload, const WriteOptions *options)
{
    static const WriteOptions none = {NULL};
    GError *error = NULL;
    memset(upload, 0, sizeof *upload);
    upload->part_bytes = MAX(contract.can.minimum_part_bytes, 1);
    contract.driver->begin_upload(contract.instance, NULL, contract.container, KEY,
                                  options != NULL ? options : &none, &upload->id, &error);
    g_assert_no_error(error);
}

static void
clear(Upload *upload)
{
    for (guint i = 0; i < G_N_ELEMENTS(upload->parts); i++)
        upload_part_clear(&upload->parts[i]);
    g_free(upload->id);
}

static void
put(Upload *upload, guint number, const void *bytes, gsize length)
{
    GError *error = NULL;
    const ByteSource source = contract_source(bytes, length);
    upload_part_clear(&upload->parts[number - 1]);
    contract.driver->put_part(contract.instance, NULL, contract.container, KEY, upload->id, number, &source,
                              &upload->parts[number - 1], &error);
    g_assert_no_error(error);
    g_assert_cmpuint(upload->parts[number - 1].number, ==, number);
    g_assert_cmpuint(upload->parts[number - 1].size_bytes, ==, length);
}

static gboolean
commit(Upload *upload, guint count, const WriteOptions *options, ObjectInfo *info, GError **error)
{
    static const WriteOptions none = {NULL};
    return contract.driver->commit_upload(contract.instance, NULL, contract.container, KEY, upload->id,
                                          upload->parts, count, options != NULL ? options : &none, info,
                                          error);
}

static void
abort_upload(Upload *upload)
{
    GError *error = NULL;
    contract.driver->abort_upload(contract.instance, NULL, contract.container, KEY, upload->id, &error);
    g_assert_no_error(error);
}

static void
test_parts(void)
{
    GError *error = NULL;
    Upload upload;
    if (skips())
        return;
    g_autoptr(GHashTable) metadata = contract_make_metadata("colour", "red");
    const WriteOptions options = {.content_type = "image/png", .metadata = metadata};
    begin(&upload, &options);
    gsize part = upload.part_bytes, size = part * 2 + 7;
    g_autofree guint8 *bytes = contract_make_bytes(size, 5);
    put(&upload, 3, bytes + part * 2, 7);
    put(&upload, 2, bytes, part);
    put(&upload, 1, bytes, part);
    put(&upload, 2, bytes + part, part);
    contract_assert_absent(KEY);
    g_auto(ObjectInfo) made = {NULL}, info = {NULL};
    commit(&upload, 3, &options, &made, &error);
    g_assert_no_error(error);
    contract_assert_content(KEY, bytes, size);
    contract.driver->stat_object(contract.instance, NULL, contract.container, KEY, &info, &error);
    g_assert_cmpuint(info.size_bytes, ==, size);
    if (made.etag != NULL)
        g_assert_cmpstr(made.etag, ==, info.etag);
    g_assert_cmpstr(info.content_type, ==, "image/png");
    contract_assert_metadata(&info, "colour", "red");
    clear(&upload);
}

static void
test_copied_part(void)
{
    GError *error = NULL;
    Upload upload;
    if (skips() || !contract.can.copy_part) {
        g_test_skip("no copy_part");
        return;
    }
    begin(&upload, NULL);
    gsize part = upload.part_bytes;
    g_autofree guint8 *bytes = contract_make_bytes(part * 3, 6);
    g_autofree char *etag = contract_put("source", bytes, part * 3, NULL);
    const CopySource source = {.container = contract.container, .key = "source", .if_etag = etag};
    contract.driver->copy_part(contract.instance, NULL, contract.container, KEY, upload.id, 1, &source, part,
                               part, &upload.parts[0], &error);
    g_assert_no_error(error);
    put(&upload, 2, "tail", 4);
    commit(&upload, 2, NULL, NULL, &error);
    g_assert_no_error(error);
    memcpy(bytes, bytes + part, part);
    g_autofree guint8 *expected = g_malloc(part + 4);
    memcpy(expected, bytes, part);
    memcpy(expected + part, "tail", 4);
    contract_assert_content(KEY, expected, part + 4);
    clear(&upload);
}

static void
test_copied_part_changed(void)
{
    GError *error = NULL;
    Upload upload;
    if (skips() || !contract.can.copy_part || !contract.can.copy_checks_source) {
        g_test_skip("copies of parts do not check their source");
        return;
    }
    begin(&upload, NULL);
    g_autofree guint8 *bytes = contract_make_bytes(upload.part_bytes + 1, 6);
    g_autofree char *old = contract_put("source", bytes, upload.part_bytes, NULL);
    g_autofree char *now = contract_put("source", bytes, upload.part_bytes + 1, NULL);
    const CopySource source = {.container = contract.container, .key = "source", .if_etag = old};
    g_assert_false(contract.driver->copy_part(contract.instance, NULL, contract.container, KEY, upload.id, 1,
                                              &source, 0, upload.part_bytes, &upload.parts[0], &error));
    contract_assert_code(&error, ERROR_CHANGED);
    abort_upload(&upload);
    clear(&upload);
}

static void
test_abort(void)
{
    GError *error = NULL;
    Upload upload;
    if (skips())
        return;
    begin(&upload, NULL);
    put(&upload, 1, "x", 1);
    abort_upload(&upload);
    abort_upload(&upload);
    g_assert_false(commit(&upload, 1, NULL, NULL, &error));
    /* Ceph 16 answers 500 "completion is already in progress". */
    g_assert_true(error_is(error, ERROR_NOT_FOUND) || error_is_transient(error));
    g_clear_error(&error);
    contract_assert_absent(KEY);
    clear(&upload);
}

static void
test_too_small(void)
{
    GError *error = NULL;
    Upload upload;
    if (skips() || contract.can.minimum_part_bytes < 2) {
        g_test_skip("no part is too small here");
        return;
    }
    begin(&upload, NULL);
    put(&upload, 1, "x", 1);
    put(&upload, 2, "y", 1);
    g_assert_false(commit(&upload, 2, NULL, NULL, &error));
    g_assert_nonnull(error);
    g_clear_error(&error);
    contract_assert_absent(KEY);
    abort_upload(&upload);
    clear(&upload);
}

static void
test_commit_if_absent(void)
{
    GError *error = NULL;
    Upload upload;
    const WriteOptions options = {.if_absent = TRUE};
    if (skips() || contract.can.commit_if_absent != CONDITION_ATOMIC) {
        g_test_skip("commits take no condition here");
        return;
    }
    begin(&upload, NULL);
    put(&upload, 1, "multi", 5);
    g_autofree char *etag = contract_put(KEY, "first", 5, NULL);
    g_assert_false(commit(&upload, 1, &options, NULL, &error));
    contract_assert_code(&error, ERROR_EXISTS);
    contract_assert_content(KEY, "first", 5);
    abort_upload(&upload);
    clear(&upload);
}

static void
test_commit_if_etag(void)
{
    GError *error = NULL;
    Upload upload;
    if (skips() || contract.can.commit_if_etag != CONDITION_ATOMIC) {
        g_test_skip("commits take no condition here");
        return;
    }
    g_autofree char *old = contract_put(KEY, "first", 5, NULL);
    g_autofree char *now = contract_put(KEY, "second", 6, NULL);
    const WriteOptions stale = {.if_etag = old}, right = {.if_etag = now};
    begin(&upload, NULL);
    put(&upload, 1, "multi", 5);
    g_assert_false(commit(&upload, 1, &stale, NULL, &error));
    contract_assert_code(&error, ERROR_CHANGED);
    contract_assert_content(KEY, "second", 6);
    abort_upload(&upload);
    clear(&upload);
    begin(&upload, NULL);
    put(&upload, 1, "multi", 5);
    g_assert_true(commit(&upload, 1, &right, NULL, &error));
    contract_assert_content(KEY, "multi", 5);
    clear(&upload);
}

void
contract_add_multipart(void)
{
    contract_add("/multipart/parts", test_parts);
    contract_add("/multipart/copied-part", test_copied_part);
    contract_add("/multipart/copied-part-changed", test_copied_part_changed);
    contract_add("/multipart/abort", test_abort);
    contract_add("/multipart/too-small", test_too_small);
    contract_add("/multipart/commit-if-absent", test_commit_if_absent);
    contract_add("/multipart/commit-if-etag", test_commit_if_etag);
}
