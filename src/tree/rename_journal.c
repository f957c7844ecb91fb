/* Records of folder renames, see rename_journal.h. Names are base64 in a key file: keys are bytes, not text.
 */
#include "src/tree/rename_journal.h"

#include "src/base/log.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>

#define GROUP "rename"
#define SUFFIX ".rename"
/* Five names of 4 KiB in base64 are a third of it. */
#define MAXIMUM_RECORD_BYTES (64 << 10)

void
rename_journal_record_free(RenameRecord *record)
{
    g_free(record->path);
    g_free(record->storage);
    g_free(record->from_container);
    g_free(record->from_prefix);
    g_free(record->to_container);
    g_free(record->to_prefix);
    g_free(record);
}

static char *
make_directory_path(const char *state_dir)
{
    return g_build_filename(state_dir, "renames", NULL);
}

static void
set_bytes(GKeyFile *file, const char *key, const char *value)
{
    g_autofree char *text = g_base64_encode((const guchar *)value, strlen(value));
    g_key_file_set_string(file, GROUP, key, text);
}

static char *
get_bytes(GKeyFile *file, const char *key, GError **error)
{
    g_autoptr(GError) why = NULL;
    /* A wrong escape gives both: a text, and an error. */
    g_autofree char *text = g_key_file_get_string(file, GROUP, key, &why);
    if (why != NULL) {
        g_propagate_error(error, g_steal_pointer(&why));
        return NULL;
    }
    gsize length = 0;
    g_autofree guchar *bytes = g_base64_decode(text, &length);
    /* What follows from a wrong name is that objects are deleted: it is this one, or none. */
    g_autofree char *again = g_base64_encode(bytes, length);
    if (strcmp(again, text) == 0 && (length == 0 || memchr(bytes, '\0', length) == NULL))
        return g_strndup((const char *)bytes, length);
    g_set_error(error, STORAGEFS_ERROR, ERROR_PROTOCOL, "%s is damaged", key);
    return NULL;
}

gboolean
rename_journal_begin(const char *state_dir, const RenameRecord *record, char **out_path, GError **error)
{
    if (state_dir == NULL) {
        *out_path = NULL;
        return TRUE;
    }
    g_autofree char *directory = make_directory_path(state_dir);
    if (g_mkdir_with_parents(directory, 0700) != 0)
        return error_set_errno(error, errno, "%s", directory);
    g_autofree char *unique = g_uuid_string_random();
    g_autofree char *name = g_strconcat(unique, SUFFIX, NULL);
    g_autofree char *path = g_build_filename(directory, name, NULL);
    g_autoptr(GKeyFile) file = g_key_file_new();
    set_bytes(file, "storage", record->storage);
    set_bytes(file, "from_container", record->from_container);
    set_bytes(file, "from_prefix", record->from_prefix);
    set_bytes(file, "to_container", record->to_container);
    set_bytes(file, "to_prefix", record->to_prefix);
    gsize length = 0;
    g_autofree char *text = g_key_file_to_data(file, &length, NULL);
    g_autoptr(GError) failure = NULL;
    if (!g_file_set_contents_full(path, text, (gssize)length,
                                  G_FILE_SET_CONTENTS_CONSISTENT | G_FILE_SET_CONTENTS_DURABLE, 0600,
                                  &failure)) {
        g_set_error(error, STORAGEFS_ERROR, ERROR_IO, "%s", failure->message);
        return FALSE;
    }
    *out_path = g_steal_pointer(&path);
    return TRUE;
}

void
rename_journal_end(const char *path)
{
    if (path != NULL && g_unlink(path) != 0 && errno != ENOENT)
        log_warning("%s: %s", path, g_strerror(errno));
}

static RenameRecord *
load(const char *path, GError **error)
{
    g_autoptr(GKeyFile) file = g_key_file_new();
    struct stat info;
    if (stat(path, &info) != 0) {
        error_set_errno(error, errno, "cannot be read");
        return NULL;
    }
    if (info.st_size > MAXIMUM_RECORD_BYTES) {
        error_set_errno(error, EFBIG, "no record");
        return NULL;
    }
    if (!g_key_file_load_from_file(file, path, G_KEY_FILE_NONE, error))
        return NULL;
    RenameRecord *record = g_new0(RenameRecord, 1);
    record->path = g_strdup(path);
    record->storage = get_bytes(file, "storage", error);
    record->from_container = record->storage != NULL ? get_bytes(file, "from_container", error) : NULL;
    record->from_prefix = record->from_container != NULL ? get_bytes(file, "from_prefix", error) : NULL;
    record->to_container = record->from_prefix != NULL ? get_bytes(file, "to_container", error) : NULL;
    record->to_prefix = record->to_container != NULL ? get_bytes(file, "to_prefix", error) : NULL;
    if (record->to_prefix != NULL)
        return record;
    rename_journal_record_free(record);
    return NULL;
}

GPtrArray *
rename_journal_list(const char *state_dir)
{
    GPtrArray *records = g_ptr_array_new_with_free_func((GDestroyNotify)rename_journal_record_free);
    g_autofree char *directory = state_dir != NULL ? make_directory_path(state_dir) : NULL;
    g_autoptr(GError) failure = NULL;
    g_autoptr(GDir) dir = directory != NULL ? g_dir_open(directory, 0, &failure) : NULL;
    const char *name;
    if (failure != NULL && !g_error_matches(failure, G_FILE_ERROR, G_FILE_ERROR_NOENT))
        log_warning("%s: renames that were interrupted wait for the next mount", failure->message);
    while (dir != NULL && (name = g_dir_read_name(dir)) != NULL) {
        if (!g_str_has_suffix(name, SUFFIX))
            continue;
        g_autofree char *path = g_build_filename(directory, name, NULL);
        g_autoptr(GError) error = NULL;
        RenameRecord *record = load(path, &error);
        if (record != NULL)
            g_ptr_array_add(records, record);
        else
            log_warning("%s: %s", path, error->message);
    }
    return records;
}
