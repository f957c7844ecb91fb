#include "drivers/local/local_rename.h"

#include "drivers/local/local_names.h"
#include "drivers/local/local_sidecar.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The target's directory may be pruned between being made and being used. */
#define MAXIMUM_ATTEMPTS 64

/* The two directories and last parts of one rename. */
typedef struct {
    int from, to;
    char *from_leaf, *to_leaf;
} Ends;

static void
clear_ends(Ends *ends)
{
    if (ends->from >= 0)
        close(ends->from);
    if (ends->to >= 0)
        close(ends->to);
    g_free(ends->from_leaf);
    g_free(ends->to_leaf);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Ends, clear_ends)

/* 0 or a negative errno. */
static int
open_ends(const LocalInstance *local, const char *container, const char *key, const char *to_container,
          const char *to_key, gboolean makes, Ends *ends)
{
    ends->from = local_path_open_parent(&local->root, container, key, FALSE, &ends->from_leaf);
    if (ends->from < 0)
        return ends->from;
    ends->to = local_path_open_parent(&local->root, to_container, to_key, makes, &ends->to_leaf);
    return ends->to < 0 ? ends->to : 0;
}

static int
rename_once(const LocalInstance *local, const char *container, const char *key, const char *to_container,
            const char *to_key, unsigned flags, gboolean flat, gboolean *out_regular)
{
    g_auto(Ends) ends = {.from = -1, .to = -1};
    struct stat info;
    int result = open_ends(local, container, key, to_container, to_key, FALSE, &ends);
    if (ends.from < 0)
        return result;
    if (fstatat(ends.from, ends.from_leaf, &info, AT_SYMLINK_NOFOLLOW) != 0)
        return -errno;
    if (S_ISDIR(info.st_mode) && (flat || local_names_is_hidden(ends.from_leaf)))
        return -ENOENT;
    if (S_ISDIR(info.st_mode) && local_names_is_hidden(ends.to_leaf != NULL ? ends.to_leaf : ""))
        return -EINVAL;
    if (result == -ENOENT && flat) {
        /* Made only now: a rename of nothing leaves no directories behind. */
        ends.to = local_path_open_parent(&local->root, to_container, to_key, TRUE, &ends.to_leaf);
        result = ends.to < 0 ? ends.to : 0;
    }
    if (result < 0)
        return result == -ENOENT && flat ? -EAGAIN : result;
    *out_regular = S_ISREG(info.st_mode);
    if (renameat2(ends.from, ends.from_leaf, ends.to, ends.to_leaf, flags) == 0)
        return 0;
    return errno == ENOENT && flat ? -EAGAIN : -errno;
}

/* 0 or a negative errno. */
static int
move_plain(const LocalInstance *local, const char *container, const char *key, const char *to_container,
           const char *to_key, unsigned flags)
{
    g_auto(Ends) ends = {.from = -1, .to = -1};
    int result = open_ends(local, container, key, to_container, to_key, FALSE, &ends);
    if (result < 0)
        return result;
    return renameat2(ends.from, ends.from_leaf, ends.to, ends.to_leaf, flags) == 0 ? 0 : -errno;
}

/* After its object: a reader in between sees no metadata, never another object's. */
static gboolean
move_sidecar(const LocalInstance *local, const char *container, const char *key, const char *to_container,
             const char *to_key, unsigned flags, GError **error)
{
    g_autofree char *from = local_sidecar_get_key(key), *to = local_sidecar_get_key(to_key);
    int result = move_plain(local, container, from, to_container, to, flags & RENAME_EXCHANGE);
    if (result == -ENOENT && (flags & RENAME_EXCHANGE) != 0) {
        result = move_plain(local, container, from, to_container, to, RENAME_NOREPLACE);
        if (result == -ENOENT)
            result = move_plain(local, to_container, to, container, from, RENAME_NOREPLACE);
    } else if (result == -ENOENT) {
        return local_sidecar_delete(local, to_container, to_key, error);
    }
    if (result == 0 || result == -ENOENT || (result == -ENAMETOOLONG && !local_sidecar_fits(key)))
        return TRUE;
    return error_set_errno(error, -result, "sidecar '%s/%s'", container, from);
}

gboolean
local_rename(const LocalInstance *local, const char *container, const char *key, const char *to_container,
             const char *to_key, unsigned flags, gboolean flat, GError **error)
{
    gboolean regular = FALSE;
    int result = -EAGAIN;
    if (!local_names_check_key(to_key, !flat, error))
        return FALSE;
    if (*key == '\0' || !local_names_is_reachable(key))
        return error_set_errno(error, ENOENT, "'%s/%s'", container, key);
    for (guint attempt = 0; attempt < MAXIMUM_ATTEMPTS && result == -EAGAIN; attempt++)
        result = rename_once(local, container, key, to_container, to_key, flags, flat, &regular);
    if (result < 0)
        return error_set_errno(error, result == -EAGAIN ? ENOENT : -result, "renaming '%s/%s' to '%s/%s'",
                               container, key, to_container, to_key);
    gboolean moved = !regular || !local_sidecar_applies(local, key) ||
                     !local_sidecar_applies(local, to_key) ||
                     move_sidecar(local, container, key, to_container, to_key, flags, error);
    if (flat)
        local_path_prune(&local->root, container, key);
    return moved;
}
