/* Errors: the code table both ways, and the delay that travels inside. */
#include "src/base/error.h"

#include <errno.h>
#include <string.h>

static void
test_every_code_has_errno_and_name(void)
{
    g_autoptr(GHashTable) names = g_hash_table_new(g_str_hash, g_str_equal);
    for (int code = 0; code < ERROR_CODE_COUNT; code++) {
        g_autoptr(GError) error = g_error_new_literal(STORAGEFS_ERROR, code, "x");
        const char *name = error_code_name((ErrorCode)code);
        g_assert_cmpint(error_to_errno(error), >, 0);
        g_assert_cmpint(error_to_errno(error), !=, ENOSYS);
        g_assert_cmpstr(name, !=, "unknown");
        g_assert_true(g_hash_table_add(names, (gpointer)name));
        g_assert_true(error_is(error, (ErrorCode)code));
    }
    g_assert_cmpstr(error_code_name(ERROR_CODE_COUNT), ==, "unknown");
    g_assert_cmpstr(error_code_name((ErrorCode)-1), ==, "unknown");
}

static void
test_foreign_errors_are_eio(void)
{
    g_autoptr(GError) foreign = g_error_new_literal(G_FILE_ERROR, ERROR_NOT_FOUND, "x");
    g_autoptr(GError) unknown = g_error_new_literal(STORAGEFS_ERROR, ERROR_CODE_COUNT + 7, "x");
    g_assert_cmpint(error_to_errno(NULL), ==, EIO);
    g_assert_cmpint(error_to_errno(foreign), ==, EIO);
    g_assert_cmpint(error_to_errno(unknown), ==, EIO);
    g_assert_false(error_is(foreign, ERROR_NOT_FOUND));
    g_assert_false(error_is(NULL, ERROR_NOT_FOUND));
    error_set_retry_after_us(foreign, 5);
    g_assert_cmpint(error_get_retry_after_us(foreign), ==, 0);
}

/* What the kernel answers comes out as it went in, wherever a code for it exists. */
static void
test_errno_there_and_back(void)
{
    static const int kept[] = {ENOENT,    EEXIST, ENOTEMPTY,    EACCES, EROFS,  EFBIG,   ENOSPC, ESTALE,
                               ETIMEDOUT, EBUSY,  ENOTSUP,      EINTR,  EISDIR, ENOTDIR, EPERM,  EXDEV,
                               ENODATA,   ELOOP,  ENAMETOOLONG, ENFILE, EIO,    EINVAL};
    for (gsize i = 0; i < G_N_ELEMENTS(kept); i++) {
        g_autoptr(GError) error = NULL;
        g_assert_false(error_set_errno(&error, kept[i], "%s of %d", "name", 7));
        g_assert_cmpint(error_to_errno(error), ==, kept[i]);
        g_assert_true(g_str_has_prefix(error->message, "name of 7: "));
        g_assert_true(g_str_has_suffix(error->message, g_strerror(kept[i])));
    }
    g_assert_cmpint(error_code_from_errno(EIO), ==, ERROR_IO);
    g_assert_cmpint(error_code_from_errno(EINVAL), ==, ERROR_BAD_ARGUMENT);
    g_assert_cmpint(error_code_from_errno(ENOSYS), ==, ERROR_UNSUPPORTED);
    g_assert_cmpint(error_code_from_errno(ECONNRESET), ==, ERROR_UNAVAILABLE);
    g_assert_cmpint(error_code_from_errno(EDQUOT), ==, ERROR_NO_SPACE);
    g_assert_cmpint(error_code_from_errno(0), ==, ERROR_IO);
    g_assert_cmpint(error_code_from_errno(123456), ==, ERROR_IO);
}

static void
test_transient(void)
{
    for (int code = 0; code < ERROR_CODE_COUNT; code++) {
        g_autoptr(GError) error = g_error_new_literal(STORAGEFS_ERROR, code, "x");
        gboolean expected = code == ERROR_TIMEOUT || code == ERROR_THROTTLED || code == ERROR_UNAVAILABLE;
        g_assert_cmpint(error_is_transient(error), ==, expected);
        gboolean unknown = expected || code == ERROR_CANCELLED || code == ERROR_PROTOCOL;
        g_assert_cmpint(error_leaves_doubt(error), ==, unknown);
    }
    g_assert_false(error_is_transient(NULL));
    g_assert_false(error_leaves_doubt(NULL));
}

static void
test_retry_after_survives(void)
{
    g_autoptr(GError) error = g_error_new_literal(STORAGEFS_ERROR, ERROR_THROTTLED, "slow down");
    g_assert_cmpint(error_get_retry_after_us(error), ==, 0);
    error_set_retry_after_us(error, 1500000);
    g_prefix_error(&error, "photos: ");
    g_autoptr(GError) copy = g_error_copy(error);
    g_assert_cmpint(error_get_retry_after_us(copy), ==, 1500000);
    error_set_retry_after_us(error, -1);
    g_assert_cmpint(error_get_retry_after_us(error), ==, 0);
    g_assert_cmpint(error_get_retry_after_us(NULL), ==, 0);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/error/every-code", test_every_code_has_errno_and_name);
    g_test_add_func("/error/foreign", test_foreign_errors_are_eio);
    g_test_add_func("/error/errno", test_errno_there_and_back);
    g_test_add_func("/error/transient", test_transient);
    g_test_add_func("/error/retry-after", test_retry_after_survives);
    return g_test_run();
}
