#include "drivers/local/local_list.h"

#include "drivers/local/local_instance.h"
#include "drivers/local/local_metadata.h"
#include "drivers/local/local_names.h"
#include "drivers/local/local_object.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* A token is '>' and the last key given, or '=' and the first text behind the last prefix given. */
#define AFTER_KEY '>'
#define FROM_TEXT '='
/* The walk of one page; each level of directories keeps one descriptor open. */
#define MAXIMUM_DEPTH 500

typedef struct {
    LocalInstance *local;
    Call *call;
    const char *container;
    const ListQuery *query;
    const char *start;       /* keys before it are left out; "" none */
    gboolean start_excluded; /* and itself too */
    guint limit, count;
    char *last; /* token that goes on behind the entry given last */
    gboolean full;
    ListPage *page;
} Walk;

static gboolean walk_folder(Walk *walk, int fd, const char *folder_key, guint depth, GError **error);

static gint
compare_entries(gconstpointer a, gconstpointer b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static gboolean
is_folder(int fd, const struct dirent *entry)
{
    struct stat info;
    if (entry->d_type != DT_UNKNOWN)
        return entry->d_type == DT_DIR;
    return fstatat(fd, entry->d_name, &info, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(info.st_mode);
}

/* Can anything under this name (a key, or all keys that begin with "dir/") belong to the page? */
static gboolean
is_wanted(const Walk *walk, const char *name)
{
    const char *prefix = walk->query->prefix;
    if (g_str_has_suffix(name, "/")) {
        if (!g_str_has_prefix(name, prefix) && !g_str_has_prefix(prefix, name))
            return FALSE;
        return g_str_has_prefix(walk->start, name) || strcmp(name, walk->start) > 0;
    }
    int order = strcmp(name, walk->start);
    return g_str_has_prefix(name, prefix) && (order > 0 || (order == 0 && !walk->start_excluded));
}

/* The full names of a directory's entries in byte order, "/" behind those of directories. out_empty: it has
 * no entry that counts at all. */
static GPtrArray *
read_names(Walk *walk, int fd, const char *folder_key, gboolean *out_empty, GError **error)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    int listed = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = listed >= 0 ? fdopendir(listed) : NULL;
    *out_empty = TRUE;
    if (dir == NULL) {
        error_set_errno(error, errno, "listing '%s/%s'", walk->container, folder_key);
        if (listed >= 0)
            close(listed);
        return NULL;
    }
    for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        if (g_str_equal(entry->d_name, ".") || g_str_equal(entry->d_name, ".."))
            continue;
        gboolean folder = is_folder(fd, entry);
        if (folder && local_names_is_hidden(entry->d_name))
            continue;
        *out_empty = FALSE;
        g_autofree char *name = g_strconcat(folder_key, entry->d_name, folder ? "/" : NULL, NULL);
        if (is_wanted(walk, name))
            g_ptr_array_add(names, g_steal_pointer(&name));
    }
    closedir(dir);
    g_ptr_array_sort(names, compare_entries);
    return g_steal_pointer(&names);
}

/* Counts one more entry; FALSE when the page is full, which is when it gets its token. */
static gboolean
take_place(Walk *walk, char how, const char *text)
{
    if (walk->count == walk->limit) {
        walk->full = TRUE;
        walk->page->next = g_string_chunk_insert(walk->page->text, walk->last);
        return FALSE;
    }
    walk->count++;
    g_free(walk->last);
    walk->last = g_strdup_printf("%c%s", how, text);
    return TRUE;
}

static void
add_metadata(Walk *walk, const char *key, ObjectInfo *info)
{
    g_autofree char *type = NULL;
    int fd = local_path_open(&walk->local->root, walk->container, key, O_PATH, 0);
    if (fd < 0)
        return;
    if (!local_metadata_read(walk->local, fd, walk->container, key, &type, &info->metadata, NULL))
        info->metadata = NULL;
    else if (type != NULL)
        info->content_type = g_string_chunk_insert(walk->page->text, type);
    close(fd);
}

static void
add_object(Walk *walk, const char *key, const struct stat *info)
{
    GStringChunk *text = walk->page->text;
    g_autofree char *etag = local_object_make_etag(info);
    ObjectInfo object = {.key = g_string_chunk_insert(text, key),
                         .size_bytes = S_ISREG(info->st_mode) ? (guint64)info->st_size : 0,
                         .mtime_ns =
                             info->st_mtim.tv_sec * G_GINT64_CONSTANT(1000000000) + info->st_mtim.tv_nsec,
                         .etag = g_string_chunk_insert(text, etag)};
    if (walk->query->want_metadata)
        add_metadata(walk, key, &object);
    g_array_append_val(walk->page->objects, object);
}

/* A link counts when it leads to something inside the base that is no directory. */
static gboolean
is_live_link(const Walk *walk, const char *key)
{
    struct stat info;
    int fd = local_path_open_target(&walk->local->root, walk->container, key);
    if (fd < 0)
        return FALSE;
    gboolean counts = fstat(fd, &info) == 0 && !S_ISDIR(info.st_mode);
    close(fd);
    return counts;
}

/* What vanished since the directory was read is left out. */
static void
visit_file(Walk *walk, int fd, const char *key)
{
    struct stat info;
    const char *slash = strrchr(key, '/');
    if (fstatat(fd, slash != NULL ? slash + 1 : key, &info, AT_SYMLINK_NOFOLLOW) != 0)
        return;
    if (S_ISDIR(info.st_mode) || (S_ISLNK(info.st_mode) && !is_live_link(walk, key)))
        return;
    if (take_place(walk, AFTER_KEY, key))
        add_object(walk, key, &info);
}

