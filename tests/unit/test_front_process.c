/* What the front learns of a waiting process from /proc: pending signals, other descriptors of a file. */
#include "src/front/front_descriptors.h"
#include "src/front/front_interrupt.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void
ignore_signal(int number)
{
}

/* Under valgrind a process has every signal blocked, but for the time that it sleeps in the kernel. */
static void
wait_until_asleep(pid_t process)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/stat", (int)process);
    gint64 deadline = g_get_monotonic_time() + 60 * G_USEC_PER_SEC;
    for (;;) {
        g_autofree char *line = NULL;
        g_assert_true(g_file_get_contents(path, &line, NULL, NULL));
        if (g_str_has_prefix(strrchr(line, ')'), ") S"))
            return;
        g_assert_cmpint(g_get_monotonic_time(), <, deadline);
        g_usleep(1000);
    }
}

/* A child that is stopped by the test with `number` pending: blocked, handled or ignored as told. */
static pid_t
start_child(int number, void (*handler)(int), gboolean blocked)
{
    int ready[2];
    g_assert_cmpint(pipe(ready), ==, 0);
    pid_t child = fork();
    if (child == 0) {
        signal(number, handler);
        sigset_t set;
        sigemptyset(&set);
        sigaddset(&set, number);
        if (blocked)
            sigprocmask(SIG_BLOCK, &set, NULL);
        if (write(ready[1], "", 1) == 1)
            for (;;)
                pause();
        _exit(1);
    }
    char byte;
    close(ready[1]);
    g_assert_cmpint(read(ready[0], &byte, 1), ==, 1);
    close(ready[0]);
    wait_until_asleep(child);
    return child;
}

static void
end_child(pid_t child)
{
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

/* A stopped process keeps its signals pending, as one inside a system call does. */
static gboolean
is_fatal_when_pending(int number, void (*handler)(int), gboolean blocked)
{
    pid_t child = start_child(number, handler, blocked);
    kill(child, SIGSTOP);
    waitpid(child, NULL, WUNTRACED);
    kill(child, number);
    gboolean fatal = front_interrupt_is_fatal(child);
    end_child(child);
    return fatal;
}

static void
test_interrupt(void)
{
    g_assert_true(is_fatal_when_pending(SIGTERM, ignore_signal, FALSE));
    g_assert_true(is_fatal_when_pending(SIGINT, ignore_signal, FALSE));
    g_assert_false(is_fatal_when_pending(SIGINT, SIG_IGN, FALSE));
    g_assert_false(is_fatal_when_pending(SIGTERM, ignore_signal, TRUE));
    g_assert_false(is_fatal_when_pending(SIGALRM, ignore_signal, FALSE));
    g_assert_false(is_fatal_when_pending(SIGCHLD, ignore_signal, FALSE));
    g_assert_false(is_fatal_when_pending(SIGURG, ignore_signal, FALSE));
    g_assert_false(front_interrupt_is_fatal(getpid()));
}

static void
test_interrupt_gone(void)
{
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    siginfo_t info;
    g_assert_cmpint(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT), ==, 0);
    g_assert_true(front_interrupt_is_fatal(child));
    waitpid(child, NULL, 0);
    g_assert_true(front_interrupt_is_fatal(child));
}

static void
test_descriptors(void)
{
    g_autofree char *path = g_strdup("/tmp/storagefs-descriptors-XXXXXX");
    int first = g_mkstemp(path);
    g_assert_cmpint(first, >=, 0);
    g_unlink(path);
    struct stat attributes;
    g_assert_cmpint(fstat(first, &attributes), ==, 0);
    g_assert_true(front_descriptors_has_other(getpid(), attributes.st_ino));
    int second = dup(first);
    close(first);
    g_assert_true(front_descriptors_has_other(getpid(), attributes.st_ino));
    close(second);
    g_assert_false(front_descriptors_has_other(getpid(), attributes.st_ino));
    g_assert_false(front_descriptors_has_other(0, attributes.st_ino));
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/front/interrupt/pending", test_interrupt);
    g_test_add_func("/front/interrupt/gone", test_interrupt_gone);
    g_test_add_func("/front/descriptors", test_descriptors);
    return g_test_run();
}
