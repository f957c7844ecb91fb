/* -o of a mount: our words, fstab's words, and what is refused. */
#include "src/cli/cli_options.h"

#include <unistd.h>

static void
test_defaults(void)
{
    CliOptions options;
    cli_options_init(&options);
    g_assert_cmpuint(options.uid, ==, getuid());
    g_assert_cmpuint(options.gid, ==, getgid());
    g_assert_cmpuint(options.umask, ==, 022);
    g_assert_false(options.read_only || options.allow_other || options.default_permissions);
}

static void
test_words(void)
{
    CliOptions options;
    g_autoptr(GError) error = NULL;
    cli_options_init(&options);
    g_assert_true(cli_options_parse(
        &options, "ro,allow_other,uid=12,gid=root,umask=077,nosuid,nodev,noexec,nopassthrough", FALSE,
        &error));
    g_assert_no_error(error);
    g_assert_true(options.read_only && options.allow_other);
    g_assert_true(options.nosuid && options.nodev && options.noexec && options.no_passthrough);
    g_assert_cmpuint(options.uid, ==, 12);
    g_assert_cmpuint(options.gid, ==, 0);
    g_assert_cmpuint(options.umask, ==, 077);
    g_assert_true(cli_options_parse(&options, "rw", FALSE, &error));
    g_assert_false(options.read_only);
}

static void
test_fstab_words(void)
{
    CliOptions options;
    g_autoptr(GError) error = NULL;
    cli_options_init(&options);
    g_assert_true(
        cli_options_parse(&options,
                          "defaults,noauto,_netdev,nofail,x-systemd.automount,x-systemd.device-timeout=5s,"
                          "user,relatime,",
                          FALSE, &error));
    g_assert_no_error(error);
}

/* Each for itself, so that the one that is not known is named. */
static void
test_words_of_others(void)
{
    static const char *const words[] = {
        "user",        "users",      "nousers",       "user=somebody", "owner",       "noowner",
        "group",       "nogroup",    "nouser",        "nonempty",      "async",       "mand",
        "nomand",      "atime",      "noatime",       "relatime",      "norelatime",  "strictatime",
        "lazytime",    "nolazytime", "nostrictatime", "diratime",      "nodiratime",  "symfollow",
        "silent",      "loud",       "iversion",      "noiversion",    "comment=x y", "X-mount.mkdir",
        "x-gvfs-show", "_netdev",    "nofail",        "auto",          "noauto",      "defaults",
    };
    for (guint i = 0; i < G_N_ELEMENTS(words); i++) {
        CliOptions options, before;
        g_autoptr(GError) error = NULL;
        cli_options_init(&options);
        before = options;
        g_assert_true(cli_options_parse(&options, words[i], FALSE, &error));
        g_assert_no_error(error);
        g_assert_cmpmem(&options, sizeof options, &before, sizeof before);
    }
}

static void
test_later_words_win(void)
{
    CliOptions options;
    g_autoptr(GError) error = NULL;
    cli_options_init(&options);
    g_assert_true(cli_options_parse(&options, "ro,nosuid,nodev,noexec,suid,dev", FALSE, &error));
    g_assert_true(options.read_only && options.noexec && !options.nosuid && !options.nodev);
    g_assert_true(cli_options_parse(&options, "rw,exec,nodev", FALSE, &error));
    g_assert_true(!options.read_only && !options.noexec && options.nodev);
}

static void
assert_refused(const char *text, const char *expected)
{
    CliOptions options;
    g_autoptr(GError) error = NULL;
    cli_options_init(&options);
    g_assert_false(cli_options_parse(&options, text, FALSE, &error));
    g_assert_error(error, STORAGEFS_ERROR, ERROR_BAD_CONFIG);
    g_assert_nonnull(strstr(error->message, expected));
}

static void
test_refused(void)
{
    assert_refused("allow_othr", "did you mean 'allow_other'");
    assert_refused("umask=9", "octal");
    assert_refused("umask=7777", "octal");
    assert_refused("uid=nobody-of-that-name", "uid");
    assert_refused("uid=-1", "uid");
    assert_refused("gid=99999999999", "gid");
    assert_refused("zzzzzz=1", "unknown mount option 'zzzzzz=1'");
    assert_refused("remount,ro", "storagefs reload");
    assert_refused("rw,sync", "option sync is not supported");
    assert_refused("dirsync", "option dirsync is not supported");
    assert_refused("nosymfollow", "unknown mount option 'nosymfollow'");
    assert_refused("users=x", "unknown mount option 'users=x'");
}

static void
test_sloppy(void)
{
    CliOptions options;
    g_autoptr(GError) error = NULL;
    cli_options_init(&options);
    g_assert_true(cli_options_parse(&options, "zzzzzz=1,ro", TRUE, &error));
    g_assert_true(options.read_only);
    g_assert_false(cli_options_parse(&options, "umask=x", TRUE, &error));
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/cli/options/defaults", test_defaults);
    g_test_add_func("/cli/options/words", test_words);
    g_test_add_func("/cli/options/fstab-words", test_fstab_words);
    g_test_add_func("/cli/options/words-of-others", test_words_of_others);
    g_test_add_func("/cli/options/later-words-win", test_later_words_win);
    g_test_add_func("/cli/options/refused", test_refused);
    g_test_add_func("/cli/options/sloppy", test_sloppy);
    return g_test_run();
}
