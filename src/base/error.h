/* The one error domain of the project and its one way to errno.
 *
 * Every function that can fail for more than one reason returns gboolean and takes a GError ** last. The
 * domain is always STORAGEFS_ERROR, the code one of ErrorCode. On FALSE all outputs are untouched. A lower
 * error is passed on as it is; a caller may prefix the subject with g_prefix_error(), never replace it.
 * Messages are one line: what failed, on which object, why, and the remedy if there is one.
 */
#pragma once

#include <glib.h>

#define STORAGEFS_ERROR (error_quark())

typedef enum {
    ERROR_NOT_FOUND,     /* ENOENT: object, container, storage or upload is absent */
    ERROR_EXISTS,        /* EEXIST */
    ERROR_NOT_EMPTY,     /* ENOTEMPTY */
    ERROR_BAD_NAME,      /* EINVAL: the service or the layout refuses this name */
    ERROR_DENIED,        /* EACCES: credentials or permissions (HTTP 401, 403) */
    ERROR_READ_ONLY,     /* EROFS */
    ERROR_TOO_LARGE,     /* EFBIG */
    ERROR_NO_SPACE,      /* ENOSPC: quota, full disk */
    ERROR_CHANGED,       /* ESTALE: not the version that was asked for (HTTP 412) */
    ERROR_TIMEOUT,       /* ETIMEDOUT: deadline of the call passed; transient inside the deadline */
    ERROR_THROTTLED,     /* EBUSY: the service asked to slow down; transient */
    ERROR_UNSUPPORTED,   /* ENOTSUP, never ENOSYS: that would switch the call off for the whole mount */
    ERROR_CANCELLED,     /* EINTR: the waiting process was interrupted */
    ERROR_UNAVAILABLE,   /* EIO: refused, reset, DNS, 5xx; transient */
    ERROR_PROTOCOL,      /* EIO: the peer sent what the protocol does not allow */
    ERROR_BAD_CONFIG,    /* EINVAL: configuration or command line */
    ERROR_BAD_ARGUMENT,  /* EINVAL: a caller's argument, such as an offset */
    ERROR_IS_FOLDER,     /* EISDIR */
    ERROR_NOT_FOLDER,    /* ENOTDIR */
    ERROR_NOT_PERMITTED, /* EPERM: not a matter of rights, the namespace does not offer it */
    ERROR_OTHER_STORAGE, /* EXDEV */
    ERROR_NO_ATTRIBUTE,  /* ENODATA: no such extended attribute */
    ERROR_LOOP,          /* ELOOP: a symbolic link where none may be followed */
    ERROR_NAME_TOO_LONG, /* ENAMETOOLONG */
    ERROR_NO_RESOURCES,  /* ENFILE: out of descriptors, threads, memory budget */
    ERROR_IO,            /* EIO: local disk and everything else */
    ERROR_CODE_COUNT
} ErrorCode;

GQuark error_quark(void);

/* The positive errno for `error`; EIO for a foreign domain, an unknown code, or NULL. The only code → errno
 * table of the project. */
int error_to_errno(const GError *error);

/* The code nearest to a positive errno, for what the local kernel answers. */
ErrorCode error_code_from_errno(int errnum);

/* Sets *error to the code for `errnum` with the formatted subject, then ": " and strerror's text.
 * Always returns FALSE, so that callers can return it. */
gboolean error_set_errno(GError **error, int errnum, const char *format, ...) G_GNUC_PRINTF(3, 4);

/* Stable lower-case name such as "not-found", for logs and JSON; "unknown" outside the range. */
const char *error_code_name(ErrorCode code);

/* TRUE when `error` is of our domain and has `code`. error may be NULL. */
gboolean error_is(const GError *error, ErrorCode code);

/* TRUE for failures that may pass when the same request is repeated: TIMEOUT, THROTTLED, UNAVAILABLE. */
gboolean error_is_transient(const GError *error);

/* TRUE for failures after which nobody knows whether the request was carried out: the transient ones,
 * CANCELLED, PROTOCOL. All others are verdicts. */
gboolean error_leaves_doubt(const GError *error);

/* The delay the service asked for (Retry-After) in microseconds, 0 when it asked for none. */
gint64 error_get_retry_after_us(const GError *error);
void error_set_retry_after_us(GError *error, gint64 delay_us);
