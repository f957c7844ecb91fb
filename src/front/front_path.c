/* Walks a path by hand, link by link: realpath(3) would go on into the mount, and wait there for ourselves.
 */
#include "src/front/front_path.h"

#include <limits.h>
#include <string.h>
#include <unistd.h>

/* As the kernel has it. */
#define MAXIMUM_LINKS 40u

/* Where the walk is, absolute and without links, and what it has still to go. */
typedef struct {
    char *here, *rest;
    guint links;
} Walk;

/* Both taken. */
static void
set(Walk *walk, char *here, char *rest)
{
    g_free(walk->here);
    g_free(walk->rest);
    walk->here = here;
    walk->rest = rest;
}

/* The next part of the way; NULL at the end. Caller frees. */
static char *
take_part(Walk *walk)
{
    const char *start = walk->rest + strspn(walk->rest, "/");
    gsize length = strcspn(start, "/");
    if (length == 0)
        return NULL;
    char *part = g_strndup(start, length);
    char *rest = g_strdup(start + length);
    g_free(walk->rest);
    walk->rest = rest;
    return part;
}

/* What of `path` lies below `folder`; NULL: it lies elsewhere. Borrowed. */
static const char *
get_below(const char *path, const char *folder)
{
    gsize length = strlen(folder);
    if (strncmp(path, folder, length) != 0 || (path[length] != '/' && path[length] != '\0'))
        return NULL;
    return path + length + (path[length] == '/');
}

/* Inside the mount everything is taken as it is called. What cannot be read is no link, and leads nowhere
 * near. FALSE: links without end. */
static gboolean
step(Walk *walk, const char *part, const char *mount_point)
{
    char target[PATH_MAX];
    if (strcmp(part, ".") == 0)
        return TRUE;
    if (strcmp(part, "..") == 0) {
        set(walk, g_path_get_dirname(walk->here), g_steal_pointer(&walk->rest));
        return TRUE;
    }
    g_autofree char *next = g_build_filename(walk->here, part, NULL);
    gboolean is_inside = get_below(next, mount_point) != NULL;
    ssize_t length = is_inside ? -1 : readlink(next, target, sizeof target - 1);
    if (length < 0) {
        set(walk, g_steal_pointer(&next), g_steal_pointer(&walk->rest));
        return TRUE;
    }
    target[length] = '\0';
    char *here = target[0] == '/' ? g_strdup("/") : g_strdup(walk->here);
    set(walk, here, g_strconcat(target, "/", walk->rest, NULL));
    return ++walk->links <= MAXIMUM_LINKS;
}

char *
front_path_below(const char *path, const char *mount_point)
{
    Walk walk = {g_strdup("/"), g_strdup(path), 0};
    gboolean ok = TRUE;
    while (ok) {
        g_autofree char *part = take_part(&walk);
        if (part == NULL)
            break;
        ok = step(&walk, part, mount_point);
    }
    const char *below = ok ? get_below(walk.here, mount_point) : NULL;
    char *out = g_strdup(below);
    set(&walk, NULL, NULL);
    return out;
}
