#include "src/object/recovery.h"

#include "src/base/error.h"
#include "src/base/json_shape.h"
#include "src/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <json-glib/json-glib.h>
#include <string.h>
#include <unistd.h>

#define INFO_SUFFIX ".info"
#define ID_PREFIX "recovery/"
#define MAXIMUM_INFO_BYTES (1u << 20)
#define MAXIMUM_NAME_BYTES 150u
#define MAXIMUM_TRIES 10000u
#define FETCH_BYTES (1u << 20)
#define MAXIMUM_ATTEMPTS 4u
/* Of the description, and of folders. */
#define EXTRA_BYTES (1u << 20)

typedef struct {
    ObjectFile *file;
    char *storage, *container, *key;
    char *path; /* of the content */
    int fd;
    GArray *ranges; /* guint64 pairs: offset, end of what the file holds */
    gboolean complete;
    GError *fetch_error;
} Saving;

/* One part of a path: no '/', no leading dot, plain ASCII, bounded. */
static char *
escape_name(const char *text)
{
    char *escaped = g_uri_escape_string(text, " +,@=()[]!~", FALSE);
    if (*escaped == '.' || *escaped == '\0') {
        char *dotless = g_strdup_printf("%%2E%s", *escaped != '\0' ? escaped + 1 : "");
        g_free(escaped);
        escaped = dotless;
    }
    if (strlen(escaped) > MAXIMUM_NAME_BYTES)
        escaped[MAXIMUM_NAME_BYTES] = '\0';
    return escaped;
}

/* Creates the first name that is free. */
static int
create_file(Saving *saving, GError **error)
{
    g_autofree char *storage = escape_name(saving->storage), *container = escape_name(saving->container);
    g_autofree char *key = escape_name(saving->key);
    g_autofree char *folder = g_build_filename(saving->file->store->recovery_dir, storage, container, NULL);
    g_autoptr(GDateTime) now = g_date_time_new_now_utc();
    g_autofree char *time = g_date_time_format(now, "%Y%m%dT%H%M%SZ");
    if (g_mkdir_with_parents(folder, 0700) != 0) {
        error_set_errno(error, errno, "directory %s", folder);
        return -1;
    }
    for (guint number = 1; number <= MAXIMUM_TRIES; number++) {
        g_free(saving->path);
        saving->path = g_strdup_printf("%s/%s.%s-%u", folder, key, time, number);
        int fd = open(saving->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd >= 0)
            return fd;
        if (errno != EEXIST)
            break;
    }
    error_set_errno(error, errno, "file %s", saving->path);
    return -1;
}

static void
note_range(Saving *saving, guint64 offset, guint64 end)
{
    guint64 *last =
        saving->ranges->len > 0 ? &g_array_index(saving->ranges, guint64, saving->ranges->len - 1) : NULL;
    if (last != NULL && *last == offset) {
        *last = end;
        return;
    }
    g_array_append_val(saving->ranges, offset);
    g_array_append_val(saving->ranges, end);
}

static gboolean
write_all(int fd, const guint8 *data, gsize length_bytes, guint64 offset, GError **error)
{
    while (length_bytes > 0) {
        ssize_t written = pwrite(fd, data, length_bytes, (off_t)offset);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return error_set_errno(error, written < 0 ? errno : EIO, "write to the recovery directory");
        data += written;
        length_bytes -= (gsize)written;
        offset += (guint64)written;
    }
    return TRUE;
}

/* After the first failure nothing more is asked of the storage: it would only wait again. */
static gboolean
fetch_extent(Saving *saving, Call *call, const Extent *extent, guint8 *buffer, GError **error)
{
    for (guint64 done = 0; done < extent->length_bytes && saving->fetch_error == NULL;) {
        gsize piece = (gsize)MIN(extent->length_bytes - done, FETCH_BYTES);
        if (!object_version_read(extent->version, call, extent->source_offset + done, piece, buffer,
                                 &saving->fetch_error))
            break;
        if (!write_all(saving->fd, buffer, piece, extent->offset + done, error))
            return FALSE;
        note_range(saving, extent->offset + done, extent->offset + done + piece);
        done += piece;
    }
    saving->complete = saving->complete && saving->fetch_error == NULL;
    return TRUE;
}

