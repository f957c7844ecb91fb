/* Log lines: levels, secrets in every spelling, one line per message. */
#include "src/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

/* What log_message() writes to stderr for `text`. */
static char *
capture(LogLevel level, const char *text)
{
    g_autofree char *path = NULL;
    g_autofree char *written = NULL;
    int file = g_file_open_tmp("storagefs-log-XXXXXX", &path, NULL);
    int saved = dup(STDERR_FILENO);
    g_assert_cmpint(dup2(file, STDERR_FILENO), >=, 0);
    log_message(level, "%s", text);
    g_assert_cmpint(dup2(saved, STDERR_FILENO), >=, 0);
    close(saved);
    close(file);
    g_assert_true(g_file_get_contents(path, &written, NULL, NULL));
    g_unlink(path);
    return g_steal_pointer(&written);
}

static void
test_levels(void)
{
    static const char *const names[] = {"error", "warning", "info", "debug"};
    LogLevel level = LOG_LEVEL_INFO;
    for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
        g_assert_true(log_level_parse(names[i], &level));
        g_assert_cmpint(level, ==, i);
    }
    g_assert_false(log_level_parse("Debug", &level));
    g_assert_false(log_level_parse("", &level));
    g_assert_cmpint(level, ==, LOG_LEVEL_DEBUG);

    log_set_level(LOG_LEVEL_WARNING);
    g_autofree char *shown = capture(LOG_LEVEL_WARNING, "shown");
    g_autofree char *hidden = capture(LOG_LEVEL_INFO, "hidden");
    g_assert_cmpstr(shown, ==, "storagefs: warning: shown\n");
    g_assert_cmpstr(hidden, ==, "");
    g_assert_true(log_is_enabled(LOG_LEVEL_ERROR));
    g_assert_false(log_is_enabled(LOG_LEVEL_INFO));
    log_set_level(LOG_LEVEL_INFO);
}

/* A line that cannot be written is lost without a trace. */
static void
test_errno_is_kept(void)
{
    int saved = dup(STDERR_FILENO), unwritable = open("/dev/null", O_RDONLY);
    g_assert_cmpint(dup2(unwritable, STDERR_FILENO), >=, 0);
    errno = ENOTTY;
    log_error("lost");
    int errnum = errno;
    g_assert_cmpint(dup2(saved, STDERR_FILENO), >=, 0);
    close(saved);
    close(unwritable);
    g_assert_cmpint(errnum, ==, ENOTTY);
}

static void
test_secrets_in_every_spelling(void)
{
    static const struct {
        const char *text, *masked;
    } cases[] = {
        {"key=se/cr+et= end", "key=*** end"},
        {"key=se%2Fcr%2Bet%3D end", "key=*** end"},
        {"key=se%2fcr%2bet%3d end", "key=*** end"},
        {"key=se/cr%2Bet%3d end", "key=*** end"},
        {"key=se%252Fcr%252Bet%253D end", "key=*** end"},
        {"key=%73e/cr+et= end", "key=*** end"},
        {"se/cr+et=se/cr+et=", "******"},
        {"se/cr+et", "se/cr+et"},
        {"se%2", "se%2"},
        {"se%", "se%"},
        {"two+words two%20words two words", "*** *** ***"},
        {"longer one-longer than one", "*** one"},
        {"one-longer one", "*** one"},
        {"abc", "abc"},
        {"", ""},
    };
    log_add_secret("se/cr+et=");
    log_add_secret("two words");
    log_add_secret("longer one-longer than");
    log_add_secret("longer one");
    log_add_secret("one-longer");
    log_add_secret("abc");
    log_add_secret("");
    log_add_secret(NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *masked = log_mask_secrets(cases[i].text);
        g_assert_cmpstr(masked, ==, cases[i].masked);
    }
    g_autoptr(GError) error = g_error_new_literal(g_quark_from_static_string("x"), 7, "403: se/cr+et=");
    log_mask_error(error);
    log_mask_error(NULL);
    g_assert_cmpstr(error->message, ==, "403: ***");
    g_autofree char *line = capture(LOG_LEVEL_ERROR, "PUT /?k=se%2Fcr%2Bet%3D\nse/cr+et=");
    g_assert_cmpstr(line, ==, "storagefs: error: PUT /?k=***\\x0a***\n");
}

static void
test_one_line(void)
{
    static const struct {
        const char *text, *escaped;
    } cases[] = {
        {"a\nb\r\tc\x7f", "a\\x0ab\\x0d\\x09c\\x7f"},
        {"\x1b[31mred", "\\x1b[31mred"},
        {"caf\xc3\xa9", "caf\xc3\xa9"},
        {"bad \xff\xc3", "bad \\xff\\xc3"},
        {"\xc2\x85", "\\xc2\\x85"},
        {"\xe2\x80\xa8", "\\xe2\\x80\\xa8"},
        {"\xe2\x80\xae", "\\xe2\\x80\\xae"},
        {"", ""},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *escaped = log_escape(cases[i].text);
        g_assert_cmpstr(escaped, ==, cases[i].escaped);
    }
}

static void
test_random_text_is_one_bounded_line(void)
{
    for (int round = 0; round < 300; round++) {
        gsize length = (gsize)g_test_rand_int_range(0, round % 10 == 0 ? 40000 : 200);
        g_autofree char *text = g_malloc0(length + 1);
        for (gsize i = 0; i < length; i++)
            text[i] = (char)g_test_rand_int_range(1, 256);
        g_autofree char *line = capture(LOG_LEVEL_INFO, text);
        gsize written = strlen(line);
        g_assert_cmpuint(written, <, 8300);
        g_assert_true(g_utf8_validate(line, -1, NULL));
        g_assert_true(strchr(line, '\n') == line + written - 1);
    }
    g_autofree char *accents = g_malloc0(20001);
    for (gsize i = 0; i < 20000; i += 2)
        memcpy(accents + i, "\xc3\xa9", 2);
    g_autofree char *cut = capture(LOG_LEVEL_INFO, accents);
    g_assert_true(g_utf8_validate(cut, -1, NULL));
    g_assert_true(g_str_has_suffix(cut, "...\n"));
}

static void *
add_and_mask(void *data)
{
    for (int i = 0; i < 200; i++) {
        g_autofree char *secret = g_strdup_printf("secret-%d-%d", GPOINTER_TO_INT(data), i % 10);
        log_add_secret(secret);
        g_autofree char *masked = log_mask_secrets(secret);
        g_assert_cmpstr(masked, ==, "***");
    }
    return NULL;
}

static void
test_secrets_from_many_threads(void)
{
    pthread_t threads[4];
    for (gsize i = 0; i < G_N_ELEMENTS(threads); i++)
        g_assert_cmpint(pthread_create(&threads[i], NULL, add_and_mask, GSIZE_TO_POINTER(i)), ==, 0);
    for (gsize i = 0; i < G_N_ELEMENTS(threads); i++)
        pthread_join(threads[i], NULL);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/log/levels", test_levels);
    g_test_add_func("/log/errno", test_errno_is_kept);
    g_test_add_func("/log/secrets", test_secrets_in_every_spelling);
    g_test_add_func("/log/one-line", test_one_line);
    g_test_add_func("/log/random", test_random_text_is_one_bounded_line);
    g_test_add_func("/log/threads", test_secrets_from_many_threads);
    return g_test_run();
}
