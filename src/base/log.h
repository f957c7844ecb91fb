/* Log lines: to stderr in the foreground, to syslog otherwise.
 *
 * A failure is logged once, at the top (where it becomes an errno), with storage, container, key, HTTP status
 * and the service's request id. Registered secrets are replaced by "***" in every line, whatever the caller
 * does.
 */
#pragma once

#include <glib.h>

typedef enum { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG } LogLevel;

/* Before log_open() lines go to stderr at level INFO. */
void log_open(gboolean to_syslog, LogLevel level);
void log_set_level(LogLevel level);
gboolean log_is_enabled(LogLevel level);

/* "error", "warning", "info", "debug"; FALSE for anything else. */
gboolean log_level_parse(const char *text, LogLevel *out_level);

/* From now on every occurrence of `secret` (at least 4 bytes long) is masked. Takes a copy. Thread-safe. */
void log_add_secret(const char *secret);
/* A copy of `text` with the registered secrets masked: for status and error texts. Caller frees. */
char *log_mask_secrets(const char *text);
/* Masks the message of `error` in place; NULL is none. What says something that came from outside is masked
 * where it enters: then no text made of it, wherever it is shown or kept, holds a secret. */
void log_mask_error(GError *error);
/* A copy of `text` that is one line of valid UTF-8: control and formatting characters, and bytes that are not
 * UTF-8, as \xHH. Log lines are escaped by themselves; this is for other texts. Caller frees. */
char *log_escape(const char *text);

/* One line, however long or broken the text: escaped, and cut after 8 KiB. Keeps errno. */
void log_message(LogLevel level, const char *format, ...) G_GNUC_PRINTF(2, 3);
#define log_error(...) log_message(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_message(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...) log_message(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)                                                                                       \
    do {                                                                                                     \
        if (log_is_enabled(LOG_LEVEL_DEBUG))                                                                 \
            log_message(LOG_LEVEL_DEBUG, __VA_ARGS__);                                                       \
    } while (0)