static gboolean
save_extent(Saving *saving, Call *call, const Extent *extent, guint8 *buffer, GError **error)
{
    if (extent->kind == EXTENT_VERSION)
        return fetch_extent(saving, call, extent, buffer, error);
    if (extent->kind == EXTENT_LOCAL &&
        !staging_file_copy_to_fd(saving->file->staging, extent->offset, saving->fd, extent->offset,
                                 extent->length_bytes, error))
        return FALSE;
    note_range(saving, extent->offset, extent->offset + extent->length_bytes);
    return TRUE;
}

/* What was written here goes first: it is what exists nowhere else. */
static gboolean
save_extents(Saving *saving, gboolean remote, GError **error)
{
    ObjectFile *file = saving->file;
    g_autofree guint8 *buffer = remote ? g_malloc(FETCH_BYTES) : NULL;
    g_autoptr(Call) call = storage_new_call(object_file_get_storage(file));
    Extent extent;
    for (guint64 at = 0; extent_map_find(file->extents, at, &extent); at += extent.length_bytes) {
        if ((extent.kind == EXTENT_VERSION) == remote && !save_extent(saving, call, &extent, buffer, error))
            return FALSE;
    }
    return TRUE;
}

static int
compare_ranges(gconstpointer a, gconstpointer b)
{
    guint64 x = *(const guint64 *)a, y = *(const guint64 *)b;
    return x < y ? -1 : x > y;
}

static void
add_ranges(JsonBuilder *json, GArray *ranges)
{
    /* Pairs are sorted as pairs: beginnings and ends alternate, and no two ranges overlap. */
    g_array_sort(ranges, compare_ranges);
    json_builder_set_member_name(json, "valid_ranges");
    json_builder_begin_array(json);
    for (guint i = 0; i + 1 < ranges->len; i += 2) {
        json_builder_begin_array(json);
        json_builder_add_int_value(json, (gint64)g_array_index(ranges, guint64, i));
        json_builder_add_int_value(json, (gint64)g_array_index(ranges, guint64, i + 1));
        json_builder_end_array(json);
    }
    json_builder_end_array(json);
}

static void
add_text(JsonBuilder *json, const char *name, const char *text)
{
    g_autofree char *valid = g_utf8_make_valid(text, -1);
    json_builder_set_member_name(json, name);
    json_builder_add_string_value(json, valid);
}

static char *
make_info(Saving *saving, const GError *failure)
{
    g_autoptr(JsonBuilder) json = json_builder_new();
    g_autoptr(GDateTime) now = g_date_time_new_now_utc();
    g_autofree char *time = g_date_time_format_iso8601(now);
    g_autofree char *key = g_uri_escape_string(saving->key, "/", FALSE);
    json_builder_begin_object(json);
    add_text(json, "storage", saving->storage);
    add_text(json, "container", saving->container);
    add_text(json, "key", saving->key);
    add_text(json, "escaped_key", key);
    add_text(json, "time", time);
    add_text(json, "error", failure != NULL ? failure->message : "not published");
    add_text(json, "error_code", failure != NULL ? error_code_name((ErrorCode)failure->code) : "unknown");
    json_builder_set_member_name(json, "size");
    json_builder_add_int_value(json, (gint64)extent_map_get_size(saving->file->extents));
    json_builder_set_member_name(json, "complete");
    json_builder_add_boolean_value(json, saving->complete);
    add_ranges(json, saving->ranges);
    json_builder_end_object(json);
    g_autoptr(JsonGenerator) generator = json_generator_new();
    g_autoptr(JsonNode) root = json_builder_get_root(json);
    json_generator_set_root(generator, root);
    json_generator_set_pretty(generator, TRUE);
    return json_generator_to_data(generator, NULL);
}

static gboolean
write_info(Saving *saving, const GError *failure, GError **error)
{
    g_autofree char *path = g_strconcat(saving->path, INFO_SUFFIX, NULL);
    g_autofree char *text = make_info(saving, failure);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return error_set_errno(error, errno, "file %s", path);
    gboolean ok = write_all(fd, (const guint8 *)text, strlen(text), 0, error);
    if (ok && fsync(fd) != 0)
        ok = error_set_errno(error, errno, "file %s", path);
    close(fd);
    return ok;
}

static gboolean
sync_folder(const char *path, GError **error)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return error_set_errno(error, errno, "directory %s", path);
    int failure = fsync(fd) == 0 ? 0 : errno;
    close(fd);
    /* Some file systems cannot be asked for it. */
    return failure == 0 || failure == EINVAL || error_set_errno(error, failure, "directory %s", path);
}

