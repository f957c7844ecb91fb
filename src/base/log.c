/* Log lines: level, masking, escaping, and where they go.
 *
 * A line is masked first and escaped after, so that a secret with a control character is found as it is.
 */
#include "src/base/log.h"

#include "src/base/lock.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#define SECRET_MIN_BYTES 4u
#define LINE_MAX_BYTES 8192u
#define MASK "***"

static const struct {
    const char *name;
    int priority;
} levels[] = {
    [LOG_LEVEL_ERROR] = {"error", LOG_ERR},
    [LOG_LEVEL_WARNING] = {"warning", LOG_WARNING},
    [LOG_LEVEL_INFO] = {"info", LOG_INFO},
    [LOG_LEVEL_DEBUG] = {"debug", LOG_DEBUG},
};

static atomic_int maximum_level = LOG_LEVEL_INFO;
static atomic_bool is_syslog;
static Lock secrets_lock = {PTHREAD_MUTEX_INITIALIZER};
static GPtrArray *secrets; /* of char *, never removed: a line may still speak of an old one */

static void
log_glib_message(const char *domain, GLogLevelFlags flags, const char *message, gpointer data)
{
    LogLevel level = flags & (G_LOG_LEVEL_ERROR | G_LOG_LEVEL_CRITICAL) ? LOG_LEVEL_ERROR
                     : flags & G_LOG_LEVEL_WARNING                      ? LOG_LEVEL_WARNING
                     : flags & (G_LOG_LEVEL_MESSAGE | G_LOG_LEVEL_INFO) ? LOG_LEVEL_INFO
                                                                        : LOG_LEVEL_DEBUG;
    log_message(level, "%s: %s", domain ? domain : "glib", message);
}

void
log_open(gboolean to_syslog, LogLevel level)
{
    log_set_level(level);
    if (to_syslog)
        openlog("storagefs", LOG_PID | LOG_NDELAY, LOG_DAEMON);
    atomic_store(&is_syslog, to_syslog);
    g_log_set_default_handler(log_glib_message, NULL);
}

void
log_set_level(LogLevel level)
{
    atomic_store_explicit(&maximum_level, (int)level, memory_order_relaxed);
}

gboolean
log_is_enabled(LogLevel level)
{
    return (int)level <= atomic_load_explicit(&maximum_level, memory_order_relaxed);
}

gboolean
log_level_parse(const char *text, LogLevel *out_level)
{
    for (gsize i = 0; i < G_N_ELEMENTS(levels); i++) {
        if (strcmp(text, levels[i].name) == 0) {
            *out_level = (LogLevel)i;
            return TRUE;
        }
    }
    return FALSE;
}

void
log_add_secret(const char *secret)
{
    if (!secret || strlen(secret) < SECRET_MIN_BYTES)
        return;
    lock_acquire(&secrets_lock);
    if (!secrets)
        secrets = g_ptr_array_new_with_free_func(g_free);
    if (!g_ptr_array_find_with_equal_func(secrets, secret, g_str_equal, NULL))
        g_ptr_array_add(secrets, g_strdup(secret));
    lock_release(&secrets_lock);
}

/* The bytes at `text` that stand for `byte`: itself, %XX, %25XX (escaped twice), or '+' for a blank. 0: it is
 * another one. */
static gsize
match_byte(const char *text, char byte)
{
    if (*text == byte)
        return 1;
    if (*text == '+' && byte == ' ')
        return 1;
    if (*text != '%')
        return 0;
    gsize skip = strncmp(text, "%25", 3) == 0 ? 3 : 1;
    int high = g_ascii_xdigit_value(text[skip]);
    int low = high < 0 ? -1 : g_ascii_xdigit_value(text[skip + 1]);
    return low >= 0 && (char)(high << 4 | low) == byte ? skip + 2 : 0;
}

static gsize
match_secret(const char *text, const char *secret)
{
    gsize length = 0;
    for (; *secret; secret++) {
        gsize step = match_byte(text + length, *secret);
        if (step == 0)
            return 0;
        length += step;
    }
    return length;
}

static gsize
match_longest_secret(const char *text) REQUIRES(secrets_lock)
{
    gsize longest = 0;
    for (guint i = 0; i < secrets->len; i++)
        longest = MAX(longest, match_secret(text, g_ptr_array_index(secrets, i)));
    return longest;
}

char *
log_mask_secrets(const char *text)
{
    GString *masked = g_string_sized_new(strlen(text) + 1);
    lock_acquire(&secrets_lock);
    while (*text) {
        gsize length = secrets ? match_longest_secret(text) : 0;
        if (length > 0) {
            g_string_append(masked, MASK);
            text += length;
        } else {
            g_string_append_c(masked, *text++);
        }
    }
    lock_release(&secrets_lock);
    return g_string_free(masked, FALSE);
}

void
log_mask_error(GError *error)
{
    if (!error)
        return;
    char *masked = log_mask_secrets(error->message);
    g_free(error->message);
    error->message = masked;
}

/* Line breaks forge lines; other control and formatting characters (such as a change of the writing
 * direction) deceive the eye or drive the terminal. */
static gboolean
is_printable(gunichar character)
{
    switch (g_unichar_type(character)) {
    case G_UNICODE_CONTROL:
    case G_UNICODE_FORMAT:
    case G_UNICODE_LINE_SEPARATOR:
    case G_UNICODE_PARAGRAPH_SEPARATOR:
        return FALSE;
    default:
        return TRUE;
    }
}

char *
log_escape(const char *text)
{
    GString *escaped = g_string_sized_new(strlen(text) + 1);
    while (*text) {
        gunichar character = g_utf8_get_char_validated(text, -1);
        gboolean is_valid = character < (gunichar)-2;
        gsize length = is_valid ? (gsize)(g_utf8_next_char(text) - text) : 1;
        if (is_valid && is_printable(character)) {
            g_string_append_len(escaped, text, (gssize)length);
        } else {
            for (gsize i = 0; i < length; i++)
                g_string_append_printf(escaped, "\\x%02x", (guchar)text[i]);
        }
        text += length;
    }
    return g_string_free(escaped, FALSE);
}

static void
cut(char *text)
{
    if (strlen(text) <= LINE_MAX_BYTES)
        return;
    char *end = g_utf8_find_prev_char(text, text + LINE_MAX_BYTES - strlen("..."));
    memcpy(end, "...", sizeof("..."));
}

static void
write_to_stderr(LogLevel level, const char *text)
{
    g_autofree char *line = g_strdup_printf("storagefs: %s: %s\n", levels[level].name, text);
    gsize length = strlen(line), done = 0;
    while (done < length) {
        ssize_t count = write(STDERR_FILENO, line + done, length - done);
        if (count < 0 && errno != EINTR)
            return;
        done += (gsize)MAX(count, 0);
    }
}

void
log_message(LogLevel level, const char *format, ...)
{
    if (!log_is_enabled(level))
        return;
    int errnum = errno;
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *raw = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    g_autofree char *masked = log_mask_secrets(raw);
    g_autofree char *text = log_escape(masked);
    cut(text);
    if (atomic_load(&is_syslog))
        syslog(levels[level].priority, "%s", text);
    else
        write_to_stderr(level, text);
    errno = errnum;
}
