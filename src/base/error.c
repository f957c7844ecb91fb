/* The error domain: the code table, and what a GError carries beside its message.
 *
 * The delay of a Retry-After travels inside the GError (GLib's extended errors), so it survives copies,
 * prefixes and hand-overs between threads.
 */
#include "src/base/error.h"

#include <errno.h>

typedef struct {
    gint64 retry_after_us;
} ErrorPrivate;

static void
error_private_init(ErrorPrivate *private)
{
    private->retry_after_us = 0;
}

static void
error_private_copy(const ErrorPrivate *from, ErrorPrivate *to)
{
    *to = *from;
}

static void
error_private_clear(ErrorPrivate *private)
{
}

G_DEFINE_EXTENDED_ERROR(Error, error)

static const struct {
    int errnum;
    const char *name;
} codes[ERROR_CODE_COUNT] = {
    [ERROR_NOT_FOUND] = {ENOENT, "not-found"},
    [ERROR_EXISTS] = {EEXIST, "exists"},
    [ERROR_NOT_EMPTY] = {ENOTEMPTY, "not-empty"},
    [ERROR_BAD_NAME] = {EINVAL, "bad-name"},
    [ERROR_DENIED] = {EACCES, "denied"},
    [ERROR_READ_ONLY] = {EROFS, "read-only"},
    [ERROR_TOO_LARGE] = {EFBIG, "too-large"},
    [ERROR_NO_SPACE] = {ENOSPC, "no-space"},
    [ERROR_CHANGED] = {ESTALE, "changed"},
    [ERROR_TIMEOUT] = {ETIMEDOUT, "timeout"},
    [ERROR_THROTTLED] = {EBUSY, "throttled"},
    [ERROR_UNSUPPORTED] = {ENOTSUP, "unsupported"},
    [ERROR_CANCELLED] = {EINTR, "cancelled"},
    [ERROR_UNAVAILABLE] = {EIO, "unavailable"},
    [ERROR_PROTOCOL] = {EIO, "protocol"},
    [ERROR_BAD_CONFIG] = {EINVAL, "bad-config"},
    [ERROR_BAD_ARGUMENT] = {EINVAL, "bad-argument"},
    [ERROR_IS_FOLDER] = {EISDIR, "is-folder"},
    [ERROR_NOT_FOLDER] = {ENOTDIR, "not-folder"},
    [ERROR_NOT_PERMITTED] = {EPERM, "not-permitted"},
    [ERROR_OTHER_STORAGE] = {EXDEV, "other-storage"},
    [ERROR_NO_ATTRIBUTE] = {ENODATA, "no-attribute"},
    [ERROR_LOOP] = {ELOOP, "loop"},
    [ERROR_NAME_TOO_LONG] = {ENAMETOOLONG, "name-too-long"},
    [ERROR_NO_RESOURCES] = {ENFILE, "no-resources"},
    [ERROR_IO] = {EIO, "io"},
};

/* What the kernel answers and the table above has either several codes for or none. */
static const struct {
    int errnum;
    ErrorCode code;
} kernel_answers[] = {
    {EINVAL, ERROR_BAD_ARGUMENT},      {ERANGE, ERROR_BAD_ARGUMENT},      {EIO, ERROR_IO},
    {EDQUOT, ERROR_NO_SPACE},          {EOVERFLOW, ERROR_TOO_LARGE},      {E2BIG, ERROR_TOO_LARGE},
    {ENOSYS, ERROR_UNSUPPORTED},       {EMFILE, ERROR_NO_RESOURCES},      {ENOMEM, ERROR_NO_RESOURCES},
    {EAGAIN, ERROR_NO_RESOURCES},      {ECONNREFUSED, ERROR_UNAVAILABLE}, {ECONNRESET, ERROR_UNAVAILABLE},
    {ECONNABORTED, ERROR_UNAVAILABLE}, {ENOTCONN, ERROR_UNAVAILABLE},     {EPIPE, ERROR_UNAVAILABLE},
    {ENETDOWN, ERROR_UNAVAILABLE},     {ENETUNREACH, ERROR_UNAVAILABLE},  {EHOSTDOWN, ERROR_UNAVAILABLE},
    {EHOSTUNREACH, ERROR_UNAVAILABLE},
};

static gboolean
is_known(int code)
{
    return code >= 0 && code < ERROR_CODE_COUNT;
}

int
error_to_errno(const GError *error)
{
    if (!error || error->domain != STORAGEFS_ERROR || !is_known(error->code))
        return EIO;
    return codes[error->code].errnum;
}

ErrorCode
error_code_from_errno(int errnum)
{
    for (gsize i = 0; i < G_N_ELEMENTS(kernel_answers); i++)
        if (kernel_answers[i].errnum == errnum)
            return kernel_answers[i].code;
    for (int code = 0; code < ERROR_CODE_COUNT; code++)
        if (codes[code].errnum == errnum)
            return (ErrorCode)code;
    return ERROR_IO;
}

gboolean
error_set_errno(GError **error, int errnum, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *subject = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    g_set_error(error, STORAGEFS_ERROR, (int)error_code_from_errno(errnum), "%s: %s", subject,
                g_strerror(errnum));
    return FALSE;
}

const char *
error_code_name(ErrorCode code)
{
    return is_known((int)code) ? codes[code].name : "unknown";
}

gboolean
error_is(const GError *error, ErrorCode code)
{
    return error && error->domain == STORAGEFS_ERROR && error->code == (int)code;
}

gboolean
error_is_transient(const GError *error)
{
    return error_is(error, ERROR_TIMEOUT) || error_is(error, ERROR_THROTTLED) ||
           error_is(error, ERROR_UNAVAILABLE);
}

gboolean
error_leaves_doubt(const GError *error)
{
    return error_is_transient(error) || error_is(error, ERROR_CANCELLED) || error_is(error, ERROR_PROTOCOL);
}

gint64
error_get_retry_after_us(const GError *error)
{
    if (!error || error->domain != STORAGEFS_ERROR)
        return 0;
    return error_get_private(error)->retry_after_us;
}

void
error_set_retry_after_us(GError *error, gint64 delay_us)
{
    if (error && error->domain == STORAGEFS_ERROR)
        error_get_private(error)->retry_after_us = MAX(delay_us, 0);
}