static int
open_child(int fd, const char *folder_key, const char *name)
{
    gsize skip = strlen(folder_key);
    g_autofree char *leaf = g_strndup(name + skip, strlen(name) - skip - 1);
    return openat(fd, leaf, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* Does a directory that is shown as one prefix hold any object that the page may show? */
static gboolean
holds_object(Walk *walk, int fd, const char *name, guint depth, gboolean *out_holds, GError **error)
{
    g_auto(ListPage) page;
    list_page_init(&page);
    const ListQuery query = {.prefix = name};
    Walk inner = *walk;
    inner.query = &query;
    inner.page = &page;
    inner.limit = 1;
    inner.count = 0;
    inner.last = NULL;
    gboolean done = walk_folder(&inner, fd, name, depth, error);
    *out_holds = inner.count > 0;
    g_free(inner.last);
    return done;
}

/* The first text behind everything that begins with "dir/". */
static char *
get_end(const char *name)
{
    char *end = g_strdup(name);
    end[strlen(end) - 1]++;
    return end;
}

static gboolean
visit_folder(Walk *walk, int fd, const char *folder_key, const char *name, guint depth, GError **error)
{
    gboolean rolled_up = walk->query->delimiter != '\0' && strlen(name) > strlen(walk->query->prefix);
    gboolean done, holds = FALSE;
    int child = open_child(fd, folder_key, name);
    if (child < 0)
        return TRUE;
    if (rolled_up)
        done = holds_object(walk, child, name, depth + 1, &holds, error);
    else
        done = walk_folder(walk, child, name, depth + 1, error);
    close(child);
    if (!done || !holds)
        return done;
    g_autofree char *end = get_end(name);
    if (take_place(walk, FROM_TEXT, end))
        g_ptr_array_add(walk->page->prefixes, g_string_chunk_insert(walk->page->text, name));
    return TRUE;
}

/* An empty folder is its own marker. */
static void
visit_marker(Walk *walk, int fd, const char *folder_key)
{
    struct stat info;
    int order = strcmp(folder_key, walk->start);
    if (!walk->local->folders || *folder_key == '\0' || !g_str_has_prefix(folder_key, walk->query->prefix) ||
        order < 0 || (order == 0 && walk->start_excluded))
        return;
    if (fstat(fd, &info) == 0 && take_place(walk, AFTER_KEY, folder_key))
        add_object(walk, folder_key, &info);
}

static gboolean
walk_folder(Walk *walk, int fd, const char *folder_key, guint depth, GError **error)
{
    gboolean empty;
    if (!call_check(walk->call, error))
        return FALSE;
    if (depth > MAXIMUM_DEPTH)
        return error_set_errno(error, ENAMETOOLONG, "listing '%s/%s'", walk->container, folder_key);
    g_autoptr(GPtrArray) names = read_names(walk, fd, folder_key, &empty, error);
    if (names == NULL)
        return FALSE;
    if (empty)
        visit_marker(walk, fd, folder_key);
    for (guint i = 0; i < names->len && !walk->full; i++) {
        const char *name = g_ptr_array_index(names, i);
        if (!g_str_has_suffix(name, "/"))
            visit_file(walk, fd, name);
        else if (!visit_folder(walk, fd, folder_key, name, depth, error))
            return FALSE;
    }
    return TRUE;
}

/* Begins in the directory that the prefix names, so that nothing beside it is read. */
static gboolean
walk_prefix(Walk *walk, GError **error)
{
    const char *prefix = walk->query->prefix;
    const char *slash = strrchr(prefix, '/');
    g_autofree char *folder = g_strndup(prefix, slash != NULL ? (gsize)(slash + 1 - prefix) : 0);
    if (!local_names_is_reachable(folder))
        return TRUE;
    int fd = local_path_open(&walk->local->root, walk->container, folder, O_PATH | O_DIRECTORY, 0);
    if (fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP)
        return TRUE;
    if (fd < 0)
        return error_set_errno(error, -fd, "listing '%s/%s'", walk->container, folder);
    gboolean done = walk_folder(walk, fd, folder, 0, error);
    close(fd);
    return done;
}

static gboolean
check_container(LocalInstance *local, const char *container, GError **error)
{
    int fd = local_path_open_container(&local->root, container, O_PATH);
    if (fd < 0)
        return error_set_errno(error, -fd, "container '%s'", container);
    close(fd);
    return TRUE;
}

gboolean
local_list_objects(DriverInstance *instance, Call *call, const char *container, const ListQuery *query,
                   ListPage *out, GError **error)
{
    LocalInstance *local = (LocalInstance *)instance;
    guint most = instance->driver->capabilities->list_page_limit;
    Walk walk = {
        .local = local, .call = call, .container = container, .query = query, .start = "", .page = out};
    walk.limit = query->limit > 0 ? MIN(query->limit, most) : most;
    if (query->after_token != NULL && *query->after_token != '\0') {
        walk.start = query->after_token + 1;
        walk.start_excluded = *query->after_token == AFTER_KEY;
    } else if (query->start_after != NULL) {
        walk.start = query->start_after;
        walk.start_excluded = TRUE;
    }
    gboolean done = check_container(local, container, error) && walk_prefix(&walk, error);
    g_free(walk.last);
    return done;
}
