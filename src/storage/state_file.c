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

/* NULL: absent, not UTF-8, or with a wrong escape (then GLib gives a text and an error). */
static char *
get_text(GKeyFile *file, const char *group, const char *key, GError **error)
{
    g_autoptr(GError) why = NULL;
    g_autofree char *text = g_key_file_get_string(file, group, key, &why);
    if (!why)
        return g_steal_pointer(&text);
    g_propagate_error(error, g_steal_pointer(&why));
    return NULL;
}

/* Key files hold UTF-8, a place may be any path: then it stands in base64. */
static char *
get_place(GKeyFile *file, const char *group, GError **error)
{
    g_autofree char *text = get_text(file, group, "is_base64", NULL);
    if (!text)
        return get_text(file, group, "is", error);
    gsize length = 0;
    g_autofree guchar *bytes = g_base64_decode(text, &length);
    return g_strndup((const char *)bytes, length);
}

static gboolean
take_place(StateFile *state, GKeyFile *file, const char *group, GError **error)
{
    g_autofree char *name = get_text(file, group, "name", error);
    g_autofree char *place = name ? get_place(file, group, error) : NULL;
    if (!place)
        return FALSE;
    g_hash_table_replace(state->places, g_steal_pointer(&name), g_steal_pointer(&place));
    return TRUE;
}

/* Absent is fine, and leaves NULL. */
static gboolean
take_text(GKeyFile *file, const char *key, char **out, GError **error)
{
    if (!g_key_file_has_key(file, DEFAULT_GROUP, key, NULL))
        return TRUE;
    *out = get_text(file, DEFAULT_GROUP, key, error);
    return *out != NULL;
}

static gboolean
take_all(StateFile *state, GKeyFile *file, GError **error)
{
    g_auto(GStrv) groups = g_key_file_get_groups(file, NULL);
    for (char **group = groups; *group; group++) {
        if (g_str_has_prefix(*group, PLACE_PREFIX) && !take_place(state, file, *group, error))
            return FALSE;
    }
    return take_text(file, "chosen", &state->chosen, error) &&
           take_text(file, "against", &state->chosen_against, error);
}

static gboolean
parse(StateFile *state, const char *text, gsize length, GError **error)
{
    g_autoptr(GKeyFile) file = g_key_file_new();
    g_autoptr(GError) failure = NULL;
    /* A name whose place cannot be read would lose its protection if it were left out. */
    if (g_key_file_load_from_data(file, text, length, G_KEY_FILE_NONE, &failure) &&
        take_all(state, file, &failure))
        return TRUE;
    g_set_error(
        error, STORAGEFS_ERROR, ERROR_IO,
        "%s is damaged (%s); move it away to begin anew: the chosen default and the places of names are "
        "then forgotten",
        state->path, failure->message);
    return FALSE;
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

static void
set_place(GKeyFile *file, const char *group, const char *place)
{
    if (g_utf8_validate(place, -1, NULL)) {
        g_key_file_set_string(file, group, "is", place);
        return;
    }
    g_autofree char *text = g_base64_encode((const guchar *)place, strlen(place));
    g_key_file_set_string(file, group, "is_base64", text);
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
        set_place(file, group, g_hash_table_lookup(state->places, name->data));
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
