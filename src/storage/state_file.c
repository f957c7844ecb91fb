/* The state file: key file syntax, one [place N] group per name because names may hold any character. */
#include "src/storage/state_file.h"

#include "src/base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_NAME "storages"
#define DEFAULT_GROUP "default"
#define PLACE_PREFIX "place "
#define MAXIMUM_FILE_BYTES (16 << 20)

void
state_file_free(StateFile *state)
{
    if (!state)
        return;
    g_free(state->path);
    g_free(state->chosen);
    g_free(state->chosen_against);
    g_hash_table_unref(state->places);
    g_free(state);
}

static StateFile *
new_state(const char *path)
{
    StateFile *state = g_new0(StateFile, 1);
    state->path = g_strdup(path);
    state->places = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    return state;
}

StateFile *
state_file_copy(const StateFile *state)
{
    StateFile *copy = new_state(state->path);
    GHashTableIter iter;
    gpointer name, place;
    copy->chosen = g_strdup(state->chosen);
    copy->chosen_against = g_strdup(state->chosen_against);
    g_hash_table_iter_init(&iter, state->places);
    while (g_hash_table_iter_next(&iter, &name, &place))
        g_hash_table_insert(copy->places, g_strdup(name), g_strdup(place));
    return copy;
}

static gboolean
check_directory(const char *directory, int fd, GError **error)
{
    struct stat info;
    if (fstat(fd, &info) < 0)
        return error_set_errno(error, errno, "state directory %s", directory);
    if (info.st_uid == geteuid() && (info.st_mode & 022) == 0)
        return TRUE;
    g_set_error(
        error, STORAGEFS_ERROR, ERROR_DENIED,
        "state directory %s: others own it or can write in it; chmod 700 it, or name another by state_dir =",
        directory);
    return FALSE;
}

static gboolean
make_directory(const char *directory, GError **error)
{
    if (g_mkdir_with_parents(directory, 0700) < 0)
        return error_set_errno(error, errno, "state directory %s", directory);
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return error_set_errno(error, errno, "state directory %s", directory);
    gboolean good = check_directory(directory, fd, error);
    close(fd);
    return good;
}

static void
take_place(StateFile *state, GKeyFile *file, const char *group)
{
    char *name = g_key_file_get_string(file, group, "name", NULL);
    char *place = g_key_file_get_string(file, group, "is", NULL);
    if (name && place) {
        g_hash_table_replace(state->places, name, place);
        return;
    }
    g_free(name);
    g_free(place);
}

static gboolean
parse(StateFile *state, const char *text, gsize length, GError **error)
{
    g_autoptr(GKeyFile) file = g_key_file_new();
    g_autoptr(GError) failure = NULL;
    if (!g_key_file_load_from_data(file, text, length, G_KEY_FILE_NONE, &failure)) {
        g_set_error(
            error, STORAGEFS_ERROR, ERROR_IO,
            "%s is damaged (%s); move it away to begin anew: the chosen default and the places of names are "
            "then forgotten",
            state->path, failure->message);
        return FALSE;
    }
    g_auto(GStrv) groups = g_key_file_get_groups(file, NULL);
    for (char **group = groups; *group; group++) {
        if (g_str_has_prefix(*group, PLACE_PREFIX))
            take_place(state, file, *group);
    }
    state->chosen = g_key_file_get_string(file, DEFAULT_GROUP, "chosen", NULL);
    state->chosen_against = g_key_file_get_string(file, DEFAULT_GROUP, "against", NULL);
    return TRUE;
}

StateFile *
state_file_load(const char *directory, GError **error)
{
    g_autofree char *path = g_build_filename(directory, FILE_NAME, NULL);
    g_autoptr(StateFile) state = new_state(path);
    g_autofree char *text = NULL;
    g_autoptr(GError) failure = NULL;
    gsize length = 0;
    struct stat info;
    if (!make_directory(directory, error))
        return NULL;
    if (stat(path, &info) == 0 && info.st_size > MAXIMUM_FILE_BYTES) {
        error_set_errno(error, EFBIG, "%s", path);
        return NULL;
    }
    if (!g_file_get_contents(path, &text, &length, &failure)) {
        if (g_error_matches(failure, G_FILE_ERROR, G_FILE_ERROR_NOENT))
            return g_steal_pointer(&state);
        g_set_error(error, STORAGEFS_ERROR, ERROR_IO, "%s", failure->message);
        return NULL;
    }
    return parse(state, text, length, error) ? g_steal_pointer(&state) : NULL;
}

static char *
print(const StateFile *state, gsize *out_length)
{
    g_autoptr(GKeyFile) file = g_key_file_new();
    g_autoptr(GList) names = g_list_sort(g_hash_table_get_keys(state->places), (GCompareFunc)strcmp);
    guint number = 0;
    if (state->chosen) {
        g_key_file_set_string(file, DEFAULT_GROUP, "chosen", state->chosen);
        g_key_file_set_string(file, DEFAULT_GROUP, "against",
                              state->chosen_against ? state->chosen_against : "");
    }
    for (GList *name = names; name; name = name->next) {
        g_autofree char *group = g_strdup_printf(PLACE_PREFIX "%u", ++number);
        g_key_file_set_string(file, group, "name", name->data);
        g_key_file_set_string(file, group, "is", g_hash_table_lookup(state->places, name->data));
    }
    return g_key_file_to_data(file, out_length, NULL);
}

static gboolean
write_all(int fd, const char *text, gsize length)
{
    while (length > 0) {
        ssize_t written = write(fd, text, length);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return FALSE;
        text += written;
        length -= (gsize)written;
    }
    return TRUE;
}

static gboolean
write_new(const char *path, const char *text, gsize length, GError **error)
{
    unlink(path);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_set_errno(error, errno, "%s", path);
    gboolean good = write_all(fd, text, length) && fsync(fd) == 0;
    if (!good)
        error_set_errno(error, errno, "%s", path);
    if (close(fd) < 0 && good)
        good = error_set_errno(error, errno, "%s", path);
    if (!good)
        unlink(path);
    return good;
}

static gboolean
sync_directory(const char *directory, GError **error)
{
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    gboolean good = fd >= 0 && fsync(fd) == 0;
    if (!good)
        error_set_errno(error, errno, "%s", directory);
    if (fd >= 0)
        close(fd);
    return good;
}

gboolean
state_file_save(const StateFile *state, GError **error)
{
    gsize length = 0;
    g_autofree char *text = print(state, &length);
    g_autofree char *fresh = g_strconcat(state->path, ".new", NULL);
    g_autofree char *directory = g_path_get_dirname(state->path);
    if (!write_new(fresh, text, length, error))
        return FALSE;
    if (rename(fresh, state->path) < 0)
        return error_set_errno(error, errno, "%s", state->path);
    return sync_directory(directory, error);
}