/* A file whose name is lost in a crash is lost: the names of the files, and of the folders made for them. */
static gboolean
sync_names(const Saving *saving, GError **error)
{
    g_autofree char *container = g_path_get_dirname(saving->path), *storage = g_path_get_dirname(container);
    return sync_folder(container, error) && sync_folder(storage, error) &&
           sync_folder(saving->file->store->recovery_dir, error);
}

static gboolean
save_content(Saving *saving, const GError *failure, GError **error)
{
    guint64 size_bytes = extent_map_get_size(saving->file->extents);
    saving->fd = create_file(saving, error);
    if (saving->fd < 0)
        return FALSE;
    gboolean ok = save_extents(saving, FALSE, error) && save_extents(saving, TRUE, error);
    if (ok && (ftruncate(saving->fd, (off_t)size_bytes) != 0 || fsync(saving->fd) != 0))
        ok = error_set_errno(error, errno, "file %s", saving->path);
    close(saving->fd);
    return ok && write_info(saving, failure, error) && sync_names(saving, error);
}

static void
begin_again(Saving *saving)
{
    if (saving->path != NULL)
        unlink(saving->path);
    g_array_set_size(saving->ranges, 0);
    saving->complete = TRUE;
    g_clear_error(&saving->fetch_error);
}

/* What exists nowhere else comes before what the disk cache keeps: it gives way as long as it has something.
 */
static gboolean
save(Saving *saving, const GError *failure, GError **error)
{
    ObjectStore *store = saving->file->store;
    guint64 size_bytes = extent_map_get_size(saving->file->extents);
    for (guint attempt = 1;; attempt++) {
        g_autoptr(GError) problem = NULL;
        if (save_content(saving, failure, &problem))
            return TRUE;
        if (attempt == MAXIMUM_ATTEMPTS || !error_is(problem, ERROR_NO_SPACE) ||
            !object_store_make_way(store, store->recovery_dir, size_bytes + EXTRA_BYTES)) {
            g_propagate_error(error, g_steal_pointer(&problem));
            return FALSE;
        }
        begin_again(saving);
    }
}

gboolean
recovery_save(ObjectFile *file, const GError *failure)
{
    Saving saving = {.file = file, .fd = -1, .complete = TRUE};
    g_autoptr(GError) error = NULL;
    g_autofree char *name = object_file_describe(file);
    saving.storage = g_strdup(storage_get_name(object_file_get_storage(file)));
    lock_acquire(&file->lock);
    saving.container = g_strdup(file->container);
    saving.key = g_strdup(file->key);
    lock_release(&file->lock);
    saving.ranges = g_array_new(FALSE, FALSE, sizeof(guint64));
    gboolean ok = save(&saving, failure, &error);
    if (!ok)
        log_error("%s: could not be published, and not be saved: %s", name, error->message);
    else if (saving.complete)
        log_warning("%s: could not be published: saved as %s", name, saving.path);
    else
        log_warning(
            "%s: could not be published: what was written is saved as %s, the rest could not be fetched: %s",
            name, saving.path, saving.fetch_error->message);
    g_array_unref(saving.ranges);
    g_clear_error(&saving.fetch_error);
    g_free(saving.path);
    g_free(saving.storage);
    g_free(saving.container);
    g_free(saving.key);
    return ok;
}

static char *
get_text(JsonObject *info, const char *name)
{
    JsonNode *node = json_object_get_member(info, name);
    gboolean is_text =
        node != NULL && JSON_NODE_HOLDS_VALUE(node) && json_node_get_value_type(node) == G_TYPE_STRING;
    return g_strdup(is_text ? json_node_get_string(node) : "");
}

/* "recovery/STORAGE/CONTAINER/NAME". */
static char *
make_id(const char *content_path)
{
    g_autofree char *container = g_path_get_dirname(content_path), *storage = g_path_get_dirname(container);
    g_autofree char *folder = g_path_get_dirname(storage);
    return g_strconcat(ID_PREFIX, content_path + strlen(folder) + 1, NULL);
}

