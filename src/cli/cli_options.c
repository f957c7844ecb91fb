#include "src/cli/cli_options.h"

#include "src/base/config.h"

#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <unistd.h>

/* What a mount without a umask option takes off the modes of objects that have none of their own. */
#define UMASK_DEFAULT 022

/* Words of fstab and mount(8) that say nothing to a file system. */
static const char *const ignored_words[] = {
    "auto",       "noauto",   "nofail",     "_netdev",    "defaults",   "user",        "users",
    "nouser",     "nousers",  "owner",      "noowner",    "group",      "nogroup",     "nonempty",
    "async",      "mand",     "nomand",     "atime",      "noatime",    "relatime",    "diratime",
    "nodiratime", "lazytime", "nolazytime", "iversion",   "noiversion", "strictatime", "nostrictatime",
    "silent",     "loud",     "symfollow",  "norelatime", NULL,
};

static const char *const ignored_prefixes[] = {"x-", "X-", "comment=", "user="};

static const char *const known_words[] = {
    "ro",     "rw",    "allow_other", "default_permissions", "uid", "gid", "umask",
    "nosuid", "nodev", "noexec",      "nopassthrough",       NULL,
};

void
cli_options_init(CliOptions *options)
{
    *options = (CliOptions){.uid = getuid(), .gid = getgid(), .umask = UMASK_DEFAULT};
}

static gboolean
is_ignored(const char *word)
{
    gboolean ignored = g_strv_contains(ignored_words, word);
    for (guint i = 0; !ignored && i < G_N_ELEMENTS(ignored_prefixes); i++)
        ignored = g_str_has_prefix(word, ignored_prefixes[i]);
    return ignored;
}

static gboolean
set_flag(CliOptions *options, const char *word)
{
    struct {
        const char *word;
        gboolean *flag;
        gboolean value;
    } flags[] = {
        {"ro", &options->read_only, TRUE},
        {"rw", &options->read_only, FALSE},
        {"allow_other", &options->allow_other, TRUE},
        {"default_permissions", &options->default_permissions, TRUE},
        {"nosuid", &options->nosuid, TRUE},
        {"suid", &options->nosuid, FALSE},
        {"nodev", &options->nodev, TRUE},
        {"dev", &options->nodev, FALSE},
        {"noexec", &options->noexec, TRUE},
        {"exec", &options->noexec, FALSE},
        {"nopassthrough", &options->no_passthrough, TRUE},
    };
    for (guint i = 0; i < G_N_ELEMENTS(flags); i++) {
        if (strcmp(word, flags[i].word) != 0)
            continue;
        *flags[i].flag = flags[i].value;
        return TRUE;
    }
    return FALSE;
}

static gboolean
parse_number(const char *word, const char *value, guint base, guint64 maximum, guint64 *out, GError **error)
{
    if (g_ascii_string_to_unsigned(value, base, 0, maximum, out, NULL))
        return TRUE;
    g_set_error(error, STORAGEFS_ERROR, ERROR_BAD_CONFIG, "option %s: '%s' is not %s", word, value,
                base == 8 ? "an octal mode such as 022" : "a number or a known name");
    return FALSE;
}

static gboolean
parse_uid(CliOptions *options, const char *value, GError **error)
{
    guint64 number;
    struct passwd *entry = getpwnam(value);
    if (entry != NULL)
        options->uid = entry->pw_uid;
    else if (!parse_number("uid", value, 10, G_MAXUINT32 - 1, &number, error))
        return FALSE;
    else
        options->uid = (uid_t)number;
    return TRUE;
}

static gboolean
parse_gid(CliOptions *options, const char *value, GError **error)
{
    guint64 number;
    struct group *entry = getgrnam(value);
    if (entry != NULL)
        options->gid = entry->gr_gid;
    else if (!parse_number("gid", value, 10, G_MAXUINT32 - 1, &number, error))
        return FALSE;
    else
        options->gid = (gid_t)number;
    return TRUE;
}

static gboolean
parse_umask(CliOptions *options, const char *value, GError **error)
{
    guint64 number;
    if (!parse_number("umask", value, 8, 0777, &number, error))
        return FALSE;
    options->umask = (mode_t)number;
    return TRUE;
}

static gboolean
fail_unknown(const char *word, GError **error)
{
    g_autofree char *name = g_strndup(word, strcspn(word, "="));
    const char *near = config_nearest(name, known_words);
    g_set_error(error, STORAGEFS_ERROR, ERROR_BAD_CONFIG, "unknown mount option '%s'%s%s%s", word,
                near != NULL ? ", did you mean '" : "", near != NULL ? near : "", near != NULL ? "'?" : "");
    return FALSE;
}

static gboolean
fail_remount(GError **error)
{
    g_set_error(error, STORAGEFS_ERROR, ERROR_BAD_CONFIG,
                "options of a mount cannot be changed while it stands (remount): unmount it, then mount it "
                "again; a changed configuration takes storagefs reload");
    return FALSE;
}

/* What it promises of each write cannot be had from an object storage. */
static gboolean
fail_sync(const char *word, GError **error)
{
    g_set_error(error, STORAGEFS_ERROR, ERROR_BAD_CONFIG,
                "option %s is not supported: what is written is safe when close or fsync returns, not after "
                "each write; leave the option out",
                word);
    return FALSE;
}

static gboolean
parse_word(CliOptions *options, const char *word, gboolean sloppy, GError **error)
{
    if (*word == '\0' || set_flag(options, word) || is_ignored(word))
        return TRUE;
    if (g_str_has_prefix(word, "uid="))
        return parse_uid(options, word + strlen("uid="), error);
    if (g_str_has_prefix(word, "gid="))
        return parse_gid(options, word + strlen("gid="), error);
    if (g_str_has_prefix(word, "umask="))
        return parse_umask(options, word + strlen("umask="), error);
    if (strcmp(word, "remount") == 0)
        return fail_remount(error);
    if (!sloppy && (strcmp(word, "sync") == 0 || strcmp(word, "dirsync") == 0))
        return fail_sync(word, error);
    return sloppy || fail_unknown(word, error);
}

gboolean
cli_options_parse(CliOptions *options, const char *text, gboolean sloppy, GError **error)
{
    g_auto(GStrv) words = g_strsplit(text, ",", -1);
    for (guint i = 0; words[i] != NULL; i++)
        if (!parse_word(options, words[i], sloppy, error))
            return FALSE;
    return TRUE;
}