static void
add_parked(JsonObject *info, const char *content_path, GPtrArray *out)
{
    struct stat status;
    if (lstat(content_path, &status) != 0)
        return;
    UploadStatus *parked = g_new0(UploadStatus, 1);
    parked->storage = get_text(info, "storage");
    parked->container = get_text(info, "container");
    parked->key = get_text(info, "key");
    parked->last_error = get_text(info, "error");
    parked->state = UPLOAD_PARKED;
    parked->size_bytes = (guint64)status.st_size;
    gint64 modified_us = status.st_mtim.tv_sec * G_USEC_PER_SEC + status.st_mtim.tv_nsec / 1000;
    parked->age_us = MAX(0, g_get_real_time() - modified_us);
    parked->recovery_path = g_strdup(content_path);
    parked->id = make_id(content_path);
    g_ptr_array_add(out, parked);
}

static void
list_info(const char *path, GPtrArray *out)
{
    struct stat status;
    g_autofree char *text = NULL;
    gsize length = 0;
    g_autofree char *content_path = g_strndup(path, strlen(path) - strlen(INFO_SUFFIX));
    g_autoptr(JsonParser) parser = json_parser_new();
    if (lstat(path, &status) != 0 || !S_ISREG(status.st_mode) || status.st_size > MAXIMUM_INFO_BYTES ||
        !g_file_get_contents(path, &text, &length, NULL) || !json_shape_check(text, length) ||
        !json_parser_load_from_data(parser, text, (gssize)length, NULL))
        return;
    JsonNode *root = json_parser_get_root(parser);
    if (root != NULL && JSON_NODE_HOLDS_OBJECT(root))
        add_parked(json_node_get_object(root), content_path, out);
}

/* STORAGE/CONTAINER/FILE: three levels, no deeper. */
static void
list_folder(const char *folder, guint depth, GPtrArray *out)
{
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    const char *name;
    while (dir != NULL && (name = g_dir_read_name(dir)) != NULL) {
        g_autofree char *path = g_build_filename(folder, name, NULL);
        if (depth < 2)
            list_folder(path, depth + 1, out);
        else if (g_str_has_suffix(name, INFO_SUFFIX))
            list_info(path, out);
    }
}

void
recovery_list(const char *folder, GPtrArray *out)
{
    list_folder(folder, 0, out);
}

gboolean
recovery_is_id(const char *id)
{
    return g_str_has_prefix(id, ID_PREFIX);
}

/* Three names below the folder, none of which leads out of it; NULL and NOT_FOUND otherwise. */
static char *
find_saved(const char *folder, const char *id, GError **error)
{
    g_auto(GStrv) names = g_strsplit(id + strlen(ID_PREFIX), "/", -1);
    gboolean good = g_strv_length(names) == 3 && !g_str_has_suffix(id, INFO_SUFFIX);
    for (guint i = 0; good && names[i] != NULL; i++)
        good = names[i][0] != '.' && names[i][0] != '\0';
    g_autofree char *path = g_build_filename(folder, id + strlen(ID_PREFIX), NULL);
    g_autofree char *info = g_strconcat(path, INFO_SUFFIX, NULL);
    struct stat status;
    if (good && lstat(info, &status) == 0 && S_ISREG(status.st_mode))
        return g_steal_pointer(&path);
    g_set_error(error, STORAGEFS_ERROR, ERROR_NOT_FOUND, "nothing is saved as %s", id);
    return NULL;
}

gboolean
recovery_drop(const char *folder, const char *id, GError **error)
{
    g_autofree char *path = find_saved(folder, id, error);
    if (path == NULL)
        return FALSE;
    g_autofree char *info = g_strconcat(path, INFO_SUFFIX, NULL);
    g_autofree char *container = g_path_get_dirname(path);
    if ((unlink(path) != 0 && errno != ENOENT) || unlink(info) != 0)
        return error_set_errno(error, errno, "%s", path);
    return sync_folder(container, error);
}

static gboolean
copy_all(int from, int to, GError **error)
{
    g_autofree guint8 *buffer = g_malloc(FETCH_BYTES);
    guint64 offset = 0;
    ssize_t got;
    while ((got = pread(from, buffer, FETCH_BYTES, (off_t)offset)) != 0) {
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return error_set_errno(error, errno, "read");
        if (!write_all(to, buffer, (gsize)got, offset, error))
            return FALSE;
        offset += (guint64)got;
    }
    return TRUE;
}

gboolean
recovery_export(const char *folder, const char *id, int fd, GError **error)
{
    g_autofree char *path = find_saved(folder, id, error);
    if (path == NULL)
        return FALSE;
    int from = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (from < 0)
        return error_set_errno(error, errno, "%s", path);
    gboolean ok = copy_all(from, fd, error);
    close(from);
    return ok;
}
